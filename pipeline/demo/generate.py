"""Writes the demonstration: the truth first, then keys, people, consent lines and sealed pages.

Before: truth.py, pages.py, pipeline/sealing.py. After: `liuhen demo`, or by hand

    python -m pipeline.demo.generate OUT --messages 20000 --seed 1

Under OUT: truth.json; keys/v1.pem (PKCS#1) and keys/v2.pem (PKCS#8 under the passphrase `demo`); late-key/v3.pem (PKCS#8, held back at
first); directory.jsonl; consent.jsonl; pages/*. Everything follows from the seed except the RSA keys and what the sealing draws.
`commands` says how to walk through it.
"""

from __future__ import annotations

import argparse
import os
import random
import sys
from collections.abc import Callable, Iterable, Sequence
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from pipeline.clock import BEIJING
from pipeline.demo import faults, pages, story, truth
from pipeline.demo.firm import directory_lines
from pipeline.demo.story import LATE_VERSION, Plan, Record
from pipeline.demo.truth import KeyTruth, Truth
from pipeline.errors import ArchiveError, UsageError
from pipeline.sealing import seal_item

CORP_ID = "wwdemo000000000001"
MESSAGES = 20_000
STEP = 500
PASSPHRASE = "demo"
PASSPHRASE_VARIABLE = "LIUHEN_DEMO_PASSPHRASE"
# What is sealed is made up and its keys lie beside it: quick chance is enough.
_CHANCE = random.Random()

Progress = Callable[[int, int], None]
Keys = dict[int, rsa.RSAPrivateKey]


def generate(
    out: Path, *, messages: int = MESSAGES, seed: int = 1, corp_id: str = CORP_ID, end_day: date, progress: Progress | None = None
) -> Truth:
    """Write the demonstration under `out` and return its truth.

    messages: how many records are sealed, at least 500. end_day: the last of the five Beijing days; it should be over, or its evening
    lies in the future. progress(done, total) is called every 500 records.
    Raises UsageError DEMO_TOO_SMALL, and DEMO_EXISTS when `out` holds a demonstration already."""
    if (out / "truth.json").exists():
        raise UsageError("DEMO_EXISTS", "the folder already holds a demonstration", remedy="name another folder")
    plan = story.plan(messages, seed=seed, corp_id=corp_id, end_day=end_day)
    files = list(pages.layout(plan.records))
    told = truth.tell(plan, files, key_truths(plan))
    for folder in ("keys", "late-key", "pages"):
        (out / folder).mkdir(parents=True, exist_ok=True)
    (out / "truth.json").write_bytes(msgspec.json.format(msgspec.json.encode(told), indent=1))
    keys = make_keys(out)
    write_lines(out / "directory.jsonl", directory_lines(plan.firm, plan.calendar))
    write_lines(out / "consent.jsonl", plan.consent_lines)
    _write_pages(out / "pages", files, keys, progress, len(plan.records))
    return told


# --- keys ---

# version: private key, container, passphrase
_KEY_FILES = {
    1: ("keys/v1.pem", "PKCS#1", None),
    2: ("keys/v2.pem", "PKCS#8", PASSPHRASE),
    LATE_VERSION: ("late-key/v3.pem", "PKCS#8", None),
}


def key_truths(plan: Plan) -> list[KeyTruth]:
    """Return which key versions there are and how many records each seals."""
    counts = truth.key_counts(plan.records)
    return [
        KeyTruth(version=version, file=file, form=form, passphrase=passphrase, records=counts[version], late=version == LATE_VERSION)
        for version, (file, form, passphrase) in _KEY_FILES.items()
    ]


def make_keys(out: Path) -> Keys:
    """Write fresh RSA-2048 private keys, readable by their owner alone, and return them by version."""
    keys: Keys = {}
    for version, (file, form, passphrase) in _KEY_FILES.items():
        keys[version] = key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        lock = serialization.BestAvailableEncryption(passphrase.encode()) if passphrase else serialization.NoEncryption()
        container = serialization.PrivateFormat.TraditionalOpenSSL if form == "PKCS#1" else serialization.PrivateFormat.PKCS8
        write_secret(out / file, key.private_bytes(serialization.Encoding.PEM, container, lock))
    return keys


def write_secret(path: Path, data: bytes) -> None:
    """Write a new file that only its owner can read."""
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as handle:
        handle.write(data)


# --- pages ---


def _write_pages(folder: Path, files: Sequence[pages.PageFile], keys: Keys, progress: Progress | None, total: int) -> None:
    """Seal and write file by file. What the file before held is kept: a repeated record is the same bytes."""
    public = {version: key.public_key() for version, key in keys.items()}
    known: dict[tuple[int, int], bytes] = {}
    done = 0
    for file in files:
        here: dict[tuple[int, int], bytes] = {}
        for record in (r for answer in file.answers for r in answer):
            place = (record.seq, record.order)
            if place in here or place in known:
                here[place] = here.get(place) or known[place]
                continue
            here[place] = seal(record, public[record.key_version])
            done += 1
            if progress is not None and (done % STEP == 0 or done == total):
                progress(done, total)
        known = {**known, **here} if not file.answers[0] or len(here) == 1 else here
        (folder / file.name).write_bytes(pages.encode(file, [[here[r.seq, r.order] for r in answer] for answer in file.answers]))


def seal(record: Record, public_key: rsa.RSAPublicKey) -> bytes:
    """Return the record's JSON as GetChatData gives it, with its fault if it has one."""
    sealed = seal_item(record.plaintext, seq=record.seq, msgid=record.msgid, version=record.key_version, public_key=public_key, rng=_CHANCE)
    return faults.item(sealed, record.code)


def write_lines(path: Path, lines: Iterable[dict[str, Any]]) -> None:
    """Write values as JSON Lines."""
    path.write_bytes(b"".join(msgspec.json.encode(line) + b"\n" for line in lines))


# --- by hand ---


def commands(source: Path, told: Truth, *, address: str = "") -> list[list[str]]:
    """Return the words of the commands that walk through the demonstration under `source`, in order; `liuhen` and the home are left out.

    address: of the double that serves it (pipeline/simulate); "" for saved pages. The passphrase of version 2 is expected in the
    environment variable LIUHEN_DEMO_PASSPHRASE."""
    early, late = ([_keys_add(source, key) for key in told.keys if key.late == wanted] for wanted in (False, True))
    busiest = max(told.per_employee_later, key=lambda userid: sum(told.per_employee_later[userid].values()))
    place = next(p.conversation_id for p in told.phrases if p.kind == "violations" and p.employee == busiest and p.fate_later == "archived")
    return [
        ["init", "--corp-id", told.corp_id, "--corp-name", told.firm],
        ["config", "set", "demo", "true"],
        *(_connected(source, told, address) if address else []),
        *early,
        ["people", "import", str(source / "directory.jsonl")],
        ["consent", "import", str(source / "consent.jsonl")],
        *([["pull"], ["ingest"], ["consent", "sync"]] if address else [["ingest", "--from", str(source / "pages")]]),
        ["audit", "run", "unopened"],
        *late,
        ["ingest"],
        *([["media", "fetch"]] if address else []),
        ["audit", "run", "findings-by-category"],
        ["audit", "run", "findings-of-employee", "-p", f"employee={busiest}"],
        ["audit", "run", "consent-by-employee"],
        ["sql", "SELECT term, count(*) AS findings FROM matches GROUP BY term ORDER BY findings DESC, term LIMIT 10"],
        ["conversation", place],
        ["status"],
    ]


def _connected(source: Path, told: Truth, address: str) -> list[list[str]]:
    """The settings that lead to a double: its address, where its secrets are, and no slower than it can do."""
    secrets = {name: f"file:{(source / 'secrets' / name).absolute()}" for name in ("archive", "contacts")}
    wanted = {
        "wecom.base_url": address,
        **{f"corp.{told.corp_id}.{name}_secret": where for name, where in secrets.items()},
        "media.calls_per_minute": "25000",
    }
    return [["config", "set", key, value] for key, value in wanted.items()]


def _keys_add(source: Path, key: KeyTruth) -> list[str]:
    words = ["keys", "add", "--version", str(key.version), "--private-key", str(source / key.file)]
    return [*words, "--passphrase-env", PASSPHRASE_VARIABLE] if key.passphrase else words


def main(arguments: Sequence[str] | None = None) -> int:
    """Write a demonstration from the command line; returns the exit code."""
    what = "write a made-up firm's saved pages and the truth about them"
    parser = argparse.ArgumentParser(prog="python -m pipeline.demo.generate", description=what)
    parser.add_argument("out", type=Path)
    parser.add_argument("--messages", type=int, default=MESSAGES)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--corp", default=CORP_ID)
    yesterday = datetime.now(BEIJING).date() - timedelta(days=1)
    parser.add_argument("--end-day", type=date.fromisoformat, default=yesterday, help="the last day; default: yesterday in Beijing")
    chosen = parser.parse_args(arguments)
    try:
        told = generate(
            chosen.out, messages=chosen.messages, seed=chosen.seed, corp_id=chosen.corp, end_day=chosen.end_day, progress=_on_terminal()
        )
    except ArchiveError as error:
        print(error, file=sys.stderr)
        return int(error.exit_code)
    print(msgspec.json.encode({"demo": True, "records": told.records, "fates": told.fates, "fates_later": told.fates_later}).decode())
    return 0


def _on_terminal() -> Progress | None:
    if not sys.stderr.isatty():
        return None
    return lambda done, total: print(f"\r{done}/{total}", end="" if done < total else "\n", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
