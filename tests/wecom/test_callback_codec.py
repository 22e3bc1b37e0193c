"""Callbacks are read by the official scheme and by nothing else; the clock is the test's."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

import pytest

from pipeline.errors import UsageError
from pipeline.wecom import callback_codec, callback_events
from pipeline.wecom.callback_codec import Refused, check_echo, open_event, read_xml

CORP = "wx5823bf96d3bd56c7"
# Token and key of WeCom's public sample code.
KEYS = callback_codec.keys("QDG6eK", "jWmYm7qr5nMoAUwZRjGtBxmz3KA1tkAj3ykkR6q2B2C", CORP)
ECHO = {
    "msg_signature": "5c45ff5e21c57e6ad56bac8758b79b1d9ac89fd3", "timestamp": "1409659589", "nonce": "263014780",
    "echostr": "P9nAzCzyDtyTWESHep1vC5X9xho/qYX3Zpb4yKa9SKld1DsH3Iyt3tP3zNdtp+4RPcs8TgAE7OaBO+FZXvnaqQ==",
}  # fmt: skip
NOW_S = 1409659589.0


def echo(changed: dict[str, str] | None = None, *, now_s: float = NOW_S) -> bytes:
    return check_echo({**ECHO, **(changed or {})}, keys=KEYS, now_s=now_s, max_age_s=600)


def test_the_official_sample_of_the_url_check_opens() -> None:
    assert echo() == b"1616140317555161061"


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        pytest.param({"nonce": "263014781"}, "signature", id="another nonce"), pytest.param({"timestamp": "1409659590"}, "signature", id="another time"),
        pytest.param({"msg_signature": ECHO["msg_signature"].upper()}, "signature", id="upper case"), pytest.param({"msg_signature": ""}, "parameter", id="no signature"),
        pytest.param({"echostr": ""}, "parameter", id="nothing to open"), pytest.param({"msg_signature": "é中\0"}, "signature", id="no hex at all"),
    ],
)  # fmt: skip
def test_what_is_not_signed_is_refused(changed: dict[str, str], reason: str) -> None:
    with pytest.raises(Refused) as refused:
        echo(changed)
    assert refused.value.reason == reason


@pytest.mark.parametrize("off", [601, -601, 86_400 * 365])
def test_a_recorded_callback_cannot_be_played_later(off: int) -> None:
    assert echo(now_s=NOW_S + 600) and echo(now_s=NOW_S - 600)
    with pytest.raises(Refused, match="stale"):
        echo(now_s=NOW_S + off)


@pytest.mark.parametrize(
    ("token", "key"),
    [("QDG6eK", "short"), ("QDG6eK", "j" * 44), ("QDG6eK", "?" * 43), ("", "jWmYm7qr5nMoAUwZRjGtBxmz3KA1tkAj3ykkR6q2B2C"), ("QDG6eK", "中" * 43)],
)
def test_a_key_that_is_none_is_told_when_the_server_starts(token: str, key: str) -> None:
    with pytest.raises(UsageError, match="43 characters") as refused:
        callback_codec.keys(token, key, CORP)
    assert "short" not in str(refused.value)


def test_what_is_sealed_opens_again_at_every_length() -> None:
    for size in (0, 1, 11, 12, 13, 31, 32, 33, 5000):
        sealed = callback_codec.seal(b"x" * size, keys=KEYS, filler=bytes(16))
        assert callback_codec.unseal(sealed, keys=KEYS) == b"x" * size
    with pytest.raises(Refused, match="receiveid"):
        callback_codec.unseal(sealed, keys=callback_codec.keys("QDG6eK", "jWmYm7qr5nMoAUwZRjGtBxmz3KA1tkAj3ykkR6q2B2C", "ww1"))


@pytest.mark.parametrize(
    "text",
    [
        pytest.param('<!DOCTYPE x [<!ENTITY a "aa">]><xml><Event>&a;</Event></xml>', id="an entity"),
        pytest.param('<!DOCTYPE x SYSTEM "http://127.0.0.1/x"><xml/>', id="an outer DTD"), pytest.param("<!DOCTYPE xml><xml/>", id="a DOCTYPE at all"),
        pytest.param("<xml>&b;</xml>", id="an entity nobody declared"), pytest.param("<xml><Event></xml>", id="not well formed"), pytest.param("", id="nothing"),
        pytest.param("<a>" * 9 + "</a>" * 9, id="nine deep"), pytest.param('<?xml version="1.0" encoding="no-such"?><xml/>', id="an encoding nobody knows"),
        pytest.param("<xml/><xml/>", id="two roots"),
    ],
)  # fmt: skip
def test_xml_that_could_be_a_trap_is_refused(text: str) -> None:
    with pytest.raises(Refused, match="xml"):
        read_xml(text.encode())


def test_the_five_entities_of_xml_itself_are_text() -> None:
    found = read_xml(b"<xml><Name>A&amp;B &#24352;</Name><MemChangeList><Item>Jack</Item><Item>Rose</Item></MemChangeList></xml>")
    assert found.fields["Name"] == "A&B 张" and found.lists == {"MemChangeList": ("Jack", "Rose")}


APPROVED = """<xml><ToUserName><![CDATA[toUser]]></ToUserName><FromUserName><![CDATA[sys]]></FromUserName><CreateTime>1403610513</CreateTime>
<MsgType><![CDATA[event]]></MsgType><Event><![CDATA[change_external_contact]]></Event><ChangeType><![CDATA[msg_audit_approved]]></ChangeType>
<UserID><![CDATA[zhangsan]]></UserID><ExternalUserID><![CDATA[woAJ2G]]></ExternalUserID><WelcomeCode><![CDATA[{code}]]></WelcomeCode></xml>"""


def test_an_agreement_says_who_and_when_and_is_one_event_however_it_is_delivered() -> None:
    first, second = (callback_events.read(APPROVED.replace("{code}", code).encode(), received_ms=received) for code, received in (("W1", 5), ("W2", 9)))
    assert (first.meaning, first.userid, first.external_userid, first.at_ms, first.received_ms) == ("agreed", "zhangsan", "woAJ2G", 1403610513000, 5)
    assert first.event_id == second.event_id
    later = callback_events.read(APPROVED.replace("1403610513", "1403610514").encode(), received_ms=5)
    assert later.event_id != first.event_id


# --- the public vectors ---


def vectors(name: str) -> list[Any]:
    folder = os.environ.get("LIUHEN_FIXTURES")
    return [json.loads(line) for line in (Path(folder) / "callbacks" / name).read_text("utf-8").splitlines()] if folder else []


@pytest.mark.fixtures
@pytest.mark.parametrize("vector", [pytest.param(v, id=v["id"]) for v in vectors("vectors.jsonl")])
def test_every_public_vector_ends_as_it_says(vector: Any) -> None:
    expect, query = vector["expect"], vector["query"]
    if vector["kind"] == "signature":
        assert callback_codec.signature(vector["token"], query["timestamp"], query["nonce"], vector["body"]) == query["msg_signature"]
        return
    keys = callback_codec.keys(vector["token"], vector["encoding_aes_key"], vector["receiveid"])
    if vector["kind"] == "encrypt":
        sealed = callback_codec.seal(vector["body"].encode(), keys=keys, filler=query["random"].encode())
        assert sealed == expect["encrypt"]
        assert callback_codec.signature(vector["token"], query["timestamp"], query["nonce"], sealed) == expect["msg_signature"]
        return
    body = b"<xml><Encrypt>" + b"A" * 5_000_000 if vector["body"] == "GENERATE:5MB" else (vector.get("body") or "").encode()
    began = time.process_time()
    try:
        now_s = float(query["timestamp"])
        plain = check_echo(query, keys=keys, now_s=now_s, max_age_s=600) if vector["method"] == "GET" else open_event(query, body, keys=keys, now_s=now_s, max_age_s=600)
        if expect["ok"] is not True or expect.get("fields"):
            plain_fields = read_xml(plain).fields
    except Refused as refused:
        assert expect["ok"] == "either" or (expect["ok"] is False and refused.reason in expect["reason"].split("|")), refused.reason
        assert time.process_time() - began < 1
        return
    assert expect["ok"] in (True, "either")
    if "plaintext" in expect:
        assert plain.decode() == expect["plaintext"]
    for name, value in expect.get("fields", {}).items():
        assert plain_fields[name] == value


MEANINGS = {
    "ChangeContactEvent.DeleteUser.xml": "member", "ChangeContactEvent.UpdateUser.xml": "member", "ChangeExternalContactEvent.MessageAuditApproved.xml": "agreed",
    "wxjava-msg_audit_approved": "agreed", "wxjava-msgaudit_notify": "new_messages", "ChangeExternalContactEvent.TransferFail.xml": "contact",
    "ChangeExternalChatEvent.Update.xml": "room", "TextMessageEvent.xml": "ignored", "KfMessageEvent.xml": "ignored",
}  # fmt: skip


@pytest.mark.fixtures
@pytest.mark.parametrize("sample", [pytest.param(s, id=s["id"]) for s in vectors("event_plaintexts.jsonl")])
def test_every_public_event_is_read_and_those_that_concern_us_are_known(sample: Any) -> None:
    fields = read_xml(sample["xml"].encode()).fields
    assert {name: fields[name] for name in sample["fields"]} == sample["fields"]
    event = callback_events.read(sample["xml"].encode(), received_ms=0)
    if sample["id"] in MEANINGS:
        assert event.meaning == MEANINGS[sample["id"]]
    if sample["relevance"] == "required":
        assert event.meaning in ("agreed", "new_messages")
