-- Per employee: how often did a customer begin to speak in a single chat, and was he answered within the hours given?
-- A turn begins with a customer's message before which the employee spoke, or nobody. Recalls are no answer.
WITH talks AS (
    -- Conversations by number: sorting by numbers takes half as long as by ids.
    SELECT conversation_id, CAST(row_number() OVER () AS INTEGER) AS talk
    FROM (SELECT DISTINCT conversation_id FROM messages WHERE dt BETWEEN $from_day AND $to_day)
),
said AS (
    SELECT
        asked,
        sent_at,
        employee,
        lag(asked) OVER talking AS asked_before,
        -- What the employee said right before, and first after: of the same moment, the one before answers too.
        lag(sent_at) OVER talking AS said_before,
        lead(CASE WHEN NOT asked THEN sent_at END IGNORE NULLS) OVER talking AS said_after
    FROM (
        SELECT
            t.talk,
            m.direction = 'inbound' AS asked,
            m.sent_at,
            m.seq,
            CASE WHEN m.direction = 'inbound' THEN m.recipient_ids[1] END AS employee
        FROM messages AS m
        JOIN talks AS t ON t.conversation_id = m.conversation_id
        WHERE m.dt BETWEEN $from_day AND $to_day
            AND m.kind = 'message'
            AND m.room_id IS NULL
            AND m.direction IN ('inbound', 'outbound')
            AND m.sent_at IS NOT NULL
    )
    WINDOW talking AS (PARTITION BY talk ORDER BY sent_at, seq)
),
turns AS (
    SELECT employee, sent_at AS asked_at, CASE WHEN NOT asked_before AND said_before = sent_at THEN sent_at ELSE said_after END AS answered_at
    FROM said
    WHERE asked AND asked_before IS DISTINCT FROM TRUE
),
untimed AS (
    SELECT lower(CASE WHEN direction = 'outbound' THEN sender_id ELSE recipient_ids[1] END) AS employee, count(*) AS n
    FROM messages
    WHERE dt BETWEEN $from_day AND $to_day AND kind = 'message' AND room_id IS NULL AND direction IN ('inbound', 'outbound') AND sent_at IS NULL
    GROUP BY 1
)
SELECT
    min(t.employee) AS employee_id,
    count(*) AS questions,
    count(*) FILTER (answered_at <= asked_at + to_hours($hours)) AS answered,
    count(*) FILTER (answered_at IS NULL OR answered_at > asked_at + to_hours($hours)) AS unanswered,
    median(date_diff('minute', asked_at, answered_at)) FILTER (answered_at <= asked_at + to_hours($hours)) AS median_minutes,
    coalesce(max(u.n), 0) AS without_time
FROM turns AS t
LEFT JOIN untimed AS u ON u.employee = lower(t.employee)
GROUP BY lower(t.employee)
ORDER BY unanswered DESC, questions DESC, lower(min(t.employee));
