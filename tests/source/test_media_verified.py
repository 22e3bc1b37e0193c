"""`verify --archive` opens every fetched file: what is missing, swapped, cut or changed is named, with the records that need it."""

from __future__ import annotations

import hashlib
import json
import os
import random
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline.home import Home
from pipeline.removing import take_out
from pipeline.removing.take_out import Going, Removal
from pipeline.source import media_store
from pipeline.verify import verify_archive
from pipeline.verify_report import Report
from tests import firm
from tests.cli.liuhen import liuhen
from tests.firm import CORP
from tests.source.test_media import MONTH, Files, fetch, image

# f2 and f4 have the same content: one stored file, two records.
CONTENTS = {"f1": b"hello, files", "f2": b"the same", "f3": b"a third one, longer", "f4": b"the same"}


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An archive with four files of three contents."""
    folder = tmp_path_factory.mktemp("verified")
    at = firm.home(folder)
    firm.run(at, firm.page(folder, "a.json", {n: image(n, f"f{n}") for n in (1, 2, 3, 4)}))
    assert fetch(at, Files(CONTENTS)).unverifiable == 4
    return at.path


@pytest.fixture
def home(tmp_path: Path, template: Path) -> Path:
    """A copy of it."""
    return Path(shutil.copytree(template, tmp_path / "home"))


def stored(home: Path, fileid: str) -> Path:
    """Where the content of this file lies."""
    return media_store.address(Home(home), CORP, MONTH, hashlib.sha256(CONTENTS[fileid]).hexdigest())


def found(home: Path) -> list[tuple[str, str]]:
    """(code, records) of every finding."""
    return [(f.code, f.records) for f in verify_archive(home, CORP).findings]


def test_an_undamaged_archive_has_no_finding_and_says_what_was_opened(home: Path) -> None:
    report: Report = verify_archive(home, CORP)
    assert report.findings == []
    assert (report.counts["fetched files"], report.counts["bytes of fetched files"]) == (3, 39)


def leaves(home: Path, *seqs: int) -> None:
    """These records are out of view and will be removed: what a removal does first."""
    at = Home(home)
    captured = {r["seq"]: r["captured_at"] for r in firm.rows(at, "select seq, captured_at from messages")}
    going = [Going(origin="sealed", seq=n, msgid=f"m{n}", captured_at_ms=round(captured[n].timestamp() * 1000), month=MONTH, bucket="0") for n in seqs]
    take_out._settle(at, CORP, Removal(request="r", reason="erasure_request", going=tuple(going)))


def test_an_archive_in_the_midst_of_a_removal_has_notes_and_no_finding(home: Path) -> None:
    """f2 and f4 share a file: it goes with both."""
    leaves(home, 2, 4)
    said = verify_archive(home, CORP)
    assert (said.findings, {(n.code, n.values["kind"], n.records) for n in said.notes}) == (
        [], {("ROW_LEAVING", kind, "sealed 2, 4") for kind in ("messages", "sealed")},
    )  # fmt: skip
    media_store.purge(Home(home), CORP, {("sealed", 2), ("sealed", 4)})
    assert not stored(home, "f2").exists()
    said = verify_archive(home, CORP)
    assert said.findings == [] and ("MEDIA_LEAVING", "sealed 2, 4") in {(n.code, n.records) for n in said.notes}


def test_a_file_of_which_one_record_stays_is_missing_while_the_other_is_removed(home: Path) -> None:
    leaves(home, 2)
    unlinked(home)
    assert found(home) == [("MEDIA_MISSING", "sealed 2, 4")]


def unlinked(home: Path) -> None:
    stored(home, "f2").unlink()


def swapped(home: Path) -> None:
    one, two, aside = stored(home, "f1"), stored(home, "f2"), home / "aside"
    one.rename(aside)
    two.rename(one)
    aside.rename(two)


def longer(home: Path) -> None:
    with stored(home, "f1").open("ab") as file:
        file.write(b"\0")


def frames_exchanged(home: Path) -> None:
    path = stored(home, "f1")
    data = path.read_bytes()
    sizes = [5 + 12 + 2 + len(index) + 4 + 16 for index in ("4", "8", "12")]  # three slices of four bytes
    begin = len(data) - sum(sizes)
    first, second = data[begin : begin + sizes[0]], data[begin + sizes[0] : begin + sizes[0] + sizes[1]]
    path.write_bytes(data[:begin] + second + first + data[begin + sizes[0] + sizes[1] :])


DAMAGES = [
    pytest.param(unlinked, [("MEDIA_MISSING", "sealed 2, 4")], id="missing: both records that share it"),
    pytest.param(swapped, [("MEDIA_OTHER", "sealed 1"), ("MEDIA_OTHER", "sealed 2, 4")], id="swapped"),
    pytest.param(longer, [("MEDIA_DAMAGED", "sealed 1")], id="a byte more at the end"),
    pytest.param(frames_exchanged, [("MEDIA_DAMAGED", "sealed 1")], id="two frames exchanged"),
]


@pytest.mark.parametrize(("damage", "expected"), DAMAGES)
def test_what_is_wrong_with_a_fetched_file_is_named_with_its_records(home: Path, damage: Callable[[Path], None], expected: list[tuple[str, str]]) -> None:
    damage(home)
    assert sorted(found(home)) == expected


@pytest.mark.slow
def test_wherever_a_file_is_cut_or_a_bit_of_it_flips_it_is_found(home: Path) -> None:
    path, rng = stored(home, "f3"), random.Random(7)
    whole = path.read_bytes()
    for length in {0, 1, len(whole) - 1, *(rng.randrange(len(whole)) for _ in range(12))}:
        os.truncate(path, length)
        assert _named(home) == {"MEDIA_DAMAGED"}, f"cut to {length}"
        path.write_bytes(whole)
    for at in {0, 5, len(whole) - 1, *(rng.randrange(len(whole)) for _ in range(24))}:
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 1 << rng.randrange(8)]) + whole[at + 1 :])
        assert _named(home) & {"MEDIA_DAMAGED", "KEY_MISSING"}, f"byte {at}"  # the latter where the generation of the key is another now
    path.write_bytes(whole)
    assert found(home) == []


def _named(home: Path) -> set[str]:
    """The codes of findings that name the third record; beside them only that a file does not look like one of ours."""
    codes = found(home)
    assert {code for code, records in codes if records != "sealed 3"} <= {"PLAINTEXT"}
    return {code for code, records in codes if records == "sealed 3"}


def test_a_file_that_no_row_names_is_counted_and_one_that_is_none_is_told(home: Path) -> None:
    report_before = verify_archive(home, CORP)
    shutil.copy(stored(home, "f1"), home / "media" / CORP / MONTH / f"{'0' * 32}.lhm")
    report = verify_archive(home, CORP)
    assert (report.findings, report.counts["fetched files that no row names"]) == (report_before.findings, 1)
    (home / "media" / CORP / MONTH / f"{'1' * 32}.lhm").write_bytes(b"plain words of somebody")
    assert {f.code for f in verify_archive(home, CORP).findings} == {"MEDIA_DAMAGED", "PLAINTEXT"}


def test_the_command_names_file_and_records_and_exits_6(home: Path) -> None:
    name = stored(home, "f2").relative_to(home).as_posix()
    unlinked(home)
    said = liuhen(home, "verify", "--archive", "--format", "jsonl")
    assert said.code == 6
    (told,) = map(json.loads, said.out.splitlines())
    assert (told["code"], told["concerned"]) == ("MEDIA_MISSING", "sealed 2, 4")
    assert name in told["what"]
