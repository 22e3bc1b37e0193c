-- Which records were withheld because somebody refused, by which rule, and when are their sealed bytes destroyed?
-- No content and no customer id. employee_id is null in a room; the scope is a keyed pseudonym.
CREATE VIEW withheld AS
SELECT
    lake_corp_id() AS corp_id,
    seq,
    msgid,
    dt,
    room_id,
    employee_id,
    scope_ref,
    reason,
    rule,
    register_version,
    settled_at AS decided_at,
    keep_until AS destroy_after
FROM lake_rest_records
WHERE fate = 'withheld';
