-- Which employees chatted on a day, and did they have a seat? Who has a seat and did not chat?
-- Days without a snapshot of the seats are not here. Without a seat a chat is kept only when the other side has one.
CREATE VIEW seat_coverage AS
WITH snapshots AS (SELECT DISTINCT day FROM lake_seats),
licensed AS (SELECT DISTINCT day, lower(userid) AS employee_id FROM seats),
chatting AS (
    SELECT dt AS day, lower(sender_id) AS employee_id, count(*) AS messages
    FROM messages
    WHERE sender_kind = 'employee' AND kind = 'message' AND dt IN (SELECT day FROM snapshots)
    GROUP BY ALL
)
SELECT
    lake_corp_id() AS corp_id,
    day,
    employee_id,
    l.employee_id IS NOT NULL AS licensed,
    coalesce(c.messages, 0) AS messages
FROM licensed AS l
FULL JOIN chatting AS c USING (day, employee_id);
