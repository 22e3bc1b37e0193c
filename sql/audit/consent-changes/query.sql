-- Which changes of consent became known in the period, and what held before? Repeats of the same status are left out.
WITH told AS (
    SELECT
        *,
        lag(status) OVER (PARTITION BY lower(userid), room_id, external_userid ORDER BY coalesce(changed_at, recorded_at), recorded_at, status) AS before
    FROM consent
)
SELECT recorded_at, userid, room_id, external_userid, before, status, changed_at, source
FROM told
WHERE CAST(timezone('Asia/Shanghai', recorded_at) AS DATE) BETWEEN $from_day AND $to_day
    AND before IS DISTINCT FROM status
ORDER BY recorded_at, external_userid, userid, room_id, status;
