-- Which archived records are kept but out of every view, because a refusal became known late? No content.
CREATE VIEW restricted AS
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
WHERE fate = 'restricted';
