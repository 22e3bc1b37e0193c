-- Which messages of others seem to repeat words of a customer who refused? A reply names whom it quotes by the name shown in the chat, and nothing else
-- (no id, no reference): everybody known under that name counts, and same_name says how many there are. Forwards name nobody who can be told.
WITH refused AS (
    FROM consent_scopes
    WHERE status = 'Disagree'
),
quoting AS (
    SELECT
        *,
        regexp_extract(text, '^\s{0,4}(?:「|(?:这是一条引用/回复消息[：:]|This is a quote/reply:)\s{0,4}")([^「」：:\n]{1,64})[：:]', 1) AS quoted_name
    FROM messages
    WHERE kind = 'message' AND dt BETWEEN $from_day AND $to_day AND (text LIKE '%「%' OR text LIKE '%引用/回复%' OR text LIKE '%quote/reply%')
),
names AS (
    SELECT DISTINCT userid, unnest([name, alias, short_name]) AS name
    FROM people
    WHERE kind = 'external'
),
bearers AS (
    SELECT name, count(DISTINCT userid) AS same_name
    FROM names
    WHERE name <> ''
    GROUP BY name
)
SELECT
    r.external_userid,
    r.userid,
    r.room_id,
    r.changed_at AS refused_at,
    q.msgid,
    q.dt,
    q.conversation_id,
    q.sender_id,
    q.sent_at IS NULL OR r.changed_at IS NULL OR q.sent_at >= r.changed_at AS after_refusal,
    CASE WHEN r.room_id IS NULL THEN q.room_id IS NULL AND (lower(q.sender_id) = lower(r.userid) OR list_contains(list_transform(q.recipient_ids, lambda x: lower(x)), lower(r.userid)))
        ELSE q.room_id IS NOT DISTINCT FROM r.room_id END AS same_scope,
    b.same_name,
    q.sent_at IS NOT NULL AS time_known
FROM quoting AS q
JOIN bearers AS b ON b.name = q.quoted_name
JOIN names AS n ON n.name = q.quoted_name
JOIN refused AS r ON r.external_userid = n.userid
WHERE q.quoted_name <> '' AND q.sender_id <> r.external_userid
ORDER BY r.external_userid, q.dt, q.msgid, r.userid, r.room_id;
