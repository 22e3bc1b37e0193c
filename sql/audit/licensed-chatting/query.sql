-- Who chatted on days without a seat, and who had a seat and did not chat? Only days on which the seats were asked for can be judged.
WITH days AS (
    SELECT day, employee_id, licensed, messages
    FROM seat_coverage
    WHERE day BETWEEN $from_day AND $to_day
),
untimed AS (
    SELECT lower(sender_id) AS employee_id, count(*) AS n
    FROM messages
    WHERE dt BETWEEN $from_day AND $to_day AND kind = 'message' AND sender_kind = 'employee' AND sent_at IS NULL AND dt IN (SELECT day FROM days)
    GROUP BY 1
),
staff AS (
    SELECT lower(userid) AS employee_id, department
    FROM people
    WHERE kind = 'employee'
        AND coalesce(CAST(timezone('Asia/Shanghai', valid_from) AS DATE), DATE '1970-01-01') <= (SELECT max(day) FROM days)
    QUALIFY row_number() OVER (PARTITION BY lower(userid) ORDER BY valid_from DESC NULLS LAST) = 1
)
SELECT
    any_value(s.department) AS department,
    d.employee_id,
    count(*) FILTER (NOT d.licensed AND d.messages > 0) AS unlicensed_days,
    CAST(coalesce(sum(d.messages) FILTER (NOT d.licensed), 0) AS BIGINT) AS unlicensed_messages,
    count(*) FILTER (d.licensed AND d.messages > 0) AS licensed_days,
    count(*) FILTER (d.licensed AND d.messages = 0) AS silent_days,
    (SELECT count(DISTINCT day) FROM days) AS days_asked,
    min(d.day) FILTER (NOT d.licensed AND d.messages > 0) AS first_unlicensed,
    max(d.day) FILTER (NOT d.licensed AND d.messages > 0) AS last_unlicensed,
    coalesce(any_value(u.n), 0) AS without_time
FROM days AS d
LEFT JOIN untimed AS u ON u.employee_id = d.employee_id
LEFT JOIN staff AS s ON s.employee_id = d.employee_id
GROUP BY d.employee_id
ORDER BY unlicensed_days DESC, silent_days DESC, d.employee_id;
