-- Which customer passed from which employee to which, and when? (None are stored yet: typed and empty.)
CREATE VIEW handovers AS
SELECT
    NULL::VARCHAR AS corp_id,
    NULL::VARCHAR AS external_userid,
    NULL::VARCHAR AS from_userid,
    NULL::VARCHAR AS to_userid,
    NULL::TIMESTAMPTZ AS valid_from,
    NULL::TIMESTAMPTZ AS valid_to,
    NULL::VARCHAR AS source
WHERE false;
