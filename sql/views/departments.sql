-- Which departments were there, under which, from when to when? (None are stored yet: typed and empty.)
CREATE VIEW departments AS
SELECT
    NULL::VARCHAR AS corp_id,
    NULL::VARCHAR AS department_id,
    NULL::VARCHAR AS name,
    NULL::VARCHAR AS parent_id,
    NULL::TIMESTAMPTZ AS valid_from,
    NULL::TIMESTAMPTZ AS valid_to,
    NULL::VARCHAR AS source
WHERE false;
