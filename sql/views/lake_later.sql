-- Which rows of records came after the first of their record? (Internal: readers put what they keep of them in its place.)
CREATE VIEW lake_later AS
SELECT * EXCLUDE (commitment, nonce)
FROM lake_records
WHERE fate_no > 0;
