"""One double for all tests that change nothing in it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from pipeline.simulate.stream import DAY_MS
from tests.simulate.doubles import NOW_MS, Asker, double, served


@pytest.fixture(scope="package")
def standing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Asker]:
    """A served double that tests only ask."""
    with served(double(tmp_path_factory.mktemp("standing"))) as asker:
        yield asker


@pytest.fixture(scope="package")
def _lively(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Asker]:
    with served(double(tmp_path_factory.mktemp("lively"))) as asker:
        yield asker


@pytest.fixture
def lively(_lively: Asker) -> Iterator[Asker]:
    """A served double that tests may bring in trouble: it forgets faults and gets its clock and window back. What was said stays said."""
    yield _lively
    made = _lively.server.double
    made.faults.clear()
    made.clock.advance(NOW_MS - made.clock.now())
    made.clock.skew_ms, made.stream.window_ms = 0, 5 * DAY_MS
    _lively.tokens.clear()


@pytest.fixture
def fresh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Asker]:
    """A served double of the test's own."""
    with served(double(tmp_path_factory.mktemp("fresh"))) as asker:
        yield asker
