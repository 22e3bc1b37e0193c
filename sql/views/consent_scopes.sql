-- How does each scope stand by its newest event, and when was WeCom last asked about it?
-- A scope is a pair of employee and customer, or a customer in a room. Newest by the event's own time, a refusal winning a tie; not judged (that is
-- `liuhen consent explain`). asked_at: of the pair, or of the room as a whole; null when it was never asked. Scopes without an event are here too.
CREATE VIEW consent_scopes AS
WITH told AS (
    SELECT
        lower(userid) AS who,
        room_id,
        external_userid,
        min(userid) AS userid,
        count(*) AS events,
        arg_max(
            {'status': status, 'changed_at': changed_at, 'recorded_at': recorded_at, 'source': source},
            (coalesce(changed_at, recorded_at), status = 'Disagree', recorded_at)
        ) AS newest
    FROM consent
    GROUP BY lower(userid), room_id, external_userid
),
asks AS (
    SELECT lower(userid) AS who, room_id, external_userid, min(userid) AS userid, arg_max({'at': asked_at, 'status': status, 'code': code}, asked_at) AS newest
    FROM lake_consent_asks
    GROUP BY lower(userid), room_id, external_userid
)
SELECT
    lake_corp_id() AS corp_id,
    coalesce(t.userid, a.userid) AS userid,
    coalesce(t.room_id, a.room_id) AS room_id,
    coalesce(t.external_userid, a.external_userid) AS external_userid,
    t.newest.status AS status,
    t.newest.changed_at AS changed_at,
    t.newest.recorded_at AS recorded_at,
    t.newest.source AS source,
    coalesce(t.events, 0) AS events,
    coalesce(a.newest.at, r.newest.at) AS asked_at,
    a.newest.status AS asked_status,
    coalesce(a.newest.code, r.newest.code) AS asked_code
FROM told AS t
FULL JOIN (FROM asks WHERE external_userid IS NOT NULL) AS a
    ON a.who IS NOT DISTINCT FROM t.who AND a.room_id IS NOT DISTINCT FROM t.room_id AND a.external_userid = t.external_userid
LEFT JOIN (FROM asks WHERE external_userid IS NULL) AS r ON r.room_id = coalesce(t.room_id, a.room_id);
