"""The double's events reach the product's own callback server: the bell rings, an agreement becomes a register event, an old or foreign one does not."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from pipeline import clock
from pipeline.home import Home
from pipeline.simulate.live import Live
from pipeline.source.doorbell import Doorbell
from pipeline.wecom import callback_server, callback_store
from tests import ports
from tests.simulate.doubles import Asker, double, served
from tests.simulate.homes import home_of

pytestmark = pytest.mark.slow


class Place:
    """A double, a home, and the product's callback server between them; `heard` is what the server told its log."""

    def __init__(self, asker: Asker, home: Home, heard: list[str]) -> None:
        self.asker, self.home, self.heard, self.corp = asker, home, heard, asker.server.double.corp.corp_id


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    with ports.kept() as kept:
        yield kept


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, port: int) -> Iterator[Place]:
    folder = tmp_path_factory.mktemp("doorbell")
    corp = "wwdemo000000000001"
    now = clock.now_ms()  # the server's clock is the host's
    made = double(folder / "sim", now_ms=now, callback_url=f"http://127.0.0.1:{port}/callback/{corp}", notice_every_s=0.0, retry_pause_s=0.01, echo_s=60.0)
    secrets = made.setting.folder / "secrets"
    keys = {f"corp.{corp}.callback_{name}": f"file:{secrets / file}" for name, file in (("token", "callback-token"), ("aes_key", "callback-aes-key"))}
    heard: list[str] = []
    with served(made) as asker:
        home = home_of(asker, folder, settings=keys)
        server = callback_server.serve(home, port=port, log=lambda corp, what: heard.append(what))
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield Place(asker, home, heard)
        server.shutdown()
        thread.join()
        server.server_close()


def sent(place: Place) -> None:
    assert place.asker.admin("callbacks", {"wait_s": 60})["idle"] is True


def test_the_products_server_passes_the_check_of_the_console(place: Place) -> None:
    assert place.asker.admin("callbacks", {"verify": True})["verified"] is True


def test_what_people_say_rings_the_bell(place: Place) -> None:
    bell = Doorbell(place.home.path, place.corp)
    assert bell.rang() is False
    live = Live(place.asker.server.double, per_minute=60_000, tick_s=0.02)
    assert bell.wait(60) is True
    live.close()
    sent(place)
    assert "new_messages" in place.heard


def test_an_agreement_becomes_an_event_of_the_register_once(place: Place) -> None:
    double = place.asker.server.double
    customer = place.asker.get("externalcontact/list", userid="SunShijia")["external_userid"][3]
    place.asker.admin("consent", {"userid": "SunShijia", "external_userid": customer, "status": "Agree"})
    sent(place)
    found = [e for e in callback_store.drain(place.home, place.corp) if e.external_userid == customer]
    assert [(e.userid, e.status, e.source, e.changed_at_ms) for e in found] == [("SunShijia", "Agree", "callback", double.second * 1000)]
    assert callback_store.drain(place.home, place.corp) == ()


def test_a_callback_of_an_hour_ago_is_refused(place: Place) -> None:
    made = place.asker.server.double
    place.asker.admin("callbacks", {"event": "old", "xml": "<xml><Event>msgaudit_notify</Event></xml>", "at_s": made.second - 3600})
    sent(place)
    assert place.asker.admin("state", method="GET")["callbacks"][-1] == {"event": "old", "tries": 4, "status": 403}
    assert place.heard[-1] == "refused:stale"
