-- Whose customers refuse far more often than the average? Single chats only; a lead to ask, not a finding.
WITH own AS (
    SELECT
        lower(userid) AS who,
        min(userid) AS employee_id,
        count(*) AS customers,
        count(*) FILTER (status = 'Disagree') AS refused,
        100.0 * count(*) FILTER (status = 'Disagree') / count(*) AS refused_share
    FROM consent_scopes
    WHERE room_id IS NULL AND status IS NOT NULL
    GROUP BY lower(userid)
)
SELECT
    employee_id,
    customers,
    refused,
    round(refused_share, 1) AS refused_share,
    round(avg(refused_share) OVER (), 1) AS mean_share,
    round((refused_share - avg(refused_share) OVER ()) / nullif(stddev_pop(refused_share) OVER (), 0), 2) AS deviation
FROM own
ORDER BY deviation DESC NULLS LAST, who;
