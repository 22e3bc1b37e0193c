-- Which conversations hold promises by an employee, and did an employee disclose the risk there within days of them?
-- Only messages of these conversations are read. Without a sending time a message stands under its day of capture.
WITH promises AS (
    SELECT origin, seq, msgid, conversation_id, employee_id, severity, dt
    FROM matches
    WHERE dt BETWEEN $from_day AND $to_day AND party = 'employee' AND list_contains(string_split($categories, '|'), category)
),
spans AS (
    SELECT
        conversation_id,
        lower(employee_id) AS who,
        min(employee_id) AS employee_id,
        count(*) AS promises,
        count(*) FILTER (severity = 'high') AS high,
        min(dt) AS first_day,
        max(dt) AS last_day,
        arg_min(msgid, (dt, seq)) AS msgid,
        list(DISTINCT dt) AS days,
        list(DISTINCT {'origin': origin, 'seq': seq}) AS places
    FROM promises
    GROUP BY conversation_id, lower(employee_id)
),
disclosures AS (
    SELECT conversation_id, origin, seq, dt
    FROM messages
    WHERE dt BETWEEN $from_day - $days AND $to_day + $days
        AND kind = 'message'
        AND sender_kind = 'employee'
        AND conversation_id IN (SELECT conversation_id FROM spans)
        -- One expression of all words, null where there is none: a text is gone through once, and not once for each word.
        AND regexp_matches(
            text,
            nullif(array_to_string(list_transform(list_filter(string_split($disclosures, '|'), lambda w: w <> ''), lambda w: regexp_escape(w)), '|'), '')
        )
),
untimed AS (
    SELECT p.conversation_id, lower(p.employee_id) AS who, count(DISTINCT (t.origin, t.seq)) AS n
    FROM promises AS p
    JOIN messages AS t ON t.origin = p.origin AND t.seq = p.seq
    WHERE t.sent_at IS NULL
        AND t.dt BETWEEN $from_day - $days AND $to_day + $days
        AND t.kind = 'message'
        AND t.sender_kind = 'employee'
        AND t.conversation_id IN (SELECT conversation_id FROM spans)
    GROUP BY ALL
)
SELECT
    s.employee_id,
    s.conversation_id,
    s.promises,
    s.high,
    s.first_day,
    s.last_day,
    count(DISTINCT (d.origin, d.seq)) FILTER (d.seq IS NOT NULL) AS disclosures,
    max(d.dt) AS disclosed_on,
    count(d.seq) > 0 AS disclosed,
    s.msgid,
    coalesce(any_value(u.n), 0) AS without_time
FROM spans AS s
LEFT JOIN disclosures AS d
    ON d.conversation_id = s.conversation_id
    AND len(list_filter(s.days, lambda day: abs(date_diff('day', day, d.dt)) <= $days)) > 0
    AND NOT list_contains(s.places, {'origin': d.origin, 'seq': d.seq})
LEFT JOIN untimed AS u ON u.conversation_id = s.conversation_id AND u.who = s.who
GROUP BY s.employee_id, s.conversation_id, s.promises, s.high, s.first_day, s.last_day, s.msgid
HAVING $show = 'all' OR count(d.seq) = 0
ORDER BY disclosed, s.high DESC, s.promises DESC, s.conversation_id, lower(s.employee_id);
