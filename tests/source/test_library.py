"""The vendor's library in its child: found, refused, ended, started again; the real one opens what ours opens (marker `vendor`)."""

from __future__ import annotations

import contextlib
import json
import os
import random
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline import envelope, sealing
from pipeline.errors import RecordError, UsageError
from pipeline.home import Home
from pipeline.sealing import RandomKey
from pipeline.source import frames, library, native
from pipeline.source import vendor as vendor_module
from pipeline.source.interface import CHILD_DIED, TIMED_OUT, VendorError
from pipeline.source.library import LibraryFile
from pipeline.source.opening import open_source
from pipeline.source.pull import Pull
from pipeline.source.vendor import Child, Native, Restarting
from tests import firm
from tests.firm import CORP, message
from tests.source.fake import setting

LIBRARY = os.environ.get("LIUHEN_VENDOR_LIB", "")
DIGEST = "79ced4de6b18d5e96a21cd06f325794dc8957f8925120538d56d4ce827d3dfd0"


# --- the file ---


def test_no_library_a_missing_one_and_another_one_are_three_sentences(tmp_path: Path) -> None:
    (tmp_path / "lib.so").write_bytes(b"abc")
    cases = [("", "", "LIBRARY_NOT_SET"), ("absent.so", "", "LIBRARY_MISSING"), ("lib.so", "00" * 32, "LIBRARY_DIFFERS")]
    for name, sha256, code in cases:
        with pytest.raises(UsageError) as error:
            library.find(tmp_path, library=name, sha256=sha256)
        assert (error.value.code, int(error.value.exit_code)) == (code, 2)
    found = library.find(tmp_path, library="lib.so", sha256="BA7816BF8F01CFEA414140DE5DAE2223B00361A396177A9CB410FF61F20015AD")
    assert (found.known, found.sha256[:8]) == ("", "ba7816bf")


@pytest.mark.parametrize("kind", ["no library", "a library of something else"])
def test_a_file_that_cannot_be_loaded_is_one_sentence(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "lib.so"
    if kind == "no library":
        path.write_bytes(b"\x7fELF for another machine")
    else:
        import _ctypes

        path = Path(_ctypes.__file__)
    with pytest.raises(UsageError) as error:
        Child(path)
    assert error.value.code == "LIBRARY_UNUSABLE"


def test_a_home_without_library_or_secret_says_which(tmp_path: Path) -> None:
    at = firm.home(tmp_path, keys=())
    with pytest.raises(UsageError) as error:
        open_source(at, CORP)
    assert error.value.code == "LIBRARY_NOT_SET"
    (at.path / "lib.so").write_bytes(b"abc")
    with pytest.raises(UsageError) as error:
        open_source(setting(at, "source.library", "lib.so"), CORP)
    assert error.value.code == "SECRET_FORM"


# --- frames ---


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    """Two ends of one descriptor."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield ours, theirs


@pytest.mark.parametrize("fields", [[], [b""], [b"a", b"", b"\0\xff" * 3], [b"x" * 3_000_000, b"y"]])
def test_what_is_sent_arrives(pair: tuple[socket.socket, socket.socket], fields: list[bytes]) -> None:
    sender = threading.Thread(target=frames.send, args=(pair[0], fields))
    sender.start()
    assert frames.receive(pair[1]) == fields
    sender.join()


def test_an_end_in_the_middle_and_nonsense_are_an_end(pair: tuple[socket.socket, socket.socket]) -> None:
    pair[0].sendall(b"\x01" + b"\xff" * 8)
    with pytest.raises(frames.Ended):
        frames.receive(pair[1])
    pair[0].sendall(b"\x01" + (5).to_bytes(8) + b"ab")
    pair[0].shutdown(socket.SHUT_RDWR)
    with pytest.raises(frames.Ended):
        frames.receive(pair[1])


# --- the child that dies ---


def test_a_child_that_keeps_dying_is_started_again_with_a_growing_pause_and_one_call_that_works_ends_it(monkeypatch: pytest.MonkeyPatch) -> None:
    ends = [CHILD_DIED] * 9 + [0, CHILD_DIED, 0]
    started: list[int] = []
    slept: list[float] = []

    class Dying:
        def __init__(self, _: Path) -> None:
            started.append(1)

        def call(self, *_: bytes, timeout_s: float) -> list[bytes]:
            if code := ends.pop(0):
                raise VendorError(code, "chat_data")
            return [b"", b"0", b"{}"]

    monkeypatch.setattr(vendor_module, "Child", Dying)
    source = Native(Restarting(LibraryFile(Path("x"), "", ""), sleep=slept.append), timeout_s=1)
    for _ in range(8):
        with pytest.raises(VendorError):
            source.chat_data(0, 1)
    source.renew()  # it dies at that too, which is renewal enough
    assert source.chat_data(0, 1) == b"{}"
    with pytest.raises(VendorError):
        source.chat_data(0, 1)
    assert source.chat_data(0, 1) == b"{}"
    assert slept == [0.05, 0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0, 0.05]
    assert len(started) == 11


# --- the real one ---

vendor = pytest.mark.vendor
needs_it = pytest.mark.skipif(not LIBRARY, reason="LIUHEN_VENDOR_LIB does not name the vendor library")


@pytest.fixture
def running() -> Iterator[Restarting]:
    """The library for corp ww1 behind a proxy that is not there."""
    found = library.find(Path("/"), library=LIBRARY.lstrip("/"), sha256=DIGEST)
    made = Restarting(found, account=[b"ww1", b"secret", b"http://127.0.0.1:9", b"", b"5"], sleep=lambda _: None)
    yield made
    made.close()


def sealed() -> tuple[bytes, bytes]:
    """A random key and an envelope that open to {"a":1}."""
    rng = random.Random(5)
    key = RandomKey.new(rng)
    return key.text, sealing.seal(b'{"a":1}', key, rng)


@vendor
@needs_it
def test_a_record_that_ends_the_library_is_told_and_the_next_one_opens(running: Restarting) -> None:
    key, box = sealed()
    with pytest.raises(VendorError) as error:
        running.call(b"decrypt", key, b"short", timeout_s=120)
    assert error.value.code == CHILD_DIED
    assert running.call(b"decrypt", key, box, timeout_s=120) == [b'{"a":1}']


@vendor
@needs_it
def test_a_proxy_that_is_not_there_is_the_network_and_those_of_the_environment_do_not_count(running: Restarting, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "*")
    monkeypatch.setenv("no_proxy", "*")
    source = Native(running, timeout_s=120)
    for _ in range(2):
        with pytest.raises(VendorError) as error:
            source.chat_data(0, 1000)
        assert error.value.code == 10001
        source.renew()
    for limit in (0, 1001):
        with pytest.raises(VendorError) as error:
            source.chat_data(0, limit)
        assert error.value.code == 10000
    assert source.library == DIGEST


@vendor
@needs_it
def test_a_call_that_does_not_come_back_ends_the_child_and_a_new_one_answers(running: Restarting) -> None:
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        stuck = Restarting(running.file, account=[b"ww1", b"s", f"http://127.0.0.1:{deaf.getsockname()[1]}".encode(), b"", b"60"], sleep=lambda _: None)
        with pytest.raises(VendorError) as error:
            stuck.call(b"chat_data", b"0", b"1000", timeout_s=0.5)
        assert error.value.code == TIMED_OUT
        key, box = sealed()
        assert stuck.call(b"decrypt", key, box, timeout_s=120) == [b'{"a":1}']
        stuck.close()


@vendor
@needs_it
def test_secrets_are_neither_arguments_nor_environment_of_the_child(running: Restarting) -> None:
    key, box = sealed()
    running.call(b"decrypt", key, box, timeout_s=120)
    pid = running._running()._process.pid
    if os.geteuid() == 0:  # nobody else may look inside
        for name in ("cmdline", "environ"):
            assert b"secret" not in Path(f"/proc/{pid}/{name}").read_bytes()


@pytest.fixture
def home(tmp_path: Path) -> Home:
    """A home whose opener is the library."""
    return setting(firm.home(tmp_path), "source.library", LIBRARY)


@vendor
@needs_it
def test_an_archive_opened_by_the_library_equals_one_opened_by_ours(home: Home, tmp_path: Path) -> None:
    batch = {n: message(n, f"第{n}句 保本保息") for n in range(1, 30)}
    saved = firm.page(tmp_path, "a.json", batch)
    firm.run(home, saved)
    other = tmp_path / "other"
    other.mkdir()
    own = firm.home(other)
    assert native.decrypt_of(own) is None and isinstance(native.decrypt_of(home), native.Opener)
    firm.run(own, saved)
    query = "select seq, msgid, raw, text from messages order by seq"
    assert firm.rows(home, query) == firm.rows(own, query) and len(firm.rows(own, query)) == 29


@vendor
@needs_it
def test_a_record_that_ends_the_library_is_kept_as_a_failure_and_the_rest_is_archived(home: Home, tmp_path: Path) -> None:
    items = [firm.item(n, message(n)) for n in (1, 2, 3)]
    # s_len lies behind the end of what is left: the library ends its process (envelope-format.md 2)
    key = RandomKey.new(random.Random(1), pre_len=7, end_len=11, s_len=44)
    public = firm.private_key(1).public_key()
    items[1] = sealing.seal_item(json.dumps(message(2)).encode(), seq=2, msgid="m2", version=1, public_key=public, key=key)
    head, tail = items[1].split(b'"encrypt_chat_msg":"')
    items[1] = head + b'"encrypt_chat_msg":"' + tail[:91] + b'"}'
    ended = firm.run(home, firm.page(tmp_path, "a.json", items))
    assert firm.fates(ended) == {"archived": 2, "failed": 1}
    assert firm.values(home, "select seq, code from failures") == [(2, "ENVELOPE_MALFORMED")]


@vendor
@needs_it
def test_where_the_library_refuses_ours_refuses_too() -> None:
    key, box = sealed()
    opener = native.Opener(LibraryFile(Path(LIBRARY), DIGEST, ""))
    for damaged in (box[:60], box[:-1], b"x" * 120, box[:20] + b"?" * 30 + box[50:]):
        for decrypt in (opener, envelope.decrypt_data):
            with pytest.raises(RecordError):
                decrypt(key, damaged)
    opener.close()


@vendor
@needs_it
def test_a_wrong_secret_is_told_apart_from_the_network_by_what_the_library_prints(tmp_path: Path) -> None:
    from tests.simulate.doubles import double, served
    from tests.simulate.homes import home_of, patient, quick

    with served(double(tmp_path / "sim", messages=500)) as asker:
        corp = asker.server.double.corp.corp_id
        wrong = tmp_path / "wrong"
        wrong.write_text("no-such-secret")
        wrong.chmod(0o600)
        home = home_of(asker, tmp_path, library=LIBRARY, settings={f"corp.{corp}.archive_secret": f"file:{wrong}"})
        with contextlib.closing(open_source(home, corp)) as source:
            told = Pull(home, corp, source, run_id="r", sleep=patient, pace=quick()).run()
        assert (told.code, told.exit_code, told.calls, told.pages) == ("SOURCE_SECRET", 4, 1, 0)
