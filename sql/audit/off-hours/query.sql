-- Which employees wrote to customers at night or on weekends, by Beijing time? What has no sending time is counted apart.
WITH sent AS (
    SELECT
        sender_id,
        conversation_id,
        sent_at,
        hour(timezone('Asia/Shanghai', sent_at)) NOT BETWEEN $first_hour AND $last_hour - 1 AS night,
        isodow(timezone('Asia/Shanghai', sent_at)) >= 6 AS weekend
    FROM messages
    WHERE dt BETWEEN $from_day AND $to_day AND kind = 'message' AND direction = 'outbound'
)
SELECT
    min(sender_id) AS employee_id,
    count(*) FILTER (night) AS night,
    count(*) FILTER (weekend) AS weekend,
    count(*) FILTER (night OR weekend) AS messages,
    count(DISTINCT conversation_id) FILTER (night OR weekend) AS conversations,
    count(*) FILTER (sent_at IS NULL) AS without_time
FROM sent
GROUP BY lower(sender_id)
HAVING count(*) FILTER (night OR weekend) > 0
ORDER BY messages DESC, lower(min(sender_id));
