"""Who was first: one named case per rule of settle.py, and one just beside it."""

from __future__ import annotations

import hashlib
import random
from typing import Any

import msgspec
import pytest

from pipeline import commitrows, schema, settle
from pipeline.commitrows import Commit
from pipeline.records import PageRef
from pipeline.settle import Candidate, Prior
from pipeline.stage import Outline
from pipeline.stagerows import spread


def fp(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()[:16]


def page(name: str = "p", *, imported: bool = False) -> PageRef:
    return PageRef(corp_id="ww1", page=name * 40, uri="", size=0, source="plain" if imported else "file", name=name, captured_at_ms=0)


def candidate(seq: int | None, msgid: str | None, fate: str = "archived", *, content: str = "", at: PageRef | None = None, **more: Any) -> Candidate:
    outline = Outline(
        item=more.pop("item", 0), seq=seq, fate=fate, msgid=msgid, msgid_fp=fp(msgid) if msgid else None,
        content_fp=fp(content or msgid or "") if fate != "failed" else None, **more,
    )  # fmt: skip
    return Candidate(at or page(), outline)


def prior(seq: int, msgid: str, fate: str = "archived", *, origin: str = "sealed", content: str = "", **more: Any) -> Prior:
    return Prior(
        origin=origin, seq=seq, variant=more.pop("variant", ""), fate_no=more.pop("fate_no", 0), fate=fate, msgid_fp=fp(msgid), content_fp=fp(content or msgid),
        key_tried=more.pop("key_tried", None), attempts=1, first_seen_ms=1, **more,
    )  # fmt: skip


def judge(*candidates: Candidate, settled: tuple[Prior, ...] = ()) -> settle.Verdict:
    seqs = {p.key: p for p in settled}
    msgids = {p.msgid_fp: p for p in settled if p.fate in settle.OPENED and p.msgid_fp}
    return settle.judge(candidates, seqs=seqs, msgids=msgids, fingerprint=fp)


def fates(verdict: settle.Verdict) -> list[tuple[int | None, str, str | None]]:
    return [(s.candidate.outline.seq, s.fate, s.code) for s in verdict.settled]


def test_records_are_settled_in_seq_order_whatever_order_they_come_in() -> None:
    assert fates(judge(candidate(3, "c"), candidate(1, "a"), candidate(2, "b", "withheld"))) == [
        (1, "archived", None), (2, "withheld", None), (3, "archived", None),
    ]  # fmt: skip


def test_a_settled_record_is_skipped() -> None:
    assert fates(judge(candidate(1, "a"), settled=(prior(1, "a"),))) == []


def test_the_same_record_twice_in_a_batch_is_settled_once() -> None:
    assert fates(judge(candidate(1, "a"), candidate(1, "a", at=page("q")))) == [(1, "archived", None)]


def test_a_seq_with_another_msgid_is_a_conflict_kept_beside_the_first() -> None:
    verdict = judge(candidate(1, "b"), settled=(prior(1, "a"),))
    assert fates(verdict) == [(1, "failed", "SEQ_CONFLICT")]
    assert verdict.settled[0].variant == fp("b").hex()


def test_a_seq_conflict_is_told_once() -> None:
    known = prior(1, "b", "failed", variant=fp("b").hex())
    assert fates(judge(candidate(1, "b"), settled=(prior(1, "a"), known))) == []


def test_equal_content_under_another_seq_is_a_duplicate() -> None:
    verdict = judge(candidate(1, "a"), candidate(2, "a"))
    assert fates(verdict) == [(1, "archived", None), (2, "duplicate", None)]
    assert verdict.settled[1].duplicate_of is not None and verdict.settled[1].duplicate_of.seq == 1


def test_other_content_under_a_settled_msgid_is_a_conflict_and_the_first_stays() -> None:
    assert fates(judge(candidate(2, "a", content="other"), settled=(prior(9, "a"),))) == [(2, "failed", "MSGID_CONFLICT")]
    assert fates(judge(candidate(2, "a", content="x"), candidate(1, "a", content="y"))) == [(1, "archived", None), (2, "failed", "MSGID_CONFLICT")]


def test_a_failed_record_does_not_claim_its_msgid() -> None:
    assert fates(judge(candidate(1, "a", "failed", code="UNDECRYPTABLE"), candidate(2, "a"))) == [(1, "failed", "UNDECRYPTABLE"), (2, "archived", None)]


@pytest.mark.parametrize("fate", ["withheld", "pending", "control", "restricted", "removed"])
def test_what_was_settled_by_decision_never_returns_under_another_seq(fate: str) -> None:
    assert fates(judge(candidate(2, "a"), settled=(prior(1, "a", fate),))) == [(2, "duplicate", None)]


def test_a_failed_record_that_opens_now_is_settled_again() -> None:
    verdict = judge(candidate(1, "a", key_tried="k2"), settled=(prior(1, "a", "failed"),))
    assert fates(verdict) == [(1, "archived", None)]
    assert verdict.settled[0].prior is not None and verdict.settled[0].as_prior().fate_no == 1


def test_a_failed_record_is_settled_again_when_another_key_was_tried_and_not_when_the_same() -> None:
    old = prior(1, "a", "failed", key_tried="k1")
    again = candidate(1, "a", "failed", code="KEY_WRONG", key_tried="k2")
    same = candidate(1, "a", "failed", code="KEY_WRONG", key_tried="k1")
    assert fates(judge(again, settled=(old,))) == [(1, "failed", "KEY_WRONG")]
    assert fates(judge(same, settled=(old,))) == []


def test_a_sealed_original_outranks_its_import() -> None:
    verdict = judge(candidate(5, "a"), settled=(prior(77, "a", origin="imported"),))
    assert fates(verdict) == [(5, "archived", None)]
    assert [(p.origin, p.seq) for p in verdict.superseded] == [("imported", 77)]


def test_an_import_of_a_sealed_record_is_a_duplicate() -> None:
    assert fates(judge(candidate(77, "a", at=page(imported=True)), settled=(prior(5, "a"),))) == [(77, "duplicate", None)]


def test_the_same_seq_of_an_import_is_another_record() -> None:
    assert fates(judge(candidate(5, "b", at=page(imported=True)), settled=(prior(5, "a"),))) == [(5, "archived", None)]


@pytest.mark.parametrize(
    ("original", "expected"),
    [("archived", "archived"), ("withheld", "withheld"), ("pending", "pending"), ("failed", "archived"), ("restricted", "withheld"), ("removed", "withheld"), (None, "archived")],
)
@pytest.mark.parametrize("order", ["before", "after", "settled before"])
def test_a_recall_follows_its_original(original: str | None, expected: str, order: str) -> None:
    recall = candidate(10, "r", kind="recall", recalls_msgid="a")
    batch: list[Candidate] = [recall]
    settled: tuple[Prior, ...] = ()
    if original is not None and order == "settled before":
        settled = (prior(1, "a", original),)
    elif original is not None:
        batch.append(candidate(1 if order == "before" else 20, "a", original))
    verdict = judge(*batch, settled=settled)
    assert [f for s, f, _ in fates(verdict) if s == 10] == [expected]


@pytest.mark.parametrize("seed", range(60))
def test_records_that_nothing_else_meets_are_settled_like_all_others(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Held to the plain way: every record is put in order and judged."""
    rng = random.Random(seed)
    pages = (page("p"), page("q"), page("i", imported=True))
    few = rng.choice((6, 40))  # of few seqs and msgids many meet

    def some(n: int) -> Candidate:
        fate = rng.choice(("archived", "archived", "archived", "withheld", "pending", "control", "failed"))
        msgid, seq, kind = f"m{rng.randrange(few)}", rng.randrange(few) if rng.random() < 0.95 else None, "recall" if rng.random() < 0.1 else "message"
        of = f"m{rng.randrange(few)}" if kind == "recall" else None
        if seq is None or fate == "failed":
            return candidate(seq, None if seq is None else msgid, "failed", code="X", item=n, key_tried=rng.choice((None, "a", "b")), at=rng.choice(pages))
        at, content, twin = rng.choice(pages[: 1 + 2 * (seed % 2)]), rng.choice(("", "other")), rng.random() < 0.1
        return candidate(seq, msgid, fate, content=content, item=n, kind=kind, recalls_msgid=of, twin=twin, at=at)

    batch = [some(n) for n in range(12)]
    if seed % 3 == 0:
        batch.sort(key=lambda c: c.order)
    known = tuple({p.key: p for p in (prior(rng.randrange(few), f"m{rng.randrange(few)}", rng.choice(("archived", "withheld", "failed"))) for _ in range(3 * (seed % 4)))}.values())
    quick = judge(*batch, settled=known)
    monkeypatch.setattr(settle, "_ordered", lambda found: sorted(found, key=lambda c: c.order))
    monkeypatch.setattr(settle, "_alone", lambda found, *_: [False] * len(found))
    assert quick == judge(*batch, settled=known)


def test_rows_written_column_by_column_are_those_written_one_by_one() -> None:
    verdict = judge(candidate(1, "a", dt=20_000, rule="4", key_version=1, commitment=b"c" * 32), candidate(2, "b", "withheld", nonce=b"n" * 32, dt=1), candidate(3, "c", dt=3))
    at = Commit(corp_id="ww1", run_id="r", version=5, withheld_days=15, now_ms=1_795_140_000_000, keep_from_ms=1_795_140_000_000)
    table = commitrows.records_table(verdict.settled, (), at, 7)
    rows: dict[str, list[Any]] = {name: [] for name in commitrows.RecordRow.__struct_fields__}
    spread(rows, [commitrows.record_row(s, at, n) for n, s in enumerate(verdict.settled, 7)])
    assert table["leaf"].to_pylist() == [7, 9, 8]
    assert table.sort_by("leaf").equals(schema.table("records", rows))


def test_a_record_without_a_seq_is_settled_by_its_place_once() -> None:
    broken = candidate(None, None, "failed", code="PAGE_CUT", item=7)
    verdict = judge(broken, broken)
    assert fates(verdict) == [(None, "failed", "PAGE_CUT")]
    known = msgspec.structs.replace(verdict.settled[0].as_prior())
    assert fates(judge(broken, settled=(known,))) == []


def test_the_breaker_makes_pending_what_would_be_withheld_and_nothing_else() -> None:
    verdict = judge(candidate(1, "a"), candidate(2, "b", "withheld"), candidate(3, "c", "control"))
    broken = settle.break_off(verdict.settled)
    assert [(s.fate, s.adopt) for s in broken] == [("archived", True), ("pending", False), ("control", True)]
