-- Which customer number, policy, account, phone or name belongs to which external id, by whose word and how surely?
-- A pair that was imported again counts as the newest import says.
CREATE VIEW identities AS
SELECT
    lake_corp_id() AS corp_id,
    external_userid,
    kind,
    value,
    valid_from,
    valid_to,
    source,
    confidence,
    recorded_at
FROM lake_identities
QUALIFY row_number() OVER (PARTITION BY external_userid, kind, value ORDER BY recorded_at DESC) = 1;
