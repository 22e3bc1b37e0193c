-- Per employee: with how many customers did they talk alone, on what consent, and how much was withheld?
-- Single chats tell the customers: there the pair decides. A customer counts under the consent of the newest message.
-- In a room the consent is one per room and person; such messages count as rooms, and what was withheld there has no
-- employee (the last row).
WITH chats AS (
    -- One row for those who talk in one way: everything below is counted from these, and not from the messages one by one.
    SELECT
        direction,
        sender_id,
        CASE WHEN room_id IS NULL THEN recipient_ids END AS others,
        room_id,
        consent,
        count(*) AS messages,
        count(*) FILTER (sent_at IS NULL) AS without_time,
        -- The newest: by time, origin and seq, as one number.
        max((CAST(epoch_ms(coalesce(sent_at, captured_at)) AS HUGEINT) * 2 + CAST(origin = 'sealed' AS HUGEINT)) * 18446744073709551616 + seq) AS place
    FROM messages
    WHERE dt BETWEEN $from_day AND $to_day
        AND kind = 'message'
        AND (direction = 'outbound' OR (direction = 'inbound' AND room_id IS NULL))
    GROUP BY ALL
),
single AS (SELECT direction, sender_id, unnest(others) AS other_id, consent, place FROM chats WHERE room_id IS NULL),
pairs AS (
    SELECT who, customer_id, arg_max(consent, place) AS consent
    FROM (
        SELECT
            lower(CASE direction WHEN 'outbound' THEN sender_id ELSE other_id END) AS who,
            CASE direction WHEN 'outbound' THEN other_id ELSE sender_id END AS customer_id,
            consent,
            place
        FROM single
    )
    WHERE customer_id IS NOT NULL
    GROUP BY who, customer_id
),
by_pair AS (
    SELECT
        who,
        count(*) AS customers,
        count(*) FILTER (consent = 'agree') AS agree,
        count(*) FILTER (consent = 'default_agree') AS default_agree,
        count(*) FILTER (consent = 'unknown') AS unknown,
        count(*) FILTER (consent = 'not_required') AS not_required
    FROM pairs
    GROUP BY who
),
spoken AS (
    SELECT lower(sender_id) AS who, sender_id AS employee_id, room_id, messages, without_time
    FROM chats
    WHERE direction = 'outbound' AND (room_id IS NOT NULL OR len(others) > 0)
    UNION ALL
    -- Of two ways to write one employee the message counts once: under the first of them.
    SELECT lower(other_id), min(other_id), NULL, any_value(messages), any_value(without_time)
    FROM (SELECT unnest(others) AS other_id, messages, without_time, chat FROM (SELECT *, row_number() OVER () AS chat FROM chats WHERE direction = 'inbound'))
    GROUP BY chat, lower(other_id)
),
by_message AS (
    SELECT
        who,
        min(employee_id) AS employee_id,
        count(DISTINCT room_id) AS rooms,
        CAST(sum(messages) AS BIGINT) AS messages,
        CAST(sum(without_time) AS BIGINT) AS without_time
    FROM spoken
    GROUP BY who
),
refused AS (
    SELECT lower(employee_id) AS who, min(employee_id) AS employee_id, count(*) AS withheld
    FROM withheld
    WHERE dt BETWEEN $from_day AND $to_day
    GROUP BY lower(employee_id)
),
changes AS (
    SELECT lower(userid) AS who, max(coalesce(changed_at, recorded_at)) AS last_change
    FROM consent
    WHERE userid IS NOT NULL
        AND CAST(timezone('Asia/Shanghai', coalesce(changed_at, recorded_at)) AS DATE) <= $to_day
    GROUP BY lower(userid)
)
SELECT
    coalesce(m.employee_id, r.employee_id) AS employee_id,
    coalesce(p.customers, 0) AS customers,
    coalesce(p.agree, 0) AS agree,
    coalesce(p.default_agree, 0) AS default_agree,
    coalesce(p.unknown, 0) AS unknown,
    coalesce(p.not_required, 0) AS not_required,
    coalesce(r.withheld, 0) AS withheld,
    coalesce(m.rooms, 0) AS rooms,
    coalesce(m.messages, 0) AS messages,
    c.last_change,
    coalesce(m.without_time, 0) AS without_time
FROM by_message AS m
FULL JOIN refused AS r ON r.who = m.who
LEFT JOIN by_pair AS p ON p.who = m.who
LEFT JOIN changes AS c ON c.who = coalesce(m.who, r.who)
ORDER BY coalesce(m.who, r.who) NULLS LAST;
