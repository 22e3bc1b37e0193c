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
    SELECT min(coalesce(sent_at, captured_at)), 'archived', coalesce(room_id, conversation_id), consent, min(consent_source), CAST(count(*) AS VARCHAR)
    FROM messages
    WHERE kind = 'message' AND (sender_id = $customer OR list_contains(recipient_ids, $customer))
    GROUP BY coalesce(room_id, conversation_id), consent
) AS c
ORDER BY c.at NULLS FIRST, what, scope, status;
