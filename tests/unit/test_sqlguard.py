"""What a user may ask, and what not: every way known to us of getting at anything but the views."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import duckdb
import pytest

from pipeline import sqlguard
from pipeline.errors import UsageError

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


def test_duckdbs_own_words_would_have_quoted_it(connection: duckdb.DuckDBPyConnection) -> None:
    with pytest.raises(duckdb.Error, match="悄悄话"):
        connection.execute("SELECT CAST(text AS INTEGER) FROM messages").fetchall()
