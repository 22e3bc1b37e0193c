"""Files of opened messages: every line once, packed or not; what is cut says so and is never taken for the whole."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest
import zstandard

from pipeline import importing
from pipeline.errors import UsageError

LINES = b"".join(b'{"msgid":"m%d","text":"%s"}\n' % (n, b"x" * 300) for n in range(2_500))
GZ, ZST = gzip.compress(LINES), zstandard.compress(LINES)
HALF = LINES.index(b"\n", len(LINES) // 2) + 1


def read(folder: Path, name: str, data: bytes) -> list[int]:
    (folder / name).write_bytes(data)
    return [len(records) for _, records in importing.pages(folder / name)]


@pytest.mark.parametrize(
    ("name", "data"),
    [
        pytest.param("a.jsonl", LINES, id="as it is"),
        pytest.param("a.jsonl", LINES.rstrip(b"\n").replace(b"\n", b"\r\n\n"), id="other line ends, empty lines, none at the end"),
        pytest.param("a.jsonl.gz", GZ, id="gzip"),
        pytest.param("a.jsonl.gz", gzip.compress(LINES[:HALF]) + gzip.compress(LINES[HALF:]), id="two gzip members"),
        pytest.param("a.jsonl.zst", ZST, id="zstandard"),
        pytest.param("a.jsonl.zst", zstandard.compress(LINES[:HALF]) + zstandard.compress(LINES[HALF:]), id="two zstandard frames"),
    ],
)
def test_every_line_of_a_file_is_read_once(tmp_path: Path, name: str, data: bytes) -> None:
    assert read(tmp_path, name, data) == [1_000, 1_000, 500]


@pytest.mark.parametrize(
    ("name", "data"),
    [
        pytest.param("a.jsonl.gz", GZ[: len(GZ) // 2], id="gzip cut"),
        pytest.param("a.jsonl.gz", GZ[:-1], id="gzip without its last byte"),
        pytest.param("a.jsonl.gz", b"no such thing", id="not gzip"),
        pytest.param("a.jsonl.zst", ZST[: len(ZST) // 2], id="zstandard cut"),
        pytest.param("a.jsonl.zst", ZST + ZST[:20], id="a second zstandard frame cut"),
        pytest.param("a.jsonl.zst", b"no such thing", id="not zstandard"),
    ],
)
def test_a_packed_file_that_is_cut_or_damaged_is_refused(tmp_path: Path, name: str, data: bytes) -> None:
    with pytest.raises(UsageError, match=name):
        read(tmp_path, name, data)


@pytest.mark.parametrize(
    ("line", "seq", "code"),
    [
        pytest.param(b'{"seq":7,"message":{"msgid":"a"}}', 7, "", id="with a seq"),
        pytest.param(b'{"seq":9223372036854775807,"message":{"msgid":"a"}}', (1 << 63) - 1, "", id="the greatest seq"),
        pytest.param(b'{"seq":9223372036854775808,"message":{"msgid":"a"}}', None, "SEQ_RANGE", id="beyond it"),
        pytest.param(b'{"seq":-1,"message":{"msgid":"a"}}', None, "SEQ_RANGE", id="negative"),
        pytest.param(b'{"seq":"7","message":{"msgid":"a"}}', None, "ITEM_MALFORMED", id="a seq in quotes"),
        pytest.param(b"not json", None, "ITEM_MALFORMED", id="not JSON"),
        pytest.param(b'{"text":"a"}', None, "ITEM_MALFORMED", id="no msgid"),
        pytest.param(b"[" * 100_000, None, "ITEM_MALFORMED", id="deep"),
    ],
)
def test_a_line_is_a_message_with_a_seq_or_a_failure(line: bytes, seq: int | None, code: str) -> None:
    found = importing.read_line(line)
    assert (found.seq, found.code) == (seq, code)


def test_a_bare_message_gets_the_same_number_every_time_and_never_that_of_a_given_one() -> None:
    one, again, other = (importing.read_line(b'{"msgid":"%s"}' % m) for m in (b"a", b"a", b"b"))
    assert one.seq == again.seq != other.seq
    assert all(r.seq is not None and 1 << 62 <= r.seq < 1 << 63 for r in (one, other))
