-- Which findings were ever stored, under every lexicon version, suppressed ones too?
CREATE VIEW matches_all AS
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
FROM lake_matches AS m;
