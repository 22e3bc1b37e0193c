"""The double answers as the platform documents it: tokens, pages, files; and it lives: talk, keys, time, faults."""

from __future__ import annotations

import base64
import hashlib
import json
import time
from pathlib import Path
from random import Random
from typing import Any

import pytest

from pipeline import answers
from pipeline.demo import media
from pipeline.enterprise_keys import KeySet, load_private_key
from pipeline.envelope import open_page
from pipeline.errors import UsageError
from pipeline.records import PageRef
from pipeline.simulate.client import LoopbackSource, checked_address
from pipeline.simulate.simulator import Simulator
from pipeline.source.interface import VendorError
from tests.simulate.doubles import NOW_MS, Asker, corp_keys, double, served

DAY_S = 86_400
CHAT = "message/getchatdata"


def opened(page: bytes, keys: dict[int, Any] | None = None) -> list[dict[str, Any]]:
    """The messages of a page, opened by the archive's own reader."""
    ref = PageRef(corp_id="ww", page=hashlib.sha256(page).hexdigest(), uri="", size=len(page), source="pull", name="p", captured_at_ms=0)
    done = open_page(*answers.read_page(ref, page), keys=KeySet.of(keys if keys is not None else corp_keys()))
    return [json.loads(item.plaintext) for item in done.items]


# --- tokens ---


@pytest.mark.parametrize(
    ("corp", "secret", "errcode"),
    [
        pytest.param("wwdemo000000000001", "wrong", 40001, id="wrong secret"),
        pytest.param("wwother", "wrong", 40013, id="wrong corp"),
        pytest.param("wwdemo000000000001", "", 40001, id="no secret"),
    ],
)
def test_a_token_is_refused_for(standing: Asker, corp: str, secret: str, errcode: int) -> None:
    assert standing.send("GET", f"/cgi-bin/gettoken?corpid={corp}&corpsecret={secret}")["errcode"] == errcode


def test_one_secret_has_one_token_and_it_opens_only_its_own_calls(standing: Asker) -> None:
    asker = Asker(standing.server)
    first = asker.get("department/list")
    assert first["errcode"] == 0
    again = Asker(standing.server)
    again.get("department/list")
    assert again.tokens == asker.tokens and len(asker.tokens["contacts"]) >= 64
    assert asker.post("msgaudit/get_permit_user_list", {}, secret="contacts")["errcode"] == 48002
    assert asker.post(CHAT, {"seq": 0, "limit": 1}, secret="contacts")["errcode"] == 48002
    assert asker.get("department/list", secret="")["errcode"] == 41001
    assert asker.get("department/list", secret="", access_token="never")["errcode"] == 40014


def test_a_token_ends_with_its_time_or_on_demand(lively: Asker) -> None:
    lively.get("department/list")
    lively.admin("clock", {"advance_s": 7_199})
    assert lively.get("department/list")["errcode"] == 0
    lively.admin("clock", {"advance_s": 1})
    assert lively.get("department/list")["errcode"] == 42001
    lively.tokens.clear()
    assert lively.get("department/list")["errcode"] == 0
    lively.admin("tokens", {"forget": True})
    assert lively.get("department/list")["errcode"] == 40014


# --- chat data ---


@pytest.mark.parametrize("limit", [0, 1001, -1, "10", 1.5, None])
def test_a_limit_outside_1_to_1000_is_refused(standing: Asker, limit: object) -> None:
    assert standing.post(CHAT, {"seq": 0, "limit": limit}, secret="archive")["errcode"] == 40058


@pytest.mark.parametrize("limit", [1, 7, 400, 1000])
def test_every_record_comes_once_whatever_the_page_size(standing: Asker, limit: int) -> None:
    found: list[tuple[int, str]] = []
    seq = 0
    while page := standing.records(seq, limit if limit > 1 else 50):
        found += [(r["seq"], r["msgid"]) for r in page]
        seq = max(r["seq"] for r in page if r["seq"] < 2**63)
    wanted = [(line.seq + (2**63 if line.code == "SEQ_RANGE" else 0), line.msgid) for line in standing.truth()]
    assert len(wanted) == 500 and found == wanted


def test_what_comes_is_what_the_truth_told_before_it_was_sealed(standing: Asker) -> None:
    told = {line.sha256 for line in standing.truth() if not line.code or line.code == "KEY_MISSING"}
    page = standing.source().chat_data(0, 1000)
    keys = KeySet.of(corp_keys())
    ref = PageRef(corp_id="ww", page="", uri="", size=len(page), source="pull", name="p", captured_at_ms=0)
    found = {hashlib.sha256(item.plaintext).hexdigest() for item in open_page(*answers.read_page(ref, page), keys=keys).items}
    assert len(told) > 480 and told <= found


def test_somebody_says_something_and_it_is_the_next_record(lively: Asker) -> None:
    last = lively.admin("state", method="GET")["last_seq"]
    said = {"from": "ZhaoShijia", "to": ["wmDEMOsomebody"], "text": "明天下午三点见"}
    assert lively.admin("say", said)["seq"] == last + 1
    page = lively.source().chat_data(last, 1000)
    (told,) = opened(page)
    assert told | {"msgid": ""} == {
        "msgid": "", "action": "send", "from": "ZhaoShijia", "tolist": ["wmDEMOsomebody"], "roomid": "", "msgtime": NOW_MS, "msgtype": "text",
        "text": {"content": "明天下午三点见"},
    }  # fmt: skip
    assert json.loads(page)["chatdata"][0]["publickey_ver"] == 3


def test_it_grows_and_the_truth_about_it_grows_before_it(lively: Asker) -> None:
    last = lively.admin("state", method="GET")["last_seq"]
    assert lively.admin("grow", {"messages": 25})["seqs"] == [last + 1, last + 25]
    page = lively.source().chat_data(last, 1000)
    lines = [line for line in lively.truth() if line.seq > last]
    assert [line.seq for line in lines] == list(range(last + 1, last + 26))
    assert [m["msgid"] for m in opened(page)] == [line.msgid for line in lines]


def test_what_is_spread_over_time_arrives_as_time_passes(fresh: Asker) -> None:
    last = fresh.admin("state", method="GET")["last_seq"]
    fresh.admin("grow", {"messages": 80, "over_s": 8 * DAY_S})
    assert len(fresh.records(last)) == 0
    fresh.admin("clock", {"advance_s": 4 * DAY_S})
    fresh.tokens.clear()
    half = len(fresh.records(last))
    assert 15 < half < 65
    fresh.admin("clock", {"advance_s": 4 * DAY_S + 600})
    fresh.tokens.clear()
    inside = fresh.seqs(last)
    assert inside[-1] == last + 80 and 30 < len(inside) < 70, "eight days later only five of them can be fetched"
    assert inside[0] > last + 1


def test_the_window_can_be_narrowed_and_everything_expires(fresh: Asker) -> None:
    assert len(fresh.records()) == 500
    fresh.admin("window", {"days": 1})
    assert 0 < len(fresh.records()) < 300
    fresh.admin("clock", {"advance_s": DAY_S + 1})
    fresh.tokens.clear()
    assert fresh.records() == []


def test_a_new_key_seals_from_now_on_and_its_private_half_is_in_the_folder(fresh: Asker) -> None:
    last = fresh.admin("state", method="GET")["last_seq"]
    fresh.admin("say", {"from": "a", "to": ["b"], "text": "旧"})
    made = fresh.admin("keys", {})
    assert made["key_version"] == 4
    fresh.admin("say", {"from": "a", "to": ["b"], "text": "新"})
    page = fresh.source().chat_data(last, 10)
    assert [r["publickey_ver"] for r in json.loads(page)["chatdata"]] == [3, 4]
    key = load_private_key(Path(made["private_key"]).read_bytes(), None)
    assert [m["text"]["content"] for m in opened(page, {4: key})] == ["新"]


def test_the_same_seed_gives_the_same_corp_and_another_seed_another(tmp_path: Path) -> None:
    def made(name: str, seed: int) -> Simulator:
        simulator = double(tmp_path / name, seed=seed)
        simulator.grow(20)
        return simulator

    one, again, other = made("one", 1), made("again", 1), made("other", 2)
    texts = [(s.setting.folder / "records.jsonl").read_bytes() for s in (one, again, other)]
    assert texts[0] == texts[1] != texts[2]
    assert one.corp == again.corp != other.corp
    assert one.secrets == again.secrets != other.secrets


# --- files ---


def fetched(client: LoopbackSource, sdkfileid: str, index: str = "") -> list[tuple[int, str]]:
    """(bytes, next index) of every range."""
    found = []
    while True:
        chunk = client.media(sdkfileid, index)
        found.append((len(chunk.data), chunk.next_index))
        if chunk.finished:
            return found
        index = chunk.next_index


@pytest.mark.parametrize(
    ("size", "ranges"),
    [
        pytest.param(0, [(0, "")], id="empty"),
        pytest.param(1, [(1, "")], id="one byte"),
        pytest.param(524_287, [(524_287, "")], id="one byte less than a range"),
        pytest.param(524_288, [(524_288, "Range:bytes=524288-524303"), (0, "")], id="exactly a range: the padding is the next one"),
        pytest.param(524_289, [(524_288, "Range:bytes=524288-524303"), (1, "")], id="one more"),
        pytest.param(
            1_300_000,
            [(524_288, "Range:bytes=524288-1048575"), (524_288, "Range:bytes=1048576-1300015"), (251_424, "")],
            id="three ranges",
        ),
    ],
)
def test_a_file_comes_in_ranges_of_512_kib(lively: Asker, size: int, ranges: list[tuple[int, str]]) -> None:
    lively.admin("say", {"from": "a", "to": ["b"], "file": size})
    line = lively.truth()[-1]
    assert [f.size for f in line.files] == [size]
    assert fetched(lively.source(), line.files[0].sdkfileid) == ranges


def test_every_file_has_the_bytes_that_its_message_declares(standing: Asker) -> None:
    client = standing.source()
    files = [f for line in standing.truth() for f in line.files]
    assert len(files) > 15
    for file in files:
        data, index = b"", ""
        while True:
            chunk = client.media(file.sdkfileid, index)
            data, index = data + chunk.data, chunk.next_index
            if chunk.finished:
                break
        assert hashlib.sha256(data).hexdigest() == file.sha256 and data == media.content(file.sdkfileid)


def test_a_gigabyte_is_served_range_by_range_without_being_made(lively: Asker) -> None:
    inner = "demo/file/1073741824/0123456789ab"
    fileid = media.renewed(Random(1), inner)
    lively.server.double.vault.add(fileid, NOW_MS)
    chunk = lively.source().media(fileid, "Range:bytes=1073217536-1073741823")
    assert (len(chunk.data), chunk.next_index, chunk.finished) == (524_288, "Range:bytes=1073741824-1073741839", False)
    assert media.part(inner, 1_073_741_820, 1_073_741_830) == chunk.data[-4:]


def test_a_file_leaves_the_window_with_its_message(lively: Asker) -> None:
    lively.admin("say", {"from": "a", "to": ["b"], "file": 10})
    fileid = lively.truth()[-1].files[0].sdkfileid
    lively.admin("clock", {"advance_s": 5 * DAY_S})
    client = lively.source()
    assert client.media(fileid, "").finished
    lively.admin("clock", {"advance_s": 1})
    with pytest.raises(VendorError) as expired:
        client.media(fileid, "")
    assert expired.value.code == 10010


def test_a_spoilt_file_is_spoilt_once(lively: Asker) -> None:
    lively.admin("say", {"from": "a", "to": ["b"], "file": 1000})
    file = lively.truth()[-1].files[0]
    lively.admin("faults", {"call": "getchatmediadata", "kind": "wrong_md5"})
    client = lively.source()
    first, second = client.media(file.sdkfileid, "").data, client.media(file.sdkfileid, "").data
    assert len(first) == len(second) == 1000 and first != second
    assert hashlib.sha256(second).hexdigest() == file.sha256


# --- faults ---


# Every errcode of wecom-archive.md 2.3 and 5.
ERRCODES = [
    -1, 40001, 40003, 40013, 40014, 40050, 40096, 41001, 42001, 45009, 45033, 48001, 48002, 60011, 60020, 60111, 84061, 90501, 301042, 301048, 301052, 301053,
]  # fmt: skip


@pytest.mark.parametrize("errcode", ERRCODES)
def test_every_errcode_comes_once_on_demand_and_then_the_answer(lively: Asker, errcode: int) -> None:
    lively.admin("faults", {"call": "getchatdata", "kind": "errcode", "errcode": errcode})
    told = json.loads(lively.source().chat_data(0, 1000))
    assert told["errcode"] == errcode and "chatdata" not in told
    assert len(lively.records(limit=500)) == 500


@pytest.mark.parametrize("code", range(10000, 10012))
def test_every_return_code_of_the_library_comes_on_demand(lively: Asker, code: int) -> None:
    lively.admin("say", {"from": "a", "to": ["b"], "file": 10})
    fileid = lively.truth()[-1].files[0].sdkfileid
    lively.admin("faults", {"call": "getchatdata", "kind": "code", "code": code})
    lively.admin("faults", {"call": "getchatmediadata", "kind": "code", "code": code})
    client = lively.source()
    for ask in (lambda: client.chat_data(0, 10), lambda: client.media(fileid, "")):
        with pytest.raises(VendorError) as ended:
            ask()
        assert ended.value.code == code
        client.renew()
        ask()


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        pytest.param("jump", [3, 4, 5], id="jump: some are left out"),
        pytest.param("far", [10**12 + n for n in (1, 2, 3, 4, 5)], id="far: numbers nobody can believe"),
        pytest.param("disorder", [5, 4, 3, 2, 1], id="disorder: backwards"),
        pytest.param("empty", [], id="empty: as if nothing was there"),
    ],
)
def test_a_page_that_lies(lively: Asker, kind: str, expected: list[int]) -> None:
    last = lively.admin("state", method="GET")["last_seq"]
    lively.admin("grow", {"messages": 5})
    lively.admin("faults", {"call": "getchatdata", "kind": kind, "count": 2})
    assert [s - last for s in lively.seqs(last)] == expected
    assert [s - last for s in lively.seqs(last)] == [1, 2, 3, 4, 5]


def test_a_repeated_page_is_the_one_before_byte_for_byte(lively: Asker) -> None:
    client = lively.source()
    first = client.chat_data(0, 100)
    lively.admin("faults", {"call": "getchatdata", "kind": "repeat", "times": 2})
    assert [client.chat_data(10**6, 100), client.chat_data(10**6, 100)] == [first, first]
    assert json.loads(client.chat_data(10**6, 100))["chatdata"] == []


@pytest.mark.parametrize("kind", ["cut", "unanswered", "status"])
def test_a_broken_connection_is_10001_and_the_next_call_works(lively: Asker, kind: str) -> None:
    lively.admin("faults", {"call": "getchatdata", "kind": kind})
    client = lively.source()
    with pytest.raises(VendorError) as ended:
        client.chat_data(0, 10)
    assert ended.value.code == 10001
    assert len(json.loads(client.chat_data(0, 10))["chatdata"]) == 10


def test_a_slow_answer_is_slow_and_whole(lively: Asker) -> None:
    lively.admin("faults", {"call": "getchatdata", "kind": "slow", "seconds": 0.2})
    began = time.monotonic()
    assert len(lively.records(limit=5)) == 5
    assert time.monotonic() - began >= 0.2


def test_a_silent_cut_looks_whole_and_is_not(lively: Asker) -> None:
    whole = lively.source().chat_data(0, 10)
    lively.admin("faults", {"call": "getchatdata", "kind": "silent"})
    half = lively.source().chat_data(0, 10)
    assert len(half) == len(whole) // 2 and whole.startswith(half)


def test_a_fault_waits_for_its_call_and_lets_some_pass(lively: Asker) -> None:
    lively.admin("faults", {"call": "user/get", "kind": "errcode", "errcode": 45009, "after": 1, "times": 2})
    assert lively.get("department/list")["errcode"] == 0
    assert [lively.get("user/get", userid="ZhaoShijia")["errcode"] for _ in range(4)] == [0, 45009, 45009, 0]
    lively.admin("faults", {"call": "*", "kind": "errcode", "errcode": -1, "times": 0})
    assert lively.get("department/list")["errcode"] == -1
    lively.admin("faults", method="DELETE")
    assert lively.get("department/list")["errcode"] == 0


def test_broken_records_can_be_ordered(lively: Asker) -> None:
    lively.admin("grow", {"messages": 1, "fault": "POISON"})
    assert len(lively.records()[-1]["encrypt_chat_msg"]) == 12
    assert lively.truth()[-1].code == "POISON"
    assert lively.send("POST", "/_admin/grow", {"messages": 1, "fault": "NO_SUCH"}).status == 400


def test_the_clock_that_answers_show_can_be_wrong(lively: Asker) -> None:
    assert lively.get("department/list").headers["Date"] == "Sat, 21 Nov 2026 04:00:00 GMT"
    lively.admin("clock", {"skew_s": -90})
    assert lively.get("department/list").headers["Date"] == "Sat, 21 Nov 2026 03:58:30 GMT"
    assert len(lively.records(limit=500)) == 500


# --- what it does not do ---


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        pytest.param({}, 200, id="this machine"),
        pytest.param({"Origin": "http://127.0.0.1:1"}, 403, id="a page in a browser"),
        pytest.param({"Host": "evil.example"}, 403, id="another name for this machine"),
    ],
)
def test_admin_is_for_programs_on_this_machine(standing: Asker, headers: dict[str, str], status: int) -> None:
    assert standing.send("GET", "/_admin/state", headers=headers).status == status


@pytest.mark.parametrize("body", [{"cal": "x"}, {"call": "x", "kind": "no such"}, [], {"call": "x", "kind": "slow", "seconds": "long"}])
def test_a_typing_error_in_a_fault_is_told(standing: Asker, body: object) -> None:
    assert standing.send("POST", "/_admin/faults", body).status == 400


def test_unknown_paths_and_wrong_methods_are_not_found(standing: Asker) -> None:
    assert standing.get("user/no_such").status == 404
    assert standing.post("user/get", {}).status == 404
    assert standing.send("GET", "/elsewhere").status == 404
    assert standing.send("POST", "/_admin/nothing", {}).status == 404


@pytest.mark.parametrize(
    "base",
    ["https://qyapi.weixin.qq.com", "http://qyapi.weixin.qq.com:80", "http://10.0.0.1:8480", "http://127.0.0.1", "https://127.0.0.1:8480", "http://localhost.evil:1", ""],
)
def test_the_plain_client_refuses_every_address_that_is_not_this_machine(base: str) -> None:
    with pytest.raises(UsageError) as refused:
        checked_address(base)
    assert refused.value.code == "NOT_LOOPBACK"


def test_a_port_that_is_taken_is_told(standing: Asker, tmp_path: Path) -> None:
    from pipeline.simulate.server import serving

    port = int(standing.server.base.rpartition(":")[2])
    with pytest.raises(UsageError) as taken, serving(standing.server.double, port=port):
        pass
    assert taken.value.code == "PORT_TAKEN"


def test_the_plain_client_refuses_wrong_indices_and_ids_without_asking(standing: Asker) -> None:
    client, asked = standing.source(), dict(standing.server.routes.asked)
    file = next(f for line in standing.truth() for f in line.files)
    for fileid, index, code in ((file.sdkfileid, "nonsense", 10000), ("not base64!", "", 10005), (base64.b64encode(b"x").decode(), "", 10005)):
        with pytest.raises(VendorError) as ended:
            client.media(fileid, index)
        assert ended.value.code == code
    with pytest.raises(VendorError):
        client.chat_data(0, 1001)
    assert standing.server.routes.asked == asked


def test_a_refused_secret_is_10001_with_what_was_told(standing: Asker) -> None:
    client = standing.source("wrong")
    with pytest.raises(VendorError) as refused:
        client.chat_data(0, 1)
    assert (refused.value.code, refused.value.told) == (10001, 40001)


def test_two_doubles_do_not_share_anything(tmp_path: Path) -> None:
    with served(double(tmp_path / "a", seed=3)) as one, served(double(tmp_path / "b", seed=4)) as two:
        one.admin("grow", {"messages": 3})
        assert len(one.records()) == 503 and len(two.records()) == 500
