"""Verification: shares nothing with the writer, does its arithmetic by the definition, and says which records are concerned."""

from __future__ import annotations

import ast
import errno
import json
import os
import sys
from hashlib import sha256
from multiprocessing.connection import Connection
from pathlib import Path
from queue import SimpleQueue

import pyarrow as pa
import pytest

from pipeline import (
    anchors,
    verify_anchors,
    verify_columns,
    verify_files,
    verify_keys,
    verify_leaf,
    verify_ledger,
    verify_log,
    verify_work,
    words,
)
from pipeline.errors import UsageError
from pipeline.verify import verify_archive
from pipeline.verify_ledger import Ledger
from pipeline.verify_log import Log
from pipeline.verify_parts import Reading
from pipeline.verify_report import Report, ranges, records

ROOT = Path(__file__).parents[2]
MODULES = sorted(p.name for p in (ROOT / "pipeline").glob("verify*.py"))
OWN = {f"pipeline.{name.removesuffix('.py')}" for name in MODULES}


def imported(path: Path) -> set[str]:
    """Every module that a file imports, by its full name."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            found |= {a.name for a in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0 and node.module
            found |= {f"pipeline.{a.name}" for a in node.names} if node.module == "pipeline" else {node.module}
    return found


def test_the_verification_is_all_there() -> None:
    assert MODULES == [
        "verify.py", "verify_anchors.py", "verify_columns.py", "verify_digests.py", "verify_files.py", "verify_keys.py", "verify_leaf.py", "verify_ledger.py", "verify_log.py",
        "verify_media.py", "verify_parts.py", "verify_report.py", "verify_rows.py", "verify_stamps.py", "verify_strays.py", "verify_tree.py", "verify_work.py",
    ]  # fmt: skip


@pytest.mark.parametrize("name", MODULES)
def test_verification_imports_nothing_that_writes(name: str) -> None:
    for module in imported(ROOT / "pipeline" / name) - OWN - {"pipeline.errors"}:
        top = module.split(".")[0]
        assert top in sys.stdlib_module_names or top in ("numpy", "pyarrow", "cryptography", "stringzilla"), module


def test_errors_which_it_may_import_import_nothing_of_ours() -> None:
    assert not [m for m in imported(ROOT / "pipeline/errors.py") if m.startswith("pipeline")]


@pytest.mark.parametrize(
    ("numbers", "told"),
    [
        pytest.param([], "", id="none"),
        pytest.param([3], "3", id="one"),
        pytest.param([5, 3, 4, 9, 3], "3-5, 9", id="ranges, repeats and disorder"),
        pytest.param(range(0, 44, 2), ", ".join(map(str, range(0, 40, 2))) + " (+2)", id="more than twenty ranges"),
    ],
)
def test_numbers_are_told_as_ranges(numbers: list[int], told: str) -> None:
    assert ranges(numbers) == told


def test_records_are_told_by_origin_and_a_record_without_seq_is_not_left_out() -> None:
    assert records([("sealed", 2), ("imported", 7), ("sealed", 1), ("sealed", None)]) == "imported 7; sealed 1-2, ?"


# -- the arithmetic, by hand from docs/formats.md, section 9 -----------------------------------------------------------


def test_a_commitment_is_the_one_of_the_definition() -> None:
    nonce, label = bytes(range(32)), b"liuhen-record-v1\0"

    def digest(group: bytes, data: bytes) -> bytes:
        return sha256(label + group + b"\0" + sha256(nonce + group).digest() + len(data).to_bytes(8, "big") + data).digest()

    text = b'{"parts":null,"text":null}'
    parties = b'{"recipient_ids":null,"room_id":null,"sender_id":null}'
    rest = (
        b'{"action":null,"captured_at_ms":5,"code":"KEY_MISSING","corp_id":"ww1","fate":"failed","key_version":2,"kind":null,"media":null,'
        b'"msgid":"m1","msgtype":null,"origin":"sealed","raw_commitment":null,"reason":null,"scope_ref":null,"sealed_sha256":null,'
        b'"sent_at_ms":null,"seq":1}'
    )
    by_hand = sha256(label + digest(b"text", text) + digest(b"parties", parties) + digest(b"rest", rest)).digest()
    made = verify_leaf.decision(
        nonce, captured_at_ms="5", code='"KEY_MISSING"', corp_id='"ww1"', fate='"failed"', key_version="2", msgid='"m1"', origin='"sealed"', seq="1"
    )
    assert made == by_hand


@pytest.mark.parametrize(
    ("value", "written"),
    [
        pytest.param(None, "null", id="null"),
        pytest.param('"\\/', r'"\"\\/"', id="quote, backslash, slash"),
        pytest.param("\b\t\n\f\r\x01\x1f\x7f", '"\\b\\t\\n\\f\\r\\u0001\\u001f\x7f"', id="control characters"),
        pytest.param("保本😀\u2028", '"保本😀\u2028"', id="what need not be escaped is not"),
    ],
)
def test_text_is_canonical_json(value: str | None, written: str) -> None:
    assert verify_leaf.text_of(value) == written


def test_integers_above_2_to_53_are_strings_and_2_to_53_is_none() -> None:
    assert [verify_leaf.number(n) for n in (None, 0, 9007199254740992, 9007199254740993)] == ["null", "0", "9007199254740992", '"9007199254740993"']


def test_parts_and_files_are_written_with_sorted_keys() -> None:
    assert verify_leaf.parts_of([{"path": "text.content", "text": "你好"}]) == '[{"path":"text.content","text":"你好"}]'
    assert verify_leaf.media_of([{"kind": "image", "declared_md5": None, "declared_size": 10}]) == '[{"declared_md5":null,"declared_size":10,"kind":"image"}]'
    assert (verify_leaf.parts_of([]), verify_leaf.media_of([])) == ("[]", "null")


def test_a_control_record_is_read_from_its_own_bytes() -> None:
    plain = {"msgid": "m5", "from": "wmA", "tolist": ["zhangsan", 7], "roomid": "", "msgtime": 1795140000, "msgtype": "disagree", "action": "send"}
    body = {"userid": "wmA", "disagree_time": 1795140000000, "note": "不同意"}
    text, parties, fields = verify_leaf.control_groups(json.dumps({**plain, "disagree": body}).encode(), 1_795_150_000_000)
    assert text == '{"parts":[{"path":"disagree.note","text":"不同意"}],"text":"不同意"}'
    assert parties == '{"recipient_ids":["zhangsan","7"],"room_id":null,"sender_id":"wmA"}'
    assert fields == {"action": '"send"', "msgtype": '"disagree"', "kind": '"control"', "sent_at_ms": "1795140000000"}


@pytest.mark.parametrize("plain", [b"", b"[1]", b'{"agree":[{"content":"{}"}]}', b'{"agree":{"sdkfileid":"x"}}'])
def test_a_control_record_of_another_form_is_not_guessed_at(plain: bytes) -> None:
    with pytest.raises(verify_leaf.Exotic):
        verify_leaf.control_groups(plain, 0)


# -- anchors -----------------------------------------------------------------------------------------------------------


class Lake:
    """A log and its anchors, without files."""

    def __init__(self, home: Path) -> None:
        self.home, self.root = home, home / "lake" / "ww1"
        self.log = self.root / "_delta_log"
        self.log.mkdir(parents=True)
        self.entry(0, "first")

    def entry(self, version: int, word: str, leaves: int = 0) -> None:
        """Write an entry; leaves: the number after its last leaf, 0 for an entry without records."""
        lines: list[object] = [{"commitInfo": {"liuhen": word}}]
        if leaves:
            stats = json.dumps({"maxValues": {"leaf": leaves - 1}})
            lines.append({"add": {"path": "x", "partitionValues": {"kind": "records"}, "stats": stats}})
        if version:
            lines.append({"txn": {"appId": "head", "version": version}})
        (self.log / f"{version:020d}.json").write_text("".join(json.dumps(line) + "\n" for line in lines))

    def anchor(self, version: int) -> None:
        anchors.catch_up(self.root, version, self.home / "keys" / "keyring.json")

    def told(self) -> list[tuple[int, int, int]]:
        return [(a.version, a.head, a.next_leaf) for a in anchors.read(self.root)]

    def verified(self) -> tuple[list[str], list[str]]:
        """Codes of findings and notes of a verification of the anchors."""
        report = Report("ww1")
        log = Log(entries={int(p.stem): sha256(p.read_bytes()).hexdigest() for p in self.log.glob("*.json")}, whole=False)
        log.version = max(log.entries)
        verify_anchors.check(log, verify_anchors.read(self.home, "ww1", report), report)
        return [f.code for f in report.findings], [n.code for n in report.notes]


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(tmp_path)


def test_each_commit_appends_its_anchor_and_the_first_one_that_of_the_empty_table(lake: Lake) -> None:
    lake.entry(1, "settle", leaves=21)
    lake.anchor(1)
    lake.entry(2, "run")
    lake.anchor(2)
    assert lake.told() == [(0, 0, 0), (1, 1, 21), (2, 2, 21)]
    assert lake.verified() == ([], [])


ODD = ["", "你好", 'he said "no"', "back\\slash", "tab\tand\nline", "\x00\x1f\x7f", "\u2028 \U0001f600", None]


def test_commitments_made_column_by_column_are_those_made_row_by_row() -> None:
    """Every odd text in every place, null lists, clear columns, a seq above 2^53, files."""
    count = len(ODD)
    nonces = [bytes([n]) * 32 for n in range(count)]
    texts = [t or "" for t in ODD]
    listed: list[list[str] | None] = [[t, "x"] if t else [] if t == "" else None for t in ODD]
    told = [[{"path": "a", "text": t}, {"path": "b.c", "text": t}] for t in texts]
    seqs = [*range(count - 1), (1 << 62) + 1]
    media = ["null", *['[{"declared_md5":null,"declared_size":1,"kind":"image"}]'] * (count - 1)]
    captured: list[int | None] = [None, *range(1, count)]
    rows = pa.table({
        "parts": pa.array(told, pa.list_(pa.struct([("path", pa.string()), ("text", pa.string())]))),
        "parts_clear": pa.array([*[None] * (count - 2), told[1], []], pa.list_(pa.struct([("path", pa.string()), ("text", pa.string())]))),
        "text": texts, "text_clear": pa.array([*[None] * (count - 1), 'clear "x"'], pa.string()), "recipient_ids": pa.array(listed, pa.list_(pa.string())),
        "room_id": pa.array(ODD, pa.string()), "sender_id": pa.array(ODD, pa.string()), "action": texts, "kind": ["message"] * count, "msgid": texts,
        "msgtype": texts, "sealed_sha256": pa.array([*[bytes(32)] * (count - 1), None], pa.binary()), "seq": pa.array(seqs, pa.uint64()),
        "sent_at": pa.array([None, *[n * 1_000_000 + 999 for n in range(1, count)]], pa.timestamp("us", "UTC")), "key_version": pa.array([None, *[7] * (count - 1)], pa.int64()),
    })  # fmt: skip
    nonces[2:4], raws = [b"", b"of another length"], [t.encode() for t in texts]
    files = pa.array([None, *media[1:]], pa.string())
    found = verify_columns.groups(rows, corp_id='c"', origin="sealed", captured=pa.array(captured, pa.int64()), key_version=rows["key_version"], media=files)
    made = verify_columns.commitments(pa.array(nonces, pa.binary()), pa.array(raws, pa.binary()), found)
    text_of, number = verify_leaf.text_of, verify_leaf.number
    for n, row in enumerate(rows.to_pylist()):
        parts = row["parts"] if row["parts_clear"] is None else row["parts_clear"]
        text = row["text"] if row["text_clear"] is None else row["text_clear"]
        recipients = "null" if row["recipient_ids"] is None else verify_leaf.texts(row["recipient_ids"])
        sealed = None if row["sealed_sha256"] is None else row["sealed_sha256"].hex()
        slow = verify_leaf.decision(
            nonces[n], text=f'{{"parts":{verify_leaf.parts_of(parts)},"text":{text_of(text)}}}',
            parties=f'{{"recipient_ids":{recipients},"room_id":{text_of(row["room_id"])},"sender_id":{text_of(row["sender_id"])}}}',
            action=text_of(row["action"]), captured_at_ms=number(captured[n]), corp_id=text_of('c"'), fate='"archived"', key_version=number(row["key_version"]),
            kind='"message"', media=media[n], msgid=text_of(row["msgid"]), msgtype=text_of(row["msgtype"]), origin='"sealed"',
            raw_commitment=text_of(verify_leaf.raw_commitment(nonces[n], raws[n])), sealed_sha256=text_of(sealed), seq=number(row["seq"]),
            sent_at_ms=number(None if n == 0 else n * 1000),
        )  # fmt: skip
        assert made[n].tobytes() == slow, row


@pytest.mark.parametrize("key", [pytest.param(b"k" * 32, id="32 bytes"), pytest.param(b"k" * 65, id="longer than a block")])
def test_the_quick_way_to_fingerprints_is_the_plain_one(key: bytes) -> None:
    made = verify_columns.fingerprints(key, "ww1", pa.array([b"m1", b"", b"m" * 200], pa.binary()))
    assert [m.tobytes() for m in made] == [verify_leaf.pseudonym(key, "ww1", "msgid", sha256(m).hexdigest()) for m in (b"m1", b"", b"m" * 200)]


@pytest.mark.parametrize("start", range(len(ODD) + 1))
def test_texts_that_need_an_escape_are_found_in_any_part_of_a_column(start: int) -> None:
    own = ["plain", *ODD, "", "", "a\"", ""]
    column = pa.array(own, pa.string()).slice(start)
    assert verify_columns.quoted(column).to_pylist() == [verify_leaf.text_of(t) for t in own[start:]]


def test_bytes_are_told_in_hex_null_where_there_are_none() -> None:
    column = pa.array([b"skipped", b"\x00\xff", None, b"", b"\x0a"], pa.binary())
    assert verify_columns.hexed(column.slice(1)).to_pylist() == ["00ff", None, "", "0a"]
    assert verify_columns.hexed(pa.array([b"ab", None], pa.binary(2))).to_pylist() == ["6162", None]


def test_digests_are_those_of_each_value_in_any_part_of_a_column() -> None:
    column = pa.chunked_array([[b"skipped", b"", b"abc"], [], [b"def"], [b""]], pa.binary()).slice(1)
    abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    def_ = "cb8379ac2098aa165029e3938a51da0bcecfc008fd6795f401178647f96c5b34"
    assert [d.tobytes().hex() for d in verify_columns.digests(column)] == [empty, abc, def_, empty]


FATE_CASES = [
    pytest.param([("s", 1, "", 0), ("s", 2, "", 0), ("s", None, "m1", 0)], "", id="whole"),
    pytest.param([("s", 1, "", 0), ("s", 1, "", 1), ("t", 1, "", 0), ("s", 1, "v", 0)], "", id="whole, a seq of several"),
    pytest.param([("s", 1, "", 0), ("s", 2, "", 0), ("s", 2, "", 0)], "sealed 2", id="twice the first"),
    pytest.param([("s", 1, "", 0), ("s", 2, "", 1)], "sealed 2", id="begins with the second"),
    pytest.param([("s", 1, "", 0), ("s", 1, "", 2)], "sealed 1", id="the second is not there"),
]


@pytest.mark.parametrize(("rows", "told"), FATE_CASES)
def test_fates_of_a_record_are_numbered_from_nought_each_once(rows: list[tuple[str, int | None, str, int]], told: str) -> None:
    origins, seqs, variants, numbers = zip(*rows, strict=True)
    table = pa.table({
        "origin": ["sealed" if o == "s" else "import" for o in origins], "seq": pa.array(seqs, pa.uint64()), "variant": variants,
        "fate_no": pa.array(numbers, pa.int32()),
    })  # fmt: skip
    report = Report("ww1")
    verify_ledger._fates(table, report)
    assert [(f.code, f.records) for f in report.findings] == ([("FATES_BROKEN", told)] if told else [])


def test_a_page_whose_records_are_opened_later_is_counted_once(tmp_path: Path) -> None:
    from tests import firm

    at = firm.home(tmp_path)
    firm.run(at, firm.page(tmp_path, "p.json", [firm.item(1, firm.message(1)), firm.item(2, firm.message(2), version=2)]))
    assert verify_archive(at.path, firm.CORP).counts["pages"] == 1
    at.add_key(firm.CORP, 2, firm.pem(2), None)
    firm.run(at)
    assert firm.values(at, "SELECT msgid FROM messages ORDER BY seq") == ["m1", "m2"]
    report = verify_archive(at.path, firm.CORP)
    assert report.counts["pages"] == 1 and not report.findings


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> verify_work.Work:
    """Two files of messages and two of sealed bytes, the first of which is not there any more."""
    from tests import firm

    folder = tmp_path_factory.mktemp("work")
    at = firm.home(folder)
    for name, first in (("a", 1), ("b", 50)):
        firm.run(at, firm.page(folder, f"{name}.json", {n: firm.message(n, f"第{n}句") for n in range(first, first + 20)}))
    root, report = at.path / "lake" / firm.CORP, Report(firm.CORP)
    keys, log = verify_keys.read(at.path, report), verify_log.read(root, report)
    assert keys is not None and log is not None
    (root / log.of("sealed")[0].path).unlink()
    tables = {k: [verify_files.decrypt((root / f.path).read_bytes(), keys)[0] for f in log.of(k)] for k in ("records", "pages")}
    reading = Reading(Ledger(tables["records"], tables["pages"], report), keys.plain["names#0"], {}, firm.CORP)
    return verify_work.Work(root, [*log.of("messages"), *log.of("sealed")], keys, reading, firm.CORP)


def said(work: verify_work.Work, cores: int) -> list[object]:
    """Everything that is said of each file."""
    return [
        (f.path, d.readable, d.report.findings, d.report.counts, d.part and {
            **vars(d.part), "seqs": {o: s.tolist() for o, s in d.part.seqs.items()}, "digests": {o: s.tolist() for o, s in d.part.digests.items()},
        })
        for f, d in verify_work.all_of(work, cores=cores)
    ]  # fmt: skip


@pytest.mark.slow
def test_files_read_on_two_cores_say_what_they_say_on_one(work: verify_work.Work) -> None:
    assert said(work, 2) == said(work, 1)
    assert [len(d.report.findings) for _, d in verify_work.all_of(work, cores=2)] == [0, 0, 1, 0]
    assert [d.part and [s.tolist() for s in d.part.seqs.values()] for _, d in verify_work.all_of(work, cores=1)][1:] == [[[*range(50, 70)]], None, [[*range(50, 70)]]]


def test_rows_read_a_few_at_a_time_say_what_they_say_at_once(work: verify_work.Work, monkeypatch: pytest.MonkeyPatch) -> None:
    at_once = said(work, 1)
    monkeypatch.setattr(verify_work, "BATCH_ROWS", 3)
    assert said(work, 1) == at_once


def test_files_of_which_several_are_taken_at_once_are_all_read(work: verify_work.Work, monkeypatch: pytest.MonkeyPatch) -> None:
    one_by_one = said(work, 1)
    monkeypatch.setattr(verify_work, "_MOST_NUMBERS", 1)
    assert said(work, 2) == said(work, 1) == one_by_one


def test_a_copy_that_was_killed_is_not_waited_for(work: verify_work.Work, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verify_work, "one", lambda *_: os._exit(9))
    with verify_work.begun(work, cores=2) as shift:
        shift._copies[0][0].join()
        monkeypatch.undo()
        with pytest.raises(RuntimeError, match="was ended"):
            list(shift.results())


def test_a_copy_that_was_killed_while_it_gave_back_is_not_waited_for(work: verify_work.Work, monkeypatch: pytest.MonkeyPatch) -> None:
    def half(told: Connection, waiting: SimpleQueue[object]) -> None:
        waiting.get()
        os.write(told.fileno(), (1_000).to_bytes(4, "big") + b"half of an answer")
        os._exit(9)

    monkeypatch.setattr(verify_work, "_give", half)
    with verify_work.begun(work, cores=2) as shift:
        shift._copies[0][0].join()
        with pytest.raises(RuntimeError, match="was ended"):
            list(shift.results())


def test_where_no_process_can_be_begun_this_one_checks_all(work: verify_work.Work, monkeypatch: pytest.MonkeyPatch) -> None:
    alone = said(work, 1)

    def none_left() -> int:
        raise BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable")

    monkeypatch.setattr(os, "fork", none_left)
    assert said(work, 4) == alone


def test_what_a_copy_cannot_do_is_raised_here(work: verify_work.Work, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: object) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(verify_work, "one", fails)
    with verify_work.begun(work, cores=2) as shift:
        shift._copies[0][0].join()
        monkeypatch.undo()
        with pytest.raises(OSError, match="Input/output error"):
            list(shift.results())


def test_a_compaction_that_rewrites_some_records_does_not_take_leaves_back(lake: Lake) -> None:
    lake.entry(1, "settle", leaves=21)
    lake.entry(2, "compact", leaves=9)
    lake.anchor(2)
    assert lake.told() == [(0, 0, 0), (1, 1, 21), (2, 2, 21)]


def test_the_next_commit_catches_up_what_a_killed_one_left_out(lake: Lake) -> None:
    lake.entry(1, "settle", leaves=5)
    lake.anchor(1)
    lake.entry(2, "settle", leaves=8)
    assert lake.verified() == ([], ["ANCHORS_LAG"])
    lake.entry(3, "run")
    assert lake.verified() == (["ANCHORS_BEHIND"], [])
    lake.anchor(3)
    assert lake.told() == [(0, 0, 0), (1, 1, 5), (2, 2, 8), (3, 3, 8)]


def test_two_committers_that_race_anchor_a_version_once(lake: Lake) -> None:
    lake.entry(1, "settle")
    lake.entry(2, "settle")
    lake.anchor(2)
    lake.anchor(1)
    assert [v for v, _, _ in lake.told()] == [0, 1, 2]


def test_a_version_that_comes_again_with_another_entry_stays_on_record(lake: Lake) -> None:
    lake.entry(1, "settle", leaves=5)
    lake.entry(2, "settle", leaves=9)
    lake.anchor(2)
    (lake.log / f"{2:020d}.json").unlink()
    assert lake.verified() == (["LOG_OLDER"], [])
    lake.entry(2, "run")
    lake.anchor(2)
    assert lake.told() == [(0, 0, 0), (1, 1, 5), (2, 2, 9), (2, 2, 5)]
    assert lake.verified() == (["LOG_REPLACED"], [])


def test_a_torn_line_is_cut_off_and_written_again(lake: Lake) -> None:
    lake.entry(1, "settle", leaves=5)
    lake.anchor(1)
    path = lake.home / "anchors/ww1.jsonl"
    path.write_bytes(path.read_bytes()[:-40])
    assert lake.verified() == ([], ["ANCHORS_TORN", "ANCHORS_LAG"])
    lake.entry(2, "run")
    lake.anchor(2)
    assert lake.told() == [(0, 0, 0), (1, 1, 5), (2, 2, 5)]
    assert lake.verified() == ([], [])


def test_a_damaged_line_or_entry_does_not_stop_a_commit(lake: Lake) -> None:
    lake.entry(1, "settle", leaves=5)
    lake.anchor(1)
    path = lake.home / "anchors/ww1.jsonl"
    path.write_bytes(path.read_bytes().replace(b'"version":1', b'"version":x'))
    (lake.log / f"{1:020d}.json").write_bytes(b"{ not JSON\n")
    lake.entry(2, "run")
    lake.anchor(2)
    assert [v for v, _, _ in lake.told()] == [0, 1, 2]
    assert "ANCHORS_BROKEN" in lake.verified()[0]


def test_anchors_hold_no_more_than_their_owner_may_read_and_no_name_but_ours(lake: Lake) -> None:
    lake.anchor(0)
    path = lake.home / "anchors/ww1.jsonl"
    assert path.stat().st_mode & 0o777 == 0o600
    assert set(json.loads(path.read_bytes())) == {
        "n", "at", "version", "head", "next_leaf", "entry_sha256", "keyring_sha256", "keyring_serial", "custody_n", "custody_sha256", "checkpoint",
        "checkpoint_sha256", "previous", "digest",
    }  # fmt: skip


def test_a_home_without_the_archive_is_one_clear_sentence(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="there is no archive of ww1"):
        verify_archive(tmp_path, "ww1")


def test_every_code_has_words_and_every_word_a_code() -> None:
    """Codes are given to `find` and `note` as literals: they are read out of the modules."""
    given: dict[str, set[str]] = {"finding": set(), "note": set()}
    for name in MODULES:
        for node in ast.walk(ast.parse((ROOT / "pipeline" / name).read_text("utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in ("find", "note", "_find") and node.args:
                group = "note" if node.func.attr == "note" else "finding"
                at = 0 if node.func.attr == "_find" else 1
                given[group] |= {c.value for c in ast.walk(node.args[at]) if isinstance(c, ast.Constant) and isinstance(c.value, str)} if len(node.args) > at else set()
    for group, codes in given.items():
        assert {k.rsplit(".", 1)[1] for k in words.catalogue() if k.startswith(f"verify.{group}.")} == codes
