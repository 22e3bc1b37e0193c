-- Which customers refused in which scope, and was anything of that scope archived since? In a room only their own messages count.
SELECT
    c.userid,
    c.room_id,
    c.external_userid,
    c.changed_at AS refused_at,
    c.recorded_at AS known_at,
    c.source,
    count(m.seq) AS archived_after,
    max(m.sent_at) AS last_at
FROM consent_scopes AS c
LEFT JOIN messages AS m
    ON m.kind = 'message' AND m.sent_at >= coalesce(c.changed_at, TIMESTAMPTZ '1970-01-01')
    AND (
        (c.room_id IS NOT NULL AND m.room_id = c.room_id AND m.sender_id = c.external_userid)
        OR (
            c.room_id IS NULL AND m.room_id IS NULL
            AND ((m.sender_id = c.external_userid AND lower(m.recipient_ids[1]) = lower(c.userid)) OR (lower(m.sender_id) = lower(c.userid) AND m.recipient_ids[1] = c.external_userid))
        )
    )
WHERE c.status = 'Disagree'
    AND CAST(timezone('Asia/Shanghai', coalesce(c.changed_at, c.recorded_at)) AS DATE) BETWEEN $from_day AND $to_day
GROUP BY ALL
ORDER BY archived_after DESC, c.external_userid, c.userid, c.room_id;
