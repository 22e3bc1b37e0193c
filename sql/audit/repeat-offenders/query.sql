-- Which employees said something that was found on several days, and what was decided about it?
-- What customers or quoted people said is not theirs. A message is told by one number: its seq is below 2^63, its origin one of two.
-- Messages without a sending time are few: gathered in a list and told apart there, since each count of different ones groups all findings once more.
WITH newest AS (
    SELECT finding_id, arg_max(decision, decided_at) AS decision
    FROM reviews
    GROUP BY finding_id
),
untimed AS (
    SELECT origin, seq FROM messages WHERE dt BETWEEN $from_day AND $to_day AND sent_at IS NULL
)
SELECT
    min(f.employee_id) AS employee_id,
    count(DISTINCT f.dt) AS days,
    count(*) AS findings,
    count(*) FILTER (f.severity = 'high') AS high,
    count(*) FILTER (n.decision = 'violation') AS violations,
    count(DISTINCT f.customer_id) AS customers,
    min(f.dt) AS first_day,
    max(f.dt) AS last_day,
    coalesce(CAST(list_unique(list(f.seq * 2 + CAST(f.origin = 'sealed' AS UBIGINT)) FILTER (u.seq IS NOT NULL)) AS BIGINT), 0) AS without_time
FROM matches AS f
LEFT JOIN newest AS n ON n.finding_id = f.finding_id
LEFT JOIN untimed AS u ON u.origin = f.origin AND u.seq = f.seq
WHERE f.dt BETWEEN $from_day AND $to_day AND f.party = 'employee' AND f.employee_id IS NOT NULL
GROUP BY lower(f.employee_id)
HAVING count(DISTINCT f.dt) >= $days
ORDER BY violations DESC, days DESC, findings DESC, lower(min(f.employee_id));
