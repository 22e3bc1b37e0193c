-- Of the customers each employee talked with alone, how many have answered, and how many have not? By department and employee.
WITH pairs AS (
    SELECT
        CASE direction WHEN 'outbound' THEN sender_id ELSE recipient_ids[1] END AS userid,
        CASE direction WHEN 'outbound' THEN recipient_ids[1] ELSE sender_id END AS external_userid,
        count(*) FILTER (sent_at IS NULL) AS without_time
    FROM messages
    WHERE kind = 'message' AND room_id IS NULL AND direction IN ('outbound', 'inbound')
        AND dt BETWEEN $from_day AND $to_day
    GROUP BY ALL
),
met AS (
    SELECT DISTINCT
        lower(userid) AS who,
        min(userid) OVER (PARTITION BY lower(userid)) AS employee_id,
        external_userid,
        CAST(sum(without_time) OVER (PARTITION BY lower(userid)) AS BIGINT) AS without_time
    FROM pairs
),
answers AS (SELECT lower(userid) AS who, external_userid, status FROM consent_scopes WHERE room_id IS NULL AND status IS NOT NULL),
staff AS (SELECT lower(userid) AS who, arg_max(department, coalesce(valid_from, TIMESTAMPTZ '1970-01-01')) AS department FROM people WHERE kind = 'employee' AND valid_to IS NULL GROUP BY lower(userid))
SELECT
    s.department,
    m.employee_id,
    count(*) AS customers,
    count(a.status) AS answered,
    count(*) FILTER (a.status = 'Disagree') AS refused,
    count(*) FILTER (a.status IS NULL) AS unanswered,
    round(100.0 * count(a.status) / count(*), 1) AS share,
    max(m.without_time) AS without_time
FROM met AS m
LEFT JOIN answers AS a ON a.who = m.who AND a.external_userid = m.external_userid
LEFT JOIN staff AS s ON s.who = m.who
GROUP BY s.department, m.who, m.employee_id
ORDER BY s.department NULLS LAST, m.who;
