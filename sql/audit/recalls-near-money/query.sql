-- Which recalled messages hold words about money, or have such messages within minutes in the same conversation? The words of a recalled message are kept.
WITH recalled AS (
    SELECT
        origin,
        seq,
        msgid,
        conversation_id,
        sender_id,
        sender_kind,
        sent_at,
        recalled_at,
        list_filter(string_split($words, '|'), lambda word: word <> '' AND contains(text, word)) AS own_words
    FROM messages
    WHERE dt BETWEEN $from_day AND $to_day AND recalled_by IS NOT NULL AND kind = 'message'
),
money AS (
    SELECT origin, seq, conversation_id, sent_at
    FROM messages
    WHERE dt BETWEEN $from_day - 1 - $minutes // 1440 AND $to_day + 1 + $minutes // 1440 AND kind = 'message'
        AND conversation_id IN (SELECT conversation_id FROM recalled)
        AND len(list_filter(string_split($words, '|'), lambda word: word <> '' AND contains(text, word))) > 0
)
SELECT
    r.recalled_at,
    r.sent_at,
    r.sender_id,
    r.sender_kind,
    r.conversation_id,
    r.msgid,
    nullif(array_to_string(r.own_words, '、'), '') AS own_words,
    count(m.seq) AS near_messages,
    r.recalled_at IS NULL OR r.sent_at IS NULL AS without_time
FROM recalled AS r
LEFT JOIN money AS m
    ON m.conversation_id = r.conversation_id
    AND NOT (m.origin = r.origin AND m.seq = r.seq)
    AND m.sent_at BETWEEN r.sent_at - to_minutes($minutes) AND r.recalled_at + to_minutes($minutes)
GROUP BY ALL
HAVING len(any_value(r.own_words)) > 0 OR count(m.seq) > 0
ORDER BY r.recalled_at NULLS LAST, r.conversation_id, r.msgid;
