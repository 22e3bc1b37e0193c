-- One employee's findings, each with its message, and the message before and after it in the conversation.
-- The neighbours are looked for within seven days of the range; recalls are no messages, recalled messages stay.
-- A message without a sending time stands where it was captured; one without words is shown by its type, [image].
WITH found AS (
    SELECT *
    FROM matches
    WHERE dt BETWEEN $from_day AND $to_day
        AND lower(employee_id) = lower($employee)
        AND ($category IS NULL OR category = $category)
),
talk AS (
    SELECT
        origin,
        seq,
        sent_at,
        sender_id,
        room_id,
        text,
        recalled_at,
        lag(sender_id) OVER conversation AS before_sender,
        lag(coalesce(nullif(text, ''), '[' || msgtype || ']')) OVER conversation AS before_text,
        lead(sender_id) OVER conversation AS after_sender,
        lead(coalesce(nullif(text, ''), '[' || msgtype || ']')) OVER conversation AS after_text
    FROM messages
    WHERE dt BETWEEN $from_day - 7 AND $to_day + 7
        AND kind = 'message'
        AND conversation_id IN (SELECT conversation_id FROM found)
    WINDOW conversation AS (PARTITION BY conversation_id ORDER BY coalesce(sent_at, captured_at), origin DESC, seq)
)
SELECT
    f.dt AS day,
    t.sent_at,
    f.severity,
    f.category,
    f.rule_id,
    f.party,
    f.matched_text,
    f.term,
    f.customer_id,
    t.room_id,
    t.before_sender,
    t.before_text,
    t.sender_id,
    t.text,
    t.after_sender,
    t.after_text,
    t.recalled_at,
    f.conversation_id,
    f.msgid,
    f.finding_id,
    t.sent_at IS NOT NULL AS time_known
FROM found AS f
LEFT JOIN talk AS t ON t.origin = f.origin AND t.seq = f.seq
ORDER BY f.dt, t.sent_at NULLS LAST, f.origin DESC, f.seq, f.part, f.start_cp, f.rule_id;
