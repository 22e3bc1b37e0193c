-- What became of the records of every page that was received?
-- One row per received page (pull, file or plain import). records: as they lay in the page; landed: those that this page
-- settled first, by the page ledger (its leaves, less later fates of other records that were settled with it); the rest had
-- been settled by an earlier page. The fates are counted from the records themselves, as they stand now, so landed and
-- their sum come from two books. day is the Beijing day of capture. Re-opened failures belong to the page that first
-- brought them.
CREATE VIEW page_fates AS
SELECT
    lake_corp_id() AS corp_id,
    p.name AS page,
    p.page AS digest,
    p.source,
    CAST(timezone('Asia/Shanghai', p.captured_at) AS DATE) AS day,
    p.captured_at,
    p.first_seq,
    p.last_seq,
    p.requested_seq,
    p.records,
    p.leaves - coalesce(other.leaves, 0) AS landed,
    coalesce(f.active, 0) + coalesce(f.restricted, 0) + coalesce(f.removed, 0) AS archived,
    coalesce(f.pending, 0) AS pending,
    coalesce(f.withheld, 0) AS withheld,
    coalesce(f.failed, 0) AS failed,
    coalesce(f.control, 0) AS control,
    coalesce(f.duplicate, 0) AS duplicate,
    coalesce(f.active, 0) AS active,
    coalesce(f.restricted, 0) AS restricted,
    coalesce(f.removed, 0) AS removed
FROM lake_pages AS p
LEFT JOIN (
    SELECT
        page,
        count(*) FILTER (fate = 'pending') AS pending,
        count(*) FILTER (fate = 'withheld') AS withheld,
        count(*) FILTER (fate = 'failed') AS failed,
        count(*) FILTER (fate = 'control') AS control,
        count(*) FILTER (fate = 'duplicate') AS duplicate,
        count(*) FILTER (fate = 'archived') AS active,
        count(*) FILTER (fate = 'restricted') AS restricted,
        count(*) FILTER (fate = 'removed') AS removed
    FROM (
        SELECT first.page, coalesce(later.fate, first.fate) AS fate
        FROM lake_records AS first
        LEFT JOIN (
            SELECT origin, seq, variant, arg_max(fate, fate_no) AS fate
            FROM lake_later
            GROUP BY origin, seq, variant
            HAVING count(*) > 0
        ) AS later
            ON later.origin = first.origin AND later.seq IS NOT DISTINCT FROM first.seq AND later.variant = first.variant
        WHERE first.fate_no = 0
    )
    GROUP BY page
) AS f
    ON f.page = p.page
LEFT JOIN (
    SELECT page, settled_at, count(*) AS leaves
    FROM lake_later
    GROUP BY page, settled_at
) AS other
    ON other.page = p.page AND other.settled_at = p.committed_at
WHERE p.source IN ('pull', 'file', 'plain');
