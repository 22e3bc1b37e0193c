"""Which conversations could show something over several messages: most are ruled out before their messages become objects.

Before: ../match/. After: stored.py (rows become turns), follow.py.

A finding over several messages (../match/context.py) needs in its conversation one of:
 (1) a message in which a rule with a context begins: texts are searched for those rules alone, whoever said them;
 (2) a recall;
 (3) two texts of one sender that follow each other closely.
What is ruled out here would have shown nothing; what stays is looked at as before.
"""

from __future__ import annotations

from itertools import islice
from typing import Literal

import msgspec
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.match.context import SPLIT_GAP_MS
from pipeline.match.judge import Approved
from pipeline.match.lexicon import Lexicon, compile_packs
from pipeline.match.matching import examine_all
from pipeline.records import Decision, Message, Part

BEGINS = "begins"
SLICE = 1_000  # messages searched as one
# Nobody knows who said it: every rule is asked.
_ANYBODY = Decision(fate="archived", consent="unknown", source="", rule="", reason="", lawful_basis=())


def promising(table: pa.Table, lexicon: Lexicon, approved: Approved | None) -> pa.Table:
    """Return the rows of the conversations that could show something, and in the column `begins` where a rule with a context could begin.

    table: as `stored.read` gives it."""
    begins = pa.array(_begins(table, lexicon, approved), pa.bool_())
    marked = pc.or_(begins, pc.or_(pc.equal(table["kind"], "recall"), _follows_closely(table)))
    ids = pc.unique(table["conversation_id"].filter(marked))
    return table.append_column(BEGINS, begins).filter(pc.is_in(table["conversation_id"], ids))


def only_contexts(lexicon: Lexicon) -> Lexicon:
    """Return a lexicon of nothing but the live rules with a context."""
    wanted = {lexicon.rules[number].id for number in lexicon.contexts}
    packs = [msgspec.structs.replace(pack, rules=tuple(rule for rule in pack.rules if rule.id in wanted)) for pack in lexicon.packs]
    return compile_packs([pack for pack in packs if pack.rules], on=sorted(wanted))


def _begins(table: pa.Table, lexicon: Lexicon, approved: Approved | None) -> list[bool]:
    """Return, row by row, whether a rule with a context could begin there. A hit that is excused counts: the rest asks about that."""
    few = only_contexts(lexicon)
    clear: pa.ListArray = pc.coalesce(table["parts_clear"], table["parts"]).combine_chunks()
    parts = [Part("", text) for text in pc.struct_field(clear.values, "text").to_pylist()]
    ends = clear.offsets.to_pylist()
    times = table["sent_at"].cast(pa.timestamp("ms", "UTC")).cast(pa.int64()).to_pylist()
    rows = zip(table["kind"].to_pylist(), table["msgtype"].to_pylist(), times, ends, ends[1:], strict=False)
    found: list[bool] = []
    while some := list(islice(rows, SLICE)):
        said = [(_message(kind, msgtype, at, parts[a:b]), _ANYBODY) for kind, msgtype, at, a, b in some]
        found += [bool(one.anchors) for one in examine_all(said, few, approved)]
    return found


def _message(kind: Literal["message", "recall"], msgtype: str | None, at_ms: int | None, parts: list[Part]) -> Message:
    return Message(
        msgid="", kind=kind, action="", msgtype=msgtype or "", sender_id=None, recipient_ids=(), room_id=None, sent_at_ms=at_ms, text="", parts=tuple(parts)
    )


def _follows_closely(table: pa.Table) -> pa.Array:
    """Return, row by row, whether it is a text that its sender wrote soon after another one in the same conversation."""
    texts = pc.fill_null(pc.and_(pc.equal(table["kind"], "message"), pc.equal(table["msgtype"], "text")), False)
    keys = pa.table({
        "row": pa.array(range(table.num_rows), pa.int64()), "conversation": table["conversation_id"], "sender": table["sender_id"],
        "at": table["sent_at"].cast(pa.timestamp("ms", "UTC")).cast(pa.int64()),
    }).filter(pc.and_(texts, pc.is_valid(table["sent_at"])))  # fmt: skip
    ordered = keys.sort_by([(name, "ascending") for name in ("conversation", "sender", "at")]).combine_chunks()
    before, after = ordered.slice(0, max(0, len(ordered) - 1)), ordered.slice(1)
    same = pc.and_(pc.equal(before["conversation"], after["conversation"]), pc.equal(before["sender"], after["sender"]))
    close = pc.and_(pc.fill_null(same, False), pc.less_equal(pc.subtract(after["at"], before["at"]), SPLIT_GAP_MS))
    return pc.is_in(pa.array(range(table.num_rows), pa.int64()), after["row"].filter(close).combine_chunks())
