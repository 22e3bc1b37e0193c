"""The arms that ask the archive of archive.py, each a process of its own: `python -m tests.bench.asking ARM FOLDER …`; one line of JSON each.

Before: archive.py. After: test_query.py, which starts them and compares.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

from pipeline.home import Home
from tests import firm
from tests.bench.archive import NEEDLES, conversation

HARD = ["的", "本", "的是", "一的是了我", "了一的", "，", "龘龘", "。", "？", "VIP，", "好的，", "收益😀"]
QUERIES = [*NEEDLES, *HARD]  # 28
LENGTHS = (1, 2, 3, 4, 6)
# What an audit is told here, beside its defaults.
PARAMETERS: dict[str, dict[str, str]] = {
    "off-channel": {"category": "off-channel"}, "off-channel-before-refusal": {"category": "off-channel"}, "findings-of-employee": {"employee": "emp00007"},
    "promises-undisclosed": {"categories": "guaranteed-return"},
}  # fmt: skip


def timed(work: Callable[[], Any], times: int = 3) -> dict[str, float]:
    """Return seconds on the clock and of CPU: of the first time, and the best of the others."""
    wall, cpu = [], []
    for _ in range(times):
        begun, used = time.perf_counter(), time.process_time()
        work()
        wall.append(time.perf_counter() - begun)
        cpu.append(time.process_time() - used)
    return {"first": wall[0], "wall": min(wall[1:] or wall), "cpu": min(cpu[1:] or cpu)}


def home_of(folder: str) -> Home:
    """Return the home that archive.py made."""
    return Home(Path(folder) / "home")


def indexing(folder: str) -> dict[str, Any]:
    """Make every index anew."""
    from pipeline.search import index

    home = home_of(folder)
    begun, used = time.perf_counter(), time.process_time()
    told = index.build(home, firm.CORP, again=True)
    wall, cpu = time.perf_counter() - begun, time.process_time() - used
    size = sum(p.stat().st_size for p in (home.path / "search" / firm.CORP).glob("*.index"))
    return {"wall": wall, "cpu": cpu, "messages": told.messages, "bytes": size, "text": text_bytes(home)}


def text_bytes(home: Home) -> int:
    """Return the bytes of the text column of all message files."""
    from pipeline.search.datafile import Opened

    lake = home.lake(firm.CORP)
    size = 0
    for file in lake.snapshot().of("messages"):
        described = Opened(lake, file)._file.metadata
        groups = [described.row_group(n) for n in range(described.num_row_groups)]
        size += sum(g.column(c).total_compressed_size for g in groups for c in range(g.num_columns) if g.column(c).path_in_schema == "text")
    return size


def searching(folder: str) -> dict[str, Any]:
    """The 28 queries and random substrings over the whole range, and the 28 on one day; checked against DuckDB's contains where few."""
    from pipeline.reader import Reader
    from pipeline.search import hits
    from pipeline.search.question import Question
    from tests.bench.archive import days

    with Reader(home_of(folder), firm.CORP) as reader:
        fixed = {q: timed(lambda q=q: hits.look(reader, Question(text=q))) for q in QUERIES}  # type: ignore[misc]
        day = days()[30]
        one_day = {q: timed(lambda q=q: hits.look(reader, Question(text=q, first_day=day, last_day=day))) for q in QUERIES}  # type: ignore[misc]
        dice = random.Random(3)
        said = [h.parts[0]["text"] for q in ("收益", "好的", "的") for h in hits.look(reader, Question(text=q, limit=400)).hits]
        cut = {n: [timed(lambda t=t: hits.look(reader, Question(text=t)), 2) for t in _cut(dice, said, n)] for n in LENGTHS}  # type: ignore[misc]
    return {"fixed": fixed, "day": one_day, "random": cut}


def _cut(dice: random.Random, texts: list[str], length: int) -> list[str]:
    found = []
    for text in dice.choices([t for t in texts if len(t) >= length], k=15):
        start = dice.randrange(len(text) - length + 1)
        found.append(text[start : start + length])
    return found


def audits(folder: str, *only: str) -> dict[str, Any]:
    """Every audit with its defaults, over everything."""
    from pipeline import audit
    from pipeline.reader import Reader

    found = {}
    customer = _busy(folder).split("|")[-1]
    with Reader(home_of(folder), firm.CORP) as reader:
        for one in audit.load_audits():
            if only and one.name not in only:
                continue
            given = {**({"customer": customer} if any(p.name == "customer" for p in one.meta.parameters) else {}), **PARAMETERS.get(one.name, {})}
            bound = audit.bind(one, given)
            rows: list[Any] = []
            told = timed(lambda one=one, bound=bound, rows=rows: rows.append(reader.answer(one, bound).num_rows), 2)  # type: ignore[misc]
            found[one.name] = {**told, "rows": rows[0]}
            print(one.name, {k: round(v, 2) for k, v in found[one.name].items()}, file=sys.stderr, flush=True)
    return found


def _busy(folder: str) -> str:
    """Return a conversation of two people of some hundred messages."""
    from tests.bench.archive import Plan

    made = json.loads((Path(folder) / "made.json").read_text()) if (Path(folder) / "made.json").exists() else {}
    if "busy" not in made:
        import numpy as np

        counts = np.bincount(Plan(int(made.get("rows") or _rows(folder))).who)
        made["busy"] = next(conversation(int(n)).id for n in np.argsort(np.abs(counts - 250)) if conversation(int(n)).room is None)
        (Path(folder) / "made.json").write_text(json.dumps(made))
    return str(made["busy"])


def _rows(folder: str) -> int:
    return int(home_of(folder).lake(firm.CORP).snapshot().rows("messages"))


def talking(folder: str) -> dict[str, Any]:
    """One conversation of some hundred messages, everything that its page shows."""
    from pipeline.ask_conversation import gather
    from pipeline.reader import Reader

    which = _busy(folder)
    with Reader(home_of(folder), firm.CORP) as reader:
        lines: list[Any] = []
        told = timed(lambda: lines.append(len(gather(reader, which, around=None, demo=False)[0])))
    return {**told, "lines": lines[0]}


def plainly(folder: str) -> dict[str, Any]:
    """The same questions in DuckDB over plain files of the same messages: `read_parquet`, two threads."""
    import duckdb

    at = Path(folder) / "plain"
    which = _busy(folder)
    with duckdb.connect(config={"threads": 2}) as connection:
        connection.execute(f"CREATE VIEW messages AS FROM read_parquet('{at}/messages-*.parquet')")
        connection.execute(f"CREATE VIEW matches AS FROM read_parquet('{at}/matches-*.parquet')")

        def ask(query: str, *values: str) -> dict[str, float]:
            return timed(lambda: connection.execute(query, values).fetchall())

        newest = "SELECT seq, text FROM messages WHERE contains(text, ?) ORDER BY sent_at DESC, seq DESC LIMIT 50"
        return {
            "search": {q: ask(newest, q) for q in ("承诺保底", "私下转账", "好的")},
            "conversation": ask("SELECT seq, sender_id, sent_at, text, parts FROM messages WHERE conversation_id = ? ORDER BY sent_at", which),
            "findings by rule and employee": ask("SELECT rule_id, employee_id, severity, count(*) FROM matches GROUP BY ALL"),
        }


def commands(folder: str) -> dict[str, Any]:
    """Cold commands: a process each, from the shell to its end."""
    home = str(home_of(folder).path)
    calls = {
        "--help": ["--help"], "audit list": ["audit", "list"], "search": ["search", "私下转账"],
        "search, one day": ["search", "的", "--from", "2026-03-31", "--to", "2026-03-31"],
        "audit run findings": ["audit", "run", "findings"], "conversation": ["conversation", _busy(folder)], "sql": ["sql", "SELECT count(*) FROM matches"], "status": ["status"],
        "keys list": ["keys", "list"], "customer find": ["customer", "find", "emp00007"], "review list": ["review", "list"],
    }  # fmt: skip
    found = {}
    for name, words in calls.items():
        before = os.times()
        begun = time.perf_counter()
        ended = subprocess.run([sys.executable, "-m", "pipeline.cli", "--home", home, *words], capture_output=True, text=True, check=False)
        after = os.times()
        cpu = after.children_user + after.children_system - before.children_user - before.children_system
        found[name] = {"wall": time.perf_counter() - begun, "cpu": cpu, "code": ended.returncode, "said": ended.stderr[-300:] if ended.returncode not in (0, 3) else ""}
        print(name, {k: round(v, 2) if isinstance(v, float) else v for k, v in found[name].items()}, file=sys.stderr, flush=True)
    return found


def middle(told: dict[str, dict[str, float]], what: str = "wall") -> float:
    """Return the median of several measurements, seconds."""
    return median(one[what] for one in told.values())


if __name__ == "__main__":
    arms: dict[str, Callable[..., dict[str, Any]]] = {
        "indexing": indexing, "searching": searching, "audits": audits, "talking": talking, "plainly": plainly, "commands": commands,
    }  # fmt: skip
    arm, *arguments = sys.argv[1:]
    print(json.dumps(arms[arm](*arguments)))
