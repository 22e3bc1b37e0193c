-- Which findings count under the current packs?
-- One row per finding. Where a month was matched again (lake_scans), the newest scan says what counts of the messages it read: the findings
-- under its version; messages that came after it keep theirs. Where a finding is left under several versions the newest row counts, and then
-- only if nothing suppresses it there (which ones are left several times is looked up first: they are few). Findings carry what audits need, so no audit over findings has to read message text.
CREATE VIEW matches AS
SELECT
    m.finding_id,
    lake_corp_id() AS corp_id,
    m.origin,
    m.seq,
    m.msgid,
    m.conversation_id,
    m.dt,
    m.employee_id,
    m.customer_id,
    m.direction,
    m.rule_id,
    m.category,
    m.severity,
    m.party,
    m.term,
    m.matched_text,
    m.part,
    m.start_cp,
    m.end_cp,
    m.spans,
    m.via,
    m.suppressed_by,
    m.lexicon_version,
    m.matched_at
FROM lake_matches AS m
LEFT JOIN lake_newest_scans AS scans
    ON scans.first_day = date_trunc('month', m.dt)
LEFT JOIN (
    SELECT f.finding_id, max((f.matched_at, f.lexicon_version)) AS newest
    FROM lake_doubled AS f
    LEFT JOIN lake_newest_scans AS scans
        ON scans.first_day = date_trunc('month', f.dt)
    WHERE scans.scan_month IS NULL
        OR f.lexicon_version = scans.lexicon_version
        OR f.matched_at > scans.read_at
    GROUP BY f.finding_id
    HAVING count(*) > 1
) AS again
    ON again.finding_id = m.finding_id
WHERE m.suppressed_by IS NULL
    AND (scans.scan_month IS NULL OR m.lexicon_version = scans.lexicon_version OR m.matched_at > scans.read_at)
    AND (again.newest IS NULL OR (m.matched_at, m.lexicon_version) = again.newest);
