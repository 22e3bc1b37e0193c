"""How fast the real library pulls from the double: 4,000 pages a minute are the platform's ceiling.

The double runs in a process of its own with every page sealed beforehand; each page is durable before the next is asked for. Puller, library
and double take turns, so the CPU seconds of the three together are what a machine with nothing else to do would need: the figure that counts.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from pipeline import config, durable, landing
from pipeline.config import Corp
from pipeline.home import Home
from pipeline.source.opening import open_source
from pipeline.source.pace import Pace
from pipeline.source.pull import Pull
from pipeline.source.vendor import Native

pytestmark = pytest.mark.bench
MESSAGES = 60_000
CEILING = 4_000


def cpu_s(*pids: int) -> list[float]:
    """CPU seconds that each of these processes has used so far."""
    ticks = [sum(map(int, Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11:13])) for pid in pids]
    return [t / os.sysconf("SC_CLK_TCK") for t in ticks]


@pytest.fixture
def serving(tmp_path: Path) -> Iterator[dict[str, Any]]:
    """A double in a process of its own; what it printed."""
    words = ["simulate", "--messages", str(MESSAGES), "--port", "0", "-o", str(tmp_path / "sim")]
    with subprocess.Popen([sys.executable, "-m", "pipeline.cli", *words], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        assert process.stdout is not None
        try:
            yield {**json.loads(process.stdout.readline()), "pid": process.pid}
        finally:
            process.terminate()


def test_the_real_library_reaches_4000_pages_a_minute(serving: dict[str, Any], tmp_path: Path) -> None:
    library = os.environ.get("LIUHEN_VENDOR_LIB")
    if not library:
        pytest.skip("LIUHEN_VENDOR_LIB is not set")
    home = Home.create(tmp_path / "home", [Corp(id=serving["corp_id"])])
    text = (home.path / "liuhen.toml").read_text("utf-8")
    secret = f"file:{Path(serving['folder']) / 'secrets/archive'}"
    for name, value in {"wecom.proxy": serving["proxy"], "source.library": library, f"corp.{serving['corp_id']}.archive_secret": secret}.items():
        text = config.changed(text, name, value)
    durable.replace(home.path / "liuhen.toml", text.encode())
    home = Home(home.path)
    by_clock, by_cpu = [], []
    for _ in range(3):
        with closing(open_source(home, serving["corp_id"])) as source:
            assert isinstance(source, Native)
            pids = os.getpid(), source._running._running()._process.pid, serving["pid"]
            began, used = time.monotonic(), cpu_s(*pids)
            told = Pull(home, serving["corp_id"], source, run_id="bench", pace=Pace(10**9)).run()
            by_clock.append(told.calls / (time.monotonic() - began) * 60)
            spent = [after - before for before, after in zip(used, cpu_s(*pids), strict=True)]
            by_cpu.append(told.calls / sum(spent) * 60)
            print("ms of CPU a page: " + ", ".join(f"{name} {s / told.calls * 1000:.1f}" for name, s in zip(("puller", "library", "double"), spent, strict=True)))
        # Broken sequence numbers are in the pages but not in the count; two records of one seq are never parted.
        assert told.complete and MESSAGES - 10 <= told.records <= MESSAGES and told.pages in (60, 61)
        assert len(list(landing.waiting(home, serving["corp_id"]))) == told.pages
        shutil.rmtree(home.landing(serving["corp_id"]))
        shutil.rmtree(home.path / "source", ignore_errors=True)
    print(f"\npages of 1,000 records a minute through the real library: {max(by_clock):.0f} by the clock, {max(by_cpu):.0f} by CPU seconds")
    assert max(by_cpu) >= CEILING
