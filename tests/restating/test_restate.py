"""What was settled before its people were known comes out as if they had been known: the archive that knew them is the oracle."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from pipeline import clock, ingest, lakerows
from pipeline.consenting.register_file import register_of
from pipeline.home import Home
from pipeline.people_import import read_people
from pipeline.restating import restate, whose
from pipeline.restating.restate import Restated
from pipeline.verify import verify_archive
from pipeline.workbench import Workbench
from tests import firm
from tests.firm import CORP, T0, message, refusal, values
from tests.source.fake import DAY

BAN = "保本保息"
BOTH = ({"userid": "zhangsan", "kind": "employee"}, {"userid": "lisi", "kind": "employee"})
# Who said what to whom; lisi is the colleague nobody knew of.
TALKS: Mapping[int, Mapping[str, Any]] = {
    1: message(1, BAN), 2: message(2, BAN, sender="lisi", to=["wmA"]), 3: message(3, "内部 " + BAN, to=["lisi"]), 4: message(4, "好的", sender="wmA", to=["lisi"]),
    5: message(5, BAN, sender="LiSi", to=["zhangsan"]), 6: message(6, BAN, sender="lisi", to=["wmA", "zhangsan"], room="wr1"),
    7: message(7, "内部群", sender="lisi", to=["zhangsan"], room="wr2"), 8: message(8, "别人", sender="wmB", to=["zhangsan"]),
    9: firm.recall(9, "m3"),
}  # fmt: skip


def people(at: Home, *lines: Mapping[str, Any], recorded_ms: int = T0) -> None:
    """Import lines of a directory."""
    rows = read_people([json.dumps(line).encode() for line in lines], recorded_at_ms=recorded_ms)
    ingest.append(at, CORP, [("people", lakerows.people_table(rows))], what="people")


def again(at: Home) -> Restated:
    """Work the archive out anew."""
    with at.lock(f"{CORP}.commit"):
        return restate.run(at, CORP)


def seen(at: Home) -> dict[str, Any]:
    """All that readers see of messages, findings and counts, without the times at which it was written."""
    return {
        "messages": values(at, "select * exclude (captured_at, ingested_at) from messages order by seq"),
        "employees": values(at, "select seq, finding_id, employee_id, customer_id, direction, party, rule_id from matches order by 1, 2"),
        "withheld": values(at, "select seq, msgid from withheld order by 1"), "pending": values(at, "select seq, msgid from pending order by 1"),
        "restricted": values(at, "select seq from restricted order by 1"),
    }  # fmt: skip


def sound(at: Home) -> None:
    """The archive verifies."""
    assert [str(f) for f in verify_archive(at.path, CORP, now_ms=clock.now_ms()).findings] == []


def made(folder: Path, name: str, *, before: tuple[Mapping[str, Any], ...] = (), after: tuple[Mapping[str, Any], ...] = (), settings: Mapping[str, str] | None = None,
         talks: Mapping[int, Mapping[str, Any]] = TALKS) -> Home:  # fmt: skip
    """A home that knew `before` when the talks came in, and `after` later."""
    (folder / name).mkdir()
    at = firm.home(folder / name, settings=settings)
    if before:
        people(at, *before)
    firm.run(at, firm.page(folder / name, "a.json", talks))
    assert again(at).rows == 0  # takes note of the directory as it is
    if after:
        people(at, *after, recorded_ms=T0 + 1)
    return at


def test_a_colleague_who_becomes_known_changes_direction_party_employee_and_consent(tmp_path: Path) -> None:
    late, known = made(tmp_path, "late", before=BOTH[:1], after=BOTH[1:]), made(tmp_path, "known", before=BOTH)
    assert values(late, "select msgid, sender_kind, direction, consent from messages where seq in (2, 3) order by 1") == [
        ("m2", "external", "unknown", "unknown"), ("m3", "employee", "outbound", "unknown"),
    ]  # fmt: skip
    done = again(late)
    assert (done.people, done.restricted, done.restored, done.archived) == (1, 0, 0, 0)
    assert values(late, "select msgid, sender_kind, direction, consent, consent_source from messages where seq in (2, 3) order by 1") == [
        ("m2", "employee", "outbound", "unknown", "policy:default=agree"), ("m3", "employee", "internal", "not_required", "directory"),
    ]  # fmt: skip
    assert "lisi" in values(late, "select distinct employee_id from matches where party = 'employee'")
    assert seen(late) == seen(known)
    sound(late)


def test_a_second_time_finds_nothing_to_do(tmp_path: Path) -> None:
    at = made(tmp_path, "late", before=BOTH[:1], after=BOTH[1:])
    assert again(at).rows > 0
    version = at.lake(CORP).snapshot().version
    done = again(at)
    assert done == Restated(run_id=done.run_id)
    assert at.lake(CORP).snapshot().version == version
    whose.note(at, CORP, whose.Note())  # lost: everything is looked through once more
    done = again(at)
    assert (done.people, done.rows, at.lake(CORP).snapshot().version) == (-1, 0, version)


CASES = [
    pytest.param((), BOTH, {}, id="an archive older than its directory"),
    pytest.param(BOTH[:1], BOTH[1:], {"consent.default": "pending"}, id="what waited for consent waits for nobody"),
    pytest.param(BOTH[:1], BOTH[1:], {"consent.default": "refuse"}, id="what the policy withheld needs no consent"),
    pytest.param(BOTH, ({"userid": "lisi", "kind": "employee", "valid_to": T0 - DAY},), {}, id="who had left was no colleague any more"),
    pytest.param(BOTH, ({"userid": "lisi", "kind": "employee", "valid_to": T0 + 4500},), {}, id="who left in the middle"),
    pytest.param(BOTH[:1], ({"userid": "lisi", "kind": "robot"},), {}, id="a robot"),
]


@pytest.mark.slow
@pytest.mark.parametrize(("before", "after", "settings"), CASES)
def test_the_archive_is_the_one_that_knew_its_people_from_the_beginning(
    tmp_path: Path, before: tuple[Mapping[str, Any], ...], after: tuple[Mapping[str, Any], ...], settings: dict[str, str]
) -> None:
    # Withheld bytes are not opened to see who is in them: a scope is known by the id as the directory writes it, or in lower case.
    talks = {n: talk for n, talk in TALKS.items() if n != 5 or not settings}
    late = made(tmp_path, "late", before=before, after=after, settings=settings, talks=talks)
    known = made(tmp_path, "known", before=(*before, *after), settings=settings, talks=talks)
    again(late)
    assert seen(late) == seen(known)
    sound(late)
    version = late.lake(CORP).snapshot().version
    again(late)
    assert late.lake(CORP).snapshot().version == version


@pytest.mark.slow
def test_what_turns_out_to_need_consent_and_was_refused_is_restricted_and_nothing_of_it_destroyed(tmp_path: Path) -> None:
    talks = {1: message(1, "同事 " + BAN, to=["lisi"]), 2: refusal(2, "lisi", "zhangsan", at_ms=T0 - DAY), 3: message(3, BAN, sender="lisi", to=["zhangsan"]), 4: message(4, BAN)}
    at = made(tmp_path, "late", before=BOTH, talks=talks)
    assert values(at, "select msgid, consent from messages order by 1") == [("m1", "not_required"), ("m3", "not_required"), ("m4", "unknown")]
    people(at, {"userid": "lisi", "kind": "employee", "valid_to": T0 - 10 * DAY}, recorded_ms=T0 + 1)
    assert again(at).restricted == 2
    assert values(at, "select msgid from messages") == ["m4"]
    assert values(at, "select distinct msgid from matches") == ["m4"]
    assert values(at, "select msgid, reason from restricted order by 1") == [("m1", "refused"), ("m3", "refused")]
    sound(at)
    # The directory was wrong after all: everything is back as it was.
    people(at, {"userid": "lisi", "kind": "employee", "valid_from": T0 - 10 * DAY}, recorded_ms=T0 + 2)
    assert again(at).restored == 2
    assert values(at, "select msgid, consent, direction from messages order by 1") == [
        ("m1", "not_required", "internal"), ("m3", "not_required", "internal"), ("m4", "unknown", "outbound"),
    ]  # fmt: skip
    sound(at)


@pytest.mark.slow
def test_what_turns_out_to_need_consent_and_is_silent_stays_in_view_as_unknown(tmp_path: Path) -> None:
    at = made(tmp_path, "late", before=BOTH, settings={"consent.default": "refuse"}, talks={3: TALKS[3]})
    people(at, {"userid": "lisi", "kind": "employee", "valid_to": T0 - DAY}, recorded_ms=T0 + 1)
    assert again(at).restricted == 0
    assert values(at, "select msgid, consent, consent_source, direction from messages") == [("m3", "unknown", "policy:default=refuse", "outbound")]


@pytest.mark.slow
def test_a_finding_whose_rule_is_not_about_such_words_says_so_and_counts_again_when_it_is(tmp_path: Path) -> None:
    at = made(tmp_path, "late", before=BOTH, talks={2: TALKS[2], 4: TALKS[4]})
    said = values(at, "select finding_id from matches where party = 'employee'")
    assert said
    people(at, {"userid": "lisi", "kind": "employee", "valid_to": T0 - DAY}, recorded_ms=T0 + 1)
    again(at)
    about = values(at, "select distinct suppressed_by from matches_all where direction = 'unknown'")
    assert values(at, "select count(*) from matches where party = 'employee'") == [0] and "directory" in about
    people(at, {"userid": "lisi", "kind": "employee", "valid_from": T0 - DAY}, recorded_ms=T0 + 2)
    again(at)
    assert values(at, "select finding_id from matches where party = 'employee'") == said


@pytest.mark.slow
def test_rows_that_an_older_directory_judged_and_that_came_later_are_found_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    at = made(tmp_path, "late", before=BOTH[:1], talks={1: TALKS[1]})
    again(at)
    old = at.lake(CORP).snapshot()
    people(at, BOTH[1])
    again(at)
    with monkeypatch.context() as patch:  # a worker that had read directory and register before the sync, and whose pages are committed after it
        patch.setattr(Workbench, "directory", property(lambda bench: lakerows.directory_of(at.lake(CORP), old)))
        patch.setattr(Workbench, "register", property(lambda bench: register_of(at, CORP, old)))
        firm.run(at, firm.page(tmp_path, "b.json", {2: TALKS[2]}))
    assert values(at, "select sender_kind from messages where seq = 2") == ["external"]
    done = again(at)
    assert (done.people, done.rows, values(at, "select sender_kind from messages where seq = 2")) == (0, 1, ["employee"])
    assert again(at).rows == 0
