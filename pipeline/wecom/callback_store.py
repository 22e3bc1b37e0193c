"""Events wait here, encrypted, from the moment they are acknowledged to WeCom until they are taken over; each is taken once.

Before: callback_events.py, keyring. After: callback_server.py (accepts), people_history (takes over), the register.

    callbacks/<corp>/<digest>.event   one event, sealed, written before WeCom gets its 200
    callbacks/<corp>/<digest>.seen    taken over, or nothing to take; an empty file that stands for KEEP_SEEN_MS

Rules:
 (1) The digest in the name is keyed: whoever sees the folder cannot tell whose event it is.
 (2) A repeat changes nothing: not while the event waits, not after. What is played later than `seen` stands is refused by its timestamp.
 (3) Agreements go to the register (source `callback`, the second of CreateTime) in one commit before their files go: killed anywhere, the
     same events are taken over once, since the register knows them by what they say.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

import msgspec

from pipeline import durable, lakerows, register
from pipeline.clock import DAY_MS, now_ms
from pipeline.home import Home
from pipeline.register import Register
from pipeline.room import append
from pipeline.wecom.callback_events import Event

UNIT: Final = "callbacks"
KEEP_SEEN_MS: Final = 2 * DAY_MS


def folder(home: Home, corp_id: str) -> Path:
    """Where the events of a corp wait."""
    return home.path / "callbacks" / corp_id


def accept(home: Home, corp_id: str, event: Event) -> bool:
    """Keep an event durably; return whether it is new (rule 2). Raises StorageError: then WeCom must be told to send it again."""
    at = folder(home, corp_id)
    durable.make_folder(at)
    name = _name(home, corp_id, event)
    if (at / f"{name}.seen").exists():
        return False
    if event.meaning in ("new_messages", "ignored"):
        return durable.write_once(at / f"{name}.seen", b"")
    box = home.keyring.seal(UNIT, msgspec.msgpack.encode(event), context=_context(corp_id, name))
    return durable.write_once(at / f"{name}.event", box)


def _name(home: Home, corp_id: str, event: Event) -> str:
    return home.keyring.pseudonym(UNIT, corp_id, event.event_id).hex()[:32]


def _context(corp_id: str, name: str) -> bytes:
    return f"callback/{corp_id}/{name}".encode()


def waiting(home: Home, corp_id: str) -> list[tuple[Path, Event]]:
    """Return the events that wait, oldest first; one that somebody else takes over meanwhile is passed by."""
    found = []
    for path in folder(home, corp_id).glob("*.event"):
        try:
            data = path.read_bytes()
        except FileNotFoundError:
            continue
        box = home.keyring.open(data, context=_context(corp_id, path.stem))
        found.append((path, msgspec.msgpack.decode(box, type=Event)))
    return sorted(found, key=lambda f: (f[1].received_ms, f[0].name))


def agreements(events: Iterable[Event]) -> tuple[register.Event, ...]:
    """Return the register events of `msg_audit_approved`; one that does not say who is no agreement."""
    return tuple(
        register.new_event(
            source="callback", status=register.AGREE, userid=e.userid, external_userid=e.external_userid, changed_at_ms=e.at_ms, precision="s",
            recorded_at_ms=e.received_ms,
        )
        for e in events if e.meaning == "agreed" and e.userid and e.external_userid
    )  # fmt: skip


def record_agreements(home: Home, corp_id: str, events: Sequence[Event]) -> tuple[register.Event, ...]:
    """Append to the register what it does not know yet of these events; return that."""
    told = agreements(events)
    if not told:
        return ()
    lake = home.lake(corp_id)
    known = Register.of(lakerows.events_of(lake, lake.snapshot()), version=0)
    new = known.new_events(told)
    if new:
        append(home, corp_id, [("consent", lakerows.consent_table(new))], what="callbacks")
    return new


def settle(home: Home, corp_id: str, taken: Iterable[Path]) -> None:
    """Mark events as seen once what they say is durable elsewhere, and forget those seen long ago."""
    at = folder(home, corp_id)
    for path in taken:
        durable.write_once(path.with_suffix(".seen"), b"")
        durable.remove(path)
    oldest_ns = (now_ms() - KEEP_SEEN_MS) * 1_000_000
    for path in at.glob("*.seen"):
        with suppress(FileNotFoundError):  # forgotten by somebody else
            if path.stat().st_mtime_ns < oldest_ns:
                durable.remove(path, sync_folder=False)


def drain(home: Home, corp_id: str) -> tuple[register.Event, ...]:
    """Take over every agreement that waits; return the register's new events. Events about people and rooms wait for the directory."""
    agreed = [(path, event) for path, event in waiting(home, corp_id) if event.meaning == "agreed"]
    new = record_agreements(home, corp_id, [event for _, event in agreed])
    settle(home, corp_id, [path for path, _ in agreed])
    return new
