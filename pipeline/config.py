"""The configuration of a home: one frozen Config, parsed and checked once.

Before: errors.py. After: home.py and whoever is handed a Config.
`liuhen.toml` is the operator's file: comments survive `config set`; unknown keys and wrong types are refused with the key's name.
Secrets are never values in it: they are `env:NAME`, `file:PATH` or a key service.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Literal

import msgspec
import tomlkit
import tomlkit.exceptions

from pipeline import durable
from pipeline.errors import UsageError

CORP_ID = re.compile(r"[A-Za-z0-9_-]{1,64}\Z")


class Corp(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One enterprise; `name` is for reports only."""

    id: str
    name: str = ""


class Consent(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The firm's policy where the customer is silent, in rooms, and for what is withheld."""

    default: Literal["agree", "pending", "refuse"] = "agree"
    room: Literal["sender", "everyone"] = "sender"
    withheld_days: Annotated[int, msgspec.Meta(ge=0, le=3650)] = 15
    lawful_basis: tuple[str, ...] = ("legal_obligation",)


class Archive(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is kept."""

    keep_sealed: bool = True


class Keys(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where the master key is: `file:PATH` relative to the home, `pkcs11:…` or `kms:…` (masters.py); `liuhen keyring rotate` changes it."""

    master: str = "file:keys/master.key"


class Ingest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """workers: processes that open records, 0 = as many as there are cores when there is enough work."""

    workers: Annotated[int, msgspec.Meta(ge=0, le=256)] = 0


class Config(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Everything an operator can set."""

    corp: tuple[Corp, ...]
    demo: bool = False
    consent: Consent = Consent()
    archive: Archive = Archive()
    keys: Keys = Keys()
    ingest: Ingest = Ingest()


TEMPLATE = """\
# liuhen 留痕 — 配置 / configuration. 每一项都可用 `liuhen config set KEY VALUE` 修改 / every item can be set so.

# 是否演示数据 / made-up data
demo = {demo}

[consent]
# 客户未表态时 / when a customer is silent: "agree" (企业微信默认 / WeCom's own rule), "pending" 待决, "refuse" 视为不同意
default = "agree"
# 群聊 / rooms: "sender" 只看发送人 / only its sender decides, "everyone" 任一外部成员不同意即拒存 / any external person in it
room = "sender"
# 拒存字节保留天数，到期不拆封销毁 / days that withheld bytes stay sealed before they are destroyed unopened (0-3650)
withheld_days = 15
# 法律依据，写入每条消息 / legal bases stated with every message
lawful_basis = ["legal_obligation"]

[archive]
# 保留原始密封字节（取证需要） / keep the sealed bytes (evidence needs them)
keep_sealed = true

[keys]
# 主密钥：文件 file:（0600，另行备份）、令牌 pkcs11: 或密钥服务 kms:；更换用 `liuhen keyring rotate`
# master key: a file (0600; back it up elsewhere), a token or a key service; `liuhen keyring rotate` changes it (docs/operations.md)
master = "file:keys/master.key"

[ingest]
# 解密进程数，0 = 按 CPU 核数 / processes that open records, 0 = one per core when there is enough work
workers = 0
"""
CORP_TEMPLATE = '\n[[corp]]\nid = "{id}"\n# 报表显示的名称 / name for reports\nname = "{name}"\n'


def render(corps: list[Corp], *, demo: bool) -> str:
    """Return the text of a new liuhen.toml."""
    for corp in corps:
        check_corp_id(corp.id)
    return TEMPLATE.format(demo=str(demo).lower()) + "".join(CORP_TEMPLATE.format(id=c.id, name=c.name) for c in corps)


def check_corp_id(corp_id: str) -> None:
    """Raise UsageError unless `corp_id` can be a corp id (it becomes a folder name)."""
    if not CORP_ID.match(corp_id):
        raise UsageError("CORP_ID_MALFORMED", "expected a corp id of 1 to 64 letters, digits, - and _, such as ww1234567890abcdef", remedy="check --corp-id")


def parse(text: str) -> Config:
    """Return the checked configuration; raises UsageError CONFIG_INVALID naming the key."""
    try:
        config = msgspec.convert(tomlkit.parse(text).unwrap(), Config)
    except tomlkit.exceptions.ParseError as error:
        raise UsageError("CONFIG_INVALID", f"liuhen.toml is not TOML at line {error.line}", remedy="mend it or restore it") from error
    except msgspec.ValidationError as error:
        raise UsageError("CONFIG_INVALID", f"liuhen.toml: {error}", remedy="mend the key or remove it") from error
    ids = [c.id for c in config.corp]
    if not ids or len(set(ids)) != len(ids):
        raise UsageError("CONFIG_INVALID", "liuhen.toml needs at least one [[corp]], each with an id of its own", remedy="mend the file")
    for corp_id in ids:
        check_corp_id(corp_id)
    return config


def get(text: str, key: str) -> object:
    """Return the value at dotted `key`; raises UsageError CONFIG_KEY_UNKNOWN."""
    value: object = msgspec.to_builtins(parse(text))
    for name in key.split("."):
        if not isinstance(value, dict) or name not in value:
            raise UsageError("CONFIG_KEY_UNKNOWN", f"there is no setting {key!r}", remedy="`liuhen config get` lists them")
        value = value[name]
    return value


def changed(text: str, key: str, value: str) -> str:
    """Return the text with dotted `key` set to `value` (TOML, or a bare word taken as a string), comments kept and everything checked."""
    get(text, key)
    document = tomlkit.parse(text)
    *path, last = key.split(".")
    at = document
    for name in path:
        at = at.setdefault(name, tomlkit.table())
    try:
        at[last] = tomlkit.value(value)
    except tomlkit.exceptions.ParseError:
        at[last] = value
    new = tomlkit.dumps(document)
    parse(new)
    return new


def read(path: Path) -> str:
    """Return the text of the configuration file; raises UsageError NO_HOME when it is not there."""
    try:
        return path.read_text("utf-8")
    except FileNotFoundError:
        raise UsageError("NO_HOME", f"there is no liuhen home at {path.parent}", remedy="`liuhen init --corp-id ID` makes one, or name yours with --home") from None
    except OSError as error:
        raise durable.storage_error(error, "reading liuhen.toml") from error
    except UnicodeDecodeError as error:
        raise UsageError("CONFIG_INVALID", "liuhen.toml is not UTF-8", remedy="save it as UTF-8") from error
