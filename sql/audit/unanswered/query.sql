-- Per employee: how often did a customer begin to speak in a single chat, and was he answered within the hours given?
-- A turn begins with a customer's message before which the employee spoke, or nobody. Recalls are no answer.
-- Turns of the period count. What is read reaches beyond it by the days of the limit: an answer after it is in time, and who spoke before it had begun.
WITH talks AS (
    -- Conversations by number: sorting by numbers takes half as long as by ids.
    SELECT conversation_id, CAST(row_number() OVER () AS INTEGER) AS talk
    FROM (SELECT DISTINCT conversation_id FROM messages WHERE dt BETWEEN $from_day AND $to_day)
),
said AS (
    -- In this order, `OVER ()` looks at the row before and after as they pass by: half the time of windows that sort for themselves.
    SELECT talk, asked, us, employee
    FROM (
        SELECT
            t.talk,
            m.direction = 'inbound' AS asked,
            epoch_us(m.sent_at) AS us,
            m.seq,
            CASE WHEN m.direction = 'inbound' THEN m.recipient_ids[1] END AS employee
        FROM messages AS m
        JOIN talks AS t ON t.conversation_id = m.conversation_id
        WHERE m.dt BETWEEN $from_day - ($hours + 23) // 24 AND $to_day + ($hours + 23) // 24
            AND m.kind = 'message'
            AND m.room_id IS NULL
            AND m.direction IN ('inbound', 'outbound')
            AND m.sent_at IS NOT NULL
    )
    ORDER BY talk, us, seq
),
begun AS (
    -- Where somebody else begins to speak. said_before: when the other one spoke last.
    SELECT talk, asked, us, employee, CASE WHEN talk_before = talk THEN us_before END AS said_before
    FROM (SELECT *, lag(talk) OVER () AS talk_before, lag(asked) OVER () AS asked_before, lag(us) OVER () AS us_before FROM said)
    WHERE talk_before IS DISTINCT FROM talk OR asked_before <> asked
),
turns AS (
    -- What the employee said right before, and first after: of the same moment, the one before answers too.
    SELECT employee, us AS asked_at, CASE WHEN said_before = us THEN us WHEN next_talk = talk THEN next_us END AS answered_at
    FROM (SELECT *, lead(talk) OVER () AS next_talk, lead(us) OVER () AS next_us FROM begun)
    WHERE asked AND us >= epoch_us(timezone('Asia/Shanghai', CAST($from_day AS TIMESTAMP))) AND us < epoch_us(timezone('Asia/Shanghai', CAST($to_day + 1 AS TIMESTAMP)))
),
waits AS (
    -- Whole minutes as clocks show them: date_diff takes ten times as long.
    SELECT employee, coalesce(answered_at - asked_at <= epoch_us(to_hours($hours)), FALSE) AS answered, answered_at // 60000000 - asked_at // 60000000 AS minutes
    FROM turns
),
told AS (
    SELECT
        lower(employee) AS folded,
        min(employee) AS employee_id,
        count(*) AS questions,
        count(*) FILTER (answered) AS answered,
        count(*) FILTER (NOT answered) AS unanswered,
        median(minutes) FILTER (answered) AS median_minutes
    FROM waits
    GROUP BY lower(employee)
),
untimed AS (
    SELECT lower(CASE WHEN direction = 'outbound' THEN sender_id ELSE recipient_ids[1] END) AS employee, count(*) AS n
    FROM messages
    WHERE dt BETWEEN $from_day AND $to_day AND kind = 'message' AND room_id IS NULL AND direction IN ('inbound', 'outbound') AND sent_at IS NULL
    GROUP BY 1
)
SELECT t.employee_id, t.questions, t.answered, t.unanswered, t.median_minutes, coalesce(u.n, 0) AS without_time
FROM told AS t
LEFT JOIN untimed AS u ON u.employee = t.folded
ORDER BY t.unanswered DESC, t.questions DESC, lower(t.employee_id);
