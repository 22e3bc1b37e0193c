"""What WeCom refuses while pages or files are asked for: one sentence, exit 4, nothing lost; the same command goes on when it is mended.

Once through the plain client, once through the real vendor library (marker `vendor`).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from pipeline import ingest
from pipeline.home import Home
from pipeline.source.opening import open_source
from tests.simulate.doubles import Asker, double, served
from tests.simulate.homes import fetch, home_of, library, pull

# errcode of the answer, our word for it
REFUSALS = [
    pytest.param(301042, "SOURCE_ADDRESS", id="address not trusted"),
    pytest.param(301052, "SOURCE_LICENCE", id="licence ended"),
    pytest.param(301053, "SOURCE_NOT_ENABLED", id="never enabled"),
    pytest.param(48002, "SOURCE_PERMISSION", id="no permission"),
]


@pytest.fixture(scope="module", params=[pytest.param("", marks=pytest.mark.slow, id="plain client"), pytest.param("library", marks=pytest.mark.vendor, id="real library")])
def place(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Asker, str]]:
    """A double, and the library that asks it (empty: the plain client)."""
    chosen = library() if request.param else ""
    with served(double(tmp_path_factory.mktemp("refused"))) as asker:
        yield asker, chosen


@pytest.fixture
def home(place: tuple[Asker, str], tmp_path: Path) -> Home:
    """A fresh home."""
    return home_of(place[0], tmp_path, library=place[1])


@pytest.mark.parametrize(("errcode", "word"), REFUSALS)
def test_what_is_refused_in_the_middle_of_a_pull_ends_it_with_its_word_and_loses_nothing(place: tuple[Asker, str], home: Home, errcode: int, word: str) -> None:
    asker, _ = place
    corp = asker.server.double.corp.corp_id
    asker.admin("faults", {"call": "getchatdata", "kind": "errcode", "errcode": errcode, "after": 1})
    with closing(open_source(home, corp)) as source:
        told = pull(home, asker, source)
    assert (told.code, told.exit_code, told.pages, told.complete) == (word, 4, 1, False)
    with closing(open_source(home, corp)) as source:
        again = pull(home, asker, source)
    assert (again.code, again.exit_code, again.complete, again.pages) == ("", 0, True, 0)
    assert again.cursor == told.cursor > 0


def test_a_licence_that_ends_between_two_files_ends_the_queue_and_counts_against_none(place: tuple[Asker, str], home: Home) -> None:
    asker, _ = place
    corp = asker.server.double.corp.corp_id
    with closing(open_source(home, corp)) as source:
        pull(home, asker, source)
    ingest.run(home, corp, sources=(), plain=[], workers=1)
    # For a file the library has no code for it (it says 10002, as of a broken answer): a message that is refused too tells it from a bad file.
    asker.admin("faults", {"call": "getchatmediadata", "kind": "errcode", "errcode": 301052, "after": 2, "times": 0})
    asker.admin("faults", {"call": "getchatdata", "kind": "errcode", "errcode": 301052, "times": 0})
    try:
        runs = []
        for _ in range(4):
            with closing(open_source(home, corp)) as source:
                runs.append(fetch(home, asker, source, 10))
    finally:
        asker.server.double.faults.clear()
    assert {(told.code, told.exit_code) for told in runs} == {("SOURCE_LICENCE", 4)}
    assert sum(told.missing + told.expired + told.pending for told in runs) == 0
    with closing(open_source(home, corp)) as source:
        again = fetch(home, asker, source, 1 << 40)
    assert (again.left, again.missing, again.code) == (0, 0, "") and again.verified > 0


def test_one_file_that_does_not_come_is_counted_against_it_and_the_others_go_on(place: tuple[Asker, str], home: Home) -> None:
    asker, _ = place
    corp = asker.server.double.corp.corp_id
    with closing(open_source(home, corp)) as source:
        pull(home, asker, source)
    ingest.run(home, corp, sources=(), plain=[], workers=1)
    asker.admin("faults", {"call": "getchatmediadata", "kind": "errcode", "errcode": 301052, "times": 4})
    with closing(open_source(home, corp)) as source:
        told = fetch(home, asker, source, 1 << 40)
    assert (told.code, told.pending, told.exit_code) == ("", 1, 3)
    assert told.verified > 0
