-- For one customer: what were they told, what did they answer, when was WeCom asked, and what is archived since when? In order of time.
SELECT c.at AS at, what, scope, status, source, detail
FROM (
    SELECT n.at AS at, 'notice' AS what, userid AS scope, NULL AS status, notice AS source, coalesce(document_version, document_digest, source_msgid) AS detail
    FROM notices AS n
    WHERE external_userid = $customer
    UNION ALL
    SELECT coalesce(changed_at, recorded_at), 'event', coalesce(room_id, userid), status, source, source_msgid
    FROM consent
    WHERE external_userid = $customer
    UNION ALL
    SELECT asked_at, 'asked', coalesce(room_id, userid), asked_status, 'api', asked_code
    FROM consent_scopes
    WHERE external_userid = $customer AND asked_at IS NOT NULL
    UNION ALL
    -- The greeting: the first words of each employee to the customer. The card: the first mini-program or business card of the first day.
    SELECT min(sent_at), 'greeting', min_by(sender_id, sent_at), NULL, min_by(msgtype, sent_at), min_by(msgid, sent_at)
    FROM messages
    WHERE kind = 'message' AND room_id IS NULL AND direction = 'outbound' AND recipient_ids[1] = $customer AND sent_at IS NOT NULL
    GROUP BY conversation_id
    UNION ALL
    SELECT min(sent_at), 'card', min_by(sender_id, sent_at), NULL, min_by(msgtype, sent_at), min_by(msgid, sent_at)
    FROM (
        SELECT *, min(sent_at) OVER (PARTITION BY conversation_id) AS first_at
        FROM messages
        WHERE kind = 'message' AND room_id IS NULL AND direction = 'outbound' AND recipient_ids[1] = $customer
    )
    WHERE msgtype IN ('weapp', 'card') AND sent_at < first_at + INTERVAL 1 DAY
    GROUP BY conversation_id
    UNION ALL
    SELECT min(coalesce(sent_at, captured_at)), 'archived', coalesce(room_id, conversation_id), consent, min(consent_source), CAST(count(*) AS VARCHAR)
    FROM messages
    WHERE kind = 'message' AND (sender_id = $customer OR list_contains(recipient_ids, $customer))
    GROUP BY coalesce(room_id, conversation_id), consent
) AS c
ORDER BY c.at NULLS FIRST, what, scope, status, source, detail;
