-- Which conversations fell silent after an employee spoke of another channel?
WITH moves AS (
    SELECT
        conversation_id,
        min(employee_id) AS employee_id,
        max(f.dt) AS finding_day,
        count(*) AS findings,
        max(m.sent_at) AS last_at,
        count(DISTINCT (f.origin, f.seq)) FILTER (m.sent_at IS NULL) AS without_time
    FROM matches AS f
    JOIN messages AS m USING (origin, seq, conversation_id)
    WHERE f.dt BETWEEN $from_day AND $to_day AND f.category = $category AND f.party = 'employee'
    GROUP BY conversation_id
)
SELECT
    v.employee_id,
    v.conversation_id,
    v.finding_day,
    v.findings,
    count(a.seq) AS messages_after,
    CASE WHEN v.last_at IS NOT NULL THEN count(a.seq) = 0 END AS silent,
    v.without_time
FROM moves AS v
LEFT JOIN messages AS a ON a.conversation_id = v.conversation_id AND a.kind = 'message' AND a.sent_at > v.last_at AND a.sent_at <= v.last_at + to_days($days)
GROUP BY v.employee_id, v.conversation_id, v.finding_day, v.findings, v.last_at, v.without_time
ORDER BY silent DESC NULLS LAST, v.finding_day, v.conversation_id;
