-- Everything archived in which this customer took part, across employees, handovers and rooms, in order of time.
SELECT sent_at, dt, conversation_id, sender_id, sender_kind, msgtype, text, recalled_at, msgid, sent_at IS NOT NULL AS time_known
FROM messages
WHERE dt BETWEEN $from_day AND $to_day AND (sender_id = $customer OR list_contains(recipient_ids, $customer))
ORDER BY coalesce(sent_at, captured_at), seq;
