"""Fifty fresh processes ask an archive of a thousand files: none hangs, all answer the same.

Decryption takes Arrow's key-service lock and Python's interpreter lock; a process that has opened nothing yet could wait for ever.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

from pipeline import schema
from pipeline.clock import beijing_day, month_of_day
from pipeline.deltalog import DataFile
from pipeline.home import Home
from tests import firm
from tests.cli.liuhen import ROOT
from tests.firm import T0

pytestmark = pytest.mark.slow
FILES = {"messages": 500, "matches": 250, "records": 250}
ROWS = 3
READERS = 50
AT_ONCE = 3
TIMEOUT_S = 180
DAY = beijing_day(T0)
MONTH = month_of_day(DAY)

# One process: a cold first query over many files, then others on the same connection.
ASK = """
import faulthandler, json, sys
faulthandler.dump_traceback_later(150)
from pathlib import Path
from pipeline.home import Home
from pipeline.reader import Reader
with Reader(Home(Path(sys.argv[1])), "ww1") as reader:
    print(json.dumps([list(r.values()) for q in sys.argv[2:] for r in reader.rows(q)], default=str))
"""
QUERIES = [
    "SELECT count(*), sum(seq)::BIGINT, count(DISTINCT conversation_id) FROM messages WHERE text LIKE '%第7句%' OR seq % 2 = 0",
    "SELECT m.term, count(*) FROM matches AS m JOIN messages AS s USING (seq) WHERE s.sender_id = 'e2' GROUP BY 1 ORDER BY 1",
    "SELECT archived, landed FROM counts",
]
# By hand: 1,500 messages, seq 1 to 1500, sender e<seq % 3>, wm<seq % 7>, text `第<seq % 10>句`; a finding for each of the first 750;
# a record for each of the first 750. Even seqs: 750, their sum 563,250; seqs ending in 7: 150, odd, sum 7 + 17 + … + 1497 = 112,800.
# Of e2's seqs (2, 5, …) 250 are below 751: 125 even (term a), 125 odd (term b).
ANSWER = [[900, 676_050, 21], ["a", 125], ["b", 125], [750, 750]]


def row(seq: int) -> dict[str, object]:
    """What all kinds say of one record; each takes the columns it has."""
    return {
        "origin": "sealed", "seq": seq, "msgid": f"m{seq}", "kind": "message", "action": "send", "msgtype": "text", "sent_at": T0 + seq,
        "sender_id": f"e{seq % 3}", "sender_kind": "employee", "recipient_ids": [f"wm{seq % 7}"], "conversation_id": f"e{seq % 3}|wm{seq % 7}",
        "direction": "outbound", "employee_id": f"e{seq % 3}", "text": f"第{seq % 10}句", "parts": [], "quotes": [], "raw": "{}", "consent": "agree",
        "consent_source": "stream:agree", "consent_rule": "4", "lawful_basis": [], "captured_at": T0, "ingested_at": T0, "dt": DAY, "dt_basis": "sent",
        "register_version": 0, "policy_version": "p", "subjects": [], "nonce": bytes(32), "content_fp": bytes(16),
        "finding_id": f"f{seq}", "rule_id": "r", "category": "c", "severity": "low", "party": "employee", "term": "ab"[seq % 2], "matched_text": "句",
        "part": 0, "start_cp": 0, "end_cp": 1, "spans": [], "via": "literal", "lexicon_version": "v", "matched_at": T0,
        "variant": "", "fate_no": 0, "fate": "archived", "leaf": seq - 1, "commitment": bytes(32), "page": "p", "item": 0, "attempts": 1,
        "first_seen": T0, "settled_at": T0, "run_id": "r",
    }  # fmt: skip


def write(at: Home, kind: str, number: int) -> DataFile:
    """One small file of three rows."""
    rows = [row(number * ROWS + n + 1) for n in range(ROWS)]
    columns: dict[str, list[object]] = {c.name: [r.get(c.name) for r in rows] for c in schema.kind(kind).columns}
    month, bucket = ("-", "-") if kind == "records" else (MONTH, "hot")
    return at.lake(firm.CORP).write(schema.table(kind, columns), kind, month=month, bucket=bucket, lexicon="v" if kind == "matches" else "-")


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Home:
    at = firm.home(tmp_path_factory.mktemp("readers"))
    lake = at.lake(firm.CORP)
    for kind, count in FILES.items():
        lake.commit(lake.snapshot(), [write(at, kind, n) for n in range(count)], (), what="settle")
    assert len(lake.snapshot().files) == 1_000
    return at


def readers(at: Home) -> Iterator[subprocess.Popen[str]]:
    for _ in range(READERS):
        yield subprocess.Popen(
            [sys.executable, "-c", ASK, str(at.path), *QUERIES], env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip


def finished(process: subprocess.Popen[str], began: float) -> str:
    """The answer of a reader; one that does not come back within its time is a hang."""
    try:
        out, err = process.communicate(timeout=max(1.0, TIMEOUT_S - (time.monotonic() - began)))
    except subprocess.TimeoutExpired:
        process.kill()
        _, err = process.communicate()
        return f"hung for {TIMEOUT_S} s\n{err}"
    return out.strip() if process.returncode == 0 else err


def test_fifty_cold_readers_all_come_back_with_the_same_right_answer(archive: Home) -> None:
    answers: list[str] = []
    running: list[tuple[subprocess.Popen[str], float]] = []
    for process in readers(archive):
        running.append((process, time.monotonic()))
        if len(running) == AT_ONCE:
            answers.append(finished(*running.pop(0)))
    answers += [finished(*r) for r in running]
    assert len(answers) == READERS
    wrong = [a for a in answers if a != json.dumps(ANSWER)]
    assert not wrong, f"{len(wrong)} of {READERS}: {wrong[0]}"


def test_a_question_that_has_enough_ends_its_process(archive: Home) -> None:
    """Arrow goes on opening files that nobody will read; the process must not wait for that, nor break at it."""
    words = [sys.executable, "-m", "pipeline.cli", "--home", str(archive.path), "sql", "SELECT msgid FROM messages WHERE text LIKE '%句%' LIMIT 1"]
    for _ in range(10):
        ended = subprocess.run(words, capture_output=True, text=True, timeout=TIMEOUT_S, check=False, cwd=ROOT, stdin=subprocess.DEVNULL)
        assert (ended.returncode, ended.stdout.count("\n"), ended.stderr) == (0, 1, "")
