"""The configuration: checked once, comments kept, every refusal names the key."""

from __future__ import annotations

import pytest

from pipeline import config, sentences
from pipeline.config import Corp
from pipeline.errors import UsageError

TEXT = config.render([Corp(id="ww1"), Corp(id="ww2", name="二号")], demo=False)


def test_a_new_configuration_is_what_its_comments_say() -> None:
    parsed = config.parse(TEXT)
    assert [c.id for c in parsed.corp] == ["ww1", "ww2"]
    assert (parsed.consent.default, parsed.consent.room, parsed.consent.withheld_days) == ("agree", "sender", 15)
    assert not parsed.demo and parsed.archive.keep_sealed


def test_setting_a_value_keeps_the_comments() -> None:
    text = config.changed(TEXT, "consent.default", "pending")
    assert config.get(text, "consent.default") == "pending"
    assert text.replace('"pending"\n', '"agree"\n', 1) == TEXT


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        ("consent.withheld_days", "0", 0),
        ("archive.keep_sealed", "false", False),
        ("consent.lawful_basis", '["contract", "consent"]', ["contract", "consent"]),
        ("ingest.workers", "2", 2),
    ],
)
def test_values_keep_their_types(key: str, value: str, expected: object) -> None:
    assert config.get(config.changed(TEXT, key, value), key) in (expected, tuple(expected) if isinstance(expected, list) else expected)


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        pytest.param("consent.default", "maybe", "consent.default", id="no such choice"),
        pytest.param("consent.withheld_days", "-1", "withheld_days", id="below the range"),
        pytest.param("consent.withheld_days", "soon", "withheld_days", id="not a number"),
        pytest.param("consent.defualt", "agree", "no setting 'consent.defualt'", id="misspelt"),
        pytest.param("nothing", "1", "no setting 'nothing'", id="unknown"),
    ],
)
def test_what_is_not_a_setting_or_not_a_value_is_refused(key: str, value: str, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        config.changed(TEXT, key, value)


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        pytest.param("ingest.rsa", "fast", "ingest.rsa is 'fast', expected one of auto, multi-buffer, openssl", id="rsa"),
        pytest.param("consent.default", "yes", "consent.default is 'yes', expected one of agree, pending, refuse", id="silence"),
        pytest.param("consent.room", "all", "consent.room is 'all', expected one of everyone, sender", id="rooms"),
        pytest.param("consent.withdrawal", "drop", "consent.withdrawal is 'drop', expected one of keep, restrict", id="withdrawal"),
        pytest.param("source.opener", "x", "source.opener is 'x', expected one of auto, native, open", id="opener"),
        pytest.param("heartbeat.send", "1", "heartbeat.send is 1, expected one of changes, cycle, off", id="a number for a word"),
        pytest.param("alerts.language", "fr", "alerts.language is 'fr', expected one of en, zh", id="language"),
        pytest.param("alerts.severities", '["high", "x"]', "alerts.severities is 'x', expected one of high, low, medium", id="a word of a list"),
        pytest.param("alerts.severities", "high", 'alerts.severities is not a list such as ["high", "low"], as it must be', id="no list of words"),
        pytest.param("alerts.to", "li", 'alerts.to is not a list such as ["a", "b"], as it must be', id="no list"),
        pytest.param("consent.withheld_days", "3651", "consent.withheld_days is 3651, expected a whole number 0–3650", id="above"),
        pytest.param("ingest.workers", "many", "ingest.workers is 'many', expected a whole number 0–256", id="no number"),
        pytest.param("media.max_mb", "-1", "media.max_mb is -1, expected a whole number ≥0", id="no highest"),
        pytest.param("source.window_days", "0", "source.window_days is 0, expected a number >0–30", id="just not below"),
        pytest.param("evidence.sm3", "yes", "evidence.sm3 is 'yes', expected true or false", id="yes or no"),
        pytest.param("corp.ww2.app_secret", "12345", "corp.ww2.app_secret is not a text in quotes, as it must be", id="what may be a secret"),
    ],
)
def test_a_value_that_does_not_fit_is_told_with_what_does(key: str, value: str, said: str) -> None:
    with pytest.raises(UsageError) as refused:
        config.changed(TEXT, key, value)
    assert (refused.value.code, refused.value.message) == ("CONFIG_INVALID", f"liuhen.toml: {said}")


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        pytest.param("ingest.rsa", "fast", "ingest.rsa 应为 auto、multi-buffer、openssl 之一，实为 'fast'", id="choice"),
        pytest.param("ingest.workers", "many", "ingest.workers 应为整数 0–256，实为 'many'", id="whole number"),
        pytest.param("source.window_days", "0", "source.window_days 应为数字 >0–30，实为 0", id="number"),
        pytest.param("evidence.sm3", "yes", "evidence.sm3 应为 true 或 false，实为 'yes'", id="yes or no"),
        pytest.param("corp.ww2.app_secret", "12345", "corp.ww2.app_secret 应为带引号的文字", id="text"),
        pytest.param("alerts.to", "li", 'alerts.to 应为列表，如 ["a", "b"]', id="list"),
    ],
)
def test_a_value_that_does_not_fit_is_told_in_chinese_too(key: str, value: str, said: str) -> None:
    with pytest.raises(UsageError) as refused:
        config.changed(TEXT, key, value)
    assert sentences.in_chinese(refused.value.message) == f"liuhen.toml：{said}"


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("corp = 1", id="wrong type"),
        pytest.param("[[corp]]\nid = 'a/b'", id="a corp id that is a path"),
        pytest.param("[[corp]]\nid = ''", id="empty corp id"),
        pytest.param("[[corp]]\nid = 'a'\n[[corp]]\nid = 'a'", id="the same corp twice"),
        pytest.param("corp = []", id="no corp"),
        pytest.param("[[corp]\n", id="no TOML"),
        pytest.param("[[corp]]\nid = 'a'\nsecret = 'x'", id="a key we do not know"),
    ],
)
def test_a_configuration_that_cannot_be_used_is_refused(text: str) -> None:
    with pytest.raises(UsageError):
        config.parse(text)


def test_a_setting_of_one_corp_is_named_by_its_id() -> None:
    text = config.changed(TEXT, "corp.ww2.archive_secret", "env:LIUHEN_ARCHIVE_SECRET")
    assert (config.get(text, "corp.ww2.archive_secret"), config.get(text, "corp.ww1.archive_secret")) == ("env:LIUHEN_ARCHIVE_SECRET", "")
    with pytest.raises(UsageError, match=r"no setting 'corp\.ww3\.archive_secret'"):
        config.changed(TEXT, "corp.ww3.archive_secret", "env:X")


@pytest.mark.parametrize("value", ["v3ry-s3cret", "env:", "env:not a name", "file:", "http://x"])
def test_a_secret_in_place_of_its_reference_is_refused_and_not_repeated(value: str) -> None:
    with pytest.raises(UsageError) as refused:
        config.changed(TEXT, "corp.ww1.archive_secret", value)
    assert refused.value.code == "SECRET_FORM" and "s3cret" not in str(refused.value)
