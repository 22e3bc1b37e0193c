"""The configuration: checked once, comments kept, every refusal names the key."""

from __future__ import annotations

import pytest

from pipeline import config
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
        pytest.param("ingest.rsa", "fast", "ingest.rsa: expected one of auto, multi-buffer, openssl; got 'fast'", id="rsa"),
        pytest.param("consent.default", "yes", "consent.default: expected one of agree, pending, refuse; got 'yes'", id="silence"),
        pytest.param("consent.room", "all", "consent.room: expected one of everyone, sender; got 'all'", id="rooms"),
        pytest.param("consent.withdrawal", "drop", "consent.withdrawal: expected one of keep, restrict; got 'drop'", id="withdrawal"),
        pytest.param("source.opener", "x", "source.opener: expected one of auto, native, open; got 'x'", id="opener"),
        pytest.param("heartbeat.send", "1", "heartbeat.send: expected one of changes, cycle, off; got 1", id="a number for a word"),
        pytest.param("alerts.language", "fr", "alerts.language: expected one of en, zh; got 'fr'", id="language"),
        pytest.param("alerts.severities", '["high", "x"]', "alerts.severities: expected one of high, low, medium; got 'x'", id="a word of a list"),
        pytest.param("alerts.severities", "high", 'alerts.severities: expected a list such as ["high", "low"], got something else', id="no list of words"),
        pytest.param("alerts.to", "li", 'alerts.to: expected a list such as ["a", "b"], got something else', id="no list"),
        pytest.param("consent.withheld_days", "3651", "consent.withheld_days: expected a whole number 0–3650, got 3651", id="above"),
        pytest.param("ingest.workers", "many", "ingest.workers: expected a whole number 0–256, got 'many'", id="no number"),
        pytest.param("media.max_mb", "-1", "media.max_mb: expected a whole number ≥0, got -1", id="no highest"),
        pytest.param("source.window_days", "0", "source.window_days: expected a number >0–30, got 0", id="just not below"),
        pytest.param("evidence.sm3", "yes", "evidence.sm3: expected true or false, got 'yes'", id="yes or no"),
        pytest.param("corp.ww2.app_secret", "12345", "corp.ww2.app_secret: expected a text in quotes, got something else", id="what may be a secret"),
    ],
)
def test_a_value_that_does_not_fit_is_told_with_what_does(key: str, value: str, said: str) -> None:
    with pytest.raises(UsageError) as refused:
        config.changed(TEXT, key, value)
    assert (refused.value.code, refused.value.message) == ("CONFIG_INVALID", f"liuhen.toml: {said}")


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
