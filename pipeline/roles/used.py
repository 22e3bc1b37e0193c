"""Access review: who holds which role, what was used when, whose chats were read; told by actors.toml and the custody log.

Before: actors.py, custody.py. After: the command `access review`.
The custody log says what somebody asked for (a conversation, a customer, an employee, an audit's parameters), not which rows came back.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import msgspec

from pipeline.audit import Who
from pipeline.custody import Entry
from pipeline.home import Home
from pipeline.roles import actors
from pipeline.roles.table import table

COLUMNS = ("actor", "roles", "departments", "granted", "calls", "last_used", "last_command", "refused", "extracts", "read_of")
# What of a call's parameters says whose chats were asked for.
SUBJECTS = ("conversation", "customer", "employee", "room", "msgid")
# Of these a name may be known.
WHO: Mapping[str, Who] = {"conversation": "conversation", "customer": "customer", "employee": "employee", "room": "room"}
READS = frozenset({"read", "reveal", "raw", "export", "open_restricted"})


class Used(msgspec.Struct, frozen=True, kw_only=True):
    """One person. granted: whether actors.toml names him now; calls, refused, extracts: how many; read_of: whose chats were asked for, most often first."""

    actor: str
    roles: str
    departments: str
    granted: bool
    calls: int
    last_used: str | None
    last_command: str | None
    refused: int
    extracts: int
    read_of: list[str]


def review(home: Home) -> list[Used]:
    """Return everybody who holds a role or was recorded, those of actors.toml first; raises VerifyFailed for a broken custody log."""
    known = actors.read(home.path)
    entries = list(home.custody.entries())
    told = {e.n: home.custody.params(e) for e in entries if e.phase != "end" or e.command == "extract"}
    granted = {a.name: a for a in known.actor} if known else {}
    names = [*granted, *sorted({e.actor for e in entries} - set(granted))]
    return [_used(name, granted.get(name), [e for e in entries if e.actor == name], told) for name in names]


def _used(name: str, actor: actors.Actor | None, entries: Iterable[Entry], told: Mapping[int, Mapping[str, object]]) -> Used:
    mine = list(entries)
    started = [e for e in mine if e.phase == "start"]
    return Used(
        actor=name, roles=", ".join(actor.roles) if actor else "", departments=", ".join(actor.departments) if actor else "", granted=actor is not None,
        calls=len(started), last_used=started[-1].at if started else None, last_command=started[-1].command if started else None,
        refused=sum(e.phase == "refused" for e in mine), extracts=sum(e.command == "extract" for e in mine), read_of=_subjects(started, told),
    )  # fmt: skip


def _subjects(entries: Iterable[Entry], told: Mapping[int, Mapping[str, object]]) -> list[str]:
    counts: dict[str, int] = {}
    for entry in entries:
        if table().commands.get(entry.command) not in READS:
            continue
        given = told.get(entry.n, {})
        inner = given.get("parameters")
        for name, value in {**given, **(inner if isinstance(inner, dict) else {})}.items():
            if name in SUBJECTS and isinstance(value, str) and value:
                counts[f"{name}:{value}"] = counts.get(f"{name}:{value}", 0) + 1
    return sorted(counts, key=lambda s: (-counts[s], s))
