"""What is gathered for a bundle lies on disk sealed and without a name, and comes back as it was."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from cryptography.exceptions import InvalidTag

from pipeline.evidence.spool import Spool


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
