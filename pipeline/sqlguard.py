"""What a user's SQL may be: one SELECT, or one EXPLAIN of a SELECT, over the views of `sql/views`. Parsed, never run, here.

Before: audit.py (the names of the views). After: reader.py and the command `sql`.

Checks, in order; what is not clearly allowed is refused:
 (1) DuckDB can parse it (SQL_SYNTAX), and it is exactly one statement (SQL_NOT_ONE).
 (2) It is a SELECT (WITH, VALUES, FROM … included) or an EXPLAIN of one (SQL_NOT_SELECT): nothing that writes, attaches, copies,
     sets, installs or calls, neither as a whole nor in a common table expression (DuckDB 2.0 takes INSERT, UPDATE, DELETE and
     COPY there); no DESCRIBE, SHOW or SUMMARIZE, which name tables of ours.
 (3) Every table is a view for users, named alone, or a common table expression of the query (SQL_FORBIDDEN). A common table
     expression may not bear the name of anything of ours: inside itself that name still means the real table.
 (4) Table functions: range, generate_series, unnest, json_each, json_tree. No other: they read files, settings or secrets.
 (5) Scalar functions that read or set the state of the process are refused; so is error(), which would carry data into an error.
This is the first of two walls: the connection itself has no access to files and a locked configuration (reader.py).
DuckDB's own words may quote the query, which is the user's; `failed` keeps the words that quote data out of our errors.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from itertools import accumulate
from typing import Any

import duckdb
from rich.cells import cell_len

from pipeline import audit
from pipeline.errors import UsageError

LISTED = "the views and their columns are listed in docs/sql.md"
TABLE_FUNCTIONS = frozenset({"range", "generate_series", "unnest", "json_each", "json_tree"})
FORBIDDEN_FUNCTION = re.compile(
    r"(read|write|parquet|duckdb|pragma|sniff|scan|query|lake|inet|pg_get|pg_sleep|sleep|json_serialize|json_deserialize|json_execute)(_.*)?"
    r"|glob|getvariable|current_setting|getenv|which_secret|nextval|currval|setval|setseed|current_query|error|.*_scan"
)
# Names that no common table expression may take: ours, and those under which DuckDB keeps its own tables.
RESERVED_NAME = re.compile(r"(lake|duckdb|pragma|sqlite|pg|information_schema)(_.*)?")
# (2) What may stand where a query stands, (3) where a table stands. Anything else is refused, also what a later DuckDB adds.
QUERIES = frozenset({"SELECT_NODE", "SET_OPERATION_NODE", "RECURSIVE_CTE_NODE"})
TABLES = frozenset({"BASE_TABLE", "SUBQUERY", "JOIN", "TABLE_FUNCTION", "EMPTY", "EXPRESSION_LIST", "PIVOT"})
# How deep the parser's tree of a query may nest, three levels for each SELECT within another: Python 3.11 reads not much more, and later ones whatever it is.
MOST_LEVELS = 900
# A bracket, or what is none: strings and all else.
_BRACKET = re.compile(r'"(?:[^"\\]|\\.)*"|([\[\]{}])|[^"\[\]{}]+')
_EXPLAIN = re.compile(r"\s*EXPLAIN\b(\s+ANALYZE\b)?(\s*\((\s*(ANALYZE|FORMAT\s+\w+)\s*,?)+\s*\))?", re.IGNORECASE)
# Errors whose words come from the query and the catalogue alone; the words of others may quote values.
_WORDS_OF_QUERY = (duckdb.ParserException, duckdb.SyntaxException, duckdb.BinderException, duckdb.CatalogException)

_NAME = re.compile(r'(?:Referenced (?:column|table) |with name )(?:"(?P<quoted>[^"]+)"|(?P<bare>\w+))')
_LINE = re.compile(r"\nLINE (?P<line>\d+): (?P<shown>.*)\n(?P<before> *)\^")


def guard(connection: duckdb.DuckDBPyConnection, text: str) -> str:
    """Return the one statement of `text`, fit to be run; raises UsageError SQL_SYNTAX, SQL_NOT_ONE, SQL_NOT_SELECT or SQL_FORBIDDEN."""
    kind, query = _one(connection, text)
    inner = _explained(connection, query) if kind == duckdb.StatementType.EXPLAIN else query
    if kind not in (duckdb.StatementType.SELECT, duckdb.StatementType.EXPLAIN):
        raise _not_select()
    _check(_tree(connection, inner))
    return query.strip().rstrip(";").rstrip()


def views_asked(connection: duckdb.DuckDBPyConnection, query: str) -> frozenset[str]:
    """Return the views that a guarded query asks itself, in small letters; a part of the query with a view's name counts as the view."""
    kind, _ = _one(connection, query)
    inner = _explained(connection, query) if kind == duckdb.StatementType.EXPLAIN else query
    return frozenset(str(n["table_name"]).lower() for n in _nodes(_tree(connection, inner)) if n.get("type") == "BASE_TABLE") & audit.view_columns().keys()


def failed(error: duckdb.Error, query: str = "") -> UsageError:
    """Return a query's failure as our error: what was expected and where, then DuckDB's words where they speak of the query, else only their kind,
    never data."""
    if isinstance(error, _WORDS_OF_QUERY):
        words, name = str(error), _unknown(str(error))
        at = _place_of(name, query)
        if name and at:
            expected = f"expected views, columns and functions that there are, got {name} in line {at[0]}, character {at[1]}; in DuckDB's words: {words}"
            return UsageError("SQL_FAILED", expected, remedy=LISTED)
        return UsageError("SQL_FAILED", f"expected a query that fits the views; in DuckDB's words: {words}", remedy=LISTED)
    if isinstance(error, duckdb.OutOfMemoryException):
        return UsageError("SQL_MEMORY", "the query needs more memory than a query may take", remedy="ask for fewer days or columns")
    kind = type(error).__name__.removesuffix("Exception")
    return UsageError("SQL_FAILED", f"the query stopped on a value ({kind})", remedy="use TRY_CAST for values that may not convert")


def _unknown(words: str) -> str:
    """Return the name that DuckDB's words say it does not know, else nothing."""
    found = _NAME.search(words)
    return (found["quoted"] or found["bare"]) if found else ""


def _place_of(name: str, query: str) -> tuple[int, int] | None:
    """Return the line and the character at which a name stands first in a query, both from 1."""
    found = re.search(rf"(?<!\w){re.escape(name)}(?!\w)", query, re.IGNORECASE) if name else None
    return (query.count("\n", 0, found.start()) + 1, found.start() - query.rfind("\n", 0, found.start())) if found else None


def _marked(words: str, query: str) -> tuple[int, int] | None:
    """Return the line and the character that DuckDB's words point at with a caret, both from 1. They show a piece of a long line, and count cells."""
    found, lines = _LINE.search(words), query.split("\n")
    if found is None or int(found["line"]) > len(lines):
        return None
    shown, cells = found["shown"].removeprefix("...").removesuffix("..."), len(found["before"]) - len(f"LINE {found['line']}: ")
    cells -= 3 * found["shown"].startswith("...")
    begin = lines[int(found["line"]) - 1].find(shown)
    inside = next((n for n in range(len(shown) + 1) if cell_len(shown[:n]) >= cells), None)
    return None if begin < 0 or cells < 0 or inside is None else (int(found["line"]), begin + inside + 1)


def _one(connection: duckdb.DuckDBPyConnection, text: str) -> tuple[duckdb.StatementType, str]:
    """Return the kind and the text of the one statement in `text`."""
    try:
        statements = [(found.type, found.query) for found in connection.extract_statements(text)]
    except duckdb.Error as error:
        at = _marked(str(error), text)
        if at is None:
            raise UsageError("SQL_SYNTAX", f"expected SQL; in DuckDB's words: {error}", remedy="correct the query") from error
        expected = f"expected SQL, got something else in line {at[0]}, character {at[1]}; in DuckDB's words: {error}"
        raise UsageError("SQL_SYNTAX", expected, remedy="correct the query") from error
    except ValueError as error:  # a statement that the Python package has no name for
        raise _not_select() from error
    if len(statements) != 1:
        got = f"expected one SELECT statement, got {len(statements)} statements"
        raise UsageError("SQL_NOT_ONE", got, remedy="ask one question at a time")
    return statements[0]


def _explained(connection: duckdb.DuckDBPyConnection, query: str) -> str:
    """Return what an EXPLAIN explains; options other than ANALYZE and FORMAT are refused with it."""
    prefix = _EXPLAIN.match(query)
    if prefix is None:
        raise _not_select()
    kind, inner = _one(connection, query[prefix.end() :])
    if kind != duckdb.StatementType.SELECT:
        raise _not_select()
    return inner


def _tree(connection: duckdb.DuckDBPyConnection, query: str) -> Any:
    """Return the query as DuckDB's parser reads it. Nothing is bound: no file is opened, no table looked up."""
    try:
        ((text,),) = connection.execute("SELECT json_serialize_sql($query)", {"query": query}).fetchall()
    except duckdb.Error as error:
        raise _not_select() from error
    try:
        if _levels(text) > MOST_LEVELS:
            raise RecursionError
        tree = json.loads(text)
    except RecursionError:
        raise UsageError("SQL_SYNTAX", "the query nests too deep", remedy="name its parts: WITH part AS (SELECT …)") from None
    if tree["error"] or len(tree["statements"]) != 1:
        raise _not_select()
    return tree


def _levels(text: str) -> int:
    """Return how deep brackets of a JSON text nest, or how many there are where these are few."""
    opened = text.count("[") + text.count("{")
    if opened <= MOST_LEVELS:
        return opened
    steps = (1 if bracket in "[{" else -1 for bracket in _BRACKET.sub(r"\1", text))
    return max(accumulate(steps))


def _check(tree: Any) -> None:
    nodes = list(_nodes(tree))
    names = {name.lower() for node in nodes for name in _defined(node)}
    for name in names:
        if RESERVED_NAME.fullmatch(name) or not re.fullmatch(r"\w+", name):
            raise _forbidden(f"a part of the query may not be called {name}", "choose another name")
    for node in nodes:
        _check_node(node, names)


def _check_node(node: Mapping[str, Any], names: set[str]) -> None:
    kind = str(node.get("type"))
    queries = [node[key]["type"] for key in ("node", "query_node") if isinstance(node.get(key), dict)]
    queries += [kind] if kind.endswith("_NODE") else []
    tables = [node[key]["type"] for key in _table_keys(kind) if isinstance(node.get(key), dict)]
    if not QUERIES.issuperset(queries) or "SHOW_REF" in tables:  # (2)
        raise _not_select()
    if not TABLES.issuperset(tables):  # (3)
        raise _forbidden("this kind of table may not be asked", "ask the views")
    if kind == "BASE_TABLE":
        _check_table(node, names)
    elif kind == "TABLE_FUNCTION":
        _check_table_function(node)
    name = node.get("function_name")
    if isinstance(name, str) and FORBIDDEN_FUNCTION.fullmatch(name.lower()):  # (5)
        raise _forbidden(f"the function {name} may not be used", "ask the views")


def _table_keys(kind: str) -> tuple[str, ...]:
    """Return under which names a node of this kind holds tables."""
    return ("left", "right") if kind == "JOIN" else ("from_table", "source")


def _check_table(node: Mapping[str, Any], names: set[str]) -> None:  # (3)
    path = node["qualified_name"]["path"]
    name = str(node["table_name"])
    if len(path) == 1 and path[0] == name and (name.lower() in names or name.lower() in audit.view_columns()):
        return
    raise _forbidden(f"{'.'.join(path)} is not a view you can ask", f"the views are {', '.join(audit.view_columns())}")


def _check_table_function(node: Mapping[str, Any]) -> None:  # (4)
    function = node["function"]
    name = str(function.get("function_name"))
    if function.get("type") != "FUNCTION" or name.lower() not in TABLE_FUNCTIONS:
        raise _forbidden(f"the function {name} may not stand where a table stands", f"allowed are {', '.join(sorted(TABLE_FUNCTIONS))}")


def _nodes(tree: Any) -> Iterator[dict[str, Any]]:
    """Yield every object of the tree, however deep (no recursion: a query may nest deeper than Python's stack)."""
    waiting = [tree]
    while waiting:
        node = waiting.pop()
        if isinstance(node, dict):
            yield node
            waiting.extend(node.values())
        elif isinstance(node, list):
            waiting.extend(node)


def _defined(node: Mapping[str, Any]) -> Iterator[str]:
    """Yield the names of common table expressions that a node brings."""
    expressions = node.get("cte_map")
    if isinstance(expressions, dict):
        yield from (str(entry["key"]) for entry in expressions["map"])
    if isinstance(node.get("cte_name"), str):
        yield node["cte_name"]


def _forbidden(message: str, remedy: str) -> UsageError:
    return UsageError("SQL_FORBIDDEN", message, remedy=remedy)


def _not_select() -> UsageError:
    message = "expected a SELECT, or an EXPLAIN of one, got another kind of statement"
    return UsageError("SQL_NOT_SELECT", message, remedy=LISTED)
