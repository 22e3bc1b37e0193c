-- Per employee and day: what WeCom counts in single chats, what the archive has, and the difference. Days of which WeCom was never asked are not here.
WITH counted AS (
    SELECT day, lower(employee_id) AS employee_id, chats, messages, archived_chats, archived_messages, withheld_records, asked_at
    FROM behaviour
    WHERE day BETWEEN $from_day AND $to_day
),
kept AS (
    SELECT dt AS day, lower(sender_id) AS employee_id, count(DISTINCT conversation_id) AS chats, count(*) AS messages, count(*) FILTER (sent_at IS NULL) AS without_time
    FROM messages
    WHERE dt BETWEEN $from_day AND $to_day AND kind = 'message' AND direction = 'outbound' AND room_id IS NULL AND dt IN (SELECT day FROM counted)
    GROUP BY ALL
),
compared AS (
    SELECT
        day,
        employee_id,
        c.chats,
        coalesce(c.archived_chats, k.chats) AS archived_chats,
        c.messages,
        coalesce(c.archived_messages, k.messages) AS archived_messages,
        coalesce(c.withheld_records, 0) AS withheld_records,
        c.messages - c.archived_messages - c.withheld_records AS difference,
        c.asked_at,
        coalesce(k.without_time, 0) AS without_time,
        c.asked_at IS NULL AS uncounted
    FROM counted AS c
    FULL JOIN kept AS k USING (day, employee_id)
)
SELECT
    c.day,
    c.employee_id,
    CASE
        WHEN c.uncounted THEN 'uncounted'
        WHEN c.difference > 0 OR c.chats > c.archived_chats THEN 'missing'
        WHEN c.difference < 0 OR c.chats < c.archived_chats THEN 'surplus'
        ELSE 'equal'
    END AS state,
    c.chats,
    c.archived_chats,
    c.messages,
    c.archived_messages,
    c.withheld_records,
    c.difference,
    s.licensed,
    c.asked_at,
    c.without_time
FROM compared AS c
LEFT JOIN seat_coverage AS s ON s.day = c.day AND lower(s.employee_id) = c.employee_id
WHERE ($employee IS NULL OR c.employee_id = lower($employee))
    AND ($show = 'all' OR c.uncounted OR c.difference <> 0 OR c.chats <> c.archived_chats)
ORDER BY c.day, c.difference DESC NULLS LAST, c.employee_id;
