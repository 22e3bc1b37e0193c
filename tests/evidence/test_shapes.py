"""Both verifiers hold each JSON file of a bundle to the same names and kinds; what does not hold is told in Chinese too, with its place."""

from __future__ import annotations

import ast
import json
import re
import runpy
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from pipeline.evidence import check_shapes
from pipeline.evidence.check_files import Fault, ours
from tests.evidence.bag import SCRIPT, edit, edit_lines, refused_by_both, unzipped, verdicts, zipped

VERIFIER: dict[str, Any] = runpy.run_path(str(SCRIPT))
CASE, REDACTED = ((Path(__file__).parents[2] / "docs/sample" / name).read_bytes() for name in ("case.zip", "redacted.zip"))
PROOF = {
    "leaf": 1, "commitment": "00", "size": 2, "path": [], "groups": {
        "text": {"digest": "00"}, "parties": {"salt": "00", "fields": {"sender_id": "a", "recipient_ids": ["b"], "room_id": None}},
    },
}  # fmt: skip
GAP = {"after_seq": 1, "before_seq": 5, "from_at": 1, "to_at": 2, "cause": "window", "detected_at": 3}
# One of each, as it may stand in a bundle.
RIGHT: dict[str, dict[str, Any]] = {
    "proofs/000000000001.json": PROOF,
    "completeness/coverage.json": {
        "asked": {"customer": "wmA"}, "first_day": None, "last_day": "2026-01-01", "leaves": 1, "first_leaf": 0, "last_leaf": None, "records": 1, "marked": 0, "held": 0,
        "conversations": [{"conversation_id": "a|b", "in_bundle": 1, "archived": 1, "before": 0, "after": None, "first_day": None, "last_day": None}], "recalled": 0,
        "imported": 0, "media": {"verified": 1}, "whole_archive": {"failed": 0, "pending": 0, "withheld": 0, "restricted": 0, "fates": {"archived": 1}, "gaps": [GAP]},
    },
    "completeness/held.jsonl": {
        "leaf": 3, "origin": "sealed", "seq": 3, "msgid": "m3", "fate": "withheld", "reason": None, "rule": None, "code": None, "dt": "2026-01-01", "proof": PROOF,
    },
    "consent/events.jsonl": {
        "userid": "a", "room_id": None, "external_userid": "b", "status": "Agree", "changed_at": 1, "precision": "ms", "source": "api", "source_msgid": None, "recorded_at": 2,
    },
    "consent/notices.jsonl": {
        "notice_id": "x", "notice": "card", "userid": "a", "external_userid": "b", "source_msgid": None, "document_digest": None, "document_version": None, "at": 1,
        "recorded_at": 2,
    },
    "identity/accounts.jsonl": {"says": "nothing", "id": "a"},
    "source/pulls.jsonl": {
        "page": "p", "first_seq": 1, "last_seq": 2, "records": 2, "captured_at": 1, "digest": "00", "requested_seq": None, "answer_code": None, "library": None,
        "clock_offset_ms": -3,
    },
    "checkpoints/000000000001.consistency.json": {"old": 1, "new": 2, "proof": []},
    "checkpoints/epoch.json": {"epoch": 1, "path": ["00"]},
    "custody/proofs.jsonl": {"n": 1, "size": 2, "path": []},
    "decryption/key-000001.json": {"version": 1, "n": "00", "e": 65537},
    "decryption/000000000001.json": {"leaf": 1, "key_version": 1, "block": "00"},
    "redaction/log.jsonl": {
        "leaf": 1, "group": "text", "path": "text", "class": "mobile", "start_cp": None, "end_cp": 3, "shown": "x", "reason": "y", "approver": "z", "commitment": "00",
    },
}  # fmt: skip


def verdict(name: str, data: bytes) -> tuple[str, str]:
    """What each of the two says of a file, "" when it is right."""
    said = []
    try:
        ours(data, name, name)
        said.append("")
    except Fault as fault:
        said.append(str(fault))
    try:
        VERIFIER["of_shape"](VERIFIER["parse"](data, name, ours=True), name, name)
        said.append("")
    except VERIFIER["Failed"] as failed:
        said.append(str(failed))
    return said[0], said[1]


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Every place of a JSON value."""
    yield path
    for key in value if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ():
        yield from places(value[key], (*path, key))


def changed(value: Any, path: tuple[Any, ...], change: Callable[[Any, Any], None]) -> Any:
    made = json.loads(json.dumps(value))
    inner = made
    for key in path[:-1]:
        inner = inner[key]
    change(inner, path[-1])
    return made


def put(new: Any) -> Callable[[Any, Any], None]:
    return lambda inner, key: inner.__setitem__(key, new)


@pytest.mark.parametrize("name", RIGHT)
def test_both_take_a_file_as_we_write_it_and_refuse_the_same_changes_of_it(name: str) -> None:
    right = RIGHT[name]
    assert verdict(name, json.dumps(right).encode()) == ("", "")
    counts = 0
    for path in places(right):
        if not path:
            continue
        for what, change in {
            "true": put(True), "a point": put(1.0), "text": put("x"), "number": put(7), "null": put(None), "list": put([]), "object": put({}), "gone": lambda i, k: i.pop(k),
        }.items():
            said = verdict(name, json.dumps(changed(right, path, change)).encode())
            assert bool(said[0]) == bool(said[1]), (path, what, said)
            counts += bool(said[0])
            if what in ("true", "a point"):
                assert said[0], (path, what)  # no value of these files is a yes or a fraction
    assert counts


@pytest.mark.parametrize("name", [*RIGHT, "02-messages.jsonl"])
def test_a_name_more_is_refused_by_both_wherever_it_stands(name: str) -> None:
    right = RIGHT.get(name) or json.loads(unzipped(CASE)["data/02-messages.jsonl"].splitlines()[0])
    for path in places(right):
        inner: Any = right
        for key in path:
            inner = inner[key]
        if isinstance(inner, dict) and path[-1:] not in (("media",), ("fates",)):
            for more in ("note", "note?", "*", "", "\ud83d"):
                made = changed({"": right}, ("", *path), lambda i, k, more=more: i[k].__setitem__(more, "x"))[""]  # type: ignore[misc]
                ours_, theirs = verdict(name, json.dumps(made).encode())
                assert ours_ and theirs, (path, more)
                assert "note" not in ours_ + theirs


@pytest.mark.parametrize("name", ["at `$.secret`", "x` - at `$.secret", "x` - at `$.block.\x1b[31m", "` - at `$[...].secret"])
def test_a_name_that_looks_like_a_place_is_not_told(name: str) -> None:
    said = [verdict("decryption/000000000001.json", json.dumps({**RIGHT["decryption/000000000001.json"], name: 1}).encode())]
    said += [verdict("identity/accounts.jsonl", json.dumps({"says": name, "id": "a"}).encode())]
    for (ours_, theirs), file in zip(said, ("decryption/000000000001.json", "identity/accounts.jsonl"), strict=True):
        assert ours_ == theirs == f"{file} is not as we write it"


@pytest.mark.parametrize("number", ["18446744073709551615", "18446744073709551616", "-9223372036854775808", "-9223372036854775809", "-0", "1e3", "1" * 5000, "NaN", "01", "0x1"])
def test_both_read_the_same_numbers(number: str) -> None:
    ours_, theirs = verdict("checkpoints/epoch.json", b'{"epoch":%s,"path":[]}' % number.encode())
    assert bool(ours_) == bool(theirs), (ours_, theirs)


def test_half_a_character_in_a_name_is_refused_by_both(tmp_path: Path) -> None:
    files = unzipped(CASE)
    files["data/02-messages.jsonl"] = files["data/02-messages.jsonl"].replace(b"{", b'{"\\ud83d":1,', 1)
    refused_by_both(tmp_path, zipped(files), "02-messages.jsonl line 1")


COVERAGE = "data/completeness/coverage.json"
CHANGES: dict[str, tuple[bytes, Callable[[dict[str, bytes]], None], str]] = {
    "a yes for a count of recalls": (CASE, lambda f: edit(f, COVERAGE, lambda c: c.update(recalled=True)), "coverage.json is not as we write it: recalled"),
    "a no for what is held": (CASE, lambda f: edit(f, COVERAGE, lambda c: c.update(held=False)), "coverage.json is not as we write it: held"),
    "a no for what lies before": (CASE, lambda f: edit(f, COVERAGE, lambda c: c["conversations"][0].update(before=False)), "coverage.json is not as we write it"),
    "a yes for a leaf in the log of masks": (
        REDACTED, lambda f: edit_lines(f, lambda rows: rows[0].update(leaf=True), "data/redaction/log.jsonl"), "redaction/log.jsonl line 1 is not as we write it: leaf",
    ),
    "a yes for a record in a proof of decryption": (
        CASE, lambda f: edit(f, "data/decryption/000000000001.json", lambda p: p.update(leaf=True)), "decryption/000000000001.json is not as we write it: leaf",
    ),
    "a yes for its key": (
        CASE, lambda f: edit(f, "data/decryption/000000000001.json", lambda p: p.update(key_version=True)), "decryption/000000000001.json is not as we write it: key_version",
    ),
    "a yes for the version of a key": (
        CASE, lambda f: edit(f, "data/decryption/key-000001.json", lambda p: p.update(version=True)), "decryption/key-000001.json is not as we write it: version",
    ),
    "words beside signed ones": (CASE, lambda f: edit_lines(f, lambda rows: rows[2].update(note="x")), "02-messages.jsonl line 3 is not as we write it"),
    "words beside a pull": (CASE, lambda f: edit_lines(f, lambda rows: rows[0].update(note="x"), "data/source/pulls.jsonl"), "source/pulls.jsonl line 1 is not as we write it"),
    "a line that is no JSON": (CASE, lambda f: f.update({"data/source/pulls.jsonl": b"{}\n{\n"}), "source/pulls.jsonl line 1 is not as we write it"),
    "a file that is no JSON": (CASE, lambda f: f.update({COVERAGE: b"{\n"}), "completeness/coverage.json is not JSON"),
    "a path that is no digest": (
        CASE, lambda f: edit(f, "data/proofs/000000000001.json", lambda p: p.update(path=["zz"])), "malformed",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CHANGES)
def test_both_name_the_file_and_the_place(tmp_path: Path, name: str) -> None:
    data, change, words = CHANGES[name]
    files = unzipped(data)
    change(files)
    refused_by_both(tmp_path, zipped(files), words)


def test_what_is_malformed_names_its_file_and_nothing_of_it(tmp_path: Path) -> None:
    files = unzipped(CASE)
    edit(files, "data/proofs/000000000001.json", lambda p: p.update(path=["secret"]))
    ours_, (_, words) = verdicts(tmp_path, zipped(files))
    assert ours_ == "malformed: ValueError in proofs/000000000001.json"
    assert "malformed, ValueError in proofs/000000000001.json" in words and "secret" not in words


def faults() -> Iterator[str]:
    """Yield what verify.py may say, with X for what it names."""
    for node in ast.walk(ast.parse(SCRIPT.read_text("utf-8"))):
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") in ("need", "Failed") and not isinstance(node.args[-1], ast.Name):
            yield from _said(node.args[-1])


def _said(node: ast.expr) -> Iterator[str]:
    if isinstance(node, ast.Constant):
        yield str(node.value)
    elif isinstance(node, ast.IfExp):
        yield from (*_said(node.body), *_said(node.orelse))
    elif isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mod):
        yield from (re.sub("%[0-9]*[sdr]", "X", one) for one in _said(node.left))
    elif isinstance(node, ast.BinOp):
        yield from (a + b for a in _said(node.left) for b in _said(node.right))
    else:
        yield "X"


def test_whatever_does_not_hold_is_told_in_chinese() -> None:
    told = {one for one in faults() if one not in ("", "X")}
    assert len(told) > 90 and not [one for one in told if VERIFIER["in_chinese"](one) is None]


def test_on_a_chinese_run_the_chinese_stands_first(tmp_path: Path) -> None:
    files = unzipped(CASE)
    edit_lines(files, lambda rows: rows[2].update(note="x"))
    (tmp_path / "case.zip").write_bytes(zipped(files))
    ended = subprocess.run([sys.executable, "-I", "-S", str(SCRIPT), "case.zip", "--lang", "zh"], capture_output=True, cwd=tmp_path, check=False, env={"PYTHONIOENCODING": "utf-8"})
    last = ended.stdout.decode().splitlines()[-1]
    assert last == (
        "4. 不通过：所列文字与承诺的字段一致：02-messages.jsonl 第 3 行 与本程序所写格式不符（02-messages.jsonl line 3 is not as we write it）"
    )


def test_every_json_file_of_ours_has_a_shape() -> None:
    for data in (CASE, REDACTED):
        for name in (n.removeprefix("data/") for n in unzipped(data) if n.endswith((".json", ".jsonl"))):
            if not name.startswith(("raw/", "custody/log")):
                assert re.sub("[0-9]{6,}", "#", name) in check_shapes._SHAPES.keys() & VERIFIER["SHAPES"].keys() | {"identity/accounts.jsonl"}


