"""Every store that holds content, and how named records are taken out of it for good.

Before: lake.py, landing.py, manifests.py. After: whatever removes records (superseded imports, later erasure and restriction).
A store that is not in this registry does not exist: a test walks the kinds of `schemas/` and the folders of a home and fails
for one that is neither here nor listed as free of content, with the reason.

`purge` is one commit for all lake kinds, then files are unlinked: killed anywhere, the same call finishes it. The commit comes after what
waits was taken, and is made even when the lake holds none of the records: whoever planned a commit before that plans anew, and finds the
page gone. What becomes of a record's fate is the caller's business (rows of `records` outlive their content); so is destroying the keys of older copies.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from pathlib import Path

import msgspec

from pipeline import answers, durable, importing, landing, manifests, purges, room, turns
from pipeline.alerts import queue as alert_queue
from pipeline.consenting.change import Change
from pipeline.deltalog import CommitConflict, Snapshot
from pipeline.home import Home
from pipeline.lake import Lake
from pipeline.records import PageRef
from pipeline.saved_files import answer_of
from pipeline.search import index
from pipeline.source import media_store
from pipeline.stage import read_outline

# (origin, seq)
Keys = Collection[tuple[str, int]]

LAKE_KINDS = ("messages", "sealed", "withheld_sealed", "pending_sealed", "matches", "media", "restricted")
# Kinds without content, and why they need no purge.
CONTENT_FREE: Mapping[str, str] = {
    "pages": "page ids, numbers and digests of sealed bytes",
    "records": "fates, keyed fingerprints, commitments; ids of records that were not archived; they outlive erasure so that nothing returns",
    "recalls": "message ids and times; the recall itself is a message",
    "consent": "events of the register, not of a message; they have a history of their own",
    "people": "the directory, not messages",
    "rooms": "groups and what they were called, not messages",
    "memberships": "who was in which group",
    "departments": "departments and what they were called",
    "follows": "who serves whom",
    "handovers": "who passed a customer to whom",
    "seats": "who had a seat on a day",
    "behaviour": "counts of a member and day",
    "runs": "counts",
    "scans": "months, versions and counts",
    "matters": "what matters are called and why they were opened; no message",
    "identities": "the firm's own numbers of a person, by external id; no message",
    "reviews": "decisions about findings and the reviewers' reasons; findings by id",
    "acks": "reasons of officers",
    "gaps": "numbers and times; counts of messages that are not there",
    "hidden": "which records are out of every view before their rows are moved",
    "reconciles": "numbers of files and versions",
    "holds": "whom a hold covers, by whom and why",
    "consent_asks": "when consent was asked of whom",
    "notices": "digests of notices and who was shown them",
}
# Folders of a home that hold no message, and why.
CONTENT_FREE_FOLDERS: Mapping[str, str] = {
    "keys": "keys, wrapped",
    "approvals": "who asked a second person for what, sealed; ids and counts, no message",
    "anchors": "numbers, times and digests",
    "evidence": "hashes of commitments, signed checkpoints",
    "custody": "who did what; parameters sealed, droppable line by line",
    "lexicon": "the firm's own word lists, encrypted",
    "callbacks": "events about people and rooms, encrypted, until they are taken over; no message",
    "source": "sequence numbers and times",
    "metrics": "numbers and times",
    "matching": "numbers: up to which record the findings over several messages were looked for",
    "retention": "how long what is kept, and days of events of customers, sealed; no message",
    "register": "times and statuses by keyed digests of scopes; made again from the lake",
    "locks": "empty files, and when something went out of view",
}


def purge(home: Home, corp_id: str, keys: Keys) -> dict[str, int]:
    """Take the records out of every store; return how many rows or pages each store lost."""
    lost = {name: _again(store, home, corp_id, keys) for name, store in REGISTRY.items()}
    purges.run(home, corp_id, at_once=True)
    return lost


def _again(store: Callable[[Home, str, Keys], int], home: Home, corp_id: str, keys: Keys) -> int:
    """Ask a store as often as somebody else tidies up under its hands."""
    for _ in range(turns.TRIES - 1):
        with suppress(durable.Vanished):
            return store(home, corp_id, keys)
    return store(home, corp_id, keys)


def _purge_staging(home: Home, corp_id: str, keys: Keys) -> int:
    """Discard manifests that hold any of them: their pages are staged again, without."""
    wanted = set(keys)
    gone = []
    for path, manifest in manifests.staged(home, corp_id):
        origins = {p.ref.page: p.ref.origin for p in manifest.pages}
        if any((origins[page], o.seq) in wanted for page, rows in read_outline(home, manifest).items() if page in origins for o in rows):
            gone.append((path, manifest))
    manifests.discard(home, corp_id, gone)
    return len(gone)


def _purge_landing(home: Home, corp_id: str, keys: Keys) -> int:
    """Land pages that hold any of them again without, then remove the old ones."""
    touched = 0
    for ref in list(landing.waiting(home, corp_id)):
        seqs = {seq for origin, seq in keys if origin == ref.origin}
        rest = _import_without(home, ref, seqs) if ref.source == "plain" else _page_without(home, ref, seqs)
        if rest is None:
            continue
        touched += 1
        if rest:
            _land_again(home, ref, rest)
        durable.remove(Path(ref.uri))
    return touched


def _page_without(home: Home, ref: PageRef, seqs: set[int]) -> bytes | None:
    data = landing.body(home, ref)
    page, malformed = answers.read_page(ref, data)
    kept = [i.raw for i in page.items if i.seq not in seqs]
    if len(kept) == len(page.items):
        return None
    return answer_of([*kept, *(m.sealed for m in malformed if m.sealed)]) if kept or malformed else b""


def _import_without(home: Home, ref: PageRef, seqs: set[int]) -> bytes | None:
    records = msgspec.msgpack.decode(landing.body(home, ref), type=list[importing.PlainRecord])
    kept = [r for r in records if r.seq not in seqs]
    if len(kept) == len(records):
        return None
    return importing.encode(kept) if kept else b""


def _land_again(home: Home, ref: PageRef, data: bytes) -> None:
    if ref.source == "plain":
        records = msgspec.msgpack.decode(data, type=list[importing.PlainRecord])
        seqs = [r.seq for r in records if r.seq is not None]
        landing.put_import(home, ref.corp_id, data, name=ref.name, captured_at_ms=ref.captured_at_ms, seqs=seqs, records=len(records))
    else:
        landing.put(home, ref.corp_id, data, source=ref.source, name=ref.name, captured_at_ms=ref.captured_at_ms, pulled=landing.pulled_of(ref))


def _purge_lake(home: Home, corp_id: str, keys: Keys) -> int:
    lake, wanted = home.lake(corp_id), frozenset(keys)
    with turns.tries(home, corp_id) as tries:
        for _ in tries:
            snapshot = lake.snapshot()
            try:
                lost = _take_out(home, lake, snapshot, wanted)
            except CommitConflict:
                continue  # or others took files away meanwhile, and their key with them
            return lost
    raise AssertionError("unreachable")


def _take_out(home: Home, lake: Lake, snapshot: Snapshot, wanted: frozenset[tuple[str, int]]) -> int:
    """Commit the files of `snapshot` without the records; return how many rows went. Raises CommitConflict, and what reading raises."""
    made, lost = Change(home, lake, snapshot), 0
    try:
        for file in [f for kind in LAKE_KINDS for f in snapshot.of(kind)]:
            lost += made.without(file, wanted)
        noted = made.list_files()
        version = room.commit(home, lake, snapshot, made.adds, made.removes, what="purge")
    except CommitConflict:
        made.forget()
        raise
    except room.FAILURES as error:
        others = room.outrun(home, lake, snapshot, error, made.noted)
        made.forget()
        if others:
            raise CommitConflict from error
        raise
    purges.begin(home, lake.corp_id, noted, version=version)
    return lost


# In this order: files are told by rows of the lake, so they go before them.
REGISTRY: Mapping[str, Callable[[Home, str, Keys], int]] = {
    "staging": _purge_staging, "landing": _purge_landing, "media": media_store.purge, "lake": _purge_lake, "search": index.purge,
    "alerts": alert_queue.purge,
}  # fmt: skip
