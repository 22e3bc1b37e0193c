"""A new value of a setting, tried on whoever is going to use it: what a later command would refuse is refused when it is set.

Before: config.py (kinds and spans), home.py, and the modules that use the settings. After: cli/setup.py (`config set`).

Rules:
 (1) only the setting that is changed is tried, and by the very code that refuses it later: its code, its sentence.
 (2) what a value names must be there when it is a file that is only read (certificates, the library, fonts), or a rule; a secret may follow later.
 (3) a text in a list is not blank. Texts are not repeated: one may be a secret in the wrong place.
 (4) a file that was edited by hand is not held to this: a home stays readable, and each command says what it cannot use.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Final

from pipeline import config as settings
from pipeline.config import Config
from pipeline.errors import UsageError
from pipeline.home import Home

_HOST: Final = re.compile(r"(?!-)[A-Za-z0-9_-]{1,63}(\.[A-Za-z0-9_-]{1,63})*\.?\Z")
_SHA256: Final = re.compile(r"[0-9A-Fa-f]{64}\Z")
_MEMBER: Final = re.compile(r"[^|\s]{1,64}\Z")
_AGAIN: Final = "give another value with `liuhen config set`, or in liuhen.toml"


def changed(home: Home, text: str, key: str, value: str) -> str:
    """Return the text of liuhen.toml with one setting changed. Raises UsageError: those of config.changed, and what the users of the setting refuse."""
    if key == "keys.master":
        raise UsageError(
            "CONFIG_KEYS_MASTER", "keys.master is no setting to be changed: the keyring would not follow, and nothing could be opened",
            remedy="`liuhen keyring rotate --to …` moves the keyring under another master key",
        )  # fmt: skip
    new = settings.changed(text, key, value)
    config = settings.parse(new)
    _no_blank(key, settings.get(new, key))
    if try_on := TRIED.get(key):
        try_on(home, config)
    return new


def _no_blank(key: str, value: object) -> None:
    if isinstance(value, list | tuple) and any(isinstance(one, str) and not one.strip() for one in value):
        raise UsageError("CONFIG_INVALID", f"liuhen.toml: {key} holds an empty text", remedy=_AGAIN)


def _base_url(_: Home, config: Config) -> None:
    from pipeline.wecom.client import check_base_url

    check_base_url(config.wecom.base_url)


def _proxy(_: Home, config: Config) -> None:
    from pipeline.wecom.client import check_proxy

    check_proxy(config.wecom.proxy)


def _ca_file(home: Home, config: Config) -> None:
    from pipeline.wecom.client import trust

    trust(config.wecom, home.path)


def _host(_: Home, config: Config) -> None:
    host = config.callback.host
    try:
        ipaddress.ip_address(host)
    except ValueError:
        if not _HOST.match(host):
            raise UsageError("CONFIG_INVALID", "liuhen.toml: callback.host is neither an IP address nor a host name", remedy=_AGAIN) from None


def _library(home: Home, config: Config) -> None:
    from pipeline.source import library

    if config.source.library:
        library.find(home.path, library=config.source.library, sha256="")


def _library_sha256(_: Home, config: Config) -> None:
    if config.source.library_sha256 and not _SHA256.match(config.source.library_sha256):
        raise UsageError("CONFIG_INVALID", "liuhen.toml: source.library_sha256 is no SHA-256: expected 64 hex digits", remedy="`sha256sum FILE` tells it")


def _members(_: Home, config: Config) -> None:
    for member in config.alerts.to:
        if not _MEMBER.match(member):
            raise UsageError("CONFIG_INVALID", "liuhen.toml: alerts.to holds what is no member's id: expected up to 64 characters without blanks and |", remedy=_AGAIN)


def _policies(_: Home, config: Config) -> None:
    from pipeline import pii

    pii.compiled(config.pii.policy_patterns)


def _rules(home: Home, config: Config) -> None:
    from pipeline.match import lexicon, packfile

    sources = (*lexicon.shipped_packs(), *home.own_packs())
    lexicon.refuse_unknown((*config.lexicon.on, *config.lexicon.off), {rule.id for source in sources for rule in packfile.read_pack(source).rules})


def _signing_key(home: Home, config: Config) -> None:
    from pipeline.evidence import signer

    signer.check_setting(home, config.evidence.signing_key)


def _stamp_url(_: Home, config: Config) -> None:
    from pipeline.evidence import stamps

    if config.evidence.stamp_url:
        stamps.check_url(config.evidence.stamp_url)


def _stamp_roots(home: Home, config: Config) -> None:
    from pipeline.evidence import stamps

    if config.evidence.stamp_roots:
        stamps.roots(home.path / config.evidence.stamp_roots)


def _fonts(_: Home, config: Config) -> None:
    from pipeline.evidence.pdf import fonts

    for place in config.evidence.fonts:
        if not Path(place).exists():
            raise UsageError("INPUT_MISSING", f"there is no file {place}", remedy="check evidence.fonts")
    try:
        fonts.find(config.evidence.fonts)
    except UsageError as error:
        if error.code != "EXTRA_MISSING":  # the fonts may well be ready before what sets with them
            raise


TRIED: Final[Mapping[str, Callable[[Home, Config], None]]] = MappingProxyType({
    "wecom.base_url": _base_url, "wecom.proxy": _proxy, "wecom.ca_file": _ca_file, "callback.host": _host, "source.library": _library,
    "source.library_sha256": _library_sha256, "alerts.to": _members, "pii.policy_patterns": _policies, "lexicon.on": _rules, "lexicon.off": _rules,
    "evidence.signing_key": _signing_key, "evidence.stamp_url": _stamp_url, "evidence.stamp_roots": _stamp_roots, "evidence.fonts": _fonts,
})  # fmt: skip
