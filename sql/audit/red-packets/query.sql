-- Who sent red packets where customers were, how many, in how many conversations? Chats among employees are left out.
SELECT
    min(sender_id) AS sender_id,
    sender_kind,
    count(*) AS packets,
    count(DISTINCT conversation_id) AS conversations,
    count(*) FILTER (room_id IS NOT NULL) AS in_rooms,
    min(dt) AS first_day,
    max(dt) AS last_day,
    count(*) FILTER (sent_at IS NULL) AS without_time
FROM messages
WHERE dt BETWEEN $from_day AND $to_day AND msgtype IN ('redpacket', 'external_redpacket') AND direction <> 'internal'
GROUP BY CASE WHEN sender_kind = 'employee' THEN lower(sender_id) ELSE sender_id END, sender_kind
ORDER BY packets DESC, 1;
