-- Between which sequence numbers and times may messages be missing, why, and who has taken note? (None are stored yet: typed and empty.)
CREATE VIEW gaps AS
SELECT
    NULL::VARCHAR AS corp_id,
    NULL::UBIGINT AS after_seq,
    NULL::UBIGINT AS before_seq,
    NULL::TIMESTAMPTZ AS from_at,
    NULL::TIMESTAMPTZ AS to_at,
    NULL::VARCHAR AS cause,
    NULL::VARCHAR AS acknowledged_by
WHERE false;
