"""What a shell redirects into a file is an extract: who, what for, how many, which bytes; over the cap by two persons."""

from __future__ import annotations

import errno
import hashlib
import io
import os
from collections.abc import Callable, Iterator
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import pytest

from pipeline import sheets
from pipeline.cli import output, root
from pipeline.home import Home
from tests import firm
from tests.cli.inside import Answer
from tests.roles import homes

WORDS = "select text as x from messages order by seq"
Call = Callable[..., int]


@pytest.fixture(scope="module")
def at(tmp_path_factory: pytest.TempPathFactory) -> Home:
    folder = tmp_path_factory.mktemp("redirected")
    home = firm.home(folder)
    firm.run(home, firm.page(folder, "p.json", {n: firm.message(n, f"第{n}句") for n in range(1, 5)}))
    return home


@pytest.fixture
def into(at: Home) -> Call:
    """Run a command with standard output where a shell would have opened it."""

    def call(target: Path, *words: str, mode: str = "wb") -> int:
        root.CALL.reopen()
        with open(target, mode) as raw, open(os.dup(raw.fileno()), "w", encoding="utf-8") as out, redirect_stdout(out):
            return root.run(["--home", str(at.path), *words])

    return call


@pytest.fixture
def as_person(at: Home, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], None]]:
    tokens = homes.people(at)
    yield lambda who: monkeypatch.setenv("LIUHEN_TOKEN", tokens[who])
    (at.path / "actors.toml").unlink()
    (at.path / "keys" / "roles.since").unlink()


def extracts(at: Home) -> list[dict[str, Any]]:
    custody = Home(at.path).custody
    return [custody.params(e) for e in custody.entries() if e.command == "extract"]


def test_what_summed_up_an_output_leaves_nothing_to_flush_behind() -> None:
    """Standard output may be closed before what wrote to it is forgotten: Python 3.13 says so aloud."""
    with io.TextIOWrapper(io.BytesIO(), encoding="utf-8") as out, redirect_stdout(out):
        with output._summed() as below:
            print("第1句")
        assert below.closed and not out.closed and below.size == len("第1句\n".encode())
        assert below.sum.hexdigest() == hashlib.sha256("第1句\n".encode()).hexdigest()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "rows"),
    [
        pytest.param(("sql", WORDS), 4, id="sql"),
        pytest.param(("sql", WORDS, "--format", "table"), 4, id="a table"),
        pytest.param(("sql", WORDS, "--format", "xlsx"), 4, id="a workbook"),
        pytest.param(("search", "第2"), 1, id="search"),
        pytest.param(("conversation", "wmA|zhangsan", "--text"), 5, id="a conversation as text"),
        pytest.param(("conversation", "wmA|zhangsan"), 5, id="a conversation as rows"),
    ],
)
def test_what_is_redirected_into_a_file_is_recorded_with_its_digest(at: Home, into: Call, tmp_path: Path, words: tuple[str, ...], rows: int) -> None:
    before = len(extracts(at))
    assert into(tmp_path / "out", *words) == 0
    written = (tmp_path / "out").read_bytes()
    [told] = extracts(at)[before:]
    assert len(written) > 20 and (told["of"], told["rows"], told["file"], told["sha256"]) == (words[0], rows, "standard output", hashlib.sha256(written).hexdigest())


def test_what_is_appended_is_told_by_what_went_there(at: Home, into: Call, tmp_path: Path) -> None:
    (tmp_path / "out").write_bytes(b"before\n")
    assert into(tmp_path / "out", "search", "第2", mode="ab") == 0
    assert extracts(at)[-1]["sha256"] == hashlib.sha256((tmp_path / "out").read_bytes().removeprefix(b"before\n")).hexdigest()


def test_what_was_cut_off_by_a_full_disk_left_all_the_same(at: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Full(io.BufferedWriter):
        def write(self, data: Any) -> int:
            if self.tell() + len(data) > 6_000:
                raise OSError(errno.ENOSPC, "no space")
            return super().write(data)

    before = len(extracts(at))
    root.CALL.reopen()
    with open(tmp_path / "out", "wb", buffering=0) as raw, io.TextIOWrapper(Full(raw), encoding="utf-8") as out, redirect_stdout(out):
        assert root.run(["--home", str(at.path), "sql", "select m.text as x from messages m, range(1000)"]) == 9
    [told] = extracts(at)[before:]
    written = (tmp_path / "out").read_bytes()
    assert (told["rows"], told["file"]) == (4000, "standard output") and 4_000 < len(written) <= told["cut_at"] < 7_000


def test_nothing_that_was_written_before_it_failed_is_no_extract(at: Home, into: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sheets, "MAX_ROWS", 5_000)  # a million rows take seconds
    before = len(extracts(at))
    assert into(tmp_path / "out", "sql", "select m.text as x from messages m, range(2000)", "--format", "xlsx") == 2  # more rows than a sheet holds
    assert len(extracts(at)) == before and (tmp_path / "out").read_bytes() == b""


def test_counts_the_null_device_and_memory_are_no_extracts(at: Home, into: Call, tmp_path: Path) -> None:
    before = len(extracts(at))
    assert into(tmp_path / "counts", "audit", "run", "volume") == 0
    assert into(Path(os.devnull), "sql", WORDS) == 0
    assert Answer(at, "sql", WORDS).code == 0
    assert len(extracts(at)) == before


def test_a_pipe_is_a_call_with_its_number_of_rows(at: Home) -> None:
    before, (reading, writing) = len(extracts(at)), os.pipe()
    root.CALL.reopen()
    with open(writing, "w", encoding="utf-8") as out, redirect_stdout(out):
        assert root.run(["--home", str(at.path), "sql", WORDS]) == 0
    os.close(reading)
    assert len(extracts(at)) == before
    assert [e.result for e in Home(at.path).custody.entries() if e.command == "sql"][-1] == "4 rows"


def test_where_roles_are_configured_it_needs_a_purpose_and_over_the_cap_a_second_person(
    at: Home, into: Call, as_person: Callable[[str], None], tmp_path: Path
) -> None:
    out = tmp_path / "out"
    as_person("officer")
    assert into(out, "sql", WORDS) == 2 and out.read_bytes() == b""
    assert into(out, "sql", WORDS, "--purpose", "report") == 0 and out.read_bytes().count(b"\n") == 4
    toml = at.path / "liuhen.toml"
    toml.write_text(toml.read_text().replace("extract_rows = 1000", "extract_rows = 3"))
    asked = ("sql", WORDS, "--purpose", "report")
    assert into(out, *asked) == 8 and out.read_bytes() == b""
    as_person("second")
    request = Answer(at, "approve", "list").rows[0]["request"]
    assert Answer(at, "approve", request).code == 0
    as_person("officer")
    assert into(out, *asked, "--approval", request) == 0 and out.read_bytes().count(b"\n") == 4
    assert extracts(at)[-1]["approval"] == request
