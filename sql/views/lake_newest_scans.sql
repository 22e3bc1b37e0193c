-- Which scan of each month is the newest? (Internal: the view `matches` asks it twice.)
-- A view and no common table expression, which DuckDB would keep apart, so that all columns of the findings were read whatever is asked. HAVING
-- drops nothing (see lake_messages_recalled).
CREATE VIEW lake_newest_scans AS
SELECT
    scan_month,
    try_cast(scan_month || '-01' AS DATE) AS first_day,
    arg_max(lexicon_version, read_at) AS lexicon_version,
    max(read_at) AS read_at
FROM lake_scans
GROUP BY scan_month
HAVING count(*) > 0;
