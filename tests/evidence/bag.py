"""A bundle in the hands of a stranger: taken apart, changed, packed again with manifests that fit, and put before both verifiers.

Before: nothing. After: test_bundle.py and all others that damage bundles.
"""

from __future__ import annotations

import hashlib
import io
import json
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pipeline.evidence import bundle
from pipeline.evidence.check import check
from pipeline.evidence.fault_words import in_chinese

Files = dict[str, bytes]
SCRIPT = Path(bundle.__file__).parent / "bundled" / "verify.py"


def unzipped(data: bytes) -> Files:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return {i.filename.removeprefix("case/"): archive.read(i) for i in archive.infolist()}


def zipped(files: Files, *, sealed: bool = True) -> bytes:
    """A bundle of these files. sealed: with manifests that fit, as somebody who changed it would make them."""
    if sealed:
        data = {n: d for n, d in files.items() if n.startswith("data/")}
        oxum = f"Payload-Oxum: {sum(map(len, data.values()))}.{len(data)}\n".encode()
        tags = {"bagit.txt": files["bagit.txt"], "bag-info.txt": oxum, "manifest-sha256.txt": manifest(data)}
        files = {**data, **tags, "tagmanifest-sha256.txt": manifest(tags)}
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w") as archive:
        for name, content in files.items():
            archive.writestr(f"case/{name}" if not name.startswith("!") else name[1:], content)
    return sink.getvalue()


def manifest(files: Files) -> bytes:
    return "".join(f"{hashlib.sha256(d).hexdigest()}  {n}\n" for n, d in sorted(files.items())).encode()


def lines(files: Files, name: str = "data/02-messages.jsonl") -> list[dict[str, Any]]:
    return [json.loads(line) for line in files[name].splitlines()]


def edit(files: Files, name: str, change: Callable[[Any], None]) -> None:
    value = json.loads(files[name])
    change(value)
    files[name] = json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode()


def edit_lines(files: Files, change: Callable[[list[dict[str, Any]]], None], name: str = "data/02-messages.jsonl") -> None:
    rows = lines(files, name)
    change(rows)
    files[name] = b"".join(json.dumps(r, ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode() + b"\n" for r in rows)


def leaf_of(files: Files, seq: int) -> int:
    return int(next(r["leaf"] for r in lines(files) if r["seq"] == seq))


def at(files: Files, seq: int, kind: str) -> str:
    return f"data/{'proofs' if kind == '' else 'raw'}/{leaf_of(files, seq):012d}{kind and '.' + kind}.json"


def verdicts(folder: Path, data: bytes, *more: str, key: str | None = None, opening: dict[str, Any] | None = None) -> tuple[str, tuple[int, str]]:
    """What `liuhen verify` and verify.py say: the fault of the one; exit code and words of the other, run with no package in sight."""
    path = folder / "case.zip"
    path.write_bytes(data)
    report = check(path, key=key, opening=opening)
    words = [sys.executable, "-I", "-S", str(SCRIPT), str(path), "--lang", "en", *more, *(["--key", key] if key else [])]
    ended = subprocess.run(words, capture_output=True, timeout=300, check=False, cwd=folder)
    return next((f.fault for f in report.findings if f.fault), ""), (ended.returncode, ended.stdout.decode() + ended.stderr.decode())


def refused_by_both(folder: Path, data: bytes, *named: str, opening: dict[str, Any] | None = None) -> None:
    """Fail unless both verifiers refuse these bytes and each says all of `named`; ours is known in Chinese. opening: also kept in opening.json, for verify.py."""
    more = ("--opening", "opening.json") if opening is not None else ()
    ours, (code, words) = verdicts(folder, data, *more, opening=opening)
    assert ours and code == 6 and "Traceback" not in words, (ours, words)
    told = in_chinese(ours)
    assert told and told != ours, ours
    assert all(one in ours and one in words for one in named), (named, ours, words)
