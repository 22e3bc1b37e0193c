"""`config set` refuses what a later command would refuse: every setting, against the same bad values, each that fits named by hand."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from pipeline import config, config_tried, sentences
from pipeline.errors import ArchiveError
from pipeline.home import Home
from tests import firm
from tests.cli.inside import Answer

VALUES = {
    "empty": '""', "nought": "0", "minus one": "-1", "huge": "9" * 30, "beyond a double": "1e400", "no number": "nan", "true": "true", "a day": "2026-01-01",
    "a text": "天气", "a scheme": "ftp://example.org", "plain http": "http://example.org", "a port": "https://example.org:99999", "a half": "https://",
    "a host": "https://exa mple.org", "an open bracket": "(", "a list": '["天气"]', "a pattern": '["("]', "blanks": '["12", " "]', "numbers": "[1]", "a table": "{a = 1}",
    "an id": '["zhangsan"]', "digits": '["PA[0-9]{8}"]', "none": "[]",
}  # fmt: skip

# Which of them fit; everything else is refused. A setting that stands nowhere here fails the test.
TEXTS = {"empty", "a text", "a scheme", "plain http", "a port", "a half", "a host", "an open bracket"}
FIT: dict[frozenset[str], set[str]] = {
    frozenset({"corp.ww1.name"}): TEXTS,
    frozenset({
        "corp.ww1.archive_secret", "corp.ww1.contacts_secret", "corp.ww1.app_secret", "corp.ww1.callback_token", "corp.ww1.callback_aes_key", "wecom.proxy_credentials",
        "alerts.webhook", "alerts.webhook_secret", "evidence.stamp_credentials", "wecom.ca_file", "source.library", "source.library_sha256", "expiry.service", "expiry.seats",
        "evidence.signing_key", "evidence.stamp_roots",
    }): {"empty"},
    frozenset({"wecom.proxy", "evidence.stamp_url"}): {"empty", "plain http"},
    frozenset({"demo", "archive.keep_sealed", "alerts.include_text", "evidence.sm3"}): {"true"},
    frozenset({
        "consent.withheld_days", "consent.pending_days", "ingest.workers", "callback.port", "source.window_alarm_hours", "heartbeat.silent_hours", "evidence.stamp_hours",
        "matters.review_days", "corp.ww1.app_agent_id",
    }): {"nought"},
    frozenset({"media.max_mb", "approvals.extract_rows", "approvals.import_records"}): {"nought", "huge"},
    frozenset({"consent.lawful_basis"}): {"a list", "a pattern", "an id", "digits", "none"},
    frozenset({"alerts.to"}): {"a list", "a pattern", "an id", "digits", "none"},
    frozenset({"pii.policy_patterns"}): {"a list", "an id", "digits", "none"},
    frozenset({"lexicon.on", "lexicon.off", "alerts.severities"}): {"none"},
    frozenset({
        "corp.ww1.id", "keys.master",
        "consent.default", "consent.room", "consent.withdrawal", "consent.sync_hours", "consent.sync_active_hours", "consent.stale_days", "ingest.rsa",
        "wecom.base_url", "wecom.timeout_s", "wecom.calls_per_minute", "callback.host", "callback.max_age_s", "source.opener", "source.calls_per_minute", "source.timeout_s",
        "source.window_days", "source.poll_minutes", "media.calls_per_minute", "alerts.max_age_days", "alerts.language", "heartbeat.send", "expiry.certificates", "evidence.fonts",
        "approvals.hours", "consent", "corp", "corp.ww1", "corp.ww9.name", "nothing", "expiry.certificates.天气",
    }): set(),
}  # fmt: skip


@pytest.fixture(scope="module")
def at(tmp_path_factory: pytest.TempPathFactory) -> Home:
    return firm.home(tmp_path_factory.mktemp("settings"))


def settings_of(value: dict[str, object], before: str = "") -> Iterator[str]:
    """The names of all settings, as `config set` takes them."""
    for name, inner in value.items():
        if name == "corp":
            yield from settings_of(inner[0], f"corp.{firm.CORP}.")  # type: ignore[index]  # the only corp
        elif isinstance(inner, dict) and name != "certificates":
            yield from settings_of(inner, f"{before}{name}.")
        else:
            yield f"{before}{name}"


def test_every_setting_stands_in_the_table(at: Home) -> None:
    named = [key for keys in FIT for key in keys]
    assert len(named) == len(set(named))
    assert set(settings_of(msgspec.to_builtins(at.config))) - set(named) == set()


@pytest.mark.slow
@pytest.mark.parametrize("key", sorted(key for keys in FIT for key in keys))
def test_a_setting_takes_what_fits_and_refuses_the_rest_with_a_code_and_a_sentence(at: Home, key: str) -> None:
    text, fits = config.read(at.path / "liuhen.toml"), set()
    for name, value in VALUES.items():
        try:
            config_tried.changed(at, text, key, value)
            fits.add(name)
        except ArchiveError as error:
            assert error.exit_code == 2 and error.remedy and sentences.in_chinese(error.message), (value, str(error))
            assert "`$" not in error.message, "told in the words of the library that checks"
    assert fits == next(fits for keys, fits in FIT.items() if key in keys)


@pytest.mark.parametrize(
    ("key", "value", "code", "said"),
    [
        pytest.param("lexicon.on", '["nobody"]', "LEXICON_INVALID", "规则 nobody 不在任何词库包里", id="a rule that no pack has"),
        pytest.param("evidence.stamp_url", "ftp://tsa.example", "STAMP_URL", "应为 https 或 http 地址", id="a scheme"),
        pytest.param("evidence.stamp_url", "https://user:word@tsa.example", "STAMP_URL", "不含账号口令", id="a password in an address"),
        pytest.param("pii.policy_patterns", '["P[0-9]{12}", "("]', "PII_PATTERN", "第 2 个", id="no pattern"),
        pytest.param("wecom.base_url", "http://qyapi.weixin.qq.com", "BASE_URL", "https", id="plain http"),
        pytest.param("wecom.base_url", "https://qyapi.weixin.qq.com:port", "BASE_URL", "https", id="no port"),
        pytest.param("wecom.proxy", "https://proxy:3128", "PROXY", "socks5", id="a proxy's scheme"),
        pytest.param("wecom.ca_file", "absent.pem", "CA_FILE", "PEM", id="no file of certificates"),
        pytest.param("evidence.stamp_roots", "liuhen.toml", "STAMP_ROOTS", "PEM", id="another file"),
        pytest.param("source.library", "absent.so", "LIBRARY_MISSING", "absent.so", id="no library"),
        pytest.param("source.library_sha256", "79ced4", "CONFIG_INVALID", "64 位十六进制", id="a part of a digest"),
        pytest.param("callback.host", "天气", "CONFIG_INVALID", "主机名", id="no host"),
        pytest.param("alerts.to", '["a|b"]', "CONFIG_INVALID", "成员 ID", id="two members in one"),
        pytest.param("evidence.signing_key", "file:key", "MASTER_KEY_UNKNOWN", "pkcs11", id="no token"),
        pytest.param("evidence.signing_key", "pkcs11:token=x", "MASTER_KEY_UNKNOWN", "object", id="half a token"),
        pytest.param("evidence.fonts", '["/absent"]', "INPUT_MISSING", "/absent", id="no folder"),
        pytest.param("expiry.certificates", "2027-01-15", "CONFIG_INVALID", '应为表，如 { "a" = "2027-01-15" }', id="no table"),
        pytest.param("expiry.certificates", "{ a = 5 }", "CONFIG_INVALID", "应为表", id="no day in a table"),
        pytest.param("consent", "{}", "CONFIG_KEY_GROUP", "一组配置项", id="a group"),
        pytest.param("corp.ww1", "x", "CONFIG_KEY_GROUP", "一组配置项", id="a corp"),
        pytest.param("corp.ww1.id", "ww2", "CONFIG_CORP_ID", "都归在其下", id="what everything is kept under"),
    ],
)
def test_what_is_refused_says_why_and_changes_nothing(at: Home, key: str, value: str, code: str, said: str) -> None:
    before = (at.path / "liuhen.toml").read_bytes()
    ended = Answer(at, "config", "set", key, value)
    assert (ended.code, ended.out) == (2, "")
    assert code in ended.err and said in ended.err, ended.err
    assert (at.path / "liuhen.toml").read_bytes() == before


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("evidence.stamp_url", "http://timestamp.example:8080/tsa?policy=1"), ("wecom.base_url", "http://127.0.0.1:8470"), ("wecom.base_url", "https://[::1]:8443/api"),
        ("wecom.proxy", "socks5://10.0.0.1:1080"), ("callback.host", "::"), ("callback.host", "liuhen.internal"), ("pii.policy_patterns", '["P[0-9]{12}"]'),
        ("alerts.to", '["zhangsan", "李四"]'), ("expiry.certificates", '{ "反向代理" = "2027-01-15" }'), ("corp.ww1.archive_secret", "file:not/there/yet"),
    ],
)  # fmt: skip
def test_what_fits_is_taken(at: Home, key: str, value: str) -> None:
    config_tried.changed(at, config.read(at.path / "liuhen.toml"), key, value)


def test_a_rule_of_a_pack_of_ones_own_can_be_switched(at: Home, tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("天气\n", "utf-8")
    assert Answer(at, "lexicon", "add", str(tmp_path / "mine.txt")).code == 0
    rule = next(row["rule_id"] for row in Answer(at, "lexicon", "list", "--format", "jsonl").rows if row["pack"] == "mine")
    assert Answer(at, "config", "set", "lexicon.off", f'["{rule}"]').code == 0
    ended = Answer(at, "lexicon", "remove", "mine")
    assert ended.code == 2 and "LEXICON_INVALID" in ended.err and rule in ended.err, "every later command would be refused"
    assert (Answer(at, "config", "set", "lexicon.off", "[]").code, Answer(at, "lexicon", "remove", "mine").code) == (0, 0)


def test_a_secret_in_the_wrong_place_is_not_recorded(at: Home) -> None:
    assert Answer(at, "config", "set", "corp.ww1.archive_secret", "v3ry-s3cret").code == 2
    assert Answer(at, "config", "set", "corp.ww1.archive_secret", "env:NAME").code == 0
    custody = Home(at.path).custody
    *_, tried, refused, began, _ = custody.entries()
    assert (tried.command, refused.result) == ("config set", "SECRET_FORM"), "that it was tried is recorded"
    assert custody.params(tried) == {"corp": None, "setting": "corp.ww1.archive_secret", "mode": "single"}
    assert custody.params(began)["value"] == "env:NAME"
