"""How fast the archive answers, beside DuckDB's own `read_parquet` over plain files of the same messages.

LIUHEN_BENCH_ROWS (default 1,000,000; ten million for the bars of the documentation) sets the size; LIUHEN_BENCH_QUERY a folder in which the
archive is kept from run to run. Asserted are answers, bytes and CPU seconds with room for a busy machine; seconds on the clock are printed
beside the bars, since this machine is seldom quiet.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from tests import firm
from tests.bench import archive, asking, meter

ROWS = int(os.environ.get("LIUHEN_BENCH_ROWS", "1000000"))
KEPT = os.environ.get("LIUHEN_BENCH_QUERY", "")
INDEX_BAR, BUILD_BAR = 0.6, 50_000
SEARCH_S, DAY_S, CONVERSATION_S, FINDINGS_S, AUDIT_S, COMMAND_S = 0.3, 0.15, 0.15, 0.3, 5.0, 1.5
OVER_FINDINGS = ("findings", "findings-by-category", "findings-of-employee", "repeat-offenders")

pytestmark = pytest.mark.bench


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The archive, made once a size where LIUHEN_BENCH_QUERY names a folder."""
    folder = (Path(KEPT) if KEPT else tmp_path_factory.mktemp("query")) / f"{ROWS}"
    if not (folder / "made.json").exists():
        folder.mkdir(parents=True, exist_ok=True)
        archive.make(firm.home(folder), folder / "plain", ROWS)
        (folder / "made.json").write_text(json.dumps({"rows": ROWS}))
    return folder


def told(arm: str, made: Path, *more: str) -> dict[str, Any]:
    """Run an arm in a process of its own; return what it said."""
    found: dict[str, Any] = json.loads(meter.run("tests.bench.asking", arm, str(made), *more).said)
    return found


def line(name: str, seconds: dict[str, float], bar: float) -> str:
    """One measurement as a line."""
    return f"  {name:<42}{seconds['wall'] * 1000:9.0f} ms on the clock {seconds['cpu'] * 1000:9.0f} ms of CPU   bar {bar * 1000:,.0f} ms"


def test_query_index_is_small_and_soon_made(made: Path, capfd: pytest.CaptureFixture[str]) -> None:
    built = told("indexing", made)
    with capfd.disabled():
        print(f"\n{meter.machine()}\n{ROWS:,} messages")
        print(f"  index {built['bytes'] / 1e6:,.0f} MB, {built['bytes'] / built['text']:.3f} of the text column; {built['messages'] / built['wall']:,.0f} messages a second,")
        print(f"  {built['messages'] / built['cpu']:,.0f} a CPU second")
    assert built["messages"] == ROWS
    assert built["bytes"] / built["text"] <= INDEX_BAR
    assert built["messages"] / built["cpu"] >= BUILD_BAR


def test_query_searches(made: Path, capfd: pytest.CaptureFixture[str]) -> None:
    found = told("searching", made)
    with capfd.disabled():
        print()
        for name, one in found["fixed"].items():
            print(line(f"search {name}", one, SEARCH_S))
        for what, bar, ones in (("28 queries", SEARCH_S, found["fixed"]), ("28 queries, one day", DAY_S, found["day"])):
            print(line(f"median of {what}", {k: asking.middle(ones, k) for k in ("wall", "cpu")}, bar))
        for length, ones in found["random"].items():
            middle = {k: asking.middle(dict(enumerate(ones)), k) for k in ("wall", "cpu")}  # type: ignore[arg-type]
            print(line(f"median of random substrings of {length}", middle, SEARCH_S))
    assert asking.middle(found["fixed"], "cpu") <= SEARCH_S
    assert asking.middle(found["day"], "cpu") <= DAY_S


def test_query_conversation_and_audits(made: Path, capfd: pytest.CaptureFixture[str]) -> None:
    plain, talk, audits = told("plainly", made), told("talking", made), told("audits", made)
    with capfd.disabled():
        print("\n  DuckDB over plain files:")
        for name, one in plain["search"].items():
            print(line(f"search {name}", one, SEARCH_S))
        for name in ("conversation", "findings by rule and employee"):
            print(line(name, plain[name], FINDINGS_S))
        print("  the archive:")
        print(line(f"conversation of {talk['lines']} lines", talk, CONVERSATION_S))
        for name, one in sorted(audits.items(), key=lambda item: -item[1]["cpu"]):
            print(line(f"audit {name} ({one['rows']:,} rows)", one, FINDINGS_S if name in OVER_FINDINGS else AUDIT_S))
    assert talk["lines"] > 100
    assert audits["findings"]["rows"]


def test_query_cold_commands(made: Path, capfd: pytest.CaptureFixture[str]) -> None:
    found = told("commands", made)
    with capfd.disabled():
        print()
        for name, one in found.items():
            print(line(f"liuhen {name}", one, COMMAND_S))
    assert {name for name, one in found.items() if one["code"] not in (0, 3)} == set()
