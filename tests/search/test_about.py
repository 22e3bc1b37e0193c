"""A conversation read from the row groups that hold it is the conversation read from everything."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pipeline import audit, compact, layout
from pipeline.ask_conversation import gather
from pipeline.home import Home
from pipeline.reader import Reader
from pipeline.search import candidates, index
from tests import firm
from tests.firm import T0, message, page, run

DAY = 86_400_000
VIEWS = ("messages", "matches", "matches_all", "media")


def said() -> dict[int, dict[str, Any]]:
    rooms = {n: message(n, f"保本 {n}", sender="lisi", to=["wmA", "wmB"], room="wr1", at_ms=T0 - n * DAY) for n in range(1, 9)}
    pairs = {n: message(n, f"保本保息 {n}", sender="zhangsan", to=[f"wm{'AB'[n % 2]}"], at_ms=T0 - n * DAY) for n in range(20, 44)}
    picture = message(60, sender="wmA", to=["zhangsan"], msgtype="image", at_ms=T0)
    del picture["text"]
    return {**rooms, **pairs, 60: {**picture, "image": {"sdkfileid": "x", "md5sum": "0" * 32, "filesize": 3}}}


@pytest.fixture(scope="module", params=["hot", "compacted", "compacted into small row groups"])
def archive(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Iterator[tuple[Home, bool]]:
    """The archive with an index of every file, hot and compacted."""
    folder, compacted = tmp_path_factory.mktemp("about"), request.param != "hot"
    at = firm.home(folder)
    run(at, page(folder, "a.json", said()))
    with pytest.MonkeyPatch.context() as patch:
        if request.param.endswith("small row groups"):
            patch.setattr(layout, "GROUP_ROWS", dict.fromkeys(layout.GROUP_ROWS, 2))
        if compacted:
            compact.run(at, firm.CORP)
        patch.setattr(index, "LEAST_ROWS", 1)
        index.build(at, firm.CORP)
        yield at, compacted


@pytest.mark.slow
@pytest.mark.parametrize("conversation", ["wr1", "wmA|zhangsan", "nobody|wmZ"])
def test_a_part_of_the_archive_says_the_same_of_one_conversation(archive: tuple[Home, bool], conversation: str) -> None:
    at, compacted = archive
    with Reader(at, firm.CORP) as reader:
        before = asked(reader, conversation)
        with reader.about(conversation):
            inside = asked(reader, conversation)
            narrowed = reader.rows("SELECT count(*) AS n FROM messages")
        assert inside == before
        assert asked(reader, conversation) == before
        assert reader.rows("SELECT count(*) AS n FROM messages") == [{"n": 33}]
        if compacted or not before["messages"]:  # a hot file has few row groups; in a sorted one nothing else is read
            assert narrowed == [{"n": len(before["messages"])}]
        assert len(before["messages"]) == {"wr1": 8, "wmA|zhangsan": 13, "nobody|wmZ": 0}[conversation]


@pytest.mark.slow
@pytest.mark.parametrize("conversation", ["wr1", "wmA|zhangsan", "nobody|wmZ"])
def test_row_groups_of_findings_are_those_that_hold_one_of_the_conversation(archive: tuple[Home, bool], conversation: str) -> None:
    with Reader(archive[0], firm.CORP) as reader:
        found = candidates.findings_of_conversation(reader, conversation, candidates.groups_of_conversation(reader, conversation))
        plain: dict[str, list[int]] = {}
        for file in reader.snapshot.of("matches"):
            with reader.lake.opened(file) as opened:
                for n in range(opened.num_row_groups):
                    if conversation in opened.read_row_group(n, columns=["conversation_id"])["conversation_id"].to_pylist():
                        plain.setdefault(file.path, []).append(n)
    assert found == plain and bool(found) == (conversation != "nobody|wmZ")


def asked(reader: Reader, conversation: str) -> dict[str, list[dict[str, Any]]]:
    where = "WHERE conversation_id = $id ORDER BY ALL"
    media = "SELECT * FROM media WHERE msgid IN (SELECT msgid FROM messages WHERE conversation_id = $id) ORDER BY ALL"
    return {v: reader.rows(media if v == "media" else f"SELECT * FROM {v} {where}", {"id": conversation}) for v in VIEWS}


@pytest.mark.slow
@pytest.mark.parametrize("who", ["wmA", "wmB", "wmNobody"])
@pytest.mark.parametrize("name", ["customer-thread", "customer-conversations"])
def test_an_audit_about_a_person_says_the_same_from_this_persons_messages(archive: tuple[Home, bool], name: str, who: str) -> None:
    at, _ = archive
    asked = audit.find(name)
    assert asked.meta.messages_of == "customer"
    values = audit.bind(asked, {"customer": who})
    with Reader(at, firm.CORP) as reader:
        whole = reader.arrow(asked.sql, values)
        assert reader.answer(asked, values) == whole
        assert whole.num_rows == {"customer-thread": {"wmA": 21, "wmB": 20, "wmNobody": 0}, "customer-conversations": {"wmA": 2, "wmB": 2, "wmNobody": 0}}[name][who]


def test_its_page_is_the_same_with_an_index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(index, "LEAST_ROWS", 1)
    at: Home = firm.home(tmp_path)
    run(at, page(tmp_path, "a.json", said()))
    with Reader(at, firm.CORP) as reader:
        without = gather(reader, "wmA|zhangsan", around=None, demo=False)[0]
    index.build(at, firm.CORP)
    with Reader(at, firm.CORP) as reader:
        assert gather(reader, "wmA|zhangsan", around=None, demo=False)[0] == without
