-- Which answers of the source were received, by pull or as saved files, and what is the digest of each?
-- page is what the operator calls it; digest is the SHA-256 (hex) of the answer as received.
CREATE VIEW pulls AS
SELECT
    lake_corp_id() AS corp_id,
    name AS page,
    first_seq,
    last_seq,
    records,
    captured_at,
    page AS digest,
    requested_seq,
    answer_code,
    library,
    clock_offset_ms
FROM lake_pages
WHERE source IN ('pull', 'file');
