"""Checkpoints are stamped by an authority that answers over HTTP, wait while it is down, and both verifiers know a stamp that does not hold."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from pipeline import config, durable
from pipeline.errors import ArchiveError, UsageError
from pipeline.evidence import checkpoint, matter, stamp_check, stamps
from pipeline.evidence.check import check
from pipeline.home import Home
from pipeline.source.cycle import STEPS, Cycle, run
from pipeline.verify import verify_archive
from tests import firm, ports
from tests.cli.liuhen import liuhen
from tests.evidence.authority import Authority
from tests.evidence.bag import SCRIPT, Files, refused_by_both, unzipped, verdicts, zipped
from tests.evidence.test_bundle import export
from tests.source.fake import Fake

pytestmark = pytest.mark.slow


def configured(at: Home, authority: Authority, **more: str) -> Home:
    """The home with this authority."""
    toml = at.path / "liuhen.toml"
    for key, value in {"stamp_url": authority.url, "stamp_roots": str(authority.roots), **more}.items():
        durable.replace(toml, config.changed(toml.read_text("utf-8"), f"evidence.{key}", value).encode())
    return Home(at.path)


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Authority]:
    with Authority(tmp_path_factory.mktemp("tsa")) as running:
        yield running


@pytest.fixture(scope="module")
def stamped(tmp_path_factory: pytest.TempPathFactory, authority: Authority) -> Home:
    """Two checkpoints, each with a stamp."""
    folder = tmp_path_factory.mktemp("stamped")
    at = configured(firm.home(folder), authority)
    matter.begin(at, firm.CORP, "2026-0142", title="保单纠纷", reason="投诉", review_on=None)
    for n in (1, 2):
        firm.run(at, firm.page(folder, f"{n}.json", {n: firm.message(n, f"第{n}句")}))
        checkpoint.make(at, firm.CORP)
        assert stamps.ask(at, firm.CORP) == stamps.Result(stamped=1)
    return at


def test_a_stamp_is_kept_beside_its_checkpoint_with_request_and_roots(stamped: Home, authority: Authority) -> None:
    names = sorted(p.name for p in checkpoint.folder(stamped, firm.CORP).iterdir() if p.suffix != ".bin" and p.name != "cache.json")
    assert names == [f"{n:012d}.{s}" for n in (1, 2) for s in ("note", "pem", "tsq", "tsr")]
    for point in checkpoint.all_of(stamped, firm.CORP):
        told = stamps.stamp_of(point)
        assert told is not None and abs(told.at_ms - point.said.at_ms) < 60_000 and told.policy == "1.2.3.4.1"
    made = [e for e in stamped.custody.entries() if (e.command, e.phase) == ("stamp", "made")]
    assert [stamped.custody.params(e)["size"] for e in made] == [1, 2]
    assert verify_archive(stamped.path, firm.CORP).findings == []


def test_openssl_by_itself_finds_the_stamp_valid(stamped: Home, tmp_path: Path) -> None:
    at = checkpoint.folder(stamped, firm.CORP)
    words = ["openssl", "ts", "-verify", "-data", "000000000002.note", "-in", "000000000002.tsr", "-CAfile", "000000000002.pem"]
    assert b"Verification: OK" in subprocess.run(words, cwd=at, capture_output=True, check=True).stdout


def test_a_bundle_carries_the_stamps_and_both_verifiers_say_when(stamped: Home, authority: Authority, tmp_path: Path) -> None:
    data = export(stamped, customer="wmA")
    assert [n for n in sorted(unzipped(data)) if n.startswith("data/stamps/")] == [f"data/stamps/{n:012d}.{s}" for n in (1, 2) for s in ("pem", "tsq", "tsr")]
    ours, (code, words) = verdicts(tmp_path, data)
    assert (ours, code) == ("", 0), words
    assert "checkpoint 2 is stamped: 20" in words and "published this root certificate" in words
    report = check(tmp_path / "case.zip", roots=stamp_check.certificates(authority.roots.read_bytes()))
    assert report.sound and sorted(report.stamps) == [1, 2] and report.unchecked == ()
    ended = liuhen(None, "verify", "case.zip", "--stamp-roots", str(authority.roots), cwd=tmp_path)
    assert ended.code == 0 and "checkpoint 2 is stamped" in ended.err and "root certificate" not in ended.err


def test_without_openssl_the_signature_is_not_checked_and_the_exit_code_says_so(stamped: Home, tmp_path: Path) -> None:
    (tmp_path / "case.zip").write_bytes(export(stamped, customer="wmA"))
    words = [sys.executable, "-I", "-S", str(SCRIPT), "case.zip", "--lang", "en"]
    ended = subprocess.run(words, cwd=tmp_path, env={"PATH": str(tmp_path)}, capture_output=True, check=False)
    assert ended.returncode == 3 and b"not checked: signatures of time stamps" in ended.stdout


def test_stamps_under_a_root_that_nobody_published_fail(stamped: Home, tmp_path: Path) -> None:
    other = Authority(tmp_path / "other")
    (tmp_path / "case.zip").write_bytes(export(stamped, customer="wmA"))
    report = check(tmp_path / "case.zip", roots=stamp_check.certificates(other.roots.read_bytes()))
    assert "the time stamp of checkpoint 1 does not hold" in report.findings[-1].fault
    words = [sys.executable, "-I", "-S", str(SCRIPT), "case.zip", "--lang", "en", "--stamp-roots", str(other.roots)]
    ended = subprocess.run(words, cwd=tmp_path, capture_output=True, check=False)
    assert ended.returncode == 6 and b"the time stamp of checkpoint 1 does not hold" in ended.stdout


ONE, TWO = "data/stamps/000000000001", "data/stamps/000000000002"


def _of_another(files: Files, authority: Authority) -> None:
    files[f"{TWO}.tsr"], files[f"{TWO}.tsq"] = files[f"{ONE}.tsr"], files[f"{ONE}.tsq"]


def _sha1(files: Files, authority: Authority) -> None:
    files[f"{TWO}.tsq"] = authority.query(files["data/checkpoints/000000000002.note"], "sha1")
    files[f"{TWO}.tsr"] = authority.reply(files[f"{TWO}.tsq"])


def _another_request(files: Files, authority: Authority) -> None:
    files[f"{TWO}.tsq"] = authority.query(files["data/checkpoints/000000000002.note"])


def _another_root(files: Files, authority: Authority) -> None:
    other = Authority(authority.folder / "other")
    files[f"{TWO}.tsr"] = other.reply(files[f"{TWO}.tsq"])


def _byte(files: Files, authority: Authority) -> None:
    data = bytearray(files[f"{TWO}.tsr"])
    data[-20] ^= 1  # inside the signature
    files[f"{TWO}.tsr"] = bytes(data)


def _cut(files: Files, authority: Authority) -> None:
    files[f"{TWO}.tsr"] = files[f"{TWO}.tsr"][:200]


def _refused(files: Files, authority: Authority) -> None:
    files[f"{TWO}.tsr"] = bytes.fromhex("30053003020102")


def _nobodys(files: Files, authority: Authority) -> None:
    for suffix in ("pem", "tsq", "tsr"):
        files[f"data/stamps/000000000009.{suffix}"] = files[f"{TWO}.{suffix}"]


@pytest.mark.parametrize(
    ("damage", "named"),
    [
        pytest.param(_of_another, "the time stamp of checkpoint 2", id="of another checkpoint"),
        pytest.param(_sha1, "the time stamp of checkpoint 2", id="by a digest that is not allowed"),
        pytest.param(_another_request, "the time stamp of checkpoint 2", id="to another request"),
        pytest.param(_another_root, "the time stamp of checkpoint 2", id="by another authority"),
        pytest.param(_byte, "the time stamp of checkpoint 2", id="a bit of its signature flipped"),
        pytest.param(_cut, "the time stamp of checkpoint 2", id="cut"),
        pytest.param(_refused, "the time stamp of checkpoint 2", id="a refusal"),
        pytest.param(_nobodys, "a stamp of no checkpoint", id="of no checkpoint"),
    ],
)
def test_a_stamp_that_does_not_hold_is_named_by_both(
    stamped: Home, authority: Authority, tmp_path: Path, damage: Callable[[Files, Authority], None], named: str
) -> None:
    files = unzipped(export(stamped, customer="wmA"))
    damage(files, authority)
    refused_by_both(tmp_path, zipped(files), named)


def test_the_archives_verification_names_a_stamp_that_is_over_another_note(stamped: Home, tmp_path: Path) -> None:
    home = Path(shutil.copytree(stamped.path, tmp_path / "home"))
    at = home / "evidence" / firm.CORP / "checkpoints"
    shutil.copy(at / "000000000001.tsr", at / "000000000002.tsr")
    found = verify_archive(home, firm.CORP).findings
    assert [(f.code, f.values) for f in found] == [("EVIDENCE_STAMP", {"name": "000000000002.tsr"})]


def test_while_the_authority_is_down_checkpoints_wait_and_nothing_is_dated_back(tmp_path: Path) -> None:
    with ports.kept() as port:
        down_for_a_while(tmp_path, Authority(tmp_path / "tsa", port=port))


def down_for_a_while(tmp_path: Path, running: Authority) -> None:
    """The authority has a port, and nobody listens there yet."""
    at = configured(firm.home(tmp_path), running)
    for n in (1, 2):
        firm.run(at, firm.page(tmp_path, f"{n}.json", {n: firm.message(n)}))
        ended = liuhen(at.path, "checkpoint", "--format", "jsonl")
        assert ended.code == 3 and ended.rows[-1]["stamped_at"] is None
    asked = {p.name: p.read_bytes() for p in checkpoint.folder(at, firm.CORP).glob("*.tsq")}
    assert sorted(asked) == ["000000000001.tsq", "000000000002.tsq"]
    assert [e.result for e in at.custody.entries() if (e.command, e.phase) == ("stamp", "waiting")] == ["STAMP_UNREACHABLE"] * 2
    assert verify_archive(at.path, firm.CORP).counts["stamps that wait"] == 2
    back_ms = time.time() * 1000
    with running:
        ended = liuhen(at.path, "checkpoint", "--format", "jsonl")
        assert ended.code == 0 and all(row["stamped_at"] for row in ended.rows) and running.asked == 2
    told = [stamps.stamp_of(p) for p in checkpoint.all_of(at, firm.CORP)]
    assert all(t is not None and t.at_ms > back_ms - 2_000 for t in told)
    assert asked == {p.name: p.read_bytes() for p in checkpoint.folder(at, firm.CORP).glob("*.tsq")}  # the same requests


@pytest.mark.parametrize(("mode", "code"), [("500", "STAMP_STATUS"), ("junk", "STAMP_REFUSED"), ("refuse", "STAMP_REFUSED"), ("other", "STAMP_REFUSED")])
def test_an_answer_that_is_no_stamp_is_not_kept(tmp_path: Path, authority: Authority, mode: str, code: str) -> None:
    at = configured(firm.home(tmp_path), authority)
    checkpoint.make(at, firm.CORP)
    authority.mode = mode
    try:
        told = stamps.ask(at, firm.CORP)
    finally:
        authority.mode = ""
    assert told is not None and (told.stamped, told.waiting, told.code) == (0, 1, code)
    assert not list(checkpoint.folder(at, firm.CORP).glob("*.tsr"))


def test_a_certificate_of_a_version_that_there_is_not_makes_no_stamp(authority: Authority) -> None:
    note = b"a note\n"
    request = stamps.request_for(note)
    answer = authority.reply(request)
    version = b"\xa0\x03\x02\x01\x02"  # [0] { INTEGER 2 }: a certificate's first field
    assert version in answer
    roots = stamp_check.certificates(authority.roots.read_bytes())
    assert stamp_check.checked(note, answer, roots, request=request).at_ms
    with pytest.raises(stamp_check.NotAStamp):
        stamp_check.checked(note, answer.replace(version, b"\xa0\x03\x02\x01\x30"), roots, request=request)


class _Dripping(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        self.send_response(200)
        self.end_headers()
        with contextlib.suppress(OSError):
            for _ in range(1_000):
                self.wfile.write(b"x")
                time.sleep(0.02)

    def log_message(self, *args: object) -> None:
        pass


class _DrippingHeaders(_Dripping):
    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        with contextlib.suppress(OSError):
            for piece in (b"HTTP/1.1 200 OK\r\n", *(b"X-Slow: 1\r\n" for _ in range(200))):
                self.wfile.write(piece)
                time.sleep(0.05)


@pytest.mark.parametrize("drips", [_Dripping, _DrippingHeaders], ids=["the body drips in", "the headers drip in"])
def test_an_answer_that_drips_in_holds_nothing_up(tmp_path: Path, authority: Authority, monkeypatch: pytest.MonkeyPatch, drips: type[_Dripping]) -> None:
    at = configured(firm.home(tmp_path), authority)
    firm.run(at, firm.page(tmp_path, "1.json", {1: firm.message(1, "第1句")}))
    checkpoint.make(at, firm.CORP)
    monkeypatch.setattr(stamps, "LONGEST_S", 0.2)
    with ThreadingHTTPServer(("127.0.0.1", 0), drips) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        durable.replace(
            at.path / "liuhen.toml", config.changed((at.path / "liuhen.toml").read_text("utf-8"), "evidence.stamp_url", f"http://127.0.0.1:{server.server_port}/").encode()
        )
        told = stamps.ask(Home(at.path), firm.CORP)
        server.shutdown()
    assert told is not None and (told.stamped, told.waiting, told.code) == (0, 1, "STAMP_UNREACHABLE") and "longer" in told.why


def test_stamps_come_at_most_so_often(tmp_path: Path, authority: Authority) -> None:
    at = configured(firm.home(tmp_path), authority, stamp_hours="24")
    checkpoint.make(at, firm.CORP)
    assert stamps.ask(at, firm.CORP) == stamps.Result(stamped=1)
    firm.run(at, firm.page(tmp_path, "a.json", {1: firm.message(1)}))
    checkpoint.make(at, firm.CORP)
    assert stamps.ask(at, firm.CORP) == stamps.Result(stamped=0)


def test_no_authority_no_request(tmp_path: Path) -> None:
    at = firm.home(tmp_path)
    checkpoint.make(at, firm.CORP)
    assert stamps.ask(at, firm.CORP) is None


def test_a_cycle_stamps_what_it_signed_and_leaves_what_waits_with_exit_code_3(tmp_path: Path, authority: Authority) -> None:
    def one(at: Home) -> tuple[dict[str, object], int]:
        cycle = Cycle(at, firm.CORP, open_source=lambda *_: Fake())
        told = run(cycle, steps=[s for s in STEPS if s.name in ("checkpoint", "stamps")])
        return {**told.steps.get("stamps", {}), **told.skipped}, told.exit_code

    at = firm.home(tmp_path)
    assert one(at) == ({"stamps": "no time-stamp authority is configured"}, 0)
    at = configured(at, authority)
    assert one(at) == ({"stamped": 1, "waiting": 0}, 0)
    firm.run(at, firm.page(tmp_path, "a.json", {1: firm.message(1)}))
    authority.mode = "500"
    try:
        assert one(at) == ({"stamped": 0, "waiting": 1}, 3)
    finally:
        authority.mode = ""
    assert one(at) == ({"stamped": 1, "waiting": 0}, 0)


def test_without_the_library_stamps_are_not_checked_and_the_exit_code_says_so(stamped: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "case.zip").write_bytes(export(stamped, customer="wmA"))
    monkeypatch.setitem(sys.modules, "rfc3161_client", None)  # as where it is not installed
    report = check(tmp_path / "case.zip")
    assert report.sound and report.unchecked == ("stamps",) and report.stamps == {}
    with pytest.raises(UsageError) as told:
        stamps.request_for(b"note")
    assert told.value.code == "STAMP_EXTRA_MISSING"


@pytest.mark.parametrize(
    ("settings", "code"),
    [
        pytest.param({"stamp_url": "ftp://x"}, "STAMP_URL", id="no web address"),
        pytest.param({"stamp_roots": "nowhere.pem"}, "STAMP_ROOTS", id="no such file of roots"),
        pytest.param({"stamp_roots": "liuhen.toml"}, "STAMP_ROOTS", id="a file that holds no certificate"),
        pytest.param({"stamp_roots": '""'}, "STAMP_ROOTS", id="no roots at all"),
        pytest.param({"stamp_credentials": "env:LIUHEN_NOBODY_SET_THIS"}, "SECRET_MISSING", id="credentials that are not there"),
    ],
)
def test_settings_that_will_not_do_are_told_before_anything_is_sent(tmp_path: Path, authority: Authority, settings: dict[str, str], code: str) -> None:
    at = configured(firm.home(tmp_path), authority, **settings)
    checkpoint.make(at, firm.CORP)
    before = authority.asked
    with pytest.raises(UsageError) as told:
        stamps.ask(at, firm.CORP)
    assert told.value.code == code and authority.asked == before


def test_a_chain_that_expired_since_still_holds(tmp_path: Path) -> None:
    at = firm.home(tmp_path)
    matter.begin(at, firm.CORP, "2026-0142", title="保单纠纷", reason="投诉", review_on=None)
    firm.run(at, firm.page(tmp_path, "a.json", {1: firm.message(1)}))
    checkpoint.make(at, firm.CORP)
    for lasts in (10, 100):  # a slow machine may need longer for one stamp
        with Authority(tmp_path / f"tsa-{lasts}", lasts=timedelta(seconds=lasts)) as short, contextlib.suppress(ArchiveError):
            at = configured(at, short)
            if stamps.ask(at, firm.CORP) == stamps.Result(stamped=1):
                break
    data = export(at, customer="wmA")
    time.sleep(max(0.0, (short.until - datetime.now(UTC)).total_seconds()) + 1)
    now = ["openssl", "ts", "-verify", "-data", "000000000001.note", "-in", "000000000001.tsr", "-CAfile", "000000000001.pem"]
    assert subprocess.run(now, cwd=checkpoint.folder(at, firm.CORP), capture_output=True, check=False).returncode != 0  # it has expired
    ours, (code, words) = verdicts(tmp_path, data)
    assert (ours, code) == ("", 0), words
