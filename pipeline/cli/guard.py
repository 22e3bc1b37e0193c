"""Before every command: may this caller do it? And what every command that writes rows takes: a purpose and an approval.

Before: root.py. After: roles/acting.py. The check runs when the arguments are read and the command is about to begin, so `--help` is for everybody.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import typer
import typer.main

from pipeline.cli import usage
from pipeline.cli.given import taken_as_given
from pipeline.cli.helptext import Help
from pipeline.cli.root import CALL, LANG, t
from pipeline.errors import ArchiveError, NotAllowed, UsageError

TWO_PERSONS = frozenset({"consent import", "erase", "restricted open", "restricted remove", "retention remove"})


def guarded(group: Any) -> Any:
    """Return the command line with every command behind its check."""
    kept = _kept()
    group.context_class.formatter_class = Help
    taken_as_given(group)
    for name, command in leaves(group):
        if command.callback is not None:
            command.callback = _checked(name, command.callback)
        command.short_help = command.short_help or usage.in_a_list(command.help or "", LANG)
        names = {p.name for p in command.params}
        if names & {"output", "html"} or name in TWO_PERSONS:
            command.params += [option for word, option in kept.items() if word not in names]
    return group


def leaves(group: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, Any]]:
    """Yield (name, command) of every command of the command line, such as `keys add`."""
    for name, command in sorted(group.commands.items()):
        if hasattr(command, "commands"):
            yield from leaves(command, (*path, name))
        else:
            yield " ".join((*path, name)), command


def _kept() -> dict[str, Any]:
    """Return options whose values the call keeps for whoever writes an extract."""

    def keep(ctx: Any, param: Any, value: str) -> None:
        setattr(CALL, param.name, value or "")

    def one(
        purpose: str = typer.Option("", "--purpose", help=t("usage.purpose"), metavar="TEXT", show_default=False),
        approval: str = typer.Option("", "--approval", help=t("usage.approval"), metavar="ID", show_default=False),
    ) -> None:
        """Nothing: a command is how typer makes options."""

    app = typer.Typer(add_completion=False)
    app.command()(one)
    found = {str(p.name): p for p in typer.main.get_command(app).params}
    for option in found.values():
        option.expose_value, option.callback = False, keep
    return found


def _checked(name: str, callback: Callable[..., Any]) -> Callable[..., Any]:
    def called(*args: Any, **kwargs: Any) -> Any:
        with _acting(name):
            return callback(*args, **kwargs)

    return called


@contextlib.contextmanager
def _acting(name: str) -> Iterator[None]:
    """Act for the caller while the command runs; a refusal is recorded before it is told."""
    from pipeline.roles import acting

    home = CALL.home_path
    CALL.command = name
    try:
        access = acting.for_command(home, name)
    except NotAllowed as error:
        _record_refusal(name, error)
        raise
    if access.mode == "single":  # nothing to remember, and a home that is not there yet is the command's business
        yield
        return
    if name not in ("init", "demo", "simulate"):
        acting.begin(home, access)
    try:
        with contextlib.suppress(UsageError):  # a home that cannot be opened: the command says so itself
            acting.remember(CALL.home)
        yield
    finally:
        acting.end(home)


def _record_refusal(name: str, error: NotAllowed) -> None:
    """Record who was refused what: the person, or the account that is nobody's."""
    from pipeline.roles import acting

    home = CALL.home_path
    with contextlib.suppress(ArchiveError):
        acting.begin(home, acting.whoever(home))
        CALL.home.custody.append(command=name, phase="refused", params={"reason": error.message}, role="none", result=error.code)
    acting.end(home)
