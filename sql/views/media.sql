-- Which files belong to archived messages, and were they fetched and verified? The highest state_no of a file counts.
CREATE VIEW media AS
SELECT
    lake_corp_id() AS corp_id,
    origin,
    seq,
    msgid,
    kind,
    sdkfileid,
    file_name,
    declared_size,
    declared_md5,
    status,
    sha256,
    size
FROM lake_media
QUALIFY row_number() OVER (PARTITION BY origin, seq, ref_no ORDER BY state_no DESC) = 1;
