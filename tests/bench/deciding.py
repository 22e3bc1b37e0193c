"""One worker that opens the register of a home and decides a day of chats: what each decision takes, and what the process holds.

Before: test_consent.py makes the home. `python -m tests.bench.deciding HOME SCOPES` prints one line of JSON and waits for its standard input to end, so that
several can be looked at while all of them live. Times are CPU seconds of this process, bytes of /proc/self/smaps_rollup.
"""

from __future__ import annotations

import gc
import json
import sys
import time
from pathlib import Path

from pipeline.consent import ConsentPolicy, gate_page
from pipeline.consenting import register_file
from pipeline.deltalog import Snapshot
from pipeline.directory import Directory, Entry
from pipeline.home import Home
from pipeline.records import Message, OpenedItem, PageRef, ParsedItem, ParsedPage
from pipeline.worker import calm
from tests.firm import CORP, T0

CONVERSATIONS, TURNS, PAGE = 20_000, 10, 1_000
EMPLOYEES = 2_000
REF = PageRef(corp_id=CORP, page="", uri="", size=0, source="file", name="", captured_at_ms=T0)
OPENED = OpenedItem(item=0, seq=1, msgid="m", key_version=1, plaintext=b"", key_block=b"", sealed=b"")


def employee(n: int) -> str:
    """The employee of scope n."""
    return f"user{n % EMPLOYEES}"


def customer(n: int) -> str:
    """The customer of scope n."""
    return f"wmABCDEFGHIJKLMNOP{n:012d}"


def chat(n: int, turn: int) -> ParsedItem:
    """Conversation n, where both speak in turn."""
    people = (employee(n), customer(n)) if turn % 2 == 0 else (customer(n), employee(n))
    return ParsedItem(OPENED, Message(
        msgid="m", kind="message", action="send", msgtype="text", sender_id=people[0], recipient_ids=people[1:], room_id=None, sent_at_ms=T0 + turn, text="", parts=(),
    ))  # fmt: skip


def held() -> dict[str, int]:
    """Bytes this process holds: its share of everything (pss), and what it wrote and no other process sees (own)."""
    found = {}
    for line in Path("/proc/self/smaps_rollup").read_text().splitlines()[1:]:
        name, value, *_ = line.split()
        found[name.rstrip(":")] = int(value) * 1024
    return {"pss": found["Pss"], "own": found["Private_Dirty"]}


def mapped() -> int:
    """Bytes of the register's file that are counted as this process' share."""
    share, inside = 0, False
    for line in Path("/proc/self/smaps").read_text().splitlines():
        if "-" in line.split(" ", 1)[0]:
            inside = line.endswith(f"{CORP}.map")
        elif inside and line.startswith("Pss:"):
            share += int(line.split()[1]) * 1024
    return share


def main(folder: str, scopes: int) -> None:
    """Measure, say it, wait."""
    home = Home(Path(folder))
    snapshot = home.lake(CORP).snapshot()
    directory, policy = Directory.of([Entry(userid=f"user{n}", kind="employee") for n in range(EMPLOYEES)]), ConsentPolicy()
    gc.collect()
    begin = held()
    with calm():  # as a worker of the pipeline
        _decide(home, snapshot, directory, policy, scopes, begin)


def _decide(home: Home, snapshot: Snapshot, directory: Directory, policy: ConsentPolicy, scopes: int, begin: dict[str, int]) -> None:
    register = register_file.register_of(home, CORP, snapshot)
    opened, seconds = held(), []
    for turn in range(TURNS):
        seconds.append(0.0)
        for at in range(0, CONVERSATIONS, PAGE):
            page = ParsedPage(REF, tuple([chat(n * scopes // CONVERSATIONS, turn) for n in range(at, at + PAGE)]))
            begun = time.process_time()
            gate_page(page, register=register, directory=directory, policy=policy)
            seconds[-1] += time.process_time() - begun
    gc.collect()
    told = {"each_us": sum(seconds) / CONVERSATIONS / TURNS * 1e6, "turns_us": [s / CONVERSATIONS * 1e6 for s in seconds], "begin": begin, "opened": opened}
    print(json.dumps(told), flush=True)
    for _ in sys.stdin:
        print(json.dumps({**held(), "mapped": mapped()}), flush=True)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
