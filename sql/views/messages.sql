-- What was said, by whom, to whom, when, in which conversation; was it recalled, and on what consent was it kept?
-- One row per active archived message or recall. text and parts are masked; raw needs the role.
-- The earliest recall counts; one without a time comes after those with one.
-- Filters on the columns of messages reach the scan of the files. HAVING drops nothing: without it DuckDB, which knows the
-- size of neither side, may hold the messages in memory and stream the recalls past them (here and in other views).
CREATE VIEW messages AS
SELECT
    lake_corp_id() AS corp_id,
    m.seq,
    m.msgid,
    m.kind,
    m.action,
    m.msgtype,
    m.sent_at,
    m.sender_id,
    m.sender_kind,
    m.recipient_ids,
    m.room_id,
    m.conversation_id,
    m.direction,
    m.text,
    m.parts,
    m.raw,
    recall.earliest.recalled_at AS recalled_at,
    recall.earliest.recalled_by AS recalled_by,
    m.recalls_msgid,
    m.consent,
    m.consent_source,
    m.lawful_basis,
    m.key_version,
    m.origin,
    m.captured_at,
    m.ingested_at,
    m.dt,
    m.dt_basis
FROM lake_messages AS m
LEFT JOIN (
    SELECT
        original_msgid,
        arg_min(
            {'recalled_at': recalled_at, 'recalled_by': recalled_by},
            (coalesce(recalled_at, TIMESTAMPTZ 'infinity'), seq)
        ) AS earliest
    FROM lake_recalls
    GROUP BY original_msgid
    HAVING count(*) > 0
) AS recall
    ON recall.original_msgid = m.msgid;
