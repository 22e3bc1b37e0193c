"""The mapped register says what the one in memory says, holds no id in clear, and is made again when the events changed."""

from __future__ import annotations

import random
import sys
from pathlib import Path

import pytest

from pipeline import ingest, lakerows
from pipeline.consenting import register_file
from pipeline.home import Home
from pipeline.register import Event, EventSource, Register, new_event, pair_scope, scope_of, undo_event
from tests.firm import CORP, T0, home


@pytest.fixture(autouse=True)
def _always_mapped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(register_file, "SMALL", -1)


SOURCES: list[EventSource] = ["stream", "api", "callback", "import", "officer"]


def history(seed: int, count: int) -> list[Event]:
    """Random events that meet: few people, few moments, every source, repeats and undone imports."""
    chance, found = random.Random(seed), []
    for n in range(count):
        source = chance.choice(SOURCES)
        place = {"room_id": f"wr{chance.randrange(3)}"} if chance.random() < 0.3 else {"userid": chance.choice(["ZhangSan", "zhangsan", "lisi"])}
        at = chance.choice([None, T0, T0 + 400, T0 + 1000, T0 + 86_400_000, T0 + 10**10])
        found.append(new_event(
            source=source, status=chance.choice(["Agree", "Disagree", "Default_Agree", "Maybe"]), external_userid=f"wm{chance.randrange(4)}",
            changed_at_ms=at, precision=chance.choice(["ms", "s"]), recorded_at_ms=T0 + n, flag="day_only" if chance.random() < 0.05 else None,
            batch=f"b{chance.randrange(2)}" if source == "import" else None, **place,
        ))  # fmt: skip
    return [*found, *chance.sample(found, min(3, count)), *([undo_event("b1", recorded_at_ms=T0)] if seed % 2 else [])]


def stored(at: Home, events: list[Event]) -> Register:
    ingest.append(at, CORP, [("consent", lakerows.consent_table(events))], what="consent import")
    return register_file.register_of(at, CORP, at.lake(CORP).snapshot())


@pytest.mark.parametrize(("count", "spread"), [(1, "even"), (2, "even"), (3, "even"), (400, "even"), (400, "crowded")])
def test_a_scope_is_found_wherever_its_digest_lies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, count: int, spread: str) -> None:
    """At both ends, with and without neighbours, and where nearly all digests share a prefix, or their whole higher half."""
    ends = {scope(n): n.to_bytes(8, sys.byteorder) + bytes(7) + bytes([n % 256]) for n in range(400)}
    ends |= {scope(0): bytes(16), scope(1): b"\xff" * 16, scope(2): b"\xff" * 8 + bytes(8)}
    digest_of = register_file._digester
    if spread == "crowded":
        monkeypatch.setattr(register_file, "_digester", lambda key: lambda s: ends.get(s) or digest_of(key)(s))
    rows = stored(home(tmp_path, keys=()), [
        new_event(source="api", status="Agree", userid="u", external_userid=f"wm{n}", changed_at_ms=T0 + n, recorded_at_ms=T0 + n) for n in range(count)
    ])._base  # fmt: skip
    assert isinstance(rows, register_file.MappedRows)
    assert [[r.changed_ms for r in rows.get(scope(n)) or ()] for n in range(count)] == [[T0 + n] for n in range(count)]
    assert [n for n in range(count, 2 * count + 400) if rows.get(scope(n))] == []


def scope(n: int) -> str:
    return pair_scope("u", f"wm{n}")


@pytest.mark.parametrize("seed", range(4))
def test_it_says_what_the_register_in_memory_says(tmp_path: Path, seed: int) -> None:
    at, events, late = home(tmp_path, keys=()), history(seed, 60), history(seed + 100, 20)
    mapped, plain = stored(at, events), Register.of(events, version=1)
    assert isinstance(mapped._base, register_file.MappedRows)
    scopes = {scope_of(e) for e in [*events, *late] if e.undoes is None} | {"p3:nobodywmX"}
    for one, other in ((mapped, plain), (mapped.with_events(late, 2), plain.with_events(late, 2))):
        assert [one.timeline(s) for s in sorted(scopes)] == [other.timeline(s) for s in sorted(scopes)]
        assert [one.may_employ("x" * n) for n in range(12)] == [other.may_employ("x" * n) for n in range(12)]
        assert {e.event_id for e in one.new_events(late)} == {e.event_id for e in other.new_events(late)}
    assert len(mapped) == len(plain)


def test_whose_id_is_as_long_as_no_employee_s_is_no_employee_of_a_pair(tmp_path: Path) -> None:
    at = home(tmp_path, keys=())
    register = stored(at, [
        new_event(source="api", status="Agree", userid="zhangsan", external_userid="wmA", changed_at_ms=T0, recorded_at_ms=T0),
        new_event(source="api", status="Agree", room_id="wr1", external_userid="wmB", changed_at_ms=T0, recorded_at_ms=T0),
    ])  # fmt: skip
    late = register.with_events([new_event(source="api", status="Agree", userid="wmA", external_userid="lisi", changed_at_ms=T0, recorded_at_ms=T0)], 2)
    assert [(r.may_employ("ZHANGSAN"), r.may_employ("wmA"), r.may_employ("")) for r in (register, late)] == [(True, False, False), (True, True, False)]


def test_no_id_lies_in_the_file_in_clear(tmp_path: Path) -> None:
    at = home(tmp_path, keys=())
    event = new_event(source="api", status="Agree", userid="zhangsan", external_userid="wmSecretPerson", changed_at_ms=T0, recorded_at_ms=T0)
    stored(at, [event])
    data = (at.path / "register" / f"{CORP}.map").read_bytes()
    assert b"zhangsan" not in data and b"wmSecretPerson" not in data
    assert event.event_id.encode() not in data and bytes.fromhex(event.event_id) not in data


def test_it_is_made_again_when_events_came_or_the_file_was_damaged(tmp_path: Path) -> None:
    at = home(tmp_path, keys=())
    first = stored(at, history(2, 10))
    more = stored(at, [new_event(source="api", status="Agree", userid="new", external_userid="wmNew", changed_at_ms=T0, recorded_at_ms=T0)])
    assert len(more) == len(first) + 1
    path = at.path / "register" / f"{CORP}.map"
    for damaged in (b"", b"x" * 100, path.read_bytes()[:-20], path.read_bytes()[:30]):
        path.write_bytes(damaged)
        assert len(register_file.register_of(at, CORP, at.lake(CORP).snapshot())) == len(more)
