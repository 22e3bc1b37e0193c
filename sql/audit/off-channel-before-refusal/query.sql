-- In the days before a customer refused: which findings of a category (by default moving to another channel) lie in that chat?
SELECT
    c.userid,
    c.external_userid,
    c.changed_at AS refused_at,
    m.msgid,
    m.dt,
    date_diff('day', m.dt, CAST(timezone('Asia/Shanghai', c.changed_at) AS DATE)) AS days_before,
    m.rule_id,
    m.term
FROM consent_scopes AS c
JOIN matches AS m ON lower(m.employee_id) = lower(c.userid) AND m.customer_id = c.external_userid
WHERE c.status = 'Disagree' AND c.room_id IS NULL AND c.changed_at IS NOT NULL
    AND m.category = $category AND m.party = 'employee'
    AND date_diff('day', m.dt, CAST(timezone('Asia/Shanghai', c.changed_at) AS DATE)) BETWEEN 0 AND $days
ORDER BY c.changed_at, c.external_userid, m.dt, m.msgid, m.rule_id, m.term;
