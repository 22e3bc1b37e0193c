-- Which findings count under the current packs?
-- One row per finding: where one was stored under several lexicon versions the newest row counts, and then only if
-- nothing suppresses it there. Findings carry what audits need, so no audit over findings has to read message text.
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
LEFT JOIN (
    SELECT finding_id, max((matched_at, lexicon_version)) AS newest
    FROM lake_matches
    GROUP BY finding_id
    HAVING count(*) > 1
) AS again
    ON again.finding_id = m.finding_id
WHERE m.suppressed_by IS NULL
    AND (again.newest IS NULL OR (m.matched_at, m.lexicon_version) = again.newest);
