"""The whole walk in process: real RSA, real Delta log, real encrypted files; what is expected is written down here."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pytest

from pipeline import ingest, landing
from pipeline.errors import Locked, UsageError
from pipeline.records import PageRef
from pipeline.stage import Manifest
from pipeline.workbench import Workbench
from tests import firm
from tests.firm import CORP, T0, fates, home, item, message, page, recall, refusal, rows, run, values


def test_a_page_is_archived_and_a_second_run_changes_nothing(tmp_path: Path) -> None:
    at = home(tmp_path)
    saved = page(tmp_path, "a.json", {1: message(1, "保本吗"), 2: message(2, sender="wmA", to=["zhangsan"])})
    assert fates(run(at, saved)) == {"archived": 2}
    assert values(at, "select seq, msgid, text from messages order by seq") == [(1, "m1", "保本吗"), (2, "m2", "你好")]
    before = at.lake(firm.CORP).snapshot().version
    again = run(at, saved)
    assert (again.summary.landed, again.summary.exit_code) == (0, 0)
    assert at.lake(firm.CORP).snapshot().version == before
    assert not list(at.landing(firm.CORP).iterdir()) and not list(at.staging(firm.CORP).iterdir())


def test_landed_is_the_sum_of_the_fates_and_every_record_has_one_leaf(tmp_path: Path) -> None:
    at = home(tmp_path)
    batch = {
        1: message(1), 2: refusal(2, at_ms=T0 + 2000), 3: message(3), 4: message(1), 5: recall(5, "m1"),
        6: {"msgid": "m6", "action": "switch", "time": T0, "user": "zhangsan"},
    }  # fmt: skip
    ended = run(at, page(tmp_path, "a.json", batch), page(tmp_path, "b.json", [item(7, b"{}", msgid="m7")]))
    assert fates(ended) == {"archived": 2, "control": 2, "withheld": 1, "duplicate": 1, "failed": 1}
    assert ended.summary.landed == 7
    lake = at.lake(firm.CORP)
    records = lake.read("records", lake.snapshot().of("records")).to_pylist()
    assert sorted(r["leaf"] for r in records) == list(range(7))
    assert all(len(r["commitment"]) == 32 for r in records)
    assert [(r["seq"], r["fate"]) for r in sorted(records, key=lambda r: r["leaf"])] == [
        (1, "archived"), (2, "control"), (3, "withheld"), (4, "duplicate"), (5, "archived"), (6, "control"), (7, "failed"),
    ]  # fmt: skip


def test_a_commitment_can_be_opened_from_what_is_stored(tmp_path: Path) -> None:
    from pipeline import leaf

    at = home(tmp_path)
    plain = message(1, "电话 13800138000")
    run(at, page(tmp_path, "a.json", {1: plain}))
    lake = at.lake(firm.CORP)
    snapshot = lake.snapshot()
    (m,) = lake.read("messages", snapshot.of("messages")).to_pylist()
    (s,) = lake.read("sealed", snapshot.of("sealed")).to_pylist()
    (r,) = lake.read("records", snapshot.of("records")).to_pylist()
    import hashlib

    fields = {
        "text": "电话 13800138000", "parts": [{"path": "text.content", "text": "电话 13800138000"}], "sender_id": "zhangsan", "recipient_ids": ["wmA"],
        "corp_id": "ww1", "origin": "sealed", "seq": 1, "fate": "archived", "msgid": "m1", "kind": "message", "action": "send", "msgtype": "text",
        "sent_at_ms": T0 + 1000, "captured_at_ms": round(m["captured_at"].timestamp() * 1000), "key_version": 1,
        "raw_commitment": leaf.raw_commitment(m["nonce"], json.dumps(plain, ensure_ascii=False).encode()),
        "sealed_sha256": hashlib.sha256(s["envelope"]).hexdigest(),
    }  # fmt: skip
    assert leaf.commitment(m["nonce"], fields) == r["commitment"]
    assert m["text"] != m["text_clear"] == "电话 13800138000" and len(m["text"]) == len(m["text_clear"])


def test_records_of_a_missing_key_stay_sealed_and_open_when_the_key_comes(tmp_path: Path) -> None:
    at = home(tmp_path)
    saved = page(tmp_path, "a.json", [item(1, message(1)), item(2, message(2), version=2), item(3, message(3), version=2)])
    ended = run(at, saved)
    assert fates(ended) == {"archived": 1, "failed": 2}
    assert ended.waiting_for_key == {2: 2} and ended.summary.exit_code == 3
    assert values(at, "select code, key_version, attempts, seq from failures order by seq") == [("KEY_MISSING", 2, 1, 2), ("KEY_MISSING", 2, 1, 3)]
    at.add_key(firm.CORP, 2, firm.pem(2), None)
    later = run(at)
    assert fates(later) == {"archived": 2} and later.summary.reopened == 2 and later.summary.exit_code == 0
    assert values(at, "select seq from messages order by seq") == [1, 2, 3]
    assert values(at, "select count(*) from failures") == [0]
    assert run(at, saved).summary.landed == 0


@pytest.mark.parametrize(
    ("records", "expected"),
    [
        pytest.param([], [], id="nothing"), pytest.param([3, 3, 3, 1], [[3, 3, 3, 1]], id="all at once"), pytest.param([3, 3, 3, 2], [[3, 3, 3], [2]], id="one too many"),
        pytest.param([30], [[30]], id="a page is never split"), pytest.param([1, 30, 1], [[1], [30], [1]], id="a large one between small ones"),
        pytest.param([0] * 9, [[0] * 4, [0] * 4, [0]], id="pages without records"),
    ],
)  # fmt: skip
def test_a_pipeline_takes_pages_by_their_records(monkeypatch: pytest.MonkeyPatch, records: list[int], expected: list[list[int]]) -> None:
    monkeypatch.setattr(ingest, "RECORDS_A_PIPELINE", 10)
    monkeypatch.setattr(ingest, "PAGES_A_PIPELINE", 4)
    pages = [PageRef(corp_id="ww1", page="p", uri="", size=0, source="file", name="", captured_at_ms=0, records=n) for n in records]
    assert [[p.records for p in portion] for portion in ingest._portions(pages)] == expected


def test_a_staged_file_that_was_changed_is_staged_again_and_nothing_is_lost(tmp_path: Path) -> None:
    """Its size is right, so that only the digest tells: the commit looks, and discards what another run had staged."""
    at = home(tmp_path)
    ingest.land(at, CORP, [page(tmp_path, "a.json", {1: message(1), 2: message(2)})], [], ingest.silent)
    bench = Workbench(at, CORP, at.lake(CORP).snapshot())
    builder = bench.builder()
    for ref in landing.waiting(at, CORP):
        builder.add(bench.walk(bench.landing(ref)))
    staged = builder.flush()
    assert staged is not None
    changed = at.lake(CORP).root / next(f.path for f in msgspec.json.decode(staged.read_bytes(), type=Manifest).files if f.kind == "messages")
    data = bytearray(changed.read_bytes())
    data[-9] ^= 1  # any byte is random: one that is set to a value has it already once in 256 times
    changed.write_bytes(data)
    assert run(at).summary.archived == 2
    assert values(at, "select msgid from messages order by 1") == ["m1", "m2"]
    assert not changed.exists() and not staged.exists()


def test_a_wrong_key_is_told_as_such_and_tried_again_only_with_another_one(tmp_path: Path) -> None:
    at = home(tmp_path, keys=())
    at.add_key(firm.CORP, 1, firm.pem(9), None)
    saved = page(tmp_path, "a.json", {1: message(1), 2: message(2)})
    assert run(at, saved).waiting_for_key == {1: 2}
    assert values(at, "select distinct code from failures") == ["KEY_WRONG"]
    assert run(at).summary.landed == 0
    at.add_key(firm.CORP, 1, firm.pem(8), None)
    assert fates(run(at)) == {"failed": 2}
    assert values(at, "select distinct attempts from failures") == [2]
    at.add_key(firm.CORP, 1, firm.pem(1), None)
    assert fates(run(at)) == {"archived": 2}


def test_a_cut_page_keeps_its_whole_records_and_the_rest_is_one_failure(tmp_path: Path) -> None:
    at = home(tmp_path)
    whole = firm.answer(item(n, message(n)) for n in range(1, 5))
    cut = tmp_path / "cut.json"
    cut.write_bytes(whole[: len(whole) - len(whole) // 3])
    ended = run(at, cut)
    assert fates(ended)["failed"] == 1 and ended.summary.archived in (2, 3)
    ((code, name, seq),) = values(at, "select code, page, seq from failures")
    assert (code, seq) == ("PAGE_CUT", None) and "cut.json" in name
    assert run(at, cut).summary.landed == 0


def test_overlapping_pages_settle_each_record_once(tmp_path: Path) -> None:
    at = home(tmp_path)
    items = {n: item(n, message(n)) for n in range(1, 8)}
    one, two = page(tmp_path, "a.json", [items[n] for n in (1, 2, 3, 4)]), page(tmp_path, "b.json", [items[n] for n in (3, 4, 5, 6)])
    assert fates(run(at, one, two)) == {"archived": 6}
    three = page(tmp_path, "c.json", [items[n] for n in (5, 6, 7)])
    assert fates(run(at, three)) == {"archived": 1}
    assert values(at, "select seq from messages order by seq") == [1, 2, 3, 4, 5, 6, 7]
    lake = at.lake(firm.CORP)
    assert sorted(lake.read("sealed", lake.snapshot().of("sealed"))["seq"].to_pylist()) == [1, 2, 3, 4, 5, 6, 7]


def test_a_seq_with_another_msgid_and_a_msgid_with_other_content_are_failures_and_the_first_stays(tmp_path: Path) -> None:
    at = home(tmp_path)
    run(at, page(tmp_path, "a.json", {1: message(1, "先"), 2: message(2)}))
    ended = run(at, page(tmp_path, "b.json", {1: message(9, "后"), 3: message(2, "改")}))
    assert fates(ended) == {"failed": 2}
    assert values(at, "select seq, code, step from failures order by seq") == [(1, "SEQ_CONFLICT", "commit"), (3, "MSGID_CONFLICT", "commit")]
    assert values(at, "select seq, text from messages order by seq") == [(1, "先"), (2, "你好")]
    assert run(at, page(tmp_path, "c.json", {1: message(9, "后"), 3: message(2, "改")})).summary.landed == 0


@pytest.mark.parametrize("order", ["before", "same page", "later page"])
def test_what_a_refusal_covers_is_withheld_wherever_its_record_lies(tmp_path: Path, order: str) -> None:
    at = home(tmp_path)
    no = refusal(50, at_ms=T0 + 3000)
    talk = {1: message(1), 2: message(2), 3: message(3, at_ms=T0 + 3000), 4: message(4), 5: message(5, sender="lisi")}
    pages = {
        "before": [{1: no}, {10 + n: m for n, m in talk.items()}],
        "same page": [{**talk, 6: no}],
        "later page": [talk, {6: no}],
    }[order]
    saved = [page(tmp_path, f"{n}.json", p) for n, p in enumerate(pages)]
    assert fates(run(at, *saved)) == {"archived": 3, "withheld": 2, "control": 1}
    assert values(at, "select msgid from messages order by msgid") == ["m1", "m2", "m5"]
    assert values(at, "select msgid, rule, reason from withheld order by msgid") == [("m3", "3", "refused"), ("m4", "3", "refused")]


def test_an_agreement_that_lies_in_a_later_page_counts_too(tmp_path: Path) -> None:
    at = home(tmp_path, settings={"consent.default": "pending"})
    yes = refusal(50, at_ms=T0 + 2500, kind="agree")
    ended = run(at, page(tmp_path, "a.json", {n: message(n) for n in range(1, 5)}), page(tmp_path, "b.json", {9: yes}))
    assert fates(ended) == {"archived": 2, "pending": 2, "control": 1}
    assert values(at, "select msgid, consent from messages order by msgid") == [("m3", "agree"), ("m4", "agree")]
    assert values(at, "select count(*) from pending") == [2]


def test_a_recall_follows_its_original_and_shows_on_it(tmp_path: Path) -> None:
    at = home(tmp_path)
    batch = {1: message(1), 2: recall(2, "m1"), 3: recall(3, "gone"), 4: refusal(4, at_ms=T0 + 4500), 5: message(5), 6: recall(6, "m5")}
    assert fates(run(at, page(tmp_path, "a.json", batch))) == {"archived": 3, "control": 1, "withheld": 2}
    found = rows(at, "select msgid, kind, recalled_by, recalls_msgid, recalled_at is not null as recalled from messages order by seq")
    assert [tuple(r.values()) for r in found] == [
        ("m1", "message", "zhangsan", None, True), ("m2", "recall", None, "m1", False), ("m3", "recall", None, "gone", False),
    ]  # fmt: skip


def test_the_breaker_makes_a_flood_of_withheld_records_wait(tmp_path: Path) -> None:
    at = home(tmp_path)
    flood = {1: refusal(1, at_ms=T0)} | {n: message(n) for n in range(2, 250)}
    ended = run(at, page(tmp_path, "a.json", flood))
    assert fates(ended) == {"control": 1, "pending": 248} and ended.breaker and ended.summary.exit_code == 3
    assert values(at, "select distinct reason from pending") == ["breaker"]


def test_an_import_is_archived_as_such_and_outranked_by_its_sealed_original(tmp_path: Path) -> None:
    at = home(tmp_path)
    lines = [json.dumps({"seq": 5, "message": message(1, "旧系统 保本保息")}, ensure_ascii=False), json.dumps(message(2), ensure_ascii=False), "not json"]
    plain = tmp_path / "old.jsonl"
    plain.write_text("\n".join(lines) + "\n", "utf-8")
    assert fates(run(at, plain=[plain])) == {"archived": 2, "failed": 1}
    assert values(at, "select distinct origin from messages") == ["imported"]
    assert fates(run(at, page(tmp_path, "a.json", {5: message(7), 6: message(1, "旧系统 保本保息")}))) == {"archived": 2}
    assert values(at, "select origin, msgid from messages order by msgid") == [("sealed", "m1"), ("imported", "m2"), ("sealed", "m7")]
    assert values(at, "select archived, duplicate, failed, landed from counts") == [(3, 1, 1, 5)]
    assert run(at, plain=[plain]).summary.landed == 0


def test_two_corps_in_one_home_do_not_see_each_other(tmp_path: Path) -> None:
    at = home(tmp_path, corps=("ww1", "ww2"))
    run(at, page(tmp_path, "a.json", {1: message(1, "一")}), corp="ww1")
    run(at, page(tmp_path, "b.json", {1: message(2, "二")}), corp="ww2")
    assert values(at, "select corp_id, text from messages", "ww1") == [("ww1", "一")]
    assert values(at, "select corp_id, text from messages", "ww2") == [("ww2", "二")]
    with pytest.raises(UsageError, match="2 corps"):
        at.corp(None)


def test_an_unknown_time_is_null_and_the_day_is_that_of_capture(tmp_path: Path) -> None:
    at = home(tmp_path)
    run(at, page(tmp_path, "a.json", {1: message(1, at_ms=0), 2: message(2)}))
    found = rows(at, "select sent_at is null as unknown, dt_basis, dt = current_date as today from messages order by seq")
    assert [(r["unknown"], r["dt_basis"]) for r in found] == [(True, "captured"), (False, "sent")]


def test_a_page_of_an_error_answer_is_one_failure(tmp_path: Path) -> None:
    at = home(tmp_path)
    saved = tmp_path / "e.json"
    saved.write_text('{"errcode":301042,"errmsg":"get chatdata whiteip not match"}')
    ended = run(at, saved)
    assert fates(ended) == {"failed": 1} and ended.summary.exit_code == 4
    ((code, detail),) = values(at, "select code, detail from failures")
    assert code == "SOURCE_ERRCODE" and "301042" in detail and "whiteip" not in detail


def test_a_second_run_at_the_same_time_is_refused(tmp_path: Path) -> None:
    at = home(tmp_path)
    with at.lock(f"{firm.CORP}.commit"), pytest.raises(Locked):
        run(at)
