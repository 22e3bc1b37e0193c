"""Test means: a home of the double's corp, and the pull of an operator who has no luck."""

from __future__ import annotations

import hashlib
import json
import os
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pipeline import config, durable, ingest, lakerows
from pipeline.clock import now_ms
from pipeline.config import Corp
from pipeline.consent_events import events_from_import
from pipeline.home import Home
from pipeline.people_import import read_people
from pipeline.simulate.book import Line
from pipeline.source.interface import Source
from pipeline.source.media_fetch import Fetch, Fetched
from pipeline.source.pace import Pace
from pipeline.source.pull import Pull, Summary
from tests import firm
from tests.simulate.doubles import Asker, corp_keys


def home_of(asker: Asker, folder: Path, *, library: str = "", settings: dict[str, str] | None = None) -> Home:
    """A home of the double's corp that knows all keys but those given while the double runs, its people, and the consent that officers imported."""
    double = asker.server.double
    corp = double.corp.corp_id
    made = Home.create(folder / "home", [Corp(id=corp)])
    toml = made.path / "liuhen.toml"
    wanted = {
        "wecom.base_url": asker.server.base, "wecom.proxy": asker.server.base if library else "", "source.library": library, "demo": "true",
        f"corp.{corp}.archive_secret": f"file:{double.setting.folder / 'secrets/archive'}", "source.calls_per_minute": "4000",
        f"corp.{corp}.contacts_secret": f"file:{double.setting.folder / 'secrets/contacts'}", "media.calls_per_minute": "25000", **(settings or {}),
    }  # fmt: skip
    text = toml.read_text("utf-8")
    for name, value in wanted.items():
        text = config.changed(text, name, value)
    durable.replace(toml, text.encode())
    made = Home(made.path)
    for version, key in corp_keys().items():
        made.add_key(corp, version, pem(key), None)
    people = (double.setting.folder / "directory.jsonl").read_bytes().splitlines()
    ingest.append(made, corp, [("people", lakerows.people_table(read_people(people, recorded_at_ms=now_ms())))], what="people")
    lines = [json.dumps(line).encode() for line in double.plan.consent_lines]
    events, wrong = events_from_import(lines, recorded_at_ms=now_ms(), batch="b", document_digest="d")
    assert not wrong
    ingest.append(made, corp, [("consent", lakerows.consent_table(list(events)))], what="consent")
    return made


def pem(key: Any) -> bytes:
    """A private key as PKCS#8."""
    from cryptography.hazmat.primitives import serialization as ser

    return bytes(key.private_bytes(ser.Encoding.PEM, ser.PrivateFormat.PKCS8, ser.NoEncryption()))


def patient(seconds: float) -> None:
    """A pause that is none."""


def quick(per_minute: int = 25_000) -> Pace:
    return Pace(per_minute, sleep=patient)


def pull(home: Home, asker: Asker, source: Source, *, clock: Callable[[], int] | None = None) -> Summary:
    """One pull, with the double's clock unless another is given."""
    double = asker.server.double
    return Pull(home, double.corp.corp_id, source, run_id="r", now_ms=clock or double.clock.now, sleep=patient, pace=quick()).run()


def fetch(home: Home, asker: Asker, source: Source, most: int) -> Fetched:
    """Fetch so many files."""
    return Fetch(home, asker.server.double.corp.corp_id, source, sleep=patient, pace=quick()).run(most)


def archived(home: Home, corp: str) -> dict[tuple[int, str], str]:
    """SHA-256 of the opened bytes of every archived record, by seq and msgid."""
    return {(r["seq"], r["msgid"]): hashlib.sha256(r["raw"].encode()).hexdigest() for r in firm.rows(home, "SELECT seq, msgid, raw FROM messages", corp)}


def told_archived(lines: list[Line]) -> dict[tuple[int, str], str]:
    """What of the truth is archived once all keys are there; of two records with one seq either may be, so both are left out."""
    twice = one_seq(lines)
    return {(line.seq, line.msgid): line.sha256 for line in lines if line.fate_later == "archived" and line.seq not in twice}


def one_seq(lines: list[Line]) -> dict[int, set[str]]:
    """The msgids of each seq that two records have."""
    twice = {line.seq for line in lines if line.order}
    return {seq: {line.msgid for line in lines if line.seq == seq} for seq in twice}


def told_fates(lines: list[Line]) -> Counter[str]:
    """How many records end how, once all keys are there."""
    return Counter(line.fate_later for line in lines)


def library() -> str:
    """The vendor library's path; skips the test where there is none."""
    import pytest

    path = os.environ.get("LIUHEN_VENDOR_LIB")
    if not path:
        pytest.skip("LIUHEN_VENDOR_LIB is not set")
    return path


