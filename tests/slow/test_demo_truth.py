"""The demonstration walked through by the very commands a user types, and every count of its truth found again in the archive.

Once pulled from a double of WeCom, as `liuhen demo` does it; once from saved pages.
The truth is told before anything is sealed, by what was planted; nothing of it comes from what is asked here.
The home of the double is asked every audit, too, once demo_beside.py brought in what the demonstration has none of: demo_answers.yaml.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from pipeline import audit
from pipeline.demo import generate
from pipeline.demo.truth import Truth
from pipeline.home import Home
from pipeline.reader import Reader
from pipeline.simulate.server import serving
from pipeline.simulate.simulator import Setting, Simulator
from tests.cli.liuhen import liuhen
from tests.slow import demo_beside
from tests.sql.conftest import plain_row, read_yaml

pytestmark = pytest.mark.slow
MESSAGES = {"double": 1_500, "saved pages": 3_000}
FATES = ("archived", "pending", "withheld", "failed", "control", "duplicate")


class Walk:
    """A walked demonstration: its truth, its home, the summaries of its two ingests, and the answers between them."""

    def __init__(self, folder: Path, way: str) -> None:
        source = folder / "source"
        self.home, self.files = folder / "home", dict[str, Any]()
        self.summaries: list[dict[str, Any]] = []
        self.between: dict[str, list[dict[str, Any]]] = {}
        if way == "saved pages":
            source.mkdir()
            self.truth: Truth = generate.generate(source, messages=MESSAGES[way], seed=7, end_day=date(2026, 11, 20))
            self._walk(generate.commands(source, self.truth))
        else:
            double = Simulator(Setting(folder=source, messages=MESSAGES[way], seed=7, end_day=date(2026, 11, 20)))
            self.truth = double.truth
            with serving(double) as server:
                self._walk(generate.commands(source, self.truth, address=server.base))

    def _walk(self, commands: list[list[str]]) -> None:
        for words in commands:
            ended = liuhen(self.home, *words, LIUHEN_DEMO_PASSPHRASE=generate.PASSPHRASE)
            assert ended.code in (0, 3), (words, ended.err)
            if words[0] == "ingest":
                self.summaries.append(ended.summary)
                if len(self.summaries) == 1:
                    self.between = {name: self.ask(query) for name, query in BETWEEN.items()}
            if words[0] == "media":
                self.files = ended.summary

    def ask(self, query: str) -> list[dict[str, Any]]:
        ended = liuhen(self.home, "sql", query, "--format", "jsonl")
        assert ended.code == 0, (query, ended.err)
        return ended.rows

    def counted(self, query: str) -> dict[Any, int]:
        """The rows (key, n) of a query."""
        return pairs(self.ask(query))


def pairs(rows: Iterable[dict[str, Any]]) -> dict[Any, int]:
    return {tuple(key) if len(key) > 1 else key[0]: n for *key, n in (r.values() for r in rows)}


TYPES = "SELECT CASE WHEN kind = 'recall' THEN 'revoke' ELSE msgtype END AS t, count(*) FROM messages GROUP BY 1 ORDER BY 1"
BY_DAY = "SELECT dt::VARCHAR, count(*) FROM messages WHERE dt_basis = 'sent' GROUP BY 1 ORDER BY 1"
LITERAL = "SELECT term, count(*) FROM matches WHERE via = 'literal' AND party = 'employee' GROUP BY 1 ORDER BY 1"
SUPPRESSED = "SELECT term, count(*) FROM matches_all WHERE via = 'literal' AND suppressed_by IS NOT NULL GROUP BY 1 ORDER BY 1"
OF_CUSTOMERS = "SELECT term, count(*) FROM matches WHERE via = 'literal' AND party <> 'employee' GROUP BY 1 ORDER BY 1"
PERSONAL = {"id_card": "idcard", "bank_card": "card", "mobile": "phone"}
FAILURES = "SELECT code, count(*) FROM failures WHERE code <> 'PAGE_CUT' GROUP BY 1 ORDER BY 1"
MEDIA = "SELECT kind, count(*) FROM media GROUP BY 1 ORDER BY 1"
BETWEEN = {
    "failures": FAILURES, "pages": "SELECT code, count(*) FROM failures WHERE code = 'PAGE_CUT' GROUP BY 1", "types": TYPES, "days": BY_DAY,
    "withheld": "SELECT msgid FROM withheld", "media": MEDIA, "terms": LITERAL,
}  # fmt: skip


@pytest.fixture(scope="module", params=[pytest.param(way, id=way) for way in MESSAGES])
def walk(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Walk:
    return Walk(tmp_path_factory.mktemp("truth"), request.param)


def fates(found: dict[str, Any]) -> dict[str, int]:
    return {f: found[f] for f in FATES if found[f]}


def test_the_fates_are_those_that_were_told_before_and_after_the_late_key(walk: Walk) -> None:
    truth, (first, second) = walk.truth, walk.summaries
    cut = truth.page_failures["PAGE_CUT"]
    assert cut == (0 if walk.files else 1) and first["landed"] == truth.records + cut
    assert fates(first) == {**truth.fates, "failed": truth.fates["failed"] + cut}
    late = sum(k.records for k in truth.keys if k.late)
    assert second["reopened"] > 0 and second["reopened"] <= late
    status = json.loads(liuhen(walk.home, "status", "--format", "json").out)
    assert fates(status) == {**truth.fates_later, "failed": truth.fates_later["failed"] + cut}


def test_the_failures_are_those_that_were_told(walk: Walk) -> None:
    assert pairs(walk.between["failures"]) == walk.truth.failures
    assert pairs(walk.between["pages"]) == {code: n for code, n in walk.truth.page_failures.items() if n}
    assert walk.counted(FAILURES) == walk.truth.failures_later
    broken = {(b.seq, b.msgid): b.code for b in walk.truth.broken}
    found = {(r["seq"], r["msgid"]): r["code"] for r in walk.ask("SELECT seq, msgid, code FROM failures WHERE seq IS NOT NULL")}
    assert {k: v for k, v in found.items() if v != "SEQ_CONFLICT"}.items() <= broken.items()


def test_exactly_the_messages_that_were_refused_are_withheld(walk: Walk) -> None:
    assert sorted(r["msgid"] for r in walk.between["withheld"]) == sorted(walk.truth.withheld)
    assert sorted(r["msgid"] for r in walk.ask("SELECT msgid FROM withheld")) == sorted(walk.truth.withheld_later)
    assert walk.ask("SELECT msgid FROM messages WHERE msgid IN (SELECT msgid FROM withheld)") == []


def test_every_type_and_day_has_its_count(walk: Walk) -> None:
    truth = walk.truth
    assert pairs(walk.between["types"]) == truth.archived_types
    assert walk.counted(TYPES) == truth.archived_types_later
    assert pairs(walk.between["days"]) == truth.archived_by_day
    assert walk.counted(BY_DAY) == truth.archived_by_day_later


def of_kind(terms: dict[str, dict[str, int]], kind: str) -> dict[str, int]:
    return {term: by_kind[kind] for term, by_kind in terms.items() if kind in by_kind}


def test_exactly_the_literal_phrases_that_were_planted_are_found_each_as_often_as_it_stands(walk: Walk) -> None:
    truth = walk.truth
    violations = of_kind(truth.terms_later, "violations")
    assert len(violations) > 10
    assert pairs(walk.between["terms"]) == of_kind(truth.terms, "violations")
    assert walk.counted(LITERAL) == violations


def test_near_misses_are_found_and_suppressed_and_what_customers_say_is_no_violation_of_employees(walk: Walk) -> None:
    truth = walk.truth
    assert walk.counted(SUPPRESSED) == of_kind(truth.terms_later, "near_misses")
    # Some rules listen to customers, others do not; numbers of persons are told by kind, at most as often as they were made up.
    said, details = walk.counted(OF_CUSTOMERS), Counter(d["kind"] for d in truth.details if d["fate_later"] == "archived")
    for term, kind in PERSONAL.items():
        assert said.pop(term, 0) <= details[kind]
    assert said.items() <= of_kind(truth.terms_later, "customer_words").items()


def test_every_employee_has_the_findings_that_were_planted(walk: Walk) -> None:
    query = "SELECT employee_id, category, count(*) FROM matches WHERE via = 'literal' AND party = 'employee' GROUP BY 1, 2"
    found = walk.counted(query)
    literal: Counter[tuple[str, str]] = Counter()
    for p in walk.truth.phrases:
        if p.kind == "violations" and p.form == "literal" and p.employee and not p.quoted and p.fate_later == "archived":
            literal[p.employee, p.category] += 1
    folded: Counter[tuple[str, str]] = Counter()
    for (employee, category), n in found.items():
        folded[employee.lower(), category] += n
    assert folded == Counter({(employee.lower(), category): n for (employee, category), n in literal.items()})


def test_every_file_has_its_row(walk: Walk) -> None:
    assert pairs(walk.between["media"]) == walk.truth.media
    assert walk.counted(MEDIA) == walk.truth.media_later
    assert sorted((r["seq"], r["sdkfileid"]) for r in walk.ask("SELECT seq, sdkfileid FROM media")) == sorted(newest(walk.truth.media_refs))


def newest(refs: Sequence[dict[str, Any]]) -> Iterator[tuple[int, str]]:
    """The (seq, file id) of every file of an archived message: with the ids of the last record that repeated it."""
    files: dict[str, dict[int, list[str]]] = {}
    for ref in refs:
        files.setdefault(ref["msgid"], {}).setdefault(ref["seq"], []).append(ref["sdkfileid"])
    for msgid, seq in {(r["msgid"], r["seq"]) for r in refs if r["fate_later"] == "archived"}:
        ids = files[msgid][max(files[msgid])]
        assert len(ids) == len(files[msgid][seq])
        yield from ((seq, one) for one in ids)


def test_every_file_that_can_be_pulled_is_fetched(walk: Walk) -> None:
    if walk.files:
        assert walk.files["left"] == walk.files["mismatch"] == walk.files["expired"] == walk.files["missing"] == 0
        assert walk.files["verified"] + walk.files["unverifiable"] == sum(walk.truth.media_later.values())
    pending = [r["status"] for r in walk.ask("SELECT DISTINCT status FROM media WHERE status = 'pending'")]
    assert pending == ([] if walk.files else ["pending"]), "saved pages have no source of files"


def test_every_recall_is_kept_with_its_original_or_shares_its_fate(walk: Walk) -> None:
    kept = {r["msgid"]: r["recalls_msgid"] for r in walk.ask("SELECT msgid, recalls_msgid FROM messages WHERE kind = 'recall'")}
    told = {r["msgid"]: r["recalls"] for r in walk.truth.recalls if r["fate"] == "archived"}
    assert told and kept == told
    recalled = {r["msgid"] for r in walk.ask("SELECT msgid FROM messages WHERE recalled_by IS NOT NULL")}
    originals = {r["recalls"] for r in walk.truth.recalls if r["fate"] == "archived" and r["order"] != "unknown"}
    assert recalled and recalled <= originals


def test_control_records_and_duplicates_are_counted_as_told(walk: Walk) -> None:
    assert walk.counted("SELECT kind, count(*) FROM control GROUP BY 1 ORDER BY 1") == walk.truth.control
    (row,) = walk.ask("SELECT duplicate FROM counts")
    assert row["duplicate"] == len(walk.truth.duplicates)


# --- every audit, its answers typed: last, since what it is asked about is brought in beside the walk ---

ANSWERS: dict[str, list[dict[str, Any]]] = read_yaml(Path(__file__).parent / "demo_answers.yaml")
SHAPES = frozenset({"given", "where", "columns", "rows", "count", "sums", "tally"})
DAYS = {"from": "2026-11-16", "to": "2026-11-20"}


@pytest.fixture(scope="module")
def reader(walk: Walk) -> Iterator[Reader]:
    people = [json.loads(line) for line in (walk.home.parent / "source" / "directory.jsonl").read_text("utf-8").splitlines()]
    demo_beside.bring(walk.home, {p["userid"] for p in people if p["kind"] == "employee" and p["valid_to"] is None}, walk.ask)
    with Reader(Home(walk.home), walk.truth.corp_id) as opened:
        yield opened


def test_every_audit_has_its_typed_answers() -> None:
    assert list(ANSWERS) == [a.name for a in audit.load_audits()]
    for name, questions in ANSWERS.items():
        for question in questions:
            assert question.keys() <= SHAPES and question.keys() & {"rows", "count"}, name


@pytest.mark.parametrize("walk", ["double"], indirect=True)
@pytest.mark.parametrize(("name", "number"), [(name, n) for name, questions in ANSWERS.items() for n in range(len(questions))])
def test_an_audit_answers_about_the_demonstration_as_typed(reader: Reader, name: str, number: int) -> None:
    question, asked = ANSWERS[name][number], audit.find(name)
    given = {p.name: DAYS[p.name] for p in asked.meta.parameters if p.name in DAYS} | {k: str(v) for k, v in question.get("given", {}).items()}
    _, answer = audit.run(reader.connection, asked, audit.bind(asked, given))
    columns = [c.name for c in asked.meta.columns]
    rows = [dict(zip(columns, plain_row(row), strict=True)) for row in answer]
    assert len(rows) == question.get("count", len(rows))
    assert {column: sum(row[column] for row in rows) for column in question.get("sums", {})} == question.get("sums", {})
    if "rows" in question:
        assert narrowed(rows, question, columns) == question["rows"]


def narrowed(rows: list[dict[str, Any]], question: dict[str, Any], columns: list[str]) -> list[list[Any]]:
    """The rows that a question types: tallied, or those and of those the columns it wants, with ANY where that was typed and something is there."""
    if "tally" in question:
        found = Counter(tuple(row[column] for column in question["tally"]) for row in rows)
        typed = [tuple(row[:-1]) for row in question["rows"]]
        return [[*key, found[key]] for key in [*typed, *(found.keys() - set(typed))]]
    chosen = question.get("columns", columns)
    kept = [[row[c] for c in chosen] for row in rows if all(row[c] == value for c, value in question.get("where", {}).items())]
    return [shown(row, typed) for row, typed in zip(kept, question["rows"], strict=False)] + kept[len(question["rows"]) :]


def shown(row: list[Any], typed: list[Any]) -> list[Any]:
    """The row, with ANY where that was typed and something is there."""
    return ["ANY" if wanted == "ANY" and value else value for value, wanted in zip(row, typed, strict=True)]
