"""Rounds of alerts over a real archive and a real HTTP server on this machine."""

from __future__ import annotations

import http.server
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from pipeline import clock, stores
from pipeline.alerts import channels, gather, step
from pipeline.alerts.queue import Queue
from pipeline.home import Home
from tests import firm

PROMISE = "这款产品保本保息的"


class Receiver:
    """What a server on this machine was sent. status, answer: what it says to the next requests."""

    def __init__(self) -> None:
        self.got: list[tuple[str, dict[str, str], Any]] = []
        self.status = 200
        self.answers: dict[str, Any] = {"/cgi-bin/gettoken": {"errcode": 0, "access_token": "T", "expires_in": 7200}}
        self.address = ""

    def bodies(self, path: str = "/hook") -> list[Any]:
        return [body for at, _, body in self.got if at.split("?")[0] == path]


@contextmanager
def receiver() -> Iterator[Receiver]:
    seen = Receiver()

    class Handler(http.server.BaseHTTPRequestHandler):
        def answer(self) -> None:
            data = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            seen.got.append((self.path, dict(self.headers), json.loads(data) if data else None))
            body = json.dumps(seen.answers.get(self.path.split("?")[0], {"errcode": 0})).encode()
            self.send_response(seen.status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_POST = answer

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    seen.address = f"http://127.0.0.1:{server.server_port}"
    try:
        yield seen
    finally:
        server.shutdown()
        server.server_close()


@pytest.fixture
def hook() -> Iterator[Receiver]:
    with receiver() as seen:
        yield seen


def firm_home(folder: Path, *messages: tuple[int, str], settings: dict[str, str] | None = None) -> Home:
    """A home in which these (seq, text) were said by an employee just now."""
    home = firm.home(folder, settings={"alerts.webhook": "env:LIUHEN_TEST_HOOK", **(settings or {})})
    say(home, folder, *messages)
    return home


def say(home: Home, folder: Path, *messages: tuple[int, str]) -> None:
    now = clock.now_ms() - 60_000
    said = {seq: firm.message(seq, text, at_ms=now + seq) for seq, text in messages}
    firm.run(home, firm.page(folder, f"{min(said)}.json", said))


@pytest.fixture
def set_hook(hook: Receiver, monkeypatch: pytest.MonkeyPatch) -> Receiver:
    monkeypatch.setenv("LIUHEN_TEST_HOOK", f"{hook.address}/hook")
    return hook


def test_a_serious_finding_is_told_once_and_without_its_words(tmp_path: Path, set_hook: Receiver) -> None:
    home = firm_home(tmp_path, (1, PROMISE), (2, "您好"))
    assert step.run(home, firm.CORP)[:3] == (1, 1, 0)
    assert step.run(home, firm.CORP)[:3] == (0, 0, 0)
    (body,) = set_hook.bodies()
    assert [a["msgid"] for a in body["alerts"]] == ["m1"]
    assert "保本" not in json.dumps(body, ensure_ascii=False).replace("承诺收益、保本保息", "")
    (_, headers, _), *_ = set_hook.got
    assert headers["Idempotency-Key"] == body["id"]


@pytest.mark.slow
def test_what_comes_later_is_told_by_itself(tmp_path: Path, set_hook: Receiver) -> None:
    home = firm_home(tmp_path, (1, PROMISE))
    step.run(home, firm.CORP)
    say(home, tmp_path, (2, PROMISE))
    step.run(home, firm.CORP)
    assert [[a["msgid"] for a in b["alerts"]] for b in set_hook.bodies()] == [["m1"], ["m2"]]


@pytest.mark.slow
def test_the_words_found_are_told_when_the_configuration_says_so(tmp_path: Path, set_hook: Receiver) -> None:
    home = firm_home(tmp_path, (1, PROMISE), settings={"alerts.include_text": "true"})
    step.run(home, firm.CORP)
    assert [a["words"] for a in set_hook.bodies()[0]["alerts"]] == ["保本保息"]


@pytest.mark.slow
def test_old_messages_raise_no_alert(tmp_path: Path, set_hook: Receiver) -> None:
    home = firm.home(tmp_path, settings={"alerts.webhook": "env:LIUHEN_TEST_HOOK"})
    eight_days = clock.now_ms() - 8 * clock.DAY_MS
    firm.run(home, firm.page(tmp_path, "old.json", {1: firm.message(1, PROMISE, at_ms=eight_days)}))
    assert step.run(home, firm.CORP)[:3] == (0, 0, 0)
    assert set_hook.got == []


def test_a_receiver_that_refuses_gets_the_same_batch_again(tmp_path: Path, set_hook: Receiver) -> None:
    home = firm_home(tmp_path, (1, PROMISE))
    set_hook.status = 503
    assert step.run(home, firm.CORP) == (1, 0, 1, ("ALERT_WEBHOOK",))
    (waiting,) = Queue(home, firm.CORP).waiting()
    assert (waiting.tries, waiting.last) == (1, "ALERT_WEBHOOK")
    set_hook.status = 200
    assert step.run(home, firm.CORP) == (0, 1, 0, ())
    first, second = set_hook.bodies()
    assert first == second


@pytest.mark.parametrize(
    ("status", "answer"),
    [
        pytest.param(302, {}, id="a redirect"),
        pytest.param(404, {}, id="not there"),
        pytest.param(200, {"errcode": 93000}, id="a robot that says no"),
    ],
)
def test_an_answer_that_does_not_say_yes_is_a_no(tmp_path: Path, set_hook: Receiver, status: int, answer: Any) -> None:
    home = firm.home(tmp_path, keys=(), settings={"alerts.webhook": "env:LIUHEN_TEST_HOOK"})
    set_hook.status, set_hook.answers["/hook"] = status, answer
    (error,) = step.probe(home, firm.CORP).values()
    assert error is not None and error.code == "ALERT_WEBHOOK"


class Killed(BaseException):
    """The process ends here."""


@pytest.mark.slow
def test_a_crash_after_sending_sends_the_same_id_again_and_loses_nothing(tmp_path: Path, set_hook: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    home = firm_home(tmp_path, (1, PROMISE))
    real = Queue.put

    def killed_when_taken(self: Queue, batch: Any) -> None:
        if batch.done:
            raise Killed
        real(self, batch)

    with monkeypatch.context() as patch:
        patch.setattr(Queue, "put", killed_when_taken)
        with pytest.raises(Killed):
            step.run(home, firm.CORP)
    assert step.run(home, firm.CORP)[:3] == (0, 1, 0)
    assert len({b["id"] for b in set_hook.bodies()}) == 1 and len(set_hook.bodies()) == 2


def test_a_crash_between_batch_and_note_neither_loses_nor_repeats(tmp_path: Path, set_hook: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    home = firm_home(tmp_path, (1, PROMISE))

    def killed(self: Queue, told: Any) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(Queue, "note", killed)
        with pytest.raises(Killed):
            step.run(home, firm.CORP)
    assert set_hook.got == []
    assert step.run(home, firm.CORP)[:3] == (0, 1, 0)
    assert [len(b["alerts"]) for b in set_hook.bodies()] == [1]


def test_what_waits_lies_encrypted_and_goes_with_the_record(tmp_path: Path, set_hook: Receiver) -> None:
    home = firm_home(tmp_path, (1, PROMISE), (2, PROMISE), settings={"alerts.include_text": "true"})
    set_hook.status = 500
    step.run(home, firm.CORP)
    files = list((home.path / "alerts" / firm.CORP).iterdir())
    assert len(files) == 2
    assert not any("保本".encode() in f.read_bytes() or b"zhangsan" in f.read_bytes() for f in files)
    assert stores.REGISTRY["alerts"](home, firm.CORP, [("sealed", 1)]) == 1
    assert [a.msgid for b in Queue(home, firm.CORP).waiting() for a in b.alerts] == ["m2"]
    assert stores.REGISTRY["alerts"](home, firm.CORP, [("sealed", 2)]) == 1
    assert Queue(home, firm.CORP).waiting() == []


@pytest.mark.slow
@pytest.mark.parametrize(("erased", "left"), [([1], ["m2"]), ([1, 2], [])], ids=["one of two", "all"])
@pytest.mark.parametrize("is_taken", [True, False], ids=["taken", "refused"])
def test_what_is_erased_while_its_batch_is_sent_is_not_written_again(tmp_path: Path, set_hook: Receiver, erased: list[int], left: list[str], is_taken: bool) -> None:
    home = firm_home(tmp_path, (1, PROMISE), (2, PROMISE))
    queue = Queue(home, firm.CORP)
    [batch] = gather.gather(home, firm.CORP, queue, now_ms=clock.now_ms())
    sent: list[list[str]] = []

    def send(told: Any) -> None:
        sent.append([alert.msgid for alert in told.alerts])
        if len(sent) == 1:
            assert stores.REGISTRY["alerts"](home, firm.CORP, [("sealed", seq) for seq in erased]) == len(erased)
        if not is_taken:
            raise channels.NotTaken("ALERT_WEBHOOK", "no", remedy="-")

    step.send(queue, batch, [channels.Channel("webhook", send), channels.Channel("wecom", send)])
    assert sent == [["m1", "m2"], *([left] if left else [])]
    assert [a.msgid for b in queue.waiting() for a in b.alerts] == ([] if is_taken else left)
    assert bool(list((home.path / "alerts" / firm.CORP).glob("*.batch"))) == bool(left and not is_taken)


def test_an_erasure_waits_for_a_look_at_what_was_found(tmp_path: Path, set_hook: Receiver) -> None:
    home = firm_home(tmp_path, (1, PROMISE))
    queue, gone = Queue(home, firm.CORP), threading.Event()

    def erase() -> None:
        stores.REGISTRY["alerts"](home, firm.CORP, [("sealed", 1)])
        gone.set()

    erasing = threading.Thread(target=erase)
    with queue.held():
        erasing.start()
        assert not gone.wait(0.2)
        gather.gather(home, firm.CORP, queue, now_ms=clock.now_ms())
        assert len(queue.waiting()) == 1
    erasing.join(60)
    assert gone.is_set() and queue.waiting() == []


def test_one_channels_trouble_does_not_hold_up_the_other(tmp_path: Path, set_hook: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LIUHEN_TEST_APP", "app-secret")
    settings = {
        "alerts.to": '["officer", "boss"]', f"corp.{firm.CORP}.app_secret": "env:LIUHEN_TEST_APP", f"corp.{firm.CORP}.app_agent_id": "1000002",
        "wecom.base_url": set_hook.address,
    }  # fmt: skip
    home = firm_home(tmp_path, (1, PROMISE), settings=settings)
    set_hook.answers["/hook"] = {"errcode": 1}
    assert step.run(home, firm.CORP)[:3] == (1, 0, 1)
    del set_hook.answers["/hook"]
    assert step.run(home, firm.CORP)[:3] == (0, 1, 0)
    (sent,) = set_hook.bodies("/cgi-bin/message/send")
    assert (sent["touser"], sent["agentid"], sent["msgtype"], sent["enable_duplicate_check"]) == ("officer|boss", 1000002, "text", 1)
    assert "c01-guarantee" in sent["text"]["content"] and "保本保息的" not in sent["text"]["content"]


def test_a_message_that_reached_nobody_was_not_taken(tmp_path: Path, set_hook: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LIUHEN_TEST_APP", "app-secret")
    settings = {
        "alerts.to": '["officer"]', "alerts.webhook": "", f"corp.{firm.CORP}.app_secret": "env:LIUHEN_TEST_APP", f"corp.{firm.CORP}.app_agent_id": "1",
        "wecom.base_url": set_hook.address,
    }  # fmt: skip
    home = firm.home(tmp_path, keys=(), settings=settings)
    set_hook.answers["/cgi-bin/message/send"] = {"errcode": 0, "invaliduser": "officer"}
    (error,) = step.probe(home, firm.CORP).values()
    assert error is not None and error.code == "ALERT_NOBODY"


def test_nothing_is_looked_for_where_no_channel_is_configured(tmp_path: Path) -> None:
    home = firm.home(tmp_path)
    assert channels.configured(home, firm.CORP) == []
    assert step.run(home, firm.CORP) == (0, 0, 0, ())
    assert not (home.path / "alerts" / firm.CORP).exists()


def test_a_webhook_over_plain_http_to_elsewhere_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LIUHEN_TEST_HOOK", "http://example.com/key=abc")
    home = firm.home(tmp_path, settings={"alerts.webhook": "env:LIUHEN_TEST_HOOK"})
    (error,) = step.probe(home, firm.CORP).values()
    assert error is not None and error.code == "ALERT_WEBHOOK_ADDRESS" and "abc" not in str(error)


def test_a_test_message_says_that_it_is_one(tmp_path: Path, set_hook: Receiver) -> None:
    home = firm.home(tmp_path, settings={"alerts.webhook": "env:LIUHEN_TEST_HOOK", "alerts.webhook_secret": "env:LIUHEN_TEST_HOOK"})
    assert step.probe(home, firm.CORP) == {"webhook": None}
    ((_, headers, body),) = set_hook.got
    assert body["test"] is True and body["alerts"] == []
    assert headers["X-Liuhen-Signature"].startswith("t=")


@pytest.mark.slow
def test_a_suppressed_finding_raises_no_alert(tmp_path: Path, set_hook: Receiver) -> None:
    home = firm_home(tmp_path, (1, "我们不能承诺保本保息"))
    assert gather.gather(home, firm.CORP, Queue(home, firm.CORP), now_ms=clock.now_ms()) == []
    assert firm.values(home, "SELECT count(*) FROM matches_all WHERE suppressed_by IS NOT NULL") != [0]
