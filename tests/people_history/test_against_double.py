"""Doctor, directory and callbacks against the WeCom double: what the archive remembers is the double's truth, before and after it changes."""

from __future__ import annotations

import http.client
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlencode

import pytest

from pipeline import lakerows
from pipeline.clock import now_ms
from pipeline.doctor.examine import examine
from pipeline.doctor.findings import exit_of
from pipeline.errors import SourceRefused
from pipeline.home import Home
from pipeline.lakerows import directory_of
from pipeline.people_history.sync import Synced, sync
from pipeline.source.doorbell import Doorbell
from pipeline.wecom import callback_codec, callback_server, callback_store
from pipeline.wecom.calls import permit_users
from pipeline.wecom.client import Unreachable, open_client
from tests import firm, ports
from tests.simulate.doubles import Asker, double, served
from tests.simulate.homes import home_of

pytestmark = pytest.mark.slow
CORP = "wwdemo000000000001"
ROOT = Path(__file__).parents[2]


class Firm:
    """A double, a home of its corp, and a callback server between them."""

    def __init__(self, asker: Asker, home: Home) -> None:
        self.asker, self.home = asker, home
        self.before_first_pull = list(examine(home, [CORP]))
        self.first = self.sync()

    def sync(self, *, full: bool = False) -> Synced:
        with open_client(self.home, CORP) as client:
            return sync(self.home, CORP, client, full=full)

    def told(self) -> None:
        """Wait until the double has sent its events."""
        assert self.asker.admin("callbacks", {"wait_s": 60})["idle"] is True


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    with ports.kept() as kept:
        yield kept


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory, port: int) -> Iterator[Firm]:
    folder = tmp_path_factory.mktemp("firm")
    made = double(folder, now_ms=now_ms(), callback_url=f"http://127.0.0.1:{port}/callback/{CORP}", retry_pause_s=0.1, echo_s=60.0)
    (folder / "token").write_text(made.callback.token)
    (folder / "aes").write_text(made.callback.encoding_aes_key)
    for name in ("token", "aes"):
        (folder / name).chmod(0o600)
    with served(made) as asker:
        home = home_of(asker, folder, settings={
            "wecom.calls_per_minute": "60000", f"corp.{CORP}.callback_token": f"file:{folder / 'token'}", f"corp.{CORP}.callback_aes_key": f"file:{folder / 'aes'}",
        })  # fmt: skip
        server = callback_server.serve(home, port=port, log=lambda *_: None)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        made.clock.advance(now_ms() - made.clock.now())  # making it took a while, and its clock stands still
        yield Firm(asker, home)
        server.shutdown()
        server.server_close()
        thread.join()


def test_nothing_is_bad_before_the_first_pull(both: Firm) -> None:
    found = both.before_first_pull
    assert [(f.check, f.outcome, f.code) for f in found if f.state == "bad"] == []
    assert {"secret", "address", "licence", "contacts", "callback", "clock"} <= {f.check for f in found if f.state == "ok"}


def test_the_url_check_and_the_bell_work_between_the_two(both: Firm) -> None:
    assert both.asker.admin("callbacks", {"verify": True})["verified"] is True
    bell = Doorbell(both.home.path, CORP)
    both.asker.admin("grow", {"messages": 2})
    both.told()
    assert bell.wait(60)


def test_the_directory_is_the_doubles(both: Firm) -> None:
    assert (both.first.exit_code, both.first.refused, both.first.unreachable) == (0, [], "")
    truth = both.asker.server.double.corp
    people = directory_of(both.home.lake(CORP), both.home.lake(CORP).snapshot())
    at = now_ms()
    assert {m.userid: m.name for m in truth.members.values()} == {m.userid: people.name_at(m.userid, at) for m in truth.members.values()}
    assert all(people.kind_at(m.userid.upper(), at) == "employee" for m in truth.members.values())
    kept = dict(firm.values(both.home, "SELECT external_userid, count(DISTINCT lower(userid)) FROM follows WHERE valid_to IS NULL GROUP BY 1", CORP))
    listed = {c for m in truth.members.values() if m.serves for c in both.asker.get("externalcontact/list", userid=m.userid).get("external_userid", [])}
    assert set(kept) == listed and len(listed) > 500


def test_rooms_and_their_members_are_the_doubles(both: Firm) -> None:
    truth = {r.room_id: r for r in both.asker.server.double.corp.rooms.values() if not r.internal}
    assert dict(firm.values(both.home, "SELECT room_id, name FROM rooms WHERE NOT internal", CORP)) == {i: r.name for i, r in truth.items()}
    room = max(truth.values(), key=lambda r: len(r.seats))
    told = both.asker.post("externalcontact/groupchat/get", {"chat_id": room.room_id})["group_chat"]["member_list"]
    kept = firm.values(both.home, f"SELECT member_id, epoch_ms(valid_from) FROM memberships WHERE room_id = '{room.room_id}' AND valid_to IS NULL", CORP)
    assert dict(kept) == {m["userid"]: m["join_time"] * 1000 for m in told} and len(told) > 2


def test_seats_are_those_in_force(both: Firm) -> None:
    for edition in (1, 2, 3):
        told = both.asker.post("msgaudit/get_permit_user_list", {"type": edition}, secret="archive")["ids"]
        assert sorted(firm.values(both.home, f"SELECT userid FROM seats WHERE edition = {edition}", CORP)) == sorted(told)


def test_an_agreement_told_by_callback_is_in_the_register_once(both: Firm) -> None:
    customer = both.asker.get("externalcontact/list", userid="ZhaoShijia")["external_userid"][3]
    both.asker.admin("consent", {"userid": "ZhaoShijia", "external_userid": customer, "status": "Agree"})
    both.told()
    (event,) = callback_store.drain(both.home, CORP)
    assert (event.source, event.userid, event.external_userid, event.status) == ("callback", "ZhaoShijia", customer, "Agree")
    lake = both.home.lake(CORP)
    assert sum(e.source == "callback" for e in lakerows.events_of(lake, lake.snapshot())) == 1 and callback_store.drain(both.home, CORP) == ()


def test_a_member_who_leaves_keeps_name_and_department_until_then(both: Firm) -> None:
    before = directory_of(both.home.lake(CORP), both.home.lake(CORP).snapshot())
    earlier = now_ms()
    leaver = next(m.userid for m in both.asker.server.double.corp.members.values() if m.userid != "ZhaoShijia")
    name, department = before.name_at(leaver, earlier), before.department_at(leaver, earlier)
    both.asker.admin("clock", {"advance_s": 60})  # its clock stands still: he leaves after he was seen
    both.asker.admin("people", {"userid": leaver, "left": True})
    both.told()
    assert both.sync(full=True).exit_code == 0
    after = directory_of(both.home.lake(CORP), both.home.lake(CORP).snapshot())
    began = firm.values(both.home, f"SELECT max(epoch_ms(valid_from)) FROM people WHERE lower(userid) = lower('{leaver}') AND name IS NOT NULL", CORP)[0]
    assert name and department and (after.name_at(leaver, began), after.department_at(leaver, began)) == (name, department)
    assert after.kind_at(leaver, now_ms() + 120_000) == "external"


@pytest.mark.parametrize(("errcode", "code"), [(301042, "WECOM_ADDRESS"), (301052, "WECOM_LICENCE"), (48002, "WECOM_PERMISSION")])
def test_a_refusal_on_demand_is_found_by_the_doctor(both: Firm, errcode: int, code: str) -> None:
    both.asker.admin("faults", {"kind": "errcode", "call": "msgaudit/get_permit_user_list", "errcode": errcode, "times": 1})
    found = [f.code for f in examine(both.home, [CORP]) if f.state == "bad"]
    assert found == [code]


def test_errors_that_pass_do_not_disturb_a_sync(both: Firm) -> None:
    both.asker.admin("faults", {"kind": "errcode", "call": "department/list", "errcode": -1, "times": 2})
    both.asker.admin("faults", {"kind": "errcode", "call": "user/list", "errcode": 42001, "times": 1})
    assert both.sync(full=True).exit_code == 0


@pytest.mark.parametrize("kind", ["cut", "silent", "unanswered", "garbage", "status", "empty"])
def test_a_call_that_breaks_once_is_made_again(both: Firm, kind: str) -> None:
    with open_client(both.home, CORP) as client:
        expected = permit_users(client)
        both.asker.admin("faults", {"kind": kind, "call": "msgaudit/get_permit_user_list", "times": 1})
        assert permit_users(client) == expected and len(expected) > 20
    both.asker.admin("faults", method="DELETE")


# --- TLS behind a CONNECT proxy: the address is WeCom's own, the certificate the double's ---


def through_proxy(both: Firm, folder: Path, *, trusted: bool) -> Home:
    """A home that reaches WeCom's real name through the double's proxy, and trusts its certificate or does not."""
    ca = folder / "ca.pem"
    ca.write_bytes(both.asker.server.ca)
    secret = folder / "archive"
    secret.write_text(both.asker.server.double.secrets["archive"])
    secret.chmod(0o600)
    return firm.home(folder, keys=(), corps=(CORP,), settings={
        "wecom.proxy": both.asker.server.base, "wecom.ca_file": str(ca) if trusted else "", f"corp.{CORP}.archive_secret": f"file:{secret}",
    })  # fmt: skip


def test_calls_go_through_the_proxy_with_a_verified_certificate(both: Firm, tmp_path: Path) -> None:
    home = through_proxy(both, tmp_path, trusted=True)
    with open_client(home, CORP) as client:
        assert len(permit_users(client)) > 20
    found = {f.check: f.state for f in examine(home, [CORP])}
    assert (found["proxy"], found["certificate"], found["secret"], found["licence"]) == ("ok", "ok", "ok", "ok")


def test_a_certificate_that_does_not_hold_stops_everything(both: Firm, tmp_path: Path) -> None:
    home = through_proxy(both, tmp_path, trusted=False)
    with open_client(home, CORP) as client, pytest.raises(SourceRefused) as refused:
        permit_users(client)
    assert refused.value.code == "WECOM_TLS"
    found = list(examine(home, [CORP]))
    assert [f.code for f in found if f.check == "certificate"] == ["WECOM_TLS"] and exit_of(found) == 4
    assert [f.outcome for f in found if f.check == "secret"] == ["unreached"]


def test_a_proxy_that_says_no_is_told(both: Firm, tmp_path: Path) -> None:
    both.asker.admin("faults", {"kind": "connect", "call": "connect", "times": 0, "status": 407})
    home = through_proxy(both, tmp_path, trusted=True)
    with open_client(home, CORP) as client, pytest.raises(Unreachable) as refused:
        client._sleep = lambda _: None  # the pauses between tries
        permit_users(client)
    both.asker.admin("faults", method="DELETE")
    assert refused.value.code == "WECOM_PROXY"


# --- the command ---


def test_callback_serve_takes_a_callback_and_ends_when_told(both: Firm, tmp_path: Path) -> None:
    home = firm.home(tmp_path, keys=(), corps=(CORP,), settings={
        "callback.port": "0", f"corp.{CORP}.callback_token": "env:T", f"corp.{CORP}.callback_aes_key": "env:K",
    })  # fmt: skip
    made = both.asker.server.double.callback
    environ = {**os.environ, "T": made.token, "K": made.encoding_aes_key, "LIUHEN_LANG": "en"}
    process = subprocess.Popen(
        [sys.executable, "-m", "pipeline.cli", "--home", str(home.path), "callback", "serve"], stderr=subprocess.PIPE, text=True, env=environ, cwd=ROOT
    )
    try:
        assert process.stderr is not None
        serving = process.stderr.readline()
        port = int(serving.split("127.0.0.1:")[1].split("/")[0])
        keys = callback_codec.keys(made.token, made.encoding_aes_key, CORP)
        sealed, at = callback_codec.seal(b"echo", keys=keys, filler=bytes(16)), str(now_ms() // 1000)
        query = urlencode({"msg_signature": callback_codec.signature(made.token, at, "n", sealed), "timestamp": at, "nonce": "n", "echostr": sealed})
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        connection.request("GET", f"/callback/{CORP}?{query}")
        assert connection.getresponse().read() == b"echo"
        connection.close()
    finally:
        process.send_signal(signal.SIGTERM)
        _, said = process.communicate(timeout=60)
    assert process.returncode == 0 and "check" in said
    ends = [e for e in home.custody.entries() if e.command == "callback serve" and e.phase == "end"]
    assert [e.result for e in ends] == ["check 1"]
