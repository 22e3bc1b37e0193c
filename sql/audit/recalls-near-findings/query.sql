-- Which recalled messages hold findings, or were recalled within minutes of a finding in the same conversation?
WITH found AS (
    SELECT f.origin, f.seq, f.conversation_id, m.sent_at
    FROM matches AS f
    JOIN messages AS m ON m.origin = f.origin AND m.seq = f.seq
    WHERE f.dt BETWEEN $from_day - 1 - $minutes // 1440 AND $to_day + 1 + $minutes // 1440
)
SELECT
    r.recalled_at,
    r.sender_id,
    r.conversation_id,
    r.msgid,
    count(*) FILTER (f.origin = r.origin AND f.seq = r.seq) AS own_findings,
    count(*) FILTER (NOT (f.origin = r.origin AND f.seq = r.seq)) AS near_findings,
    r.recalled_at IS NULL AS without_time
FROM messages AS r
JOIN found AS f
    ON f.conversation_id = r.conversation_id
    AND (
        (f.origin = r.origin AND f.seq = r.seq)
        OR f.sent_at BETWEEN r.recalled_at - to_minutes($minutes) AND r.recalled_at + to_minutes($minutes)
    )
WHERE r.dt BETWEEN $from_day AND $to_day AND r.recalled_by IS NOT NULL
GROUP BY r.origin, r.seq, r.recalled_at, r.sender_id, r.conversation_id, r.msgid
ORDER BY r.recalled_at NULLS LAST, r.msgid;
