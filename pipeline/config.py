"""The configuration of a home: one frozen Config, parsed and checked once.

Before: errors.py. After: home.py and whoever is handed a Config.
`liuhen.toml` is the operator's file: comments survive `config set`; unknown keys and wrong types are refused with the key's name.
Secrets are never values in it: they are `env:NAME`, `file:PATH` or a key service.
"""

from __future__ import annotations

import re
import tomllib
import unicodedata
from datetime import date
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec

from pipeline import durable, secret_refs
from pipeline.errors import UsageError

CORP_ID = re.compile(r"[A-Za-z0-9_-]{1,64}\Z")
SECRETS = ("archive_secret", "contacts_secret", "app_secret", "callback_token", "callback_aes_key")


class Corp(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One enterprise; `name` is for reports only. The secrets are references (secret_refs.py), never values."""

    id: str
    name: str = ""
    archive_secret: str = ""
    contacts_secret: str = ""
    app_secret: str = ""
    app_agent_id: Annotated[int, msgspec.Meta(ge=0, le=2**31 - 1)] = 0
    callback_token: str = ""
    callback_aes_key: str = ""


class Consent(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The firm's policy where the customer is silent, in rooms, and for what is withheld."""

    default: Literal["agree", "pending", "refuse"] = "agree"
    room: Literal["sender", "everyone"] = "sender"
    withheld_days: Annotated[int, msgspec.Meta(ge=0, le=3650)] = 15
    lawful_basis: tuple[str, ...] = ("legal_obligation",)
    withdrawal: Literal["keep", "restrict"] = "keep"
    pending_days: Annotated[int, msgspec.Meta(ge=0, le=3650)] = 0
    sync_hours: Annotated[int, msgspec.Meta(ge=1, le=8760)] = 168
    sync_active_hours: Annotated[int, msgspec.Meta(ge=1, le=8760)] = 24
    stale_days: Annotated[int, msgspec.Meta(ge=1, le=3650)] = 14


class Archive(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is kept."""

    keep_sealed: bool = True


class Keys(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where the master key is: `file:PATH` relative to the home, `pkcs11:…` or `kms:…` (masters.py); `liuhen keyring rotate` changes it."""

    master: str = "file:keys/master.key"


class Ingest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """workers: processes that open records, 0 = as many as there are cores when there is enough work; rsa: what does the private operations."""

    workers: Annotated[int, msgspec.Meta(ge=0, le=256)] = 0
    rsa: Literal["auto", "openssl", "multi-buffer"] = "auto"


class Wecom(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How WeCom is reached. proxy: http:// or socks5://, empty for none (the environment's proxies are not used); ca_file: empty for the system's."""

    base_url: str = "https://qyapi.weixin.qq.com"
    proxy: str = ""
    proxy_credentials: str = ""
    ca_file: str = ""
    timeout_s: Annotated[int, msgspec.Meta(ge=1, le=300)] = 10
    calls_per_minute: Annotated[int, msgspec.Meta(ge=1, le=60_000)] = 300


class Callback(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where `callback serve` listens; TLS ends at the reverse proxy in front."""

    host: str = "127.0.0.1"
    port: Annotated[int, msgspec.Meta(ge=0, le=65535)] = 8470
    max_age_s: Annotated[int, msgspec.Meta(ge=60, le=86_400)] = 600


class Source(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The vendor's library and how it is used. library: path, relative to the home; opener: `auto` is native when a library is configured."""

    library: str = ""
    library_sha256: str = ""
    opener: Literal["auto", "native", "open"] = "auto"
    calls_per_minute: Annotated[int, msgspec.Meta(ge=1, le=4000)] = 600
    timeout_s: Annotated[int, msgspec.Meta(ge=1, le=300)] = 30
    window_days: Annotated[float, msgspec.Meta(gt=0, le=30)] = 5.0
    window_alarm_hours: Annotated[int, msgspec.Meta(ge=0, le=720)] = 24
    poll_minutes: Annotated[float, msgspec.Meta(gt=0, le=1440)] = 5.0


class Media(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How files are fetched. max_mb: larger ones are not, 0 = no limit."""

    calls_per_minute: Annotated[int, msgspec.Meta(ge=1, le=25000)] = 3000
    max_mb: Annotated[int, msgspec.Meta(ge=0)] = 4096


class Alerts(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Whom serious findings are told to. webhook, webhook_secret: references; to: members, reached through the corp's application."""

    webhook: str = ""
    webhook_secret: str = ""
    to: tuple[str, ...] = ()
    severities: tuple[Literal["low", "medium", "high"], ...] = ("high",)
    include_text: bool = False
    max_age_days: Annotated[int, msgspec.Meta(ge=1, le=90)] = 7
    language: Literal["zh", "en"] = "zh"


class Heartbeat(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is told after each cycle through the channels of [alerts]; silent_hours: without a run that is an alarm, 0 for never."""

    send: Literal["cycle", "changes", "off"] = "cycle"
    silent_hours: Annotated[float, msgspec.Meta(ge=0, le=8760)] = 2.0


class Expiry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Last Beijing days, `YYYY-MM-DD`, empty when not known; certificates: name → day."""

    service: str = ""
    seats: str = ""
    certificates: dict[str, str] = {}


class Pii(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What identifies a person beyond what is known everywhere. policy_patterns: RE2, for the firm's policy numbers."""

    policy_patterns: tuple[str, ...] = ()


class Evidence(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What checkpoints are signed and stamped with. signing_key: empty for the keyring, else `pkcs11:…`; stamp_url: an RFC 3161 authority, empty
    for none; stamp_roots: PEM file of its root certificates, relative to the home; stamp_credentials: reference to `user:password`;
    fonts: folders or files of fonts for PDF, looked through and nothing else."""

    signing_key: str = ""
    sm3: bool = False
    stamp_url: str = ""
    stamp_roots: str = ""
    stamp_credentials: str = ""
    stamp_hours: Annotated[int, msgspec.Meta(ge=0, le=8760)] = 0
    fonts: tuple[str, ...] = ("/usr/share/fonts/opentype/noto", "/usr/share/fonts/truetype/noto")


class Matters(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """review_days: days after which a matter's holds are looked at again where `--review-on` says nothing, 0 for never."""

    review_days: Annotated[int, msgspec.Meta(ge=0, le=3650)] = 365


class Approvals(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where roles are configured: how long a request waits, and what needs a second person by its size."""

    hours: Annotated[int, msgspec.Meta(ge=1, le=720)] = 72
    extract_rows: Annotated[int, msgspec.Meta(ge=0)] = 1_000
    import_records: Annotated[int, msgspec.Meta(ge=0)] = 1_000


class Lexicon(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Rules of keyword packs that are switched on or off by id, against what their pack says."""

    on: tuple[str, ...] = ()
    off: tuple[str, ...] = ()


class Config(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Everything an operator can set."""

    corp: tuple[Corp, ...]
    demo: bool = False
    consent: Consent = Consent()
    archive: Archive = Archive()
    keys: Keys = Keys()
    ingest: Ingest = Ingest()
    wecom: Wecom = Wecom()
    callback: Callback = Callback()
    source: Source = Source()
    media: Media = Media()
    alerts: Alerts = Alerts()
    heartbeat: Heartbeat = Heartbeat()
    expiry: Expiry = Expiry()
    pii: Pii = Pii()
    matters: Matters = Matters()
    approvals: Approvals = Approvals()
    lexicon: Lexicon = Lexicon()
    evidence: Evidence = Evidence()

    @property
    def at_double(self) -> bool:
        """Whether this is a demo whose source is the double that was made for it: the double ends with the demo."""
        return self.demo and self.wecom.base_url.startswith("http://127.0.0.1:")


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
# 客户撤回此前的同意时 / when a customer withdraws an earlier consent: "keep" 撤回前的消息照常保存, "restrict" 一并受限
withdrawal = "keep"
# 待决记录多少天后视为不同意，0 = 一直等待决定 / days after which a pending record counts as refused; 0 waits for a decision
pending_days = 0
# 查询同意状态的间隔（小时）：一般、活跃会话 / hours between two questions about a scope's consent: all, and those that chat
sync_hours = 168
sync_active_hours = 24
# 超过多少天未查询即告警 / days after which what is known about a scope is called stale
stale_days = 14

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
# RSA 私钥运算："auto" 能八条并行就并行，否则逐条；"openssl" 只逐条；"multi-buffer" 只并行，做不到即拒绝（CPU 须支持 AVX512-IFMA；见 docs/operations.md）
# RSA private operations: "auto" eight at once where this machine can, else one by one; "openssl" one by one; "multi-buffer" eight at once or not at all
rsa = "auto"

[wecom]
# 接口地址 / where the calls go. 仅限 https；本机模拟器可用 http / https only; http for the simulator on this machine
base_url = "https://qyapi.weixin.qq.com"
# 代理 http:// 或 socks5://，空为直连（不读取环境变量中的代理） / proxy, empty for none (those of the environment are not used)
proxy = ""
# 代理的 用户:口令 所在：env:NAME 或 file:PATH / where the proxy's user:password is
proxy_credentials = ""
# 根证书文件，空为系统自带 / file of root certificates, empty for the system's
ca_file = ""
# 每次调用的超时秒数 / seconds a call may take
timeout_s = 10
# 官方未公布频率的接口，每分钟每个接口的调用次数 / calls a minute of each call whose limit is not documented
calls_per_minute = 300

[callback]
# 回调服务监听地址；TLS 由前面的反向代理终止 / where `liuhen callback serve` listens; TLS ends at the reverse proxy in front
host = "127.0.0.1"
port = 8470
# 早于此秒数的回调一律拒绝 / callbacks older than this many seconds are refused
max_age_s = 600

[source]
# 企业微信会话存档 SDK（libWeWorkFinanceSdk_C.so），由使用方自备，路径相对本文件夹 / the vendor's library, supplied by you; relative to this folder
library = ""
# 其 SHA-256，不符则拒绝加载，空为不核对 / its SHA-256: another file is refused; empty: not compared
library_sha256 = ""
# 解封方式 / who opens records: "auto"（有 SDK 用 SDK / the library when there is one）, "native" SDK, "open" 自带 / our own
opener = "auto"
# 每分钟拉取次数，上限 4000 / calls a minute, 4000 at most
calls_per_minute = 600
# 每次调用的超时秒数 / seconds a call may take
timeout_s = 30
# 企业微信保留消息的天数 / days WeCom keeps messages (5; it has been 3 and 7)
window_days = 5.0
# 窗口只剩这么多小时仍未拉取到最新即报警 / alarm when so few hours are left and nothing new was pulled
window_alarm_hours = 24
# `pull --follow` 没有回调时每隔几分钟拉取 / minutes between pulls when no callback comes
poll_minutes = 5.0

[media]
# 每分钟下载分片数，上限 25000 / slices a minute, 25000 at most
calls_per_minute = 3000
# 超过此大小（MB）的文件不下载，0 为不限 / files above so many MB are not fetched, 0 = no limit
max_mb = 4096

[alerts]
# 高风险命中的提醒，默认不含原文 / serious findings are told at once, by default without their words
# 接收地址所在 env:NAME 或 file:PATH，空为不发 / where the receiver's https address is; empty: none
webhook = ""
# 签名密钥所在 / where the key is that signs what is sent
webhook_secret = ""
# 用企业微信应用消息通知的成员 / members told by WeCom's application message, such as ["zhangsan"]
to = []
# 哪些严重程度 / which severities
severities = ["high"]
# 是否附上命中的词 / whether the words found are included
include_text = false
# 只提醒最近几天的消息 / only messages of the last so many days raise alerts
max_age_days = 7
# 文字提醒的语言 / language of what a person reads: "zh", "en"
language = "zh"

[heartbeat]
# 每次 run 之后经 [alerts] 的渠道报平安与告警：程序接收地址每次都发（"cycle"）或仅在有变化时（"changes"），成员每天首次及有变化时；"off" 不发
# a sign of life after each run through the channels of [alerts]: the webhook each time ("cycle") or on changes ("changes"), members daily and on changes
send = "cycle"
# 多少小时没有运行即告警，0 为不告警 / hours without a run that are an alarm; 0: never
silent_hours = 2.0

[expiry]
# 到期日（含当日），提前 60、30、7 天提醒 / last days, warned of 60, 30 and 7 days before: "2027-03-31"
# 会话存档服务 / the archive service
service = ""
# 存档席位 / its seats
seats = ""
# 证书等，名称 = 到期日 / certificates and others by name, such as {{ "反向代理" = "2027-01-15" }}
certificates = {{}}

[pii]
# 本单位保单号的写法（RE2 正则），如 ["P[0-9]{{12}}"] / how the firm's policy numbers look (RE2)
policy_patterns = []

[evidence]
# PDF 所用字体所在文件夹（须含中文与表情） / folders with fonts for PDF, Chinese and emoji
fonts = ["/usr/share/fonts/opentype/noto", "/usr/share/fonts/truetype/noto"]
# 检查点签名密钥：空为密钥环内自动生成；或令牌 pkcs11:（Ed25519，不可导出），首个检查点之前设定，之后不可更换
# what signs checkpoints: empty for a key of the keyring, or a token's Ed25519 key; set it before the first checkpoint, it cannot change later
signing_key = ""
# 另以国密 SM3 计算一棵树，与 SHA-256 并列 / a second tree by SM3, beside SHA-256
sm3 = false
# 可信时间戳机构（RFC 3161）地址，空为不盖时间戳 / where the RFC 3161 time-stamp authority is; empty: none
stamp_url = ""
# 该机构根证书文件（PEM），相对本文件夹 / PEM file of its root certificates, relative to this folder
stamp_roots = ""
# 其账号 用户:口令 所在 env:NAME 或 file:PATH，空为无 / where its user:password is
stamp_credentials = ""
# 两次时间戳至少间隔的小时数，0 = 每个检查点 / hours between two stamps at least; 0: every checkpoint
stamp_hours = 0

[matters]
# 立案时未写 --review-on 的，多少天后复核其保全，0 为不设 / days until a matter's holds are looked at again where --review-on says nothing; 0: never
review_days = 365

[approvals]
# 配置了角色时：第二人批准的有效小时数 / where roles are configured: hours that a request waits for its second person
hours = 72
# 含原文的文件超过多少行须第二人批准 / files with text of more rows need a second person
extract_rows = 1000
# 同意登记导入会使多少条记录受限时须第二人批准 / consent imports that would restrict more records need a second person
import_records = 1000

[lexicon]
# 单独启用、停用的规则编号；`liuhen lexicon list` 列出 / rules switched on or off by id; `liuhen lexicon list` shows them
on = []
off = []
"""
CORP_TEMPLATE = """
[[corp]]
id = "{id}"
# 报表显示的名称 / name for reports
name = "{name}"
# 凭据只写所在之处 env:NAME 或 file:PATH（0600），不写值 / where the secrets are, never their values
# 会话内容存档 Secret / secret of the archive
archive_secret = ""
# 自建应用 Secret，用于通讯录、客户联系、统计 / secret of a self-built app: contacts, customers, statistics
contacts_secret = ""
# 发提醒的应用 Secret 与 AgentId / secret and AgentId of the application that sends alerts
app_secret = ""
app_agent_id = 0
# 接收事件的 Token 与 EncodingAESKey / Token and EncodingAESKey of the callbacks
callback_token = ""
callback_aes_key = ""
"""


def render(corps: list[Corp], *, demo: bool) -> str:
    """Return the text of a new liuhen.toml."""
    for corp in corps:
        check_corp_id(corp.id)
    return TEMPLATE.format(demo=str(demo).lower()) + "".join(CORP_TEMPLATE.format(id=c.id, name=c.name) for c in corps)


def check_corp_id(corp_id: str) -> None:
    """Raise UsageError unless `corp_id` can be a corp id (it becomes a folder name)."""
    if not CORP_ID.match(corp_id):
        raise UsageError("CORP_ID_MALFORMED", "expected a corp id of 1 to 64 letters, digits, - and _, such as ww1234567890abcdef", remedy="check --corp-id")


def _parsed(text: str) -> Any:
    """Return the values of a text in TOML. The library that keeps comments is loaded only where the text is wrong, or is changed."""
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        import tomlkit
        import tomlkit.exceptions
    try:
        return tomlkit.parse(text).unwrap()
    except tomlkit.exceptions.ParseError as error:
        raise UsageError("CONFIG_INVALID", f"liuhen.toml is not TOML at line {error.line}", remedy="mend it or restore it") from error


@lru_cache(maxsize=2)
def parse(text: str) -> Config:
    """Return the checked configuration, of the same text once: nothing changes it. Raises UsageError CONFIG_INVALID naming the key, what was expected and what came."""
    values = _parsed(text)
    try:
        config = msgspec.convert(values, Config)
    except msgspec.ValidationError as error:
        from pipeline import config_told

        if told := config_told.refusal(str(error), values, Config):
            raise told from error
        raise UsageError("CONFIG_INVALID", f"liuhen.toml: {error}", remedy="mend the key or remove it") from error
    _check_characters(values)
    ids = [c.id for c in config.corp]
    if not ids or len(set(ids)) != len(ids):
        raise UsageError("CONFIG_INVALID", "liuhen.toml needs at least one [[corp]], each with an id of its own", remedy="mend the file")
    for corp_id in ids:
        check_corp_id(corp_id)
    _check_references(config)
    _check_days(config)
    return config


def _check_characters(value: Any, name: str = "") -> None:
    """Refuse a text with a line break or a control character: it would reach addresses, headers and terminals."""
    if isinstance(value, str) and any(unicodedata.category(c) in ("Cc", "Zl", "Zp") for c in value):
        raise UsageError(
            "CONFIG_INVALID", f"liuhen.toml: {name} holds a line break or a control character",
            remedy="give another value with `liuhen config set`, or in liuhen.toml",
        )  # fmt: skip
    for key, inner in value.items() if isinstance(value, dict) else ((name, one) for one in value) if isinstance(value, list) else ():
        _check_characters(inner, f"{name}.{key}" if name and isinstance(value, dict) else str(key))


def _check_days(config: Config) -> None:
    """Refuse an ending that is no day."""
    ending = config.expiry
    for name, day in {"expiry.service": ending.service, "expiry.seats": ending.seats, **{f"expiry.certificates.{n}": d for n, d in ending.certificates.items()}}.items():
        try:
            date.fromisoformat(day or "1970-01-01")
        except ValueError:
            raise UsageError("CONFIG_INVALID", f"liuhen.toml: {name} is no day: expected YYYY-MM-DD", remedy="for example 2027-03-31") from None


def _check_references(config: Config) -> None:
    """Refuse a secret that stands where only its place may; the value is not repeated."""
    places = {"wecom.proxy_credentials": config.wecom.proxy_credentials, "alerts.webhook": config.alerts.webhook, "alerts.webhook_secret": config.alerts.webhook_secret}
    places["evidence.stamp_credentials"] = config.evidence.stamp_credentials
    for corp in config.corp:
        places |= {f"{name} of corp {corp.id}": getattr(corp, name) for name in SECRETS}
    for name, reference in places.items():
        if not secret_refs.well_formed(reference):
            raise UsageError("SECRET_FORM", f"liuhen.toml: {name} is not a reference: expected env:NAME or file:PATH", remedy="never put the secret itself into the file")


def get(text: str, key: str) -> object:
    """Return the value at dotted `key` (`corp.ID.name` for one corp); raises UsageError CONFIG_KEY_UNKNOWN."""
    value: object = msgspec.to_builtins(parse(text))
    for name in key.split("."):
        if isinstance(value, list | tuple):  # corp.ID.name
            value = {corp["id"]: corp for corp in value if isinstance(corp, dict)}
        if not isinstance(value, dict) or name not in value:
            raise UsageError("CONFIG_KEY_UNKNOWN", f"there is no setting {key!r}", remedy="`liuhen config get` lists them")
        value = value[name]
    return value


def _one_setting(value: object, key: str) -> None:
    """Refuse a group of settings, which would be replaced as a whole, and what everything is kept under."""
    if key != "expiry.certificates" and (key == "corp" or isinstance(value, dict)):
        raise UsageError("CONFIG_KEY_GROUP", f"{key!r} is a group of settings: expected the name of one", remedy="`liuhen config get` lists them")
    if key.startswith("corp.") and key.endswith(".id"):
        raise UsageError(
            "CONFIG_CORP_ID", f"{key} is no setting to be changed: everything that is kept is kept under it",
            remedy="put a [[corp]] block of its own for another corp into liuhen.toml",
        )  # fmt: skip


def changed(text: str, key: str, value: str) -> str:
    """Return the text with dotted `key` set to `value` (TOML, or a bare word taken as a string), comments kept and everything checked."""
    import tomlkit
    import tomlkit.exceptions

    _one_setting(get(text, key), key)
    document = tomlkit.parse(text)
    *path, last = key.split(".")
    at: Any = document
    for name in path:
        blocks = isinstance(at, list)  # [[corp]] blocks, by id
        at = next(block for block in at if block["id"] == name) if blocks else at.setdefault(name, tomlkit.table())
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
