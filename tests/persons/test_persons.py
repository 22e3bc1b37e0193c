"""Finding people, and linking them to the firm's own numbers."""

from __future__ import annotations

from typing import Any

import pytest

from pipeline import ingest, lakerows, schema
from pipeline.errors import UsageError
from pipeline.home import Home
from pipeline.people_import import read_people
from pipeline.persons import links
from pipeline.persons.find import find
from pipeline.reader import Reader
from tests import firm

PEOPLE = [
    '{"userid":"zhangsan","kind":"employee","name":"张三","alias":"Sam Zhang"}',
    '{"userid":"wmA","kind":"external","name":"王小红","valid_to":"2026-06-01"}',
    '{"userid":"wmA","kind":"external","name":"王红","valid_from":"2026-06-01"}',
    '{"userid":"wmB","kind":"external","name":"李四"}',
]
LINKS = b"""external_userid,kind,value,source,confidence
wmA,customer,C-1001,crm,proven
wmA,phone,13800005678,crm,stated
wmB,policy,P9,core,proven
wmB,name,\xe7\x8e\x8b\xe5\xa4\xaa\xe5\xa4\xaa,manager,guessed
"""

# zhangsan called wmA 房主王 until June and 王姐 since; lisi has his own name for her; wmD is known by a remark alone.
JUNE = 1_780_243_200_000  # 2026-06-01 00:00 in Beijing
FOLLOWS = [("wmA", "zhangsan", "房主王", None, JUNE), ("wmA", "zhangsan", "王姐Vip", JUNE, None), ("wmA", "lisi", "", None, None), ("wmD", "lisi", "李总朋友", None, None)]


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Home:
    folder = tmp_path_factory.mktemp("persons")
    at = firm.home(folder)
    entries = read_people([line.encode() for line in PEOPLE], recorded_at_ms=firm.T0)
    ingest.append(at, firm.CORP, [("people", lakerows.people_table(entries))], what="people")
    read, refused = links.read(LINKS)
    assert not refused
    ingest.append(at, firm.CORP, [("identities", links.table(read, LINKS))], what="identities")
    names = ("external_userid", "userid", "remark", "valid_from", "valid_to")
    follows: dict[str, list[Any]] = {name: [row[n] for row in FOLLOWS] for n, name in enumerate(names)}
    follows |= {"add_way": [1] * 4, "source": ["contacts"] * 4, "recorded_at": [firm.T0] * 4}
    ingest.append(at, firm.CORP, [("follows", schema.table("follows", follows))], what="follows")
    said = {n: firm.message(n, "你好", to=["wmA"]) for n in range(1, 4)} | {9: firm.message(9, "在", sender="wmC", to=["zhangsan"])}
    firm.run(at, firm.page(folder, "p.json", said))
    return at


@pytest.mark.parametrize(
    ("text", "ids"),
    [
        pytest.param("房主", ["wmA"], id="what a follower called them once"),
        pytest.param("vip", ["wmA"], id="a remark in another case"),
        pytest.param("李总", ["wmD"], id="somebody known by a remark alone"),
        pytest.param("李总朋友们", [], id="more than the remark"),
        pytest.param("王", ["wmA", "wmB"], id="a name, and a name the firm knows"),
        pytest.param("王小红", ["wmA"], id="a name of another time"),
        pytest.param("sam", ["zhangsan"], id="an alias in another case"),
        pytest.param("C-1001", ["wmA"], id="a customer number"),
        pytest.param("c-1001", ["wmA"], id="a customer number in another case"),
        pytest.param("C-100", [], id="half a customer number"),
        pytest.param("5678", ["wmA"], id="the tail of a phone"),
        pytest.param("678", [], id="a tail too short"),
        pytest.param("1380000", [], id="the head of a phone"),
        pytest.param("P9", ["wmB"], id="a policy"),
        pytest.param("wmC", ["wmC"], id="an id that only messages know"),
        pytest.param("'; drop table people; --", [], id="no SQL"),
        pytest.param("%", [], id="no wildcard"),
    ],
)
def test_a_person_is_found_by(archive: Home, text: str, ids: list[str]) -> None:
    with Reader(archive, firm.CORP) as reader:
        assert sorted(f.id for f in find(reader, text)) == ids


def test_a_person_is_told_with_all_names_numbers_and_talks(archive: Home) -> None:
    with Reader(archive, firm.CORP) as reader:
        (one,) = find(reader, "C-1001")
    assert one.names == ["王红", "王小红"]
    assert [(x["kind"], x["value"], x["confidence"]) for x in one.links] == [("customer", "C-1001", "proven"), ("phone", "13800005678", "stated")]
    assert (one.messages, one.conversations, one.by) == (3, ["wmA|zhangsan"], ["customer"])


def test_a_person_is_told_with_what_each_follower_called_them_and_when(archive: Home) -> None:
    with Reader(archive, firm.CORP) as reader:
        (one,) = find(reader, "王姐")
    assert one.by == ["remark"]
    told = [(x["remark"], x["name"], x["userid"], str(x["valid_from"] or "")[:10], str(x["valid_to"] or "")[:10]) for x in one.remarks]
    assert told == [("王姐Vip", "张三", "zhangsan", "2026-06-01", ""), ("房主王", "张三", "zhangsan", "", "2026-06-01")]


@pytest.mark.parametrize("text", ["wmC", "WMC", "wm", "zhang", "wmZ", "sam"])
def test_ids_looked_up_one_by_one_tell_what_all_messages_tell(archive: Home, text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with Reader(archive, firm.CORP) as reader:
        one_by_one = find(reader, text)
        monkeypatch.setattr("pipeline.persons.find.FEW", -1)
        assert find(reader, text) == one_by_one


def test_nothing_to_look_for_is_refused(archive: Home) -> None:
    with Reader(archive, firm.CORP) as reader, pytest.raises(UsageError) as told:
        find(reader, " ")
    assert told.value.code == "CUSTOMER_TEXT"


@pytest.mark.parametrize(
    ("line", "code"),
    [
        pytest.param({"external_userid": ""}, "EMPTY", id="no id"),
        pytest.param({"value": ""}, "EMPTY", id="no value"),
        pytest.param({"kind": "shoe size"}, "KIND", id="no such kind"),
        pytest.param({"confidence": "sure"}, "CONFIDENCE", id="no such confidence"),
        pytest.param({"valid_from": "yesterday"}, "TIME", id="no time"),
        pytest.param({"valid_from": "2026-02-01", "valid_to": "2026-01-01"}, "TIME", id="ends before it begins"),
        pytest.param({"value": "9" * 201}, "TOO_LONG", id="too long"),
    ],
)
def test_a_line_that_does_not_fit_is_named(line: dict[str, Any], code: str) -> None:
    import json

    good = {"external_userid": "wmA", "kind": "customer", "value": "C1"}
    data = "\n".join(json.dumps(x) for x in (good, {**good, **line})).encode()
    read, refused = links.read(data)
    assert len(read) == 1
    assert [(r.line, r.code) for r in refused] == [(2, code)]


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"\xff\xfe\x00", id="no text"),
        pytest.param(b"", id="nothing"),
        pytest.param(b"name,number\n", id="other columns and no line"),
        pytest.param(b"external_userid,kind,value\rwmA,customer,C1\r", id="lines that end as on old Macs"),
        pytest.param(b'external_userid,kind,value\nwmA,customer,"' + b"x" * 200_000 + b'"\n', id="a cell larger than csv takes"),
    ],
)
def test_a_file_that_is_no_list_of_links_is_refused(data: bytes) -> None:
    with pytest.raises(UsageError) as told:
        links.read(data)
    assert told.value.code == "IDENTITY_FILE"


def test_the_newest_import_of_a_pair_counts(archive: Home) -> None:
    again = b'{"external_userid":"wmB","kind":"policy","value":"P9","confidence":"guessed"}'
    ingest.append(archive, firm.CORP, [("identities", links.table(links.read(again)[0], again))], what="identities")
    assert firm.values(archive, "SELECT confidence FROM identities WHERE value = 'P9'") == ["guessed"]
