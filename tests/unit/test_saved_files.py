"""Saved files into pages: the same pages every time, whatever the file's form, and nothing lost untold."""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import tracemalloc
from pathlib import Path

import pytest
import zstandard

from pipeline import saved_files
from pipeline.answers import read_page
from pipeline.errors import UsageError
from pipeline.records import PageRef
from pipeline.saved_files import RawPage, pages_from_file


def item(seq: int) -> bytes:
    return b'{"seq":%d,"msgid":"m%d","publickey_ver":1,"encrypt_random_key":"QUJD","encrypt_chat_msg":"REVG"}' % (seq, seq)


def answer(*seqs: int) -> bytes:
    return b'{"errcode":0,"errmsg":"ok","chatdata":[' + b",".join(map(item, seqs)) + b"]}"


def save(folder: Path, name: str, data: bytes) -> Path:
    path = folder / name
    path.write_bytes(data)
    return path


def pages(path: Path) -> list[RawPage]:
    return list(pages_from_file(path))


def told(found: list[RawPage]) -> list[tuple[list[int], list[str]]]:
    """What `read_page` makes of each page: the seqs of its records, the codes of its failures."""
    told = []
    for page in found:
        ref = PageRef(corp_id="c", page="", uri="", size=0, source="file", name=page.name, captured_at_ms=0)
        read, _ = read_page(ref, page.data)
        told.append(([i.seq for i in read.items], [f.code for f in read.failures]))
    return told


def test_a_json_file_is_one_page_of_its_bytes(tmp_path: Path) -> None:
    data = b"\xef\xbb\xbf " + answer(1, 2) + b"\n"
    assert pages(save(tmp_path, "monday.json", data)) == [RawPage("monday.json#1", data)]


BEGUN = b'{"errcode":0,"errmsg":"ok","chatdata":['


@pytest.mark.parametrize(
    "line",
    [
        pytest.param(BEGUN, id="nothing but its beginning"), pytest.param(BEGUN + item(1), id="end missing"), pytest.param(BEGUN + b"]}", id="no records"),
        pytest.param(BEGUN + b'"msgtype":"text"]}', id="a word of opened messages"), pytest.param(BEGUN + b"[" * 10_000, id="brackets"),
        pytest.param(BEGUN + b'],"action":"send"}', id="a name of opened messages beside it"),
    ],
)  # fmt: skip
def test_what_begins_as_an_answer_is_a_page_by_itself_whole_or_broken(tmp_path: Path, line: bytes) -> None:
    assert [p.data for p in pages(save(tmp_path, "a.json", line))] == [line]
    assert [p.data for p in pages(save(tmp_path, "a.jsonl", b"\n".join([item(1), line, item(2)])))] == [answer(1), line, answer(2)]


def test_lines_become_pages_items_side_by_side_and_answers_alone(tmp_path: Path) -> None:
    lines = [item(1), b" " + item(2) + b"\t\r", b"", answer(3, 4), item(5), answer(), item(6), item(7)]
    found = pages(save(tmp_path, "mixed.jsonl", b"\n".join(lines)))
    assert found == [
        RawPage("mixed.jsonl#1", answer(1, 2)),
        RawPage("mixed.jsonl#2", answer(3, 4)),
        RawPage("mixed.jsonl#3", answer(5)),
        RawPage("mixed.jsonl#4", answer()),
        RawPage("mixed.jsonl#5", answer(6, 7)),
    ]


def test_items_are_gathered_a_thousand_a_page_with_their_bytes(tmp_path: Path) -> None:
    odd = b'{ "seq":1001, "msgid":"m\\/1001", "publickey_ver":1, "encrypt_random_key":"QUJD", "encrypt_chat_msg":"REVG", "more":[ ] }'
    found = pages(save(tmp_path, "items.jsonl", b"\n".join([*map(item, range(1, 1001)), odd]) + b"\n"))
    assert found[0].data == answer(*range(1, 1001))
    assert found[1].data == b'{"errcode":0,"errmsg":"ok","chatdata":[' + odd + b"]}"
    assert len(found) == 2


def test_gathered_items_stay_below_sixteen_mebibytes(tmp_path: Path) -> None:
    large = [item(n)[:-2] + b"A" * (6 << 20) + b'"}' for n in range(1, 6)]
    found = pages(save(tmp_path, "large.jsonl", b"\n".join(large)))
    assert told(found) == [([1, 2], []), ([3, 4], []), ([5], [])]


@pytest.mark.parametrize("ending", ["", ".gz", ".zst"])
@pytest.mark.parametrize("compressed", ["plain", "gzip", "gzip in two streams, padded", "zstd", "zstd in two frames"])
def test_the_first_bytes_say_how_a_file_is_compressed(tmp_path: Path, ending: str, compressed: str) -> None:
    data = b"\n".join([item(1), answer(2), item(3)])
    half = len(item(1)) + 5
    made = {
        "plain": data,
        "gzip": gzip.compress(data),
        "gzip in two streams, padded": gzip.compress(data[:half]) + gzip.compress(data[half:]) + b"\0" * 512,
        "zstd": zstandard.compress(data),
        "zstd in two frames": zstandard.compress(data[:half]) + zstandard.compress(data[half:]),
    }[compressed]
    found = pages(save(tmp_path, "saved.jsonl" + ending, made))
    assert [p.data for p in found] == [answer(1), answer(2), answer(3)]
    assert found[0].name == f"saved.jsonl{ending}#1"


@pytest.mark.parametrize("ending", [".json.gz", ".json.zst", ".JSON.GZ"])
def test_a_compressed_answer_is_one_page(tmp_path: Path, ending: str) -> None:
    made = zstandard.compress(answer(1)) if "zst" in ending else gzip.compress(answer(1))
    assert pages(save(tmp_path, "a" + ending, made)) == [RawPage(f"a{ending}#1", answer(1))]


@pytest.mark.parametrize("compress", [lambda d: gzip.compress(d, mtime=0), zstandard.compress], ids=["gzip", "zstd"])
def test_a_truncated_file_keeps_what_is_whole_and_ends_in_one_broken_page(tmp_path: Path, compress: object) -> None:
    # Text that does not compress, so that every cut falls somewhere else in it.
    noise = ["".join(hashlib.sha256(b"%d/%d" % (n, k)).hexdigest() for k in range(8)) for n in range(40)]
    lines = [item(n)[:-2] + noise[n].encode() + b'"}' for n in range(40)]
    assert callable(compress)
    whole = compress(b"\n".join(lines))
    kept = set()
    for end in range(5, len(whole), 97):
        found = told(pages(save(tmp_path, "cut.jsonl.gz", whole[:end])))
        seqs = [seq for page in found for seq in page[0]]
        assert seqs == list(range(len(seqs)))
        assert [code for page in found for code in page[1]] == ["PAGE_CUT"]
        assert found[-1][1] == ["PAGE_CUT"]
        kept.add(len(seqs))
    # zstd gives nothing of a block that is not whole, and this is one block.
    assert len(kept) > 20 or compress is zstandard.compress


def test_a_file_cut_between_two_lines_still_says_so(tmp_path: Path) -> None:
    """All lines came out whole; only the compressed stream's own end is missing."""
    whole = gzip.compress(item(1) + b"\n" + item(2) + b"\n")
    found = pages(save(tmp_path, "cut.jsonl.gz", whole[:-8]))
    assert told(found) == [([1, 2], []), ([], ["PAGE_CUT"])]
    other = pages(save(tmp_path, "other.jsonl.gz", gzip.compress(item(3))[:-8]))
    # Two such files must not look like the same page twice: the second would pass for known.
    assert found[-1].data != other[-1].data


def test_a_damaged_stream_is_told(tmp_path: Path) -> None:
    made = bytearray(gzip.compress(answer(1)))
    made[-6] ^= 1  # its checksum
    assert told(pages(save(tmp_path, "bad.json.gz", bytes(made))))[-1] == ([], ["PAGE_CUT"])
    behind = gzip.compress(answer(1)) + b"garbage"
    assert told(pages(save(tmp_path, "behind.json.gz", behind))) == [([1], []), ([], ["PAGE_CUT"])]


def test_lines_that_are_no_json_become_broken_pages_and_cost_nothing_else(tmp_path: Path) -> None:
    cut_item, cut_answer = item(2)[:50], answer(3, 4)[:-30]
    lines = [item(1), cut_item, cut_answer, item(5), b"\0" * 40, b"not json", b"[1]", item(6)]
    found = pages(save(tmp_path, "odd.jsonl", b"\n".join(lines)))
    assert [p.data for p in found] == [answer(1), cut_item, cut_answer, answer(5), b"\0" * 40 + b"\nnot json\n[1]", answer(6)]
    assert told(found) == [([1], []), ([], ["PAGE_CUT"]), ([3], ["PAGE_CUT"]), ([5], []), ([], ["PAGE_UNREADABLE"]), ([6], [])]


@pytest.mark.parametrize("depth", [64, 900, 100_000])
def test_a_line_that_nests_too_deep_is_a_page_of_its_own(tmp_path: Path, depth: int) -> None:
    deep = b'{"seq":2,"x":' + b"[" * depth + b"]" * depth + b"}"
    found = pages(save(tmp_path, "deep.jsonl", b"\n".join([item(1), deep, item(3)])))
    assert [p.data for p in found] == [answer(1), deep, answer(3)]
    assert told(found)[1] == ([], ["PAGE_UNREADABLE"])


def test_a_line_that_is_too_long_is_broken_and_the_file_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(saved_files, "MAX_PAGE", 1000)
    long_answer = answer(*range(10, 40))
    lines = [item(1), long_answer, b'{"errcode":0}' + b" " * 990 + b"x", b"x" * 3000, answer(2)[:-1] + b" " * 2000 + b"}", item(3)]
    found = pages(save(tmp_path, "long.jsonl", b"\n".join(lines)))
    assert found[1].data == long_answer[:1000]
    assert [codes for _, codes in told(found)] == [
        [], ["PAGE_CUT"], [], ["PAGE_CUT"], ["PAGE_UNREADABLE"], ["PAGE_CUT"], ["PAGE_CUT"], [],
    ]  # fmt: skip
    assert [seqs for seqs, _ in told(found)] == [[1], [10, 11, 12, 13, 14, 15, 16, 17, 18], [], [], [], [], [2], [3]]


def test_a_json_file_that_is_too_long_is_broken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(saved_files, "MAX_PAGE", 1000)
    found = pages(save(tmp_path, "long.json", answer(*range(1, 40))))
    assert [len(p.data) for p in found] == [1000]
    assert told(found)[0][1] == ["PAGE_CUT"]


def test_a_pretty_printed_answer_in_lines_does_not_become_a_page_a_line(tmp_path: Path) -> None:
    pretty = json.dumps(json.loads(answer(*range(100))), indent=2).encode()
    found = pages(save(tmp_path, "pretty.jsonl", pretty))
    assert told(found) == [(list(range(100)), [])]


OPENED = [
    pytest.param("a.json", b'{"msgid":"1","action":"send","msgtype":"text"}', "line 1 of a.json", id="a bare message"),
    pytest.param("a.jsonl", item(1) + b'\n{"seq":2,"message":{"msgid":"2"}}', "line 2 of a.jsonl", id="a message with its seq"),
    pytest.param("a.jsonl", b'\n\n{"msgid":"3","action":"switch"}', "line 3 of a.jsonl", id="a switch"),
]


@pytest.mark.parametrize(("name", "data", "place"), OPENED)
def test_opened_messages_are_not_landed(tmp_path: Path, name: str, data: bytes, place: str) -> None:
    with pytest.raises(UsageError) as error:
        pages(save(tmp_path, name, data))
    assert (error.value.code, str(error.value)) == (
        "OPENED_MESSAGES", f"{place} is a message that is already opened; take the file in with `liuhen ingest --plain FILE`",
    )  # fmt: skip


def test_an_item_with_an_unknown_message_field_is_an_item(tmp_path: Path) -> None:
    odd = item(1)[:-1] + b',"action":"send"}'
    assert told(pages(save(tmp_path, "a.jsonl", odd))) == [([1], [])]


ENDINGS = "expected files that end in .json, .jsonl, or one of these with .gz or .zst after it"
SAVED = "; check whether it was saved completely"
UNUSABLE = [
    pytest.param("a.json", b"", "FILE_EMPTY", "a.json is empty" + SAVED, id="empty"),
    pytest.param("a.jsonl", b"\n \r\n", "FILE_EMPTY", "a.jsonl is empty" + SAVED, id="blanks"),
    pytest.param("a.json.gz", gzip.compress(b""), "FILE_EMPTY", "a.json.gz is empty" + SAVED, id="compressed nothing"),
    pytest.param("a.txt", b"{}", "FILE_KIND", "a.txt has an ending that says nothing about what it holds; " + ENDINGS, id="another ending"),
    pytest.param(
        "a.gz", gzip.compress(b"{}"), "FILE_KIND", "a.gz has an ending that says nothing about what it holds; " + ENDINGS, id="gz of what"
    ),
]


@pytest.mark.parametrize(("name", "data", "code", "sentence"), UNUSABLE)
def test_an_unusable_file_is_refused_in_one_sentence(tmp_path: Path, name: str, data: bytes, code: str, sentence: str) -> None:
    with pytest.raises(UsageError) as error:
        pages(save(tmp_path, name, data))
    assert (error.value.code, str(error.value)) == (code, sentence)


def test_a_missing_file_is_refused_before_the_first_page_is_asked_for(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"there is no file gone\.json"):
        pages_from_file(tmp_path / "gone.json")


def test_a_folder_gives_its_files_by_name(tmp_path: Path) -> None:
    for name in ("b.json", "a.jsonl", "c.json.zst", "notes.txt", ".hidden.json"):
        save(tmp_path, name, answer(1))
    (tmp_path / "d.json").mkdir()
    assert [p.name for p in pages(tmp_path)] == ["a.jsonl#1", "b.json#1", "c.json.zst#1"]


def test_a_folder_without_saved_answers_is_refused(tmp_path: Path) -> None:
    save(tmp_path, "notes.txt", b"x")
    with pytest.raises(UsageError) as error:
        pages_from_file(tmp_path)
    assert error.value.code == "FOLDER_EMPTY"


def test_a_file_name_that_is_no_unicode_can_be_shown_and_stored(tmp_path: Path) -> None:
    path = Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff.json"))
    path.write_bytes(answer(1))
    (page,) = pages(path)
    assert page.name == "\N{REPLACEMENT CHARACTER}.json#1"
    assert page.name.encode()


@pytest.mark.slow
def test_a_long_file_is_read_in_little_memory(tmp_path: Path) -> None:
    path = tmp_path / "long.jsonl.zst"
    with zstandard.open(path, "wb") as out:
        for n in range(40_000):
            out.write(item(n)[:-2] + b"A" * 400 + b'"}\n')
    tracemalloc.start()
    count = sum(1 for _ in pages_from_file(path))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert count == 40
    # 20 MB of lines in pages of 0.5 MB.
    assert peak < 12_000_000


@pytest.mark.slow
def test_a_compression_bomb_costs_time_but_no_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(saved_files, "MAX_PAGE", 1 << 20)
    path = tmp_path / "bomb.json.zst"
    with zstandard.open(path, "wb") as out:
        out.write(b'{"errcode":0,"chatdata":[')
        for _ in range(300):
            out.write(b"[" * (1 << 20))
    tracemalloc.start()
    found = pages(path)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert told(found)[0][1] == ["PAGE_CUT"]
    assert peak < 100_000_000
