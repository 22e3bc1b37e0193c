-- Which words did an employee send unchanged to many customers, in single chats?
SELECT
    min(sender_id) AS employee_id,
    count(DISTINCT conversation_id) AS customers,
    count(*) AS messages,
    min(dt) AS first_day,
    max(dt) AS last_day,
    text,
    count(*) FILTER (sent_at IS NULL) AS without_time
FROM messages
WHERE dt BETWEEN $from_day AND $to_day AND kind = 'message' AND direction = 'outbound' AND room_id IS NULL AND length(text) >= $characters
GROUP BY lower(sender_id), text
HAVING count(DISTINCT conversation_id) >= $customers
ORDER BY customers DESC, messages DESC, lower(min(sender_id)), text;
