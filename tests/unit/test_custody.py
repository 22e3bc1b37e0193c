"""The custody log: append-only, chained, parameters sealed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pipeline import custody as module
from pipeline.custody import Custody
from pipeline.errors import StorageError, VerifyFailed
from pipeline.keyring import FileMaster, Keyring
from pipeline.verify_keys import CustodyFiles, check_custody
from pipeline.verify_report import Report


@pytest.fixture
def log(tmp_path: Path) -> Custody:
    FileMaster.create(tmp_path / "master.key")
    (tmp_path / "custody").mkdir()
    return Custody(tmp_path / "custody", Keyring(tmp_path / "keyring.json", FileMaster(tmp_path / "master.key")))


def write(log: Custody, n: int) -> None:
    for i in range(n):
        log.append(command="sql", phase="start", params={"query": f"客户 {i}"})


def lines(log: Custody) -> list[str]:
    return (log.folder / "000001.jsonl").read_text("utf-8").splitlines()


def test_entries_are_numbered_chained_and_name_their_actor(log: Custody) -> None:
    write(log, 3)
    entries = list(log.entries())
    assert [e.n for e in entries] == [1, 2, 3]
    assert entries[0].previous == "0" * 64
    assert all(e.actor.startswith("os:") for e in entries)
    assert log.params(entries[2]) == {"query": "客户 2", "mode": "single"}


def test_parameters_do_not_lie_in_clear(log: Custody) -> None:
    write(log, 1)
    assert "客户" not in lines(log)[0] and "\\u5ba2" not in lines(log)[0]


@pytest.mark.parametrize("change", ["edit", "drop first", "drop middle", "swap", "params"])
def test_a_changed_log_is_noticed(log: Custody, change: str) -> None:
    write(log, 4)
    found = lines(log)
    if change == "edit":
        found[1] = found[1].replace('"command":"sql"', '"command":"status"')
    elif change == "drop first":
        del found[0]
    elif change == "drop middle":
        del found[2]
    elif change == "swap":
        found[1], found[2] = found[2], found[1]
    else:
        entry = json.loads(found[1])
        entry["params"] = json.loads(found[2])["params"]
        found[1] = json.dumps(entry, separators=(",", ":"))
    (log.folder / "000001.jsonl").write_text("\n".join(found) + "\n", "utf-8")
    with pytest.raises(VerifyFailed, match="was changed at entry"):
        list(log.entries())


def test_sealed_parameters_can_be_dropped_without_breaking_the_chain(log: Custody) -> None:
    write(log, 3)
    found = lines(log)
    entry = json.loads(found[1])
    entry["params"] = ""
    found[1] = json.dumps(entry, separators=(",", ":"), ensure_ascii=False)
    (log.folder / "000001.jsonl").write_text("\n".join(found) + "\n", "utf-8")
    entries = list(log.entries())
    assert len(entries) == 3 and log.params(entries[1]) == {}


def test_a_torn_last_line_is_cut_off_and_the_chain_goes_on(log: Custody) -> None:
    write(log, 2)
    with (log.folder / "000001.jsonl").open("ab") as handle:
        handle.write(b'{"n":3,"at":"2026')
    write(log, 1)
    assert [e.n for e in log.entries()] == [1, 2, 3]


def test_a_full_segment_is_followed_by_another(log: Custody, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SEGMENT_BYTES", 1500)
    write(log, 8)
    assert len(list(log.folder.glob("*.jsonl"))) == 2
    assert [e.n for e in log.entries()] == list(range(1, 9))


def test_a_disk_with_room_for_a_line_alone_is_storage_again_and_again_and_never_looks_like_damage(log: Custody) -> None:
    write(log, 2)
    head, kept = log.folder / "head.json", log.folder / "kept"
    head.rename(kept)
    head.mkdir()  # nothing can take its place, while lines can still be written
    for _ in range(3):
        with pytest.raises(StorageError):
            write(log, 1)
    head.rmdir()
    kept.rename(head)
    report = Report("ww1")
    segments = tuple(file.read_bytes() for file in sorted(log.folder.glob("0*.jsonl")))
    check_custody(CustodyFiles(segments, head.read_bytes()), None, None, report)
    assert (report.findings, len(list(log.entries()))) == ([], 2)


def test_what_names_the_newest_line_catches_up_before_another_line_is_written(log: Custody) -> None:
    write(log, 1)
    behind = (log.folder / "head.json").read_bytes()
    write(log, 1)
    (log.folder / "head.json").write_bytes(behind)  # killed, or full, between the two
    write(log, 1)
    assert json.loads((log.folder / "head.json").read_bytes())["n"] == 3
