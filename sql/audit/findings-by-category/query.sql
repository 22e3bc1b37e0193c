-- Per category and employee: how many findings, how grave, in how many messages, from when to when?
-- Findings only: no message text is read. A message is told by one number: its seq is below 2^63, its origin one of two. Messages without a sending time stand under their day of capture.
-- The different messages of a group are told apart in a list of them, which is short: a count of different ones groups all findings once more.
WITH untimed AS (
    SELECT origin, seq
    FROM messages
    WHERE dt BETWEEN $from_day AND $to_day AND sent_at IS NULL
),
found AS (
    SELECT
        f.category,
        f.employee_id,
        f.severity,
        f.dt,
        f.seq * 2 + CAST(f.origin = 'sealed' AS UBIGINT) AS message,
        u.seq IS NOT NULL AS untimed
    FROM matches AS f
    LEFT JOIN untimed AS u ON u.origin = f.origin AND u.seq = f.seq
    WHERE f.dt BETWEEN $from_day AND $to_day
        AND ($severity = 'all' OR f.severity = $severity)
)
SELECT
    category,
    min(employee_id) AS employee_id,
    count(*) AS findings,
    count(*) FILTER (severity = 'high') AS high,
    count(*) FILTER (severity = 'medium') AS medium,
    count(*) FILTER (severity = 'low') AS low,
    CAST(list_unique(list(message)) AS BIGINT) AS messages,
    min(dt) AS first_day,
    max(dt) AS last_day,
    coalesce(CAST(list_unique(list(message) FILTER (untimed)) AS BIGINT), 0) AS without_time
FROM found
GROUP BY category, lower(employee_id)
ORDER BY category, findings DESC, lower(min(employee_id)) NULLS LAST;
