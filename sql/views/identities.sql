-- Which customer number, policy or account belongs to which external id, by whose word? (None are stored yet: typed and empty.)
CREATE VIEW identities AS
SELECT
    NULL::VARCHAR AS corp_id,
    NULL::VARCHAR AS external_userid,
    NULL::VARCHAR AS kind,
    NULL::VARCHAR AS value,
    NULL::TIMESTAMPTZ AS valid_from,
    NULL::TIMESTAMPTZ AS valid_to,
    NULL::VARCHAR AS source
WHERE false;
