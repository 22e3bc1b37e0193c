"""The questions of `sql/`: the views every question is asked of, and the audits by name.

Before: resources.py. After: reader.py (makes the views), sqlguard.py, the commands `audit`, `sql` and `status`.

Rules:
 (1) A view is a file of sql/views; order.yaml says which and in which order, columns.yaml what the ones for users look like.
     A view whose name begins with lake_ is internal, as are the tables `lake_<kind>` that the reader registers.
 (2) An audit is a folder of sql/audit: query.sql, meta.yaml (words, parameters, columns), cases that prove it, and maybe conversations.sql, which
     only spares reading: the answer is that of query.sql over all messages.
 (3) Values are bound by name, never pasted into the text. `from` and `to` are Beijing days, both inclusive; since they are
     reserved words of SQL, a query knows them as $from_day and $to_day, and every other parameter by its own name.
 (4) Employee ids compare without regard to ASCII case, external ids and msgids byte by byte: the queries see to it.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Mapping
from datetime import date, datetime
from functools import cache
from pathlib import Path
from typing import Any, Literal

import duckdb
import msgspec
import yaml

from pipeline.errors import UsageError
from pipeline.resources import data_folder

Value = date | int | str | None
Who = Literal["employee", "customer", "person", "room", "conversation"]
INTERNAL = "lake_"
# What an SQL query calls the parameters whose names are reserved words (rule 3).
SQL_NAMES = {"from": "from_day", "to": "to_day"}
# A wrong value is quoted in an error only when it looks like one: anything else may be a name or a message.
_PLAIN = re.compile(r"[0-9A-Za-z_.:/-]{1,32}")


class Words(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The same words in Chinese (master) and English."""

    zh: str
    en: str


class Parameter(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One parameter of an audit. Without a default it must be given; a default of null means that it may be left out.

    least, most: of a whole number, both allowed; below: the parameter that it must be less than."""

    name: str
    type: Literal["date", "text", "int", "choice"]
    help: Words
    default: str | int | msgspec.UnsetType | None = msgspec.UNSET
    choices: tuple[str, ...] = ()
    least: int | None = None
    most: int | None = None
    below: str = ""

    @property
    def span(self) -> str:
        """The values that fit, as a help shows them: `1–24`, `all, missing`; empty where none are told."""
        return ", ".join(self.choices) if self.least is None else f"{self.least}–{self.most}"

    @property
    def sql_name(self) -> str:
        """What the query calls it."""
        return SQL_NAMES.get(self.name, self.name)


class Column(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One column of an audit's result. who: whose ids it holds, where its name does not say so (beside.py); who_when: and the parameters must be these.
    words: the group of the catalogue that its values are words of, where its name does not say so."""

    name: str
    title: Words
    meaning: Words
    who: Who | None = None
    who_when: dict[str, str] = {}
    words: str = ""


class Meta(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What meta.yaml says. basis: the rules of law or of the archive on which the question rests; messages_of: the parameter that names
    somebody, where the query reads no messages but those this person sent or received: they alone are looked at then. words: words joined by |, or
    `$` and the parameter that holds them, where no message counts in conversations.sql (else in query.sql) whose text holds none of them. words_then:
    the same of query.sql beside conversations.sql, where a message without a sending time may count whatever its text holds. findings_in_conversations:
    no finding counts in query.sql either that lies outside of the conversations which conversations.sql tells. whole_archive: it compares the books of
    the whole archive, of which a page of the source is the smallest part: nothing for a person bound to departments."""

    title: Words
    question: Words
    basis: Words
    columns: tuple[Column, ...]
    parameters: tuple[Parameter, ...] = ()
    messages_of: str = ""
    words: str = ""
    words_then: str = ""
    findings_in_conversations: bool = False
    whole_archive: bool = False

    def words_of(self, values: Mapping[str, Value]) -> tuple[str, ...]:
        """Return the words one of which a message must hold; none where any message may count."""
        return _words(self.words, values)

    def words_then_of(self, values: Mapping[str, Value]) -> tuple[str, ...]:
        """Return the words one of which a message with a sending time must hold to count in query.sql; none where any may."""
        return _words(self.words_then, values)


class Audit(msgspec.Struct, frozen=True):
    """One audit: its name (the folder), its words, its query and where its cases lie. conversations: asks for the conversations (or for other values of
    one kept column of the messages, internal ones too) outside of which no message can change the answer; empty where any can."""

    name: str
    meta: Meta
    sql: str
    folder: Path
    conversations: str = ""


def _words(told: str, values: Mapping[str, Value]) -> tuple[str, ...]:
    said = str(values.get(told[1:]) or "") if told.startswith("$") else told
    return tuple(filter(None, said.split("|")))


# --- views ---


@cache
def view_names() -> tuple[str, ...]:
    """Return the names of all views in the order in which they must be made, internal ones (lake_…) included."""
    return tuple(_yaml(data_folder("sql") / "views" / "order.yaml"))


@cache
def view_columns() -> dict[str, dict[str, str]]:
    """Return, for every view that users can ask, its columns in order with their DuckDB types."""
    found: dict[str, dict[str, str]] = _yaml(data_folder("sql") / "views" / "columns.yaml")
    return found


@cache
def view_sql(name: str) -> str:
    """Return the CREATE VIEW statement of one view."""
    return (data_folder("sql") / "views" / f"{name}.sql").read_text("utf-8")


def context_sql(corp_id: str) -> str:
    """Return the statement that tells the views their corp_id.

    A macro of a constant costs nothing; joining the one row of lake_context made DuckDB gather whole tables in memory."""
    return "CREATE OR REPLACE MACRO lake_corp_id() AS '" + corp_id.replace("'", "''") + "'"


@cache
def view_needs(name: str) -> frozenset[str]:
    """Return a view and all views that it asks, theirs included."""
    earlier, statement = view_names()[: view_names().index(name)], re.sub("--.*", "", view_sql(name))
    return frozenset({name}).union(*(view_needs(other) for other in named_views(statement) if other in earlier))


@cache
def views_over(table: str) -> tuple[str, ...]:
    """Return the views that read `table` (one of `lake_<kind>`), themselves or through others."""
    reading = {name for name in view_names() if re.search(rf"\b{table}\b", view_sql(name))}
    return tuple(name for name in view_names() if view_needs(name) & reading)


def named_views(query: str) -> set[str]:
    """Return the views whose names stand in a query, in any case; one that stands there as something else is one too many, never one too few."""
    return set(view_names()).intersection(re.findall(r"\w+", query.lower()))


def create_views(connection: duckdb.DuckDBPyConnection) -> None:
    """Make all views on a connection where `lake_context` and every `lake_<kind>` are registered."""
    (corp_id,) = connection.execute("SELECT corp_id FROM lake_context").fetchall()[0]
    connection.execute(context_sql(corp_id))
    for name in view_names():
        connection.execute(view_sql(name))


# --- audits ---


@cache
def load_audits() -> tuple[Audit, ...]:
    """Return all audits by name; raises UsageError AUDIT_BROKEN for a folder whose meta.yaml is not as it must be."""
    return tuple(_load(path.parent) for path in sorted((data_folder("sql") / "audit").glob("*/query.sql")))


def _load(folder: Path) -> Audit:
    try:
        meta = msgspec.convert(_yaml(folder / "meta.yaml"), type=Meta)
    except (OSError, yaml.YAMLError, msgspec.ValidationError) as error:
        message = f"sql/audit/{folder.name}/meta.yaml cannot be read: {error}"
        raise UsageError("AUDIT_BROKEN", message, remedy="install liuhen again") from error
    first = folder / "conversations.sql"
    return Audit(
        name=folder.name, meta=meta, sql=(folder / "query.sql").read_text("utf-8"), folder=folder, conversations=first.read_text("utf-8") if first.exists() else ""
    )


def find(name: str) -> Audit:
    """Return the audit `name`; raises UsageError AUDIT_UNKNOWN, naming the nearest ones."""
    audits = {audit.name: audit for audit in load_audits()}
    if name in audits:
        return audits[name]
    remedy = _nearest("`liuhen audit list` shows all of them", name, audits)
    raise UsageError("AUDIT_UNKNOWN", "there is no audit of this name", remedy=remedy)


def bind(audit: Audit, given: Mapping[str, str]) -> dict[str, Value]:
    """Return the values to bind, by their name in the query, defaults filled in.

    given: by parameter name, as typed by a person. Raises UsageError AUDIT_PARAM_UNKNOWN, AUDIT_PARAM_MISSING or AUDIT_PARAM_INVALID."""
    names = [p.name for p in audit.meta.parameters]
    for name in given:
        if name not in names:
            known = f"{audit.name} takes {', '.join(names)}" if names else f"{audit.name} takes no parameters"
            raise UsageError("AUDIT_PARAM_UNKNOWN", f"{audit.name} has no such parameter", remedy=_nearest(known, name, names))
    bound = {p.sql_name: _value(audit, p, given) for p in audit.meta.parameters}
    first, last = bound.get("from_day"), bound.get("to_day")
    if isinstance(first, date) and isinstance(last, date) and first > last:
        raise UsageError("AUDIT_PARAM_INVALID", f"from ({first}) is later than to ({last})", remedy="exchange the two days")
    for p in audit.meta.parameters:
        less, more = bound[p.sql_name], bound.get(p.below)
        if isinstance(less, int) and isinstance(more, int) and less >= more:
            raise _invalid(p, f"must be less than {p.below} ({more})", str(less))
    return bound


def _value(audit: Audit, parameter: Parameter, given: Mapping[str, str]) -> Value:
    if parameter.name in given:
        return _PARSERS[parameter.type](parameter, given[parameter.name])
    default = parameter.default
    if default is msgspec.UNSET:
        remedy = f"add `-p {parameter.name}=…`: {parameter.help.en}"
        raise UsageError("AUDIT_PARAM_MISSING", f"{audit.name} needs {parameter.name}", remedy=remedy)
    return date.fromisoformat(default) if parameter.type == "date" and isinstance(default, str) else default


def _date(parameter: Parameter, text: str) -> date:
    try:
        return datetime.strptime(text, "%Y-%m-%d").date()
    except ValueError:
        raise _invalid(parameter, "must be a Beijing day such as 2026-03-01", text) from None


def _int(parameter: Parameter, text: str) -> int:
    least, most = parameter.least, parameter.most
    if re.fullmatch(r"-?[0-9]{1,18}", text) and (least is None or most is None or least <= int(text) <= most):
        return int(text)
    raise _invalid(parameter, "must be a whole number" if least is None else f"must be whole and within {parameter.span}", text)


def _text(parameter: Parameter, text: str) -> str:
    if text.strip():
        return text
    raise _invalid(parameter, "must not be empty", text)


def _choice(parameter: Parameter, text: str) -> str:
    if text in parameter.choices:
        return text
    raise _invalid(parameter, f"must be one of {', '.join(parameter.choices)}", text)


_PARSERS: dict[str, Callable[[Parameter, str], Value]] = {"date": _date, "int": _int, "text": _text, "choice": _choice}


def whose(audit: Audit, values: Mapping[str, Value]) -> dict[str, Who]:
    """Return whose ids the columns hold that say so themselves, asked with the values that `bind` made."""
    return {c.name: c.who for c in audit.meta.columns if c.who and all(values.get(name) == wanted for name, wanted in c.who_when.items())}


def worded(audit: Audit) -> dict[str, str]:
    """Return the groups of the catalogue that columns say their values are words of."""
    return {c.name: c.words for c in audit.meta.columns if c.words}


def used(query: str, values: Mapping[str, Value]) -> dict[str, Value]:
    """Return those of the values that a query names: DuckDB refuses others."""
    named = set(re.findall(r"\$(\w+)", query))
    return {name: value for name, value in values.items() if name in named}


def run(connection: duckdb.DuckDBPyConnection, audit: Audit, params: Mapping[str, Value]) -> tuple[tuple[str, ...], list[tuple[Any, ...]]]:
    """Ask `audit` with the values that `bind` made; returns the names of the columns and all rows, in the query's order."""
    result = connection.execute(audit.sql, dict(params))
    columns = tuple(d[0] for d in result.description or ())
    return columns, result.fetchall()


# --- said to people, read from files ---


def _invalid(parameter: Parameter, expected: str, got: str) -> UsageError:
    shown = got if _PLAIN.fullmatch(got) else f"a value of {len(got)} characters"
    return UsageError("AUDIT_PARAM_INVALID", f"{parameter.name} {expected}, got {shown}", remedy=parameter.help.en)


def _nearest(otherwise: str, name: str, known: Mapping[str, object] | list[str]) -> str:
    near = difflib.get_close_matches(name, list(known), n=3, cutoff=0.5)
    return f"did you mean {', '.join(near)}? {otherwise}" if near else otherwise


def _yaml(path: Path) -> Any:
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # several times faster, where it was built in
    return yaml.load(path.read_text("utf-8"), Loader=loader)
