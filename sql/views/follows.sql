-- Which employee served which customer, and what did they call them, from when to when?
-- Of rows with one beginning the one recorded last counts; one that began later ends the one before.
CREATE VIEW follows AS
SELECT
    lake_corp_id() AS corp_id,
    external_userid,
    userid,
    remark,
    add_way,
    valid_from,
    least(valid_to, lead(valid_from) OVER later) AS valid_to,
    source
FROM (
    FROM lake_follows
    QUALIFY row_number() OVER (PARTITION BY external_userid, lower(userid), valid_from ORDER BY recorded_at DESC) = 1
)
WINDOW later AS (PARTITION BY external_userid, lower(userid) ORDER BY valid_from NULLS FIRST);
