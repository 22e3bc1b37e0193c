"""Where consent events come from: agree and disagree records of the stream, and lines of an officer's import file.

Before: message.py (records), the operator's file (imports). After: register.py.

Rules:
 (1) A record speaks of the room it lies in, else of the pair of who decided and every other party of it.
 (2) Numbers below 10^11 are seconds, others milliseconds. A time before 2000 or after 2099, or of another unit, is impossible:
     the event keeps no time (flag `no_time`), nothing is guessed.
 (3) ISO 8601 without an offset is Beijing time. A day without a time of day is flagged `day_only`.
 (4) An import line with an unknown or unreadable status is kept: the register makes its scope pending. Only a line without a
     readable scope is not imported. Whatever was not as promised is reported by line number, never quoted.
Future times are the register's concern (its rule 5) and reported here.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import msgspec

from pipeline import hostile_json
from pipeline.clock import BEIJING
from pipeline.errors import RecordError
from pipeline.records import Message, OpenedItem
from pipeline.register import AGREE, DEFAULT_AGREE, DISAGREE, Event, Precision, new_event

SECONDS_BELOW: Final = 10**11
EARLIEST_MS: Final = 946_684_800_000  # 2000-01-01 UTC
LATEST_MS: Final = 4_102_444_800_000  # 2100-01-01 UTC, exclusive
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)

_NOT_JSON: Final = "expected a JSON object, got something else: the line was not imported; write one object a line"
_NO_SCOPE: Final = "expected exactly one of userid and roomid as text: the line was not imported"
_NO_EXTERNAL: Final = "expected external_userid as text: the line was not imported"
_STATUS: Final = "expected status Agree, Disagree or Default_Agree, got something else: the scope becomes pending"
_NO_TIME: Final = "changed_at is missing: a refusal counts from the first contact, an agreement from now"
_BAD_TIME: Final = "expected changed_at in seconds or ISO 8601, got no possible time: it counts as missing"
_MS_TIME: Final = "expected changed_at in seconds, got milliseconds: taken as milliseconds"
_NAIVE_TIME: Final = "changed_at has no offset: taken as Beijing time"
_DAY_TIME: Final = "changed_at names a day without a time: a refusal counts from its start, an agreement from the next day"
_FUTURE_TIME: Final = "changed_at lies more than 10 minutes in the future: the line counts from now"
_SPACES: Final = "an id has spaces around it: they were removed"


class _Moment(msgspec.Struct, frozen=True):
    """A time as an import line gives it, in milliseconds UTC (None: not usable), and what there is to report about it."""

    at_ms: int | None
    precision: Precision
    flag: str | None = None
    report: str | None = None


def read_time(value: object) -> tuple[int, Precision] | None:
    """Return (milliseconds UTC, precision) of a number or a text of digits; None when missing or impossible (rule 2).

    For agree_time, disagree_time and status_change_time as the platform gives them."""
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 20:
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int | float) or (isinstance(value, float) and not math.isfinite(value)):
        return None
    precision: Precision = "s" if value < SECONDS_BELOW and value == int(value) else "ms"
    at_ms = math.floor(value * 1000) if value < SECONDS_BELOW else int(value)
    return (at_ms, precision) if EARLIEST_MS <= at_ms < LATEST_MS else None


# --- records of the stream ---


def events_from_control(message: Message, opened: OpenedItem, *, recorded_at_ms: int) -> tuple[Event, ...]:
    """Return what an agree or disagree record says, source `stream`: one event for a room or a pair.

    Empty for every other message, and for a record that does not say who decided or has no other party. A record with
    several other parties and no room, which the platform does not promise to avoid, speaks of each pair.
    recorded_at_ms: when its page was captured."""
    control = message.control
    if control is None or control.kind == "switch" or not control.who:
        return ()
    room = message.room_id or None
    others = dict.fromkeys(party for party in (message.sender_id, *message.recipient_ids) if party and party != control.who)
    return tuple(
        new_event(
            source="stream",
            status=AGREE if control.kind == "agree" else DISAGREE,
            userid=other,
            room_id=room,
            external_userid=control.who,
            changed_at_ms=control.at_ms,
            precision=_precision_of(message, opened.plaintext),
            flag="msgtime_used" if control.at_flagged else None,
            source_msgid=message.msgid,
            recorded_at_ms=recorded_at_ms,
        )
        for other in ([None] if room is not None else others)
    )


def _precision_of(message: Message, plaintext: bytes) -> Precision:
    """Return the unit in which the record itself gave the time that message.py made milliseconds of."""
    control = message.control
    if control is None or control.at_ms is None:
        return "ms"
    try:
        record, _ = hostile_json.decode(plaintext)
        value = record["msgtime"] if control.at_flagged else record[control.kind][f"{control.kind}_time"]
    except (RecordError, KeyError, TypeError):
        value = None
    # Where the unit cannot be read again, whole seconds are taken as seconds: that only delays an agreement.
    read = read_time(value)
    return read[1] if read is not None else "s" if control.at_ms % 1000 == 0 else "ms"


# --- lines of an import ---


def events_from_import(
    lines: Iterable[bytes], *, recorded_at_ms: int, batch: str, document_digest: str | None
) -> tuple[tuple[Event, ...], tuple[tuple[int, str], ...]]:
    """Return (events, reports) of an import file: JSON lines `{"userid"|"roomid", "external_userid", "status", "changed_at"}`.

    reports: (line number from 1, sentence without content), for lines that were not imported and for those read by a
    rule that their author may not expect. Blank lines count and are skipped. batch: what `--undo` names later."""
    events: list[Event] = []
    reports: list[tuple[int, str]] = []
    for number, line in enumerate(lines, start=1):
        text = line.removeprefix(b"\xef\xbb\xbf").strip()
        if not text:
            continue
        event, said = _event_from_line(text, recorded_at_ms=recorded_at_ms, batch=batch, document_digest=document_digest)
        reports.extend((number, sentence) for sentence in said)
        if event is not None:
            events.append(event)
    return tuple(events), tuple(reports)


def _event_from_line(line: bytes, *, recorded_at_ms: int, batch: str, document_digest: str | None) -> tuple[Event | None, list[str]]:
    try:
        fields: Any = hostile_json.decode(line)[0]
    except RecordError:
        return None, [_NOT_JSON]
    if not isinstance(fields, dict):
        return None, [_NOT_JSON]
    userid, room_id, external = (_id(fields.get(name)) for name in ("userid", "roomid", "external_userid"))
    if (userid is None) == (room_id is None):
        return None, [_NO_SCOPE]
    if external is None:
        return None, [_NO_EXTERNAL]
    status, moment = fields.get("status"), _moment(fields.get("changed_at"))
    event = new_event(
        source="import",
        status=status if isinstance(status, str) else "",
        userid=userid,
        room_id=room_id,
        external_userid=external,
        changed_at_ms=moment.at_ms,
        precision=moment.precision,
        flag=moment.flag,
        recorded_at_ms=recorded_at_ms,
        batch=batch,
        document_digest=document_digest,
    )
    return event, list(_reports(fields, event, moment))


def _reports(fields: dict[str, object], event: Event, moment: _Moment) -> Iterable[str]:
    if any(isinstance(value := fields.get(name), str) and value != value.strip() for name in ("userid", "roomid", "external_userid")):
        yield _SPACES
    if event.status not in (AGREE, DISAGREE, DEFAULT_AGREE):
        yield _STATUS
    if moment.report is not None:
        yield moment.report
    if event.flag == "future":
        yield _FUTURE_TIME


def _id(value: object) -> str | None:
    return (value.strip() or None) if isinstance(value, str) else None


def _moment(value: object) -> _Moment:
    """Return the time of an import line (rules 2 and 3)."""
    if value is None or value == "":
        return _Moment(None, "ms", "no_time", _NO_TIME)
    read = read_time(value)
    if read is not None:
        return _Moment(*read, None, _MS_TIME if read[1] == "ms" and not isinstance(value, float) else None)
    return _iso_moment(value.strip()) if isinstance(value, str) else _Moment(None, "ms", "no_time", _BAD_TIME)


def _iso_moment(text: str) -> _Moment:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return _Moment(None, "ms", "no_time", _BAD_TIME)
    naive, day_only = moment.tzinfo is None, len(text) <= 10
    at_ms = ((moment.replace(tzinfo=BEIJING) if naive else moment) - _EPOCH) // timedelta(milliseconds=1)
    if not EARLIEST_MS <= at_ms < LATEST_MS:
        return _Moment(None, "ms", "no_time", _BAD_TIME)
    if day_only:
        return _Moment(at_ms, "s", "day_only", _DAY_TIME)
    return _Moment(at_ms, "ms" if moment.microsecond else "s", None, _NAIVE_TIME if naive else None)
