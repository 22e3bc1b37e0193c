"""The server over real HTTP: answers fast, keeps before it says yes, takes each event once, and tells strangers nothing."""

from __future__ import annotations

import http.client
import os
import select
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlencode

import pytest

from pipeline import clock, durable, lakerows
from pipeline.errors import StorageError, UsageError
from pipeline.home import Home
from pipeline.source.doorbell import Doorbell
from pipeline.wecom import callback_codec, callback_server, callback_store
from pipeline.wecom.callback_server import CallbackServer
from tests import firm
from tests.wecom.test_callback_codec import APPROVED

TOKEN, AES_KEY = "QDG6eK", "jWmYm7qr5nMoAUwZRjGtBxmz3KA1tkAj3ykkR6q2B2C"
KEYS = callback_codec.keys(TOKEN, AES_KEY, firm.CORP)
NOTIFY = """<xml><ToUserName><![CDATA[ww1]]></ToUserName><FromUserName><![CDATA[sys]]></FromUserName><CreateTime>{at}</CreateTime>
<MsgType><![CDATA[event]]></MsgType><AgentID>2000004</AgentID><Event><![CDATA[msgaudit_notify]]></Event></xml>"""


class Serving:
    """A server that runs, and how WeCom speaks to it."""

    def __init__(self, home: Home, server: CallbackServer, said: list[tuple[str, str]]) -> None:
        self.home, self.server, self.said = home, server, said

    def ask(self, method: str, query: dict[str, str], body: bytes | None = None, *, path: str = "/callback/ww1") -> tuple[int, bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.server.server_address[1], timeout=60)
        try:
            connection.request(method, f"{path}?{urlencode(query)}", body)
            response = connection.getresponse()
            return response.status, response.read()
        finally:
            connection.close()

    def send(self, message: str, *, nonce: str = "n1", off_s: int = 0, signature: str | None = None) -> tuple[int, bytes]:
        """Send an event as WeCom does, sealed and signed with our own clock."""
        sealed = callback_codec.seal(message.encode(), keys=KEYS, filler=os.urandom(16))
        at = str(int(time.time()) + off_s)
        query = {"msg_signature": signature or callback_codec.signature(TOKEN, at, nonce, sealed), "timestamp": at, "nonce": nonce}
        return self.ask("POST", query, f"<xml><ToUserName>ww1</ToUserName><Encrypt><![CDATA[{sealed}]]></Encrypt></xml>".encode())


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Home:
    return firm.home(tmp_path_factory.mktemp("callbacks"), keys=(), settings={
        "corp.ww1.callback_token": "env:LIUHEN_TEST_TOKEN", "corp.ww1.callback_aes_key": "env:LIUHEN_TEST_AES",
    })  # fmt: skip


@pytest.fixture
def serving(made: Home, monkeypatch: pytest.MonkeyPatch) -> Iterator[Serving]:
    monkeypatch.setenv("LIUHEN_TEST_TOKEN", TOKEN)
    monkeypatch.setenv("LIUHEN_TEST_AES", AES_KEY)
    said: list[tuple[str, str]] = []
    server = callback_server.serve(made, port=0, log=lambda corp, what: said.append((corp, what)))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    yield Serving(made, server, said)
    server.shutdown()
    server.server_close()
    thread.join()


def test_the_url_check_is_answered_with_the_plaintext(serving: Serving) -> None:
    sealed, at = callback_codec.seal(b"1616140317555161061", keys=KEYS, filler=os.urandom(16)), str(int(time.time()))
    query = {"msg_signature": callback_codec.signature(TOKEN, at, "n", sealed), "timestamp": at, "nonce": "n", "echostr": sealed}
    took = []
    for _ in range(5):  # the fastest tells what the server needs: the machine may have other work
        began = time.perf_counter()
        assert serving.ask("GET", query) == (200, b"1616140317555161061")
        took.append(time.perf_counter() - began)
    assert min(took) < 1


def test_a_bare_plus_in_the_query_stays_a_plus(serving: Serving) -> None:
    sealed = next(s for n in range(200) if "+" in (s := callback_codec.seal(f"echo{n}".encode(), keys=KEYS, filler=bytes([n]) * 16)))
    at = str(int(time.time()))
    signed = callback_codec.signature(TOKEN, at, "n", sealed)
    connection = http.client.HTTPConnection("127.0.0.1", serving.server.server_address[1], timeout=60)
    connection.request("GET", f"/callback/ww1?msg_signature={signed}&timestamp={at}&nonce=n&echostr={sealed}")
    assert connection.getresponse().status == 200
    connection.close()


def test_new_messages_ring_the_bell_once_however_often_they_are_told(serving: Serving) -> None:
    bell = Doorbell(serving.home.path, "ww1")
    message = NOTIFY.format(at=int(time.time()))
    assert [serving.send(message, nonce=f"n{n}")[0] for n in range(3)] == [200, 200, 200]
    assert bell.rang() and not bell.rang()
    assert [what for _, what in serving.said] == ["new_messages", "repeated", "repeated"]


def test_an_agreement_is_kept_sealed_before_the_yes_and_reaches_the_register_once(serving: Serving) -> None:
    at = clock.now_ms() // 1000 - 5
    message = APPROVED.replace("1403610513", str(at)).replace("{code}", "W")
    assert serving.send(message)[0] == 200 and serving.send(message, nonce="n2")[0] == 200
    (path,) = callback_store.folder(serving.home, "ww1").glob("*.event")
    assert b"woAJ2G" not in path.read_bytes() and b"zhangsan" not in path.read_bytes() and "woAJ2G" not in path.name
    (event,) = callback_store.drain(serving.home, "ww1")
    assert (event.source, event.userid, event.external_userid, event.status) == ("callback", "zhangsan", "woAJ2G", "Agree")
    assert (event.changed_at_ms, event.precision, event.flag) == (at * 1000, "s", None)
    assert serving.send(message, nonce="n3")[0] == 200
    assert callback_store.drain(serving.home, "ww1") == () and list(callback_store.folder(serving.home, "ww1").glob("*.event")) == []
    lake = serving.home.lake("ww1")
    assert [e.event_id for e in lakerows.events_of(lake, lake.snapshot()) if e.source == "callback"] == [event.event_id]


def test_an_agreement_whose_files_survived_a_crash_is_recorded_once(serving: Serving, monkeypatch: pytest.MonkeyPatch) -> None:
    message = APPROVED.replace("woAJ2G", "woCRASH").replace("{code}", "W")
    serving.send(message)
    with monkeypatch.context() as killed:
        killed.setattr(callback_store, "settle", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            callback_store.drain(serving.home, "ww1")
    assert callback_store.drain(serving.home, "ww1") == ()
    lake = serving.home.lake("ww1")
    assert sum(e.external_userid == "woCRASH" for e in lakerows.events_of(lake, lake.snapshot())) == 1
    assert callback_store.waiting(serving.home, "ww1") == []


def test_an_event_that_cannot_be_kept_is_not_acknowledged(serving: Serving, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> bool:
        raise StorageError("STORAGE_FULL", "the disk is full")

    with monkeypatch.context() as disk:
        disk.setattr(durable, "write_once", full)
        assert serving.send(APPROVED.replace("woAJ2G", "woFULL"))[0] == 503
    assert serving.send(APPROVED.replace("woAJ2G", "woFULL"), nonce="again")[0] == 200


@pytest.mark.parametrize(
    ("given", "status"),
    [
        pytest.param({"signature": "0" * 40}, 403, id="wrong signature"), pytest.param({"off_s": -3600}, 403, id="an hour old"),
        pytest.param({"off_s": 3600}, 403, id="an hour ahead"),
    ],
)  # fmt: skip
def test_what_is_refused_is_refused_without_a_word(serving: Serving, given: dict[str, object], status: int) -> None:
    assert serving.send(NOTIFY.format(at=1), **given) == (status, b"")  # type: ignore[arg-type]
    assert serving.said[-1][0] == "-"


def test_strangers_and_nonsense_get_a_status_and_nothing_else(serving: Serving) -> None:
    signed = {"msg_signature": "x", "timestamp": "1", "nonce": "n"}
    assert serving.ask("POST", signed, b"<xml><Encrypt>AAAA</Encrypt></xml>", path="/callback/ww9") == (403, b"")
    assert serving.ask("GET", {}, path="/") == (403, b"")
    assert serving.ask("POST", {}, b"not xml") == (400, b"")
    connection = http.client.HTTPConnection("127.0.0.1", serving.server.server_address[1], timeout=60)
    connection.putrequest("POST", "/callback/ww1")
    connection.putheader("Content-Length", "5000000")
    connection.endheaders()  # refused by its length: the body is not waited for
    assert connection.getresponse().status == 413
    connection.close()
    assert serving.ask("GET", {}) == (400, b"")


def test_a_sender_that_never_ends_does_not_stop_the_bell(serving: Serving, monkeypatch: pytest.MonkeyPatch) -> None:
    for at, name in ((callback_server, "IDLE_S"), (callback_server, "LONGEST_S"), (callback_server._Handler, "timeout")):
        monkeypatch.setattr(at, name, 600.0)  # none is cut off meanwhile
    slow = [socket.create_connection(("127.0.0.1", serving.server.server_address[1])) for _ in range(20)]
    for one in slow:
        one.sendall(b"POST /callback/ww1?x=1 HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n<")
    assert serving.send(NOTIFY.format(at=77))[0] == 200
    assert select.select(slow, [], [], 0)[0] == [], "the slow ones still wait: none was answered or cut off first"
    for one in slow:
        one.close()


def test_a_sender_that_trickles_its_headers_is_cut_off(serving: Serving, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(callback_server, "LONGEST_S", 0.3)
    with socket.create_connection(("127.0.0.1", serving.server.server_address[1]), timeout=60) as slow:
        began = time.perf_counter()
        slow.sendall(b"POST /callback/ww1 HTTP/1.1\r\nX: ")
        with pytest.raises(OSError):
            for _ in range(3_000):  # a minute at least
                slow.sendall(b"x")
                time.sleep(0.02)
        assert time.perf_counter() - began > 0.2


@pytest.mark.slow
def test_more_connections_than_are_taken_are_closed_and_later_ones_served(serving: Serving) -> None:
    many = [socket.create_connection(("127.0.0.1", serving.server.server_address[1]), timeout=60) for _ in range(callback_server.CONNECTIONS + 10)]
    time.sleep(0.3)
    for one in many:
        one.close()
    deadline = time.perf_counter() + 60
    while time.perf_counter() < deadline:
        try:
            assert serving.send(NOTIFY.format(at=79), nonce=str(time.time()))[0] == 200
            return
        except (OSError, http.client.HTTPException):
            time.sleep(0.05)
    raise AssertionError("not served any more")


def test_seen_marks_go_when_a_replay_is_refused_by_its_time_anyhow(serving: Serving) -> None:
    serving.send(NOTIFY.format(at=78))
    at = callback_store.folder(serving.home, "ww1")
    old = next(at.glob("*.seen"))
    os.utime(old, (time.time() - 3 * 86_400,) * 2)
    others = len(list(at.glob("*.seen"))) - 1
    callback_store.settle(serving.home, "ww1", [])
    assert not old.exists() and len(list(at.glob("*.seen"))) == others


def test_a_server_without_keys_does_not_start(tmp_path: Path, made: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LIUHEN_TEST_TOKEN", TOKEN)
    monkeypatch.setenv("LIUHEN_TEST_AES", "wrong")
    with pytest.raises(UsageError) as refused:
        callback_server.serve(made, port=0, log=lambda *_: None)
    assert refused.value.code == "CALLBACK_KEY"
