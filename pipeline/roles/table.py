"""Roles, capabilities, and what every command needs: the data of schemas/roles.yaml, checked.

Before: resources.py. After: actors.py, acting.py.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache

import msgspec
import yaml

from pipeline.errors import ArchiveError
from pipeline.resources import data_folder
from pipeline.words import Lang, label, say

ANYONE = "anyone"


class Words(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The same words in Chinese (master) and English."""

    zh: str
    en: str


class Role(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A role: what it may do. departments: who holds it must be bound to departments."""

    name: Words
    may: tuple[str, ...]
    departments: bool = False


class Table(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The whole table. commands: command → capability, or `anyone`; whole: commands over the whole archive; clear: commands that work
    on the clear words."""

    capabilities: dict[str, Words]
    roles: dict[str, Role]
    commands: dict[str, str]
    whole: tuple[str, ...] = ()
    clear: tuple[str, ...] = ()


@cache
def table() -> Table:
    """Return the table; raises ArchiveError ROLES_BROKEN when it names something that it does not declare."""
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    found = msgspec.convert(yaml.load((data_folder("schemas") / "roles.yaml").read_text("utf-8"), Loader=loader), Table)
    named = {c for r in found.roles.values() for c in r.may} | set(found.commands.values()) - {ANYONE}
    if not named <= set(found.capabilities) or not {*found.clear, *found.whole} <= set(found.commands):
        raise ArchiveError("ROLES_BROKEN", "schemas/roles.yaml names a capability or command that it does not declare", remedy="install liuhen again")
    return found


def granting(roles: Iterable[str], capability: str) -> str | None:
    """Return the first of these roles that may do it, None when none may."""
    return next((r for r in roles if r in table().roles and capability in table().roles[r].may), None)


def said(roles: Iterable[str], lang: Lang) -> str:
    """Return the names of roles, joined; what the table does not know is the owner, the machine, or stays as it is."""
    known = table().roles
    return say("list.join", lang).join(getattr(known[r].name, lang) if r in known else label("role", r, lang) for r in roles)


def holders(capability: str) -> tuple[str, ...]:
    """Return the roles that may do it, in the order of the table."""
    return tuple(name for name, role in table().roles.items() if capability in role.may)
