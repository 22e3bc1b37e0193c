"""Late news: what a refusal covers goes out of every view at once, then out of the archive's files; and it comes back when it was wrong."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pipeline import clock, ingest, lakerows, trusted_clock
from pipeline.consent_events import events_from_import
from pipeline.consenting import hidden, hiding, moving, reconcile
from pipeline.directory import Entry
from pipeline.home import Home
from pipeline.reader import Reader
from pipeline.register import undo_event
from pipeline.verify import verify_archive
from tests import firm
from tests.cli.liuhen import liuhen
from tests.firm import CORP, T0, home, message, page, recall, refusal, run, values

BAN = "保本保息"


def told(at: Home, *lines: dict[str, object], recorded_ms: int = T0 + 100_000, batch: str = "b1") -> None:
    """Store lines of an import in the register."""
    events, _ = events_from_import([json.dumps(line).encode() for line in lines], recorded_at_ms=recorded_ms, batch=batch, document_digest=None)
    ingest.append(at, CORP, [("consent", lakerows.consent_table(events))], what="consent import")


def undone(at: Home, batch: str = "b1") -> None:
    ingest.append(at, CORP, [("consent", lakerows.consent_table([undo_event(batch, recorded_at_ms=T0 + 200_000)]))], what="consent import")


def disagree(who: str, at_ms: int | None, *, userid: str = "zhangsan", roomid: str = "", status: str = "Disagree") -> dict[str, object]:
    place = {"roomid": roomid} if roomid else {"userid": userid}
    return {**place, "external_userid": who, "status": status, **({"changed_at": at_ms} if at_ms is not None else {})}


def sound(at: Home) -> None:
    """The archive verifies, and its counts add up."""
    assert [str(f) for f in verify_archive(at.path, CORP, now_ms=clock.now_ms()).findings] == []
    (counts,) = firm.rows(at, "select * from counts")
    assert counts["archived"] == counts["active"] + counts["restricted"] + counts["removed"]
    assert counts["landed"] == sum(counts[f] for f in ("archived", "pending", "withheld", "failed", "control", "duplicate"))


def two_customers(folder: Path) -> Home:
    """m1, m2 with wmA (m2 a finding), m3 and m4 with wmB, m5 in a room by wmA, m6 in that room by the employee."""
    at = home(folder)
    run(at, page(folder, "a.json", {
        1: message(1, "早"), 2: message(2, BAN), 3: message(3, BAN, to=["wmB"]), 4: message(4, "好", sender="wmB", to=["zhangsan"]),
        5: message(5, "群里", sender="wmA", to=["zhangsan", "wmB"], room="wr1"), 6: message(6, "回", to=["wmA", "wmB"], room="wr1"),
    }))  # fmt: skip
    return at


def test_a_late_refusal_takes_what_it_covers_out_of_every_view_and_nothing_else(tmp_path: Path) -> None:
    at = two_customers(tmp_path)
    told(at, disagree("wmA", T0 + 2000))
    done = reconcile.run(at, CORP)
    assert (done.restricted, done.moved, done.restored) == (1, 1, 0)
    assert values(at, "select msgid from messages order by seq") == ["m1", "m3", "m4", "m5", "m6"]
    assert values(at, "select distinct msgid from matches") == ["m3"]
    assert values(at, "select msgid, reason, basis from restricted") == [("m2", "refused", "3")]
    lake = at.lake(CORP)
    for kind in ("messages", "sealed", "matches", "media"):
        assert ("sealed", 2) not in {(r["origin"], r["seq"]) for r in lake.read(kind, lake.snapshot().of(kind), columns=["origin", "seq"]).to_pylist()}
    sound(at)


@pytest.mark.slow
def test_a_late_refusal_takes_its_findings_off_the_worklist_and_out_of_search(tmp_path: Path) -> None:
    at = two_customers(tmp_path)

    def shown(*words: str) -> set[str]:
        return {r["msgid"] for r in liuhen(at.path, *words, "--format", "jsonl").rows}

    listed, searched = ("review", "list", "--state", "all"), ("search", "保本保息")
    assert shown(*listed) >= {"m2", "m3"} and shown(*searched) >= {"m2", "m3"}
    told(at, disagree("wmA", T0 + 2000))
    reconcile.run(at, CORP)
    for words in (listed, searched):
        assert "m3" in shown(*words) and "m2" not in shown(*words)


@pytest.mark.slow
def test_a_second_reconciliation_finds_nothing_to_do(tmp_path: Path) -> None:
    at = two_customers(tmp_path)
    told(at, disagree("wmA", T0))
    reconcile.run(at, CORP)
    version = at.lake(CORP).snapshot().version
    again = reconcile.run(at, CORP)
    assert (again.events, again.restricted, again.moved, at.lake(CORP).snapshot().version) == (0, 0, 0, version)


@pytest.mark.slow
def test_a_reader_that_was_open_before_shows_it_no_more(tmp_path: Path) -> None:
    at = two_customers(tmp_path)
    with Reader(at, CORP) as reader:
        assert len(reader.rows("select 1 from messages")) == 6
        told(at, disagree("wmA", T0))
        reconcile.hide_now(at, CORP)
        assert [r["msgid"] for r in reader.rows("select msgid from messages order by seq")] == ["m3", "m4", "m5", "m6"]


@pytest.mark.slow
def test_before_their_rows_are_moved_hidden_records_are_in_no_view(tmp_path: Path) -> None:
    at = two_customers(tmp_path)
    told(at, disagree("wmA", T0))
    assert reconcile.hide_now(at, CORP) == 2
    assert hidden.keys(at.lake(CORP), at.lake(CORP).snapshot()) == {"sealed": [1, 2]}
    assert values(at, "select msgid from messages order by seq") == ["m3", "m4", "m5", "m6"]
    assert values(at, "select distinct msgid from matches_all") == ["m3"]
    sound(at)
    assert moving.move(at, CORP) == 2
    assert hidden.keys(at.lake(CORP), at.lake(CORP).snapshot()) == {}
    sound(at)


def test_undoing_a_wrong_import_brings_every_row_back_as_it_was(tmp_path: Path) -> None:
    at = two_customers(tmp_path)
    views = ("messages", "matches", "matches_all", "media")
    before = [values(at, f"select * from {v} order by all") for v in views]
    told(at, disagree("wmA", None), disagree("wmB", None), disagree("wmA", None, roomid="wr1"))
    assert reconcile.run(at, CORP).restricted == 5
    assert values(at, "select msgid from messages") == ["m6"]
    undone(at)
    done = reconcile.run(at, CORP)
    assert (done.restored, done.restricted) == (5, 0)
    assert [values(at, f"select * from {v} order by all") for v in views] == before
    assert values(at, "select * from restricted") == []
    sound(at)


@pytest.mark.slow
def test_an_agreement_known_later_brings_nothing_back_that_a_refusal_covers(tmp_path: Path) -> None:
    at = two_customers(tmp_path)
    told(at, disagree("wmA", T0))
    reconcile.run(at, CORP)
    told(at, disagree("wmA", T0 + 500, status="Agree"), batch="b2")
    assert reconcile.run(at, CORP).restored == 0
    assert values(at, "select count(*) from restricted") == [2]


@pytest.mark.slow
def test_an_employee_s_id_in_another_case_and_a_pair_that_is_another_one(tmp_path: Path) -> None:
    at = home(tmp_path)
    run(at, page(tmp_path, "a.json", {1: message(1, sender="ZhangSan"), 2: message(2, sender="lisi"), 3: message(3, to=["wma"])}))
    told(at, disagree("wmA", T0, userid="zhangsan"))
    assert reconcile.run(at, CORP).restricted == 1
    assert values(at, "select msgid from messages order by seq") == ["m2", "m3"]


@pytest.mark.slow
@pytest.mark.parametrize(("room", "left"), [("sender", ["m2", "m3"]), ("everyone", ["m3"])])
def test_a_late_refusal_in_a_room(tmp_path: Path, room: str, left: list[str]) -> None:
    at = home(tmp_path, settings={"consent.room": room})
    ingest.append(at, CORP, [("people", lakerows.people_table(_staff()))], what="people")
    run(at, page(tmp_path, "a.json", {
        1: message(1, sender="wmA", to=["zhangsan"], room="wr1"), 2: message(2, to=["wmA"], room="wr1"), 3: message(3, to=["wmA"], room="wr2"),
    }))  # fmt: skip
    told(at, disagree("wmA", T0, roomid="wr1"))
    reconcile.run(at, CORP)
    assert values(at, "select msgid from messages order by seq") == left


def _staff() -> list[Entry]:
    return [Entry(userid="zhangsan", kind="employee")]


@pytest.mark.slow
def test_a_recall_goes_with_its_original_and_comes_back_with_it(tmp_path: Path) -> None:
    at = home(tmp_path)
    run(at, page(tmp_path, "a.json", {1: message(1), 2: recall(2, "m1"), 3: message(3, to=["wmB"]), 4: recall(4, "m3", to=["wmB"])}))
    before = values(at, "select * from messages order by all")
    told(at, disagree("wmA", T0))
    assert reconcile.run(at, CORP).restricted == 2
    assert values(at, "select msgid from messages order by seq") == ["m3", "m4"]
    undone(at)
    reconcile.run(at, CORP)
    assert values(at, "select * from messages order by all") == before
    sound(at)


@pytest.mark.slow
def test_an_unknown_status_takes_out_of_view_until_it_is_known(tmp_path: Path) -> None:
    at = two_customers(tmp_path)
    told(at, disagree("wmA", T0, status="Maybe"))
    reconcile.run(at, CORP)
    assert values(at, "select msgid, reason from restricted order by seq") == [("m1", "unknown_status"), ("m2", "unknown_status")]
    undone(at)
    reconcile.run(at, CORP)
    assert values(at, "select count(*) from messages") == [6]


@pytest.mark.slow
@pytest.mark.parametrize(("withdrawal", "left"), [("keep", ["m1", "m9"]), ("restrict", ["m9"])])
def test_withdrawal_now_of_an_earlier_consent(tmp_path: Path, withdrawal: str, left: list[str]) -> None:
    at = home(tmp_path, settings={"consent.withdrawal": withdrawal})
    run(at, page(tmp_path, "a.json", {1: message(1), 2: message(2, at_ms=T0 + 60_000), 9: message(9, to=["wmB"])}))
    told(at, disagree("wmA", T0 + 30_000))
    reconcile.run(at, CORP)
    assert values(at, "select msgid from messages order by seq") == left
    sound(at)


@pytest.mark.slow
def test_pending_records_are_archived_when_a_record_of_the_platform_says_they_had_agreed(tmp_path: Path) -> None:
    at = home(tmp_path, settings={"consent.default": "pending"})
    run(at, page(tmp_path, "a.json", {1: message(1, BAN), 2: message(2, to=["wmB"]), 3: recall(3, "m1")}))
    assert values(at, "select msgid from pending order by seq") == ["m1", "m2", "m3"]
    run(at, page(tmp_path, "b.json", {7: refusal(7, at_ms=T0, kind="agree")}))
    done = reconcile.run(at, CORP)
    assert (done.pending_archived, done.pending_withheld) == (2, 0)
    assert values(at, "select msgid, consent, consent_source from messages order by seq") == [("m1", "agree", "stream:agree"), ("m3", "agree", "stream:agree")]
    assert values(at, "select msgid from messages where recalled_at is not null") == ["m1"]
    assert values(at, "select distinct msgid from matches") == ["m1"]
    assert values(at, "select msgid from pending") == ["m2"]
    sound(at)


@pytest.mark.slow
def test_pending_records_are_withheld_when_a_refusal_covers_them(tmp_path: Path) -> None:
    at = home(tmp_path, settings={"consent.default": "pending"})
    run(at, page(tmp_path, "a.json", {1: message(1), 2: message(2, to=["wmB"])}))
    told(at, disagree("wmA", T0))
    assert reconcile.run(at, CORP).pending_withheld == 1
    assert values(at, "select msgid, rule from withheld") == [("m1", "3")]
    sound(at)


@pytest.mark.slow
def test_pending_records_count_as_refused_after_their_days(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    at = home(tmp_path, settings={"consent.default": "pending", "consent.pending_days": "2"})
    run(at, page(tmp_path, "a.json", {1: message(1)}))
    assert reconcile.run(at, CORP).pending_withheld == 0
    later(monkeypatch, 2)
    assert reconcile.run(at, CORP).pending_withheld == 1
    assert values(at, "select msgid, reason from withheld") == [("m1", "pending_expired")]


def later(monkeypatch: pytest.MonkeyPatch, days: float) -> None:
    """Let the clock be days later."""
    now = clock.now_ms
    monkeypatch.setattr(clock, "now_ms", lambda: now() + round(days * clock.DAY_MS))


@pytest.mark.slow
def test_what_a_wrong_import_withheld_is_archived_while_its_bytes_are_there(tmp_path: Path) -> None:
    at = home(tmp_path)
    told(at, disagree("wmA", T0))
    run(at, page(tmp_path, "a.json", {1: message(1, BAN), 2: recall(2, "m1")}))
    assert values(at, "select msgid from withheld order by seq") == ["m1", "m2"]
    undone(at)
    assert reconcile.run(at, CORP).withheld_archived == 2
    assert values(at, "select msgid from messages order by seq") == ["m1", "m2"]
    sound(at)


@pytest.mark.slow
def test_withheld_bytes_are_destroyed_with_their_day_s_key_and_not_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    at = home(tmp_path, settings={"consent.withheld_days": "3"})
    told(at, disagree("wmA", T0))
    run(at, page(tmp_path, "a.json", {1: message(1), 2: message(2, to=["wmB"])}))
    later(monkeypatch, 2.9)
    assert reconcile.run(at, CORP).destroyed == 0
    assert at.keyring.names(f"{CORP}/withheld/")
    later(monkeypatch, 0.2)
    assert reconcile.run(at, CORP).destroyed == 1
    assert at.keyring.names(f"{CORP}/withheld/") == []
    assert not list((at.lake(CORP).root / "kind=withheld_sealed").rglob("*.parquet"))
    assert values(at, "select msgid from withheld") == ["m1"]
    assert run(at, page(tmp_path, "b.json", {1: message(1)})).summary.archived == 0
    sound(at)


@pytest.mark.slow
def test_a_clock_that_jumped_destroys_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    at = home(tmp_path)
    told(at, disagree("wmA", T0))
    run(at, page(tmp_path, "a.json", {1: message(1)}))
    trusted_clock.watch(at)
    later(monkeypatch, 400)
    assert reconcile.run(at, CORP).destroyed == 0
    assert list((at.lake(CORP).root / "kind=withheld_sealed").rglob("*.parquet"))


@pytest.mark.slow
def test_hiding_is_one_small_commit_without_content(tmp_path: Path) -> None:
    at = two_customers(tmp_path)
    told(at, disagree("wmA", T0))
    before = {f.path for f in at.lake(CORP).snapshot().files}
    hiding.hide(at, CORP, "run", tuple(lakerows.events_of(at.lake(CORP), at.lake(CORP).snapshot())), reconcile.rules_of(at))
    assert sorted(f.kind for f in at.lake(CORP).snapshot().files if f.path not in before) == ["hidden", "records"]
