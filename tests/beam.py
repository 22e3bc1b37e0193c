"""Beam looks at the same classes anew for every pipeline that is built: in the suite of every day it remembers what it saw.

Before: nothing. After: conftest.py. What is remembered are pure functions of classes and of option lists, a third of a small ingest's time;
pipelines are built and run by Beam as ever. The marked suites (slow, crash, bench) run without this.
"""

from __future__ import annotations

import copy
import sys
from collections.abc import Callable, Sequence
from functools import cache
from types import FunctionType, MethodType
from typing import Any


def loaded() -> bool:
    """Return whether Beam was imported: whoever does not need it should not pay for it."""
    return "apache_beam.runners.portability.fn_api_runner.fn_runner" in sys.modules


@cache
def remember() -> None:
    """Begin to remember, once a process."""
    from apache_beam.options import pipeline_options
    from apache_beam.transforms import core, userstate
    from apache_beam.typehints import decorators

    vars(decorators)["get_signature"] = vars(core)["get_signature"] = _of_methods_once(decorators.get_signature)
    vars(userstate)["get_dofn_specs"] = _of_classes_once(userstate.get_dofn_specs)
    pipeline_options.PipelineOptions.__init__ = _parsed_once(pipeline_options.PipelineOptions.__init__)  # type: ignore[method-assign]  # on purpose


def _of_methods_once(get_signature: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Return `get_signature` that looks at a method once, whichever object it is bound to."""
    known: dict[FunctionType, Any] = {}

    def signature(function: Any) -> Any:
        if not isinstance(function, MethodType) or not isinstance(function.__func__, FunctionType):
            return get_signature(function)
        if function.__func__ not in known:
            known[function.__func__] = get_signature(function)
        return known[function.__func__]

    return signature


def _of_classes_once(get_dofn_specs: Callable[[Any], tuple[set[Any], set[Any]]]) -> Callable[[Any], tuple[set[Any], set[Any]]]:
    """Return `get_dofn_specs` that looks at a class once: what a DoFn asks for stands in its methods' defaults.

    Not so where an object carries a method of its own or answers for one (`_inspect_…`): such are looked at every time."""
    known: dict[tuple[type, frozenset[str]], tuple[set[Any], set[Any]]] = {}
    answers: Callable[[Any], frozenset[str]] = cache(_answered)

    def specs(dofn: Any) -> tuple[set[Any], set[Any]]:
        own, key = vars(dofn), (type(dofn), frozenset(vars(dofn)))
        if answers(type(dofn)) - own.keys() or any(isinstance(value, MethodType) for value in own.values()):
            return get_dofn_specs(dofn)
        if key not in known:
            known[key] = get_dofn_specs(dofn)
        states, timers = known[key]
        return set(states), set(timers)

    return specs


def _answered(kind: type) -> frozenset[str]:
    return frozenset(name.removeprefix("_inspect_") for name in dir(kind) if name.startswith("_inspect_"))


def _parsed_once(init: Callable[..., None]) -> Callable[..., None]:
    """Return the constructor of PipelineOptions that parses the same flags for the same class once."""
    known: dict[tuple[type, tuple[str, ...]], Any] = {}

    def made(self: Any, flags: Sequence[str] | None = None, **kwargs: Any) -> None:
        key = (type(self), tuple(flags or ()))
        if flags is None or key not in known:
            init(self, flags, **kwargs)
            if flags is not None:
                known[key] = copy.deepcopy(self._visible_options)
            return
        self._flags, self._visible_options, self._all_options = flags, copy.deepcopy(known[key]), kwargs
        for name in self._visible_option_list():
            self._all_options.setdefault(name, getattr(self._visible_options, name))

    return made
