"""Every errcode of WeCom's server, with its one action.

Before: resources.py. After: client.py, doctor, docs/wecom.md. The table is data: schemas/wecom-errcodes.yaml, which also says what each
action means. A code that is not listed has the action of `other`. (Return codes of the vendor library: source/actions.py.)
"""

from __future__ import annotations

from functools import cache
from typing import Any, Literal

import msgspec
import yaml

from pipeline.errors import Exit
from pipeline.resources import data_folder

Action = Literal["ok", "retry", "refresh", "wait", "slow", "stop", "mark", "left", "other_call", "skip"]
# What one id's failure means for that id alone; everything else goes on.
OF_ONE_ID: frozenset[str] = frozenset({"mark", "left", "other_call", "skip"})
_EXITS: dict[str, Exit] = {"stop": Exit.SOURCE_REFUSED, "refresh": Exit.SOURCE_REFUSED, "ok": Exit.DONE}


class Code(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One code. error: our own code for it; zh, en: what it means; do_zh, do_en: what happens or what to do."""

    code: int | Literal["other"]
    action: Action
    error: str
    zh: str
    en: str
    do_zh: str
    do_en: str

    @property
    def exit_code(self) -> Exit:
        """How a command ends when this code is what remains: 0, 4, else 3 (something is left for later)."""
        return Exit.DONE if self.action in OF_ONE_ID else _EXITS.get(self.action, Exit.LEFT_OVER)


class _Table(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    actions: tuple[Action, ...]
    errcodes: tuple[Code, ...]


@cache
def errcodes() -> tuple[Code, ...]:
    """Return the codes in the order of the file, `other` last."""
    found: Any = yaml.safe_load((data_folder("schemas") / "wecom-errcodes.yaml").read_text("utf-8"))
    return msgspec.convert(found, type=_Table).errcodes


@cache
def _by_code() -> dict[int | str, Code]:
    return {c.code: c for c in errcodes()}


def server(code: int) -> Code:
    """Return what an errcode of the server's JSON means and what is done about it."""
    known = _by_code()
    return known.get(code, known["other"])


def refusals() -> frozenset[int]:
    """Return the errcodes that mean: secret, address, licence or permission refused (exit 4)."""
    return frozenset(c.code for c in errcodes() if isinstance(c.code, int) and c.exit_code == Exit.SOURCE_REFUSED)
