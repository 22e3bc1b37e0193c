-- Per severity and employee: how many findings wait for a decision, how many were escalated, since which day?
WITH newest AS (
    SELECT finding_id, arg_max(decision, decided_at) AS decision
    FROM reviews
    GROUP BY finding_id
)
SELECT
    f.severity,
    min(f.employee_id) AS employee_id,
    count(*) AS findings,
    count(*) FILTER (n.decision = 'escalated') AS escalated,
    min(f.dt) AS oldest_day
FROM matches AS f
LEFT JOIN newest AS n ON n.finding_id = f.finding_id
WHERE f.dt <= $to_day AND coalesce(n.decision, 'reopened') IN ('reopened', 'escalated')
GROUP BY f.severity, lower(f.employee_id)
ORDER BY CASE f.severity WHEN 'high' THEN 0 WHEN 'medium' THEN 1 ELSE 2 END, oldest_day, lower(f.employee_id) NULLS LAST;
