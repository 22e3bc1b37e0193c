-- Which fate counts now of every record that is, or was, something else than archived? (Internal: see lake_current_records.)
CREATE VIEW lake_rest_records AS
SELECT r.*
FROM lake_rest AS r
LEFT JOIN (
    SELECT origin, seq, variant, max(fate_no) AS fate_no
    FROM lake_rest
    WHERE fate_no > 0
    GROUP BY origin, seq, variant
    HAVING count(*) > 0
) AS later
    ON later.origin = r.origin AND later.seq IS NOT DISTINCT FROM r.seq AND later.variant = r.variant
WHERE r.fate_no = coalesce(later.fate_no, 0);
