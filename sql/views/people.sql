-- Who was who, from when to when, and who says so? valid_from null: always; valid_to null: still.
-- Of rows with one beginning the one recorded last counts; one that began later ends the one before.
CREATE VIEW people AS
SELECT
    lake_corp_id() AS corp_id,
    userid,
    kind,
    name,
    alias,
    department,
    valid_from,
    least(valid_to, lead(valid_from) OVER later) AS valid_to,
    source,
    short_name
FROM (
    FROM lake_people
    QUALIFY row_number() OVER (PARTITION BY CASE WHEN kind = 'employee' THEN lower(userid) ELSE userid END, valid_from ORDER BY recorded_at DESC, kind = 'external' DESC, valid_to NULLS LAST) = 1
)
WINDOW later AS (PARTITION BY CASE WHEN kind = 'employee' THEN lower(userid) ELSE userid END ORDER BY valid_from NULLS FIRST);
