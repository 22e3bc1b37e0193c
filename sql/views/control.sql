-- Which records told of consent or of a switched enterprise, and of whom?
-- kind is what the record was read as. who: who agreed or refused, for a switch the employee; scope: the room, else the
-- employee, whom the decision is about; at: the time the record itself gives. They come from the register event that the
-- record brought; a switch brings none, so its time is not known here.
CREATE VIEW control AS
SELECT
    lake_corp_id() AS corp_id,
    r.seq,
    r.msgid,
    r.reason AS kind,
    coalesce(brought.event.who, r.employee_id) AS who,
    brought.event.scope AS scope,
    brought.event.at AS at
FROM lake_rest_records AS r
LEFT JOIN (
    SELECT
        source_msgid,
        arg_min({'who': external_userid, 'scope': coalesce(room_id, userid), 'at': changed_at}, (recorded_at, event_id)) AS event
    FROM lake_consent
    WHERE source_msgid IS NOT NULL
    GROUP BY source_msgid
) AS brought
    ON brought.source_msgid = r.msgid
WHERE r.fate = 'control';
