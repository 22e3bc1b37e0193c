-- How many messages of the period are archived, by what is asked for? The department is that of the sender when the message was sent.
WITH staff AS (
    SELECT
        lower(userid) AS who,
        department,
        coalesce(CAST(timezone('Asia/Shanghai', valid_from) AS DATE), DATE '1970-01-01') AS first_day,
        coalesce(CAST(timezone('Asia/Shanghai', valid_to) AS DATE), DATE '9999-12-31') AS next_day
    FROM people
    WHERE kind = 'employee' AND $by = 'department'
),
said AS (
    SELECT
        dt,
        CASE $by WHEN 'msgtype' THEN msgtype END AS msgtype,
        CASE WHEN $by IN ('employee', 'department') AND sender_kind = 'employee' THEN lower(sender_id) END AS who,
        conversation_id,
        count(*) AS messages,
        count(*) FILTER (direction = 'outbound') AS outbound,
        count(*) FILTER (direction = 'inbound') AS inbound,
        count(*) FILTER (direction = 'internal') AS internal,
        count(*) FILTER (recalled_by IS NOT NULL) AS recalled,
        count(*) FILTER (sent_at IS NULL) AS without_time
    FROM messages
    WHERE dt BETWEEN $from_day AND $to_day AND kind = 'message'
    GROUP BY ALL
),
placed AS (
    SELECT
        said.*,
        CASE $by
            WHEN 'day' THEN strftime(dt, '%Y-%m-%d')
            WHEN 'month' THEN strftime(dt, '%Y-%m')
            WHEN 'employee' THEN who
            WHEN 'department' THEN (
                SELECT arg_max(s.department, s.first_day) FROM staff AS s WHERE s.who = said.who AND said.dt >= s.first_day AND said.dt < s.next_day
            )
            ELSE msgtype
        END AS value
    FROM said
)
SELECT
    value,
    CAST(sum(messages) AS BIGINT) AS messages,
    CAST(sum(outbound) AS BIGINT) AS outbound,
    CAST(sum(inbound) AS BIGINT) AS inbound,
    CAST(sum(internal) AS BIGINT) AS internal,
    count(DISTINCT conversation_id) AS conversations,
    CAST(sum(recalled) AS BIGINT) AS recalled,
    CAST(sum(without_time) AS BIGINT) AS without_time
FROM placed
GROUP BY value
ORDER BY CASE WHEN $by IN ('day', 'month') THEN value END, messages DESC, value NULLS LAST;
