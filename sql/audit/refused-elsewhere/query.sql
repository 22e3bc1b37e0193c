-- Which customers refused in one scope while another scope of theirs is silent or still archived? A decision for one scope never answers for another;
-- whether to ask the customer again is the firm's decision.
WITH here AS (
    SELECT
        CASE WHEN room_id IS NULL THEN lower(CASE direction WHEN 'outbound' THEN sender_id ELSE recipient_ids[1] END) END AS who,
        min(CASE WHEN room_id IS NULL THEN CASE direction WHEN 'outbound' THEN sender_id ELSE recipient_ids[1] END END) AS userid,
        room_id,
        CASE WHEN room_id IS NULL AND direction = 'outbound' THEN recipient_ids[1] ELSE sender_id END AS external_userid,
        count(*) AS messages
    FROM messages
    WHERE kind = 'message' AND ((room_id IS NULL AND direction IN ('outbound', 'inbound')) OR (room_id IS NOT NULL AND sender_kind = 'external'))
    GROUP BY ALL
),
refused AS (SELECT * FROM consent_scopes WHERE status = 'Disagree')
SELECT
    r.external_userid,
    coalesce(r.room_id, r.userid) AS refused_scope,
    r.changed_at AS refused_at,
    coalesce(h.room_id, h.userid) AS silent_scope,
    c.status AS silent_status,
    h.messages
FROM refused AS r
JOIN here AS h ON h.external_userid = r.external_userid AND (h.room_id IS DISTINCT FROM r.room_id OR h.who IS DISTINCT FROM lower(r.userid))
LEFT JOIN consent_scopes AS c ON c.external_userid = h.external_userid AND c.room_id IS NOT DISTINCT FROM h.room_id AND lower(c.userid) IS NOT DISTINCT FROM h.who
WHERE c.status IS DISTINCT FROM 'Disagree'
ORDER BY r.external_userid, refused_scope, silent_scope;
