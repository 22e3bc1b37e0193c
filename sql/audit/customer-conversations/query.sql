-- In which conversations did one customer take part, with whom, when, and what was found in them?
-- The customer is the sender or a recipient; external ids compare byte by byte. What was withheld bears no customer and is not here.
WITH said AS (
    SELECT
        conversation_id,
        room_id,
        CASE WHEN room_id IS NULL THEN CASE WHEN sender_id = $customer THEN recipient_ids[1] ELSE sender_id END END AS employee_id,
        sender_id = $customer AS by_customer,
        origin,
        seq,
        sent_at,
        recalled_by IS NOT NULL OR recalled_at IS NOT NULL AS recalled
    FROM messages
    WHERE dt BETWEEN $from_day AND $to_day
        AND kind = 'message'
        AND (sender_id = $customer OR list_contains(recipient_ids, $customer))
),
found AS (
    SELECT origin, seq, count(*) AS findings, count(*) FILTER (severity = 'high') AS high
    FROM matches
    WHERE dt BETWEEN $from_day AND $to_day
    GROUP BY origin, seq
)
SELECT
    s.conversation_id,
    any_value(s.room_id) AS room_id,
    min(s.employee_id) AS employee_id,
    count(*) AS messages,
    count(*) FILTER (s.by_customer) AS from_customer,
    min(s.sent_at) AS first_at,
    max(s.sent_at) AS last_at,
    CAST(coalesce(sum(f.findings), 0) AS BIGINT) AS findings,
    CAST(coalesce(sum(f.high), 0) AS BIGINT) AS high,
    count(*) FILTER (s.recalled) AS recalled,
    count(*) FILTER (s.sent_at IS NULL) AS without_time
FROM said AS s
LEFT JOIN found AS f ON f.origin = s.origin AND f.seq = s.seq
GROUP BY s.conversation_id
ORDER BY last_at DESC NULLS LAST, s.conversation_id;
