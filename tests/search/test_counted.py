"""What is kept once more of the messages, to count by: the same rows as the data files have, for every question, and nothing to be read by others."""

from __future__ import annotations

import os
import subprocess
import threading
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.dataset as ds
import pytest

from pipeline import audit, compact, ingest, schema, stamps
from pipeline import reader as reader_module
from pipeline.directory import Entry
from pipeline.errors import VerifyFailed
from pipeline.home import Home
from pipeline.lakerows import people_table
from pipeline.reader import Reader
from pipeline.search import counted, datafile, index, narrow
from pipeline.search.boxes import Damaged
from pipeline.search.candidates import rows_holding
from tests import firm
from tests.cli.inside import Answer
from tests.firm import message, page, run

QUESTIONS = (
    "SELECT * FROM messages ORDER BY ALL",
    "SELECT count(*) FROM messages",
    "SELECT seq, text FROM messages WHERE direction = 'outbound' AND room_id IS NULL ORDER BY ALL",
    "SELECT seq, text FROM messages WHERE seq = 300 ORDER BY ALL",
    "SELECT seq, raw FROM messages WHERE contains(text, '第 7 ') AND kind = 'message' ORDER BY ALL",
    "SELECT text FROM messages WHERE sender_id = 'nobody'",
    "SELECT sender_id, len(recipient_ids) AS n, count(*) FROM messages GROUP BY ALL ORDER BY ALL",
    "SELECT msgid, recalled_at, recalled_by, text FROM messages WHERE recalled_by IS NOT NULL ORDER BY ALL",
    "SELECT count(*) FROM messages WHERE recalled_at IS NULL AND direction = 'inbound'",
    "SELECT dt, count(DISTINCT conversation_id) FROM messages WHERE dt >= DATE '2026-11-01' GROUP BY ALL ORDER BY ALL",
)
FORM = 4093088625  # CRC-32 of 保证收益，稳赚不赔
PEOPLE = {"zhangsan", "lisi", "wm0", "wm1", "wm2", "wm3", "wm4"}


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Home:
    """400 messages of two employees and five customers, three of them recalled, compacted and indexed; twenty more that are hot still.

    One of them quotes a customer who refused later and says nothing himself."""
    folder = tmp_path_factory.mktemp("counted")
    at = firm.home(folder)

    def said(n: int) -> bytes:
        who, other = ("zhangsan", "lisi")[n % 2], f"wm{n % 5}"
        text = {**words, **common}.get(n, f"第 {n} 句")
        return firm.item(n, message(n, sender=other if n % 3 else who, to=[who if n % 3 else other], text=text, room="wr1" if n % 7 == 0 else ""))

    words = {3: "先转账给我", 4: "收款码发您", 20: "保证收益，稳赚不赔", 30: "投保要趁早", 41: "产品有风险，不保证收益", 60: "保证收益，稳赚不赔"}
    words[52] = "「王红：\n不要保存我的话」\n- - - - - -\n好的"
    common = dict.fromkeys(range(102, 180, 6), "节日快乐，祝您阖家幸福安康，万事如意")

    items = [said(n) for n in range(1, 401)] + [firm.item(500 + n, firm.recall(500 + n, f"m{n}", sender=("zhangsan", "lisi")[n % 2])) for n in (3, 30, 33)]
    run(at, page(folder, "a.json", items))
    compact.run(at, firm.CORP)
    with pytest.MonkeyPatch.context() as small:
        small.setattr(index, "LEAST_ROWS", 1)
        index.build(at, firm.CORP)
    quoted = people_table([Entry(userid="wmQ", kind="external", name="王红", recorded_at_ms=firm.T0)])
    ingest.append(at, firm.CORP, [("people", quoted)], what="test")
    run(at, page(folder, "b.json", [*(said(n) for n in range(401, 421)), firm.item(421, firm.refusal(421, "wmQ", "zhangsan", at_ms=firm.T0))]))
    return at


def asked(at: Home) -> list[list[dict[str, Any]]]:
    with Reader(at, firm.CORP) as reader:
        return [reader.rows(q) for q in QUESTIONS]


@pytest.fixture(scope="module")
def told(archive: Home) -> list[list[dict[str, Any]]]:
    """What is answered where everything is kept and in its place."""
    return asked(archive)


def kept(at: Home) -> list[Path]:
    return sorted((at.path / "search" / firm.CORP).glob("*.columns"))


@pytest.mark.slow
def test_every_question_is_answered_as_by_the_data_files(archive: Home, told: list[list[dict[str, Any]]], monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether all is kept, nothing, or the half of it; the answers to three of them by hand."""
    assert told[1][0]["count_star()"] == 423 and told[3] == [{"seq": 300, "text": "第 300 句"}] and told[5] == []
    assert [(r["msgid"], r["recalled_by"]) for r in told[7]] == [("m3", "lisi"), ("m30", "zhangsan"), ("m33", "lisi")]
    whole = {p: p.read_bytes() for p in kept(archive)}
    assert len(whole) > 2
    for n, (path, data) in enumerate(whole.items()):  # every second one is damaged: a byte of a column, the stamp's end, nothing left
        path.write_bytes((data[:-1] + bytes([data[-1] ^ 1]), data[: len(data) // 2], b"")[n % 3] if n % 2 else data)
    assert asked(archive) == told
    for path in whole:
        path.unlink()
    assert asked(archive) == told
    for path, data in whole.items():
        path.write_bytes(data)
    monkeypatch.setattr(narrow.Narrow, "read", lambda *_, **__: pytest.fail("kept columns were not asked"))
    with pytest.raises(BaseException, match="kept columns"):
        asked(archive)


NARROWED = {
    "recalls-near-money": {}, "promises-undisclosed": {"categories": "C01|C02|C03"}, "sales-without-disclosures": {}, "findings-of-employee": {"employee": "ZhangSan"},
    "off-channel": {"category": "C01"}, "same-text": {"customers": "2"}, "quotes-of-refused": {}, "consent-card": {"customer": "wm1"},
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("limit", ["", "FEW_CONVERSATIONS", "THEIR_GROUPS"], ids=["few conversations", "many of them", "in many row groups"])
def test_audits_that_look_at_what_matters_alone_answer_as_over_all_messages(archive: Home, limit: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The case files of sql/audit prove the queries; this proves that reading less changes nothing."""
    if limit:
        monkeypatch.setattr(reader_module, limit, -1)
    told = {one.name for one in audit.load_audits() if one.conversations or one.meta.words}
    assert told | {"consent-card"} == set(NARROWED)
    rows = {}
    with Reader(archive, firm.CORP) as reader:
        for name, given in NARROWED.items():
            asked_for = audit.find(name)
            values = audit.bind(asked_for, given)
            whole = reader.arrow(asked_for.sql, values)
            assert reader.answer(asked_for, values) == whole, name
            rows[name] = whole.num_rows
        assert reader.rows(QUESTIONS[1]) == [{"count_star()": 423}]  # and nothing stays narrowed
    assert [name for name, n in rows.items() if not n] == []


@pytest.mark.slow
@pytest.mark.parametrize(("employee", "found"), [("ZhangSan", ["wm0|zhangsan"]), ("lisi", [])], ids=["one conversation", "none"])
def test_messages_of_few_conversations_come_from_their_row_groups_and_findings_with_them(
    archive: Home, employee: str, found: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    one = audit.find("findings-of-employee")
    queries = ["SELECT DISTINCT conversation_id FROM matches", "SELECT DISTINCT conversation_id FROM messages"]
    with Reader(archive, firm.CORP) as reader:
        monkeypatch.setattr(counted.Messages, "may_hold", lambda *_: pytest.fail("kept columns were looked through"))
        with reader._that_matter(one, audit.bind(one, {"employee": employee})):
            assert [[r["conversation_id"] for r in reader.rows(q)] for q in queries] == [found, found]
        assert [len(reader.rows(q)) > len(found) for q in queries] == [not found, True]


@pytest.mark.slow
def test_row_groups_that_lack_the_words_are_not_looked_at(archive: Home) -> None:
    with Reader(archive, firm.CORP) as reader:
        rows = rows_holding(reader, ["投保"])
        assert sum(int(r.sum()) for r in rows.values()) < 400 == sum(len(r) for r in rows.values()) - 3
        with reader._only(holding=["投保"]):
            assert [r["text"] for r in reader.rows("SELECT text FROM messages WHERE contains(text, '投保')")] == ["投保要趁早"]
            assert reader.rows("SELECT count(*) AS n FROM messages")[0]["n"] < 423
        with reader._only(holding=["没有人说过的话"]):
            assert reader.rows("SELECT count(*) AS n FROM messages") == [{"n": 20}]  # hot ones have no index


@pytest.mark.slow
@pytest.mark.parametrize(
    ("disclosures", "told", "left"),
    [
        pytest.param("没有人说过的话", (2, False, 1), 1, id="nobody said it"),
        pytest.param("不保证", (2, True, 1), 2, id="said"),
        pytest.param("|", (2, False, 1), 2, id="no word"),
        pytest.param("不.证|(|*", (2, False, 1), 1, id="marks of expressions are words"),
    ],
)
def test_a_promise_without_a_time_counts_whatever_is_said_around_it(untimed: Home, disclosures: str, told: tuple[int, bool, int], left: int) -> None:
    """What row groups hold is asked of messages with a time alone. told: promises, disclosed, without a time; left: the messages that are looked at."""
    asked_for = audit.find("promises-undisclosed")
    values = audit.bind(asked_for, {"disclosures": disclosures, "show": "all", "days": "3660"})
    with Reader(untimed, firm.CORP) as reader:
        assert reader.answer(asked_for, values) == reader.arrow(asked_for.sql, values)
        assert [(r["promises"], r["disclosed"], r["without_time"]) for r in reader.answer(asked_for, values).to_pylist()] == [told]
        with reader._that_matter(asked_for, values):
            assert reader.rows("SELECT count(*) AS n FROM messages") == [{"n": left}]


@pytest.fixture(scope="module")
def untimed(tmp_path_factory: pytest.TempPathFactory) -> Home:
    """A message with two promises whose time is unknown, and a disclosure in the same conversation; compacted and indexed."""
    folder = tmp_path_factory.mktemp("untimed")
    at = firm.home(folder)
    said = [message(1, "保证收益，稳赚不赔", to=["wm1"], at_ms=0), message(2, "产品不保证本金", to=["wm1"])]
    run(at, page(folder, "a.json", [firm.item(n, body) for n, body in enumerate(said, 1)]))
    compact.run(at, firm.CORP)
    with pytest.MonkeyPatch.context() as small:
        small.setattr(index, "LEAST_ROWS", 1)
        index.build(at, firm.CORP)
    return at


def test_the_view_says_the_same_by_its_own_join(archive: Home) -> None:
    with Reader(archive, firm.CORP) as reader:
        quick = reader.rows(QUESTIONS[7])
        recalls = {r["msgid"]: (r["recalled_at"], r["recalled_by"]) for r in counted.recalls(reader.lake, reader.snapshot).to_pylist()}
        joined = reader.rows(
            "SELECT original_msgid AS msgid, arg_min({'recalled_at': recalled_at, 'recalled_by': recalled_by},"
            " (coalesce(recalled_at, TIMESTAMPTZ 'infinity'), seq)) AS first FROM lake_recalls GROUP BY ALL"
        )
    assert {r["msgid"]: (r["first"]["recalled_at"], r["first"]["recalled_by"]) for r in joined} == recalls
    assert {r["msgid"]: (r["recalled_at"], r["recalled_by"]) for r in quick} == recalls


@pytest.mark.slow
@pytest.mark.parametrize("rows", [[], [0], [3, 4, 5, 6], [0, 9, 10, 29], [12, 22], list(range(30))], ids=str)
def test_other_columns_come_from_the_row_groups_that_hold_the_rows(archive: Home, rows: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    lake = archive.lake(firm.CORP)
    snapshot = lake.snapshot()
    table = lake.read("messages", snapshot.of("messages")).slice(0, 30)
    file = lake.write(table, "messages", month=snapshot.of("messages")[0].month, group_rows=10)
    stored = lake.read("messages", [file], columns=["text", "parts"])
    messages = counted.Messages(archive.path, lake, snapshot, [file])
    (fragment,) = messages.get_fragments()
    assert fragment.num_row_groups == 3
    assert messages._others(fragment, pa.array(rows, pa.int64()).to_numpy(), ["text", "parts"]).to_pylist() == stored.take(pa.array(rows, pa.int64())).to_pylist()
    lake.purge([file])


def test_conditions_name_the_columns_they_rest_on() -> None:
    where = (ds.field("dt") > 1) & ds.field("conversation_id").isin(["kind " * 400] * 300) & (ds.field("text") == 'a "raw" word')
    assert set(counted._named_in(where, ("dt", "conversation_id", "text", "seq"))) == {"dt", "conversation_id", "text"}
    assert counted._named_in(None, ("dt",)) == []


@pytest.mark.parametrize(
    ("name", "known"),
    [
        pytest.param("sender_id", PEOPLE, id="kept by numbers"),
        pytest.param("recipient_ids", PEOPLE | {"wmA"}, id="lists; recalls go to wmA"),
        pytest.param("room_id", {"wr1"}, id="without null"),
    ],
)
def test_different_values_are_those_of_the_data_files(archive: Home, name: str, known: set[str], monkeypatch: pytest.MonkeyPatch) -> None:
    with Reader(archive, firm.CORP) as reader:
        assert reader.messages().different(name) == known
    monkeypatch.setattr(narrow, "read", lambda *_: None)  # from data files alone
    with Reader(archive, firm.CORP) as reader:
        assert reader.messages().different(name) == known


def test_audits_are_handed_ids_by_number_and_everything_else_as_words(archive: Home) -> None:
    query = "SELECT count(*) AS n FROM messages WHERE list_has_any(recipient_ids, ['wm1', 'nobody'])"
    with Reader(archive, firm.CORP) as reader:
        types = {f.name: f.type for f in reader.messages().only(None, numbered=True).schema if pa.types.is_dictionary(f.type)}
        assert set(types) == {"sender_id", "room_id", "conversation_id", "employee_id", "customer_id"}
        assert not any(pa.types.is_dictionary(t) for t in reader.messages().schema.types)
        known = sum("wm1" in r["recipient_ids"] for r in reader.rows("SELECT recipient_ids FROM messages"))
        with reader._only():
            assert reader.rows(query) == [{"n": known}] and known > 20
            assert [reader.rows(q) for q in QUESTIONS] == asked(archive)


def test_words_of_ours_in_findings_go_by_number_and_are_the_words_of_the_files(archive: Home) -> None:
    columns = ["seq", "origin", "direction", "rule_id", "category", "severity", "party", "via", "lexicon_version", "suppressed_by"]
    chosen = ", ".join(columns)
    with Reader(archive, firm.CORP) as reader:
        assert {f.name for f in reader._whole("matches").schema if pa.types.is_dictionary(f.type)} == {*columns} - {"seq", "suppressed_by"}
        stored = reader.lake.read("matches", reader.snapshot.of("matches"), columns=columns).to_pylist()
        for _ in range(2):  # read, and as it was kept
            told = reader.rows(f"SELECT {chosen} FROM matches_all")
            assert sorted(told, key=str) == sorted(stored, key=str) and len(told) == 2
        offered = reader.rows("SELECT seq, severity FROM matches WHERE party = 'employee' AND rule_id LIKE 'c01%' ORDER BY ALL")
        assert offered == [{"seq": 60, "severity": "high"}] * 2  # two promises in one message; a customer said 20


def test_where_nothing_was_recalled_nothing_is_told_of_recalls(untimed: Home) -> None:
    nothing = {"recalled_at": None, "recalled_by": None}
    with Reader(untimed, firm.CORP) as reader:
        assert reader.rows("SELECT recalled_at, recalled_by FROM messages") == [nothing, nothing]
        assert reader.rows("SELECT count(*) AS n, count(recalled_at) AS recalled FROM messages") == [{"n": 2, "recalled": 0}]
        assert reader.rows("SELECT seq, recalled_by FROM messages WHERE recalled_by IS NULL ORDER BY seq") == [{"seq": n, "recalled_by": None} for n in (1, 2)]
        (talk,) = {r["conversation_id"] for r in reader.rows("SELECT conversation_id FROM messages")}
        with reader.about(talk):
            assert reader.rows("SELECT recalled_at, recalled_by FROM messages") == [nothing, nothing]
            assert reader.rows("SELECT seq, text, recalled_at FROM messages WHERE seq = 2") == [{"seq": 2, "text": "产品不保证本金", "recalled_at": None}]


def test_conditions_on_ids_reach_the_scan_where_people_ask(archive: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    with Reader(archive, firm.CORP) as reader:
        told, scan = [], counted.Messages.scanner

        def scanner(self: counted.Messages, **asked: Any) -> Any:
            told.append(str(asked.get("filter")))
            return scan(self, **asked)

        monkeypatch.setattr(counted.Messages, "scanner", scanner)
        assert reader.rows("SELECT text FROM messages WHERE sender_id = 'nobody'") == []
    assert told == ['(sender_id == "nobody")']


def test_length_and_digest_of_texts_are_kept_or_worked_out(archive: Home) -> None:
    """Both in one archive: twenty messages are hot, and have nothing kept beside them."""
    with Reader(archive, firm.CORP) as reader:
        rows = reader.rows("SELECT seq, text, text_characters, text_form FROM lake_messages")
        assert [(r["text_characters"], r["text_form"]) for r in rows] == [(len(r["text"]), zlib.crc32(r["text"].encode())) for r in rows]
        assert {r["text"]: r["text_form"] for r in rows}["保证收益，稳赚不赔"] == FORM
        assert {r["seq"] for r in reader.rows(f"SELECT seq FROM lake_messages WHERE text_form = {FORM} AND text_characters = 9")} == {20, 60}


@pytest.mark.parametrize(
    ("name", "words"),
    [
        pytest.param("conversation_id", ["wm1|zhangsan", "wr1", "wm1|zhang"], id="some conversations, one that is not there"),
        pytest.param("conversation_id", ["wm1|zhang", "m1|zhangsan"], id="parts of ids"),
        pytest.param("conversation_id", [], id="none"),
        pytest.param("room_id", ["wr1"], id="nothing may be anything"),
        pytest.param("seq", [1, 7, 300, 9_999], id="numbers, one that is not there"),
    ],
)
def test_rows_that_may_hold_words_are_told_without_reading_all_words(archive: Home, name: str, words: list[Any]) -> None:
    lake = archive.lake(firm.CORP)
    snapshot = lake.snapshot()
    with Reader(archive, firm.CORP) as reader:
        told = reader.messages().may_hold(name, pa.array(words, schema.kind("messages").arrow.field(name).type))
    assert len(told) == len(kept(archive)) > 0
    for file in (f for f in snapshot.of("messages") if f.path in told):
        plain = lake.read("messages", [file], columns=[name, "seq"]).to_pylist()
        assert told[file.path].tolist() == [row[name] is None or row[name] in words for row in plain]
        one = narrow.read(archive.path, lake, snapshot, file)
        chosen = [n for n, may in enumerate(told[file.path].tolist()) if may]
        assert one is not None and one.read([name, "seq"], chosen).to_pylist() == [plain[n] for n in chosen]


@pytest.mark.parametrize("beside", [pytest.param(True, id="kept beside the files"), pytest.param(False, id="from data files alone")])
@pytest.mark.parametrize("few", [pytest.param(0, id="by their seqs"), pytest.param(200, id="by row groups of their days")])
def test_messages_of_some_seqs_and_days_are_the_same_looked_at_alone(archive: Home, beside: bool, few: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reader_module, "FEW_GROUPS", few)
    query, wanted = "SELECT seq, origin, dt, parts, recalled_by FROM messages ORDER BY ALL", {3, 30, 200, 400, 405, 503, 9_999}
    if not beside:
        monkeypatch.setattr(narrow, "read", lambda *_: None)
    with Reader(archive, firm.CORP) as reader:
        everything = reader.rows(query)
        days = sorted({row["dt"] for row in everything})
        for some in (days, days[:1], days[-1:], [days[0], days[-1]]):
            with reader.of_records(wanted, some):
                assert reader.rows(query) == [row for row in everything if row["seq"] in wanted and row["dt"] in some]
        assert reader.rows(query) == everything
    assert {row["seq"] for row in everything} >= wanted - {9_999}


def test_nobody_else_reads_what_is_kept(archive: Home) -> None:
    lake = archive.lake(firm.CORP)
    snapshot = lake.snapshot()
    assert not any(word in p.read_bytes() for p in kept(archive) for word in (b"zhangsan", b"wm1", b"m300", b"message"))
    files = [f for f in snapshot.of("messages") if narrow.place(archive.path, firm.CORP, f).exists()]
    one, other = files[0], files[1]
    mine, whole = narrow.place(archive.path, firm.CORP, one), narrow.place(archive.path, firm.CORP, one).read_bytes()
    mine.write_bytes(narrow.place(archive.path, firm.CORP, other).read_bytes())  # another file's, whole
    with pytest.raises(Damaged):
        narrow.read(archive.path, lake, snapshot, one)
    mine.write_bytes(whole)
    found = narrow.read(archive.path, lake, snapshot, one)
    assert found is not None and found.read(narrow.COLUMNS).to_pylist() == lake.read("messages", [one], columns=list(narrow.COLUMNS)).to_pylist()
    assert not set(narrow.COLUMNS) & {"text", "parts", "raw", "quotes", "text_clear", "parts_clear", "nonce"}


# What can lie in the place of what is kept, and is no file that answers.
IN_ITS_PLACE: dict[str, Callable[[Path], object]] = {
    "an empty folder": lambda at: at.mkdir(),
    "a folder with something in it": lambda at: (at / "x").mkdir(parents=True),
    "a link that leads round": lambda at: at.symlink_to(at),
    "a link to a folder": lambda at: at.symlink_to(at.parent),
    "a pipe": lambda at: os.mkfifo(at),
    "somebody else's file": lambda at: at.write_bytes(b"LHCO\x01 and then nothing of ours" * 9),
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("what", IN_ITS_PLACE)
def test_whatever_lies_in_its_place_is_passed_by_and_told(archive: Home, told: list[list[dict[str, Any]]], what: str) -> None:
    folder = archive.path / "search" / firm.CORP
    for path in (first := kept(archive)[0], other := kept(archive)[0].with_suffix(".index")):
        path.rename(path.with_suffix(path.suffix + ".away"))
        IN_ITS_PLACE[what](path)
    try:
        assert asked(archive) == told
        for call in (["sql", "SELECT count(*) AS n, max(dt) AS d FROM messages WHERE direction = 'outbound'"], ["search", "第 300 句"]):
            answer = Answer(Home(archive.path), *call)
            assert (answer.code, len(answer.rows)) == (0, 1) and "1 个文件的索引已损坏" in answer.err, answer.err
        with pytest.MonkeyPatch.context() as small:
            small.setattr(index, "LEAST_ROWS", 1)
            done = index.build(archive, firm.CORP)
            assert done.blocked == (2 if "empty folder" in what or "with something" in what else 0)
            assert first.is_dir() == other.is_dir() == bool(done.blocked)
            assert index.build(archive, firm.CORP).made == 0  # not again every time
            assert index.sweep(archive, firm.CORP, index.wanted(archive.lake(firm.CORP).snapshot())) == 0
        assert asked(archive) == told
    finally:
        for path in folder.glob("*.away"):
            subprocess.run(["rm", "-rf", path.with_suffix("")], check=True)
            path.rename(path.with_suffix(""))


@pytest.mark.parametrize("change", [pytest.param({"maker": "counted columns/2"}, id="an earlier release"), pytest.param({"head": 1 << 40}, id="a later version")])
def test_what_was_kept_by_another_release_or_at_a_later_version_is_passed_by_and_no_damage(
    archive: Home, told: list[list[dict[str, Any]]], change: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    first, judge = kept(archive)[0], stamps.judge
    monkeypatch.setattr(stamps, "judge", lambda found, *others: judge(msgspec.structs.replace(found, **change), *others))
    home = Home(archive.path)
    lake = home.lake(firm.CORP)
    snapshot = lake.snapshot()
    (file,) = [f for f in snapshot.of("messages") if f.sha256 == first.stem]
    assert narrow.read(home.path, lake, snapshot, file) is None
    assert asked(home) == told and home.damaged == set()
    answer = Answer(home, "sql", "SELECT count(*) AS n, max(dt) AS d FROM messages WHERE direction = 'outbound'")
    assert (answer.code, answer.err.strip()) == (0, "")


def test_an_erasure_takes_it_away_with_its_file(archive: Home) -> None:
    """Last of this file: the index is swept as if all data files had been written anew."""
    before = kept(archive)
    assert index.sweep(archive, firm.CORP, []) == len(before) > 0
    assert kept(archive) == []


def in_all_groups(reader: Reader) -> tuple[counted.Messages, list[str]]:
    """The messages by the row groups of all their files, and these files, in the order in which they are read."""
    files = reader.snapshot.of("messages")
    groups = {f.path: list(range(reader.lake.opened(f).metadata.num_row_groups)) for f in files}
    return reader.messages().in_groups(groups), list(groups)


def test_files_that_are_read_side_by_side_give_their_rows_in_order(archive: Home) -> None:
    with Reader(archive, firm.CORP) as reader:
        some, paths = in_all_groups(reader)
        assert len(paths) > counted.AT_ONCE
        one_by_one = [reader.lake.read("messages", [f], columns=["seq", "text"]) for path in paths for f in reader.snapshot.of("messages") if f.path == path]
        assert pa.Table.from_batches(some.scanner(columns=["seq", "text"]).to_batches()).equals(pa.concat_tables(one_by_one).combine_chunks())


def test_a_scan_that_ends_early_or_fails_leaves_no_thread(archive: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    with Reader(archive, firm.CORP) as reader:
        some, paths = in_all_groups(reader)
        before = threading.active_count()
        found = some._in_groups(paths, ["seq"])
        next(found)
        found.close()
        assert threading.active_count() == before
        monkeypatch.setattr(datafile.Opened, "declared", lambda *_: (_ for _ in ()).throw(VerifyFailed("FILE_DAMAGED", "a file was changed")))
        with pytest.raises(VerifyFailed, match="was changed"):
            list(some._in_groups(paths, ["seq"]))
        assert threading.active_count() == before
