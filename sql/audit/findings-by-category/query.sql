-- Per category and employee: how many findings, how grave, in how many messages, from when to when?
-- Findings only: no message text is read. A message is told by one number: its seq is below 2^63, its origin one of two. Messages without a sending time stand under their day of capture.
WITH untimed AS (
    SELECT origin, seq
    FROM messages
    WHERE dt BETWEEN $from_day AND $to_day AND sent_at IS NULL
)
SELECT
    f.category,
    min(f.employee_id) AS employee_id,
    count(*) AS findings,
    count(*) FILTER (f.severity = 'high') AS high,
    count(*) FILTER (f.severity = 'medium') AS medium,
    count(*) FILTER (f.severity = 'low') AS low,
    count(DISTINCT f.seq * 2 + CAST(f.origin = 'sealed' AS UBIGINT)) AS messages,
    min(f.dt) AS first_day,
    max(f.dt) AS last_day,
    count(DISTINCT f.seq * 2 + CAST(f.origin = 'sealed' AS UBIGINT)) FILTER (u.seq IS NOT NULL) AS without_time
FROM matches AS f
LEFT JOIN untimed AS u ON u.origin = f.origin AND u.seq = f.seq
WHERE f.dt BETWEEN $from_day AND $to_day
    AND ($severity = 'all' OR f.severity = $severity)
GROUP BY f.category, lower(f.employee_id)
ORDER BY f.category, findings DESC, lower(f.employee_id) NULLS LAST;
