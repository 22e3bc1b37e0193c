-- Who sent personal data, of which kind, how often? Findings only: the numbers themselves are not read.
WITH untimed AS (
    SELECT origin, seq FROM messages WHERE dt BETWEEN $from_day AND $to_day AND sent_at IS NULL
)
SELECT
    f.party,
    min(f.employee_id) AS employee_id,
    f.rule_id,
    count(*) AS findings,
    count(DISTINCT f.conversation_id) AS conversations,
    max(f.dt) AS last_day,
    count(DISTINCT (f.origin, f.seq)) FILTER (u.seq IS NOT NULL) AS without_time
FROM matches AS f
LEFT JOIN untimed AS u ON u.origin = f.origin AND u.seq = f.seq
WHERE f.dt BETWEEN $from_day AND $to_day AND starts_with(f.rule_id, 'pii-')
GROUP BY f.party, lower(f.employee_id), f.rule_id
ORDER BY findings DESC, f.party, lower(min(f.employee_id)) NULLS LAST, f.rule_id;
