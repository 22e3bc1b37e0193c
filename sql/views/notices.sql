-- What were people told about the archive, and when? Greetings and cards of first contacts, employees' notices, versions of the notice text, by digest.
CREATE VIEW notices AS
SELECT
    lake_corp_id() AS corp_id,
    notice_id,
    notice,
    userid,
    external_userid,
    source_msgid,
    document_digest,
    document_version,
    n.at AS at,
    recorded_at
FROM lake_notices AS n
QUALIFY row_number() OVER (PARTITION BY notice_id ORDER BY recorded_at) = 1;
