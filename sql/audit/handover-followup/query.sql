-- Per handover of the period: the last word before it (of the 400 days before the period), the successor's first of the days that followed, who wrote within the days that followed, and what was found.
WITH passed AS (
    SELECT external_userid, from_userid, to_userid, state, valid_from AS handed_at, row_number() OVER () AS n
    FROM handovers
    WHERE CAST(timezone('Asia/Shanghai', valid_from) AS DATE) BETWEEN $from_day AND $to_day
),
sides AS (
    SELECT n, external_userid, handed_at, lower(from_userid) AS who, 'former' AS side FROM passed
    UNION ALL
    SELECT n, external_userid, handed_at, lower(to_userid), 'successor' FROM passed WHERE to_userid IS NOT NULL
),
chats AS (
    SELECT
        origin,
        seq,
        sent_at,
        direction,
        CASE direction WHEN 'outbound' THEN lower(sender_id) ELSE lower(recipient_ids[1]) END AS who,
        CASE direction WHEN 'outbound' THEN recipient_ids[1] ELSE sender_id END AS external_userid
    FROM messages
    WHERE dt BETWEEN $from_day - 400 AND $to_day + $days
        AND kind = 'message' AND room_id IS NULL AND direction IN ('outbound', 'inbound')
        AND list_has_any(list_append(recipient_ids, sender_id), (SELECT list(external_userid) FROM passed))
),
said AS (
    SELECT s.n, s.side, s.handed_at, c.origin, c.seq, c.sent_at, c.direction, c.sent_at >= s.handed_at AND c.sent_at < s.handed_at + to_days($days) AS after
    FROM sides AS s
    JOIN chats AS c ON c.external_userid = s.external_userid AND c.who = s.who
),
found AS (
    SELECT s.n, count(*) AS findings, count(*) FILTER (f.severity = 'high') AS high
    FROM said AS s
    JOIN matches AS f ON f.origin = s.origin AND f.seq = s.seq
    WHERE s.after
    GROUP BY s.n
)
SELECT
    p.handed_at,
    p.external_userid,
    p.from_userid,
    p.to_userid,
    p.state,
    max(s.sent_at) FILTER (s.side = 'former' AND s.sent_at < p.handed_at) AS last_contact,
    min(s.sent_at) FILTER (s.after AND s.side = 'successor' AND s.direction = 'outbound') AS first_contact,
    round(date_diff('minute', p.handed_at, min(s.sent_at) FILTER (s.after AND s.side = 'successor' AND s.direction = 'outbound')) / 1440.0, 1) AS days_to_contact,
    count(s.seq) FILTER (s.after AND s.side = 'successor' AND s.direction = 'outbound') AS successor_messages,
    count(s.seq) FILTER (s.after AND s.side = 'former' AND s.direction = 'outbound') AS former_messages,
    count(s.seq) FILTER (s.after AND s.direction = 'inbound') AS customer_messages,
    coalesce(any_value(f.findings), 0) AS findings,
    coalesce(any_value(f.high), 0) AS high,
    count(s.seq) FILTER (s.sent_at IS NULL) AS without_time
FROM passed AS p
LEFT JOIN said AS s ON s.n = p.n
LEFT JOIN found AS f ON f.n = p.n
GROUP BY p.n, p.handed_at, p.external_userid, p.from_userid, p.to_userid, p.state
ORDER BY p.handed_at, p.external_userid, p.from_userid, p.to_userid, p.state;
