-- Which pairs and rooms chatted within 35 days while nobody has asked about their consent for long? There is no callback for a refusal.
WITH here AS (SELECT least($to_day, max(dt)) AS today FROM messages),
chatting AS (
    SELECT
        CASE WHEN room_id IS NULL THEN CASE direction WHEN 'outbound' THEN sender_id ELSE recipient_ids[1] END END AS userid,
        room_id,
        CASE WHEN room_id IS NULL THEN CASE direction WHEN 'outbound' THEN recipient_ids[1] ELSE sender_id END END AS external_userid,
        dt
    FROM messages
    WHERE kind = 'message' AND direction IN ('outbound', 'inbound') AND dt > (SELECT today FROM here) - 35 AND dt <= (SELECT today FROM here)
),
last AS (
    SELECT lower(userid) AS who, min(userid) AS userid, room_id, external_userid, max(dt) AS last_day
    FROM chatting
    GROUP BY lower(userid), room_id, external_userid
),
asked AS (
    SELECT lower(userid) AS who, room_id, CASE WHEN room_id IS NULL THEN external_userid END AS external_userid, max(asked_at) AS asked_at, max(asked_code) AS asked_code
    FROM consent_scopes
    GROUP BY ALL
)
SELECT
    l.userid,
    l.room_id,
    l.external_userid,
    l.last_day,
    a.asked_at,
    date_diff('day', CAST(timezone('Asia/Shanghai', a.asked_at) AS DATE), (SELECT today FROM here)) AS days,
    a.asked_code
FROM last AS l
LEFT JOIN asked AS a
    ON a.who IS NOT DISTINCT FROM l.who AND a.room_id IS NOT DISTINCT FROM l.room_id AND a.external_userid IS NOT DISTINCT FROM l.external_userid
WHERE a.asked_at IS NULL OR date_diff('day', CAST(timezone('Asia/Shanghai', a.asked_at) AS DATE), (SELECT today FROM here)) > $days
ORDER BY a.asked_at NULLS FIRST, l.last_day DESC, l.userid, l.room_id, l.external_userid;
