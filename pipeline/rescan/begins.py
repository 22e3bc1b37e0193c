"""Which conversations could show something over several messages: most are ruled out before their messages become objects.

Before: ../match/, ../looked.py. After: stored.py (rows become turns), follow.py.

A finding over several messages (../match/context.py) needs in its conversation one of:
 (1) a message in which a rule with a context begins: what a run has just searched says so itself, other texts are searched for those
     rules alone, whoever said them;
 (2) a recall;
 (3) something over the border between two texts of one sender that follow each other closely: all such texts are searched as one.
What is ruled out here would have shown nothing; what stays is looked at as before.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Any, Literal

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from pipeline import pii
from pipeline.looked import Looked
from pipeline.match import screen
from pipeline.match.context import SPLIT_GAP_MS, Joined, chunks, join
from pipeline.match.judge import Approved
from pipeline.match.lexicon import Group, Lexicon, compile_packs
from pipeline.match.matching import examine_all
from pipeline.match.searching import Ground, Seen, search_again
from pipeline.records import Decision, Message, Part

BEGINS = "begins"
SLICE = 1_000  # messages searched as one
# Nobody knows who said it: every rule is asked.
_ANYBODY = Decision(fate="archived", consent="unknown", source="", rule="", reason="", lawful_basis=())

Mask = NDArray[np.bool_]


def promising(table: pa.Table, lexicon: Lexicon, approved: Approved | None, *, looked: Looked | None = None, version: str = "") -> pa.Table:
    """Return the rows of the conversations that could show something, and in the column `begins` where a rule with a context could begin.

    table: as `stored.read` gives it. looked, version: what the run has searched under the version that findings carry."""
    begins = _begins(table, lexicon, approved, looked or Looked(), version)
    marked = begins | _mask(pc.equal(table["kind"], "recall"))
    marked[_over_borders(table, lexicon)] = True
    ids = pc.unique(table["conversation_id"].filter(pa.array(marked)))
    return table.append_column(BEGINS, pa.array(begins)).filter(pc.is_in(table["conversation_id"], ids))


def _mask(values: pa.ChunkedArray) -> Mask:
    found: Mask = pc.fill_null(values, False).to_numpy()
    return found


def only_contexts(lexicon: Lexicon) -> Lexicon:
    """Return a lexicon of nothing but the live rules with a context."""
    wanted = {lexicon.rules[number].id for number in lexicon.contexts}
    packs = [msgspec.structs.replace(pack, rules=tuple(rule for rule in pack.rules if rule.id in wanted)) for pack in lexicon.packs]
    return compile_packs([pack for pack in packs if pack.rules], on=sorted(wanted))


def _begins(table: pa.Table, lexicon: Lexicon, approved: Approved | None, looked: Looked, version: str) -> Mask:
    """Return, row by row, whether a rule with a context could begin there. A hit that is excused counts: the rest asks about that."""
    begins, known = (_among(table, seqs) for seqs in (looked.begins(version), looked.seqs(version)))
    begins[~known] = _searched(table.filter(pa.array(~known)), lexicon, approved)
    return begins


def _among(table: pa.Table, seqs: Any) -> Mask:
    """Return, row by row, whether it is one of the records (origin → seqs)."""
    found: Mask = np.zeros(table.num_rows, np.bool_)
    for origin, numbers in seqs.items():
        mine = pc.is_in(table["seq"].cast(pa.uint64()), pa.array(np.frombuffer(numbers, np.uint64)))
        found |= _mask(pc.and_(mine, pc.equal(table["origin"], origin)))
    return found


def _searched(table: pa.Table, lexicon: Lexicon, approved: Approved | None) -> list[bool]:
    if not table.num_rows:
        return []
    few = only_contexts(lexicon)
    clear = _clear(table)
    parts = [Part("", text) for text in pc.struct_field(clear.values, "text").to_pylist()]
    ends = clear.offsets.to_pylist()
    times = _times(table).to_pylist()
    rows = zip(table["kind"].to_pylist(), table["msgtype"].to_pylist(), times, ends, ends[1:], strict=False)
    found: list[bool] = []
    while some := list(islice(rows, SLICE)):
        said = [(_message(kind, msgtype, at, parts[a:b]), _ANYBODY) for kind, msgtype, at, a, b in some]
        found += [bool(one.anchors) for one in examine_all(said, few, approved)]
    return found


def _clear(table: pa.Table) -> pa.ListArray:
    clear: pa.ListArray = pc.coalesce(table["parts_clear"], table["parts"]).combine_chunks()
    return clear


def _times(table: pa.Table) -> pa.ChunkedArray:
    return table["sent_at"].cast(pa.timestamp("ms", "UTC")).cast(pa.int64())


def _message(kind: Literal["message", "recall"], msgtype: str | None, at_ms: int | None, parts: list[Part]) -> Message:
    return Message(
        msgid="", kind=kind, action="", msgtype=msgtype or "", sender_id=None, recipient_ids=(), room_id=None, sent_at_ms=at_ms, text="", parts=tuple(parts)
    )


# -- over borders -------------------------------------------------------------------------------------------------------


def _over_borders(table: pa.Table, lexicon: Lexicon) -> list[int]:
    """Return rows, one of each run of texts that follow each other closely and in which something may lie over a border."""
    joined = list(_joined(table))
    suspects = screen.suspects(lexicon.groups, [one.text for one in joined])
    return [joined[at].pieces[0][0] for at, seen in suspects if any(map(_crosses, lexicon.groups, seen, [joined[at]] * len(seen)))]


def _crosses(group: Group, seen: Seen | None, joined: Joined) -> bool:
    """Whether a hit of a group lies over a border; one that a rule would pass over counts."""
    if seen is None:
        return True
    ground = Ground(0, joined.text, group, seen.base)
    for level, search, hits, matching in search_again(group, joined.text, seen):
        if level == "doubles":
            return True
        if level == "pii":
            places = [(place.start_cp, place.end_cp) for place in pii.places(joined.text, group.pii)]
        elif search is None:
            places = [ground.base.place(start, end) for _, spans in matching for start, end in spans]
        else:
            mapped = ground.level(level)
            places = [mapped.place(start, end) for _, start, end in hits]
        if any(joined.crosses(start, end) for start, end in places):
            return True
    return False


def _joined(table: pa.Table) -> Iterator[Joined]:
    """Yield the texts of a sender that follow each other closely in a conversation as they are searched (../match/context.py); its numbers are rows."""
    rows, first_of = _runs(table)
    if not len(rows):
        return
    clear = _clear(table)
    texts = pc.struct_field(clear.values, "text").take(pc.take(clear.offsets, pa.array(rows))).to_pylist()
    told = list(zip(rows.tolist(), texts, strict=True))
    for first, last in zip(first_of, [*first_of[1:], len(told)], strict=True):
        yield from (join(told[at] for at in chunk) for chunk in chunks(range(first, last)))


def _runs(table: pa.Table) -> tuple[NDArray[np.int64], list[int]]:
    """Return the rows of bubbles that follow each other closely, run by run in order of time, and where each run begins among them."""
    rows = np.flatnonzero(_bubbles(table))
    keys = [np.asarray(table[name].combine_chunks().dictionary_encode().indices.fill_null(-1))[rows].astype(np.int64) for name in ("conversation_id", "sender_id")]
    key = keys[0] * (int(keys[1].max(initial=0)) + 1) + keys[1]
    order = np.argsort(key, kind="stable")  # rows are in order of conversation, time, seq
    rows, key = rows[order], key[order]
    times = np.asarray(_times(table).fill_null(0))[rows]
    follows = (np.diff(key) == 0) & (np.diff(times) <= SPLIT_GAP_MS)
    linked = np.concatenate([follows, [False]]) | np.concatenate([[False], follows])
    starts = np.concatenate([[True], ~follows])[linked[: len(rows)]] if len(rows) else np.zeros(0, np.bool_)
    return rows[linked[: len(rows)]], np.flatnonzero(starts).tolist()


def _bubbles(table: pa.Table) -> Mask:
    """Return, row by row, whether it is a text that a known sender wrote at a known time, of one part and without a quotation."""
    quotes = pc.fill_null(pc.list_value_length(table["quotes"]), 0)
    told = pc.and_(pc.equal(table["kind"], "message"), pc.equal(table["msgtype"], "text"))
    single = pc.and_(pc.equal(pc.list_value_length(_clear(table)), 1), pc.equal(quotes, 0))
    known = pc.and_(pc.not_equal(table["sender_id"], ""), pc.is_valid(table["sent_at"]))
    return _mask(pc.and_(pc.and_(told, known), pc.and_(pa.chunked_array([single]) if isinstance(single, pa.Array) else single, pc.is_valid(table["sender_id"]))))
