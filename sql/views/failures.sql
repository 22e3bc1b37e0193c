-- What could not be settled, in which step, why, and since when? detail never quotes a record.
-- page is what the operator calls it, as in pulls. seq and msgid are null for the broken rest of a page.
CREATE VIEW failures AS
SELECT
    lake_corp_id() AS corp_id,
    r.origin,
    coalesce(p.name, r.page) AS page,
    r.seq,
    r.msgid,
    r.step,
    r.code,
    r.detail,
    r.key_version,
    r.attempts,
    r.first_seen,
    r.settled_at AS last_seen
FROM lake_rest_records AS r
LEFT JOIN lake_pages AS p ON p.page = r.page
WHERE r.fate = 'failed';
