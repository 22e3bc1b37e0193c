-- Who sent personal data, of which kind, how often? Findings only: the numbers themselves are not read.
SELECT
    party,
    min(employee_id) AS employee_id,
    rule_id,
    count(*) AS findings,
    count(DISTINCT conversation_id) AS conversations,
    max(dt) AS last_day
FROM matches
WHERE dt BETWEEN $from_day AND $to_day AND starts_with(rule_id, 'pii-')
GROUP BY party, lower(employee_id), rule_id
ORDER BY findings DESC, party, lower(min(employee_id)) NULLS LAST, rule_id;
