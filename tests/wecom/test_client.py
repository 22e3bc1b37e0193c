"""One call: token, repeats as the table of errcodes says, and what remains. The platform's answers are those of the documents."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest

from pipeline import ingest
from pipeline.config import Wecom
from pipeline.errors import ArchiveError, SourceRefused, UsageError
from pipeline.wecom import errcodes
from pipeline.wecom.client import Unreachable, Unresolved, check_base_url, http_client
from pipeline.wecom.limits import Pace
from tests.wecom.platform import platform

OK = {"errcode": 0, "errmsg": "ok", "ids": ["zhangsan"]}
PERMIT = "msgaudit/get_permit_user_list"


def fails(code: int) -> dict[str, Any]:
    return {"errcode": code, "errmsg": "hint: [1], from ip: 1.2.3.4"}


def test_a_token_is_fetched_once_for_each_secret_and_sent_with_every_call() -> None:
    with platform(msgaudit__get_permit_user_list=[OK], user__get=[{"errcode": 0, "errmsg": "ok"}]) as at, at.client() as client:
        client.post(PERMIT, {})
        client.post(PERMIT, {})
        client.get("user/get", {"userid": "zhangsan"}, secret="contacts")
        assert at.paths() == ["gettoken", PERMIT, PERMIT, "gettoken", "user/get"]
        assert [a.query for a in at.asked if a.path == "gettoken"] == [
            {"corpid": "ww1", "corpsecret": "s-archive"}, {"corpid": "ww1", "corpsecret": "s-contacts"}
        ]  # fmt: skip
        assert at.asked[4].query == {"access_token": "T1", "userid": "zhangsan"}


def test_a_token_is_fetched_anew_five_minutes_before_it_ends() -> None:
    with platform(msgaudit__get_permit_user_list=[OK]) as at, at.client() as client:
        client.post(PERMIT, {})
        at.now += 6899.0
        client.post(PERMIT, {})
        assert at.paths().count("gettoken") == 1
        at.now += 2.0
        client.post(PERMIT, {})
        assert at.paths().count("gettoken") == 2


@pytest.mark.parametrize("code", [40014, 41001, 42001])
def test_a_refused_token_is_fetched_anew_once_and_the_call_repeated_once(code: int) -> None:
    second = {"errcode": 0, "errmsg": "ok", "access_token": "T2", "expires_in": 7200}
    with platform(gettoken=[{**second, "access_token": "T1"}, second], msgaudit__get_permit_user_list=[fails(code), OK]) as at, at.client() as client:
        assert client.post(PERMIT, {})["ids"] == ["zhangsan"]
        assert [a.query.get("access_token") for a in at.asked if a.path == PERMIT] == ["T1", "T2"]
    with platform(msgaudit__get_permit_user_list=[fails(code)]) as at, at.client() as client:
        with pytest.raises(SourceRefused) as refused:
            client.post(PERMIT, {})
        assert refused.value.code == "WECOM_TOKEN" and at.paths() == ["gettoken", PERMIT, "gettoken", PERMIT]


# errcode → (kind of error, how often the call is made, seconds slept), typed from sections 2.3 and 5 of the notes on WeCom.
STATED: dict[int, tuple[type[ArchiveError], int, list[float]]] = {
    -1: (Unreachable, 3, [0.5, 2.0]),
    40001: (SourceRefused, 1, []), 40013: (SourceRefused, 1, []), 40014: (SourceRefused, 2, [0.0]), 41001: (SourceRefused, 2, [0.0]), 42001: (SourceRefused, 2, [0.0]),
    40003: (Unresolved, 1, []), 40050: (Unresolved, 1, []), 40096: (Unresolved, 1, []), 60011: (Unresolved, 1, []), 60111: (Unresolved, 1, []),
    84061: (Unresolved, 1, []), 90501: (Unresolved, 1, []), 301048: (Unresolved, 1, []),
    45009: (Unreachable, 2, [60.0]), 45033: (Unreachable, 3, [1.0, 1.0]),
    48001: (SourceRefused, 1, []), 48002: (SourceRefused, 1, []), 60020: (SourceRefused, 1, []),
    301042: (SourceRefused, 1, []), 301052: (SourceRefused, 1, []), 301053: (SourceRefused, 1, []),
    99999: (Unreachable, 3, [0.5, 2.0]),
}  # fmt: skip


@pytest.mark.parametrize("code", STATED)
def test_every_errcode_ends_in_its_stated_action(code: int) -> None:
    kind, times, slept = STATED[code]
    with platform(msgaudit__get_permit_user_list=[fails(code)]) as at, at.client() as client, pytest.raises(ArchiveError) as ended:
        client.post(PERMIT, {})
    assert type(ended.value) is kind
    assert (at.paths().count(PERMIT), at.slept) == (times, slept)
    assert "1.2.3.4" not in str(ended.value) and "T1" not in str(ended.value)
    if isinstance(ended.value, Unresolved):
        assert (ended.value.errcode, ended.value.action) == (code, {60111: "left", 90501: "other_call", 301048: "skip"}.get(code, "mark"))


def test_no_documented_errcode_is_left_out_of_the_stated_actions() -> None:
    assert {c.code for c in errcodes.errcodes()} - {0, "other"} == set(STATED) - {99999}


def test_a_limit_that_clears_is_waited_for() -> None:
    with platform(msgaudit__get_permit_user_list=[fails(45009), fails(-1), OK]) as at, at.client() as client:
        assert client.post(PERMIT, {})["ids"] == ["zhangsan"]
        assert at.slept == [60.0, 0.5]


def test_a_wrong_secret_is_asked_once_and_not_repeated() -> None:
    with platform(gettoken=[fails(40001)]) as at, at.client() as client:
        with pytest.raises(SourceRefused) as refused:
            client.post(PERMIT, {})
        assert refused.value.code == "WECOM_SECRET" and at.paths() == ["gettoken"]


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(b"<html>please log in</html>", id="a page of a portal"), pytest.param([1], id="a list"), pytest.param({"ids": []}, id="no errcode"),
        pytest.param({"errcode": "0"}, id="errcode as text"), pytest.param({"errcode": True}, id="errcode as truth value"), pytest.param(b"", id="nothing"),
        pytest.param(502, id="HTTP 502"), pytest.param(302, id="a redirect"), pytest.param(b'{"errcode":' + b"[" * 100_000, id="too deep"),
    ],
)  # fmt: skip
def test_what_is_no_answer_is_tried_three_times_and_left_to_the_next_run(answer: Any) -> None:
    with platform(msgaudit__get_permit_user_list=[answer]) as at, at.client() as client:
        with pytest.raises(Unreachable):
            client.post(PERMIT, {})
        assert at.paths().count(PERMIT) == 3


def test_nobody_listening_is_told_without_the_secret() -> None:
    with platform() as at:
        client = at.client()
    with pytest.raises(Unreachable) as ended:
        client.post(PERMIT, {})
    client.close()
    assert ended.value.code == "WECOM_NETWORK" and "s-archive" not in repr(ended.value) and ended.value.__cause__ is None


def test_no_address_with_its_token_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    logging.getLogger("httpx").setLevel(logging.WARNING)
    logging.getLogger("httpcore").setLevel(logging.WARNING)
    with platform(msgaudit__get_permit_user_list=[OK]) as at, at.client() as client:
        client.post(PERMIT, {})
    assert "T1" not in caplog.text and "s-archive" not in caplog.text


@pytest.mark.parametrize(
    ("url", "allowed"),
    [
        ("https://qyapi.weixin.qq.com", True), ("http://127.0.0.1:8080", True), ("http://[::1]:1", True), ("http://localhost:1", True),
        ("http://qyapi.weixin.qq.com", False), ("http://127.0.0.1.evil.example", False), ("http://localhost.example", False), ("ftp://127.0.0.1", False),
        ("https://", False), ("", False),
    ],
)  # fmt: skip
def test_plain_http_is_for_this_machine_alone(url: str, allowed: bool) -> None:
    if allowed:
        check_base_url(url)
    else:
        with pytest.raises(UsageError, match="https"):
            check_base_url(url)


@pytest.mark.parametrize(
    ("settings", "code"),
    [
        pytest.param(Wecom(proxy="https://proxy:1"), "PROXY", id="an https proxy"),
        pytest.param(Wecom(proxy="http://u:p@proxy:1"), "PROXY", id="credentials in the address"),
        pytest.param(Wecom(proxy="http://proxy:1", proxy_credentials="env:LIUHEN_TEST_NOT_SET"), "SECRET_MISSING", id="credentials that are not there"),
        pytest.param(Wecom(ca_file="none.pem"), "CA_FILE", id="no CA file"),
    ],
)
def test_settings_that_cannot_work_are_refused_at_once(tmp_path: Path, settings: Wecom, code: str) -> None:
    with pytest.raises(UsageError) as refused:
        http_client(settings, tmp_path)
    assert refused.value.code == code


@pytest.mark.parametrize("proxy", ["http://proxy.example:3128", "socks5://proxy.example:1080"])
def test_both_documented_kinds_of_proxy_are_usable(tmp_path: Path, proxy: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LIUHEN_TEST_PROXY", "user:pass:word")
    http_client(Wecom(proxy=proxy, proxy_credentials="env:LIUHEN_TEST_PROXY"), tmp_path).close()


def test_never_more_calls_than_documented_in_any_sixty_seconds() -> None:
    now, slept = [0.0], []

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        now[0] += seconds

    pace = Pace(monotonic=lambda: now[0], sleep=sleep)
    at = []
    for _ in range(5200):
        pace.take("msgaudit/check_single_agree")
        at.append(now[0])
        now[0] += 0.001
    assert all(later - first >= 60.0 for first, later in zip(at, at[2500:], strict=False))
    assert len(slept) > 0 and now[0] < 125


def test_the_errcodes_that_refuse_are_the_same_for_calls_and_for_saved_answers() -> None:
    assert errcodes.refusals() == ingest.REFUSALS


def test_every_errcode_has_a_known_action_and_words_in_both_languages() -> None:
    codes = [c.code for c in errcodes.errcodes()]
    assert len(codes) == len(set(codes)) == 24 and codes[-1] == "other"
    assert all(c.zh and c.en and c.do_zh and c.do_en for c in errcodes.errcodes())
    assert {c.error for c in errcodes.errcodes() if c.action == "ok"} == {""}
