-- The digests (32 bits) of words that an employee sent so often: no other messages count. Several words may have one digest: too many are named then.
WITH often AS (
    SELECT text_form
    FROM lake_messages
    WHERE dt BETWEEN $from_day AND $to_day AND kind = 'message' AND direction = 'outbound' AND room_id IS NULL AND text_characters >= $characters
    GROUP BY lower(sender_id), text_form
    HAVING count(*) >= $customers
)
SELECT DISTINCT text_form
FROM often;
