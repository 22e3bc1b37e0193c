"""What a user may ask, and what not: every way known to us of getting at anything but the views."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import duckdb
import pytest

from pipeline import sqlguard
from pipeline.errors import UsageError
from pipeline.words import error_text

SETTINGS: dict[str, str | bool | int | float | list[str]] = {
    "temp_directory": "", "autoinstall_known_extensions": False, "autoload_known_extensions": False, "python_enable_replacements": False,
}  # fmt: skip


@pytest.fixture(scope="module")
def connection() -> Iterator[duckdb.DuckDBPyConnection]:
    """A locked connection as the reader makes it, with one table of ours and one view."""
    made = duckdb.connect(config=SETTINGS)
    made.execute("CREATE TABLE lake_messages AS SELECT 'wm1' AS sender_id, '悄悄话' AS text, 1 AS seq")
    made.execute("CREATE VIEW messages AS FROM lake_messages")
    made.execute("CREATE VIEW lake_current_records AS FROM lake_messages")
    made.execute("SET enable_external_access = false")
    made.execute("SET lock_configuration = true")
    yield made
    made.close()


def refusal(connection: duckdb.DuckDBPyConnection, text: str) -> UsageError:
    """Return the error with which a query is refused."""
    with pytest.raises(UsageError) as refused:
        sqlguard.guard(connection, text)
    return refused.value


@pytest.mark.parametrize(
    "text",
    [
        "SELECT * FROM messages",
        "select text from MESSAGES where seq = 1 order by seq limit 1",
        "FROM messages",
        "TABLE messages",
        "VALUES (1)",
        "(SELECT 1)",
        "SELECT 1 UNION ALL SELECT seq FROM messages",
        "WITH mine AS (SELECT seq FROM messages) SELECT m.seq FROM messages AS m JOIN mine USING (seq)",
        "WITH 高危 AS (FROM messages) FROM 高危",
        "WITH messages AS (SELECT * FROM messages) SELECT count(*) FROM messages",
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 3) SELECT i FROM n",
        "SELECT * FROM messages, LATERAL (SELECT seq + 1)",
        "SELECT (SELECT max(seq) FROM messages), EXISTS (FROM messages)",
        "SELECT seq, row_number() OVER (PARTITION BY sender_id ORDER BY seq) FROM messages QUALIFY row_number() OVER () = 1",
        "PIVOT messages ON seq IN (1) USING count(*)",
        "SELECT x FROM unnest([1, 2]) AS t(x)",
        "SELECT i FROM range(3) AS t(i)",
        "SELECT e.value FROM messages AS m, json_each('[1, 2]') AS e",
        "SELECT list_transform([1], lambda x: x + 1), regexp_extract(text, '..') FROM messages",
        "SELECT COLUMNS('s.*') FROM messages",
        "SELECT 'lake_messages', \"text\" FROM messages -- lake_messages",
        "EXPLAIN SELECT * FROM messages",
        "EXPLAIN ANALYZE SELECT * FROM messages",
        "EXPLAIN (FORMAT json) FROM messages",
        "EXPLAIN (ANALYZE, FORMAT json) FROM messages",
    ],
)
def test_a_question_over_the_views_is_let_through_and_runs(connection: duckdb.DuckDBPyConnection, text: str) -> None:
    assert sqlguard.guard(connection, text) == text
    assert connection.execute(text).fetchall()


@pytest.mark.parametrize(
    ("text", "given"),
    [
        pytest.param("  SELECT 1 ; ", "SELECT 1", id="a semicolon at the end"),
        pytest.param("-- why\nSELECT 1;;", "SELECT 1", id="a comment before it"),
        pytest.param("\nEXPLAIN SELECT 1;\n", "EXPLAIN SELECT 1", id="an explanation"),
    ],
)
def test_what_is_given_back_is_the_bare_statement(connection: duckdb.DuckDBPyConnection, text: str, given: str) -> None:
    assert sqlguard.guard(connection, text) == given


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "-- nothing",
        "SELECT 1; SELECT 2",
        "SELECT 1; DROP VIEW messages",
        "FROM messages; ATTACH 'x'",
        "EXPLAIN SELECT 1; SELECT 2",
    ],
)
def test_anything_but_one_statement_is_refused(connection: duckdb.DuckDBPyConnection, text: str) -> None:
    error = refusal(connection, text)
    assert error.code == "SQL_NOT_ONE"
    assert error.exit_code == 2


@pytest.mark.parametrize(
    "text",
    [
        "INSERT INTO lake_messages VALUES ('a', 'b', 2)",
        "UPDATE lake_messages SET text = ''",
        "DELETE FROM lake_messages",
        "MERGE INTO lake_messages USING (SELECT 1) ON true WHEN MATCHED THEN DELETE",
        "CREATE TABLE mine AS FROM messages",
        "CREATE OR REPLACE VIEW messages AS SELECT 1",
        "CREATE MACRO f() AS 1",
        "DROP VIEW messages",
        "ALTER TABLE lake_messages ADD COLUMN x INTEGER",
        "COMMENT ON TABLE lake_messages IS ''",
        "TRUNCATE lake_messages",
        "COPY messages TO 'out.csv'",
        "COPY lake_messages FROM 'in.csv'",
        "EXPORT DATABASE 'out'",
        "ATTACH 'x.duckdb'",
        "DETACH memory",
        "USE memory",
        "SET threads = 1",
        "SET VARIABLE x = 1",
        "RESET threads",
        "PRAGMA version",
        "PRAGMA table_info('lake_messages')",
        "CALL pragma_version()",
        "INSTALL httpfs",
        "LOAD httpfs",
        "CHECKPOINT",
        "VACUUM",
        "BEGIN",
        "PREPARE p AS SELECT 1",
        "EXECUTE p",
        "CONNECT x",
        "DESCRIBE messages",
        "DESCRIBE SELECT 1",
        "SHOW TABLES",
        "SHOW messages",
        "SUMMARIZE messages",
        "SELECT * FROM (DESCRIBE lake_messages)",
        "SELECT * FROM (SHOW ALL TABLES)",
        "SELECT * FROM messages JOIN (SHOW TABLES) ON true",
        "WITH d AS (DESCRIBE lake_messages) FROM d",
        "PIVOT messages ON seq",
        "EXPLAIN DELETE FROM lake_messages",
        "EXPLAIN COPY messages TO 'out.csv'",
        "WITH w AS (INSERT INTO lake_messages VALUES ('a', 'b', 2) RETURNING seq) SELECT * FROM w",
        "WITH w AS (DELETE FROM lake_messages RETURNING seq) SELECT * FROM w",
        "WITH w AS (UPDATE lake_messages SET text = '' RETURNING seq) SELECT * FROM w",
        "WITH w AS (COPY messages TO 'out.csv') SELECT 1",
        "SELECT * FROM (WITH w AS (DELETE FROM lake_messages RETURNING seq) SELECT * FROM w)",
        "EXPLAIN ANALYZE WITH w AS (DELETE FROM lake_messages RETURNING seq) SELECT * FROM w",
    ],
)
def test_anything_but_a_select_is_refused_and_nothing_happens(connection: duckdb.DuckDBPyConnection, text: str) -> None:
    assert refusal(connection, text).code == "SQL_NOT_SELECT"
    assert connection.execute("SELECT * FROM lake_messages").fetchall() == [("wm1", "悄悄话", 1)]


@pytest.mark.parametrize(
    "text",
    [
        "SELECT * FROM lake_messages",
        "SELECT * FROM LAKE_Messages",
        "SELECT * FROM lake_current_records",
        "SELECT * FROM main.messages",
        "SELECT * FROM memory.main.lake_messages",
        'SELECT * FROM "lake_messages"',
        "TABLE lake_messages",
        "SELECT text FROM messages UNION SELECT text FROM lake_messages",
        "SELECT * FROM messages JOIN lake_messages USING (seq)",
        "SELECT * FROM messages SEMI JOIN lake_messages USING (seq)",
        "SELECT * FROM messages POSITIONAL JOIN lake_messages",
        "SELECT (SELECT max(text) FROM lake_messages)",
        "SELECT 1 WHERE EXISTS (FROM lake_messages)",
        "SELECT 1 FROM messages ORDER BY (SELECT max(text) FROM lake_messages)",
        "SELECT 1 LIMIT (SELECT max(seq) FROM lake_messages)",
        "SELECT list(x) FILTER (x IN (SELECT seq FROM lake_messages)) FROM range(3) AS t(x)",
        "SELECT 1 FROM messages QUALIFY row_number() OVER (ORDER BY (SELECT 1 FROM lake_messages)) = 1",
        "SELECT * FROM messages, LATERAL (FROM lake_messages)",
        "PIVOT lake_messages ON seq IN (1)",
        "UNPIVOT lake_messages ON seq",
        "WITH unused AS (FROM lake_messages) SELECT 1",
        "WITH lake_messages AS (SELECT 1) FROM lake_messages",
        "WITH RECURSIVE lake_messages AS (FROM lake_messages UNION ALL FROM lake_messages) FROM lake_messages",
        'WITH RECURSIVE "secrets.csv" AS (FROM "secrets.csv" UNION ALL FROM "secrets.csv") FROM "secrets.csv"',
        "SELECT * FROM other, (WITH pg_class AS (SELECT 1) FROM pg_class)",
        "SELECT * FROM 'secrets.csv'",
        "SELECT * FROM '/etc/passwd'",
        "SELECT * FROM 's3://bucket/x.parquet'",
        "SELECT * FROM information_schema.tables",
        "SELECT * FROM pg_catalog.pg_class",
        "SELECT * FROM sqlite_master",
        "SELECT * FROM duckdb_settings",
        "EXPLAIN SELECT * FROM lake_messages",
        "EXPLAIN (SELECT * FROM lake_messages)",
        "EXPLAIN ANALYZE SELECT * FROM lake_messages",
        "SELECT * FROM query('FROM lake_messages')",
        "SELECT * FROM query_table('lake_messages')",
        "SELECT * FROM json_execute_serialized_sql('{}')",
        "SELECT json_serialize_plan('FROM lake_messages')",
        "SELECT current_setting('threads')",
        "SELECT getvariable('x')",
        "SELECT error(text) FROM messages",
        "SELECT write_log(text) FROM messages",
        "SELECT pg_sleep(1)",
        "SELECT sleep_ms(1)",
        "SELECT pg_catalog.pg_get_viewdef(1)",
        "SELECT lake_corp_id()",
    ],
)
def test_what_reaches_past_the_views_is_refused(connection: duckdb.DuckDBPyConnection, text: str) -> None:
    assert refusal(connection, text).code == "SQL_FORBIDDEN"


def test_every_table_function_of_duckdb_is_refused_but_the_five_that_read_nothing(connection: duckdb.DuckDBPyConnection) -> None:
    rows = connection.execute(
        "SELECT DISTINCT function_name FROM duckdb_functions() WHERE function_type IN ('table', 'table_macro')"
    ).fetchall()
    names = {name for (name,) in rows}
    assert {"read_csv", "read_parquet", "read_text", "read_blob", "glob", "sniff_csv", "parquet_metadata", "duckdb_secrets"} <= names
    refused = {
        n for n in names if n not in sqlguard.TABLE_FUNCTIONS and refusal(connection, f'SELECT * FROM "{n}"(1)').code == "SQL_FORBIDDEN"
    }
    assert names - refused == {"range", "generate_series", "unnest", "json_each", "json_tree"}


@pytest.mark.parametrize(
    "text",
    [
        "SELCT 1",
        "EXPLAIN EXPLAIN SELECT 1",
        "SELECT FROM WHERE",
        "SELECT 'open",
        "SELECT (1",
        "SELECT 1 INTO x",
        "SELECT " + "1+" * 5000 + "1",
    ],
)
def test_what_is_not_sql_is_refused_in_duckdbs_words(connection: duckdb.DuckDBPyConnection, text: str) -> None:
    assert refusal(connection, text).code == "SQL_SYNTAX"


def test_a_query_that_nests_too_deep_is_refused_and_not_a_crash(connection: duckdb.DuckDBPyConnection) -> None:
    deep = "SELECT * FROM " + "(SELECT * FROM " * 500 + "lake_messages" + ")" * 500
    assert refusal(connection, deep).code == "SQL_SYNTAX"


@pytest.mark.parametrize(
    ("text", "levels"),
    [
        pytest.param("[]" * 1000, 1, id="beside each other"),
        pytest.param("[{" * 500 + "}]" * 500, 1000, id="in each other"),
        pytest.param('["[[[", {"}": "\\"[[[", "\\\\": [1]}]' + "{}" * 900, 3, id="brackets in strings are none"),
        pytest.param("[[]]", 2, id="few"),
    ],
)
def test_how_deep_a_tree_nests_is_counted_alike_by_every_python(text: str, levels: int) -> None:
    assert sqlguard._levels(text) == levels


@pytest.mark.parametrize(("subqueries", "code"), [pytest.param(260, "", id="that is allowed"), pytest.param(320, "SQL_SYNTAX", id="that is not")])
def test_queries_nest_as_deep_as_they_may(connection: duckdb.DuckDBPyConnection, subqueries: int, code: str) -> None:
    text = "SELECT * FROM " + "(SELECT * FROM " * subqueries + "messages" + ")" * subqueries
    if code:
        assert refusal(connection, text).code == code
    else:
        sqlguard.guard(connection, text)


def test_looking_at_a_query_does_not_look_at_files(tmp_path: Path) -> None:
    open_connection = duckdb.connect()
    missing = tmp_path / "not-there.csv"
    for text in (f"SELECT * FROM '{missing}'", f"SELECT * FROM read_csv('{missing}')"):
        assert refusal(open_connection, text).code == "SQL_FORBIDDEN"
    open_connection.close()


@pytest.mark.parametrize(
    ("query", "code", "said"),
    [
        pytest.param(
            "SELECT CAST(text AS INTEGER) FROM messages",
            "SQL_FAILED",
            "stopped on a value (Conversion)",
            id="a value that does not convert",
        ),
        pytest.param("SELECT nothing FROM messages", "SQL_FAILED", '"nothing" not found', id="an unknown column"),
        pytest.param("SELECT * FROM nowhere", "SQL_FAILED", "nowhere does not exist", id="an unknown table"),
        pytest.param(
            "SELECT strptime(text, '%Y') FROM messages", "SQL_FAILED", "stopped on a value (InvalidInput)", id="a time that is none"
        ),
    ],
)
def test_a_query_that_fails_is_told_without_quoting_data(connection: duckdb.DuckDBPyConnection, query: str, code: str, said: str) -> None:
    with pytest.raises(duckdb.Error) as raised:
        connection.execute(query).fetchall()
    error = sqlguard.failed(raised.value)
    assert error.code == code
    assert said in str(error)
    assert "悄悄话" not in str(error)


@pytest.mark.parametrize(
    ("query", "place"),
    [
        pytest.param("SELECT seq FORM messages x y", (1, 17), id="one line"),
        pytest.param("SELECT '中文' AS 甲 FORM messages x y", (1, 18), id="characters of two cells"),
        pytest.param("SELECT 1,\n '中' FORM x y", (2, 11), id="the second line"),
        pytest.param("SELECT " + "seq, " * 60 + "1 FORM x y", (1, 315), id="a line that is shown in part"),
        pytest.param("SELECT 'open", (1, 8), id="a text without an end"),
    ],
)
def test_where_a_query_is_no_sql_is_told_in_both_languages(connection: duckdb.DuckDBPyConnection, query: str, place: tuple[int, int]) -> None:
    refused = refusal(connection, query)
    assert query.split("\n")[place[0] - 1][place[1] - 1] in "mxF'"  # what DuckDB stumbles over
    assert refused.message.startswith(f"expected SQL, got something else in line {place[0]}, character {place[1]}; in DuckDB's words: Parser Error: ")
    told = error_text(refused, "zh")
    assert told.startswith(f"错误 SQL_SYNTAX：应为 SQL，第 {place[0]} 行第 {place[1]} 个字符处不是；DuckDB 原话：Parser Error: "), told


@pytest.mark.parametrize(
    ("query", "told"),
    [
        pytest.param("SELECT seq,\n  foo FROM messages", "应为存在的视图、列与函数，第 2 行第 3 个字符处的 foo 不存在；DuckDB 原话：Binder Error: ", id="a column"),
        pytest.param("SELECT food, foo FROM (SELECT 1 AS food)", "第 1 行第 14 个字符处的 foo 不存在", id="a column whose name begins another's"),
        pytest.param("SELECT * FROM mesages", "第 1 行第 15 个字符处的 mesages 不存在；DuckDB 原话：Catalog Error: ", id="a view"),
        pytest.param("SELECT 很多(seq) FROM messages", "第 1 行第 8 个字符处的 很多 不存在", id="a function"),
        pytest.param("SELECT seq FROM messages GROUP BY text", "应为与各视图相符的查询；DuckDB 原话：Binder Error: ", id="something else"),
    ],
)
def test_what_does_not_fit_the_views_is_told_in_chinese(connection: duckdb.DuckDBPyConnection, query: str, told: str) -> None:
    with pytest.raises(duckdb.Error) as raised:
        connection.execute(query).fetchall()
    shown = error_text(sqlguard.failed(raised.value, query), "zh")
    assert told in shown and shown.startswith("错误 SQL_FAILED：应为"), shown


def test_duckdbs_own_words_would_have_quoted_it(connection: duckdb.DuckDBPyConnection) -> None:
    with pytest.raises(duckdb.Error, match="悄悄话"):
        connection.execute("SELECT CAST(text AS INTEGER) FROM messages").fetchall()
