"""Whole-flow cases as folders: what was sealed, what the firm had set up, and by hand what the archive must then say.

A case holds `input.ndjson` ({"seq", "message", "version" (default 1), "msgid" of the envelope (default the message's own)} a line) and
may hold `config.toml` (settings by dotted key), `directory.jsonl`, `consent.jsonl` (lines of `consent import`, each with the
`recorded_at` at which it came, in milliseconds). Expected: `archived`, `withheld`, `pending`, `failures`, `control` (`.ndjson`), each row
with the columns its author chose, in order of seq; a file that is not there means that the view is empty. Times are milliseconds.
"""

from __future__ import annotations

import json
import tomllib
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from pipeline import ingest, lakerows
from pipeline.consent_events import events_from_import
from pipeline.home import Home
from pipeline.people_import import read_people
from pipeline.reader import Reader
from tests import firm
from tests.firm import T0, run

CASES = sorted(p for p in (Path(__file__).parent / "cases").iterdir() if p.is_dir())
VIEWS = {"archived": "messages", "withheld": "withheld", "pending": "pending", "failures": "failures", "control": "control"}


def lines(path: Path) -> list[dict[str, Any]]:
    """The objects of a file, none when it is not there."""
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()] if path.exists() else []


def prepared(case: Path, folder: Path) -> Home:
    """A home as the case sets it up."""
    config = case / "config.toml"
    at = firm.home(folder, settings=tomllib.loads(config.read_text("utf-8")) if config.exists() else {})
    if people := read_people((json.dumps(p).encode() for p in lines(case / "directory.jsonl")), recorded_at_ms=T0):
        ingest.append(at, firm.CORP, [("people", lakerows.people_table(people))], what="people")
    for n, line in enumerate(lines(case / "consent.jsonl")):
        recorded = line.pop("recorded_at")
        events, _ = events_from_import([json.dumps(line).encode()], recorded_at_ms=recorded, batch=f"batch-{n}", document_digest=None)
        assert len(events) == 1
        ingest.append(at, firm.CORP, [("consent", lakerows.consent_table(events))], what="consent import")
    return at


def sealed(case: Path, folder: Path) -> Path:
    """The case's records, sealed, as one saved answer."""
    items = [
        firm.item(line["seq"], json.dumps(line["message"], ensure_ascii=False).encode(), version=line.get("version", 1), msgid=line.get("msgid"))
        for line in lines(case / "input.ndjson")
    ]
    return firm.page(folder, "case.json", items)


def said(at: Home, case: Path) -> dict[str, list[dict[str, Any]]]:
    """What the archive says, in the columns that the case names."""
    found = {}
    with Reader(at, firm.CORP) as reader:
        for name, view in VIEWS.items():
            expected = lines(case / f"{name}.ndjson")
            columns = ", ".join(f'"{c}"' for c in (expected[0] if expected else ["seq"]))
            found[name] = [{k: _plain(v) for k, v in r.items()} for r in reader.rows(f"SELECT {columns} FROM {view} ORDER BY seq")]
    return found


def _plain(value: Any) -> Any:
    return round(value.timestamp() * 1000) if isinstance(value, datetime) else value


@pytest.mark.parametrize("case", CASES, ids=lambda p: p.name)
def test_the_archive_says_what_the_case_says_and_a_second_run_changes_nothing(case: Path, tmp_path: Path) -> None:
    at = prepared(case, tmp_path)
    saved = sealed(case, tmp_path)
    expected = {name: lines(case / f"{name}.ndjson") for name in VIEWS}
    first = run(at, saved)
    assert said(at, case) == expected
    assert first.summary.landed == len(lines(case / "input.ndjson"))
    assert first.summary.exit_code == (3 if expected["pending"] or expected["failures"] else 0)
    version = at.lake(firm.CORP).snapshot().version
    assert run(at, saved).summary.landed == 0
    assert at.lake(firm.CORP).snapshot().version == version
