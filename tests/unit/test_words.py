"""The catalogue of words: complete in both languages, and what the program asks for is there."""

from __future__ import annotations

import ast
import re
import string
from collections import Counter
from datetime import UTC, date, datetime, timedelta, timezone
from pathlib import Path
from typing import get_args

import pytest
import yaml

from pipeline import errors, records, words
from pipeline.errors import FAILURE_CODES, ArchiveError, Exit, UsageError
from pipeline.source import cycle
from tests.raise_sites import modules

ROOT = Path(__file__).parents[2]


def spelt(names: str) -> list[str]:
    return names.split()


def fields(text: str) -> list[str]:
    return sorted(name for _, name, spec, _ in string.Formatter().parse(text) if name is not None and "|" not in (spec or ""))


def test_every_key_has_both_languages_and_nothing_else() -> None:
    odd = {key for key, word in words.catalogue().items() if set(word) != {"zh", "en"} or not all(str(v) == v != "" for v in word.values())}
    assert odd == set()


def test_both_languages_of_a_key_take_the_same_placeholders() -> None:
    odd = {key for key, entry in words.catalogue().items() if fields(entry["zh"]) != fields(entry["en"])}
    assert odd == set()


def test_placeholders_are_plain_names_so_that_a_word_cannot_reach_into_a_value() -> None:
    names = {name for entry in words.catalogue().values() for text in entry.values() for name in fields(text)}
    assert {name for name in names if not name.isidentifier()} == set()


def test_what_goes_by_a_number_names_a_number_that_is_told_beside_it() -> None:
    texts = [text for entry in words.catalogue().values() for text in entry.values()]
    by_number = [(name, text) for text in texts for _, name, spec, _ in string.Formatter().parse(text) if "|" in (spec or "")]
    assert len(by_number) > 100
    assert [text for name, text in by_number if name not in fields(text)] == []


@pytest.mark.parametrize(
    ("n", "said"),
    [
        pytest.param(0, "0 failed records are not acknowledged", id="none"),
        pytest.param(1, "1 failed record is not acknowledged", id="one"),
        pytest.param("1", "1 failed record is not acknowledged", id="one, set already"),
        pytest.param(11, "11 failed records are not acknowledged", id="begins with one"),
        pytest.param("1,001", "1,001 failed records are not acknowledged", id="set in thousands"),
    ],
)
def test_one_thing_is_not_told_as_several(n: object, said: str) -> None:
    assert words.say("status.failed", "en", n=n).startswith(f"{said} (")
    assert words.say("status.failed", "zh", n=n).startswith(f"{n} ")


@pytest.mark.parametrize(
    ("value", "said"),
    [
        pytest.param("multi-buffer, openssl:keys", "eight at once (crypto_mb), one by one (OpenSSL): no private key has 2,048 bits", id="both ways"),
        pytest.param("openssl", "one by one (OpenSSL), as configured", id="one way"),
        pytest.param("multi-buffer, something", "multi-buffer, something", id="one that nobody knows"),
        pytest.param("", "", id="nothing"),
    ],
)
def test_several_values_are_each_told_by_their_word(value: str, said: str) -> None:
    assert words.label("rsa", value, "en") == said


def test_no_key_is_given_twice() -> None:
    text = (ROOT / "schemas/words.yaml").read_text("utf-8")
    counts = Counter(line.split(": {", 1)[0] for line in text.splitlines() if line and not line.startswith("#"))
    assert {key for key, n in counts.items() if n > 1} == set()
    assert set(counts) == set(words.catalogue())


@pytest.mark.parametrize(
    "text",
    [
        pytest.param((ROOT / "schemas/words.yaml").read_text("utf-8"), id="the catalogue"),
        pytest.param('# said\na.b: {zh: "一", en: "one"}\n\nc.d e: {zh: "二\\n「\\"」", en: "two\\n\\"\\u4e00\\""}\n', id="escapes"),
        pytest.param('a.b: {zh: "一", en: "one"}\nc.d: {zh: "\\x41", en: "\\e"}\n', id="escapes of YAML alone"),
        pytest.param('a.b: {zh: "一", en: "one"}\nc.d: {zh: \'二\', en: two}\n', id="other quotes"),
        pytest.param('a.b: {zh: "一", en: "one"}\nc.d:\n  zh: "二"\n  en: "two"\n', id="lines below one another"),
        pytest.param('a.b: {zh: "一", en: "one\n  more"}\n# c.d: {zh: "二", en: "two"}\n', id="one on two lines, one left out"),
        pytest.param('a.b: {zh: "一", en: "one"}  # said\n  # more\n', id="words behind"),
        pytest.param('a.b: {zh: "一", en: "one"}\na.b: {zh: "二", en: "two"}\n', id="one key twice"),
        pytest.param('a.b:c=d: {zh: "一", en: "one"}\na.b:e: {zh: "二：", en: "two: 2"}\n', id="colons and equals signs in a key"),
        pytest.param('a.b: {en: "one", zh: "一"}\n1.2: {zh: "二", en: "two"}\n', id="the other order, a number"),
    ],
)
def test_a_catalogue_is_read_as_yaml_reads_it(text: str) -> None:
    assert words.read_catalogue(text) == yaml.safe_load(text)


def test_the_catalogue_needs_no_reader_of_yaml_which_would_cost_every_command_a_twentieth_of_a_second(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(yaml, "load", lambda *_, **__: pytest.fail("a line of schemas/words.yaml has another shape than the others"))
    assert words.read_catalogue((ROOT / "schemas/words.yaml").read_text("utf-8"))


def test_chinese_words_are_chinese_and_english_words_are_not() -> None:
    def chinese(text: str) -> bool:
        return any("\u4e00" <= c <= "\u9fff" for c in text)

    def has_words(text: str) -> bool:
        return re.search("[A-Za-z]", re.sub(r"\{[^}]*\}", "", text)) is not None

    proper_names = {"msgtype.markdown", "col.sha256", "conversation.sha256"}
    assert {k for k, e in words.catalogue().items() if has_words(e["zh"]) and not chinese(e["zh"])} == proper_names
    assert {k for k, e in words.catalogue().items() if chinese(e["en"].split("Example:")[0])} == set()


@pytest.mark.parametrize(
    ("group", "values"),
    [
        pytest.param("fate", get_args(records.Fate), id="fate"),
        pytest.param("fate_means", get_args(records.Fate), id="what a fate means"),
        pytest.param("sender_kind", get_args(records.PartyKind), id="kind of person"),
        pytest.param("party", ("employee", "external", "robot", "quoted", "unknown"), id="party of a finding"),
        pytest.param("direction", get_args(records.Direction), id="direction"),
        pytest.param("consent", get_args(records.Consent), id="consent"),
        pytest.param("severity", get_args(records.Severity), id="severity"),
        pytest.param("via", get_args(records.Via), id="via"),
        pytest.param("origin", get_args(records.Origin), id="origin"),
        pytest.param("control", ("agree", "disagree", "switch"), id="control"),
        pytest.param("decision", ("violation", "not_violation", "escalated", "reopened"), id="decision"),
        pytest.param("media_status", spelt("pending verified unverifiable mismatch expired missing too_large withheld"), id="media"),
        pytest.param("exit", tuple(int(code) for code in Exit), id="exit code"),
        pytest.param("weekday", tuple(range(7)), id="weekday"),
        pytest.param("conversation.held", ("withheld", "pending", "restricted", "failed", "removed"), id="held records"),
        pytest.param(
            "msgtype",
            spelt(
                "text image revoke agree disagree voice video card location emotion file link weapp chatrecord todo vote collect redpacket "
                "external_redpacket meeting meeting_notification docmsg markdown news calendar mixed meeting_voice_call "
                "voip_doc_share sphfeed voiptext qydiskfile solitaire note"
            ),
            id="the documented message types",
        ),
    ],
)
def test_every_value_the_data_can_hold_has_a_word(group: str, values: tuple[object, ...]) -> None:
    assert {value for value in values if f"{group}.{value}" not in words.catalogue()} == set()


# The columns of the public views, as README lists them.
VIEW_COLUMNS = spelt("""
corp_id seq msgid kind action msgtype sent_at sender_id sender_kind recipient_ids room_id conversation_id direction text parts raw
recalled_at recalled_by recalls_msgid consent consent_source lawful_basis key_version origin captured_at ingested_at dt dt_basis
finding_id employee_id customer_id rule_id category severity party term matched_text part start_cp end_cp spans via suppressed_by
lexicon_version matched_at reviewer decision reason remedy decided_at scope_ref rule register_version destroy_after basis since keep_until
who scope at page step code detail attempts first_seen last_seen userid external_userid status changed_at precision source source_msgid
recorded_at sdkfileid file_name declared_size declared_md5 sha256 size valid_from valid_to first_seq last_seq records digest requested_seq
after_seq before_seq from_at to_at cause acknowledged_by run_id command actor started_at finished_at exit_code
landed archived pending withheld failed control duplicate reopened
""")


@pytest.mark.parametrize("column", VIEW_COLUMNS)
def test_every_column_of_the_views_has_a_title(column: str) -> None:
    assert words.title(column, "zh") != column


@pytest.mark.parametrize(("column", "zh"), [("hold_id", "保全编号"), ("released_at", "解除时间"), ("records_waiting", "等待此钥的记录")])
def test_columns_of_lists_that_are_no_views_have_titles_too(column: str, zh: str) -> None:
    assert words.title(column, "zh") == zh


def test_a_view_may_title_a_column_its_own_way() -> None:
    assert words.title("kind", "zh") == "类别"
    assert words.title("kind", "zh", view="media") == "媒体类型"
    assert words.title("n_of_my_own", "zh", view="media") == "n_of_my_own"


@pytest.mark.parametrize("code", FAILURE_CODES)
def test_every_failure_code_has_its_sentences_and_the_english_ones_are_those_of_the_code(code: str) -> None:
    _, meaning, remedy = FAILURE_CODES[code]
    assert words.failure(code, "en") == (meaning, remedy)
    what, do = words.failure(code, "zh")
    assert what and do and what != meaning


def test_no_sentence_is_kept_for_a_failure_code_that_is_gone() -> None:
    kept = {key.split(".")[1] for key in words.catalogue() if key.startswith("failure.")}
    assert kept == set(FAILURE_CODES)


def calls_of_say() -> list[tuple[str, int, str, set[str] | None]]:
    """Every `words.say("key", …)` and `t("key", …)` of the program: file, line, key, names of its values (None: a mapping is given)."""
    found = []
    for path, nodes in modules().items():
        for node, _ in nodes:
            if isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant) and asks_for_words(node.func):
                names = {k.arg for k in node.keywords if k.arg}
                spread = any(k.arg is None for k in node.keywords)
                found.append((path.name, node.lineno, str(node.args[0].value), None if spread else names))
    return found


def asks_for_words(function: ast.expr) -> bool:
    if isinstance(function, ast.Attribute):
        return function.attr == "say" and isinstance(function.value, ast.Name) and function.value.id == "words"
    return isinstance(function, ast.Name) and function.id == "t"


def test_every_word_a_page_asks_for_exists() -> None:
    pages = "".join(path.read_text("utf-8") for path in (ROOT / "pipeline/templates").iterdir())
    asked = set(re.findall(r"say\('([\w.]+)'[,)]", pages))
    assert len(asked) > 20
    assert asked - set(words.catalogue()) == set()


def test_every_word_the_program_asks_for_exists_and_gets_what_it_needs() -> None:
    calls = calls_of_say()
    assert len(calls) > 20
    wrong = [
        (file, line, key)
        for file, line, key, given in calls
        if key not in words.catalogue() or (given is not None and given != set(fields(words.catalogue()[key]["zh"])))
    ]
    assert wrong == []


def test_every_bar_of_progress_has_its_label() -> None:
    asked = {
        str(node.args[0].value)
        for nodes in modules().values()
        for node, _ in nodes
        if isinstance(node, ast.Call) and len(node.args) == 3 and isinstance(node.args[0], ast.Constant) and told_by(node.func) in ("progress", "_progress", "shown")
    }
    assert len(asked) > 10
    assert {what for what in asked if f"progress.{what}" not in words.catalogue()} == set()


def told_by(function: ast.expr) -> str:
    return function.id if isinstance(function, ast.Name) else function.attr if isinstance(function, ast.Attribute) else ""


def test_every_step_of_a_cycle_has_a_word() -> None:
    assert {step.name for step in cycle.STEPS if f"cycle_step.{step.name}" not in words.catalogue()} == set()


def test_say_fills_in_numbers_as_people_write_them() -> None:
    assert words.say("summary.pull", "zh", pages=2, records=12345, bytes=9) == "拉取 2 页，12,345 条记录，9 字节"
    assert words.say("summary.pull", "en", pages=2, records=12345, bytes=9) == "pulled 2 pages, 12,345 records, 9 bytes"


def test_a_value_with_braces_stays_as_it_is() -> None:
    assert words.say("error.detail", "zh", detail="{0.__class__} {x}") == "详情：{0.__class__} {x}"


def test_an_unknown_key_is_an_error_and_an_unknown_value_is_not() -> None:
    with pytest.raises(ArchiveError, match=r"^schemas/words\.yaml has no key no\.such; report it") as caught:
        words.say("no.such", "zh")
    assert caught.value.code == "WORD_MISSING"
    assert words.label("category", "our_own_category", "zh") == "our_own_category"
    assert words.label("fate", None, "zh") == ""


@pytest.mark.parametrize(
    ("option", "environ", "expected"),
    [
        pytest.param("en", {"LIUHEN_LANG": "zh", "LANG": "zh_CN.UTF-8"}, "en", id="the option wins"),
        pytest.param(None, {"LIUHEN_LANG": "en", "LANG": "zh_CN.UTF-8"}, "en", id="then LIUHEN_LANG"),
        pytest.param(None, {"LIUHEN_LANG": "", "LANG": "en_US.UTF-8"}, "en", id="an empty LIUHEN_LANG is none"),
        pytest.param(None, {"LANG": "en_GB"}, "en", id="then LANG"),
        pytest.param(None, {"LANG": "zh_TW.UTF-8"}, "zh", id="Chinese of any region"),
        pytest.param(None, {"LANG": "C.UTF-8"}, "zh", id="a LANG without language"),
        pytest.param(None, {"LANG": "fr_FR.UTF-8"}, "zh", id="a foreign LANG"),
        pytest.param(None, {"LANG": "zhuang"}, "zh", id="a LANG that only begins so, default all the same"),
        pytest.param(None, {}, "zh", id="nothing set"),
        pytest.param("zh-CN", {}, "zh", id="a tag with region"),
        pytest.param("EN", {}, "en", id="capitals"),
    ],
)
def test_the_language_is_chosen_in_order(option: str | None, environ: dict[str, str], expected: str) -> None:
    assert words.lang_of(option, environ) == expected


@pytest.mark.parametrize(
    ("option", "environ"), [pytest.param("fr", {}, id="option"), pytest.param(None, {"LIUHEN_LANG": "english"}, id="LIUHEN_LANG")]
)
def test_a_language_asked_for_that_does_not_exist_is_refused(option: str | None, environ: dict[str, str]) -> None:
    with pytest.raises(UsageError, match="expected the language zh or en, got another; set --lang or LIUHEN_LANG") as caught:
        words.lang_of(option, environ)
    assert caught.value.code == "LANG_UNKNOWN"


NEW_YORK = timezone(timedelta(hours=-5))
MORNING_MS = 1_795_311_005_123  # 2026-11-22 01:30:05.123 UTC


@pytest.mark.parametrize(
    ("at", "expected"),
    [
        pytest.param(MORNING_MS, "2026-11-22 09:30:05 (01:30:05Z)", id="milliseconds"),
        pytest.param(datetime(2026, 11, 22, 1, 30, 5, tzinfo=UTC), "2026-11-22 09:30:05 (01:30:05Z)", id="UTC datetime"),
        pytest.param(datetime(2026, 11, 21, 20, 30, 5, tzinfo=NEW_YORK), "2026-11-22 09:30:05 (01:30:05Z)", id="elsewhere"),
        pytest.param(datetime(2026, 11, 22, 1, 30, 5), "2026-11-22 09:30:05 (01:30:05Z)", id="naive is UTC"),
        pytest.param(datetime(2026, 11, 21, 23, 59, 59, tzinfo=UTC), "2026-11-22 07:59:59 (2026-11-21 23:59:59Z)", id="another UTC day"),
        pytest.param(datetime(2026, 11, 22, 0, 0, 0, tzinfo=UTC), "2026-11-22 08:00:00 (00:00:00Z)", id="the same UTC day again"),
        pytest.param(0, "1970-01-01 08:00:00 (00:00:00Z)", id="zero"),
        pytest.param(-1, "1970-01-01 07:59:59 (1969-12-31 23:59:59Z)", id="before 1970"),
        pytest.param(None, "时间未知", id="unknown"),
    ],
)
def test_beijing_time_is_shown_with_utc(at: int | datetime | None, expected: str) -> None:
    assert words.beijing(at) == expected


def test_times_for_programs_carry_the_offset_and_milliseconds() -> None:
    assert words.iso(MORNING_MS) == "2026-11-22T09:30:05.123+08:00"
    assert words.iso(1_795_311_005_000) == "2026-11-22T09:30:05.000+08:00"
    assert words.iso(datetime(2026, 11, 22, 1, 30, 5, 123456, tzinfo=UTC)) == "2026-11-22T09:30:05.123456+08:00"


def test_a_day_is_said_as_people_say_it() -> None:
    assert words.day_title(date(2026, 11, 22), "zh") == "2026年11月22日 星期日"
    assert words.day_title(date(2026, 2, 2), "en") == "Monday 2 February 2026"


def test_an_error_is_told_in_the_language_of_the_call() -> None:
    error = UsageError("OUTPUT_NEEDED", "xlsx cannot be shown on a terminal", remedy="name a file with -o FILE")
    assert words.error_text(error, "zh") == "错误 OUTPUT_NEEDED：xlsx 不能显示在终端上\n处理：用 -o 文件 指定"
    assert words.error_text(error, "en") == "error OUTPUT_NEEDED: xlsx cannot be shown on a terminal; name a file with -o FILE"


def test_what_somebody_else_said_is_the_detail_behind_the_meaning_of_the_code() -> None:
    error = UsageError("SQL_FAILED", "Binder Error: no column x", remedy="the views and their columns are listed in docs/sql.md")
    assert words.error_text(error, "zh") == (
        "错误 SQL_FAILED：查询无法完成\n详情：Binder Error: no column x\n处理：视图及其各列见 docs/sql.md"
    )
    assert words.error_text(UsageError("NEW_CODE", "Binder Error: no"), "zh") == "错误 NEW_CODE：Binder Error: no"


def test_the_glossary_uses_the_words_of_the_catalogue() -> None:
    text = (ROOT / "docs/glossary.md").read_text("utf-8")
    groups = ("fate", "consent", "sender_kind", "severity", "media_status", "decision", "via")
    entries = {key: entry for key, entry in words.catalogue().items() if key.split(".")[0] in groups and key.count(".") == 1}
    missing = {key for key, entry in entries.items() if f"| {entry['zh']} | {entry['en']} |" not in text}
    assert missing == set()


def codes() -> set[str]:
    """The codes of errors that end a command, read from where they are raised."""
    found = set()
    for nodes in modules().values():
        for node, _ in nodes:
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in ENDING and node.args:
                first = node.args[0]
                if isinstance(first, ast.Constant):
                    found.add(str(first.value))
    return found


ENDING = {kind.__name__ for kind in (errors.UsageError, errors.SourceRefused, errors.VerifyFailed, errors.Locked, errors.StorageError)}


def test_every_error_that_ends_a_command_has_a_sentence_in_both_languages() -> None:
    raised = codes()
    assert len(raised) > 100
    assert sorted(code for code in raised if f"error.{code}" not in words.catalogue()) == []
