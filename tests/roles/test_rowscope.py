"""Which messages a person sees: typed by hand, the fast filter against the plain rules, and every view over it."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from pipeline import audit, schema
from pipeline.consenting import reconcile
from pipeline.errors import NotAllowed
from pipeline.home import Home
from pipeline.reader import Reader
from pipeline.roles import acting, actors
from pipeline.roles.rowscope import RowScope, Spell, below, scope_of
from pipeline.roles.scoped import seen
from pipeline.search import hits, index
from pipeline.search.question import Question
from tests import firm
from tests.consenting.test_reconcile import disagree, told
from tests.firm import CORP, T0
from tests.roles import homes

# person → the messages of `homes.talks` that the person sees, by hand.
SEES = {
    "officer": {1, 2, 3, 4, 5, 6, 7, 8, 9},
    # zhang was in Shanghai for 1 and 9; chen always (3, and 5 as a recipient); wang's department only begins alike
    "shanghai": {1, 3, 5, 9},
    # zhang came with 2; li: 5, 6, 7, 9 as somebody who received or sent it
    "beijing": {2, 5, 6, 7, 9},
    # never Chen's or wang's single chats (3, 4), nor what wang wrote in a room (6); 5 is a customer's message in a room
    "reviewer": {1, 2, 5, 7, 8, 9},
    # li took wmA over from zhang: 1 and 2 are theirs; 9 he received himself; his own single chat (7) is not his to review, nor is anything he wrote
    "successor": {3, 4, 5, 6, 8, 9},
}  # fmt: skip

SAID_BY_STAFF = {1, 2, 4, 6, 9}  # the rule of 保本保息 is about what employees say


@pytest.mark.parametrize(
    ("path", "departments", "is_below"),
    [
        ("上海分公司", ["上海分公司"], True), ("上海分公司/理财部", ["上海分公司"], True), ("上海分公司二部", ["上海分公司"], False),
        ("上海分公司", ["上海分公司/理财部"], False), ("", ["上海分公司"], False), (None, ["上海分公司"], False), ("a/b/c", ["x", "a/b/"], True),
    ],
)  # fmt: skip
def test_a_department_covers_what_lies_below_it(path: str | None, departments: list[str], is_below: bool) -> None:
    assert below(path, departments) is is_below


def test_predecessors_are_those_before_the_predecessor_too() -> None:
    person = actors.Actor(name="li", roles=("reviewer",), token="t", employee="Li")
    rows = [{"external_userid": "wmA", "from_userid": a, "to_userid": b} for a, b in (("old", "zhang"), ("Zhang", "li"), ("li", "next"))]
    assert scope_of(person, [], rows).taken_over == {"wmA": frozenset({"zhang", "old"})}
    assert scope_of(actors.Actor(name="li", roles=("reviewer",), employee="Li", predecessors=True), [], rows).taken_over == {}


def random_scope(rng: random.Random) -> RowScope:
    def pick(low: int) -> frozenset[str]:
        return frozenset(rng.sample(["a", "b", "c", "d"], rng.randint(low, 2)))

    def bound() -> int | None:
        return rng.choice([None, 5, 10])

    spells = None if rng.random() < 0.3 else tuple(Spell(e, bound(), bound()) for e in pick(0) for _ in range(2))
    return RowScope(spells=spells, never=pick(0), own=rng.choice(["", "a"]), taken_over={"wmX": pick(1)} if rng.random() < 0.5 else {})


@pytest.mark.parametrize("seed", range(40))
def test_the_fast_filter_says_what_the_plain_rules_say(seed: int) -> None:
    rng = random.Random(seed)
    scope, messages = random_scope(rng), []
    for _ in range(30):
        people = rng.sample(["a", "B", "c", "D", "wmX", "wmY"], rng.randint(1, 4))
        messages.append((people, rng.random() < 0.5, rng.choice([4, 5, 9, 10, 11])))
    batch = pa.RecordBatch.from_pydict(
        {
            "sender_id": pa.array([p[0] for p, _, _ in messages]), "recipient_ids": pa.array([p[1:] for p, _, _ in messages], pa.list_(pa.string())),
            "room_id": pa.array(["wr" if room else None for _, room, _ in messages], pa.string()),
            "sent_at": pa.array([at * 1000 if n % 2 else None for n, (_, _, at) in enumerate(messages)], pa.timestamp("us", "UTC")),
            "captured_at": pa.array([99_000 if n % 2 else at * 1000 for n, (_, _, at) in enumerate(messages)], pa.timestamp("us", "UTC")),
        }
    )  # fmt: skip
    assert seen(scope, batch).to_pylist() == [scope.sees(p, room=room, at_ms=at) for p, room, at in messages]


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> tuple[Home, dict[str, acting.Access]]:
    """The archive, and how each person reads it."""
    folder = tmp_path_factory.mktemp("scope")
    at = homes.archive(folder)
    tokens = homes.people(at)
    found = {}
    with pytest.MonkeyPatch.context() as patched:
        for name, token in tokens.items():
            patched.setenv("LIUHEN_TOKEN", token)
            found[name] = acting.access_of(at.path)
    return at, found


def asked(archive: tuple[Home, dict[str, acting.Access]], who: str, query: str) -> list[dict[str, Any]]:
    with Reader(archive[0], CORP, access=archive[1][who]) as reader:
        return reader.rows(query)


@pytest.mark.slow
@pytest.mark.parametrize("who", SEES)
def test_everybody_sees_his_messages_and_nothing_else(archive: tuple[Home, dict[str, acting.Access]], who: str) -> None:
    assert {r["seq"] for r in asked(archive, who, "SELECT seq FROM messages")} == SEES[who]
    assert asked(archive, who, "SELECT count(*) AS n FROM messages") == [{"n": len(SEES[who])}]
    assert {r["seq"] for r in asked(archive, who, "SELECT seq FROM messages WHERE text LIKE '%保本%'")} == SEES[who] - {7}
    assert {r["seq"] for r in asked(archive, who, "SELECT DISTINCT seq FROM matches WHERE term = '保本保息'")} == SEES[who] & SAID_BY_STAFF
    assert {r["seq"] for r in asked(archive, who, "SELECT DISTINCT seq FROM matches_all WHERE employee_id IS NOT NULL")} <= SEES[who]


@pytest.mark.slow
@pytest.mark.parametrize("who", SEES)
def test_a_search_chooses_among_what_may_be_seen(archive: tuple[Home, dict[str, acting.Access]], who: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(index, "LEAST_ROWS", 1)
    index.build(archive[0], CORP)
    with Reader(archive[0], CORP, access=archive[1][who]) as reader:
        assert {h.seq for h in hits.look(reader, Question(text="保本")).hits} == SEES[who] - {7}
        newest = hits.look(reader, Question(text="保", limit=1)).hits
        said = reader.rows("SELECT seq FROM messages WHERE text LIKE '%保%' ORDER BY sent_at DESC LIMIT 1")
    assert [h.seq for h in newest] == [r["seq"] for r in said]


@pytest.mark.slow
@pytest.mark.parametrize("who", SEES)
def test_findings_of_an_employee_with_their_context_are_those_of_messages_in_view(archive: tuple[Home, dict[str, acting.Access]], who: str) -> None:
    one = audit.find("findings-of-employee")
    told = set()
    with Reader(archive[0], CORP, access=archive[1][who]) as reader:
        for employee in ("zhang", "li", "wang", "chen", "nobody"):
            values = audit.bind(one, {"employee": employee})
            found = reader.answer(one, values)
            assert found == reader.arrow(one.sql, values)
            told.update(found["msgid"].to_pylist())
        seen_by = {r["msgid"] for r in reader.rows("SELECT msgid FROM matches WHERE lower(employee_id) IN ('zhang', 'li', 'wang', 'chen')")}
    assert told == seen_by and (told or who not in ("officer", "shanghai"))


@pytest.mark.slow
def test_a_decision_on_what_went_out_of_view_is_not_shown_to_who_asks_nothing_else(tmp_path: Path) -> None:
    at = homes.archive(tmp_path)
    lake, found = at.lake(CORP), firm.rows(at, "SELECT DISTINCT seq, first(finding_id) AS id FROM matches WHERE seq IN (1, 9) GROUP BY seq ORDER BY seq")
    tables = [_rows("reviews", finding_id=[r["id"] for r in found]), _rows("hidden", origin=["sealed"], seq=[1])]
    kinds = ["reviews", "hidden"]
    lake.commit(lake.snapshot(), [lake.write(table, kind) for table, kind in zip(tables, kinds, strict=True)], (), what="restrict")
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("LIUHEN_TOKEN", homes.people(at, ["shanghai"])["shanghai"])
        access = acting.access_of(at.path)
    with Reader(at, CORP, access=access) as reader:
        assert reader.rows("SELECT finding_id FROM lake_reviews") == [{"finding_id": found[1]["id"]}]


def _rows(kind: str, **columns: list[Any]) -> pa.Table:
    """Rows of a kind: what is not given is null, or nothing in particular."""
    n = len(next(iter(columns.values())))
    others = {c.name: [None if c.null else "x" if c.type == "string" else 0] * n for c in schema.kind(kind).columns if c.name not in columns}
    return schema.table(kind, columns | others)


@pytest.mark.slow
def test_machines_see_all_and_read_the_clear_columns(archive: tuple[Home, dict[str, acting.Access]]) -> None:
    with Reader(archive[0], CORP, access=acting.MACHINE) as reader:
        assert reader.rows("SELECT count(*) AS n, count(raw) AS raws FROM messages") == [{"n": 9, "raws": 9}]


@pytest.mark.slow
@pytest.mark.parametrize(("who", "raws"), [("officer", 9), ("legal", 9), ("auditor", 0), ("shanghai", 0), ("privacy", 0)])
def test_the_json_as_received_and_clear_values_need_their_role(archive: tuple[Home, dict[str, acting.Access]], who: str, raws: int) -> None:
    (found,) = asked(archive, who, "SELECT count(raw) AS raws, count(*) FILTER (raw LIKE '%13800138000%') AS told FROM messages")
    assert found == {"raws": raws, "told": min(raws, 1)}
    (clear,) = asked(archive, who, "SELECT count(text_clear) AS n, count(parts_clear) AS parts FROM lake_messages")
    assert clear == {"n": min(raws, 1), "parts": min(raws, 1)}


@pytest.mark.slow
def test_whoever_is_bound_to_departments_does_not_see_other_branches_customers(archive: tuple[Home, dict[str, acting.Access]]) -> None:
    from pipeline import ingest, schema

    at = archive[0]
    rows = [("wmB", "chen"), ("wmC", "wang")]
    follows: dict[str, list[object]] = {
        "external_userid": [c for c, _ in rows], "userid": [u for _, u in rows], "remark": [f"{c}的备注" for c, _ in rows], "add_way": [None, None],
        "valid_from": [T0, T0], "valid_to": [None, None], "source": ["import"] * 2, "recorded_at": [T0, T0],
    }  # fmt: skip
    links: dict[str, list[object]] = {
        "external_userid": [c for c, _ in rows], "kind": ["phone", "phone"], "value": ["1", "2"], "confidence": ["sure", "sure"], "source": ["crm", "crm"],
        "recorded_at": [T0, T0], "document": ["d", "d"],
    }  # fmt: skip
    ingest.append(at, CORP, [("follows", schema.table("follows", follows)), ("identities", schema.table("identities", links))], what="follows")
    assert asked(archive, "shanghai", "SELECT external_userid FROM follows") == [{"external_userid": "wmB"}]
    assert asked(archive, "shanghai", "SELECT value FROM identities") == [{"value": "1"}]
    assert len(asked(archive, "officer", "SELECT value FROM identities")) == 2
    assert {r["userid"] for r in asked(archive, "shanghai", "SELECT userid FROM people")} == {"zhang", "chen", "wang", "li"}  # colleagues are no secret


@pytest.mark.slow
@pytest.mark.parametrize("name", ["coverage", "monthly-pack"])
def test_books_of_the_whole_archive_are_compared_for_those_who_see_all_departments(archive: tuple[Home, dict[str, acting.Access]], name: str) -> None:
    asked_for = audit.find(name)
    values = audit.bind(asked_for, {})
    for who in ("officer", "reviewer"):  # the reviewer sees all departments, though not his own chats
        with Reader(archive[0], CORP, access=archive[1][who]) as reader:
            assert reader.answer(asked_for, values).num_rows
    with Reader(archive[0], CORP, access=archive[1]["shanghai"]) as reader, pytest.raises(NotAllowed) as refused:
        reader.answer(asked_for, values)
    assert refused.value.code == "WHOLE_ARCHIVE_ONLY"


@pytest.mark.slow
@pytest.mark.parametrize("asks", ["SELECT landed FROM counts", "WITH v AS (FROM Page_Fates) SELECT count(*) FROM v", "EXPLAIN SELECT (SELECT landed FROM counts)"])
def test_so_are_the_views_that_count_all_records(archive: tuple[Home, dict[str, acting.Access]], asks: str) -> None:
    for who in ("officer", "reviewer"):
        with Reader(archive[0], CORP, access=archive[1][who]) as reader:
            assert reader.typed_by_user(asks).num_rows
    with Reader(archive[0], CORP, access=archive[1]["shanghai"]) as reader, pytest.raises(NotAllowed) as refused:
        reader.typed_by_user(asks)
    assert refused.value.code == "WHOLE_ARCHIVE_ONLY"


@pytest.mark.slow
def test_a_column_may_be_called_as_they_are(archive: tuple[Home, dict[str, acting.Access]]) -> None:
    with Reader(archive[0], CORP, access=archive[1]["shanghai"]) as reader:
        assert reader.typed_by_user("SELECT count(*) AS counts FROM messages").to_pylist() == [{"counts": 4}]


@pytest.mark.slow
def test_what_went_out_of_view_or_waits_is_listed_for_those_who_see_all_departments(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """wang's message to wmC is restricted, and one to wmP waits: neither row says whose it is. The rows go with their records, so that sums hold."""
    at = homes.archive(tmp_path)
    told(at, disagree("wmC", T0, userid="wang"), disagree("wmP", T0, userid="wang", status="Perhaps"))
    reconcile.run(at, CORP)
    firm.run(at, firm.page(tmp_path, "waits.json", {20: firm.message(20, sender="wang", to=["wmP"], at_ms=T0 + 9000)}))
    listed = "SELECT 'restricted' AS fate, seq FROM restricted UNION ALL SELECT 'pending', seq FROM pending ORDER BY ALL"
    tokens = homes.people(at)
    for who, rows in {"officer": [("pending", 20), ("restricted", 4)], "auditor": [("pending", 20), ("restricted", 4)], "shanghai": []}.items():
        monkeypatch.setenv("LIUHEN_TOKEN", tokens[who])
        with Reader(at, CORP, access=acting.access_of(at.path)) as reader:
            assert [tuple(r.values()) for r in reader.rows(listed)] == rows
            (n,) = reader.rows("SELECT landed - (archived + pending + withheld + failed + control + duplicate) AS lost, landed FROM counts")
            assert n == {"lost": 0, "landed": 8 if who == "shanghai" else 10}


@pytest.mark.slow
@pytest.mark.parametrize(("who", "shown"), [("officer", 1), ("beijing", 1), ("shanghai", 0)])
def test_a_handover_is_seen_where_both_sides_were(archive: tuple[Home, dict[str, acting.Access]], who: str, shown: int) -> None:
    """From zhang, who was in both branches, to li of Beijing: whether he followed up cannot be told in Shanghai."""
    assert len(asked(archive, who, "SELECT * FROM handovers")) == shown


@pytest.mark.slow
def test_a_record_whose_later_fate_is_another_branchs_does_not_count_by_its_earlier_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """20 has no key, so that nobody is told; once it has, it is withheld, and wang's. 21 stays failed: nobody's, so that all count it."""
    at = homes.archive(tmp_path)
    sealed = [firm.item(n, firm.message(n, sender="wang", to=["wmC"]), version=n - 18) for n in (20, 21)]
    firm.run(at, firm.page(tmp_path, "late.json", sealed))
    told(at, disagree("wmC", T0, userid="wang"))
    at.add_key(CORP, 2, firm.pem(2), None)
    firm.run(at)
    monkeypatch.setenv("LIUHEN_TOKEN", homes.people(at)["shanghai"])
    with Reader(at, CORP, access=acting.access_of(at.path)) as reader:
        (seen_by_shanghai,) = reader.rows("SELECT failed, withheld, landed - archived AS others FROM counts")
    with Reader(at, CORP, access=acting.MACHINE) as reader:
        (all_of_it,) = reader.rows("SELECT failed, withheld, landed - archived AS others FROM counts")
    assert all_of_it == {"failed": 1, "withheld": 1, "others": 2}
    assert seen_by_shanghai == {"failed": 1, "withheld": 0, "others": 1}
