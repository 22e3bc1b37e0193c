-- Which rooms were there, what were they called, who owned them, from when to when?
-- Of rows with one beginning the one recorded last counts; one that began later ends the one before.
CREATE VIEW rooms AS
SELECT
    lake_corp_id() AS corp_id,
    room_id,
    name,
    owner_id,
    valid_from,
    least(valid_to, lead(valid_from) OVER later) AS valid_to,
    source,
    internal = 'yes' AS internal
FROM (
    FROM lake_rooms
    QUALIFY row_number() OVER (PARTITION BY room_id, valid_from ORDER BY recorded_at DESC) = 1
)
WINDOW later AS (PARTITION BY room_id ORDER BY valid_from NULLS FIRST);
