"""What a cold command does before its question: nothing is looked through for garbage, and nothing is imported that it does not need."""

from __future__ import annotations

import gc
import subprocess
import sys

import pytest

from pipeline import cli


def test_garbage_is_collected_as_ever_once_a_command_is_recorded(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[str, int]] = []
    monkeypatch.setattr(gc, "freeze", lambda: seen.append(("freeze", gc.get_threshold()[0])))
    before = gc.get_threshold()
    monkeypatch.setattr(cli, "_THRESHOLDS", before)  # what this process began with
    try:
        cli.started()  # in process, as the tests call it: nothing is changed
        assert seen == [] and gc.get_threshold() == before
        gc.set_threshold(cli.STARTING)
        cli.started()
        assert seen == [("freeze", 500_000)]
        assert gc.get_threshold() == before
    finally:
        gc.set_threshold(*before)


def test_bars_of_progress_are_not_imported_where_nobody_looks_at_them() -> None:
    code = "import sys, pipeline.cli.output; print('rich.progress' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "False\n"
