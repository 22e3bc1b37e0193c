-- Findings of the period, counted by what is asked for. The department is that of the employee when the message was sent.
-- A message is told by one number: its seq is below 2^63, its origin one of two.
-- Age: days from the message to the last day asked for, today at the latest, in steps that people work by. No message text is read.
-- Messages without a sending time are few: gathered in a list and told apart there, since each count of different ones groups all findings once more.
WITH untimed AS (
    SELECT origin, seq FROM messages WHERE dt BETWEEN $from_day AND $to_day AND sent_at IS NULL
),
newest AS (
    SELECT finding_id, arg_max(decision, decided_at) AS decision FROM reviews GROUP BY finding_id
),
staff AS (
    SELECT
        lower(userid) AS who,
        department,
        coalesce(CAST(timezone('Asia/Shanghai', valid_from) AS DATE), DATE '1970-01-01') AS first_day,
        coalesce(CAST(timezone('Asia/Shanghai', valid_to) AS DATE), DATE '9999-12-31') AS next_day
    FROM people
    WHERE kind = 'employee' AND $by = 'department'
),
found AS (
    SELECT
        f.*,
        f.seq * 2 + CAST(f.origin = 'sealed' AS UBIGINT) AS message,
        s.department,
        date_diff('day', f.dt, least($to_day, CAST(timezone('Asia/Shanghai', now()) AS DATE))) AS days
    FROM matches AS f
    LEFT JOIN staff AS s ON s.who = lower(f.employee_id) AND f.dt >= s.first_day AND f.dt < s.next_day -- one at most: the next begins where one ends
    WHERE f.dt BETWEEN $from_day AND $to_day
),
grouped AS (
    SELECT
        *,
        CASE $by
            WHEN 'rule' THEN rule_id
            WHEN 'category' THEN category
            WHEN 'employee' THEN lower(employee_id)
            WHEN 'department' THEN department
            WHEN 'severity' THEN severity
            WHEN 'month' THEN strftime(dt, '%Y-%m')
            WHEN 'day' THEN strftime(dt, '%Y-%m-%d')
            ELSE CASE WHEN days <= 3 THEN '0-3' WHEN days <= 7 THEN '4-7' WHEN days <= 30 THEN '8-30' WHEN days <= 90 THEN '31-90' ELSE '91-' END
        END AS value,
        CASE $by
            WHEN 'severity' THEN CASE severity WHEN 'high' THEN 0 WHEN 'medium' THEN 1 ELSE 2 END
            WHEN 'month' THEN date_diff('day', DATE '1970-01-01', date_trunc('month', dt))
            WHEN 'day' THEN date_diff('day', DATE '1970-01-01', dt)
            WHEN 'age' THEN CASE WHEN days <= 3 THEN 0 WHEN days <= 7 THEN 1 WHEN days <= 30 THEN 2 WHEN days <= 90 THEN 3 ELSE 4 END
            ELSE 0
        END AS rank
    FROM found
)
SELECT
    g.value,
    count(*) AS findings,
    count(*) FILTER (g.severity = 'high') AS high,
    count(*) FILTER (g.severity = 'medium') AS medium,
    count(*) FILTER (g.severity = 'low') AS low,
    count(DISTINCT lower(g.employee_id)) AS employees,
    count(DISTINCT g.message) AS messages,
    count(*) FILTER (coalesce(n.decision, 'reopened') IN ('reopened', 'escalated')) AS open,
    count(*) FILTER (n.decision = 'violation') AS violations,
    min(g.dt) AS first_day,
    max(g.dt) AS last_day,
    coalesce(CAST(list_unique(list(g.message) FILTER (u.seq IS NOT NULL)) AS BIGINT), 0) AS without_time
FROM grouped AS g
LEFT JOIN newest AS n ON n.finding_id = g.finding_id
LEFT JOIN untimed AS u ON u.origin = g.origin AND u.seq = g.seq
GROUP BY g.value, g.rank
ORDER BY g.rank, findings DESC, g.value NULLS LAST;
