-- Between which sequence numbers and times may messages be missing, why, how many by employee, and who has taken note?
-- A row stays for ever; an acknowledgement stops the alarm only. Of one after_seq the newest counts: a run killed before it kept its page finds the gap again.
CREATE VIEW gaps AS
WITH newest AS (
    SELECT * FROM lake_gaps
    QUALIFY row_number() OVER (PARTITION BY after_seq ORDER BY detected_at DESC) = 1
)
SELECT
    lake_corp_id() AS corp_id,
    after_seq,
    before_seq,
    from_at,
    to_at,
    cause,
    (
        SELECT arg_max(actor, a.at) FROM lake_acks AS a
        WHERE a.what = 'gap:' || newest.after_seq AND a.at >= newest.detected_at
    ) AS acknowledged_by,
    detected_at,
    estimate
FROM newest;
