"""What a cold command does before its question: nothing is looked through for garbage, and nothing is imported that it does not need."""

from __future__ import annotations

import gc
import subprocess
import sys
from typing import Any

import pytest
import typer
import typer.main
from typer._coercion import build_runtime_param

from pipeline import cli
from pipeline.cli.given import Given, taken_as_given
from pipeline.cli.guard import leaves
from pipeline.cli.root import complete


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


def test_what_turns_words_into_numbers_is_not_imported_where_only_words_are_given() -> None:
    code = "import sys; from pipeline.cli.root import run; print(run([*sys.argv[1:]]), 'pydantic' in sys.modules)"
    ended = subprocess.run([sys.executable, "-c", code, "--home", "/nowhere", "keys", "list"], capture_output=True, text=True, check=True)
    assert ended.stdout == "2 False\n"


@pytest.mark.parametrize(("version", "is_known"), [("0.29.2", True), ("0.29.10", True), ("0.290.0", False), ("0.30.0", False), ("0.28.0", False), ("1.0.0", False)])
def test_words_are_taken_as_given_with_a_typer_that_is_known_alone(monkeypatch: pytest.MonkeyPatch, version: str, is_known: bool) -> None:
    monkeypatch.setattr(typer, "__version__", version)
    command = typer.main.get_command(complete())
    before = command.get_params
    taken_as_given(command)
    assert (command.get_params != before) == is_known


# What a shell may give for anything, and what typer may hand on for an option that may stand several times.
GIVEN = ("", "甲", " 7 ", "7", "0", "-3", "99999999999", "1.5", "nan", "jsonl", "JSONL", "high", "violation", "/nowhere/x", "-", "true")
SEVERAL = ((), (("甲", "7"),), [["甲"]], [["/nowhere/x", ""]])


def test_values_are_those_that_typer_itself_makes() -> None:
    group = typer.main.get_command(complete())
    every = [p for command in [group, *(leaf for _, leaf in leaves(group))] for p in command.params]
    alike = {(str(told.annotation), told.parameter_info.min, told.parameter_info.max, repr(p.default), p.nargs): p for p in every if (told := p.type_descriptor)}
    wrong = []
    for p in alike.values():
        typers = build_runtime_param(p.type_descriptor)
        wrong += [(p.name, given) for given in _givens(p) if _made(Given(p), p, given) != _made(typers, p, given)]
    assert len(every) > 200 and len(alike) > 20 and wrong == []


def _givens(parameter: Any) -> list[Any]:
    default = parameter.default() if callable(parameter.default) else parameter.default
    return [None, *([default] if default is not None else []), *(SEVERAL if parameter.multiple or parameter.nargs == -1 else GIVEN)]


def _made(maker: Any, parameter: Any, given: Any) -> tuple[type, Any]:
    """The value with its type, or how it was refused."""
    context = typer.Context(typer.main.get_command(typer.Typer(callback=lambda: None)))
    try:
        value = maker.coerce(given, param=parameter, ctx=context)
    except typer.BadParameter as error:
        return type(error), error.format_message()
    return type(value), repr(value)
