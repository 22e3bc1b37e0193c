-- Who was who, from when to when, and who says so? valid_from null: always; valid_to null: still.
CREATE VIEW people AS
SELECT
    lake_corp_id() AS corp_id,
    userid,
    kind,
    name,
    alias,
    department,
    valid_from,
    valid_to,
    source
FROM lake_people;
