"""The views themselves: complete, typed as promised, and fast to filter over the files of the lake."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import duckdb
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest

from pipeline import audit, schema, sqlguard
from pipeline.reader import Reader
from pipeline.resources import data_folder
from tests import firm

FOLDER = data_folder("sql") / "views"
DAY_MS = 86_400_000


def message(seq: int, day: int) -> dict[str, object]:
    """Return one message of the day-th of March 2026, five conversations in turn."""
    return {
        "origin": "sealed",
        "seq": seq,
        "msgid": f"m{seq}",
        "kind": "message",
        "action": "send",
        "msgtype": "text",
        "sent_at": 1_772_294_400_000 + day * DAY_MS,
        "sender_id": "lisi",
        "sender_kind": "employee",
        "recipient_ids": ["wm1"],
        "conversation_id": f"c{seq % 5}",
        "direction": "outbound",
        "text": "您好",
        "parts": [],
        "quotes": [],
        "raw": "{}",
        "consent": "agree",
        "consent_source": "stream",
        "consent_rule": "4",
        "lawful_basis": ["consent"],
        "captured_at": 0,
        "ingested_at": 0,
        "dt": date(2026, 3, day),
        "dt_basis": "sent",
        "register_version": 1,
        "policy_version": "p",
        "subjects": [],
        "nonce": b"",
        "content_fp": b"",
    }


def recall(seq: int) -> dict[str, object]:
    """Return the recall of message `seq`."""
    return {
        "original_msgid": f"m{seq}",
        "recall_msgid": f"r{seq}",
        "origin": "sealed",
        "seq": 10_000 + seq,
        "recalled_at": 0,
        "recalled_by": "lisi",
        "dt": date(2026, 3, 1),
    }


def finding(seq: int) -> dict[str, object]:
    """Return a finding in message `seq`."""
    return {
        "finding_id": f"f{seq}",
        "origin": "sealed",
        "seq": seq,
        "msgid": f"m{seq}",
        "conversation_id": "c0",
        "dt": date(2026, 3, 1 + seq),
        "direction": "outbound",
        "rule_id": "r",
        "category": "promise",
        "severity": "low",
        "party": "employee",
        "term": "x",
        "matched_text": "x",
        "part": 0,
        "start_cp": 0,
        "end_cp": 1,
        "spans": [],
        "via": "literal",
        "lexicon_version": "v",
        "matched_at": 0,
    }


def fate(seq: int, fate_no: int) -> dict[str, object]:
    """Return a row of records: archived first, restricted later."""
    return {
        "origin": "sealed",
        "seq": seq,
        "variant": "",
        "fate_no": fate_no,
        "fate": ("archived", "restricted")[fate_no],
        "leaf": seq,
        "commitment": b"",
        "page": "p",
        "item": seq,
        "register_version": 1,
        "attempts": 1,
        "first_seen": 0,
        "settled_at": 0,
        "run_id": "r",
    }


def dataset(kind: str, rows: list[dict[str, object]], folder: Path) -> ds.Dataset:
    """Return rows as a dataset over one file, as the reader registers them."""
    path = folder / f"{kind}.parquet"
    pq.write_table(schema.table(kind, {name: [row[name] for row in rows] for name in rows[0]}), path)
    return ds.dataset([path])


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Iterator[duckdb.DuckDBPyConnection]:
    """The views over Arrow: messages, recalls, findings and fates in files, everything else empty. Tests only ask it."""
    folder = tmp_path_factory.mktemp("lake")
    connection = duckdb.connect()
    filled = {
        "messages": [message(seq, 1 + seq // 100) for seq in range(1, 1000)],
        "recalls": [recall(seq) for seq in range(1, 1000)],
        "matches": [finding(seq) for seq in range(1, 10)],
        "records": [fate(seq, 0) for seq in range(1, 1000)] + [fate(seq, 1) for seq in range(1, 500)],
    }
    for name in schema.KINDS:
        made = dataset(name, filled[name], folder) if name in filled else schema.kind(name).arrow.empty_table()
        connection.register(f"lake_{name}", made)
    connection.execute("CREATE TABLE lake_context AS SELECT 'ww1' AS corp_id")
    audit.create_views(connection)
    yield connection
    connection.close()


def plan(connection: duckdb.DuckDBPyConnection, query: str, params: dict[str, Any] | None = None) -> dict[str, Any]:
    """Return DuckDB's plan of a query."""
    rows = connection.execute(f"EXPLAIN (FORMAT json) {query}", params or {}).fetchall()
    tree: dict[str, Any] = json.loads(rows[0][1])[0]
    return tree


def nodes(tree: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield a plan's operators, each before what it reads from."""
    yield tree
    for child in tree["children"]:
        yield from nodes(child)


def reads_messages(tree: dict[str, Any]) -> bool:
    """Return whether an operator reads the messages (they have a text, recalls have none)."""
    return any("SCAN" in n["name"] and "text" in str(n["extra_info"].get("Projections")) for n in nodes(tree))


def test_every_view_file_is_named_in_the_order_once() -> None:
    assert sorted(audit.view_names()) == sorted(path.stem for path in FOLDER.glob("*.sql"))


@pytest.mark.parametrize("name", audit.view_names())
def test_a_view_file_says_its_question_and_makes_that_view(name: str) -> None:
    text = audit.view_sql(name)
    assert text.startswith("-- ") and "?" in text.splitlines()[0]
    statements = [line for line in text.splitlines() if not line.startswith("--")]
    assert statements[0] == f"CREATE VIEW {name} AS"
    assert text.count(";\n") == 1 and text.endswith(";\n")


@pytest.mark.parametrize(
    ("query", "named"),
    [
        pytest.param("SELECT * FROM rooms JOIN people ON true", {"rooms", "people"}, id="two"),
        pytest.param('SELECT * FROM "Rooms"', {"rooms"}, id="in another case and in quotes"),
        pytest.param("FROM main.rooms", {"rooms"}, id="with its schema"),
        pytest.param("SELECT count(*) AS messages FROM rooms", {"rooms", "messages"}, id="as a column's name: one too many"),
        pytest.param("SELECT 1 FROM lake_rooms, my_rooms, rooms2", set(), id="inside other names"),
    ],
)
def test_the_views_that_a_query_names(query: str, named: set[str]) -> None:
    assert audit.named_views(query) == named


def test_a_view_needs_those_it_asks_and_theirs_and_no_others() -> None:
    assert audit.view_needs("rooms") == {"rooms"}
    assert audit.view_needs("lake_rest_records") == {"lake_rest_records", "lake_rest"}
    assert audit.view_needs("matches") == {"matches", "lake_doubled", "lake_newest_scans"}


def test_a_count_of_findings_reads_what_says_which_of_them_count_and_nothing_else() -> None:
    with duckdb.connect() as connection:
        for name in ("matches", "scans"):
            connection.register(f"lake_{name}", schema.kind(name).arrow.empty_table())
        connection.execute(audit.context_sql("ww1"))
        for name in filter(audit.view_needs("matches").__contains__, audit.view_names()):
            connection.execute(audit.view_sql(name))
        plan = "".join(row[1] for row in connection.execute("EXPLAIN SELECT count(*) FROM matches").fetchall())
        told = {column.name for column in schema.kind("matches").columns if re.search(rf"\b{column.name}\b", plan)}
        assert told == {"finding_id", "dt", "suppressed_by", "lexicon_version", "matched_at"}


def test_the_views_over_a_table_are_those_that_read_it_through_others_too() -> None:
    assert audit.views_over("lake_rooms") == ("rooms",)
    assert {"lake_messages_recalled", "messages", "seat_coverage"} <= set(audit.views_over("lake_messages"))
    assert "rooms" not in audit.views_over("lake_messages") and "matches_all" in audit.views_over("lake_matches")


@pytest.mark.parametrize("view", audit.view_columns())
def test_a_view_that_is_made_with_what_it_needs_alone_is_the_same(view: str) -> None:
    with duckdb.connect() as connection:
        for name in schema.KINDS:
            connection.register(f"lake_{name}", schema.kind(name).arrow.empty_table())
        connection.execute("CREATE TABLE lake_context AS SELECT 'ww1' AS corp_id, 'v' AS lexicon_version, 15 AS withheld_days, now() AS now")
        connection.execute(audit.context_sql("ww1"))
        for name in filter(audit.view_needs(view).__contains__, audit.view_names()):
            connection.execute(audit.view_sql(name))
        described = {row[0]: row[1] for row in connection.execute(f"DESCRIBE {view}").fetchall()}
        assert list(described.items()) == list(audit.view_columns()[view].items())


def test_a_reader_makes_what_a_question_names_and_everything_for_who_takes_its_connection(tmp_path: Path) -> None:
    listed = "SELECT view_name FROM duckdb_views() WHERE view_name IN (SELECT unnest($names)) ORDER BY 1"
    known = {"names": list(audit.view_names())}
    with Reader(firm.home(tmp_path), firm.CORP) as reader:
        assert reader.rows(listed, known) == [] and tables(reader) == set()
        assert reader.rows("SELECT count(*) AS n FROM Rooms") == [{"n": 0}] and [r["view_name"] for r in reader.rows(listed, known)] == ["rooms"]
        assert tables(reader) == {"lake_rooms"}
        assert reader.arrow("SELECT count(*) AS n FROM matches")["n"].to_pylist() == [0]
        assert [r["view_name"] for r in reader.rows(listed, known)] == sorted({"rooms", "matches", "lake_doubled", "lake_newest_scans"})
        assert tables(reader) == {"lake_rooms", "lake_matches", "lake_doubled_kept", "lake_scans"}
        assert reader.rows("SELECT count(*) AS n FROM Lake_Seats, lake_context") == [{"n": 0}] and {"lake_seats", "lake_context"} < tables(reader)
        assert [name for (name,) in reader.connection.execute(listed, known).fetchall()] == sorted(audit.view_names())
        assert tables(reader) == {f"lake_{kind}" for kind in schema.KINDS} | {"lake_context", "lake_rest_kept", "lake_doubled_kept"}


def tables(reader: Reader) -> set[str]:
    """What a reader has let DuckDB see of the lake."""
    known = {f"lake_{kind}" for kind in schema.KINDS} | {"lake_context", "lake_rest_kept", "lake_doubled_kept"}
    return {r["view_name"] for r in reader.rows("SELECT view_name FROM duckdb_views()")} & known


def test_users_can_ask_every_view_that_is_not_internal() -> None:
    assert list(audit.view_columns()) == [name for name in audit.view_names() if not name.startswith(audit.INTERNAL)]


@pytest.mark.parametrize("view", audit.view_columns())
def test_a_view_has_the_promised_columns_over_an_empty_archive(lake: duckdb.DuckDBPyConnection, view: str) -> None:
    described = {row[0]: row[1] for row in lake.execute(f"DESCRIBE {view}").fetchall()}
    assert list(described.items()) == list(audit.view_columns()[view].items())


@pytest.mark.parametrize(
    ("where", "filter_", "found"),
    [
        pytest.param("dt = DATE '2026-03-02'", "\"dt\" = DATE '2026-03-02'", 100, id="a day"),
        pytest.param(
            "dt BETWEEN $from_day AND $to_day", "(\"dt\" >= DATE '2026-03-02') AND (\"dt\" <= DATE '2026-03-03')", 200, id="bound days"
        ),
        pytest.param("conversation_id = 'c3'", "\"conversation_id\" = 'c3'", 200, id="a conversation"),
        pytest.param("seq IN (5, 7)", '"seq" IN (5, 7)', 2, id="some seqs"),
        pytest.param("sent_at IS NULL", '"sent_at" IS NULL', 0, id="no time"),
        pytest.param("msgid = 'm9'", "\"msgid\" = 'm9'", 1, id="a msgid"),
    ],
)
def test_a_filter_on_messages_reaches_the_scan_of_the_files(lake: duckdb.DuckDBPyConnection, where: str, filter_: str, found: int) -> None:
    params = {"from_day": date(2026, 3, 2), "to_day": date(2026, 3, 3)} if "$" in where else {}
    tree = plan(lake, f"SELECT text, recalled_at FROM messages WHERE {where}", params)
    (scan,) = [n for n in nodes(tree) if "SCAN" in n["name"] and "text" in str(n["extra_info"].get("Projections"))]
    assert filter_ in str(scan["extra_info"]["Filters"]).replace("\\'", "'")
    assert lake.execute(f"SELECT count(*) FROM messages WHERE {where}", params).fetchall() == [(found,)]


@pytest.mark.parametrize(
    "query",
    [
        "SELECT corp_id, text, recalled_at FROM messages",
        "SELECT corp_id, text FROM messages WHERE corp_id = 'ww1' AND kind = 'message'",
        "SELECT text, recalled_by FROM messages WHERE dt BETWEEN DATE '2026-03-01' AND DATE '2026-03-31' AND kind = 'message'",
        "SELECT text, recalled_at FROM messages WHERE dt = DATE '2026-03-01' AND seq = 5 AND conversation_id = 'c0' AND text LIKE '%x%'",
        "SELECT text, recalled_at FROM messages WHERE recalled_by IS NOT NULL AND length(text) > 3",
        "SELECT msgid, text FROM messages WHERE text LIKE '%x' ORDER BY sent_at LIMIT 5",
    ],
)
def test_messages_stream_past_the_recalls_and_are_never_gathered_in_memory(lake: duckdb.DuckDBPyConnection, query: str) -> None:
    """The second child of a join is held in memory whole: it must be the recalls, however many there are."""
    joins = [n for n in nodes(plan(lake, query)) if len(n["children"]) == 2]
    assert len(joins) == 1
    assert reads_messages(joins[0]["children"][0])
    assert not reads_messages(joins[0]["children"][1])


def test_first_fates_stream_past_the_later_ones_and_are_never_gathered_in_memory(lake: duckdb.DuckDBPyConnection) -> None:
    (join,) = [n for n in nodes(plan(lake, "SELECT code, count(*) FROM lake_current_records GROUP BY code")) if len(n["children"]) == 2]
    assert "fate_no" not in str([n["extra_info"].get("Filters") for n in nodes(join["children"][0])])
    assert "fate_no" in str([n["extra_info"].get("Filters") for n in nodes(join["children"][1])])
    assert lake.execute("SELECT archived, active, restricted FROM counts").fetchall() == [(999, 500, 499)]


def test_findings_of_a_day_are_filtered_where_they_are_read(lake: duckdb.DuckDBPyConnection) -> None:
    tree = plan(lake, "SELECT category FROM matches WHERE dt = DATE '2026-03-02'")
    filters = [str(n["extra_info"].get("Filters")) for n in nodes(tree) if "SCAN" in n["name"]]
    assert any("dt" in text and "suppressed_by" in text for text in filters)


def test_a_corp_id_with_a_quote_stays_text() -> None:
    connection = duckdb.connect()
    connection.execute(audit.context_sql("w'w; DROP"))
    assert connection.execute("SELECT lake_corp_id()").fetchall() == [("w'w; DROP",)]
    connection.close()


def test_the_document_lists_every_view_with_its_columns_and_every_audit() -> None:
    text = (Path(__file__).parents[2] / "docs" / "sql.md").read_text("utf-8")
    listed = re.findall(r"^### `(\w+)`\n\n[^\n]+\n\n`([^`]+)`$", text, re.MULTILINE)
    assert listed == [(view, ", ".join(columns)) for view, columns in audit.view_columns().items()]
    assert set(re.findall(r"^\| `([\w-]+)` \|", text, re.MULTILINE)) == {a.name for a in audit.load_audits()}


@pytest.mark.parametrize(
    "query", re.findall(r"^SELECT[^;]*;", (Path(__file__).parents[2] / "docs" / "sql.md").read_text("utf-8"), re.MULTILINE)
)
def test_the_examples_of_the_document_can_be_asked(lake: duckdb.DuckDBPyConnection, query: str) -> None:
    lake.execute(sqlguard.guard(lake, query)).fetchall()
