-- Who decided what about a finding, and why? (No decisions are stored yet: typed and empty.)
CREATE VIEW reviews AS
SELECT
    NULL::VARCHAR AS finding_id,
    NULL::VARCHAR AS reviewer,
    NULL::VARCHAR AS decision,
    NULL::VARCHAR AS reason,
    NULL::VARCHAR AS remedy,
    NULL::TIMESTAMPTZ AS decided_at
WHERE false;
