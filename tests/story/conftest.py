"""The story's home, made once."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from pipeline.home import Home

from . import firm


@pytest.fixture(scope="session")
def story(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Home]:
    """The firm's home; the clock stands at its evening for as long as the tests of this folder run."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        home = firm.made(tmp_path_factory.mktemp("story"), monkeypatch)
    yield home
