-- Which findings stand here several times? (Internal: readers put what they looked up once in its place.)
CREATE VIEW lake_doubled AS
SELECT finding_id, dt, matched_at, lexicon_version
FROM lake_matches
WHERE finding_id IN (SELECT finding_id FROM lake_matches GROUP BY finding_id HAVING count(*) > 1);
