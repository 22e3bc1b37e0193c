"""Asking the archive: a fresh in-memory DuckDB over one version of the lake, read-only and locked down.

Before: lake.py, sql/views/. After: audit.py, the commands `sql`, `audit`, `status`, `conversation`.

Rules: (1) one version for all views of a command; (2) one file of each kind that is asked is opened before DuckDB scans, which finds
files that are gone; scans are started without the interpreter lock (scans.py: readers hung without that); (3) no spilling to disk,
no access to files, configuration locked; (4) results are fetched whole, never left streaming; (5) a file that was compacted away
or erased, and unlinked, since the version was opened leads to another try, on the newest version, as long as there is a newer one: erasures may follow
each other faster than a question is answered; (6) a view is made, and a kind registered, when a query first names it, since
doing so for all of them takes longer than most questions: whoever takes `connection` itself finds all of them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import date
from typing import Any, TypeVar

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds

from pipeline import audit, clock, durable, earlier_packs, filekeys, layout, schema, sqlguard, sqlkinds
from pipeline.consenting import hidden
from pipeline.deltalog import ANY, DataFile, Snapshot
from pipeline.errors import ArchiveError, NotAllowed
from pipeline.home import Home
from pipeline.lake import HOT, Lake
from pipeline.roles import acting, scoped
from pipeline.roles.acting import Access
from pipeline.search import counted, doubled, rest

T = TypeVar("T")
# Internal views that a reader puts what it keeps in the place of.
KEPT = {
    "lake_rest": "CREATE VIEW lake_rest AS FROM lake_rest_kept",
    "lake_later": "CREATE VIEW lake_later AS FROM lake_later_kept",
    "lake_messages_recalled": "CREATE VIEW lake_messages_recalled AS FROM lake_messages",
    "lake_doubled": "CREATE VIEW lake_doubled AS FROM lake_doubled_kept",
}
ADDED = ("lake_context", "lake_rest_kept", "lake_later_kept", "lake_doubled_kept")  # internal tables beside those of the kinds
TABLES = frozenset([*ADDED, *(f"{audit.INTERNAL}{kind}" for kind in schema.KINDS)])
BOOKS = frozenset({"counts", "page_fates"})  # views that count all records
FEW_GROUPS = 200  # row groups: to read the words of so many takes a quarter of a second
# So few conversations are looked for in the indexes, and read from so few row groups, instead of from kept columns of all messages.
FEW_CONVERSATIONS, THEIR_GROUPS = 512, 256
# Words of ours in findings: few different ones, handed to DuckDB by their numbers where nothing is hidden. `suppressed_by` stays: to tell what suppresses
# nothing is left to the scan.
FINDING_WORDS = ("origin", "direction", "rule_id", "category", "severity", "party", "via", "lexicon_version")
KEPT_BYTES = 64 << 20  # of findings, for the next question
FAILURES = (duckdb.Error, OSError, ArchiveError)  # what a file that is gone may come out as
SETTINGS: dict[str, str | bool | int | float | list[str]] = {
    "temp_directory": "",
    "autoinstall_known_extensions": False,
    "autoload_known_extensions": False,
    "python_enable_replacements": False,
    "memory_limit": "2GB",
}


# Kinds beside the records, and the column that says when a row of them was learned.
LEARNED = {
    **dict.fromkeys(("consent", "departments", "follows", "handovers", "identities", "media", "memberships", "notices", "people", "rooms"), "recorded_at"),
    "gaps": "detected_at", "acks": "at",
}  # fmt: skip


class Reader:
    """One connection over one snapshot of one corp. Close it, or use it as a context manager.

    months: of messages and findings, None for all; lexicon: findings as they stood under these packs (earlier_packs.py), empty for the current ones;
    access: who reads, by default whoever acts in this call (roles/acting.py), `acting.MACHINE` for steps that hand nothing out;
    as_of_ms: leaves out what was learned later beside the records (people, consent, files, gaps)."""

    def __init__(
        self, home: Home, corp_id: str, *, months: Iterable[str] | None = None, lexicon: str = "", access: Access | None = None,
        as_of_ms: int | None = None,
    ) -> None:  # fmt: skip
        self.home = home
        self.corp_id = corp_id
        self.access = access or acting.current(home.path)
        self.lake: Lake = home.lake(corp_id)
        self._months = None if months is None else list(months)
        self._lexicon = lexicon
        self._as_of_ms = as_of_ms
        self._complete = False  # whether somebody took the connection itself: he finds every view, on a newer version too
        self._open()

    def _open(self) -> None:
        """Open the newest version, and a newer one each time that files of it are gone meanwhile (rule 5)."""
        while True:
            self._duck, self._made, self._registered = duckdb.connect(config=SETTINGS), set[str](), set[str]()
            self._stamp = hidden.stamp(self.home, self.corp_id)
            self.snapshot: Snapshot = self.lake.snapshot()
            try:
                return self._connect()
            except FAILURES:
                self.close()
                if not self._outrun():
                    raise

    def _connect(self) -> None:
        """Look at the version as the person sees it; raises Vanished when a file that tells this was unlinked."""
        self.kept: dict[str, Any] = {}  # what a question keeps for the next one on the same version
        self._datasets: dict[str, ds.Dataset] = {}  # of each kind that was asked, as it is registered but for `about` and `of_person`
        self._visible = hidden.visible(self.lake, self.snapshot)
        self.view = scoped.View(self.lake, self.snapshot, self.access, self._visible)
        self.whole = self.view.scope.everything  # whether nothing is hidden from this reader
        self._duck.execute("SET TimeZone = 'Asia/Shanghai'")
        self._duck.execute("SET enable_progress_bar = false")  # it would go to stdout, into the results
        self._duck.execute(audit.context_sql(self.corp_id))
        if self._lexicon:
            self._complete = True
            earlier_packs.use(self._with(""), self._lexicon)
        self._duck.execute("SET enable_external_access = false")
        self._duck.execute("SET lock_configuration = true")

    @property
    def connection(self) -> duckdb.DuckDBPyConnection:
        """The connection, with every view and every kind."""
        self._complete = True
        return self._asked(lambda: self._with(""))

    def _with(self, query: str) -> duckdb.DuckDBPyConnection:
        """Return the connection, with what a query names of views and kinds and with all that they ask (rule 6)."""
        self._make(audit.view_names() if self._complete else audit.named_views(query))
        self._register(TABLES if self._complete else named_tables(query))
        return self._duck

    def _make(self, views: Iterable[str]) -> None:
        wanted = frozenset[str]().union(*map(audit.view_needs, views)) - self._made
        for name in filter(wanted.__contains__, audit.view_names()):
            statement = KEPT.get(name) or audit.view_sql(name)
            self._register(named_tables(statement))
            self._duck.execute(statement)
            self._made.add(name)

    def _register(self, tables: Iterable[str]) -> None:
        """Let DuckDB see these internal tables, each after one of its files was opened (rule 2); raises Vanished when it was unlinked."""
        for table in sorted({*tables} - self._registered):
            if table in ADDED:
                self._duck.register(table, self._added(table))
            else:
                kind = table.removeprefix(audit.INTERNAL)
                dataset = self._whole(kind)
                if self._files(kind):
                    _open_one(dataset)
                self._put(kind, dataset, again=False)
            self._registered.add(table)

    def _added(self, table: str) -> ds.Dataset:
        if table in ("lake_rest_kept", "lake_later_kept"):
            chosen = rest.newest if table == "lake_rest_kept" else rest.later
            return self.view.of("records", rest.Rest(self.home.path, self.lake, self.snapshot, self.home.damaged, chosen), None)
        return doubled.Doubled(self.home.path, self.lake, self.snapshot, self.home.damaged) if table == "lake_doubled_kept" else self._context()

    def _files(self, kind: str) -> list[DataFile]:
        by_month = self._months if "dt" in schema.kind(kind).arrow.names and kind not in ("records", "recalls") else None
        return self.snapshot.of(kind, months=by_month)

    def _whole(self, kind: str) -> ds.Dataset:
        """Return all that there is of a kind, whoever reads."""
        if kind not in self._datasets:
            self._datasets[kind] = self._dataset(kind, self._files(kind))
        return self._datasets[kind]

    def _dataset(self, kind: str, files: Sequence[DataFile], groups: Mapping[str, Sequence[int]] | None = None) -> ds.Dataset:
        if kind == "messages":
            return counted.Messages(self.home.path, self.lake, self.snapshot, files, groups, damaged=self.home.damaged)
        plain = kind != "matches" or not self.whole or self._visible is not None
        return self.lake.dataset(kind, files, groups, numbered=() if plain else FINDING_WORDS, keep=KEPT_BYTES if kind == "matches" else 0)

    def _put(self, kind: str, dataset: ds.Dataset, *, again: bool) -> None:
        """Register what the person may see of a kind. again: in the place of what was registered before."""
        if self._as_of_ms is not None and kind in LEARNED:  # what was learned later is not told (evidence as of a checkpoint)
            dataset = dataset.filter(ds.field(LEARNED[kind]) <= pa.scalar(self._as_of_ms, pa.timestamp("ms", "UTC")))
        seen = self.view.of(kind, dataset, self._visible if kind in hidden.KINDS else None)  # on the data itself: no query comes past it
        gone = [c for c in dataset.schema.names if c not in seen.schema.names]
        self._duck.register(f"lake_{kind}" + ("_seen" if gone else ""), seen)
        if gone and not again:
            self._duck.execute(_without(kind, gone))

    @contextmanager
    def _instead(self, datasets: Mapping[str, ds.Dataset]) -> Iterator[None]:
        """Look, inside the block, into these datasets instead of all that there is of their kinds."""
        before = self._duck
        self.steady(lambda: self._register(f"{audit.INTERNAL}{kind}" for kind in datasets))
        if self._duck is before:  # a version that was opened meanwhile is whole: the datasets are of the one before it
            for kind, dataset in datasets.items():
                if dataset.schema != self._whole(kind).schema:  # views keep the types of the whole kind
                    self._make(audit.views_over(f"{audit.INTERNAL}{kind}"))
                self._put(kind, dataset, again=True)
        try:
            yield
        finally:
            if self._duck is before:
                for kind in datasets:
                    self._put(kind, self._whole(kind), again=True)

    @contextmanager
    def about(self, conversation_id: str) -> Iterator[None]:
        """Look, inside the block, into the row groups of messages, findings and files alone that may hold this conversation: the same answers, sooner.

        Raises nothing of its own; what is asked inside is asked of the version that was open at its begin."""
        from pipeline.search.candidates import findings_of_conversation, groups_of_conversation

        if self._months is not None:
            yield
            return

        def some() -> dict[str, ds.Dataset]:
            files = {f.path: f for f in self.snapshot.files}
            messages = groups_of_conversation(self, conversation_id)
            findings = findings_of_conversation(self, conversation_id, messages)
            media = self.lake.dataset("media", self.snapshot.of("media", buckets=[layout.bucket_of(conversation_id), HOT, ANY]))
            return {
                "messages": self.messages().in_groups(messages), "matches": self._dataset("matches", [files[p] for p in findings], findings),
                "media": media.filter(ds.field("conversation_id") == conversation_id),
            }  # fmt: skip

        with self._instead(self.steady(some)):
            yield

    @contextmanager
    def of_person(self, person: str) -> Iterator[None]:
        """Look, inside the block, into the row groups of messages alone that may hold some that `person` sent or received."""
        from pipeline.search.candidates import groups_of_person

        if self._months is not None:
            yield
            return
        with self._instead({"messages": self.steady(lambda: self.messages().in_groups(groups_of_person(self, person)))}):
            yield

    def messages(self) -> counted.Messages:
        """Return the messages of this version, those too that may not be seen: for what narrows a question alone."""
        whole = self._whole("messages")
        assert isinstance(whole, counted.Messages)
        return whole

    def _context(self) -> _Context:
        known = {
            "corp_id": pa.array([self.corp_id]),
            "withheld_days": pa.array([self.home.config.consent.withheld_days], pa.int32()),
            "now": pa.array([clock.now_ms()], pa.timestamp("ms", "UTC")),
        }

        home, corp_id, snapshot = self.home, self.corp_id, self.snapshot  # not self: the connection would hold itself

        def version() -> str:
            from pipeline.workbench import Workbench  # the packs and all that reads them: a tenth of a second

            return Workbench(home, corp_id, snapshot).lexicon_version

        return _Context(known, version)

    def rows(self, query: str, parameters: Mapping[str, Any] | None = None) -> list[dict[str, Any]]:
        """Return the rows of one of our own queries as dictionaries."""

        def asked() -> list[dict[str, Any]]:
            cursor = self._with(query).execute(query, dict(parameters or {}))
            names = [d[0] for d in cursor.description or []]
            return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]

        return self._asked(asked)

    def arrow(self, query: str, parameters: Mapping[str, Any] | None = None) -> pa.Table:
        """Return the whole result of a query as an Arrow table; raises UsageError SQL_FAILED when it cannot be answered."""
        try:
            found: pa.Table = self._asked(lambda: self._with(query).sql(query, params=dict(parameters or {})).to_arrow_table())
            return found
        except duckdb.Error as error:
            raise sqlguard.failed(error, query) from error

    def typed_by_user(self, query: str) -> pa.Table:
        """Return the whole result of a user's query, as `arrow` does, with kinds that Arrow does not carry as text (sqlkinds.py); raises NotAllowed
        WHOLE_ARCHIVE_ONLY where it asks the books of the whole archive and the person is bound to a part."""
        for view in sqlguard.views_asked(self._duck, query) & BOOKS if self._of_a_part else ():
            raise NotAllowed(
                "WHOLE_ARCHIVE_ONLY", f"the view {view} compares the books of the whole archive, and you see departments of it",
                remedy="see `liuhen status`, or ask somebody whose role is bound to no department",
            )  # fmt: skip
        try:
            if query[:7].upper() == "EXPLAIN":  # it would be run to be described
                return self.arrow(query)
            found = self._asked(lambda: self._with(query).sql(query))
            fit = sqlkinds.fitting(query, found.columns, found.types)
        except duckdb.Error as error:
            raise sqlguard.failed(error, query) from error
        return self.arrow(fit)

    def answer(self, asked: audit.Audit, values: Mapping[str, Any]) -> pa.Table:
        """Return the answer of an audit, its values bound; one about a person looks at this person's messages alone, one that says which conversations
        or words matter at those. Raises as `arrow` does; NotAllowed WHOLE_ARCHIVE_ONLY where it is about all of the archive and the person is bound to a part."""
        if asked.meta.whole_archive and self._of_a_part:
            raise NotAllowed(
                "WHOLE_ARCHIVE_ONLY", "this audit compares the books of the whole archive, and you see departments of it",
                remedy="ask somebody whose role is bound to no department",
            )  # fmt: skip
        who = values.get(asked.meta.messages_of)
        with self.of_person(str(who)) if who else self._that_matter(asked, values):
            return self.arrow(asked.sql, values)

    @property
    def _of_a_part(self) -> bool:
        """Whether the person is bound to departments: books of the whole archive, of which some rows are hidden, would tell wrong numbers."""
        return self.view.scope.spells is not None

    @contextmanager
    def of_records(self, seqs: Collection[int], days: Collection[date]) -> Iterator[None]:
        """Look, inside the block, only at messages with these seqs, of any origin, on these Beijing days: the others are not read."""
        on_days = ds.field("dt").isin(pa.array(sorted(days), pa.date32()))
        wanted = pa.array(sorted(seqs), pa.uint64())
        few = self._of_days(days)
        if few is not None:
            with self._instead({"messages": few.only(on_days & ds.field("seq").isin(wanted))}):
                yield
            return
        range_ = (ds.field("dt") >= pa.scalar(min(days))) & (ds.field("dt") <= pa.scalar(max(days)))
        with self._only(on_days & ds.field("seq").isin(wanted), rows=self.steady(lambda: self.messages().may_hold("seq", wanted, range_))):
            yield

    def _of_days(self, days: Collection[date]) -> counted.Messages | None:
        """Return the messages in row groups that may hold some of these days, None where these are so many that a look at all seqs is sooner."""
        from pipeline.search.candidates import groups_of_days

        if self._months is not None:
            return None

        def some() -> counted.Messages | None:
            groups = groups_of_days(self, days)
            return self.messages().in_groups(groups) if sum(map(len, groups.values())) <= FEW_GROUPS else None

        return self.steady(some)

    @contextmanager
    def of_findings(self, ids: Sequence[str], first: date, last: date) -> Iterator[None]:
        """Look, inside the block, only at findings with these ids, on Beijing days `first` to `last`."""
        days = (ds.field("dt") >= pa.scalar(first)) & (ds.field("dt") <= pa.scalar(last))
        with self._instead({"matches": self._whole("matches").filter(days & ds.field("finding_id").isin(pa.array(ids, pa.string())))}):
            yield

    @contextmanager
    def of_people(self, ids: Collection[str]) -> Iterator[None]:
        """Look, inside the block, only at what is known of the people with these ids, given in lower case."""
        known = pc.utf8_lower(ds.field("userid")).isin(pa.array(sorted(ids), pa.string()))
        with self._instead({"people": self._whole("people").filter(known)}):
            yield

    @contextmanager
    def _that_matter(self, asked: audit.Audit, values: Mapping[str, Any]) -> Iterator[None]:
        """Look, inside the block, only at messages that can change the answer of an audit: the same answer, sooner."""
        words = asked.meta.words_of(values)
        if self._months is not None:
            yield
            return
        if not asked.conversations:
            with self._only(holding=words):
                yield
            return
        with self._only(holding=words):
            told = self.arrow(asked.conversations, audit.used(asked.conversations, values))
        (name,), ids = told.column_names, told[0].combine_chunks()
        narrow, words = ds.field(name).isin(ids), asked.meta.words_then_of(values)
        few = self._of_conversations(ids, findings=asked.meta.findings_in_conversations) if name == "conversation_id" and not words else None
        if few is not None:
            with self._instead(few):
                yield
            return
        rows = self.steady(lambda: self.messages().may_hold(name, ids)) if name == "conversation_id" else None
        with self._only(narrow, rows=self._with_words(rows, words)):
            yield

    def _of_conversations(self, ids: pa.Array, *, findings: bool) -> Mapping[str, ds.Dataset] | None:
        """Return the messages of some conversations, in row groups that may hold them, and maybe their findings; None where these are so many that a look
        at kept columns of all messages is sooner."""
        from pipeline.search.candidates import groups_of_conversations

        if len(ids) > FEW_CONVERSATIONS:
            return None
        narrow = ds.field("conversation_id").isin(ids)

        def some() -> Mapping[str, ds.Dataset] | None:
            groups = groups_of_conversations(self, ids.drop_null().to_pylist())
            if sum(map(len, groups.values())) > THEIR_GROUPS:
                return None
            found: dict[str, ds.Dataset] = {"messages": self.messages().in_groups(groups).only(narrow, numbered=self.whole)}
            return {**found, "matches": self._whole("matches").filter(narrow)} if findings else found

        return self.steady(some)

    def _with_words(self, rows: Mapping[str, Any] | None, words: Sequence[str]) -> Mapping[str, Any] | None:
        """Return, of some rows of each file, those in row groups that may hold one of the words, and those without a sending time; of a file without index
        all of them."""
        from pipeline.search.candidates import rows_holding

        if rows is None or not words:
            return rows
        held = self.steady(lambda: rows_holding(self, words))
        untimed = self.steady(lambda: self.messages().may_hold("sent_at", pa.array([], pa.timestamp("us", "UTC"))))
        return {path: some & (held[path] | untimed[path]) if path in held and path in untimed else some for path, some in rows.items()}

    @contextmanager
    def _only(self, where: pc.Expression | None = None, *, rows: Mapping[str, Any] | None = None, holding: Sequence[str] = ()) -> Iterator[None]:
        """Look, inside the block, only at messages that meet a condition, or only into row groups that may hold one of the words; ids go to DuckDB by
        number, where nothing is hidden (counted.py, rule 5). rows: by path, bools: the others do not meet the condition."""
        from pipeline.search.candidates import rows_holding

        with self._instead({"messages": self.steady(lambda: self.messages().only(where, rows_holding(self, holding) if holding else rows, numbered=self.whole))}):
            yield

    def steady(self, ask: Callable[[], T]) -> T:
        """Return what `ask` returns, asked again on the newest version when files of the one that was opened are gone (rule 5)."""
        return self._asked(ask)

    def _asked(self, ask: Callable[[], T]) -> T:
        """Ask; again on the newest version each time that files of the one that was opened are gone: their rows lie in others now (rule 5)."""
        if hidden.stamp(self.home, self.corp_id) != self._stamp:  # something went out of view since: not even a running reader shows it
            self._reopen()
        while True:
            try:
                return ask()
            except FAILURES:
                if not self._outrun():
                    raise
            self._reopen()

    def _outrun(self) -> bool:
        """Return whether files of the version, or keys of theirs, are gone because there is a newer one: what is missing in the newest is a damage."""
        if self.lake.snapshot().version <= self.snapshot.version:
            return False
        return not all((self.lake.root / f.path).exists() for f in self.snapshot.files) or self._keys_gone()

    def _keys_gone(self) -> bool:
        """Return whether a key of a file ended before the file was unlinked: an erasure does not wait for what was taken out beside it."""
        live = set(self.lake.keyring.names(f"{self.corp_id}/"))
        return any((name := filekeys.of(self.lake.root / f.path)) is not None and name not in live for f in self.snapshot.files)

    def _reopen(self) -> None:
        self.close()
        self._open()

    def close(self) -> None:
        """Close the connection."""
        self._duck.close()

    def __enter__(self) -> Reader:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def named_tables(query: str) -> frozenset[str]:
    """Return the internal tables whose names stand in a query or a view, in any case."""
    return TABLES.intersection(re.findall(r"\w+", query.lower()))


def _without(kind: str, gone: Sequence[str]) -> str:
    """Return the statement that puts nulls where columns are that the reader may not see: they are not in the data that lies below."""
    types = {"string": "VARCHAR", "binary": "BLOB", "list<part>": "STRUCT(path VARCHAR, text VARCHAR)[]"}
    nulls = [f"NULL::{types[c.type]} AS {c.name}" for c in schema.kind(kind).columns if c.name in gone]
    return f"CREATE VIEW lake_{kind} AS SELECT *, {', '.join(nulls)} FROM lake_{kind}_seen"


class _Context(ds.InMemoryDataset):
    """The one row of `lake_context`. The version of the packs is worked out when it is asked for: it takes loading and proving all of them."""

    def __init__(self, known: dict[str, pa.Array], version: Callable[[], str]) -> None:
        super().__init__(pa.schema([("lexicon_version", pa.string()), *((name, values.type) for name, values in known.items())]).empty_table())
        self._known, self._version = known, version

    def scanner(self, *, columns: Sequence[str] | None = None, **asked: Any) -> Any:
        """Return what DuckDB asks of a dataset: something with `to_reader()`."""
        wanted = columns is None or "lexicon_version" in columns or asked.get("filter") is not None
        row = pa.table({"lexicon_version": pa.array([self._version() if wanted else None], pa.string()), **self._known})
        return ds.dataset(row).scanner(columns=columns, **asked)


def _open_one(dataset: ds.Dataset) -> None:
    try:
        next(iter(dataset.get_fragments())).ensure_complete_metadata()
    except FileNotFoundError as error:
        raise durable.storage_error(error, "reading the lake") from error
