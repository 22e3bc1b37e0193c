"""A customer is erased: exact counts first, two persons, out of every store, keys ended, and nothing ever returns."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import pytest

from pipeline import compact, filekeys, holds, ingest, schema, stores, words
from pipeline.approvals import store as approvals
from pipeline.consenting import reconcile
from pipeline.errors import NotAllowed, UsageError
from pipeline.evidence import matter
from pipeline.home import Home
from pipeline.removing import erase, restricted, take_out
from pipeline.removing.subject import DIRECTORY
from pipeline.retention import store as retention
from pipeline.search import index, narrow
from pipeline.source import media_store
from tests import firm
from tests.consenting.test_reconcile import disagree, sound, told
from tests.firm import CORP, T0, message, page, recall, run, values
from tests.source.test_media import Files, fetch, image

pytestmark = pytest.mark.slow
T = TypeVar("T")
WORD = "蓝鲸入海七七"


def talks(folder: Path) -> list[Path]:
    """seq: 1, 2, 4, 5 are wmA's by hand; 3 is wmB's, 6 is lisi's words in the room, 7 quotes wmA to somebody else."""
    said = {
        1: message(1, f"保本保息 {WORD}", to=["wmA"]), 2: message(2, WORD, sender="wmA", to=["zhangsan"]), 3: message(3, "你好", to=["wmB"]),
        4: message(4, WORD, sender="wmA", to=["lisi", "wmB"], room="wr1"), 5: recall(5, "m1", to=["wmA"]),
        6: message(6, "好的", sender="lisi", to=["wmA", "wmB"], room="wr1"), 7: message(7, f"他说 {WORD[:3]}", sender="lisi", to=["wmC"]),
    }  # fmt: skip
    return [page(folder, "a.json", said)]


def archive(folder: Path, **settings: str) -> tuple[Home, list[Path]]:
    at = firm.home(folder, settings=settings)
    pages = talks(folder)
    run(at, *pages)
    row = {
        "external_userid": "wmA", "kind": "phone", "value": "13800138000", "confidence": "sure", "valid_from": None, "valid_to": None, "source": "crm",
        "document": "d", "recorded_at": T0,
    }  # fmt: skip
    ingest.append(at, CORP, [("identities", schema.table("identities", {k: [v] for k, v in row.items()}))], what="identities")
    return at, pages


def do(at: Home, customer: str = "wmA") -> dict[str, int]:
    """The owner of a home in single mode takes both steps."""

    def call(approval: str) -> dict[str, int]:
        plan = erase.of_request(at, CORP, customer)
        return erase.do(at, CORP, plan, action="erase", params={"customer": customer}, reason="r", approval=approval)

    return approved(at, call)


def approved(at: Home, call: Callable[[str], T]) -> T:
    """What a call gives once the owner approved what it asks for."""
    with pytest.raises(NotAllowed) as needed:
        call("")
    assert needed.value.code == "APPROVAL_NEEDED"
    request = approvals.all_of(at, CORP)[0].request.id
    approvals.say(at, CORP, request, "approve")
    return call(request)


def anywhere(at: Home, word: str) -> list[str]:
    """The kinds whose readable rows hold the word."""
    lake, snapshot = at.lake(CORP), at.lake(CORP).snapshot()
    return [k for k in schema.KINDS if snapshot.of(k) and word in repr(lake.read(k, snapshot.of(k)).to_pylist())]


@pytest.mark.parametrize("compacted", [False, True])
def test_what_is_erased_is_nowhere_and_never_returns(tmp_path: Path, compacted: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    at, pages = archive(tmp_path)
    if compacted:
        compact.run(at, CORP)
    plan = erase.of_request(at, CORP, "wmA")
    assert (plan.counts["records"], plan.counts["messages"], plan.counts["identities"]) == (4, 4, 1) and not plan.held
    old = {f.path: (at.lake(CORP).root / f.path).read_bytes() for f in at.lake(CORP).snapshot().files if f.kind in ("messages", "sealed", "matches")}
    monkeypatch.setattr(index, "LEAST_ROWS", 1)
    assert index.build(at, CORP).made > 0
    beside = {p: p.read_bytes() for p in (at.path / "search" / CORP).iterdir()}
    counted = {narrow.place(at.path, CORP, f): f.path for f in index.wanted(at.lake(CORP).snapshot())}
    assert all(narrow.Narrow(place, at.keyring, path).read(["text_form"]).num_rows for place, path in counted.items()) and set(counted) <= set(beside)
    at.custody.append(command="search", phase="start", params={"customer": "wmA"})
    lost = do(at)
    assert (lost["identities"], lost["custody"] >= 1) == (1, True)
    assert not [e for e in at.custody.entries() if e.command != "removal" and "wmA" in repr(at.custody.params(e))]
    assert anywhere(at, WORD) == [] and anywhere(at, "13800138000") == []
    assert values(at, "select seq from messages order by seq") == [3, 6, 7]
    assert values(at, "select landed, archived, active, removed from counts") == [(7, 7, 3, 4)]
    # Whoever kept an older copy of a file that held them cannot open it: its key is destroyed.
    gone = [data for path, data in old.items() if not (at.lake(CORP).root / path).exists()]
    assert len(gone) >= 3 and not {filekeys.in_bytes(data) for data in gone} & set(Home(at.path).keyring.names())
    # Nor what was kept beside it, digests of its words among it.
    taken = [place for place in counted if not place.exists()]
    assert taken
    for place in taken:
        place.write_bytes(beside[place])
        with pytest.raises(UsageError) as closed:
            narrow.Narrow(place, Home(at.path).keyring, counted[place])
        assert closed.value.code == "KEY_DESTROYED"
        place.unlink()
    for name in pages:  # another pull of the same page, and an import of the same messages
        run(at, name)
    plain = tmp_path / "again.jsonl"
    plain.write_text(json.dumps({"seq": 1, "message": message(1, f"保本保息 {WORD}", to=["wmA"])}, ensure_ascii=False) + "\n")
    run(at, plain=[plain])
    assert anywhere(at, WORD) == [] and values(at, "select seq from messages order by seq") == [3, 6, 7]
    sound(at)


def test_a_hold_refuses_all_of_it_and_names_the_matter(tmp_path: Path) -> None:
    at, _ = archive(tmp_path)
    matter.begin(at, CORP, "M1", title="t", reason="r", review_on=None)
    holds.place(at, CORP, matter="M1", reason="lawsuit", external_userid="wmA", userid="lisi")
    holds.place(at, CORP, matter="M1", reason="lawsuit", userid="lisi")
    plan = erase.of_request(at, CORP, "wmA")
    assert plan.held == 1 and plan.matters == ("M1",)  # one record, though two holds cover it
    with pytest.raises(NotAllowed, match="M1") as refused:
        erase.do(at, CORP, plan, action="erase", params={}, reason="", approval="")
    assert refused.value.code == "REMOVAL_HELD" and values(at, "select count(*) from messages") == [7]
    assert approvals.all_of(at, CORP) == []


def test_a_hold_set_after_the_plan_was_made_refuses_it_too(tmp_path: Path) -> None:
    at, _ = archive(tmp_path)
    plan = erase.of_request(at, CORP, "wmA")
    with pytest.raises(NotAllowed) as asked:
        erase.do(at, CORP, plan, action="erase", params={}, reason="r", approval="")
    assert asked.value.code == "APPROVAL_NEEDED"
    (request,) = approvals.all_of(at, CORP)
    approvals.say(at, CORP, request.request.id, "approve")
    holds.place(at, CORP, matter="M1", reason="lawsuit", external_userid="wmA")
    with pytest.raises(NotAllowed, match="M1") as refused:
        erase.do(at, CORP, plan, action="erase", params={}, reason="r", approval=request.request.id)
    assert refused.value.code == "REMOVAL_HELD" and values(at, "select count(*) from messages") == [7]


def test_in_a_confirmed_statutory_period_it_is_restricted_and_kept(tmp_path: Path) -> None:
    at, _ = archive(tmp_path)
    retention.put(at, CORP, "cn.insurance.over_1y", years=None, confirmed_by="counsel")
    plan = erase.of_request(at, CORP, "wmA")
    assert plan.counts == {"restricted_now": 4} and len(plan.to_restrict) == 4
    assert do(at) == {"restricted_now": 4}
    assert values(at, "select seq from messages order by seq") == [3, 6, 7]
    assert values(at, "select reason, count(*) from restricted group by 1") == [("erasure_request", 4)]
    reconcile.run(at, CORP)  # no register brings back what was restricted on request
    assert values(at, "select count(*) from restricted") == [4]
    sound(at)


def test_an_unconfirmed_profile_refuses_nothing(tmp_path: Path) -> None:
    at, _ = archive(tmp_path)
    retention.put(at, CORP, "cn.fund.distributor", years=None, confirmed_by="")
    assert erase.of_request(at, CORP, "wmA").counts["records"] == 4


def test_unopened_records_of_the_customer_go_unopened(tmp_path: Path) -> None:
    at, _ = archive(tmp_path)
    told(at, disagree("wmA", T0 + 100_000))
    run(at, page(tmp_path, "b.json", {11: message(11, "不存", at_ms=T0 + 200_000), 12: message(12, "别人", to=["wmB"], at_ms=T0 + 200_000)}))
    assert values(at, "select msgid from withheld") == ["m11"]
    plan = erase.of_request(at, CORP, "wmA")
    assert plan.counts["withheld_sealed"] == 1
    do(at)
    lake = at.lake(CORP)
    assert lake.read("withheld_sealed", lake.snapshot().of("withheld_sealed")).num_rows == 0
    assert values(at, "select landed, archived, withheld from counts") == [(9, 8, 1)]
    assert erase.of_request(at, CORP, "wmA").nothing
    sound(at)


def test_what_is_approved_is_what_is_done_or_it_is_asked_anew(tmp_path: Path) -> None:
    at, _ = archive(tmp_path)
    plan = erase.of_request(at, CORP, "wmA")
    with pytest.raises(NotAllowed):
        erase.do(at, CORP, plan, action="erase", params={}, reason="", approval="")
    request = approvals.all_of(at, CORP)[0].request.id
    approvals.say(at, CORP, request, "approve")
    run(at, page(tmp_path, "c.json", {21: message(21, "又一句", to=["wmA"])}))
    with pytest.raises(NotAllowed) as differs:
        erase.do(at, CORP, erase.of_request(at, CORP, "wmA"), action="erase", params={}, reason="", approval=request)
    assert differs.value.code == "APPROVAL_DIFFERS" and values(at, "select count(*) from messages") == [8]


@pytest.mark.parametrize("step", ["_next_keys", "purge", "_unhide"])
def test_a_removal_that_was_killed_is_finished_by_the_next(tmp_path: Path, step: str, monkeypatch: pytest.MonkeyPatch) -> None:
    at, _ = archive(tmp_path)

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(stores if step == "purge" else take_out, step, killed)
        with pytest.raises(KeyboardInterrupt):
            do(at)
    assert take_out.finish(at, CORP) == 1 and take_out.finish(at, CORP) == 0
    assert anywhere(at, WORD) == [] and values(at, "select archived, removed from counts") == [(7, 4)]
    assert at.lake(CORP).snapshot().of("hidden") == []
    sound(at)


def test_restricted_records_open_inside_a_matter_by_two_and_each_opening_is_recorded(tmp_path: Path) -> None:
    at, _ = archive(tmp_path)
    told(at, disagree("wmA", T0))
    reconcile.run(at, CORP)
    assert values(at, "select count(*) from restricted") == [3]  # the pair refused; what wmA said in the room is another scope

    def opened(approval: str) -> list[dict[str, Any]]:
        return restricted.open_them(at, CORP, matter="M1", customer="wmA", msgids=[], reason="court", approval=approval)

    with pytest.raises(UsageError) as unknown:
        opened("")
    assert unknown.value.code == "MATTER_UNKNOWN"
    matter.begin(at, CORP, "M1", title="t", reason="r", review_on=None)
    rows = approved(at, opened)
    assert [(r["msgid"], WORD in r["text"]) for r in rows] == [("m1", True), ("m2", True), ("m5", False)]
    with pytest.raises(NotAllowed) as again:  # each opening takes an approval of its own
        opened(approvals.all_of(at, CORP)[0].request.id)
    assert again.value.code == "APPROVAL_USED"
    assert values(at, "select seq from messages order by seq") == [3, 4, 6, 7]


def test_restricted_records_are_removed_by_two_but_not_under_a_hold(tmp_path: Path) -> None:
    at, _ = archive(tmp_path)
    told(at, disagree("wmA", T0))
    reconcile.run(at, CORP)
    found = restricted.chosen(at, CORP, customer="wmA", msgids=[])
    matter.begin(at, CORP, "M1", title="t", reason="r", review_on=None)
    held = holds.place(at, CORP, matter="M1", reason="lawsuit", external_userid="wmA")
    with pytest.raises(NotAllowed) as refused:
        erase.do(at, CORP, erase.of_restricted(at, CORP, "wmA", found), action="restricted remove", params={}, reason="", approval="")
    assert refused.value.code == "REMOVAL_HELD"
    holds.release(at, CORP, held.hold_id, reason="over")
    plan = erase.of_restricted(at, CORP, "wmA", found)
    approved(at, lambda approval: erase.do(at, CORP, plan, action="restricted remove", params={}, reason="", approval=approval))
    assert values(at, "select active, restricted, removed from counts") == [(4, 0, 3)]
    reconcile.run(at, CORP)
    assert values(at, "select active, restricted, removed from counts") == [(4, 0, 3)]
    sound(at)



@pytest.mark.parametrize("ours", ["restricted", "active"])
def test_files_of_restricted_records_go_with_them_unless_another_record_shares_them(tmp_path: Path, ours: str) -> None:
    """m1 and m3 are wmA's, m2 and m4 wmB's; m1 and m2 have the same file. wmA refused, so that all of wmA's is restricted.

    Of wmA's (restricted) goes the file of m3 alone; of wmB's (active) that of m4 alone."""
    at = firm.home(tmp_path)
    customers = {1: "wmA", 2: "wmB", 3: "wmA", 4: "wmB"}
    run(at, page(tmp_path, "a.json", {n: image(n, f"f{n}", to=[customer]) for n, customer in customers.items()}))
    contents = {"f1": b"shared", "f2": b"shared", "f3": b"of wmA alone", "f4": b"of wmB alone"}
    assert fetch(at, Files(contents)).unverifiable == 4
    told(at, disagree("wmA", T0))
    reconcile.run(at, CORP)
    assert values(at, "select count(*) from restricted") == [2]

    def there() -> set[str]:
        return {name for name, data in contents.items() if media_store.address(at, CORP, "2026-11", hashlib.sha256(data).hexdigest()).exists()}

    assert there() == {"f1", "f2", "f3", "f4"}
    if ours == "restricted":
        plan = erase.of_restricted(at, CORP, "wmA", restricted.chosen(at, CORP, customer="wmA", msgids=[]))
        assert plan.counts["media"] == 1
        lost = approved(at, lambda approval: erase.do(at, CORP, plan, action="restricted remove", params={}, reason="", approval=approval))
    else:
        assert erase.of_request(at, CORP, "wmB").counts["media"] == 1
        lost = do(at, "wmB")
    assert lost["media"] == 1
    assert there() == {"f1", "f2", "f4" if ours == "restricted" else "f3"}
    sound(at)


def test_every_count_of_an_erasure_has_its_words() -> None:
    told_of = {*stores.REGISTRY, *take_out.CONTENT, *DIRECTORY, "records", "restricted_now", "kept_restricted", "custody"}
    for lang in ("zh", "en"):
        assert all(words.say(f"erase.count.{name}", lang) for name in told_of)
