"""Who acts in this call, under which role, and the one place that says no.

Before: actors.py, custody.py. After: the command line (which asks it before every command), reader.py, approvals/.

Rules:
 (1) Without actors.toml a home is in `single` mode: whoever can open it may do all, and every record says mode = single.
 (2) Once a home had roles it never falls back to single mode by itself: a missing actors.toml is then an error, not a free pass.
 (3) Who is not in the file may do nothing. An account of the OS is no role.
 (4) Of several roles the first in the person's list that grants what is asked is the one recorded.
 (5) The steps of a run read as the machine: they hand nothing out, and what they make is read under the reader's own scope.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import msgspec

from pipeline import custody, durable
from pipeline.errors import NotAllowed, UsageError
from pipeline.roles import actors as people
from pipeline.roles.actors import Actor
from pipeline.roles.table import ANYONE, granting, holders, table

if TYPE_CHECKING:
    from pipeline.home import Home

SINCE = "keys/roles.since"
OWNER = "owner"
Mode = Literal["single", "roles", "machine"]


class Access(msgspec.Struct, frozen=True, kw_only=True):
    """Who acts. role: under which this call goes; clear: whether the clear columns are read; person: the line of actors.toml."""

    actor: str
    mode: Mode
    role: str = ""
    person: Actor | None = None
    clear: bool = False

    @property
    def roles(self) -> tuple[str, ...]:
        """All roles of the person."""
        return self.person.roles if self.person else ()

    def may(self, capability: str) -> bool:
        """Whether this caller may do it."""
        return self.mode != "roles" or granting(self.roles, capability) is not None

    def under(self, capability: str) -> Access:
        """Return the same caller under the role that grants it (rule 4)."""
        role = granting(self.roles, capability) if self.mode == "roles" else None
        return msgspec.structs.replace(self, role=role) if role else self


MACHINE = Access(actor="machine", mode="machine", role="machine", clear=True)
_OF_PROCESS: dict[str, Access] = {}


def access_of(home: Path) -> Access:
    """Return who calls, by account or token; raises NotAllowed NOT_ALLOWED for nobody in the file, UsageError for a file that is not usable."""
    known = people.read(home)
    if known is None:
        if (home / SINCE).exists():
            remedy = "put it back from its backup; to be in single mode again, its owner removes keys/roles.since, and the custody log keeps both"
            raise UsageError("ACTORS_GONE", f"this home has roles, but {people.FILE} is not there", remedy=remedy)
        return Access(actor=f"os:{people.account()}", mode="single", role=OWNER, clear=True)
    person = people.calling(known, home, os.environ)
    if person is None:
        given = "a token that belongs to nobody" if people.given_token(home, os.environ) is not None else f"the account {people.account()}"
        raise NotAllowed("NOT_ALLOWED", f"{given} is not in {people.FILE}", remedy=f"the administrator adds the person there; a token goes into {people.TOKEN}")
    return Access(actor=person.name, mode="roles", role=person.roles[0], person=person, clear=granting(person.roles, "raw") is not None)


def current(home: Path) -> Access:
    """Return who acts now: whoever this process was given to, else whoever calls."""
    return _OF_PROCESS.get(str(home)) or access_of(home)


def require(home: Home, capability: str, *, asked: str = "") -> Access:
    """Return who acts, under the role that allows it; raises NotAllowed NOT_ALLOWED naming who, what, and which roles would do.

    asked: what was asked for, in our own words or a command's name."""
    return check(current(home.path), capability, asked=asked)


def check(access: Access, capability: str, *, asked: str = "") -> Access:
    """Return the access under the role that allows it; raises NotAllowed NOT_ALLOWED."""
    if access.may(capability):
        return access.under(capability)
    what = asked or table().capabilities[capability].en
    message = f"{access.actor} ({', '.join(access.roles)}) may not: {what}"
    raise NotAllowed("NOT_ALLOWED", message, remedy=f"a person with the role {' or '.join(holders(capability))} can")


def for_command(home: Path, command: str) -> Access:
    """Return who acts in a command, once allowed; raises NotAllowed, and KeyError for a command without a capability in schemas/roles.yaml."""
    capability = table().commands[command]
    if capability == ANYONE:
        return whoever(home)
    access = check(access_of(home), capability, asked=f"liuhen {command}")
    if command in table().whole and access.person is not None and access.person.departments:
        message = f"{access.actor} is bound to departments, and liuhen {command} works over the whole archive"
        raise NotAllowed("NOT_ALLOWED", message, remedy=f"a person with the role {' or '.join(holders(capability))} and no departments can")
    return msgspec.structs.replace(access, clear=access.clear or command in table().clear)


def whoever(home: Path) -> Access:
    """Return who calls, for records: a person of the home, else the account, which may do nothing there."""
    try:
        return access_of(home)
    except (NotAllowed, UsageError):
        return Access(actor=f"os:{people.account()}", mode="roles", role="none")


# -- for the length of a call ---------------------------------------------------------------------------------------------


def begin(home: Path, access: Access) -> None:
    """Let this process act for one person until `end`; the custody log records that person from now on."""
    _OF_PROCESS[str(home)] = access
    custody.act_as(custody.Acting(access.actor, access.role, access.mode))


def end(home: Path) -> None:
    """Let the process act for nobody in particular again."""
    _OF_PROCESS.pop(str(home), None)
    custody.act_as(None)


# -- what the home remembers of its roles -----------------------------------------------------------------------------------


def remember(home: Home) -> None:
    """Note durably that this home has roles (rule 2), and record in the custody log when actors.toml is another than the last one seen."""
    path = home.path / people.FILE
    if not path.exists():
        return
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    since = home.path / SINCE
    before = since.read_text("ascii") if since.exists() else ""
    if before != digest:
        home.custody.append(command="roles changed", phase="end", params={"before": before, "now": digest}, result=digest[:12])
        durable.replace(since, digest.encode())
