-- How much did each reviewer decide, on Beijing days?
SELECT
    reviewer,
    count(*) AS decisions,
    count(*) FILTER (decision = 'violation') AS violation,
    count(*) FILTER (decision = 'not_violation') AS not_violation,
    count(*) FILTER (decision = 'escalated') AS escalated,
    count(*) FILTER (decision = 'reopened') AS reopened,
    count(DISTINCT finding_id) AS findings
FROM reviews
WHERE timezone('Asia/Shanghai', decided_at)::DATE BETWEEN $from_day AND $to_day
GROUP BY reviewer
ORDER BY decisions DESC, reviewer;
