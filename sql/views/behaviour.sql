-- How many single chats and messages of an employee and day does WeCom count, and how many are in the archive?
-- missing: what WeCom counts beyond archived and withheld. Whether WeCom counts chats of customers who refused is not documented.
CREATE VIEW behaviour AS
WITH counted AS (
    SELECT day, lower(userid) AS employee_id, chats, messages, asked_at
    FROM lake_behaviour
    QUALIFY row_number() OVER (PARTITION BY day, lower(userid) ORDER BY asked_at DESC) = 1
),
kept AS (
    SELECT dt AS day, lower(sender_id) AS employee_id, count(*) AS messages, count(DISTINCT conversation_id) AS chats
    FROM messages
    WHERE kind = 'message' AND direction = 'outbound' AND room_id IS NULL AND dt IN (SELECT day FROM counted)
    GROUP BY ALL
),
refused AS (
    SELECT dt AS day, lower(employee_id) AS employee_id, count(*) AS records
    FROM withheld
    WHERE room_id IS NULL AND employee_id IS NOT NULL
    GROUP BY ALL
)
SELECT
    lake_corp_id() AS corp_id,
    day,
    employee_id,
    counted.chats,
    counted.messages,
    coalesce(kept.chats, 0) AS archived_chats,
    coalesce(kept.messages, 0) AS archived_messages,
    coalesce(refused.records, 0) AS withheld_records,
    CASE WHEN counted.messages IS NOT NULL THEN greatest(counted.messages - coalesce(kept.messages, 0) - coalesce(refused.records, 0), 0) END AS missing,
    counted.asked_at
FROM counted
LEFT JOIN kept USING (day, employee_id)
LEFT JOIN refused USING (day, employee_id);
