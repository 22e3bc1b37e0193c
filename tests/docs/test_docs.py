"""The documents say what the program does: what it offers is in them, what they show is what it does."""

from __future__ import annotations

import ast
import re
import tomllib
from collections.abc import Iterator
from datetime import date
from functools import cache
from pathlib import Path
from typing import Any

import msgspec
import pytest
import typer.main

import pipeline
from pipeline import (
    answers,
    commit,
    consent,
    custody,
    deltalog,
    envelope,
    errors,
    home,
    ingest,
    lake,
    leaf,
    saved_files,
    schema,
    sheets,
    stage,
)
from pipeline.audit import INTERNAL, load_audits, view_names
from pipeline.config import Config, Corp
from pipeline.demo import generate, story, truth
from pipeline.demo.truth import Truth
from pipeline.errors import Exit

ROOT = Path(__file__).parents[2]
READMES = ("README.md", "README.zh.md")
DOCUMENTS = sorted(
    [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "sql").glob("*.md"), *(ROOT / "keywords").glob("*.md")],
    key=lambda p: p.relative_to(ROOT).as_posix(),
)


def text(name: str) -> str:
    """A document of the repository."""
    return (ROOT / name).read_text("utf-8")


def section(name: str, heading: str) -> str:
    """The text from a heading (by how it begins, without its number signs) to the next one of its level or above."""
    found = re.search(rf"^(##+) {re.escape(heading)}.*?$(.*?)(?=^##? |\Z)", text(name), re.MULTILINE | re.DOTALL)
    assert found, f"{name} has no heading that begins with {heading!r}"
    return found[2]


def table(body: str) -> list[list[str]]:
    """The cells of the first table's rows, its two head lines left out."""
    rows = re.search(r"^\|.*(?:\n\|.*)*", body, re.MULTILINE)
    assert rows, "there is no table"
    return [[cell.strip() for cell in line.strip().strip("|").split("|")] for line in rows[0].splitlines()[2:]]


def bare(cell: str) -> str:
    """A cell without the marks of code."""
    return cell.replace("`", "")


def blocks(name: str) -> list[tuple[str, str]]:
    """The fenced blocks of a document: language, text."""
    return re.findall(r"^```(\w*)\n(.*?)^```$", text(name), re.MULTILINE | re.DOTALL)


# --- what the program offers ---


@cache
def commands() -> list[str]:
    """Every command of the command line, such as `keys add`."""
    from pipeline.cli.root import complete

    def walk(command: Any, path: tuple[str, ...]) -> Iterator[str]:
        below: dict[str, Any] = getattr(command, "commands", {})
        if not below:
            yield " ".join(path)
        for name, found in below.items():
            yield from walk(found, (*path, name))

    return sorted(walk(typer.main.get_command(complete()), ()))


@pytest.mark.parametrize("name", READMES)
def test_the_table_of_commands_is_the_command_line(name: str) -> None:
    rows = table(section(name, {"README.md": "Commands", "README.zh.md": "命令"}[name]))
    assert sorted(c for row in rows for c in re.findall(r"`([^`]+)`", row[0])) == commands()


@pytest.mark.parametrize("name", READMES)
def test_the_first_archive_uses_commands_that_exist(name: str) -> None:
    shown = [line for language, body in blocks(name) if language == "sh" for line in body.splitlines() if line.startswith("liuhen ")]
    assert len(shown) == 6
    for line in shown:
        assert any(line.removeprefix("liuhen ").startswith(f"{c} ") for c in commands()), line


def settings(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Every key of the configuration with its default."""
    for field in msgspec.structs.fields(value):
        found = getattr(value, field.name)
        if field.name == "corp":
            yield from ((f"corp.{f}", None) for f in Corp.__struct_fields__)
        elif isinstance(found, msgspec.Struct):
            yield from settings(found, f"{field.name}.")
        else:
            yield f"{path}{field.name}", found


@pytest.mark.parametrize(("name", "heading"), [("README.md", "Settings"), ("README.zh.md", "设置")])
def test_every_setting_is_told_with_its_default(name: str, heading: str) -> None:
    told = {key: bare(row[1]) for row in table(section(name, heading)) for key in re.findall(r"`([^`]+)`", row[0])}
    wanted = dict(settings(Config(corp=(Corp(id="ww1"),))))
    assert sorted(told) == sorted(wanted)
    for key, default in wanted.items():
        if not key.startswith("corp."):
            assert tomllib.loads(f"x = {told[key]}")["x"] == (list(default) if isinstance(default, tuple) else default), key


@pytest.mark.parametrize(("name", "heading"), [("README.md", "The summary line"), ("README.zh.md", "汇总行")])
def test_every_exit_code_is_told(name: str, heading: str) -> None:
    assert [int(row[0]) for row in table(section(name, heading))] == sorted(Exit)


def test_every_view_and_audit_is_told() -> None:
    told = text("docs/sql.md")
    missing = [v for v in view_names() if not v.startswith(INTERNAL) and f"### `{v}`" not in told]
    missing += [a.name for a in load_audits() if f"| `{a.name}` |" not in told]
    assert missing == []


# --- formats ---


def test_the_failure_codes_are_those_of_the_code() -> None:
    rows = table(section("docs/formats.md", "11. Failure codes"))
    # The cells as written: remedies hold commands in code marks.
    assert {bare(r[0]): (r[1], r[2], r[3]) for r in rows} == errors.FAILURE_CODES
    assert len(rows) == len(errors.FAILURE_CODES)


def test_the_errcodes_that_refuse_are_those_of_the_code() -> None:
    body = section("docs/formats.md", "11. Failure codes").split("Source errcodes", 1)[1]
    refused = {int(code) for row in table(body) if row[2] == "4" for code in row[0].split(",")}
    assert refused == ingest.REFUSALS


def test_every_kind_is_told_with_its_keys() -> None:
    told = {bare(r[0]): (r[2], r[3].replace(" ", "")) for r in table(section("docs/formats.md", "6. The lake"))}
    assert told == {k: (schema.kind(k).key_unit, ",".join(schema.kind(k).second_key)) for k in schema.KINDS}


@pytest.mark.parametrize(("kind", "unit"), [("records", "ww1/base"), ("messages", "ww1/m/2026-11/hot"), ("withheld_sealed", "ww1/withheld/2026-11-22")])
def test_key_units_are_named_as_told(kind: str, unit: str) -> None:
    month = unit.split("/")[2] if unit.count("/") > 1 else "-"
    assert lake.key_unit("ww1", kind, month, "hot") == unit


# What a document says in figures, and where the figure comes from.
FIGURES = [
    pytest.param(f"at least {envelope.MIN_CHAT_MSG} characters", id="shortest encrypt_chat_msg"),
    pytest.param(f"{envelope.RANDOM_KEY_CHARS[0]} to {envelope.RANDOM_KEY_CHARS[-1]} characters of strict base64", id="random key"),
    pytest.param(f"filler[{envelope.HEAD}] k0[{envelope.KEY}]", id="head"),
    pytest.param(f"answers of {saved_files.ITEMS_A_PAGE:,}, each", id="items a page"),
    pytest.param(f"after {stage.FLUSH_ROWS:,} records or {stage.FLUSH_BYTES >> 20} MiB", id="flush"),
    pytest.param(f"up to {commit.PAGES_A_COMMIT} pages a commit", id="pages a commit"),
    pytest.param(f"a new one from {custody.SEGMENT_BYTES >> 20} MiB on", id="custody segment"),
    pytest.param(f"at most {sheets.MAX_ROWS:,} rows", id="rows of a sheet"),
    pytest.param(f"beyond {sheets.MAX_UNITS:,} UTF-16 units", id="units of a cell"),
    pytest.param(", ".join(f"`{s}`" for s in deltalog.LOG_STATISTICS), id="statistics in the log"),
]


@pytest.mark.parametrize("sentence", FIGURES)
def test_the_figures_of_the_formats_are_those_of_the_code(sentence: str) -> None:
    assert sentence in text("docs/formats.md")


def test_the_breaker_is_told_as_it_trips() -> None:
    assert f"({100 // consent.BREAKER_SHARE} % and {consent.BREAKER_RECORDS})" in text("docs/threat-model.md")


def test_every_folder_of_a_home_is_told() -> None:
    layout = section("docs/formats.md", "2. A home")
    assert [f for f in home.FOLDERS if f"{f}/" not in layout] == []


def test_seq_is_bounded_as_told() -> None:
    assert answers.MAX_SEQ == 2**63 - 1 and "`seq` is below 2^63" in text("docs/formats.md")


# --- leaves, by the lines that are printed in formats.md ---


@pytest.fixture(scope="module")
def printed() -> dict[str, Any]:
    """What the Python lines of formats.md define; they import nothing but the standard library."""
    (source,) = (body for language, body in blocks("docs/formats.md") if language == "python")
    imported = {n.module if isinstance(n, ast.ImportFrom) else n.names[0].name for n in ast.walk(ast.parse(source)) if isinstance(n, ast.Import | ast.ImportFrom)}
    assert imported == {"json", "hashlib"}
    defined: dict[str, Any] = {}
    exec(compile(source, "docs/formats.md", "exec"), defined)
    return defined


NONCE = bytes(range(32))


def test_the_printed_lines_name_the_fields_of_the_schema(printed: dict[str, Any]) -> None:
    declared = schema.leaf_schema()
    assert {g: tuple(names) for g, names in printed["GROUPS"].items()} == declared.groups
    assert printed["LABEL"] == declared.label.encode() + b"\0"


@pytest.mark.parametrize(
    "fields",
    [
        pytest.param({}, id="nothing"),
        pytest.param({"text": "保本\n\t\"引\" \\ \x7f \u2028 😀", "parts": [{"path": "text.content", "text": "保本"}], "seq": 7}, id="text"),
        pytest.param({"seq": 2**53, "captured_at_ms": 2**53 + 1}, id="great numbers"),
        pytest.param({"recipient_ids": ["wmA", "zhangsan"], "room_id": None, "media": [{"kind": "image", "declared_md5": None, "declared_size": 5}]}, id="lists"),
    ],
)
def test_the_printed_lines_commit_as_the_program_does(printed: dict[str, Any], fields: dict[str, Any]) -> None:
    assert printed["commitment"](NONCE, fields) == leaf.commitment(NONCE, fields)
    assert printed["raw_commitment"](NONCE, b'{"a":1}') == leaf.raw_commitment(NONCE, b'{"a":1}')


# --- what READMEs show ---


def targets() -> set[str]:
    """The targets of the Makefile."""
    return set(re.findall(r"^([a-z-]+):", text("Makefile"), re.MULTILINE))


@pytest.mark.parametrize("name", READMES)
def test_the_two_commands_come_first(name: str) -> None:
    assert blocks(name)[0] == ("sh", "make demo\nmake test\n")
    before = text(name).split("```", 1)[0]
    assert len(before.splitlines()) <= 5


@pytest.mark.parametrize("path", [pytest.param(p, id=p.relative_to(ROOT).as_posix()) for p in DOCUMENTS])
def test_every_make_command_is_a_target(path: Path) -> None:
    source = path.read_text("utf-8")
    quoted = re.findall(r"`make ([a-z-]+)", source) + re.findall(r"^make ([a-z-]+)", source, re.MULTILINE)
    assert set(quoted) - targets() == set()


@pytest.mark.parametrize("path", [pytest.param(p, id=p.relative_to(ROOT).as_posix()) for p in DOCUMENTS])
def test_every_link_leads_somewhere(path: Path) -> None:
    inside = re.sub(r"^```.*?^```$", "", path.read_text("utf-8"), flags=re.MULTILINE | re.DOTALL)
    links = [t.split("#")[0] for t in re.findall(r"\]\(([^)\s]+)\)", inside) if not re.match(r"[a-z]+:|#", t)]
    assert [t for t in links if not (path.parent / t).exists()] == []


def shape(name: str) -> dict[str, Any]:
    """What a document and its twin in another language must have in common."""
    source = text(name)
    prose = re.sub(r"^```.*?^```$", "", source, flags=re.MULTILINE | re.DOTALL)
    return {
        "headings": [len(h) for h in re.findall(r"^(#+) ", prose, re.MULTILINE)],
        "blocks": [(language, body if language == "sh" else len(body.splitlines())) for language, body in blocks(name)],
        "tables": [len(t.splitlines()) for t in re.findall(r"^\|.*(?:\n\|.*)*", prose, re.MULTILINE)],
        "steps": re.findall(r"^(\d+)\. ", prose, re.MULTILINE),
        "links": sorted(t for t in re.findall(r"\]\(([^)\s]+)\)", prose) if t not in READMES),
    }


def test_the_readmes_are_twins() -> None:
    assert shape("README.md") == shape("README.zh.md")


@pytest.fixture(scope="module")
def told() -> Truth:
    """The truth about the demonstration that the READMEs show."""
    plan = story.plan(2000, seed=1, corp_id=generate.CORP_ID, end_day=date(2026, 11, 21))
    return truth.tell(plan, [], [])


@pytest.mark.parametrize("name", READMES)
def test_the_shown_demo_is_the_demo(name: str, told: Truth) -> None:
    (shown,) = (body for _, body in blocks(name) if "$ liuhen" in body)
    broken_pages = sum(told.page_failures.values())
    summary = msgspec.json.decode(next(line for line in shown.splitlines() if line.startswith("{")))
    assert {f: summary[f] for f in told.fates} == {**told.fates, "failed": told.fates["failed"] + broken_pages}
    assert summary["landed"] == told.records + broken_pages
    lines = re.findall(r"^  +\S+ +([\d,]+)(?: +\S+ +([\d,]+))?$", shown.split("$ liuhen")[-1], re.MULTILINE)
    landed, archived = ([int(n.replace(",", "")) for n in column if n] for column in zip(*lines, strict=True))
    later = {**told.fates_later, "failed": told.fates_later["failed"] + broken_pages}
    assert landed == [sum(later.values()), *(later.get(f, 0) for f in commit.FATES)]
    assert archived == [later["archived"], later["archived"], 0, 0]  # all of them active, none restricted or removed


# --- the map and the decisions ---


def test_the_map_names_every_module_once() -> None:
    folder = ROOT / "pipeline"
    there = {p.name for p in folder.glob("*.py")} - {"__init__.py"}
    there |= {f"{p.name}/" for p in folder.iterdir() if p.is_dir() and not p.name.startswith(("_", "."))}
    assert sorted(re.findall(r"^    (\w+(?:\.py|/)) ", pipeline.__doc__ or "", re.MULTILINE)) == sorted(there)


def test_the_page_on_architecture_names_modules_that_exist() -> None:
    steps = section_table_modules()
    assert [m for m in steps if not (ROOT / "pipeline" / f"{m}.py").exists()] == []


def section_table_modules() -> list[str]:
    """The modules in the table of docs/architecture.md."""
    return [m for row in table(text("docs/architecture.md")) for m in re.findall(r"`(\w+)`", row[1])]


@pytest.mark.parametrize("mark", ["bench", "crash", "slow", "vendor"])
def test_a_folder_that_the_suite_of_every_day_leaves_out_holds_that_marks_tests_alone(mark: str) -> None:
    files = sorted((ROOT / "tests" / mark).rglob("test_*.py"))
    without = [p.name for p in files if not re.search(rf"^pytestmark = \[?pytest\.mark\.{mark}\b", p.read_text("utf-8"), re.MULTILINE)]
    assert files and without == []


def test_the_version_is_told_once() -> None:
    assert pipeline.__version__ == tomllib.loads(text("pyproject.toml"))["project"]["version"]


def test_every_decision_is_listed_by_its_title() -> None:
    listed = {bare(r[0]).split("](")[1].rstrip(")"): (r[1], r[2]) for r in table(text("docs/adr/README.md"))}
    written = {p.name: p.read_text("utf-8") for p in (ROOT / "docs" / "adr").glob("[0-9]*.md")}
    assert sorted(listed) == sorted(written)
    for name, source in written.items():
        assert source.startswith(f"# {name[:4]} {listed[name][0]}\n"), name
        assert list(re.findall(r"^## (.+)$", source, re.MULTILINE)) == ["Context", "Options", "Outcome", "Bad consequences"], name
