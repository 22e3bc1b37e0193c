-- Who was a member of which room, from when to when? (None are stored yet: typed and empty.)
CREATE VIEW memberships AS
SELECT
    NULL::VARCHAR AS corp_id,
    NULL::VARCHAR AS room_id,
    NULL::VARCHAR AS member_id,
    NULL::TIMESTAMPTZ AS valid_from,
    NULL::TIMESTAMPTZ AS valid_to,
    NULL::VARCHAR AS source
WHERE false;
