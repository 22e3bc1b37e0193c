-- After a customer refused: on which days does WeCom count more single chats of that employee than the archive has?
WITH refusals AS (
    SELECT lower(userid) AS who, min(coalesce(changed_at, recorded_at)) AS first_refusal
    FROM consent_scopes
    WHERE room_id IS NULL AND status = 'Disagree'
    GROUP BY lower(userid)
)
SELECT b.employee_id, b.day, r.first_refusal, b.chats, b.archived_chats, b.missing
FROM behaviour AS b
JOIN refusals AS r ON r.who = lower(b.employee_id)
WHERE b.day BETWEEN $from_day AND $to_day
    AND b.day >= CAST(timezone('Asia/Shanghai', r.first_refusal) AS DATE)
    AND b.chats > b.archived_chats
ORDER BY b.missing DESC NULLS LAST, b.employee_id, b.day;
