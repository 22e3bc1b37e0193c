-- Which fate of every record counts now? (Internal: the views of fates are made from it; users cannot ask it.)
-- The row with the highest fate_no counts. Only rows with fate_no > 0 are grouped: they are few, so the hash table stays
-- small however large the archive is, and a filter on fate reaches the scan. seq is null for the broken rest of a page.
CREATE VIEW lake_current_records AS
SELECT r.*
FROM lake_records AS r
LEFT JOIN (
    SELECT origin, seq, variant, max(fate_no) AS fate_no
    FROM lake_records
    WHERE fate_no > 0
    GROUP BY origin, seq, variant
    HAVING count(*) > 0
) AS later
    ON later.origin = r.origin AND later.seq IS NOT DISTINCT FROM r.seq AND later.variant = r.variant
WHERE r.fate_no = coalesce(later.fate_no, 0);
