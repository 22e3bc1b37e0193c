"""The vendor's library: is the file there, for this machine, the one that was tried; and do both openers agree on the operator's own records?

Before: findings.py, source/library.py, source/vendor.py, envelope.py. After: examine.py.
The library is loaded in a child process only. Compared are up to COMPARED sealed records, newest first, of the archive, else of the landing;
what they hold is compared as bytes and shown nowhere.
"""

from __future__ import annotations

import platform
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import pyarrow.dataset as ds

from pipeline import envelope, hostile_json, landing
from pipeline.doctor.findings import Finding, of_error
from pipeline.errors import ArchiveError, Exit, RecordError
from pipeline.home import Home
from pipeline.records import PageRef
from pipeline.source.interface import VendorError
from pipeline.source.library import LibraryFile, find
from pipeline.source.vendor import DECRYPT_S, Child, Restarting

COMPARED: Final = 20
# e_machine of an ELF file, and what Python calls the machine.
MACHINES: Final = {62: "x86_64", 183: "aarch64", 3: "i686", 40: "arm"}
DEFAULT_CA: Final = Path("/etc/pki/tls/certs/ca-bundle.crt")
Sealed = tuple[bytes, bytes]  # key block, encrypt_chat_msg


def look_home(home: Home, *, machine: str | None = None) -> Iterator[Finding]:
    """Yield what is found about the library's file, and the warning that stands whenever there is one."""
    settings = home.config.source
    if not settings.library:
        yield Finding(check="library", state="warning", outcome="unset")
        return
    try:
        file = find(home.path, library=settings.library, sha256=settings.library_sha256)
    except ArchiveError as error:
        yield of_error("library", error)
        return
    yield _architecture(file, machine or platform.machine())
    values = {"sha256": file.sha256, "version": file.known}
    if file.known or settings.library_sha256:
        yield Finding(check="library_digest", state="ok", outcome="ok" if file.known else "configured", values=values)
    else:
        yield Finding(check="library_digest", state="warning", outcome="unknown", values=values)
    yield _loads(file)
    if not DEFAULT_CA.exists():
        yield Finding(check="library_ca", state="warning", outcome="missing", values={"file": str(DEFAULT_CA)})
    yield Finding(check="library_tls", state="note", outcome="unverified")


def _architecture(file: LibraryFile, machine: str) -> Finding:
    with file.path.open("rb") as handle:
        head = handle.read(20)
    built = MACHINES.get(int.from_bytes(head[18:20], "little"), "?") if head[:4] == b"\x7fELF" else "?"
    fits = built == {"amd64": "x86_64", "arm64": "aarch64"}.get(machine.lower(), machine.lower())
    values = {"built": built, "machine": machine}
    return Finding(check="library", state="ok" if fits else "bad", outcome="ok" if fits else "architecture", values=values, exit_code=int(Exit.USAGE))


def _loads(file: LibraryFile) -> Finding:
    try:
        Child(file.path).end()
    except ArchiveError as error:
        return of_error("library_loads", error)
    return Finding(check="library_loads", state="ok", outcome="ok")


def look_openers(home: Home, corp_id: str) -> Finding:
    """Return whether the library and our own opener give the same bytes for the operator's own records."""
    if not home.config.source.library:
        return Finding(check="openers", corp=corp_id, state="skipped", outcome="no_library")
    try:
        records = _records(home, corp_id)
        if not records:
            return Finding(check="openers", corp=corp_id, state="note", outcome="no_records")
        file = find(home.path, library=home.config.source.library, sha256=home.config.source.library_sha256)
        differ = _differing(Restarting(file), records)
    except ArchiveError as error:
        return of_error("openers", error, corp=corp_id)
    values = {"n": len(records), "differ": differ}
    return Finding(check="openers", corp=corp_id, state="bad" if differ else "ok", outcome="differ" if differ else "ok", values=values, exit_code=int(Exit.VERIFY_FAILED))


def _differing(running: Restarting, records: Sequence[Sealed]) -> int:
    try:
        return sum(_ours(sealed) != _theirs(running, sealed) for sealed in records)
    finally:
        running.close()


def _ours(sealed: Sealed) -> bytes | None:
    try:
        return envelope.decrypt_data(*sealed)
    except RecordError:
        return None


def _theirs(running: Restarting, sealed: Sealed) -> bytes | None:
    try:
        return running.call(b"decrypt", *sealed, timeout_s=DECRYPT_S)[0]
    except VendorError:
        return None


def _records(home: Home, corp_id: str) -> list[Sealed]:
    """Return up to COMPARED sealed records whose random key opens, of the newest file of the archive, else of a landed page."""
    lake = home.lake(corp_id)
    files = sorted(lake.snapshot().of("sealed"), key=lambda f: f.stats.get("seq", (0, 0))[1], reverse=True)
    if files:
        rows = lake.read("sealed", files[:1], columns=["envelope", "key_block"], where=ds.field("key_block").is_valid()).to_pylist()
        return [(row["key_block"], _chat_msg(row["envelope"])) for row in rows[-COMPARED:]]
    for ref in landing.waiting(home, corp_id):
        if ref.source != "plain" and (found := _landed(home, corp_id, ref)):
            return found
    return []


def _landed(home: Home, corp_id: str, ref: PageRef) -> list[Sealed]:
    page, malformed = landing.read(home, ref)
    opened = envelope.open_page(page, malformed, keys=home.key_set(corp_id)).items[:COMPARED]
    return [(item.key_block, _chat_msg(item.sealed)) for item in opened if item.key_block and item.sealed]


def _chat_msg(sealed: bytes) -> bytes:
    record: Any = hostile_json.decode(sealed)[0]
    return str(record["encrypt_chat_msg"]).encode()
