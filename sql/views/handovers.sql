-- Which customer passed from which employee to which, and when?
-- Of rows with one beginning the one recorded last counts; one that began later ends the one before.
CREATE VIEW handovers AS
SELECT
    lake_corp_id() AS corp_id,
    external_userid,
    from_userid,
    to_userid,
    valid_from,
    least(valid_to, lead(valid_from) OVER later) AS valid_to,
    source,
    state
FROM (
    FROM lake_handovers
    QUALIFY row_number() OVER (PARTITION BY external_userid, lower(from_userid), valid_from ORDER BY recorded_at DESC) = 1
)
WINDOW later AS (PARTITION BY external_userid, lower(from_userid) ORDER BY valid_from NULLS FIRST);
