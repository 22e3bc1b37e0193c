-- Who decided what about a finding, and why? One row per decision, none is ever overwritten; who has merely claimed one is no decision.
CREATE VIEW reviews AS
SELECT
    finding_id,
    reviewer,
    decision,
    reason,
    remedy,
    decided_at
FROM lake_reviews
WHERE decision <> 'claimed';
