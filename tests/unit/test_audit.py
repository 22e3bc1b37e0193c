"""Audits by name: their words, their parameters, and what is said of a wrong value."""

from __future__ import annotations

import re
from datetime import date
from pathlib import Path

import duckdb
import pytest

from pipeline import audit, sqlguard, words
from pipeline.audit import Audit, Meta, Parameter, Words
from pipeline.errors import FAILURE_CODES, UsageError

AUDITS = audit.load_audits()
WORDS = "".join(f"{field}: {{zh: 字, en: word}}\n" for field in ("title", "question", "basis"))
TEXT = Words(zh="字", en="words")


def asked(*parameters: Parameter) -> Audit:
    """Return an audit that gives back what was bound."""
    query = f"SELECT {', '.join(f'${p.sql_name} AS {p.sql_name}' for p in parameters)}" if parameters else "SELECT 1 AS one"
    return Audit(
        name="made-up", meta=Meta(title=TEXT, question=TEXT, basis=TEXT, columns=(), parameters=parameters), sql=query, folder=Path()
    )


DAYS = (
    Parameter(name="from", type="date", help=TEXT, default="2026-01-01"),
    Parameter(name="to", type="date", help=TEXT, default="9999-12-31"),
)
EMPLOYEE = Parameter(name="employee", type="text", help=TEXT)
LIMIT = Parameter(name="limit", type="int", help=TEXT, default=None)
HOURS = Parameter(name="hours", type="int", help=TEXT, default=24, least=1, most=48, below="end")
END = Parameter(name="end", type="int", help=TEXT, default=None, least=1, most=48)
SEVERITY = Parameter(name="severity", type="choice", help=TEXT, choices=("all", "high"), default="all")


def test_the_audits_are_there_by_name() -> None:
    assert [a.name for a in AUDITS] == [
        "behaviour-archive", "chats-after-refusal", "consent-answers", "consent-by-employee", "consent-card", "consent-changes", "coverage",
        "customer-conversations", "customer-thread", "findings", "findings-ageing", "findings-by-category", "findings-of-employee", "handover-followup",
        "licensed-chatting", "monthly-pack", "off-channel", "off-channel-before-refusal", "off-hours", "personal-data", "promises-undisclosed", "quotes-of-refused",
        "recalls-near-findings", "recalls-near-money", "red-packets", "refusals-by-employee", "refused-customers", "refused-elsewhere", "repeat-offenders", "reviewers",
        "sales-without-disclosures", "same-text", "source-gaps", "stale-consent", "unanswered", "unopened", "volume",
    ]  # fmt: skip


# What the product promises to answer, question by question.
PROMISED = {
    "reconciliation and gaps": ("coverage", "source-gaps"), "licensed against chatting": ("licensed-chatting",), "behaviour statistics against archive": ("behaviour-archive",),
    "findings by rule, employee, department, severity, age": ("findings",), "repeat offenders": ("repeat-offenders",), "same text to many customers": ("same-text",),
    "off-channel moves and silence after them": ("off-channel",), "promises without disclosure": ("promises-undisclosed",), "recalls near money words": ("recalls-near-money",),
    "unanswered customers and first response": ("unanswered",), "nights and weekends": ("off-hours",), "handovers and what followed": ("handover-followup",),
    "red packets by sender": ("red-packets",), "sales talks without required disclosures": ("sales-without-disclosures",), "personal data sent": ("personal-data",),
    "monthly pack for the regulator": ("monthly-pack",),
}  # fmt: skip


@pytest.mark.parametrize("names", PROMISED.values(), ids=list(PROMISED))
def test_each_question_that_is_promised_has_its_audit_with_cases(names: tuple[str, ...]) -> None:
    assert len(PROMISED) == 16
    for name in names:
        cases = sorted((audit.find(name).folder / "cases").iterdir())
        assert len(cases) >= 2 and all({"params.yaml", "expect.yaml"} <= {f.name for f in case.iterdir()} for case in cases)


# Of these the rows bear times of the archive's own making: of capture, of a decision, of what became known, of counts a day.
DATED_BY_THE_ARCHIVE = {"coverage", "reviewers", "consent-changes", "refused-customers", "chats-after-refusal"}


@pytest.mark.parametrize("one", [a for a in AUDITS if any(p.name == "from" for p in a.meta.parameters)], ids=lambda a: a.name)
def test_an_audit_of_a_period_says_how_much_has_no_time(one: Audit) -> None:
    said = {"without_time", "time_known"} & {c.name for c in one.meta.columns}
    assert bool(said) != (one.name in DATED_BY_THE_ARCHIVE)


def test_columns_of_codes_are_told_in_words_of_the_catalogue() -> None:
    told = {(a.name, column): group for a in AUDITS for column, group in audit.worded(a).items()}
    groups = {key.split(".")[0] for key in words.catalogue()}
    assert set(told.values()) <= groups
    assert told["consent-changes", "status"] == "consent_status" and words.label("consent_status", "Disagree", "zh") == "不同意"
    assert told["coverage", "source"] == "page_source" and words.label("page_source", "total", "zh") == "合计"


@pytest.mark.parametrize("one", AUDITS, ids=lambda a: a.name)
def test_an_audit_speaks_chinese_and_english(one: Audit) -> None:
    meta = one.meta
    spoken = [
        meta.title,
        meta.question,
        meta.basis,
        *(p.help for p in meta.parameters),
        *(w for c in meta.columns for w in (c.title, c.meaning)),
    ]
    assert all(re.search(r"[\u4e00-\u9fff]", w.zh) for w in spoken)
    assert all(w.en.isascii() and w.en.strip() for w in spoken)


@pytest.mark.parametrize("one", AUDITS, ids=lambda a: a.name)
def test_an_audit_binds_what_its_query_names_and_nothing_else(one: Audit) -> None:
    assert set(re.findall(r"\$(\w+)", one.sql)) == {p.sql_name for p in one.meta.parameters}


@pytest.mark.parametrize("one", AUDITS, ids=lambda a: a.name)
def test_an_audit_is_one_select_over_the_views_that_users_can_ask(one: Audit) -> None:
    assert sqlguard.guard(duckdb.connect(), one.sql).endswith(one.sql.strip().rstrip(";").splitlines()[-1])


@pytest.mark.parametrize("one", AUDITS, ids=lambda a: a.name)
def test_an_audit_says_its_question_first(one: Audit) -> None:
    assert one.sql.startswith("-- ")


@pytest.mark.parametrize("code", FAILURE_CODES)
def test_unopened_tells_what_to_do_in_the_words_used_elsewhere(code: str) -> None:
    connection = duckdb.connect()
    row = f"'{code}' AS code, 1 AS key_version, 'x' AS step, 1 AS seq, 'p' AS page, 1 AS attempts, now() AS first_seen, now() AS last_seen"
    connection.execute(f"CREATE VIEW failures AS SELECT {row}")
    columns, rows = audit.run(connection, audit.find("unopened"), {"key_version": None})
    found = dict(zip(columns, rows[0], strict=True))
    assert found["to_do_en"] == FAILURE_CODES[code][2]
    assert found["to_do_zh"] == words.failure(code, "zh")[1]


def test_the_numbers_of_the_pack_are_called_as_in_its_letter() -> None:
    told = re.findall(r"'part': '(\w+)', 'fact': '(\w+)', 'fact_zh': '([^']*)', 'fact_en': '([^']*)'", audit.find("monthly-pack").sql)
    assert len(told) == 27
    for part, fact, zh, en in told:
        fate = part == "landed" and fact != "landed"
        key = f"pack.unread.{fact}" if part == "uninspected" else f"pack.fact.{fact}"
        assert (zh, en) == (tuple(words.label("fate", fact, lang) for lang in ("zh", "en")) if fate else (words.say(key, "zh"), words.say(key, "en")))


def test_an_audit_is_found_by_its_name() -> None:
    assert audit.find("coverage").meta.title.zh == "完整性对账"


@pytest.mark.parametrize(
    ("name", "said"),
    [
        pytest.param("coverge", "did you mean coverage?", id="a slip"),
        pytest.param("finding-of", "findings-of-employee", id="half a name"),
        pytest.param("unansweredd", "did you mean unanswered, consent-answers, unopened?", id="several, without a word of either language between them"),
        pytest.param("Coverage", "did you mean coverage?", id="names are in small letters"),
        pytest.param("天气", "`liuhen audit list` shows all of them", id="nothing near"),
    ],
)
def test_an_unknown_name_is_refused_with_the_nearest_ones(name: str, said: str) -> None:
    with pytest.raises(UsageError) as refused:
        audit.find(name)
    assert refused.value.code == "AUDIT_UNKNOWN"
    assert said in str(refused.value)
    assert name not in str(refused.value).split("did you mean")[0]


def test_from_and_to_are_bound_as_days_and_defaults_fill_in() -> None:
    bound = audit.bind(asked(*DAYS, EMPLOYEE, LIMIT, SEVERITY), {"from": "2026-03-01", "employee": "ZhangSan", "limit": "-5"})
    assert bound == {
        "from_day": date(2026, 3, 1), "to_day": date(9999, 12, 31), "employee": "ZhangSan", "limit": -5, "severity": "all",
    }  # fmt: skip


def test_one_day_may_be_both_first_and_last() -> None:
    bound = audit.bind(asked(*DAYS), {"from": "2026-03-01", "to": "2026-03-01"})
    assert bound == {"from_day": date(2026, 3, 1), "to_day": date(2026, 3, 1)}


def test_a_parameter_whose_default_is_null_may_be_left_out() -> None:
    assert audit.bind(asked(LIMIT), {}) == {"limit": None}


@pytest.mark.parametrize(
    ("given", "code", "said"),
    [
        pytest.param({}, "AUDIT_PARAM_MISSING", "made-up needs employee; add `-p employee=…`: words", id="not given"),
        pytest.param({"employee": ""}, "AUDIT_PARAM_INVALID", "employee must not be empty, got a value of 0 characters; words", id="empty"),
        pytest.param({"employee": "a", "employe": "b"}, "AUDIT_PARAM_UNKNOWN", "did you mean employee?", id="a slip in the name"),
        pytest.param(
            {"employee": "a", "from": "1.3.2026"},
            "AUDIT_PARAM_INVALID",
            "from must be a Beijing day such as 2026-03-01, got 1.3.",
            id="a day otherwise",
        ),
        pytest.param({"employee": "a", "from": "2026-02-30"}, "AUDIT_PARAM_INVALID", "got 2026-02-30", id="no such day"),
        pytest.param({"employee": "a", "from": "2026-03-01T00:00"}, "AUDIT_PARAM_INVALID", "got 2026-03-01T00:00", id="a time"),
        pytest.param(
            {"employee": "a", "from": "王小明"}, "AUDIT_PARAM_INVALID", "got a value of 3 characters", id="what may be a name is not quoted"
        ),
        pytest.param({"employee": "a", "limit": "1.5"}, "AUDIT_PARAM_INVALID", "limit must be a whole number, got 1.5", id="a fraction"),
        pytest.param({"employee": "a", "limit": "٣"}, "AUDIT_PARAM_INVALID", "got a value of 1 characters", id="another script's digit"),
        pytest.param({"employee": "a", "limit": "9" * 19}, "AUDIT_PARAM_INVALID", "limit must be a whole number", id="beyond 64 bits"),
        pytest.param({"employee": " "}, "AUDIT_PARAM_INVALID", "employee must not be empty", id="a blank"),
        pytest.param({"employee": "a", "hours": "0"}, "AUDIT_PARAM_INVALID", "hours must be whole and within 1–48, got 0; words", id="below"),
        pytest.param({"employee": "a", "hours": "49"}, "AUDIT_PARAM_INVALID", "hours must be whole and within 1–48, got 49; words", id="above"),
        pytest.param({"employee": "a", "hours": "7", "end": "7"}, "AUDIT_PARAM_INVALID", "hours must be less than end (7), got 7; words", id="the wrong way round"),
        pytest.param(
            {"employee": "a", "severity": "HIGH"}, "AUDIT_PARAM_INVALID", "severity must be one of all, high, got HIGH", id="another choice"
        ),
        pytest.param(
            {"employee": "a", "from": "2026-03-02", "to": "2026-03-01"}, "AUDIT_PARAM_INVALID", "exchange the two days", id="backwards"
        ),
    ],
)
def test_a_wrong_value_is_refused_in_one_sentence(given: dict[str, str], code: str, said: str) -> None:
    with pytest.raises(UsageError) as refused:
        audit.bind(asked(*DAYS, EMPLOYEE, LIMIT, HOURS, END, SEVERITY), given)
    assert refused.value.code == code
    assert said in str(refused.value)
    assert "王小明" not in str(refused.value)


@pytest.mark.parametrize("given", [{"hours": "1"}, {"hours": "48"}, {"hours": "6", "end": "7"}], ids=["lowest", "highest", "just less"])
def test_the_ends_of_a_span_belong_to_it(given: dict[str, str]) -> None:
    assert audit.bind(asked(HOURS, END), given)["hours"] == int(given["hours"])


@pytest.mark.parametrize("one", AUDITS, ids=lambda a: a.name)
def test_every_number_that_an_audit_takes_has_its_span_and_the_default_lies_in_it(one: Audit) -> None:
    for p in one.meta.parameters:
        if p.type == "int":
            assert p.least is not None and p.most is not None and (p.default is None or (isinstance(p.default, int) and p.least <= p.default <= p.most)), p.name
        else:
            assert p.least is None and p.most is None and not p.below, p.name


def test_values_are_bound_and_never_become_part_of_the_query() -> None:
    one = asked(EMPLOYEE)
    columns, rows = audit.run(duckdb.connect(), one, audit.bind(one, {"employee": "' OR 1=1 --"}))
    assert (columns, rows) == (("employee",), [("' OR 1=1 --",)])


def test_an_audit_without_parameters_takes_none() -> None:
    with pytest.raises(UsageError, match="made-up takes no parameters"):
        audit.bind(asked(), {"x": "1"})
    assert audit.run(duckdb.connect(), asked(), audit.bind(asked(), {})) == (("one",), [(1,)])


@pytest.mark.parametrize(
    "meta",
    [
        pytest.param("title: {zh: 字, en: word}", id="fields missing"),
        pytest.param(WORDS + "columns: []\ncolour: red", id="a field too many"),
        pytest.param("title: {zh: 字", id="no YAML"),
    ],
)
def test_a_broken_meta_file_is_named(tmp_path: Path, meta: str) -> None:
    folder = tmp_path / "broken"
    folder.mkdir()
    (folder / "query.sql").write_text("SELECT 1", "utf-8")
    (folder / "meta.yaml").write_text(meta, "utf-8")
    with pytest.raises(UsageError, match=r"sql/audit/broken/meta\.yaml cannot be read") as refused:
        audit._load(folder)
    assert refused.value.code == "AUDIT_BROKEN"
