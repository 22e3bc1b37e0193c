"""Each thing that can be wrong before the first pull is one row: what, how it is, and the fix, in both languages."""

from __future__ import annotations

import json
import os
import platform as machine_of
import time
from collections.abc import Callable, Iterator
from email.utils import formatdate
from pathlib import Path
from typing import Any

import msgspec
import pytest

from pipeline import words
from pipeline.config import Corp
from pipeline.doctor import examine, findings, keys, library, machine, network
from pipeline.doctor.findings import Finding
from pipeline.errors import SourceRefused
from pipeline.home import Home
from pipeline.wecom.client import Client
from tests import firm, ports
from tests.firm import message
from tests.wecom.platform import Platform, platform

OK: dict[str, Any] = {"errcode": 0, "errmsg": "ok"}
WORKING: dict[str, list[Any]] = {
    "msgaudit__get_permit_user_list": [{**OK, "ids": ["zhangsan", "lisi"]}], "department__list": [{**OK, "department": [{"id": 1, "name": "公司", "parentid": 0}]}]
}  # fmt: skip


def by_check(found: Iterator[Finding] | list[Finding]) -> dict[str, tuple[str, str]]:
    """check → (state, outcome or error code)"""
    return {f.check: (f.state, f.code or f.outcome) for f in found}


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Home:
    return firm.home(tmp_path_factory.mktemp("doctor"), settings={"corp.ww1.contacts_secret": "env:X"})


# --- every outcome that the code can name has its words ---


def outcomes() -> set[str]:
    """Every `doctor.CHECK.OUTCOME` in the modules of the doctor, read from their text."""
    import ast

    found: set[str] = set()
    for path in (Path(examine.__file__).parent).glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "Finding":
                given = {k.arg: k.value for k in node.keywords}
                checks = [str(c.value) for c in ast.walk(given["check"]) if isinstance(c, ast.Constant)]
                results = [str(c.value) for c in ast.walk(given["outcome"]) if isinstance(c, ast.Constant) and c.value]
                found |= {f"doctor.{c}.{r}" for c in checks for r in results}
    return found


def test_every_outcome_is_told_in_both_languages() -> None:
    assert len(outcomes()) > 25
    missing = {key for key in outcomes() if key not in words.catalogue() or key.rsplit(".", 1)[0] not in words.catalogue()}
    assert missing == set()


def test_what_is_not_right_comes_with_a_fix() -> None:
    quiet = {"ok", "configured", "loopback", "no_library", "no_records", "offline", "unreached"}
    told = {k for k in words.catalogue() if k.startswith("doctor.") and k.count(".") == 2 and k.split(".")[2] not in quiet}
    assert {k for k in told if f"{k}.fix" not in words.catalogue()} == set()


# --- the machine ---


def test_a_good_disk_keeps_its_promises_and_nothing_stays_behind(home: Home) -> None:
    before = sorted(home.path.rglob("*"))
    found = by_check(machine.look(home.path))
    assert {c: found[c] for c in ("put_if_absent", "rename", "locks", "permissions")} == dict.fromkeys(("put_if_absent", "rename", "locks", "permissions"), ("ok", "ok"))
    assert sorted(home.path.rglob("*")) == before


def test_a_file_system_without_links_is_found(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)
    found = list(machine.look(home.path))
    assert by_check(found)["put_if_absent"][0] == "bad" and findings.exit_of(found) == 9


def test_a_link_that_overwrites_is_found(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    def overwriting(source: Path, target: Path) -> None:
        os.replace(source, target)
        source.touch()

    monkeypatch.setattr(os, "link", overwriting)
    assert by_check(machine.look(home.path))["put_if_absent"] == ("bad", "missing")


@pytest.mark.parametrize(("free_mb", "expected"), [(10, ("bad", "full")), (1_000, ("warning", "low")), (100_000, ("ok", "ok"))])
def test_space_is_judged_before_it_runs_out(home: Home, monkeypatch: pytest.MonkeyPatch, free_mb: int, expected: tuple[str, str]) -> None:
    class Found:
        f_bavail, f_frsize, f_favail, f_files = free_mb << 8, 4096, 50, 100

    monkeypatch.setattr(os, "statvfs", lambda _: Found)
    found = by_check(machine.look(home.path))
    assert (found["disk"], found["inodes"]) == (expected, ("warning", "low"))


def test_a_key_that_others_can_read_is_named(tmp_path: Path) -> None:
    home = firm.home(tmp_path, keys=())
    (home.path / "keys" / "master.key").chmod(0o644)
    (row,) = [f for f in machine.look(home.path) if f.check == "permissions"]
    assert row.state == "warning" and "keys/master.key" in findings.result_of(row, "en")
    assert findings.fix_of(row, "zh") == f"执行 chmod -R go= {home.path}"


# --- keys ---


def test_keys_pass_their_known_answer_and_versions_that_are_waited_for_are_named(tmp_path: Path) -> None:
    home = firm.home(tmp_path, keys=(1,))
    assert by_check(keys.look(home, "ww1")) == {"keys": ("ok", "ok")}
    firm.run(home, firm.page(tmp_path, "a.json", [firm.item(1, message(1), version=3), firm.item(2, message(2), version=3)]))
    waiting = list(keys.look(home, "ww1"))[-1]
    assert (waiting.state, findings.result_of(waiting, "en")) == ("bad", "2 records wait for the private key of version 3")
    assert by_check([keys.look_home(home)]) == {"master": ("ok", "ok")}


def test_a_key_that_withheld_records_are_sealed_for_is_missed(tmp_path: Path) -> None:
    home = firm.home(tmp_path, keys=(1,))
    firm.run(home, firm.page(tmp_path, "a.json", {1: message(1, at_ms=firm.T0 + 1), 2: firm.refusal(2, at_ms=firm.T0)}))
    assert by_check(keys.look(home, "ww1")) == {"keys": ("ok", "ok")}
    home.retire_key("ww1", 1)
    needed = list(keys.look(home, "ww1"))[-1]
    assert (needed.outcome, needed.values) == ("needed", {"version": 1, "n": 1}) and "keep that key" in findings.fix_of(needed, "en")


def test_no_key_at_all_is_told_with_the_command_that_adds_one(tmp_path: Path) -> None:
    (row,) = keys.look(firm.home(tmp_path, keys=()), "ww1")
    assert (row.state, row.outcome) == ("bad", "none") and "liuhen keys add" in findings.fix_of(row, "en")


# --- WeCom ---


def asked(at: Platform) -> Callable[[Home, str], Client]:
    return lambda _home, _corp: at.client()


def test_a_working_set_up_has_no_bad_row(home: Home) -> None:
    (corp,) = home.config.corp
    with platform(**WORKING) as at:
        assert by_check(network.look(home, corp, open_client=asked(at))) == {
            "secret": ("ok", "ok"), "address": ("ok", "ok"), "licence": ("ok", "ok"), "contacts": ("ok", "ok")
        }  # fmt: skip
        assert at.paths().count("gettoken") == 2


@pytest.mark.parametrize(
    ("answers", "expected", "code"),
    [
        pytest.param({"gettoken": [{"errcode": 40001}]}, ("secret", "WECOM_SECRET"), 4, id="wrong secret"),
        pytest.param({"gettoken": [{"errcode": 40013}]}, ("secret", "WECOM_SECRET"), 4, id="wrong corp id"),
        pytest.param({"gettoken": [{"errcode": 60020}]}, ("address", "WECOM_ADDRESS"), 4, id="address refused for the token"),
        pytest.param({"msgaudit__get_permit_user_list": [{"errcode": 301042}]}, ("address", "WECOM_ADDRESS"), 4, id="address not in the archive's list"),
        pytest.param({"msgaudit__get_permit_user_list": [{"errcode": 301052}]}, ("licence", "WECOM_LICENCE"), 4, id="licence expired"),
        pytest.param({"msgaudit__get_permit_user_list": [{"errcode": 301053}]}, ("licence", "WECOM_LICENCE"), 4, id="never enabled"),
        pytest.param({"msgaudit__get_permit_user_list": [{"errcode": 48002}]}, ("secret", "WECOM_PERMISSION"), 4, id="the secret of another application"),
        pytest.param({"department__list": [{"errcode": 48002}]}, ("contacts", "WECOM_PERMISSION"), 4, id="the app may not see the directory"),
        pytest.param({"gettoken": [502]}, ("secret", "WECOM_HTTP"), 3, id="a gateway in between"),
    ],
)  # fmt: skip
def test_what_wecom_refuses_is_one_bad_row_with_its_fix(home: Home, answers: dict[str, list[Any]], expected: tuple[str, str], code: int) -> None:
    (corp,) = home.config.corp
    with platform(**{**WORKING, **answers}) as at:
        found = list(network.look(home, corp, open_client=asked(at)))
    bad = [f for f in found if f.state == "bad" and f.check == expected[0]]
    assert [(f.check, f.code) for f in bad] == [expected] and findings.exit_of(found) == code
    for lang in ("zh", "en"):
        assert findings.result_of(bad[0], lang) and findings.fix_of(bad[0], lang)
    assert findings.refused(found) == (code == SourceRefused.exit_code)


def test_a_licence_that_nobody_uses_is_warned_about(home: Home) -> None:
    (corp,) = home.config.corp
    with platform(**{**WORKING, "msgaudit__get_permit_user_list": [{**OK, "ids": []}]}) as at:
        assert by_check(network.look(home, corp, open_client=asked(at)))["licence"] == ("warning", "nobody")


def at_address(folder: Path, **settings: str) -> Home:
    return firm.home(folder, keys=(), settings={f"wecom.{k}": v for k, v in settings.items()})


def test_an_address_nobody_answers_ends_the_questions(tmp_path: Path) -> None:
    with ports.kept() as port:
        home = at_address(tmp_path, base_url=f"http://127.0.0.1:{port}")
        found = list(examine.examine(home, ["ww1"]))
    assert by_check(found)["dns"] == ("bad", "unreachable") and by_check(found)["secret"] == ("bad", "SECRET_FORM")
    assert by_check([network.look_unasked(home, Corp(id="ww1", archive_secret="env:PATH"), offline=False)]) == {"secret": ("skipped", "unreached")}
    assert "certificate" not in by_check(found)


def test_a_demo_whose_double_has_ended_blames_no_firewall(tmp_path: Path) -> None:
    with ports.kept() as port:
        home = at_address(tmp_path, base_url=f"http://127.0.0.1:{port}")
        home.config = msgspec.structs.replace(home.config, demo=True)
        (found,) = network.look_home(home)
    assert (found.state, found.outcome, found.exit_code) == ("bad", "double", 3)
    assert "防火墙" not in findings.fix_of(found, "zh") and "liuhen demo" in findings.fix_of(found, "zh")


def test_a_proxy_that_is_down_is_told_as_the_proxy(tmp_path: Path) -> None:
    with ports.kept() as port:
        home = at_address(tmp_path, proxy=f"http://127.0.0.1:{port}")
        assert by_check(network.look_home(home)) == {"proxy": ("bad", "unreachable")}


def test_a_name_that_nobody_knows_is_told_apart_from_one_that_does_not_answer(tmp_path: Path) -> None:
    assert by_check(network.look_home(at_address(tmp_path, base_url="https://no-such-host.invalid"))) == {"dns": ("bad", "unknown")}


@pytest.mark.parametrize(("there", "expected"), [(True, None), (False, ("warning", "missing"))])
def test_root_certificates_where_the_library_looks_for_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, there: bool, expected: tuple[str, str] | None) -> None:
    monkeypatch.setattr(library, "DEFAULT_CA", Path(__file__) if there else tmp_path / "none.crt")
    monkeypatch.setattr(library, "_loads", lambda _: Finding(check="library_loads", state="ok", outcome="ok"))
    found = by_check(library.look_home(with_library(tmp_path, X86_64), machine="x86_64"))
    assert (found.get("library_ca"), found["library_tls"]) == (expected, ("note", "unverified"))


@pytest.mark.parametrize(("off", "expected"), [(0, ("ok", "ok")), (31, ("warning", "off")), (-31, ("warning", "off")), (301, ("bad", "off"))])
def test_the_clock_is_held_against_wecoms(off: int, expected: tuple[str, str]) -> None:
    assert by_check([network._clock(formatdate(1_795_000_000, usegmt=True), 1_795_000_000.0 + off)]) == {"clock": expected}
    assert by_check([network._clock("yesterday", 0.0)]) == {"clock": ("warning", "unknown")}


def test_the_way_to_wecom_is_tried_with_one_request(tmp_path: Path) -> None:
    with platform() as at:
        home = at_address(tmp_path, base_url=at.url)
        found = by_check(network.look_home(home, now_s=time.time))
    assert found == {"dns": ("ok", "ok"), "certificate": ("note", "loopback"), "clock": ("ok", "ok")} and at.paths() == ["/"]


# --- the library ---


def with_library(folder: Path, head: bytes, **more: str) -> Home:
    file = folder / "sdk.so"
    file.write_bytes(head)
    return firm.home(folder, settings={"source.library": str(file), "source.opener": "open", **more})


X86_64 = b"\x7fELF\x02\x01\x01" + bytes(9) + (3).to_bytes(2, "little") + (62).to_bytes(2, "little")


def test_without_a_library_pulling_is_said_to_be_impossible(home: Home) -> None:
    assert by_check(library.look_home(home)) == {"library": ("warning", "unset")}


def test_a_library_of_another_machine_is_told_before_it_is_loaded(tmp_path: Path) -> None:
    home = with_library(tmp_path, X86_64)
    found = {f.check: f for f in library.look_home(home, machine="aarch64")}
    assert findings.result_of(found["library"], "en") == "is built for x86_64, this machine is aarch64"
    assert (found["library_digest"].outcome, found["library_loads"].code, found["library_tls"].state) == ("unknown", "LIBRARY_UNUSABLE", "note")
    assert by_check(library.look_home(home, machine="AMD64"))["library"] == ("ok", "ok")


@pytest.mark.parametrize(
    ("more", "check", "code"),
    [
        pytest.param({"source.library_sha256": "00" * 32}, "library", "LIBRARY_DIFFERS", id="another digest"),
        pytest.param({"source.library": "none.so"}, "library", "LIBRARY_MISSING", id="no file"),
    ],
)
def test_a_library_that_is_not_the_one_configured_is_not_loaded(tmp_path: Path, more: dict[str, str], check: str, code: str) -> None:
    found = list(library.look_home(with_library(tmp_path, X86_64, **more)))
    assert by_check(found) == {check: ("bad", code)} and findings.exit_of(found) == 2


class Told:
    """The library's child, answering what our own opener says, or something else."""

    def __init__(self, other: bytes | None = None) -> None:
        self._other = other

    def call(self, _name: bytes, key_block: bytes, chat_msg: bytes, *, timeout_s: float) -> list[bytes]:
        from pipeline.envelope import decrypt_data

        return [self._other if self._other is not None else decrypt_data(key_block, chat_msg)]

    def close(self) -> None:
        pass


@pytest.mark.parametrize(("other", "expected"), [(None, ("ok", "ok")), (b"{}", ("bad", "differ"))])
def test_both_openers_are_compared_on_the_archives_own_records(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, other: bytes | None, expected: tuple[str, str]
) -> None:
    home = with_library(tmp_path, X86_64)
    assert by_check([library.look_openers(home, "ww1")]) == {"openers": ("note", "no_records")}
    firm.run(home, firm.page(tmp_path, "a.json", {n: message(n) for n in range(1, 31)}))
    monkeypatch.setattr(library, "Restarting", lambda _file: Told(other))
    row = library.look_openers(home, "ww1")
    assert by_check([row]) == {"openers": expected} and row.values["n"] == 20


@pytest.mark.vendor
def test_the_real_library_agrees_with_our_opener(tmp_path: Path) -> None:
    home = firm.home(tmp_path, settings={"source.library": os.environ["LIUHEN_VENDOR_LIB"]})
    firm.run(home, firm.page(tmp_path, "a.json", {n: message(n) for n in range(1, 31)}))
    found = by_check(library.look_home(home))
    assert (found["library_loads"], found["library"]) == (("ok", "ok"), ("ok", "ok")) and machine_of.machine() == "x86_64"
    assert by_check([library.look_openers(home, "ww1")]) == {"openers": ("ok", "ok")}


# --- the command ---


def test_the_command_gives_rows_and_an_exit_code(tmp_path: Path) -> None:
    from tests.cli.liuhen import liuhen

    home = firm.home(tmp_path, settings={"corp.ww1.archive_secret": "env:PATH"})
    ended = liuhen(home.path, "doctor", "--offline", "--format", "json")
    rows = json.loads(ended.out)
    assert ended.code == 0 and {"what", "corp", "state", "result", "fix"} == set(rows[0])
    assert [r["fix"] for r in rows if r["what"] == "vendor library"] == ["liuhen config set source.library PATH (libWeWorkFinanceSdk_C.so, from WeCom's site)"]
    assert "checks:" in ended.err
