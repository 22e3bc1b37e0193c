-- In conversations where an employee spoke of buying: which of the things that must be disclosed did no employee speak of, within days of it?
WITH talks AS (
    SELECT
        conversation_id,
        arg_min(sender_id, (dt, seq)) AS employee_id,
        count(*) AS sales_messages,
        min(dt) AS first_day,
        max(dt) AS last_day,
        count(*) FILTER (sent_at IS NULL) AS without_time
    FROM messages
    WHERE dt BETWEEN $from_day AND $to_day AND kind = 'message' AND direction = 'outbound' AND sender_kind = 'employee'
        AND len(list_filter(string_split($sales, '|'), lambda word: word <> '' AND contains(text, word))) > 0
    GROUP BY conversation_id
),
said AS (
    SELECT conversation_id, seq, dt, text
    FROM messages
    WHERE dt BETWEEN $from_day - $days AND $to_day + $days AND kind = 'message' AND direction = 'outbound' AND sender_kind = 'employee'
        AND conversation_id IN (SELECT conversation_id FROM talks)
),
required AS (
    SELECT string_split(item, ',') AS ways, place
    FROM (SELECT unnest(string_split($required, '|')) AS item, generate_subscripts(string_split($required, '|'), 1) AS place)
    WHERE item <> ''
),
judged AS (
    SELECT
        t.conversation_id,
        r.ways[1] AS item,
        r.place,
        count(s.seq) FILTER (len(list_filter(r.ways, lambda way: way <> '' AND contains(s.text, way))) > 0) > 0 AS told
    FROM talks AS t
    CROSS JOIN required AS r
    LEFT JOIN said AS s ON s.conversation_id = t.conversation_id AND s.dt BETWEEN t.first_day - $days AND t.last_day + $days
    GROUP BY t.conversation_id, r.ways, r.place
),
answers AS (
    SELECT
        conversation_id,
        count(*) AS required,
        string_agg(item, '、' ORDER BY place) FILTER (told) AS said,
        string_agg(item, '、' ORDER BY place) FILTER (NOT told) AS missing,
        count(*) FILTER (NOT told) AS missing_count
    FROM judged
    GROUP BY conversation_id
)
SELECT t.employee_id, t.conversation_id, t.sales_messages, t.first_day, t.last_day, a.required, a.said, a.missing, a.missing_count, t.without_time
FROM talks AS t
JOIN answers AS a USING (conversation_id)
WHERE $show = 'all' OR a.missing_count > 0
ORDER BY a.missing_count DESC, t.sales_messages DESC, t.conversation_id;
