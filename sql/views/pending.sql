-- Which records wait, sealed, for a decision about consent, and since when? No content.
CREATE VIEW pending AS
SELECT
    lake_corp_id() AS corp_id,
    origin,
    seq,
    msgid,
    dt,
    scope_ref,
    reason,
    rule AS basis,
    settled_at AS since,
    keep_until
FROM lake_rest_records
WHERE fate = 'pending';
