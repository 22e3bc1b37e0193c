"""What is gathered for a bundle lies on disk sealed and without a name, and comes back as it was."""

from __future__ import annotations

import tracemalloc
from pathlib import Path
from typing import Any

import pytest
from cryptography.exceptions import InvalidTag

from pipeline.evidence import bundle, checkpoint, matter, proving, records, scope, sorting, stored_zip, tree, views
from pipeline.evidence.spool import Spool
from pipeline.reader import Reader
from tests import firm

GROWTH = 3_000  # bytes a message; measured 100 to 1,900, by what was loaded and collected before


def test_lines_come_back_in_order_however_many_runs_they_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sorting, "RUN", 8)
    monkeypatch.setattr(sorting, "BLOCK", 4)
    lines = sorting.Sorted(tmp_path, lambda line: line[1:])
    for n in range(30):
        lines.add(b"x%02d" % (n * 7 % 30))
        assert list(lines) == sorted(b"x%02d" % (m * 7 % 30) for m in range(n + 1))
    assert (lines.lines, lines.size) == (30, 90) and not list(tmp_path.rglob("*"))


def test_items_come_back_in_order_and_by_number_also_between_additions(tmp_path: Path) -> None:
    spool = Spool(tmp_path, dict[str, Any])
    for n in range(300):
        spool.append({"n": n, "text": "您好😀" * n})
        assert spool[n // 2]["n"] == n // 2
    assert [one["n"] for one in spool] == list(range(300))
    assert spool[-1]["text"] == "您好😀" * 299 and [one["n"] for one in spool[7:9]] == [7, 8] and len(spool) == 300
    with pytest.raises(IndexError):
        spool[300]


def test_nothing_of_it_can_be_read_beside_the_process(tmp_path: Path) -> None:
    spool = Spool(tmp_path, dict[str, Any])
    spool.append({"text": "13800138000 保本保息"})
    assert spool[0]["text"].startswith("138")
    assert not list(tmp_path.rglob("*"))  # it has no name
    spool._file.seek(0)
    lying = spool._file.read()
    assert len(lying) > 20 and b"13800138000" not in lying and "保本".encode() not in lying


def test_bytes_that_changed_on_disk_are_not_believed(tmp_path: Path) -> None:
    spool = Spool(tmp_path, dict[str, Any])
    spool.append({"n": 1})
    assert spool[0] == {"n": 1}
    spool._file.seek(0)
    spool._file.write(b"\0")
    spool._file.flush()
    with pytest.raises(InvalidTag):
        spool[0]


@pytest.mark.slow
def test_memory_does_not_grow_with_the_messages_of_a_bundle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Five times as many messages: of each of them a few numbers are in memory (where it lies, where it stands), nothing else, and no name of a file."""
    home = firm.home(tmp_path)
    few = {n: firm.message(n, "合同条款如下，请逐条确认。" * 20, to=["wmA"]) for n in range(1, 151)}
    many = {n: firm.message(n, "合同条款如下，请逐条确认。" * 20, to=["wmB"]) for n in range(151, 901)}
    firm.run(home, firm.page(tmp_path, "p.json", few | many))
    matter.begin(home, firm.CORP, "m-1", title="t", reason="r", review_on=None)
    checkpoint.make(home, firm.CORP)
    monkeypatch.setattr(views, "PART", 50)
    monkeypatch.setattr(records, "CHUNK", 50)
    monkeypatch.setattr(records, "FEW", 10)
    monkeypatch.setattr(tree, "NEAR", 16)
    monkeypatch.setattr(sorting, "RUN", 64)
    monkeypatch.setattr(sorting, "BLOCK", 1)
    monkeypatch.setattr(stored_zip, "_BLOCK", 1_000)

    def peak(customer: str) -> int:
        with Reader(home, firm.CORP) as reader, (tmp_path / "case.zip").open("w+b") as sink:
            prover = proving.prover(home, firm.CORP, reader.snapshot, checkpoint.find(home, firm.CORP, None))
            asked = scope.of(reader, {"customer": customer})
            tracemalloc.start()
            made = bundle.gather(reader, matter.open_of(home, firm.CORP, "m-1"), asked, prover)
            bundle.write(sink, bundle.files(reader, made, prover), info={})
            found = tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()
            return found

    peak("wmA")  # modules and templates are loaded
    grown = peak("wmB") - peak("wmA")
    assert grown < 600 * GROWTH, grown  # one message with its words, proof and page takes more than 20,000 bytes, the names of its files 600
