-- How many records have which fate, as the archive stands?
-- One row. landed = archived + pending + withheld + failed + control + duplicate, archived = active + restricted + removed.
-- landed is counted by first settlement, the fates by what counts now: were a fate lost or doubled, the sum would not hold.
CREATE VIEW counts AS
SELECT
    lake_corp_id() AS corp_id,
    (SELECT count(*) FROM lake_records WHERE fate_no = 0) AS landed,
    count(*) FILTER (fate IN ('archived', 'restricted', 'removed')) AS archived,
    count(*) FILTER (fate = 'pending') AS pending,
    count(*) FILTER (fate = 'withheld') AS withheld,
    count(*) FILTER (fate = 'failed') AS failed,
    count(*) FILTER (fate = 'control') AS control,
    count(*) FILTER (fate = 'duplicate') AS duplicate,
    count(*) FILTER (fate = 'archived') AS active,
    count(*) FILTER (fate = 'restricted') AS restricted,
    count(*) FILTER (fate = 'removed') AS removed
FROM lake_current_records;
