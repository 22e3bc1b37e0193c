"""Wrong calls are told in the caller's language."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from rich.cells import cell_len

from pipeline.cli.helptext import _lines
from tests import firm
from tests.cli.inside import Answer
from tests.cli.liuhen import ROOT, liuhen

CASES = [
    pytest.param(["statu"], "没有命令 statu（`liuhen --help` 列出全部命令）。是否要用：status", "No such command 'statu'", id="a command with a letter missing"),
    pytest.param(["status", "--foo"], "没有选项 --foo（该命令加 --help 列出全部选项）。是否要用：--format", "No such option: --foo", id="an option"),
    pytest.param(["search"], "缺少 文字（该命令加 --help 可看示例）", "Missing argument 'TEXT'", id="an argument that is missing"),
    pytest.param(["keys", "add"], "缺少 --version（该命令加 --help 可看示例）", "Missing option '--version'", id="an option that is missing"),
    pytest.param(["audit", "run", "x", "-p"], "选项 -p 后面缺少值", "Option '-p' requires an argument", id="an option without its value"),
    pytest.param(["status", "more"], "多出了参数：more", "Got unexpected extra argument", id="one word too many"),
    pytest.param(["search", "x", "--limit", "abc"], "--limit 的值不对：应为整数\n", "Invalid value for '--limit'", id="a word where a number is expected"),
    pytest.param(["ingest", "--workers", "1.5"], "--workers 的值不对：应为整数\n", "Invalid value for '--workers'", id="a number that is not whole"),
    pytest.param(["compact", "--budget", "soon"], "--budget 的值不对：应为数字\n", "Invalid value for '--budget'", id="a word where any number is expected"),
    pytest.param(["ingest", "--workers", "-1"], "--workers 的值不对：不能小于 1\n", "Invalid value for '--workers'", id="a number too small"),
    pytest.param(["ingest", "--workers", "257"], "--workers 的值不对：不能大于 256\n", "Invalid value for '--workers'", id="a number too large"),
    pytest.param(
        ["status", "--format", "JSON"], "--format 的值不对：应为 table、json、jsonl、csv、parquet、xlsx 之一，实为 JSON\n",
        "Invalid value for '--format': 'JSON' is not one of 'table', ", id="a word that cannot be chosen",
    ),
    pytest.param(
        ["status", "--format", "it's"], "--format 的值不对：应为 table、json、jsonl、csv、parquet、xlsx 之一，实为 it's\n",
        "Invalid value for '--format': \"it's\" is", id="a word with an apostrophe",
    ),
    pytest.param(["status", "--format", "a', 'b"], "--format 的值不对：", "Invalid value for '--format'", id="a word that looks like two choices"),
]


@pytest.mark.parametrize(("lang", "begin"), [("zh", "用法：liuhen matter ["), ("en", "Usage: liuhen matter [")])
def test_a_group_alone_tells_what_there_is_as_its_help_does(lang: str, begin: str) -> None:
    ended = liuhen(None, "matter", lang=lang)
    assert (ended.code, ended.out) == (2, "") and ended.err.startswith(begin), ended.err


@pytest.mark.parametrize(("lang", "begin"), [("zh", "用法：liuhen [选项] 命令 [参数]...\n"), ("en", "Usage: liuhen [OPTIONS] COMMAND [ARGS]...\n")])
def test_options_without_a_command_tell_what_there_is_in_the_language_asked_for(lang: str, begin: str) -> None:
    ended = liuhen(None, "--corp", "ww1", lang=lang)
    assert (ended.code, ended.out) == (2, "") and ended.err.startswith(begin), ended.err
    assert ended.err == liuhen(None, lang=lang).err


@pytest.mark.parametrize(("call", "zh", "en"), CASES)
def test_a_wrong_call_is_told_in_the_language_of_the_caller(call: list[str], zh: str, en: str) -> None:
    told, own = liuhen(None, *call, lang="zh"), liuhen(None, *call)
    assert (told.code, own.code) == (2, 2)
    assert told.err.startswith(f"liuhen: {zh}") and own.err.startswith(f"liuhen: {en}")


@pytest.mark.slow
@pytest.mark.parametrize("closed", [">&-", ">&- 2>&-", "<&- >&-"])
def test_a_stream_that_the_caller_closed_is_no_error(closed: str) -> None:
    words = shlex.join([sys.executable, "-m", "pipeline.cli", "--help"])
    ended = subprocess.run(["/bin/sh", "-c", f"exec {words} {closed}"], capture_output=True, check=False, env={**os.environ, "PYTHONPATH": str(ROOT)})
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, b"", b"")


@pytest.mark.parametrize(
    ("call", "found"),
    [
        pytest.param(["--", "-5%"], 1, id="behind two dashes"),
        pytest.param(["--limit", "3", "--", "--"], 0, id="two dashes themselves"),
    ],
)
def test_what_begins_like_an_option_is_looked_for_behind_two_dashes(tmp_path: Path, call: list[str], found: int) -> None:
    at = firm.home(tmp_path)
    firm.run(at, firm.page(tmp_path, "a.json", {1: firm.message(1, "今天 -5%"), 2: firm.message(2, "今天 5%")}))
    ended = Answer(at, "search", *call)
    assert (ended.code, len(ended.rows)) == (0, found), ended.err


def test_who_reads_what_is_told_may_go_and_the_command_ends_as_it_would(tmp_path: Path) -> None:
    """Both streams in one pipe that nobody reads any more, as by `2>&1 | head -1`; the setting is written all the same."""
    at = firm.home(tmp_path)
    reads, writes = os.pipe()
    os.close(reads)
    call = [sys.executable, "-m", "pipeline.cli", "--home", str(at.path), "config", "set", "consent.withheld_days", "7"]
    ended = subprocess.run(call, stdout=writes, stderr=writes, check=False, env={**os.environ, "PYTHONPATH": str(ROOT)})
    os.close(writes)
    assert (ended.returncode, "withheld_days = 7\n" in (at.path / "liuhen.toml").read_text("utf-8")) == (0, True)


@pytest.mark.parametrize("width", range(40, 100, 3))
def test_no_path_is_torn_from_the_dot_that_it_begins_with(width: int) -> None:
    lines = _lines("folder of the archive (default LIUHEN_HOME, else ./liuhen-home). End...", width)
    assert "./liuhen-home)." in " ".join(lines) and not [line for line in lines if line.startswith((". ", "..."))], lines


def test_the_list_of_commands_says_in_chinese_what_each_is_for() -> None:
    lines = [line.split() for line in liuhen(None, "--help", lang="zh").out.splitlines()]
    said = {line[0]: " ".join(line[1:]) for line in lines if line}
    assert said["clock"] == "显示本机时钟是否可信"
    assert said["index"].startswith("为还没有索引的消息文件建立搜索索引，删除已无文件的索引；`run`")
    assert [name for name, words in said.items() if not name.startswith("用法") and "..." in words] == []


def test_a_page_of_help_is_chinese_but_for_what_is_typed() -> None:
    page = liuhen(None, "search", "--help", lang="zh", COLUMNS="80").out
    assert page.startswith("用法：liuhen search [选项] {文字}\n\n  按原文逐字搜索")
    assert "\n参数：\n  文字  要找的文字，一个字也可以  [必填]\n\n选项：\n  --from 日期 " in page
    assert "  --limit 数目                    最多显示多少条  [默认：50]\n" in page
    assert page.endswith("  -h, --help                      显示本说明后退出\n")


def test_a_value_without_a_name_is_called_a_text_and_not_by_its_type() -> None:
    page = liuhen(None, "hold", "set", "--help", lang="zh", COLUMNS="80").out
    assert "  --reason 文字 " in page and "<str>" not in page


def test_a_page_of_help_stays_in_the_window_and_no_command_in_it_is_torn() -> None:
    page = liuhen(None, "--help", lang="zh", COLUMNS="80").out.splitlines()
    assert [line for line in page if cell_len(line) > 80] == []
    assert "  findings-by-category" in page
    assert [line for line in page if line.strip()[:1] in tuple("；，。、")] == []


@pytest.mark.parametrize(
    ("call", "lang", "line"),
    [
        pytest.param(["keys", "retire"], "zh", "  --version 数目  公钥版本号 publickey_ver  [≥1、必填]", id="at least, and required"),
        pytest.param(["keys", "retire"], "en", "  --version N  the version the source calls publickey_ver  [≥1, required]", id="the same in English"),
        pytest.param(["review", "export"], "zh", "  --limit 数目                最多多少条  [默认：10000、1–1000000]", id="from, to, and a default"),
        pytest.param(["simulate"], "zh", "  --window-days 数目   可拉取的天数  [默认：5.0、0.01–365]", id="a number with a point"),
    ],
)
def test_what_a_number_may_be_is_said_as_people_write_it(call: list[str], lang: str, line: str) -> None:
    page = liuhen(None, *call, "--help", lang=lang, COLUMNS="80").out
    assert line in page.splitlines(), page


@pytest.mark.parametrize("lang", ["zh", "en"])
def test_no_word_that_is_typed_is_torn_in_a_page_of_help(lang: str) -> None:
    states = "waiting open escalated violation not_violation all"
    page = liuhen(None, "review", "export", "--help", lang=lang, COLUMNS="80").out
    assert [state for state in states.split() if not re.search(rf"\b{state}\b", page)] == []
    assert [line for line in page.splitlines() if cell_len(line) > 80] == []


def test_an_english_page_of_help_has_the_headings_it_had() -> None:
    page = liuhen(None, "search", "--help", COLUMNS="80").out
    assert page.startswith("Usage: liuhen search [OPTIONS] {TEXT}\n")
    assert [line for line in page.splitlines() if line and line[0] != " "][1:] == ["Arguments:", "Options:"]
    assert "  TEXT  the text to find; one character will do  [required]\n" in page
