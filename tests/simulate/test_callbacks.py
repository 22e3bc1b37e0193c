"""Events go out in the official scheme: what a receiver opens is what was sent, and a lost one is sent again.

The receiver here opens with pipeline/wecom/callback_codec.py, which shares no line with the sending side.
"""

from __future__ import annotations

import json
import os
import threading
from base64 import b64decode
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES256
from cryptography.hazmat.primitives.ciphers.modes import CBC

from pipeline.errors import UsageError
from pipeline.simulate import events
from pipeline.simulate.callbacks import NOTICE_EVERY_S, Target, checked_url, sealed, signature
from pipeline.wecom import callback_codec
from tests.simulate.doubles import NOW_MS, Asker, double, served

NOW_S = NOW_MS // 1000


class Receiver(HTTPServer):
    """Takes events; `statuses` are what it answers with, the last for ever."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.statuses = [200]
        self.taken: list[tuple[dict[str, str], bytes]] = []
        self.keys: callback_codec.Keys | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/callback/ww"

    def opened(self) -> list[callback_codec.Element]:
        """What the events said, opened and read by the other side's code."""
        assert self.keys is not None
        return [
            callback_codec.read_xml(callback_codec.open_event(query, body, keys=self.keys, now_s=NOW_S, max_age_s=600)) for query, body in self.taken
        ]


class _Handler(BaseHTTPRequestHandler):
    server: Receiver

    def _query(self) -> dict[str, str]:
        return dict(parse_qsl(urlsplit(self.path).query))

    def do_GET(self) -> None:
        assert self.server.keys is not None
        self._answer(callback_codec.check_echo(self._query(), keys=self.server.keys, now_s=NOW_S, max_age_s=600))

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.taken.append((self._query(), body))
        self._answer(b"", self.server.statuses.pop(0) if len(self.server.statuses) > 1 else self.server.statuses[0])

    def _answer(self, body: bytes, status: int = 200) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        pass


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    made = Receiver()
    thread = threading.Thread(target=made.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield made
    made.shutdown()
    thread.join()
    made.server_close()


@pytest.fixture
def told(receiver: Receiver, tmp_path: Path) -> Iterator[Asker]:
    """A double that sends its events to the receiver."""
    made = double(tmp_path, callback_url=receiver.url, retry_pause_s=0.01, echo_s=60.0, notice_every_s=600.0)
    receiver.keys = callback_codec.keys(made.callback.token, made.callback.encoding_aes_key, made.corp.corp_id)
    with served(made) as asker:
        yield asker


def wait(asker: Asker) -> None:
    assert asker.admin("callbacks", {"wait_s": 60})["idle"] is True


def test_the_url_is_checked_with_an_echo(told: Asker) -> None:
    assert told.admin("callbacks", {"verify": True})["verified"] is True


def test_new_messages_ring_once_in_fifteen_seconds(told: Asker, receiver: Receiver) -> None:
    assert NOTICE_EVERY_S == 15  # here longer, so that no pause of a busy machine is as long
    told.admin("grow", {"messages": 3})
    told.admin("grow", {"messages": 3})
    wait(told)
    assert [e.fields for e in receiver.opened()] == [
        {"ToUserName": "wwdemo000000000001", "FromUserName": "sys", "CreateTime": str(NOW_S), "MsgType": "event", "AgentID": "2000004", "Event": "msgaudit_notify"}
    ]


def test_who_agrees_is_told_and_who_refuses_is_not(told: Asker, receiver: Receiver) -> None:
    customer = told.get("externalcontact/list", userid="ZhaoShijia")["external_userid"][0]
    told.admin("consent", {"userid": "zhaoshijia", "external_userid": customer, "status": "Agree"})
    told.admin("consent", {"userid": "ZhaoShijia", "external_userid": customer, "status": "Disagree"})
    wait(told)
    found = [e.fields for e in receiver.opened() if e.fields["Event"] != "msgaudit_notify"]
    assert [(f["Event"], f["ChangeType"], f["UserID"], f["ExternalUserID"]) for f in found] == [
        ("change_external_contact", "msg_audit_approved", "ZhaoShijia", customer)
    ]


def test_changes_of_people_contacts_and_rooms_are_told(told: Asker, receiver: Receiver) -> None:
    customer = told.get("externalcontact/list", userid="SunShijia")["external_userid"][0]
    room = told.post("externalcontact/groupchat/list", {"limit": 1})["group_chat_list"][0]["chat_id"]
    told.admin("follows", {"userid": "SunShijia", "external_userid": customer, "changes": {"remark": "新备注"}})
    told.admin("follows", {"userid": "SunShijia", "external_userid": customer, "ended_by": "customer"})
    told.admin("rooms", {"roomid": room, "add": ["ZhaoShiyi", "QianShiyi"]})
    told.admin("people", {"userid": "SunShijia", "left": True})
    wait(told)
    found = receiver.opened()
    assert [(e.fields["Event"], e.fields["ChangeType"]) for e in found] == [
        ("change_external_contact", "edit_external_contact"), ("change_external_contact", "del_follow_user"), ("change_external_chat", "update"),
        ("change_contact", "delete_user"),
    ]  # fmt: skip
    assert found[2].fields["UpdateDetail"] == "add_member" and found[2].lists["MemChangeList"] == ("ZhaoShiyi", "QianShiyi")


@pytest.mark.parametrize(
    ("statuses", "tries", "status"),
    [
        pytest.param([200], 1, 200, id="taken at once"),
        pytest.param([500, 503, 200], 3, 200, id="taken at the third time"),
        pytest.param([500], 4, 500, id="given up after three more"),
    ],
)
def test_an_event_that_is_not_taken_is_sent_again(told: Asker, receiver: Receiver, statuses: list[int], tries: int, status: int) -> None:
    receiver.statuses = statuses
    told.admin("callbacks", {"event": "custom", "xml": "<xml><Event><![CDATA[x]]></Event></xml>"})
    wait(told)
    assert told.admin("state", method="GET")["callbacks"] == [{"event": "custom", "tries": tries, "status": status}]
    assert len(receiver.taken) == tries == len({body for _, body in receiver.taken}) * tries, "each time the very same bytes"


def test_an_old_event_is_under_an_old_signature(told: Asker, receiver: Receiver) -> None:
    told.admin("callbacks", {"xml": "<xml></xml>", "at_s": NOW_S - 3600})
    wait(told)
    with pytest.raises(callback_codec.Refused) as refused:
        receiver.opened()
    assert refused.value.reason == "stale"


@pytest.mark.parametrize("url", ["http://example.com/x", "https://127.0.0.1/x", "http://127.0.0.1.evil.example/x", "ftp://127.0.0.1/x"])
def test_events_go_nowhere_else(url: str) -> None:
    with pytest.raises(UsageError) as refused:
        checked_url(url)
    assert refused.value.code == "NOT_LOOPBACK"
    assert checked_url("http://127.0.0.1:8470/callback") and checked_url("") == ""


def test_an_event_is_written_as_the_platform_writes_it() -> None:
    assert events.approved("toUser", "zhangsan", "woA", 1403610513).decode() == (
        "<xml><ToUserName><![CDATA[toUser]]></ToUserName><FromUserName><![CDATA[sys]]></FromUserName><CreateTime>1403610513</CreateTime>"
        "<MsgType><![CDATA[event]]></MsgType><Event><![CDATA[change_external_contact]]></Event><ChangeType><![CDATA[msg_audit_approved]]></ChangeType>"
        "<UserID><![CDATA[zhangsan]]></UserID><ExternalUserID><![CDATA[woA]]></ExternalUserID></xml>"
    )


@pytest.mark.fixtures
def test_sealing_gives_the_official_sample_again() -> None:
    """The official sample's own text, key and 16 leading bytes give its ciphertext and signature, byte for byte."""
    folder = os.environ.get("LIUHEN_FIXTURES")
    if not folder:
        pytest.skip("LIUHEN_FIXTURES is not set")
    lines = (Path(folder) / "callbacks/vectors.jsonl").read_text("utf-8").splitlines()
    sample = next(v for v in map(json.loads, lines) if v["id"] == "official-post-text")
    text = sample["body"].split("<Encrypt><![CDATA[")[1].split("]]>")[0]
    key = b64decode(sample["encoding_aes_key"] + "=")
    decryptor = Cipher(AES256(key), CBC(key[:16])).decryptor()
    lead = decryptor.update(b64decode(text))[:16]
    target = Target(url="", token=sample["token"], encoding_aes_key=sample["encoding_aes_key"], corp_id=sample["receiveid"])
    assert sealed(target, sample["expect"]["plaintext"].encode(), lead) == text
    query = sample["query"]
    assert signature(sample["token"], query["timestamp"], query["nonce"], text) == query["msg_signature"]
