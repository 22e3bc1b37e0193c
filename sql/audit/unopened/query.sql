-- What could not be opened or settled, by key version and code, since when, and what is to be done?
-- What to do is told as elsewhere (pipeline/errors.py, schemas/words.yaml); a test compares them code by code.
WITH remedies (code, to_do_zh, to_do_en) AS (
    VALUES
        ('PAGE_CUT', '重新保存该应答，或重新拉取这一段', 'save the answer again or pull the range again'),
        ('PAGE_UNREADABLE', '核对给出的是哪个文件', 'check which file was given'),
        ('SOURCE_ERRCODE', '在 docs/formats.md 中查对 errcode', 'look the errcode up in docs/formats.md'),
        ('ITEM_MALFORMED', '请反馈：来源不会发送这样的记录', 'report it: the source does not send such records'),
        ('SEQ_RANGE', '请反馈：来源不会发送这样的记录', 'report it: the source does not send such records'),
        ('SEQ_CONFLICT', '查明该页从何而来；两份均已保留', 'find out where the page came from; both are kept'),
        ('MSGID_CONFLICT', '查明该页从何而来；两份均已保留', 'find out where the page came from; both are kept'),
        ('KEY_MISSING', '先 `liuhen keys add --version N`，再 `liuhen ingest`', '`liuhen keys add --version N`, then `liuhen ingest`'),
        ('KEY_WRONG', '核对该版本的密钥，添加正确的密钥后再 `liuhen ingest`', 'check the key of this version, add the right one, then `liuhen ingest`'),
        ('KEY_BLOCK_MALFORMED', '请反馈：记录在保存之前已经损坏', 'report it: the record was damaged before it was saved'),
        ('ENVELOPE_MALFORMED', '请反馈：记录在保存之前已经损坏', 'report it: the record was damaged before it was saved'),
        ('UNDECRYPTABLE', '核对该版本的密钥；密文原件已保留', 'check the key of this version; the sealed bytes are kept'),
        ('MSGID_MISMATCH', '查明该页从何而来；密文原件已保留', 'find out where the page came from; the sealed bytes are kept'),
        ('MESSAGE_NOT_JSON', '密文原件已保留；请反馈', 'the sealed bytes are kept; report it'),
        ('MESSAGE_NOT_UTF8', '密文原件已保留；请反馈', 'the sealed bytes are kept; report it'),
        ('MESSAGE_TOO_DEEP', '密文原件已保留；请反馈', 'the sealed bytes are kept; report it'),
        ('MESSAGE_TOO_LARGE', '密文原件已保留；请反馈', 'the sealed bytes are kept; report it'),
        ('MESSAGE_MALFORMED', '密文原件已保留；请反馈', 'the sealed bytes are kept; report it')
)
SELECT
    f.key_version,
    f.code,
    f.step,
    count(*) AS records,
    count(*) FILTER (f.seq IS NULL) AS without_seq,
    count(DISTINCT f.page) AS pages,
    max(f.attempts) AS attempts,
    min(f.first_seen) AS first_seen,
    max(f.last_seen) AS last_seen,
    coalesce(any_value(r.to_do_zh), '密文原件已保留；请反馈') AS to_do_zh,
    coalesce(any_value(r.to_do_en), 'the sealed bytes are kept; report it') AS to_do_en
FROM failures AS f
LEFT JOIN remedies AS r ON r.code = f.code
WHERE $key_version IS NULL OR f.key_version = $key_version
GROUP BY f.key_version, f.code, f.step
ORDER BY f.key_version NULLS LAST, records DESC, f.code, f.step;
