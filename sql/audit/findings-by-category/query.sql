-- Per category and employee: how many findings, how grave, in how many messages, from when to when?
-- Findings only: no message text is read. A message is told by one number: its seq is below 2^63, its origin one of two. Messages without a sending time stand under their day of capture.
-- Counted a message at a time first, so that the different messages of a group need not be told apart twice more.
WITH untimed AS (
    SELECT origin, seq
    FROM messages
    WHERE dt BETWEEN $from_day AND $to_day AND sent_at IS NULL
),
told AS (
    SELECT
        f.category,
        lower(f.employee_id) AS who,
        f.seq * 2 + CAST(f.origin = 'sealed' AS UBIGINT) AS message,
        min(f.employee_id) AS employee_id,
        count(*) AS findings,
        count(*) FILTER (f.severity = 'high') AS high,
        count(*) FILTER (f.severity = 'medium') AS medium,
        count(*) FILTER (f.severity = 'low') AS low,
        min(f.dt) AS first_day,
        max(f.dt) AS last_day,
        bool_or(u.seq IS NOT NULL) AS untimed
    FROM matches AS f
    LEFT JOIN untimed AS u ON u.origin = f.origin AND u.seq = f.seq
    WHERE f.dt BETWEEN $from_day AND $to_day
        AND ($severity = 'all' OR f.severity = $severity)
    GROUP BY f.category, who, message
)
SELECT
    category,
    min(employee_id) AS employee_id,
    CAST(sum(findings) AS BIGINT) AS findings,
    CAST(sum(high) AS BIGINT) AS high,
    CAST(sum(medium) AS BIGINT) AS medium,
    CAST(sum(low) AS BIGINT) AS low,
    count(*) AS messages,
    min(first_day) AS first_day,
    max(last_day) AS last_day,
    count(*) FILTER (untimed) AS without_time
FROM told
GROUP BY category, who
ORDER BY category, findings DESC, who NULLS LAST;
