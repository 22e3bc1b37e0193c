-- Per employee: how often did a customer begin to speak in a single chat, and was he answered within the hours given?
-- A turn begins with a customer's message before which the employee spoke, or nobody. Recalls are no answer.
WITH said AS (
    SELECT
        conversation_id,
        direction,
        sent_at,
        employee,
        lag(direction) OVER talk AS before,
        -- What the employee said right before, and first after: of the same moment, the one before answers too.
        lag(sent_at) OVER talk AS said_before,
        lead(CASE WHEN direction = 'outbound' THEN sent_at END IGNORE NULLS) OVER talk AS said_after
    FROM (
        SELECT conversation_id, direction, sent_at, seq, CASE WHEN direction = 'inbound' THEN recipient_ids[1] END AS employee
        FROM messages
        WHERE dt BETWEEN $from_day AND $to_day AND kind = 'message' AND room_id IS NULL AND direction IN ('inbound', 'outbound') AND sent_at IS NOT NULL
    )
    WINDOW talk AS (PARTITION BY conversation_id ORDER BY sent_at, seq)
),
turns AS (
    SELECT employee, sent_at AS asked_at, CASE WHEN before = 'outbound' AND said_before = sent_at THEN sent_at ELSE said_after END AS answered_at
    FROM said
    WHERE direction = 'inbound' AND before IS DISTINCT FROM 'inbound'
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
