"""actors.toml: which OS account or token is which person, with which roles, for which departments, under which line manager.

Before: table.py. After: acting.py.

    [[actor]]
    name = "wang.min"                      # what records call this person
    account = "wangmin"                    # an OS account, or uid:1001
    token = "ed25519:…"                    # the public half of a token (`liuhen access token`); never the token itself
    roles = ["branch_officer"]
    departments = ["上海分公司"]             # and what lies below; needed for some roles, empty: all
    employee = "WangMin"                   # this person's own userid in WeCom, never reviewed by himself
    manager = "LiLei"                      # the line manager's userid, never reviewed by him either

Rules:
 (1) Every person has an account or a token, and no two share one, however it is written (a name, or uid:NUMBER).
     The token is drawn by us (256 bits), so its public half tells nothing about it.
 (2) A token counts before the account: several people may share the service's account.
 (3) Nobody but its owner may write the file: another's line would be a role.
 (4) The account is the one the kernel knows; LOGNAME and USER are anybody's to set.
"""

from __future__ import annotations

import hashlib
import os
import pwd
import re
import secrets
import tomllib
from base64 import b64decode, b64encode
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization as ser
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from pipeline import durable
from pipeline.errors import UsageError
from pipeline.roles.table import table

FILE = "actors.toml"
TOKEN = "LIUHEN_TOKEN"  # the name of a variable, whose value is the token or file:PATH
SCHEME = "ed25519:"
_NAME = re.compile(r"[^\W_][\w.@-]{0,63}")
_ACCOUNT = re.compile(r"uid:[0-9]{1,10}|[A-Za-z_][A-Za-z0-9_.@-]{0,63}\$?")
_RAW = (ser.Encoding.Raw, ser.PublicFormat.Raw)


class Actor(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One person. departments: paths as the directory writes them, empty: all; predecessors: whether he sees his predecessors' chats with customers he took over."""

    name: str
    roles: tuple[str, ...]
    account: str = ""
    token: str = ""
    departments: tuple[str, ...] = ()
    employee: str = ""
    manager: str = ""
    predecessors: bool = False


class Actors(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The whole file."""

    actor: tuple[Actor, ...] = ()


def read(home: Path) -> Actors | None:
    """Return the people of a home, None when it has no actors.toml; raises UsageError ACTORS_WRITABLE, ACTORS_INVALID."""
    path = home / FILE
    try:
        with durable.storage(f"reading {FILE}"):
            mode = path.stat().st_mode
            if mode & 0o022:
                raise UsageError("ACTORS_WRITABLE", f"others may write {FILE}: got mode {mode & 0o777:04o}", remedy=f"chmod 600 {FILE}, and look at who changed it")
            data = path.read_bytes()
    except durable.Vanished:
        return None
    return parse(data)


@lru_cache(maxsize=1)
def parse(data: bytes) -> Actors:
    """Return the checked content of the file (rule 1), of the same bytes once: a command asks several times who calls.

    Raises UsageError ACTORS_INVALID naming the person, never a token."""
    try:
        told = tomllib.loads(data.decode())
    except (ValueError, RecursionError):  # also numbers of thousands of digits, and lists in lists without end
        raise _invalid("it is not TOML in UTF-8") from None
    try:
        found = msgspec.convert(told, Actors)
    except msgspec.ValidationError as error:
        raise _invalid(str(error)) from None
    for actor in found.actor:
        _check(actor)
    for what in ("name", "account", "token"):
        given = [getattr(a, what) for a in found.actor if getattr(a, what)]
        given = [same_account(a) for a in given] if what == "account" else given
        if len(set(given)) != len(given):
            raise _invalid(f"two actors have the same {what}")
    return found


def same_account(given: str) -> str:
    """Return what two ways of naming one account have in common: `uid:N` of this machine, else the name as it stands."""
    try:
        return f"uid:{int(given[4:]) if given.startswith('uid:') else pwd.getpwnam(given).pw_uid}"
    except (KeyError, OSError):
        return given


def _check(actor: Actor) -> None:
    if not _NAME.fullmatch(actor.name):
        raise _invalid("an actor's name must be of letters, digits, . _ @ -, 64 at most")
    known = table().roles
    wrong = [r for r in actor.roles if r not in known]
    if wrong or not actor.roles:
        raise _invalid(f"{actor.name} needs at least one role of {', '.join(known)}")
    if not actor.account and not actor.token:
        raise _invalid(f"{actor.name} needs an account or a token")
    if actor.account and not _ACCOUNT.fullmatch(actor.account):
        raise _invalid(f"the account of {actor.name} is neither an account's name nor uid:NUMBER")
    if actor.token and _public_key(actor.token) is None:
        raise _invalid(f"the token of {actor.name} is not what `liuhen access token` prints; the token itself never stands here")
    if not actor.departments and any(known[r].departments for r in actor.roles):
        raise _invalid(f"{actor.name} has a role that needs departments")
    if not all(d.strip("/ ") for d in actor.departments):
        raise _invalid(f"{actor.name} has an empty department")


def _invalid(why: str) -> UsageError:
    return UsageError("ACTORS_INVALID", f"{FILE}: {why}", remedy="mend the file; docs/roles.md shows one")


# -- who calls -----------------------------------------------------------------------------------------------------------


def account() -> str:
    """Return the OS account behind this process, by the kernel's word (rule 4); `uid:N` where it has no name."""
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except (KeyError, OSError):
        return f"uid:{os.getuid()}"


def calling(actors: Actors, home: Path, environ: Mapping[str, str]) -> Actor | None:
    """Return who calls (rule 2): by the token that LIUHEN_TOKEN names, else by account; None for nobody in the file."""
    token = given_token(home, environ)
    if token is not None:
        public = public_of(token)
        return next((a for a in actors.actor if a.token == public), None)
    names = {account(), f"uid:{os.getuid()}"}
    return next((a for a in actors.actor if a.account in names), None)


def given_token(home: Path, environ: Mapping[str, str]) -> str | None:
    """Return the token of this call, None when none was given; raises what secret_refs raises for a file that is missing or readable by others."""
    from pipeline import secret_refs

    value = environ.get(TOKEN, "").strip()
    if value.startswith("file:"):
        return secret_refs.resolve(value, home, setting=TOKEN)
    return value or None


# -- tokens --------------------------------------------------------------------------------------------------------------


def new_token() -> str:
    """Return a fresh token: 256 random bits."""
    return secrets.token_hex(32)


def public_of(token: str) -> str:
    """Return the public half of a token, as actors.toml holds it."""
    return SCHEME + b64encode(_private_key(token).public_key().public_bytes(*_RAW)).decode()


def sign(token: str, data: bytes) -> bytes:
    """Return the signature of whoever has this token."""
    return _private_key(token).sign(data)


def signed(public: str, signature: bytes, data: bytes) -> bool:
    """Whether the signature is of whoever has the token with this public half."""
    key = _public_key(public)
    try:
        if key is not None:
            key.verify(signature, data)
    except InvalidSignature:
        return False
    return key is not None


def _private_key(token: str) -> Ed25519PrivateKey:
    return Ed25519PrivateKey.from_private_bytes(hashlib.sha256(b"liuhen-actor-token\0" + token.encode("utf-8", "surrogateescape")).digest())


def _public_key(public: str) -> Ed25519PublicKey | None:
    try:
        return Ed25519PublicKey.from_public_bytes(b64decode(public.removeprefix(SCHEME), validate=True)) if public.startswith(SCHEME) else None
    except ValueError:
        return None


def named(actors: Actors, name: str) -> Actor | None:
    """Return the person of this name."""
    return next((a for a in actors.actor if a.name == name), None)
