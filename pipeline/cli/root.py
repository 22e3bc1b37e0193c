"""The root of the command line: global options, the custody entry around every call, errors as one sentence, exit codes.

Before: the shell. After: the command modules, which register themselves on `app`.
Results go to stdout, progress and messages to stderr. An error that is ours is one sentence and its exit code; any other is told
by type and place only (its text may quote a record) and exits 1.
"""

from __future__ import annotations

import contextlib
import importlib
import logging
import os
import sys
import traceback
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer
from rich.console import Console

from pipeline import words
from pipeline.cli import started
from pipeline.errors import ArchiveError, Exit, StorageError, UsageError
from pipeline.words import Lang

if TYPE_CHECKING:
    from pipeline.home import Home

DEFAULT_HOME = "liuhen-home"


def _given_lang(argv: Sequence[str]) -> str | None:
    """Return the value of --lang before typer reads it: help texts are made when the commands are."""
    for at, word in enumerate(argv):
        if word == "--":  # behind it no word is an option of ours
            return None
        if word.startswith("--lang="):
            return word.removeprefix("--lang=")
        if word == "--lang" and at + 1 < len(argv):
            return argv[at + 1]
    return None


def _lang_for_help() -> Lang:
    try:
        return words.lang_of(_given_lang(sys.argv[1:]), os.environ)
    except ArchiveError:
        return "zh"


LANG: Lang = _lang_for_help()


def t(key: str, **values: object) -> str:
    """Return words of the catalogue in the language of this call."""
    return words.say(key, LANG, **values)


app = typer.Typer(
    name="liuhen", help=t("usage.app"), no_args_is_help=True, add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)  # fmt: skip


class Call:
    """What one call of the command line knows: the home it means, the corp, the language, the arguments behind `--`."""

    def __init__(self) -> None:
        self.home_path = Path(DEFAULT_HOME)
        self.corp_id: str | None = None
        self.after_dashes: list[str] = []
        self.command = ""
        self.asked: dict[str, Any] = {}
        self.purpose = ""  # kept by guard.py from --purpose and --approval
        self.approval = ""
        self._home: Home | None = None

    @property
    def home(self) -> Home:
        """The opened home; raises UsageError NO_HOME."""
        from pipeline.home import Home

        if self._home is None:
            self._home = Home(self.home_path)
        return self._home

    def reopen(self) -> None:
        """Forget the opened home: its keyring or configuration was replaced."""
        self._home = None

    @property
    def corp(self) -> str:
        """The corp this call is about."""
        return self.home.corp(self.corp_id)


class _Told(Console):
    """Where people are told of what goes on."""

    def on_broken_pipe(self) -> None:
        """Go on in silence: who read has gone (`2>&1 | head`), the work has not. Rich would end the process there and then."""
        self.quiet = True
        os.dup2(os.open(os.devnull, os.O_WRONLY), self.file.fileno())


CALL = Call()
err = _Told(stderr=True, highlight=False, soft_wrap=True)


def say(message: str) -> None:
    """Write one line for a person to stderr."""
    err.print(message, markup=False)


@app.callback()
def _root(
    home: str = typer.Option("", "--home", help=t("usage.home"), metavar="DIR"),
    corp: str = typer.Option("", "--corp", help=t("usage.corp"), metavar="ID"),
    lang: str = typer.Option("", "--lang", help=t("usage.lang"), metavar="zh|en"),
) -> None:
    words.lang_of(lang or None, os.environ)
    CALL.home_path = Path(home or os.environ.get("LIUHEN_HOME") or DEFAULT_HOME)
    CALL.corp_id = corp or None
    CALL.purpose = CALL.approval = ""


@contextlib.contextmanager
def recorded(command: str, *, purpose: str = "", **params: Any) -> Iterator[dict[str, str]]:
    """Record the call in the custody log before it begins and after it ends; the yielded dict takes `result` and `run_id`."""
    custody, told = CALL.home.custody, {"result": "done", "run_id": ""}
    started()
    purpose = CALL.purpose = purpose or CALL.purpose
    params = CALL.asked = {"corp": CALL.corp_id, **params}
    custody.append(command=command, phase="start", params=params, purpose=purpose)
    try:
        yield told
    except typer.Exit as ending:
        told["result"] = f"exit {ending.exit_code}"
        raise
    except ArchiveError as error:
        told["result"] = error.code
        raise
    except BaseException as error:
        told["result"] = type(error).__name__
        raise
    finally:
        if CALL.home.damaged:
            say(t("search.damaged", n=len(CALL.home.damaged)))
        # A full disk that ended the command must not be hidden by a second error about the log of it.
        failing = sys.exc_info()[0] is not None
        try:
            custody.append(command=command, phase="end", params={}, purpose=purpose, result=told["result"], run_id=told["run_id"])
        except StorageError:
            if not failing:
                raise


# Modules of commands, and the words behind `liuhen` by which their commands are called.
COMMANDS: dict[str, tuple[str, ...]] = {
    "access": ("access",),
    "alerts": ("alerts",),
    "approve": ("approve",),
    "archive": ("ingest",),
    "ask": ("audit", "conversation", "sql", "status"),
    "source": ("media", "pull", "run"),
    "clock": ("clock",),
    "compact": ("compact",),
    "consent": ("consent",),
    "demo": ("demo",),
    "directory": ("callback", "directory"),
    "doctor": ("doctor",),
    "holds": ("hold",),
    "evidence": ("checkpoint", "export", "matter"),
    "keyring": ("keyring",),
    "lexicon": ("lexicon", "rescan"),
    "persons": ("customer", "identity"),
    "removing": ("erase", "restricted"),
    "retention": ("retention",),
    "review": ("review",),
    "reveal": ("reveal",),
    "rules": ("ack",),
    "scripts": ("scripts",),
    "search": ("index", "search"),
    "setup": ("config", "init", "keys", "people"),
    "simulate": ("simulate",),
    "verify": ("verify",),
}
_TAKE_A_VALUE = ("--home", "--corp", "--lang")


def modules_of(argv: Sequence[str]) -> list[str]:
    """Return the modules of commands that a call needs: the one that registers its command, which saves half of the time to start; all of them where
    another word than a command's comes first, for the list of commands and for a guess at what was meant."""
    words = iter(argv)
    for word in words:
        if word in _TAKE_A_VALUE:
            next(words, None)
        elif not word.startswith(tuple(f"{option}=" for option in _TAKE_A_VALUE)):
            return [module for module, names in COMMANDS.items() if word in names] or list(COMMANDS)
    return list(COMMANDS)


def complete(modules: Iterable[str] = tuple(COMMANDS)) -> typer.Typer:
    """Return the command line with the commands of some modules, by default the whole: a module registers itself when it is imported."""
    for name in modules:
        importlib.import_module(f"pipeline.cli.{name}")
    return app


@cache
def _checked_commands(commands: int, groups: int) -> Any:
    """Return what has registered itself as typer calls it, every command behind its check. It takes a millisecond a command: made anew only after another
    module came, so for a process that runs many command lines. commands, groups: how many there are at the root."""
    from pipeline.cli.guard import guarded

    return guarded(typer.main.get_command(app))


def run(argv: list[str]) -> int:
    """Run one command line; return its exit code."""
    complete(modules_of(argv))
    if any(_unreadable(word) for word in argv):
        say(words.error_text(UsageError("ARGUMENT_BYTES", "an argument is not text in UTF-8", remedy="type it anew; a terminal set to UTF-8 helps"), LANG))
        return int(Exit.USAGE)
    logging.basicConfig(level=logging.ERROR)  # Beam warns on import about clouds nobody asked for
    if "--" in argv and "ingest" in argv[: (at := argv.index("--"))]:  # Beam's options; of other commands what is no option, whatever it begins with
        argv, CALL.after_dashes = argv[:at], argv[at + 1 :]
    try:
        code = _checked_commands(len(app.registered_commands), len(app.registered_groups)).main(args=argv, standalone_mode=False, prog_name="liuhen")
        return code if isinstance(code, int) else 0
    except ArchiveError as error:
        say(words.error_text(error, LANG))
        return int(error.exit_code)
    except typer.Exit as ending:
        return int(ending.exit_code)
    except (KeyboardInterrupt, typer.Abort):
        say(t("error.interrupted"))
        return 130
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception as error:
        return _foreign(error)


def a_reason(given: str) -> str:
    """Return a reason that a command asks; raises UsageError REASON_MISSING where it is blank."""
    if not given.strip():
        raise UsageError("REASON_MISSING", "expected a reason, got an empty one", remedy="say why with --reason")
    return given


def _unreadable(word: str) -> bool:
    """Whether an argument holds bytes that are no UTF-8 (lone surrogates by now): nothing could be recorded or asked with it."""
    return any("\ud800" <= c <= "\udfff" for c in word)


def _foreign(error: Exception) -> int:
    """Tell an error that is not ours: usage errors of the command line in their own words, others by type and place."""
    if hasattr(error, "format_message"):  # click's UsageError and its kin
        from pipeline.cli import usage

        told = error.format_message()
        if told == "Missing command." and (where := getattr(error, "ctx", None)) is not None:  # `liuhen --lang en`: what there is, as without the option
            told = where.get_help()
        elif type(error).__name__ != "NoArgsIsHelpError":  # a group alone: what there is, and no sentence about it
            told = f"liuhen: {usage.sentence(told, LANG)}"
        say(told)
        return int(Exit.USAGE)
    if isinstance(error, OSError) and error.errno:
        from pipeline.durable import storage_error

        told = storage_error(error, "reading or writing a file")
        say(words.error_text(told, LANG))
        return int(told.exit_code)
    place = traceback.extract_tb(error.__traceback__)[-1]
    say(t("error.stopped", type=type(error).__name__, place=f"{Path(place.filename).name}:{place.lineno}"))
    if os.environ.get("LIUHEN_DEBUG"):
        traceback.print_tb(error.__traceback__)
    return int(Exit.UNEXPECTED)
