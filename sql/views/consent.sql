-- Who agreed or refused to be archived, towards whom or in which room, when, and how do we know?
-- Events as received, not judged (`liuhen consent explain MSGID` judges). An undone import and its undoing are left out.
CREATE VIEW consent AS
SELECT
    lake_corp_id() AS corp_id,
    userid,
    room_id,
    external_userid,
    status,
    changed_at,
    precision,
    source,
    source_msgid,
    recorded_at
FROM lake_consent
WHERE undoes IS NULL
    AND (batch IS NULL OR batch NOT IN (SELECT undoes FROM lake_consent WHERE undoes IS NOT NULL));
