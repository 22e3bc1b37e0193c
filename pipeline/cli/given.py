"""Makes values of the words of a call, as typer does, but without the library that typer loads for it where nothing is to be made.

Before: the shell. After: guard.py, which lets every command read its words so.
Typer (0.29) makes every value through pydantic, also a text of a text: loading it takes a tenth of a second, of each call. A text that is asked
as a text, and a default that is of its type already, are taken as they are; whatever else is given is left to typer. With another version of typer
everything is: what is stood in for here is a part of it that it does not promise to keep.
"""

from __future__ import annotations

from enum import Enum
from typing import Any

import typer

KNOWN = "0.29."  # versions of typer whose part this stands in for


class Given:
    """What typer asks for the value of one parameter, in the place of its own."""

    def __init__(self, parameter: Any) -> None:
        self._parameter = parameter

    def coerce(self, value: Any, param: Any, ctx: Any) -> Any:
        """Return the value of what was given, or of a default; raises what typer raises."""
        many = param.multiple or param.nargs == -1
        if value is None:
            return () if many else None
        asked = param.type_descriptor
        if asked.parameter_info.parser is None and (_texts(asked.annotation, value) if many else _as_asked(asked, value)):
            return list(value) if many else value
        return self._typers().coerce(value, param=param, ctx=ctx)

    def _typers(self) -> Any:
        self._parameter._runtime_param = None  # typer makes its own from here on
        return self._parameter.get_runtime_param()


def taken_as_given(command: Any) -> None:
    """Let a command, and all below it, read their words so, where typer is a version that is known."""
    if not typer.__version__.startswith(KNOWN):
        return
    listed = command.get_params

    def get_params(ctx: Any) -> list[Any]:
        found: list[Any] = listed(ctx)  # with --help, which is made only now
        for parameter in found:
            if getattr(parameter, "_runtime_param", parameter) is None:
                parameter._runtime_param = Given(parameter)
        return found

    command.get_params = get_params
    for below in getattr(command, "commands", {}).values():
        taken_as_given(below)


def _texts(annotation: Any, value: Any) -> bool:
    return annotation == list[str] and isinstance(value, (list, tuple)) and all(type(one) is str for one in value)


def _as_asked(asked: Any, value: Any) -> bool:
    """Whether a value is of the type that is asked, so that typer would give it back: the shell gives texts, others are defaults of ours."""
    if type(value) is not asked.annotation:
        return False
    told = asked.parameter_info
    in_bounds = (told.min is None or value >= told.min) and (told.max is None or value <= told.max) if isinstance(value, (int, float)) else True
    return isinstance(value, (str, int, float, Enum)) and in_bounds
