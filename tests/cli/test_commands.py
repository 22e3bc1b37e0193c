"""The promises of the command line, from outside: results on stdout, one clear sentence on stderr, the exit code."""

from __future__ import annotations

import inspect
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization as ser

from tests import firm
from tests.cli.liuhen import ROOT, liuhen
from tests.firm import item, message, refusal


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with a small archive, made by commands only."""
    folder = tmp_path_factory.mktemp("cli")
    home = folder / "home"
    assert liuhen(home, "init", "--corp-id", "ww1").code == 0
    (folder / "key.pem").write_bytes(firm.pem(1))
    assert liuhen(home, "keys", "add", "--version", "1", "--private-key", str(folder / "key.pem")).code == 0
    batch = {
        1: message(1, "这款产品保本保息"), 2: message(2, "好的", sender="wmA", to=["zhangsan"]), 3: refusal(3, at_ms=firm.T0 + 3000),
        4: message(4, "看不到的话"), 5: message(5, "手机13800138000", sender="lisi", to=["wmB"]),
    }  # fmt: skip
    firm.page(folder, "a.json", batch)
    ended = liuhen(home, "ingest", "--from", str(folder / "a.json"))
    assert (ended.code, ended.summary["landed"]) == (0, 5)
    return home


def test_the_summary_adds_up(archive: Path) -> None:
    again = liuhen(archive, "ingest", "--from", str(archive.parent / "a.json"))
    assert again.code == 0 and again.summary["landed"] == 0
    status = liuhen(archive, "status", "--format", "json")
    found = json.loads(status.out)
    assert found["landed"] == sum(found[f] for f in ("archived", "pending", "withheld", "failed", "control", "duplicate")) == 5
    assert found["archived"] == found["active"] + found["restricted"] + found["removed"] == 3


@pytest.mark.slow
def test_findings_beyond_a_thousand_of_a_message_and_rule_are_counted_and_told(tmp_path: Path) -> None:
    """c01-guarantee 1,500 and 1,001 times; 1,000 times, and in a withheld message, tells nothing."""
    at = firm.home(tmp_path)
    said = {1: 1500, 2: 1001, 3: 1000, 4: 1500}
    firm.page(tmp_path, "a.json", {
        5: refusal(5, who="wmRefused", at_ms=firm.T0 - 1000),
        **{n: message(n, "稳赚不赔，" * times, to=["wmRefused" if n == 4 else "wmA"], at_ms=firm.T0 + n * 3_600_000) for n, times in said.items()},
    })  # fmt: skip
    ended = liuhen(at.path, "--lang", "en", "ingest", "--from", str(tmp_path / "a.json"))
    assert "messages with too many findings: 2; of each message and rule 1,000 are kept, 501 more" in ended.err
    assert firm.values(at, "select seq, count(*) from matches where rule_id = 'c01-guarantee' group by 1 order by 1") == [(1, 1000), (2, 1000), (3, 1000)]
    again = liuhen(at.path, "--lang", "en", "ingest", "--from", str(tmp_path / "a.json"))
    assert "too many findings" not in again.err


def test_sql_answers_as_json_lines_when_nobody_watches(archive: Path) -> None:
    ended = liuhen(archive, "sql", "select term, count(*) n from matches where via = 'literal' group by 1")
    assert ended.code == 0 and {"term": "保本保息", "n": 1} in ended.rows


def test_a_phone_number_is_masked_with_equal_length(archive: Path) -> None:
    (row,) = liuhen(archive, "sql", "select text from messages where seq = 5").rows
    assert row["text"] == "手机*******8000"


@pytest.mark.parametrize(
    "query", ["select 1; select 2", "copy (select 1) to '/tmp/x'", "select * from read_csv('/etc/passwd')", "selct 1", ""],
)
def test_what_is_not_one_select_over_the_views_is_refused(archive: Path, query: str) -> None:
    ended = liuhen(archive, "sql", query)
    assert ended.code == 2 and ended.out == "" and ended.err.strip()
    assert "Traceback" not in ended.err


@pytest.mark.parametrize(
    ("words", "code", "sentence"),
    [
        pytest.param(["status"], 2, "there is no liuhen home", id="no home"),
        pytest.param(["ingest", "--from", "nothing.json"], 2, "there is no liuhen home", id="no home to ingest into"),
    ],
)
def test_without_a_home_every_command_says_so(tmp_path: Path, words: list[str], code: int, sentence: str) -> None:
    ended = liuhen(tmp_path / "none", *words)
    assert ended.code == code and sentence in ended.err


def test_calls_that_cannot_be_right_exit_2_with_one_sentence(archive: Path, tmp_path: Path) -> None:
    public = tmp_path / "pub.pem"
    public.write_bytes(
        firm.private_key(1).public_key().public_bytes(ser.Encoding.PEM, ser.PublicFormat.SubjectPublicKeyInfo)
    )  # fmt: skip
    for words, expected in [
        (["keys", "add", "--version", "7", "--private-key", str(public)], "public key"),
        (["keys", "add", "--version", "7", "--private-key", str(tmp_path / "none.pem")], "there is no file"),
        (["ingest", "--from", str(tmp_path / "none.json")], "none.json"),
        (["audit", "run", "coverge"], "coverage"),
        (["--corp", "ww9", "status"], "no corp ww9"),
        (["init", "--corp-id", "ww1"], "there is a liuhen home"),
        (["config", "set", "consent.default", "maybe"], "consent.default"),
        (["config", "set", "consent.stale_days", "-3"], "is -3, expected"),
        (["conversation", "nobody|nowhere"], "no such conversation"),
    ]:
        ended = liuhen(archive, *words)
        assert ended.code == 2, words
        assert expected in ended.err and "Traceback" not in ended.err and len(ended.err.strip().splitlines()) <= 2, (words, ended.err)


def test_what_stands_behind_two_dashes_of_ingest_goes_to_the_runner(archive: Path, tmp_path: Path) -> None:
    import shutil

    shutil.copytree(archive, home := tmp_path / "copy")
    page = firm.page(tmp_path, "more.json", {951: message(951)})
    ended = liuhen(home, "ingest", "--from", str(page), "--", "--direct_num_workers=one")
    assert ended.code == 2 and "RUNNER_UNKNOWN" in ended.err and "Traceback" not in ended.err
    asked = liuhen(home, "ingest", "--", "--help")  # Beam would print a page of its own on standard output
    assert (asked.code, asked.out) == (2, "") and "RUNNER_UNKNOWN" in asked.err
    ended = liuhen(home, "ingest", "--", "--direct_num_workers=1")
    assert json.loads(ended.out.splitlines()[-1])["landed"] == 1, ended.out + ended.err


@pytest.mark.parametrize(
    "words",
    [
        ["ack", "failed", "--reason"], ["consent", "decide", "archive", "--msgid", "m1", "--reason"], ["hold", "set", "--matter", "M", "--customer", "wmA", "--reason"],
        ["hold", "release", "h1", "--reason"], ["retention", "unset", "p", "--reason"],
    ],
)  # fmt: skip
def test_a_blank_reason_is_none(archive: Path, words: list[str]) -> None:
    for blank in ("", " \t\n", "\u3000"):
        ended = liuhen(archive, *words, blank)
        assert ended.code == 2 and ("REASON_MISSING" in ended.err or "MATTER_REASON" in ended.err), ended.err


@pytest.mark.parametrize("value", ["http://proxy:1\nx", "http://proxy:1\rx", "a\x00b", "a\u2028b", "a\x1bb"])
def test_no_setting_takes_a_character_that_is_not_seen(archive: Path, value: str) -> None:
    before = (archive / "liuhen.toml").read_bytes()
    if "\x00" not in value:  # no shell hands that on
        ended = liuhen(archive, "config", "set", "wecom.proxy", value)
        assert ended.code == 2 and "wecom.proxy holds a line break or a control character" in ended.err, ended.err
    assert (archive / "liuhen.toml").read_bytes() == before


@pytest.mark.parametrize("value", ["file:other.key", "", "pkcs11:token=x"])
def test_the_master_key_is_no_setting_and_the_home_stays_open(archive: Path, value: str) -> None:
    before = (archive / "liuhen.toml").read_bytes()
    ended = liuhen(archive, "config", "set", "keys.master", value)
    assert ended.code == 2 and "CONFIG_KEYS_MASTER" in ended.err and "keyring rotate" in ended.err, ended.err
    assert (archive / "liuhen.toml").read_bytes() == before


def test_one_wrong_day_has_one_code_and_sentence(archive: Path) -> None:
    told = {liuhen(archive, *words, "--from", "2026-02-30").err for words in (["rescan"], ["search", "x"], ["review", "list"])}
    assert told == {"error DAY_INVALID: expected a Beijing day such as 2026-06-15; for example --from 2026-11-01\n"}, told


def test_behind_two_dashes_no_word_is_an_option(archive: Path) -> None:
    ended = liuhen(archive, "status", "--", "--lang", "en", lang="zh")
    assert ended.code == 2 and "多出了参数" in ended.err, ended.err


def test_a_page_of_another_corp_stays_sealed_and_exits_3(archive: Path, tmp_path: Path) -> None:
    foreign = tmp_path / "foreign.json"
    foreign.write_bytes(firm.answer([item(n, message(n), version=5) for n in (901, 902)]))
    data = json.loads(foreign.read_bytes())
    for record in data["chatdata"]:
        record["publickey_ver"] = 1
    foreign.write_text(json.dumps(data))
    home = tmp_path / "copy"
    import shutil

    shutil.copytree(archive, home)
    ended = liuhen(home, "ingest", "--from", str(foreign))
    assert ended.code == 3 and ended.summary["failed"] == 2
    assert "key version 1: 2 records stay sealed" in ended.err
    assert liuhen(home, "ack", "failed", "--reason", "another firm's page").code == 0
    assert liuhen(home, "ingest").code == 0


def test_a_conversation_is_shown_as_text_and_as_an_offline_page(archive: Path, tmp_path: Path) -> None:
    text = liuhen(archive, "conversation", "wmA|zhangsan", "--text")
    assert text.code == 0 and "保本保息" in text.out and "看不到的话" not in text.out
    for other in (("--format", "jsonl"), ("-o", str(tmp_path / "talk.txt"))):
        both = liuhen(archive, "conversation", "wmA|zhangsan", "--text", *other)
        assert (both.code, both.out) == (2, "") and "--text excludes --format and -o" in both.err
    page = tmp_path / "talk.html"
    assert liuhen(archive, "conversation", "wmA|zhangsan", "--html", str(page)).code == 0
    html = page.read_text("utf-8")
    assert "看不到的话" not in html and "http://" not in html.replace("http://www.w3.org", "") and "https://" not in html


def test_a_list_added_to_the_home_is_used_and_lies_encrypted(archive: Path, tmp_path: Path) -> None:
    import shutil

    home = tmp_path / "copy"
    shutil.copytree(archive, home)
    words = tmp_path / "mine.txt"
    words.write_text("小蜜蜂计划\n", "utf-8")
    assert liuhen(home, "lexicon", "add", str(words), "--id", "mine", "--category", "X1", "--severity", "high").code == 0
    tried = liuhen(home, "lexicon", "test", "参加小蜜蜂计划")
    assert [(r["term"], r["category"], r["severity"]) for r in tried.rows] == [("小蜜蜂计划", "X1", "high")]
    assert all("小蜜蜂计划".encode() not in p.read_bytes() for p in home.rglob("*") if p.is_file())
    firm.page(tmp_path, "b.json", {77: message(77, "参加小蜜蜂计划", sender="lisi", to=["wmB"])})
    assert liuhen(home, "ingest", "--from", str(tmp_path / "b.json")).code == 0
    assert liuhen(home, "sql", "select term, category from matches where seq = 77").rows == [{"term": "小蜜蜂计划", "category": "X1"}]


def test_imports_of_refusals_count_from_their_time_and_can_be_undone(tmp_path: Path) -> None:
    home = tmp_path / "home"
    liuhen(home, "init", "--corp-id", "ww1")
    (tmp_path / "key.pem").write_bytes(firm.pem(1))
    liuhen(home, "keys", "add", "--version", "1", "--private-key", str(tmp_path / "key.pem"))
    lines = tmp_path / "no.jsonl"
    refused = {"userid": "ZHANGSAN", "external_userid": "wmA", "status": "Disagree", "changed_at": firm.T0 // 1000 + 2}
    lines.write_text(json.dumps(refused) + "\nnonsense\n")
    ended = liuhen(home, "consent", "import", str(lines))
    assert ended.code == 3 and "line 2" in ended.err
    firm.page(tmp_path, "a.json", {1: message(1), 2: message(2), 3: message(3)})
    assert liuhen(home, "ingest", "--from", str(tmp_path / "a.json")).summary["withheld"] == 2
    (event,) = liuhen(home, "consent", "list").rows
    assert (event["status"], event["source"]) == ("Disagree", "import")


def test_every_command_has_help_with_an_example_in_both_languages() -> None:
    import typer

    from pipeline import words
    from pipeline.cli.root import LANG, complete
    from tests.docs.test_docs import commands

    whole: Any = typer.main.get_command(complete())
    for command in commands():
        key = "usage." + command.replace(" ", ".")
        assert "例：liuhen" in words.say(key, "zh") and "Example: liuhen" in words.say(key, "en"), command
        registered = whole
        for word in command.split():
            registered = registered.commands[word]
        assert registered.help.splitlines()[0] == words.say(key, LANG).splitlines()[0], command


def test_the_modules_of_commands_register_the_words_they_are_listed_with() -> None:
    import typer

    from pipeline.cli import guard, root

    found: dict[str, set[str]] = {}
    for name, command in guard.leaves(typer.main.get_command(root.complete())):
        found.setdefault(inspect.unwrap(command.callback).__module__.rpartition(".")[2], set()).add(name.split()[0])
    assert {module: set(names) for module, names in root.COMMANDS.items()} == found


@pytest.mark.parametrize(
    ("argv", "modules"),
    [
        pytest.param(["search", "status"], ["search"], id="the first word"),
        pytest.param(["--home", "status", "--lang=en", "--corp", "ww1", "keys", "list"], ["setup"], id="values of options are no commands"),
        pytest.param(["--home=search", "audit", "--help"], ["ask"], id="help of one"),
        pytest.param(["--help", "search"], None, id="help of all"),
        pytest.param(["--home", "h"], None, id="no command"),
        pytest.param(["--home"], None, id="nothing behind an option"),
        pytest.param(["serach"], None, id="a word that is no command: guessed at"),
        pytest.param(["--", "search"], None, id="nothing is an option behind two dashes"),
        pytest.param([], None, id="nothing"),
    ],
)
def test_a_call_loads_the_module_of_its_command_alone(argv: list[str], modules: list[str] | None) -> None:
    from pipeline.cli.root import COMMANDS, modules_of

    assert modules_of(argv) == (modules or list(COMMANDS))


def test_an_argument_that_is_no_text_is_refused_before_anything_is_recorded(tmp_path: Path) -> None:
    ended = liuhen(tmp_path / "home", "search", "\udcff")
    assert ended.code == 2 and "ARGUMENT_BYTES" in ended.err
    assert not (tmp_path / "home").exists()


def test_a_reader_that_had_enough_is_an_ordinary_end(tmp_path: Path) -> None:
    at = firm.home(tmp_path)
    reading, writing = os.pipe()
    os.close(reading)
    words = [sys.executable, "-m", "pipeline.cli", "--home", str(at.path), "audit", "list", "--format", "jsonl"]
    ended = subprocess.run(words, stdout=writing, stderr=subprocess.PIPE, timeout=300, check=False, env={**os.environ, "PYTHONPATH": str(ROOT)})
    os.close(writing)
    assert (ended.returncode, ended.stderr) == (0, b"")
