"""All checks in order. What an earlier failure makes pointless is left out and said to be.

Before: machine.py, keys.py, people.py, network.py, library.py. After: the command `doctor`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from pipeline.doctor import keys, library, machine, network, people
from pipeline.doctor.findings import Finding
from pipeline.home import Home

Step = Callable[[str], None]


def examine(home: Home, corp_ids: Sequence[str], *, offline: bool = False, step: Step = lambda _: None) -> Iterator[Finding]:
    """Yield everything that is found. offline: nothing is asked of WeCom; step: told the name of each part before it begins."""
    step("machine")
    yield from machine.look(home.path)
    yield keys.look_home(home)
    yield keys.look_rsa(home)
    yield from people.look_home(home)
    step("library")
    yield from library.look_home(home)
    ways: list[Finding] = []
    if not offline:
        step("network")
        ways = list(network.look_home(home))
        yield from ways
    for corp in (c for c in home.config.corp if c.id in corp_ids):
        step(corp.id)
        yield from keys.look(home, corp.id)
        if offline or not network.reached(ways):
            yield network.look_unasked(home, corp, offline=offline)
        else:
            yield from network.look(home, corp)
        yield network.look_callback(home, corp)
        yield library.look_openers(home, corp.id)
