"""Archives typed by hand: tables of the lake, or the views themselves, filled from YAML."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import duckdb
import pytest
import yaml

from pipeline import audit, schema

BEIJING = timezone(timedelta(hours=8))
CONTEXT = "CREATE TABLE lake_context AS SELECT 'ww1' AS corp_id, 'packs-1' AS lexicon_version, 15 AS withheld_days, now() AS now"


class Archive:
    """A DuckDB connection to be filled; `ask` gives rows with times as Beijing text, as the cases write them."""

    def __init__(self) -> None:
        self.connection = duckdb.connect()
        self._types: dict[str, dict[str, str]] = {}  # of tables that were filled

    def with_lake(self) -> Archive:
        """Make an empty table for every kind, then the real views over them."""
        for name in schema.KINDS:
            self.connection.register("columns_of_kind", schema.kind(name).arrow.empty_table())
            self.connection.execute(f"CREATE TABLE lake_{name} AS FROM columns_of_kind")
            self.connection.unregister("columns_of_kind")
        self.connection.execute(CONTEXT)
        audit.create_views(self.connection)
        return self

    def with_views(self) -> Archive:
        """Make an empty table in place of every view that users can ask."""
        for name, columns in audit.view_columns().items():
            self.connection.execute(f"CREATE TABLE {name} ({', '.join(f'{quoted(c)} {t}' for c, t in columns.items())})")
        return self

    def fill(self, folder: Path) -> Archive:
        """Insert the rows of every `<table>.yaml` of a case; a column that is not written is null."""
        for path in sorted(folder.glob("*.yaml")):
            if path.stem not in ("expect", "params"):
                for row in read_yaml(path):
                    self.insert(path.stem, row)
        return self

    def insert(self, table: str, row: Mapping[str, Any]) -> None:
        """Insert one row; text is cast to the column's type."""
        if table not in self._types:
            self._types[table] = {r[0]: r[1] for r in self.connection.execute(f"DESCRIBE {table}").fetchall()}
        types = self._types[table]
        unknown = set(row) - set(types)
        assert not unknown, f"{table} has no column {unknown}"
        names = ", ".join(quoted(c) for c in row)
        values = ", ".join(f"CAST(? AS {types[c]})" for c in row)
        self.connection.execute(
            f"INSERT INTO {table} ({names}) VALUES ({values})", [str(v) if isinstance(v, date) else v for v in row.values()]
        )

    def ask(self, query: str) -> list[list[Any]]:
        """Return all rows of a query."""
        return [plain_row(row) for row in self.connection.execute(query).fetchall()]


def plain_row(row: tuple[Any, ...]) -> list[Any]:
    """Return a row as a case writes it: times and days as Beijing text."""
    return [plain(value) for value in row]


def plain(value: object) -> object:
    """Return `2026-03-01 09:00:00+08:00` for a time, `2026-03-01` for a day, anything else as it is."""
    if isinstance(value, datetime):
        return (value if value.tzinfo else value.replace(tzinfo=UTC)).astimezone(BEIJING).isoformat(" ")
    return value.isoformat() if isinstance(value, date) else value


def quoted(name: str) -> str:
    """Return an identifier in quotes."""
    return f'"{name}"'


def read_yaml(path: Path) -> Any:
    """Return what a YAML file holds; an empty one holds no rows."""
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # several times faster, where it was built in
    return yaml.load(path.read_text("utf-8"), Loader=loader) or []


@pytest.fixture
def archive() -> Iterator[Archive]:
    """An archive without any table yet."""
    made = Archive()
    yield made
    made.connection.close()


@pytest.fixture(scope="module")
def _empty_views() -> Iterator[Archive]:
    made = Archive().with_views()
    yield made
    made.connection.close()


@pytest.fixture(scope="module")
def _empty_lake() -> Iterator[Archive]:
    made = Archive().with_lake()
    yield made
    made.connection.close()


@pytest.fixture
def views(_empty_views: Archive) -> Iterator[Archive]:
    """An archive `with_views` of which nothing stays that a test fills in."""
    yield from _taken_back(_empty_views)


@pytest.fixture
def lake(_empty_lake: Archive) -> Iterator[Archive]:
    """An archive `with_lake` of which nothing stays that a test fills in."""
    yield from _taken_back(_empty_lake)


def _taken_back(made: Archive) -> Iterator[Archive]:
    made.connection.begin()
    yield made
    made.connection.rollback()
