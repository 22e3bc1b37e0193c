-- The conversations in which an employee spoke of buying.
SELECT DISTINCT conversation_id
FROM messages
WHERE dt BETWEEN $from_day AND $to_day AND kind = 'message' AND direction = 'outbound' AND sender_kind = 'employee'
    AND len(list_filter(string_split($sales, '|'), lambda word: word <> '' AND contains(text, word))) > 0;
