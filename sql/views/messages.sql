-- What was said, by whom, to whom, when, in which conversation; was it recalled, and on what consent was it kept?
-- One row per active archived message or recall. text and parts are masked; raw needs the role.
-- Filters on the columns of messages reach the scan of the files.
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
    m.recalled_at,
    m.recalled_by,
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
FROM lake_messages_recalled AS m;
