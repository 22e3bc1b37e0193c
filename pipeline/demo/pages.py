"""Which saved file holds which records: all forms that `liuhen ingest --from` reads, with overlaps, a cut copy and an empty answer.

Before: story.py. After: truth.py, generate.py.

Rules:
1. An answer holds at most 1,000 records; a small demonstration has at least eight answers.
2. Forms take turns: `.json`, `.json.gz`, `.jsonl` of two answers, `.jsonl.zst` of single records, `.json.zst`, `.jsonl.gz` of two answers.
3. Every fourth answer begins with the last records of the one before, byte by byte the same: they are no records of their own.
4. The second answer was saved twice, the first time only in part.
5. The second of two records with one seq lies in a file of its own, behind the file that holds the first.
"""

from __future__ import annotations

import gzip
import itertools
from collections.abc import Iterator, Sequence
from typing import Literal

import msgspec
import zstandard

from pipeline.demo import faults
from pipeline.demo.story import Record

ANSWER = 1_000
LEAST_ANSWERS = 8
OVERLAP = 25
Form = Literal["answer", "answers", "records"]

# ending, form, answers in the file
_FORMS: tuple[tuple[str, Form, int], ...] = (
    (".json", "answer", 1),
    (".json.gz", "answer", 1),
    (".jsonl", "answers", 2),
    (".jsonl.zst", "records", 1),
    (".json.zst", "answer", 1),
    (".jsonl.gz", "answers", 2),
)


class PageFile(msgspec.Struct, frozen=True, kw_only=True):
    """One saved file: its answers' records in order, repeated ones first where answers overlap; cut: it ends in the middle."""

    name: str
    form: Form
    answers: tuple[tuple[Record, ...], ...]
    cut: bool = False


class _Answer(msgspec.Struct, frozen=True):
    """The records of one answer; of them the first `repeated` were in the answer before."""

    records: tuple[Record, ...]
    repeated: int


def layout(records: Sequence[Record]) -> Iterator[PageFile]:
    """Yield the files in the order of their sequence numbers, which is that of their names."""
    answers = _answers([r for r in records if r.order == 0])
    second = [r for r in records if r.order == 1]
    at = number = 0
    for ending, form, size in itertools.cycle(_FORMS):
        held = answers[at : at + size]
        if not held:
            break
        number += 1
        name = f"{number:04d}-seq{held[0].records[0].seq:010d}"
        whole = PageFile(name=name + ending, form=form, answers=tuple(a.records for a in held))
        if at == 1:
            yield PageFile(name=name + "-cut.json", form="answer", answers=whole.answers, cut=True)
        yield whole
        last = held[-1].records[-1].seq
        here = [r for r in second if r.seq <= last]
        second = second[len(here) :]
        yield from (PageFile(name=f"{number:04d}b{i}-seq{r.seq:010d}.json", form="answer", answers=((r,),)) for i, r in enumerate(here))
        at += size
    yield PageFile(name=f"{number + 1:04d}-nothing-new.json", form="answer", answers=((),))


def repeated(records: Sequence[Record]) -> list[int]:
    """Return the seqs that a later answer holds again (rule 3)."""
    return [r.seq for answer in _answers([r for r in records if r.order == 0]) for r in answer.records[: answer.repeated]]


def _answers(records: list[Record]) -> list[_Answer]:
    size = min(ANSWER, -(-len(records) // LEAST_ANSWERS))
    answers: list[_Answer] = []
    for begin in range(0, len(records), size):
        # A record that is broken from outside has no identity by which a second copy could be known.
        before = [r for r in records[max(0, begin - OVERLAP) : begin] if r.code not in faults.IN_ITEM] if len(answers) % 4 == 3 else []
        answers.append(_Answer((*before, *records[begin : begin + size]), len(before)))
    return answers


def encode(file: PageFile, sealed: Sequence[Sequence[bytes]]) -> bytes:
    """Return the file's bytes; sealed: the JSON of each record of each answer."""
    if file.form == "records":
        data = b"".join(item + b"\n" for items in sealed for item in items)
    else:
        data = b"\n".join(_answer(items) for items in sealed) + (b"\n" if file.form == "answers" else b"")
    if file.cut:
        data = data[: len(data) * 3 // 5]
    if file.name.endswith(".gz"):
        return gzip.compress(data, 6, mtime=0)
    return zstandard.compress(data, 3) if file.name.endswith(".zst") else data


def _answer(items: Sequence[bytes]) -> bytes:
    return b'{"errcode":0,"errmsg":"ok","chatdata":[' + b",".join(items) + b"]}"
