"""A record that comes again brings a newer id for its files: they are asked for by that one, and by no older one."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from pipeline.home import Home
from pipeline.source.media_fetch import Fetch
from tests import firm
from tests.firm import T0, message, refusal
from tests.source.fake import DAY, Fake, pull
from tests.source.test_media import MD5, Files, fetch, image

OLD = b"hello, files"


def ids(at: Home) -> list[tuple[int, str, str]]:
    """(seq, id, status) of every file as readers see it."""
    return firm.values(at, "select seq, sdkfileid, status from media order by seq, kind")


def picture(n: int, fileid: str, msgid: int = 1, **more: Any) -> dict[str, Any]:
    """The record m`msgid` under the seq n, with this id."""
    return {**image(n, fileid, md5=MD5[OLD], at_ms=T0, **more), "msgid": f"m{msgid}"}


def settled(tmp_path: Path, *batches: dict[int, dict[str, Any]]) -> Home:
    """A home in which these saved answers were ingested, one run each."""
    at = firm.home(tmp_path)
    for n, batch in enumerate(batches):
        firm.run(at, firm.page(tmp_path, f"{n}.json", batch))
    return at


CASES = [
    pytest.param([{1: picture(1, "old"), 9: picture(9, "new")}], [(1, "new", "pending")], id="in one page"),
    pytest.param([{1: picture(1, "old")}, {9: picture(9, "new")}], [(1, "new", "pending")], id="a day later", marks=pytest.mark.slow),
    pytest.param([{1: picture(1, "a")}, {9: picture(9, "b")}, {12: picture(12, "c")}], [(1, "c", "pending")], id="twice", marks=pytest.mark.slow),
    pytest.param([{1: picture(1, "a")}, {12: picture(12, "c")}, {9: picture(9, "b")}], [(1, "c", "pending")], id="an older one comes last"),
    pytest.param([{9: picture(9, "new")}, {1: picture(1, "old")}], [(9, "new", "pending")], id="the original has the higher seq", marks=pytest.mark.slow),
    pytest.param([{1: picture(1, "old"), 9: picture(9, "old")}], [(1, "old", "pending")], id="the same id", marks=pytest.mark.slow),
    pytest.param([{1: picture(1, "old")}, {9: picture(9, "new", text=1)}], [(1, "old", "pending")], id="other content is no duplicate", marks=pytest.mark.slow),
    pytest.param([{1: picture(1, "old")}, {1: picture(1, "maybe older")}], [(1, "old", "pending")], id="a saved answer with the same seq", marks=pytest.mark.slow),
]


@pytest.mark.parametrize(("batches", "expected"), CASES)
def test_the_id_of_the_duplicate_with_the_highest_seq_counts(tmp_path: Path, batches: list[dict[int, dict[str, Any]]], expected: list[tuple[int, str, str]]) -> None:
    assert ids(settled(tmp_path, *batches)) == expected


def test_a_record_pulled_again_brings_its_newer_id(tmp_path: Path) -> None:
    at = firm.home(tmp_path)
    pull(at, Fake({1: firm.item(1, picture(1, "old"))}))
    firm.run(at)
    again = {1: firm.item(1, picture(1, "new")), 2: firm.item(2, message(2))}
    pull(at, Fake(again, script=[firm.answer(again.values())]))
    ended = firm.run(at)
    assert ids(at) == [(1, "new", "pending")]
    assert (ended.summary.landed, firm.values(at, "select seq from messages order by seq")) == (1, [1, 2])


def test_another_record_pulled_under_the_same_seq_brings_no_id(tmp_path: Path) -> None:
    at = firm.home(tmp_path)
    pull(at, Fake({1: firm.item(1, picture(1, "old"))}))
    firm.run(at)
    other = {1: firm.item(1, picture(1, "another file", text=1)), 2: firm.item(2, message(2))}
    pull(at, Fake(other, script=[firm.answer(other.values())]))
    firm.run(at)
    assert ids(at) == [(1, "old", "pending")]


@pytest.mark.slow
def test_a_file_that_was_given_up_is_asked_for_again_and_one_that_is_stored_is_not(tmp_path: Path) -> None:
    at = settled(tmp_path, {1: picture(1, "gone"), 2: picture(2, "here", 2)})
    fetch(at, Files({"here": OLD}, failing={"gone": [10010]}))
    assert ids(at) == [(1, "gone", "expired"), (2, "here", "verified")]
    firm.run(at, firm.page(tmp_path, "again.json", {8: picture(8, "fresh", 1), 9: picture(9, "not needed", 2)}))
    assert ids(at) == [(1, "fresh", "pending"), (2, "here", "verified")]
    source = Files({"fresh": OLD})
    assert fetch(at, source).verified == 1
    assert {fileid for fileid, _ in source.slices} == {"fresh"}
    assert firm.values(at, "select status, sha256 from media where seq = 1") == [("verified", hashlib.sha256(OLD).hexdigest())]


@pytest.mark.slow
def test_each_of_several_files_of_a_message_gets_its_own_newer_id(tmp_path: Path) -> None:
    def record(n: int, *fileids: str) -> dict[str, Any]:
        items = [{"type": "image", "content": f'{{"sdkfileid":"{i}","md5sum":"","filesize":4}}'} for i in fileids]
        return {**message(n, at_ms=T0, msgtype="mixed", mixed={"item": items}), "msgid": "m1"}

    at = settled(tmp_path, {1: record(1, "a1", "b1")}, {9: record(9, "a1", "b2")})
    assert sorted(i for _, i, _ in ids(at)) == ["a1", "b2"]


@pytest.mark.slow
def test_the_withheld_stay_unasked_and_an_import_brings_nothing(tmp_path: Path) -> None:
    at = settled(tmp_path, {1: refusal(1, "wmB", at_ms=T0 - DAY), 2: picture(2, "no", 2, sender="wmB", to=["zhangsan"]), 3: picture(3, "yes", 3)})
    firm.run(at, firm.page(tmp_path, "b.json", {8: picture(8, "no, newer", 2, sender="wmB", to=["zhangsan"])}))
    plain = tmp_path / "old.jsonl"
    plain.write_bytes(json.dumps({"seq": 99, "message": picture(3, "of another archive", 3)}).encode() + b"\n")
    firm.run(at, plain=[plain])
    assert ids(at) == [(3, "yes", "pending")]


def test_an_id_that_comes_while_its_file_is_fetched_is_not_lost(tmp_path: Path) -> None:
    at = settled(tmp_path, {1: picture(1, "old"), 2: picture(2, "two", 2)})

    class Meanwhile(Files):
        def media(self, sdkfileid: str, index: str) -> Any:
            if not self.slices:
                firm.run(at, firm.page(tmp_path, "again.json", {8: picture(8, "new", 1), 9: picture(9, "two, newer", 2)}))
            return super().media(sdkfileid, index)

    Fetch(at, firm.CORP, Meanwhile({"two": OLD}, failing={"old": [10010]}), sleep=lambda _: None).run()
    # The failure by the old id says nothing about the new one; what was fetched is here, by whatever id.
    assert firm.values(at, "select seq, sdkfileid, status, sha256 is not null from media order by seq") == [(1, "new", "pending", False), (2, "two", "verified", True)]
