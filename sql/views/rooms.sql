-- Which rooms were there, what were they called, who owned them, from when to when? (None are stored yet: typed and empty.)
CREATE VIEW rooms AS
SELECT
    NULL::VARCHAR AS corp_id,
    NULL::VARCHAR AS room_id,
    NULL::VARCHAR AS name,
    NULL::VARCHAR AS owner_id,
    NULL::TIMESTAMPTZ AS valid_from,
    NULL::TIMESTAMPTZ AS valid_to,
    NULL::VARCHAR AS source
WHERE false;
