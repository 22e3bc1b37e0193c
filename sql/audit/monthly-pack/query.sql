-- What does the letter say that goes in front of a month's pack for the regulator: what came in and what became of it, what is missing, what was not looked into?
WITH came AS (
    SELECT
        coalesce(sum(landed), 0) AS landed,
        coalesce(sum(archived), 0) AS archived,
        coalesce(sum(pending), 0) AS pending,
        coalesce(sum(withheld), 0) AS withheld,
        coalesce(sum(failed), 0) AS failed,
        coalesce(sum(control), 0) AS control,
        coalesce(sum(duplicate), 0) AS duplicate
    FROM page_fates
    WHERE day BETWEEN $from_day AND $to_day
),
said AS (
    SELECT
        count(*) FILTER (kind = 'message') AS messages,
        count(*) FILTER (kind = 'recall') AS recalls,
        count(*) FILTER (kind = 'message' AND sent_at IS NULL) AS without_time
    FROM messages
    WHERE dt BETWEEN $from_day AND $to_day
),
-- Who is different is told by grouping ids as they come, by number: two thirds of the time of counting all of them with the rest.
talking AS (
    SELECT count(conversation_id) AS conversations
    FROM (SELECT DISTINCT conversation_id FROM messages WHERE dt BETWEEN $from_day AND $to_day)
),
writing AS (
    SELECT count(DISTINCT lower(sender_id)) AS employees
    FROM (SELECT DISTINCT sender_id FROM messages WHERE dt BETWEEN $from_day AND $to_day AND sender_kind = 'employee')
),
missing AS (
    SELECT count(*) AS gaps, count(*) FILTER (acknowledged_by IS NULL) AS gaps_open
    FROM gaps
    WHERE
        coalesce(CAST(timezone('Asia/Shanghai', to_at) AS DATE) >= $from_day, TRUE)
        AND coalesce(CAST(timezone('Asia/Shanghai', from_at) AS DATE) <= $to_day, TRUE)
),
broken AS (
    SELECT count(*) AS failed_now, count(*) FILTER (CAST(timezone('Asia/Shanghai', first_seen) AS DATE) BETWEEN $from_day AND $to_day) AS failed_then
    FROM failures
),
held AS (
    SELECT
        (SELECT count(*) FROM withheld WHERE dt BETWEEN $from_day AND $to_day) AS withheld_now,
        (SELECT count(*) FROM pending WHERE dt BETWEEN $from_day AND $to_day) AS pending_now,
        (SELECT count(*) FROM restricted WHERE dt BETWEEN $from_day AND $to_day) AS restricted_now
),
unread AS (
    SELECT
        coalesce(sum(f.n) FILTER (f.kind IN ('image', 'emotion')), 0) AS pictures,
        coalesce(sum(f.n) FILTER (f.kind IN ('voice', 'meeting_voice_call')), 0) AS voice,
        coalesce(sum(f.n) FILTER (f.kind = 'video'), 0) AS videos,
        coalesce(sum(f.n) FILTER (f.kind NOT IN ('image', 'emotion', 'voice', 'meeting_voice_call', 'video')), 0) AS files,
        coalesce(sum(f.n) FILTER (f.status NOT IN ('verified', 'unverifiable')), 0) AS unfetched
    FROM messages AS m
    -- HAVING drops nothing: with it DuckDB holds the files in memory, which are few, and not the messages.
    JOIN (SELECT origin, seq, kind, status, count(*) AS n FROM media GROUP BY ALL HAVING count(*) > 0) AS f ON f.origin = m.origin AND f.seq = m.seq
    WHERE m.dt BETWEEN $from_day AND $to_day
),
found AS (
    SELECT
        count(*) AS findings,
        count(*) FILTER (f.severity = 'high') AS findings_high,
        count(*) FILTER (r.finding_id IS NOT NULL) AS decided
    FROM matches AS f
    LEFT JOIN (SELECT DISTINCT finding_id FROM reviews WHERE decision IN ('violation', 'not_violation')) AS r ON r.finding_id = f.finding_id
    WHERE f.dt BETWEEN $from_day AND $to_day
),
told AS (
    SELECT
        unnest([
            {'no': 1, 'part': 'landed', 'fact': 'landed', 'fact_zh': '收到', 'fact_en': 'landed', 'value': CAST(landed AS BIGINT), 'without_time': CAST(NULL AS BIGINT)},
            {'no': 2, 'part': 'landed', 'fact': 'archived', 'fact_zh': '已归档', 'fact_en': 'archived', 'value': CAST(archived AS BIGINT), 'without_time': CAST(NULL AS BIGINT)},
            {'no': 3, 'part': 'landed', 'fact': 'pending', 'fact_zh': '待决', 'fact_en': 'pending', 'value': CAST(pending AS BIGINT), 'without_time': CAST(NULL AS BIGINT)},
            {'no': 4, 'part': 'landed', 'fact': 'withheld', 'fact_zh': '已拒存', 'fact_en': 'withheld', 'value': CAST(withheld AS BIGINT), 'without_time': CAST(NULL AS BIGINT)},
            {'no': 5, 'part': 'landed', 'fact': 'failed', 'fact_zh': '失败', 'fact_en': 'failed', 'value': CAST(failed AS BIGINT), 'without_time': CAST(NULL AS BIGINT)},
            {'no': 6, 'part': 'landed', 'fact': 'control', 'fact_zh': '控制', 'fact_en': 'control', 'value': CAST(control AS BIGINT), 'without_time': CAST(NULL AS BIGINT)},
            {'no': 7, 'part': 'landed', 'fact': 'duplicate', 'fact_zh': '重复', 'fact_en': 'duplicate', 'value': CAST(duplicate AS BIGINT), 'without_time': CAST(NULL AS BIGINT)},
            {'no': 8, 'part': 'archived', 'fact': 'messages', 'fact_zh': '消息', 'fact_en': 'messages', 'value': CAST(messages AS BIGINT), 'without_time': CAST(without_time AS BIGINT)},
            {'no': 9, 'part': 'archived', 'fact': 'conversations', 'fact_zh': '会话', 'fact_en': 'conversations', 'value': CAST(conversations AS BIGINT), 'without_time': CAST(NULL AS BIGINT)},
            {'no': 10, 'part': 'archived', 'fact': 'employees', 'fact_zh': '发过消息的员工', 'fact_en': 'employees who wrote', 'value': CAST(employees AS BIGINT), 'without_time': CAST(NULL AS BIGINT)},
            {'no': 11, 'part': 'archived', 'fact': 'recalls', 'fact_zh': '撤回操作', 'fact_en': 'recalls', 'value': CAST(recalls AS BIGINT), 'without_time': CAST(NULL AS BIGINT)},
            {'no': 12, 'part': 'archived', 'fact': 'without_time', 'fact_zh': '其中发送时间未知', 'fact_en': 'of which without a sending time', 'value': CAST(without_time AS BIGINT), 'without_time': CAST(NULL AS BIGINT)},
            {'no': 13, 'part': 'missing', 'fact': 'gaps', 'fact_zh': '缺口', 'fact_en': 'gaps', 'value': CAST(gaps AS BIGINT), 'without_time': CAST(NULL AS BIGINT)},
            {'no': 14, 'part': 'missing', 'fact': 'gaps_open', 'fact_zh': '其中未确认', 'fact_en': 'of which nobody has taken note', 'value': CAST(gaps_open AS BIGINT), 'without_time': CAST(NULL AS BIGINT)},
            {'no': 15, 'part': 'missing', 'fact': 'failed', 'fact_zh': '期间首次出现的失败', 'fact_en': 'failures first met in the period', 'value': CAST(failed_then AS BIGINT), 'without_time': CAST(NULL AS BIGINT)},
            {'no': 16, 'part': 'missing', 'fact': 'failed_now', 'fact_zh': '现存失败（全部期间）', 'fact_en': 'failures standing now (all times)', 'value': CAST(failed_now AS BIGINT), 'without_time': CAST(NULL AS BIGINT)},
            {'no': 17, 'part': 'held', 'fact': 'withheld', 'fact_zh': '已拒存', 'fact_en': 'withheld', 'value': CAST(withheld_now AS BIGINT), 'without_time': CAST(NULL AS BIGINT)},
            {'no': 18, 'part': 'held', 'fact': 'pending', 'fact_zh': '待决', 'fact_en': 'pending', 'value': CAST(pending_now AS BIGINT), 'without_time': CAST(NULL AS BIGINT)},
            {'no': 19, 'part': 'held', 'fact': 'restricted', 'fact_zh': '受限', 'fact_en': 'restricted', 'value': CAST(restricted_now AS BIGINT), 'without_time': CAST(NULL AS BIGINT)},
            {'no': 20, 'part': 'uninspected', 'fact': 'pictures', 'fact_zh': '图片与表情', 'fact_en': 'pictures and stickers', 'value': CAST(pictures AS BIGINT), 'without_time': CAST(NULL AS BIGINT)},
            {'no': 21, 'part': 'uninspected', 'fact': 'voice', 'fact_zh': '语音与通话录音', 'fact_en': 'voice and call recordings', 'value': CAST(voice AS BIGINT), 'without_time': CAST(NULL AS BIGINT)},
            {'no': 22, 'part': 'uninspected', 'fact': 'videos', 'fact_zh': '视频', 'fact_en': 'videos', 'value': CAST(videos AS BIGINT), 'without_time': CAST(NULL AS BIGINT)},
            {'no': 23, 'part': 'uninspected', 'fact': 'files', 'fact_zh': '文件（只检查文件名）', 'fact_en': 'files (only their names are read)', 'value': CAST(files AS BIGINT), 'without_time': CAST(NULL AS BIGINT)},
            {'no': 24, 'part': 'uninspected', 'fact': 'unfetched', 'fact_zh': '其中未取得或与声明不符的文件', 'fact_en': 'of all, not fetched or not as declared', 'value': CAST(unfetched AS BIGINT), 'without_time': CAST(NULL AS BIGINT)},
            {'no': 25, 'part': 'findings', 'fact': 'findings', 'fact_zh': '命中', 'fact_en': 'findings', 'value': CAST(findings AS BIGINT), 'without_time': CAST(NULL AS BIGINT)},
            {'no': 26, 'part': 'findings', 'fact': 'findings_high', 'fact_zh': '其中高风险', 'fact_en': 'of which high', 'value': CAST(findings_high AS BIGINT), 'without_time': CAST(NULL AS BIGINT)},
            {'no': 27, 'part': 'findings', 'fact': 'decided', 'fact_zh': '已有结论', 'fact_en': 'decided', 'value': CAST(decided AS BIGINT), 'without_time': CAST(NULL AS BIGINT)}
        ]) AS line
    FROM came, said, talking, writing, missing, broken, held, unread, found
)
SELECT line.part, line.fact, line.fact_zh, line.fact_en, line.value, line.without_time FROM told ORDER BY line.no;
