-- The conversations with words that an employee sent so often; texts are compared by 64 bits of a digest first, which may name too many.
WITH said AS MATERIALIZED (
    SELECT conversation_id, hash(lower(sender_id), text) AS form
    FROM messages
    WHERE dt BETWEEN $from_day AND $to_day AND kind = 'message' AND direction = 'outbound' AND room_id IS NULL AND length(text) >= $characters
)
SELECT DISTINCT conversation_id
FROM said
WHERE form IN (SELECT form FROM said GROUP BY form HAVING count(*) >= $customers);
