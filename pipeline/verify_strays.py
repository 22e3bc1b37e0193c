"""Verification, check 3: what lies in lake, landing and staging and belongs there by no commit, no landed page, no manifest.

Before: verify_files.py. After: verify.py.

 Lake     an encrypted file of ours that no entry names is what a killed run or a late reader left: told as a number. Anything else is named:
          plaintext, another name, bytes that differ from its name, what does not decrypt.
 Landing  `.page` files whose bytes are those of their names and that are sealed: no opened message. Anything else is named.
 Staging  manifests, outlines and encrypted imports that open in their places. Anything else is named.
Content is never told; a file's name only as far as it is of our own form.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.verify_files import MAGIC, Sealed, decrypt
from pipeline.verify_keys import Keys, opens
from pipeline.verify_log import NAME, Log
from pipeline.verify_report import STRAYS, Report, bytes_of, ranges

HOME = {
    "liuhen.toml", "keys", "landing", "staging", "lake", "custody", "lexicon", "locks", "anchors", "alerts", "callbacks", "source", "media", "metrics",
    "register", "matching", "evidence", "search", "approvals", "retention",
}
_PAGE = re.compile(r"(\d{20})-([0-9a-f]{64})\.page\Z")
_IMPORT = re.compile(r"(\d{20})-([0-9a-f]{32})\.page\Z")
_PART = re.compile(r"\.[0-9a-f]{16}\.part\Z")
_MANIFEST = re.compile(r"\d{20}-([0-9a-f]{16})\.manifest\Z")
_OUTLINE = re.compile(r"([0-9a-f]{16})\.outline\Z")
_PURGE = re.compile(r"purge-\d{20}-[0-9a-f]{16}\.json\Z")
_PURGE_KEYS = {"v", "version", "not_before_ms", "paths", "token", "folders"}
_HEADER = {"v", "source", "name", "captured_at_ms", "first_seq", "last_seq", "records", "requested_seq"}
_PULLED = {"answer_code", "library", "clock_offset_ms"}
# Folders of sealed boxes and sealed files, opened by their owners in places of their own; here their form is looked at.
_SEALED_FOLDERS = ("alerts", "callbacks", "media", "approvals", "retention")
_BOX = re.compile(rb"[^#\x00-\x1f]{1,300}#\d{1,9}\Z")
# What did the private operations, and why not better: multi-buffer, openssl:processor. A manifest may lack it.
_RSA = re.compile(r"[a-z_:-]{0,40}\Z")
_MANIFEST_KEYS = {"v", "corp_id", "pages", "lexicon_version", "policy_version", "files", "outline"}
# Keys that only an opened message has; a sealed record has encrypt_random_key and encrypt_chat_msg.
_OPENED = re.compile(rb'"(?:msgtype|tolist|msgtime|roomid)"\s*:')
_SEQ = re.compile(rb'"seq"\s*:\s*(\d{1,20})\b')
_OPENED_KEYS = {"msgtype", "tolist", "msgtime", "roomid", "from", "text", "content"}


def check_lake(root: Path, log: Log | None, keys: Keys | None, report: Report) -> None:
    """Name every file of the lake's folder that belongs to nothing."""
    for path in sorted(p for p in root.rglob("*") if not p.is_dir() and p.relative_to(root).parts[0] != "_delta_log"):
        name = path.relative_to(root).as_posix()
        if log is not None and name in log.active:
            continue
        data = bytes_of(path) if path.is_file() and not path.is_symlink() else b"" if path.is_symlink() or path.exists() else None
        if data is None:
            continue
        report.counts["other files"] += 1
        if _PART.match(path.name) and (not data or data.startswith(MAGIC)):
            report.counts["left by killed runs"] += 1
        elif not data or data[:4] != MAGIC or data[-4:] != MAGIC:
            report.find(STRAYS, "PLAINTEXT", _named(data), file=_told(root.parent.parent, path), size=len(data))
        else:
            _encrypted(name, data, keys, report)


def _encrypted(name: str, data: bytes, keys: Keys | None, report: Report) -> None:
    form = NAME.match(name)
    if form is None or hashlib.sha256(data).hexdigest() != form[2]:
        report.find(STRAYS, "UNKNOWN_FILE", file=_told_name(name), size=len(data))
        return
    try:
        if keys is not None:
            decrypt(data, keys, columns=[])
    except Sealed as sealed:
        if not sealed.missing:
            report.find(STRAYS, "UNKNOWN_FILE", file=_told_name(name), size=len(data))
            return
    report.counts["unnamed encrypted files"] += 1


def _told(home: Path, path: Path) -> str:
    return _told_name(path.relative_to(home).as_posix())


def _told_name(name: str) -> str:
    """A name as it can be shown: at most 160 characters, unseen ones as escapes."""
    return name[-160:].encode("unicode_escape").decode() if not name.isprintable() else name[-160:]


def check_landing(home: Path, corp_id: str, report: Report) -> None:
    """Name every file of the landing that is not a whole sealed page."""
    for path in _files(home / "landing" / corp_id):
        name, data = _told(home, path), bytes_of(path)
        if data is None:
            continue
        form = _PAGE.match(path.name)
        if _PART.match(path.name):
            if _OPENED.search(data):
                report.find(STRAYS, "PLAINTEXT", _named(data), file=name, size=len(data))
            report.counts["left by killed runs"] += 1
            continue
        report.counts["pages that wait"] += 1
        head, _, body = data.partition(b"\n")
        if form is None:
            report.find(STRAYS, "PLAINTEXT" if _OPENED.search(data) else "UNKNOWN_FILE", _named(data), file=name, size=len(data))
        elif not _header(head, form[1]) or hashlib.sha256(body).hexdigest() != form[2]:
            report.find(STRAYS, "PAGE_DAMAGED", _seqs(head), file=name)
        if form is not None and _holds_opened(body):
            report.find(STRAYS, "PLAINTEXT", _seqs(head), file=name, size=len(data))


def _files(folder: Path) -> list[Path]:
    return sorted(p for p in folder.rglob("*") if p.is_file()) if folder.is_dir() else []


def _json(data: bytes) -> Any:
    try:
        return json.loads(data)
    except (ValueError, RecursionError):
        return None


def _header(head: bytes, first_seq: str) -> bool:
    found = _json(head)
    return isinstance(found, dict) and found.keys() - _PULLED == _HEADER and found["first_seq"] in ((None, 0) if int(first_seq) == 0 else (int(first_seq),))


def _seqs(head: bytes) -> str:
    found = _json(head)
    low, high = (found.get("first_seq"), found.get("last_seq")) if isinstance(found, dict) else (None, None)
    return f"seq {low}-{high}" if isinstance(low, int) and isinstance(high, int) else ""


def _named(data: bytes) -> str:
    """Return which records a file in clear holds, as far as it says: "seq 1-3, 7", or ""."""
    if data.startswith(b"PAR1"):
        with suppress(Exception):  # whatever pyarrow makes of bytes that only begin like a file of its own
            table = pq.ParquetFile(pa.BufferReader(data))
            seqs = table.read(columns=["seq"])["seq"].to_pylist() if "seq" in table.schema_arrow.names else []
            return _range(int(s) for s in seqs if s is not None)
    return _range(int(m[1]) for m in _SEQ.finditer(data))


def _range(seqs: Iterable[int]) -> str:
    told = ranges(seqs)
    return f"seq {told}" if told else ""


def _holds_opened(body: bytes) -> bool:
    """Whether a page holds an opened message: where it can be read, a record without its sealed field; else by the fields of one."""
    answer = _json(body)
    if answer is None:
        return _OPENED.search(body) is not None
    items = answer.get("chatdata") if isinstance(answer, dict) else answer
    candidates = [*(items if isinstance(items, list) else []), answer]
    return any(isinstance(i, dict) and "encrypt_chat_msg" not in i and bool(_OPENED_KEYS & i.keys()) for i in candidates)


def check_staging(home: Path, corp_id: str, keys: Keys | None, report: Report) -> None:
    """Name every file of the staging folder that is no manifest, outline or encrypted import of ours."""
    folder = home / "staging" / corp_id
    named: dict[str, tuple[tuple[int, str], str]] = {}
    for path in _files(folder):
        if _MANIFEST.match(path.name):
            named.update(_manifest(path, corp_id, _told(home, path), report))
    for path in _files(folder):
        name, data = _told(home, path), bytes_of(path)
        if data is None:
            continue
        report.counts["staged files"] += 1
        if _MANIFEST.match(path.name):
            continue
        if _PART.match(path.name):
            if _OPENED.search(data):
                report.find(STRAYS, "PLAINTEXT", _named(data), file=name, size=len(data))
            report.counts["left by killed runs"] += 1
        elif (outline := _OUTLINE.match(path.name)) is not None:
            known, concerned = named.get(path.name, ((len(data), hashlib.sha256(data).hexdigest()), ""))
            if known != (len(data), hashlib.sha256(data).hexdigest()) or (keys is not None and not opens(keys, data, f"outline/{corp_id}/{outline[1]}")):
                report.find(STRAYS, "STAGED_DAMAGED", concerned, file=name)
        elif (landed := _IMPORT.match(path.name)) is not None:
            head, _, box = data.partition(b"\n")
            if not _header(head, landed[1]) or (keys is not None and not opens(keys, box, f"import/{corp_id}/{landed[2]}")):
                report.find(STRAYS, "STAGED_DAMAGED", _seqs(head), file=name)
        else:
            report.find(STRAYS, "PLAINTEXT" if _OPENED.search(data) else "UNKNOWN_FILE", _named(data), file=name, size=len(data))


def check_purges(home: Path, corp_id: str, report: Report) -> None:
    """Name every file beside the staging folder that is no list of files to be unlinked."""
    for path in _files(home / "staging" / f"{corp_id}.purge"):
        data = bytes_of(path)
        if data is None:
            continue
        found = _json(data)
        if _PART.match(path.name):
            report.counts["left by killed runs"] += 1
        elif not _PURGE.match(path.name) or not isinstance(found, dict) or found.keys() - {"delay_ms"} != _PURGE_KEYS:
            report.find(STRAYS, "UNKNOWN_FILE", file=_told(home, path), size=len(data))


def _manifest(path: Path, corp_id: str, name: str, report: Report) -> dict[str, tuple[tuple[int, str], str]]:
    """Return, by the name of its outline, the size and SHA-256 of that and which records it holds."""
    data = bytes_of(path)
    if data is None:
        return {}
    found = _json(data)
    try:
        if found.keys() - {"has_events", "rsa"} != _MANIFEST_KEYS or found["corp_id"] != corp_id or not isinstance(found["files"], list):
            raise ValueError
        if not _RSA.match(found.get("rsa", "")):
            raise ValueError
        outline, size, sha256 = found["outline"]
        spans = [(p["ref"]["first_seq"], p["ref"]["last_seq"]) for p in found["pages"]]
        concerned = ", ".join(f"{low}-{high}" for low, high in spans if low is not None and high is not None)
        return {str(outline): ((int(size), str(sha256)), f"seq {concerned}" if concerned else "")}
    except (AttributeError, KeyError, TypeError, ValueError):
        report.find(STRAYS, "STAGED_DAMAGED", file=name)
        return {}


def check_sealed(home: Path, corp_id: str, report: Report) -> None:
    """Name every file of the other folders of a corp that is not sealed by its form."""
    for path in (p for folder in _SEALED_FOLDERS for p in _files(home / folder / corp_id)):
        try:
            with path.open("rb") as file:
                data, whole = file.read(512), file.seek(0, 2)
        except FileNotFoundError:  # gone since it was listed
            continue
        size = int.from_bytes(data[:2], "big")
        report.counts["other sealed files"] += 1
        if _PART.match(path.name):
            report.counts["left by killed runs"] += 1
        elif data and not data.startswith(b"LHM1") and not _BOX.match(data[2 : 2 + size]):
            report.find(STRAYS, "PLAINTEXT", file=_told(home, path), size=whole)


def check_home(home: Path, report: Report) -> None:
    """Note what else lies at the top of a home: it is not looked into."""
    for path in sorted(home.iterdir()):
        if path.name not in HOME:
            report.note(STRAYS, "NOT_LOOKED_INTO", file=_told_name(path.name))
