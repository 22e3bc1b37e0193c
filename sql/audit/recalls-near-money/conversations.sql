-- The conversations in which a message was recalled.
SELECT DISTINCT conversation_id
FROM messages
WHERE dt BETWEEN $from_day AND $to_day AND recalled_by IS NOT NULL AND kind = 'message';
