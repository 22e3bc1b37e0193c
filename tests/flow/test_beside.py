"""Somebody else acts at the very moment at which it hurts most: the real other action, at a moment that a test chooses."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from pipeline import generations, keyring_file
from pipeline.home import Home
from pipeline.layout import hot_unit
from tests import firm
from tests.firm import CORP

MONTH = "2026-11"


@pytest.mark.parametrize("turn", [pytest.param(0, id="before the second key is made"), pytest.param(1, id="before the first key is made")])
def test_two_who_give_a_month_its_next_key_leave_no_file_under_an_older_second_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, turn: int) -> None:
    at = firm.home(tmp_path)
    lake, unit = at.lake(CORP), hot_unit(CORP, MONTH)
    for name in (unit, f"{unit}!2"):
        lake.keyring.current(name)
    real, turns = keyring_file.locked, [0]

    @contextmanager
    def locked(path: Path) -> Iterator[None]:
        turns[0] += 1
        if turns[0] == turn + 1:
            generations._next(Home(at.path).keyring, unit, 1)
        with real(path):
            yield

    monkeypatch.setattr(keyring_file, "locked", locked)
    generations._next(lake.keyring, unit, 1)
    assert turns[0] > turn
    assert lake.keyring.names(f"{unit}#") == [f"{unit}#0", f"{unit}#1"]
    assert lake.keyring.names(f"{unit}!2#") == [f"{unit}!2#0", f"{unit}!2#1"]
