"""Several RSA operations at once answer what one after the other answers; machines that cannot go on with OpenSSL, or refuse where that was demanded."""

from __future__ import annotations

import ctypes
import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15

from pipeline import ingest, multibuffer, status, words
from pipeline.config import Config, Ingest
from pipeline.doctor import keys as doctor_keys
from pipeline.enterprise_keys import KeySet
from pipeline.envelope import OpenSslRsa
from pipeline.errors import UsageError
from pipeline.home import Home
from pipeline.multibuffer import MultiBufferRsa, Unavailable, unpadded
from pipeline.reader import Reader
from pipeline.workbench import Workbench
from tests import firm
from tests.firm import message, page, run

KEYS = KeySet.of({
    1: rsa.generate_private_key(65537, 2048), 2: rsa.generate_private_key(65537, 2048),
    3: rsa.generate_private_key(65537, 3072), 4: rsa.generate_private_key(3, 2048),
})  # fmt: skip
MODULUS = KEYS[1].public_key().public_numbers().n


def why_not() -> str:
    """What keeps this machine from doing several at once; empty when nothing does."""
    try:
        multibuffer.library()
    except Unavailable as error:
        return str(error)
    return ""


def sealed(version: int, text: bytes) -> tuple[int, bytes]:
    return version, KEYS[version].public_key().encrypt(text, PKCS1v15())


# Both ways to do it, or the one that this machine has: there the other must say why not, and OpenSSL takes its place (the last two tests).
WAYS = [pytest.param(OpenSslRsa, id="one by one"), *([] if why_not() else [pytest.param(MultiBufferRsa, id="eight at once")])]


@pytest.mark.parametrize("count", [0, 1, 7, 8, 9, 40])
@pytest.mark.parametrize("way", WAYS)
def test_blocks_of_all_keys_open_in_their_order(way: Any, count: int) -> None:
    texts = [b"%03d" % n * 29 for n in range(count)]
    versions = [random.Random(n).choice([1, 1, 1, 2, 3, 4]) for n in range(count)]
    assert way(KEYS).decrypt_many([sealed(v, t) for v, t in zip(versions, texts, strict=True)]) == texts


@pytest.mark.parametrize(
    "block",
    [
        pytest.param(MODULUS.to_bytes(256, "big"), id="the modulus itself"),
        pytest.param(b"\xff" * 256, id="more than the modulus"),
        pytest.param(b"", id="nothing"),
        pytest.param(b"\1" * 255, id="a byte too few"),
        pytest.param(b"\1" * 257, id="a byte too many"),
    ],
)
@pytest.mark.parametrize("way", WAYS)
def test_what_is_no_ciphertext_of_the_key_opens_to_nothing_and_disturbs_no_other(way: Any, block: bytes) -> None:
    good = sealed(1, b"good")
    assert way(KEYS).decrypt_many([good, (1, block), good]) == [b"good", None, b"good"]


@pytest.mark.parametrize("number", [0, 1, MODULUS - 1, 1 << 2000], ids=["0", "1", "the largest", "2^2000"])
def test_numbers_without_padding_open_to_nothing(number: int) -> None:
    if not why_not():
        assert MultiBufferRsa(KEYS).decrypt_many([(1, number.to_bytes(256, "big"))]) == [None]
    assert unpadded(pow(number, KEYS[1].private_numbers().d, MODULUS).to_bytes(256, "big")) is None


@pytest.mark.parametrize(
    ("block", "text"),
    [
        pytest.param(b"\0\2" + b"p" * 8 + b"\0text", b"text", id="eight bytes of padding"),
        pytest.param(b"\0\2" + b"p" * 7 + b"\0text", None, id="seven"),
        pytest.param(b"\0\2" + b"p" * 8 + b"\0", b"", id="padding and nothing after it"),
        pytest.param(b"\0\2" + b"p" * 9, None, id="no end"),
        pytest.param(b"\0\1" + b"p" * 8 + b"\0text", None, id="type 1, which signs"),
        pytest.param(b"\1\2" + b"p" * 8 + b"\0text", None, id="no leading zero"),
        pytest.param(b"\0\2" + b"p" * 8 + b"\0a\0b", b"a\0b", id="a zero in the text"),
    ],
)
def test_padding_is_taken_off_by_rfc_8017(block: bytes, text: bytes | None) -> None:
    assert unpadded(block) == text


def test_a_processor_that_errs_is_seen_and_the_record_is_opened_by_openssl(monkeypatch: pytest.MonkeyPatch) -> None:
    if why := why_not():
        pytest.skip(f"not on this machine: {why}; the next tests say what it does")
    right = multibuffer.library().mbx_rsa_private_crt_mb8

    def wrong(given: Any, got: Any, *rest: Any) -> int:
        said = int(right(given, got, *rest))
        ctypes.memset(got[2], 0x55, 3)  # lane 2, as a fault in one prime would
        return said

    ways = MultiBufferRsa(KEYS)
    monkeypatch.setattr(multibuffer.library(), "mbx_rsa_private_crt_mb8", wrong)
    texts = [b"%d" % n for n in range(8)]
    opened = list(ways._lanes[1].private([sealed(1, t)[1] for t in texts]))
    assert [n for n, block in enumerate(opened) if block is None] == [2]
    assert ways.decrypt_many([sealed(1, t) for t in texts]) == texts


def test_entries_of_a_library_are_taken_out_by_name_and_nothing_else(tmp_path: Path) -> None:
    path = multibuffer.place()
    if path is None:
        pytest.skip("pyproject.toml installs the library on x86_64 Linux alone")
    image = path.read_bytes()
    made = multibuffer.without_needed(image, multibuffer.UNUSED)
    assert len(made) == len(image) and made != image
    assert multibuffer.without_needed(made, multibuffer.UNUSED) == made
    assert multibuffer.without_needed(image, frozenset()) == image


# -- what is used, and who is told --------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Home:
    return firm.home(tmp_path_factory.mktemp("home"))


def no_library(monkeypatch: pytest.MonkeyPatch, why: str) -> None:
    """A machine that cannot, for this cause."""
    monkeypatch.setattr(multibuffer, "_outcome", why)


def bench(home: Home) -> Workbench:
    return Workbench(home, firm.CORP, home.lake(firm.CORP).snapshot())


def told(home: Home) -> list[str | None]:
    """What the records of the runs say."""
    return firm.values(home, "SELECT rsa FROM runs ORDER BY started_at")


def test_eight_at_once_is_what_a_new_home_takes_where_it_can(tmp_path: Path) -> None:
    assert Config(corp=()).ingest.rsa == "auto"
    home = firm.home(tmp_path)
    run(home, page(tmp_path, "a.json", {1: message(1, "一")}))
    assert isinstance(bench(home).rsa, OpenSslRsa if why_not() else MultiBufferRsa)
    assert told(home) == [f"openssl:{why_not()}" if why_not() else "multi-buffer"]


@pytest.mark.parametrize(
    ("why", "state"), [("not_installed", "note"), ("processor", "note"), ("loading", "warning"), ("self_test", "warning")]
)
def test_where_it_is_not_possible_openssl_is_chosen_and_the_doctor_says_why(shared: Home, monkeypatch: pytest.MonkeyPatch, why: str, state: str) -> None:
    no_library(monkeypatch, why)
    assert isinstance(bench(shared).rsa, OpenSslRsa)
    found = doctor_keys.look_rsa(shared)
    assert (found.state, found.outcome) == (state, why)
    told_in = [words.catalogue()[key]["zh"] for key in (f"doctor.rsa.{why}", f"doctor.rsa.{why}.fix", f"rsa.openssl:{why}")]
    assert len(set(told_in)) == 3


def test_a_run_that_openssl_did_instead_says_so_in_its_record_and_in_status(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    no_library(monkeypatch, "self_test")
    home = firm.home(tmp_path)
    run(home, page(tmp_path, "a.json", {n: message(n, f"第 {n} 条") for n in range(1, 12)}))
    assert told(home) == ["openssl:self_test"]
    with Reader(home, firm.CORP) as reader:
        counted = status.gather(reader)
    assert counted["rsa"] == "openssl:self_test" and counted["archived"] == 11
    assert "RSA 运算      逐条（OpenSSL）：crypto_mb 自检未通过" in status.render(home, counted, "zh")


@pytest.mark.parametrize(
    ("why", "said"),
    [
        ("not_installed", "eight RSA operations at once are demanded, but ipp-crypto is not installed"),
        ("processor", "eight RSA operations at once are demanded, but this processor lacks AVX512-IFMA"),
        ("loading", "eight RSA operations at once are demanded, but crypto_mb does not load"),
        ("self_test", "eight RSA operations at once are demanded, but crypto_mb failed its self-test"),
    ],
)
def test_what_is_demanded_and_impossible_is_refused_before_anything_lands(shared: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, why: str, said: str) -> None:
    no_library(monkeypatch, why)
    home = Home(shared.path)
    home.config = msgspec.structs.replace(shared.config, ingest=Ingest(rsa="multi-buffer"))
    with pytest.raises(UsageError) as error:
        ingest.run(home, firm.CORP, sources=[page(tmp_path, "a.json", {1: message(1, "一")})])
    assert (error.value.code, error.value.message, int(error.value.exit_code)) == ("RSA_IMPOSSIBLE", said, 2)
    assert list(home.landing(firm.CORP).iterdir()) == []
    with pytest.raises(UsageError, match="demanded"):
        _ = bench(home).rsa
    found = doctor_keys.look_rsa(home)
    assert (found.state, found.code, found.exit_code) == ("bad", "RSA_IMPOSSIBLE", 2)


def broken(*_: Any) -> Any:
    raise RuntimeError("anything")


@pytest.mark.parametrize(
    ("name", "instead", "why"),
    [
        pytest.param("place", lambda: None, "not_installed", id="not installed"),
        pytest.param("place", lambda: Path(__file__), "loading", id="a file that is no library"),
        pytest.param("_loaded", broken, "loading", id="whatever may happen"),
        pytest.param("_works", lambda *_: False, "self_test", id="another answer than OpenSSL's"),
    ],
)
def test_whatever_fails_the_first_time_is_known_for_the_process_and_asked_once(
    monkeypatch: pytest.MonkeyPatch, name: str, instead: Callable[..., Any], why: str
) -> None:
    if name == "_works" and why_not():
        pytest.skip(f"not on this machine: {why_not()}")
    asked: list[str] = []

    def counted(*given: Any) -> Any:
        asked.append(name)
        return instead(*given)

    monkeypatch.setattr(multibuffer, "_outcome", None)
    if name == "_loaded":  # comes after there is a file
        monkeypatch.setattr(multibuffer, "place", lambda: Path(__file__))
    monkeypatch.setattr(multibuffer, name, counted)
    for _ in range(3):
        used, said = multibuffer.chosen("auto", KEYS)
        assert isinstance(used, OpenSslRsa) and said == f"openssl:{why}"
    assert asked == [name]


@pytest.mark.parametrize(
    ("lane", "bit"),
    [pytest.param(0, 0, id="first lane"), pytest.param(7, 255, id="last lane, last byte"), pytest.param(3, 100, id="in the middle")],
)
def test_a_library_that_errs_fails_its_self_test(monkeypatch: pytest.MonkeyPatch, lane: int, bit: int) -> None:
    if why := why_not():
        pytest.skip(f"not on this machine: {why}")
    lib = multibuffer.library()
    right = lib.mbx_rsa_private_crt_mb8

    def wrong(given: Any, got: Any, *rest: Any) -> int:
        said = int(right(given, got, *rest))
        at = ctypes.cast(got[lane] + bit, ctypes.POINTER(ctypes.c_uint8))
        at[0] ^= 1
        return said

    assert multibuffer._works(lib, KEYS[1])
    monkeypatch.setattr(lib, "mbx_rsa_private_crt_mb8", wrong)
    assert not multibuffer._works(lib, KEYS[1])


@pytest.mark.parametrize(
    ("versions", "said"),
    [
        pytest.param([], "openssl:keys", id="no key"),
        pytest.param([3, 4], "openssl:keys", id="3,072 bits, and another exponent"),
        pytest.param([3, 1], "multi-buffer", id="one that fits beside one that does not"),
    ],
)
def test_keys_of_other_kinds_alone_are_left_to_openssl(versions: list[int], said: str) -> None:
    if why := why_not():
        said = f"openssl:{why}"
    used, name = multibuffer.chosen("auto", KeySet.of({v: KEYS[v] for v in versions}))
    assert name == said and isinstance(used, MultiBufferRsa) == (said == "multi-buffer")


@pytest.mark.parametrize("asked", ["openssl", "auto", pytest.param("multi-buffer", marks=[] if not why_not() else pytest.mark.skip(reason=why_not()))])
def test_an_archive_is_the_same_by_both_ways(tmp_path: Path, asked: str) -> None:
    home = firm.home(tmp_path, settings={"ingest.rsa": asked})
    run(home, page(tmp_path, "a.json", {n: message(n, f"第 {n} 条") for n in range(1, 12)}))
    assert isinstance(bench(home).rsa, OpenSslRsa if asked == "openssl" or why_not() else MultiBufferRsa)
    texts = home.lake(firm.CORP).read("messages", home.lake(firm.CORP).snapshot().of("messages"), columns=["seq", "text"]).sort_by("seq")["text"].to_pylist()
    assert texts == [f"第 {n} 条" for n in range(1, 12)]
    assert told(home) == ["openssl" if asked == "openssl" else f"openssl:{why_not()}" if why_not() else "multi-buffer"]
    found = doctor_keys.look_rsa(home)
    assert (found.state, found.outcome) == (("ok", "configured") if asked == "openssl" else ("note", why_not()) if why_not() else ("ok", "ok"))


def test_records_that_came_open_need_no_private_operation_and_none_is_told(tmp_path: Path) -> None:
    home = firm.home(tmp_path)
    path = tmp_path / "p.jsonl"
    path.write_text(json.dumps({"seq": 1, "message": message(1, "一")}), "utf-8")
    run(home, plain=[path])
    assert told(home) == [None]
