-- Whose archive seat was in force on which day, by the last answer of that day?
-- An answer that was kept twice (asked again after a crash, within the same millisecond) is told once.
CREATE VIEW seats AS
SELECT DISTINCT
    lake_corp_id() AS corp_id,
    day,
    userid,
    edition,
    asked_at
FROM (
    FROM lake_seats
    QUALIFY asked_at = max(asked_at) OVER (PARTITION BY day)
)
WHERE userid <> '';
