-- Per Beijing day of capture and source: what came in, what became of it, and do the two books agree?
-- reached is the highest seq of all pages before this one; a hole begins where a page starts beyond it. Imports number on their own.
WITH pages AS (
    SELECT
        *,
        source <> 'plain' AND first_seq > reached + 1 AS after_hole,
        source = 'pull' AND requested_seq > reached AS unasked
    FROM (
        SELECT
            *,
            max(last_seq) OVER (
                PARTITION BY source = 'plain'
                ORDER BY first_seq NULLS LAST, last_seq, digest
                ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING
            ) AS reached
        FROM page_fates
    )
),
sums AS (
    SELECT
        day,
        source,
        grouping(day) AS is_total,
        count(*) AS pages,
        CAST(coalesce(sum(records), 0) AS BIGINT) AS records,
        CAST(coalesce(sum(landed), 0) AS BIGINT) AS landed,
        CAST(coalesce(sum(archived), 0) AS BIGINT) AS archived,
        CAST(coalesce(sum(pending), 0) AS BIGINT) AS pending,
        CAST(coalesce(sum(withheld), 0) AS BIGINT) AS withheld,
        CAST(coalesce(sum(failed), 0) AS BIGINT) AS failed,
        CAST(coalesce(sum(control), 0) AS BIGINT) AS control,
        CAST(coalesce(sum(duplicate), 0) AS BIGINT) AS duplicate,
        CAST(coalesce(sum(active), 0) AS BIGINT) AS active,
        CAST(coalesce(sum(restricted), 0) AS BIGINT) AS restricted,
        CAST(coalesce(sum(removed), 0) AS BIGINT) AS removed,
        min(first_seq) AS first_seq,
        max(last_seq) AS last_seq,
        count(*) FILTER (after_hole) AS seq_holes,
        CAST(coalesce(sum(CAST(first_seq AS BIGINT) - CAST(reached AS BIGINT) - 1) FILTER (after_hole), 0) AS BIGINT) AS seq_missing,
        count(*) FILTER (unasked) AS seq_unasked
    FROM pages
    WHERE day BETWEEN $from_day AND $to_day
    GROUP BY GROUPING SETS ((day, source), ())
)
SELECT
    day,
    CASE WHEN is_total = 1 THEN 'total' ELSE source END AS source,
    pages,
    records,
    records - landed AS repeated,
    landed,
    archived,
    pending,
    withheld,
    failed,
    control,
    duplicate,
    landed - (archived + pending + withheld + failed + control + duplicate) AS difference,
    active,
    restricted,
    removed,
    CASE WHEN is_total = 0 THEN first_seq END AS first_seq,
    CASE WHEN is_total = 0 THEN last_seq END AS last_seq,
    seq_holes,
    seq_missing,
    seq_unasked
FROM sums
ORDER BY is_total, day, source;
