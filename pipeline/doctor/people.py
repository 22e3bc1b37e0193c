"""Roles: what keys and permissions enforce here, and what the program alone keeps.

Before: findings.py, roles/. After: examine.py.
"""

from __future__ import annotations

import stat
from collections.abc import Iterator, Sequence

from pipeline.doctor.findings import Finding, of_error
from pipeline.errors import ArchiveError
from pipeline.home import Home
from pipeline.roles import acting, actors
from pipeline.roles.actors import Actor
from pipeline.roles.table import granting


def look_home(home: Home) -> Iterator[Finding]:
    """Yield what is found about people and roles."""
    yield _folder(home)
    yield _key(home)
    try:
        known = actors.read(home.path)
        acting.access_of(home.path)
    except ArchiveError as error:
        yield of_error("roles", error, state="warning")
        return
    if known is None:
        yield Finding(check="roles", state="note", outcome="single")
        return
    yield Finding(check="roles", state="ok", outcome="ok", values={"n": len(known.actor)})
    yield from _people(known.actor)


def _folder(home: Home) -> Finding:
    """Enforced by permissions: whether others than the owner's account may enter the home."""
    mode = stat.S_IMODE(home.path.stat().st_mode)
    others = bool(mode & 0o077)
    return Finding(check="enforced", state="warning" if others else "ok", outcome="open" if others else "ok", values={"mode": f"{mode:04o}"})


def _key(home: Home) -> Finding:
    """Enforced by keys: whether the master key can be copied by whoever reads as that account, which makes every role advisory for him."""
    copied = home.config.keys.master.startswith("file:")
    return Finding(check="advisory", state="note", outcome="file" if copied else "service")


def _people(people: Sequence[Actor]) -> Iterator[Finding]:
    for name in _names([a for a in people if not a.token]):
        yield Finding(check="signing", state="note", outcome="account", values={"name": name})
    mixed = [a for a in people if granting(a.roles, "administer") and (granting(a.roles, "read") or granting(a.roles, "approve"))]
    for name in _names(mixed):
        yield Finding(check="roles", state="warning", outcome="mixed", values={"name": name})
    if len([a for a in people if granting(a.roles, "approve")]) < 2:
        yield Finding(check="roles", state="warning", outcome="alone")


def _names(people: Sequence[Actor]) -> list[str]:
    return sorted(a.name for a in people)
