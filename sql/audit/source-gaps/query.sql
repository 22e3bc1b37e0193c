-- Which gaps touch the period, why, whom do they concern by estimate, and who has taken note? A gap without times is in every period.
SELECT
    from_at,
    to_at,
    round(date_diff('minute', from_at, to_at) / 60.0, 1) AS hours,
    after_seq,
    before_seq,
    cause,
    estimate,
    acknowledged_by,
    detected_at,
    from_at IS NULL OR to_at IS NULL AS without_time
FROM gaps
WHERE coalesce(CAST(timezone('Asia/Shanghai', to_at) AS DATE) >= $from_day, TRUE)
    AND coalesce(CAST(timezone('Asia/Shanghai', from_at) AS DATE) <= $to_day, TRUE)
ORDER BY from_at NULLS FIRST, after_seq;
