"""The lake: files written once and encrypted, one commit at a time, nothing readable in the log."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from deltalake import DeltaTable

from pipeline import deltalog, schema
from pipeline.deltalog import CommitConflict
from pipeline.errors import StorageError, UsageError, VerifyFailed
from pipeline.keyring import FileMaster, Keyring
from pipeline.lake import Lake

MARK = "标记一二三" * 3


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    FileMaster.create(tmp_path / "master.key")
    made = Lake(tmp_path / "lake" / "ww1", "ww1", Keyring(tmp_path / "keyring.json", FileMaster(tmp_path / "master.key")))
    made.create()
    return made


def filled(kind: str, rows: int = 3) -> pa.Table:
    """Rows of a kind with every column set, MARK in every string."""
    values: dict[str, Any] = {
        "string": MARK, "binary": MARK.encode(), "uint64": 7, "int64": 7, "int32": 7, "timestamp_ms": 1_795_000_000_000, "date": 20_000,
        "list<string>": [MARK], "list<binary>": [MARK.encode()], "list<part>": [{"path": MARK, "text": MARK}],
        "list<quote>": [{"part": 0, "start_cp": 0, "end_cp": 1}], "list<span>": [{"msgid": MARK, "part": 0, "start_cp": 0, "end_cp": 1}],
    }  # fmt: skip
    return schema.table(kind, {c.name: [values[c.type]] * rows for c in schema.kind(kind).columns})


def runs(n: int) -> pa.Table:
    return schema.table("acks", {"what": ["failed"], "until_leaf": [n], "reason": ["r"], "actor": ["a"], "at": [n]})


@pytest.mark.parametrize("kind", schema.KINDS)
def test_no_column_of_any_kind_lies_in_clear(lake: Lake, kind: str) -> None:
    file = lake.write(filled(kind), kind, month="2026-11", bucket="hot")
    data = (lake.root / file.path).read_bytes()
    assert data[:4] == data[-4:] == b"PARE"
    assert MARK.encode() not in data and "标记".encode() not in data
    assert lake.read(kind, [file]).num_rows == 3


@pytest.mark.parametrize(
    ("kind", "gone"), [(kind, ()) for kind in schema.KINDS] + [(kind, gone) for kind in ("matches", "consent", "media") for gone in ((-1,), (-1, -2))]
)
def test_one_file_is_read_as_a_scan_reads_it(lake: Lake, kind: str, gone: tuple[int, ...]) -> None:
    rows = filled(kind)
    missing = [rows.column_names[n] for n in gone]
    file = lake.write(rows.drop_columns(missing), kind, month="2026-11", bucket="00")
    scanned = lake.dataset(kind, [file]).to_table()
    assert lake.read(kind, [file]).equals(scanned)
    assert all(scanned[name].null_count == 3 for name in missing)
    last = [rows.column_names[-1], rows.column_names[0]]
    assert lake.read(kind, [file], columns=last).equals(scanned.select(last))


@pytest.mark.parametrize(("kind", "bucket", "kept"), [("sealed", "hot", True), ("sealed", "x", False), ("sealed", "00", False), ("messages", "hot", False)])
def test_only_ciphertext_of_files_that_ingest_writes_is_not_compressed(lake: Lake, kind: str, bucket: str, kept: bool) -> None:
    rows = filled(kind)
    name = "envelope" if kind == "sealed" else "raw"
    kind_of = rows.schema.field(name).type
    rows = rows.set_column(rows.schema.get_field_index(name), rows.schema.field(name), pa.array(["a" * 100_000] * rows.num_rows, kind_of))
    file = lake.write(rows, kind, month="2026-11", bucket=bucket)
    assert (file.size > 100_000) is kept
    assert set(lake.read(kind, [file], columns=[name])[name].cast(pa.binary()).to_pylist()) == {b"a" * 100_000}


def test_a_staged_file_is_invisible_until_it_is_committed(lake: Lake) -> None:
    file = lake.write(filled("messages"), "messages", month="2026-11", bucket="hot")
    assert lake.snapshot().rows("messages") == 0
    lake.commit(lake.snapshot(), [file], [], what="test")
    assert lake.snapshot().rows("messages") == 3


def test_of_two_commits_planned_on_one_snapshot_one_fails_and_nothing_of_it_shows(lake: Lake) -> None:
    one, two = lake.snapshot(), lake.snapshot()
    lake.commit(one, [lake.write(runs(1), "acks")], [], what="test")
    with pytest.raises(CommitConflict):
        lake.commit(two, [lake.write(runs(2), "acks")], [], what="test")
    assert lake.read("acks", lake.snapshot().of("acks"))["until_leaf"].to_pylist() == [1]
    assert lake.snapshot().head == 1


def test_a_version_is_opened_once_until_the_log_changes(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[str] = []

    def opening(root: str) -> DeltaTable:
        opened.append(root)
        return DeltaTable(root)

    monkeypatch.setattr(deltalog, "DeltaTable", opening)
    first, file = lake.snapshot(), lake.write(runs(1), "acks")
    assert lake.snapshot() is first and Lake(lake.root, "ww1", lake.keyring).snapshot() is first and len(opened) == 1
    lake.commit(first, [file], [], what="test")
    second = lake.snapshot()
    assert (second.version, second.rows("acks"), first.version, first.rows("acks"), len(opened)) == (1, 1, 0, 0, 2)


def test_a_handle_on_which_a_commit_was_sent_is_not_handed_out_again(lake: Lake) -> None:
    lost = lake.snapshot()
    lake.commit(lake.snapshot(), [lake.write(runs(1), "acks")], [], what="test")
    newest = lake.snapshot()
    with pytest.raises(CommitConflict):
        lake.commit(lost, [lake.write(runs(2), "acks")], [], what="test")
    assert lake.snapshot() is not newest and lake.snapshot().version == 1


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda lake: Lake(lake.root, "ww1", lake.keyring).commit(lake.snapshot_at(1), [lake.write(runs(2), "acks")], [], what="test"), id="a commit"),
        pytest.param(lambda lake: os.utime(lake.root / "_delta_log" / f"{0:020d}.json"), id="an entry of before"),
        pytest.param(lambda lake: (lake.root / "_delta_log" / "notes").write_bytes(b""), id="a file beside"),
        pytest.param(lambda lake: shutil.copytree(lake.root, lake.root.with_name("copy")) and lake.root.with_name("copy").rename(_away(lake.root)), id="another folder"),
    ],
)
def test_whatever_changes_in_the_folder_of_the_log_opens_it_anew(lake: Lake, change: Callable[[Lake], object]) -> None:
    lake.commit(lake.snapshot(), [lake.write(runs(1), "acks")], [], what="test")
    before = lake.snapshot()
    assert lake.snapshot() is before
    change(lake)
    assert lake.snapshot() is not before


def test_an_entry_that_is_damaged_after_it_was_read_is_told(lake: Lake) -> None:
    lake.commit(lake.snapshot(), [lake.write(runs(1), "acks")], [], what="test")
    assert lake.snapshot().version == 1
    entry = lake.root / "_delta_log" / f"{1:020d}.json"
    entry.write_bytes(b"{" * entry.stat().st_size)
    with pytest.raises(VerifyFailed) as told:
        lake.snapshot()
    assert told.value.code == "LOG_DAMAGED"


def _away(root: Path) -> Path:
    """Take a folder away from its place; return the place."""
    root.rename(root.with_name("before"))
    return root


def test_a_file_that_is_missing_or_changed_is_not_committed(lake: Lake) -> None:
    gone, changed = lake.write(runs(1), "acks"), lake.write(runs(2), "acks")
    (lake.root / gone.path).unlink()
    with pytest.raises(VerifyFailed, match="is missing"):
        lake.commit(lake.snapshot(), [gone], [], what="test")
    data = bytearray((lake.root / changed.path).read_bytes())
    data[len(data) // 2] ^= 1
    os.chmod(lake.root / changed.path, 0o600)
    (lake.root / changed.path).write_bytes(data)
    with pytest.raises(VerifyFailed, match="is not what was written"):
        lake.commit(lake.snapshot(), [changed], [], what="test")
    assert lake.snapshot().version == 0


def test_the_log_states_what_plans_rest_on_and_no_text(lake: Lake) -> None:
    lake.commit(lake.snapshot(), [lake.write(filled(k), k, month="2026-11", bucket="hot") for k in schema.KINDS], [], what="test")
    by_kind = {f.kind: f for f in lake.snapshot().files}
    assert by_kind["records"].stats == {"seq": (7, 7), "leaf": (7, 7)}
    assert by_kind["messages"].stats == {"seq": (7, 7)}
    assert by_kind["pages"].stats == {"last_seq": (7, 7)}
    assert lake.snapshot().next_leaf == 8
    log = b"".join(p.read_bytes() for p in (lake.root / "_delta_log").iterdir())
    assert "标记".encode() not in log and b"\\u6807" not in log


def test_a_key_that_was_destroyed_makes_its_files_unreadable_and_leaves_the_others(lake: Lake) -> None:
    one = lake.write(filled("withheld_sealed"), "withheld_sealed", month="2026-11-20")
    two = lake.write(filled("withheld_sealed"), "withheld_sealed", month="2026-11-21")
    lake.keyring.destroy("ww1/withheld/2026-11-20#0")
    fresh = Lake(lake.root, "ww1", Keyring(lake.keyring.path, FileMaster(lake.keyring.path.parent / "master.key")))
    with pytest.raises((UsageError, VerifyFailed)):
        fresh.read("withheld_sealed", [one])
    assert fresh.read("withheld_sealed", [two]).num_rows == 3


def test_the_second_key_covers_raw_and_clear_text_only(lake: Lake) -> None:
    file = lake.write(filled("messages"), "messages", month="2026-11", bucket="hot")
    lake.keyring.destroy("ww1/m/2026-11/hot!2#0")
    fresh = Lake(lake.root, "ww1", Keyring(lake.keyring.path, FileMaster(lake.keyring.path.parent / "master.key")))
    assert fresh.read("messages", [file], columns=["text", "seq"]).num_rows == 3
    for column in ("raw", "text_clear", "parts_clear"):
        with pytest.raises((UsageError, VerifyFailed)):
            fresh.read("messages", [file], columns=[column])


def test_a_missing_log_is_one_clear_sentence(tmp_path: Path) -> None:
    FileMaster.create(tmp_path / "master.key")
    lake = Lake(tmp_path / "nothing", "ww1", Keyring(tmp_path / "keyring.json", FileMaster(tmp_path / "master.key")))
    with pytest.raises(VerifyFailed, match="the log of the lake is missing or damaged"):
        lake.snapshot()


@pytest.mark.parametrize("left", [b"", b'{"commitInfo":{"timest'], ids=["empty", "half"])
def test_a_torn_last_entry_is_set_aside_only_when_it_never_was_durable(lake: Lake, left: bytes) -> None:
    lake.commit(lake.snapshot(), [lake.write(runs(1), "acks")], [], what="test")
    never = lake.root / "_delta_log" / "00000000000000000002.json"
    never.write_bytes(left)
    assert lake.snapshot().version == 1, "whoever opens the lake next sets it aside"
    assert not never.exists() and not lake.mend_log()
    assert [p.read_bytes() for p in never.parent.glob("*.torn-*")] == [left]
    durable = lake.root / "_delta_log" / "00000000000000000001.json"
    durable.write_bytes(left)
    with pytest.raises(VerifyFailed, match="was whole once and is damaged now"):
        lake.snapshot()


@pytest.mark.parametrize(("number", "error"), [(errno.EROFS, VerifyFailed), (errno.EACCES, VerifyFailed), (errno.ENOSPC, StorageError)])
def test_a_torn_entry_that_cannot_be_set_aside_is_told(lake: Lake, number: int, error: type[Exception], monkeypatch: pytest.MonkeyPatch) -> None:
    torn = lake.root / "_delta_log" / "00000000000000000001.json"
    torn.write_bytes(b"{")

    def refused(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "replace", refused)
    with pytest.raises(error, match="was not written whole" if error is VerifyFailed else "the disk is full"):
        lake.snapshot()
    assert torn.exists()


def test_of_two_that_mend_at_once_one_sets_nothing_whole_aside(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second one looked before the first one mended, and a commit came in between."""
    torn = lake.root / "_delta_log" / "00000000000000000001.json"
    torn.write_bytes(b"{")
    real = Lake._set_aside

    def late(self: Lake) -> bool:
        monkeypatch.setattr(Lake, "_set_aside", real)
        assert real(self)
        lake.commit(lake.snapshot(), [lake.write(runs(1), "acks")], [], what="test")
        return real(self)

    monkeypatch.setattr(Lake, "_set_aside", late)
    assert not lake.mend_log() and lake.snapshot().version == 1
