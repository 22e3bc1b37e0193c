-- Which rows of records are not simply the first, archived one? (Internal: readers put what they keep of them in its place.)
CREATE VIEW lake_rest AS
SELECT * EXCLUDE (commitment, nonce)
FROM lake_records
WHERE fate <> 'archived' OR fate_no > 0;
