"""The real vendor library behind the double's proxy: which answers make it end with which code, and what it is not let do."""

from __future__ import annotations

import json
import socket
import ssl
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from pipeline.home import Home
from pipeline.simulate.faults import PROVOKED
from pipeline.source import asking
from pipeline.source.interface import VendorError
from pipeline.source.opening import open_source
from pipeline.source.pace import Pace
from pipeline.source.pull import Pull
from pipeline.source.vendor import Native
from tests import firm
from tests.simulate.doubles import Asker, double, served
from tests.simulate.homes import home_of, library
from tests.source.fake import resident

# Documented and tried: return code of GetMediaData when the double is told to provoke it.
MEDIA_CODES = (10001, 10002, 10003, 10006, 10009, 10010)


@pytest.fixture(scope="module")
def asker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Asker]:
    library()
    with served(double(tmp_path_factory.mktemp("library"))) as made:
        yield made


@pytest.fixture(scope="module")
def home(asker: Asker, tmp_path_factory: pytest.TempPathFactory) -> Home:
    return home_of(asker, tmp_path_factory.mktemp("home"), library=library())


@pytest.fixture
def native(asker: Asker, home: Home) -> Iterator[Native]:
    source = open_source(home, asker.server.double.corp.corp_id)
    assert isinstance(source, Native)
    yield source
    source.close()
    asker.server.double.faults.clear()


def code_of(native: Native, fileid: str) -> int:
    try:
        native.media(fileid, "")
    except VendorError as ended:
        return ended.code
    return 0


@pytest.mark.vendor
@pytest.mark.parametrize("code", MEDIA_CODES)
def test_the_library_ends_a_file_with_the_code_that_was_provoked(asker: Asker, native: Native, code: int) -> None:
    assert sorted(PROVOKED) == list(MEDIA_CODES)
    asker.admin("say", {"from": "a", "to": ["b"], "file": 600_000})
    fileid = asker.truth()[-1].files[0].sdkfileid
    asker.admin("faults", {"call": "getchatmediadata", "kind": "code", "code": code})
    assert [code_of(native, fileid), code_of(native, fileid)] == [code, 0]


@pytest.mark.vendor
@pytest.mark.parametrize("kind", ["unanswered", "status", "cut"])
def test_the_library_ends_a_page_with_10001_when_the_connection_is_broken(asker: Asker, native: Native, kind: str) -> None:
    asker.admin("faults", {"call": "getchatdata", "kind": kind})
    with pytest.raises(VendorError) as ended:
        native.chat_data(0, 10)
    assert ended.value.code == 10001
    assert len(json.loads(native.chat_data(0, 10))["chatdata"]) == 10


@pytest.mark.vendor
def test_the_library_hands_out_a_page_byte_for_byte_and_half_a_page_too(asker: Asker, native: Native) -> None:
    page = native.chat_data(0, 100)
    plain = asker.source().chat_data(0, 100)
    assert page == plain
    asker.admin("faults", {"call": "getchatdata", "kind": "silent"})
    assert native.chat_data(0, 100) == plain[: len(plain) // 2]


@pytest.mark.vendor
def test_memory_is_flat_over_a_thousand_pages_of_the_library_in_puller_and_child(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The double is a process of its own; pages hold ten records, so that a thousand of them are there."""
    monkeypatch.setattr(asking, "LIMIT", 10)
    words = [sys.executable, "-m", "pipeline.cli", "simulate", "--messages", "10000", "--port", "0", "-o", str(tmp_path / "sim")]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        try:
            assert process.stdout is not None
            told = json.loads(process.stdout.readline())
            corp = told["corp_id"]
            secret = f"file:{Path(told['folder']) / 'secrets/archive'}"
            settings = {"wecom.proxy": told["proxy"], "source.library": library(), f"corp.{corp}.archive_secret": secret}
            home = firm.home(tmp_path, keys=(), corps=(corp,), settings=settings)
            held: list[tuple[int, int]] = []
            with closing(open_source(home, corp)) as native:
                assert isinstance(native, Native)

                def watched(seq: int, limit: int, ask: Callable[[int, int], bytes] = native.chat_data) -> bytes:
                    answer = ask(seq, limit)
                    held.append((resident(), resident(native._running._running()._process.pid)))
                    return answer

                native.chat_data = watched  # type: ignore[method-assign]  # looks at both processes after every page
                ended = Pull(home, corp, native, run_id="r", pace=Pace(10**9)).run()
        finally:
            process.terminate()
    assert ended.complete and ended.pages >= 1_000
    puller, child = (list(kind) for kind in zip(*held, strict=True))
    assert max(puller[100:]) - puller[100] < 8 << 20 and max(child[100:]) - child[100] < 8 << 20


@pytest.mark.vendor
def test_the_library_keeps_its_token_until_it_is_renewed(asker: Asker, native: Native) -> None:
    native.chat_data(0, 1)
    asker.admin("tokens", {})
    asker.tokens.clear()
    assert json.loads(native.chat_data(0, 1))["errcode"] == 42001
    assert json.loads(native.chat_data(0, 1))["errcode"] == 42001
    native.renew()
    assert json.loads(native.chat_data(0, 1))["errcode"] == 0


@pytest.mark.vendor
def test_a_proxy_that_refuses_is_10001(asker: Asker, native: Native) -> None:
    asker.admin("faults", {"call": "connect", "kind": "connect", "status": 502})
    with pytest.raises(VendorError) as ended:
        native.chat_data(0, 1)
    assert ended.value.code == 10001
    assert json.loads(native.chat_data(0, 1))["errcode"] == 0


@pytest.mark.parametrize("host", ["example.com:443", "qyapi.weixin.qq.com:80", "127.0.0.1:22", "qyapi.weixin.qq.com.evil.example:443"])
def test_the_proxy_opens_no_tunnel_to_anybody_else(standing: Asker, host: str) -> None:
    parts = urlsplit(standing.server.base)
    with socket.create_connection((parts.hostname or "", parts.port or 0), timeout=60) as connection:
        connection.sendall(f"CONNECT {host} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
        assert connection.recv(100).startswith(b"HTTP/1.1 403 ")


def test_inside_the_tunnel_there_is_tls_for_the_platforms_name_and_no_admin(standing: Asker) -> None:
    parts = urlsplit(standing.server.base)
    context = ssl.create_default_context(cadata=standing.server.ca.decode())
    with socket.create_connection((parts.hostname or "", parts.port or 0), timeout=60) as connection:
        connection.sendall(b"CONNECT qyapi.weixin.qq.com:443 HTTP/1.1\r\n\r\n")
        assert connection.recv(100).startswith(b"HTTP/1.1 200 ")
        with context.wrap_socket(connection, server_hostname="qyapi.weixin.qq.com") as tunnel:
            tunnel.sendall(b"GET /_admin/state HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
            assert tunnel.recv(100).startswith(b"HTTP/1.1 403 ")
