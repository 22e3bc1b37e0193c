"""`consent explain MSGID`: one paragraph about one message: what became of it, by which rule, on which event, and what we knew when.

Before: reader-free: records, register and, for what is in view, the message's own row. After: the command.
Nothing here opens sealed or restricted bytes: what became of those is told from the decision that was kept. No content, no customer id.
"""

from __future__ import annotations

from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.dataset as ds

from pipeline import clock, words
from pipeline.consenting import fates
from pipeline.deltalog import Snapshot
from pipeline.errors import UsageError
from pipeline.home import Home
from pipeline.lake import Lake
from pipeline.pseudonyms import Pseudonyms
from pipeline.register import Event, Register, scope_of
from pipeline.words import Lang
from pipeline.workbench import Workbench

Row = dict[str, Any]


class Explained(msgspec.Struct, frozen=True, kw_only=True):
    """What is known about a record. message: its archived row, None when it is not in view; event: what the decision rests on; gone: it rests
    on one that is not in the register any more."""

    history: tuple[Row, ...]
    message: Row | None
    event: Event | None
    policy: str
    gone: bool = False

    @property
    def now(self) -> Row:
        """The row that counts."""
        return self.history[-1]


def gather(home: Home, corp_id: str, msgid: str) -> list[Explained]:
    """Return what is known about every record of this msgid, first settled first; raises UsageError MSGID_UNKNOWN."""
    lake = home.lake(corp_id)
    bench = Workbench(home, corp_id, lake.snapshot())
    fp = bench.builder().fingerprint("msgid", msgid.encode("utf-8", "surrogatepass"))
    where = ds.field("msgid_fp") == pa.scalar(fp, pa.binary())
    found = lake.read("records", bench.snapshot.of("records"), columns=["origin", "seq", "variant"], where=where).to_pylist()
    keys = {(r["origin"], r["seq"]) for r in found if r["seq"] is not None}
    known = {k: rows for k, rows in fates.histories(lake, bench.snapshot, keys).items() if rows[-1]["msgid_fp"] == fp}
    if not known:
        raise UsageError("MSGID_UNKNOWN", "no record of this msgid was ever settled here", remedy="check the msgid; `liuhen status` shows what waits")
    return [_explained(home, lake, bench, rows) for _, rows in sorted(known.items(), key=lambda kv: kv[1][0]["leaf"])]


def _explained(home: Home, lake: Lake, bench: Workbench, rows: list[Row]) -> Explained:
    now = rows[-1]
    message = _message(lake, bench.snapshot, now) if now["fate"] == "archived" else None
    event = next((e for e in bench.events if e.event_id == message["consent_event"]), None) if message is not None else _deciding(home, bench, now)
    told = message["consent_event"] if message is not None else now["event_ref"]
    return Explained(history=tuple(rows), message=message, event=event, policy=bench.policy.version, gone=told is not None and event is None)


def _message(lake: Lake, snapshot: Snapshot, row: Row) -> Row | None:
    month = clock.month_of_day(row["dt"])
    columns = ["origin", "seq", "sent_at", "consent", "consent_source", "consent_rule", "consent_event", "lawful_basis", "register_version", "policy_version"]
    where = (ds.field("seq") == pa.scalar(row["seq"], pa.uint64())) & (ds.field("origin") == row["origin"])
    found = fates.in_ms(lake.read("messages", snapshot.of("messages", months=[month]), columns=columns, where=where)).to_pylist()
    return found[0] if found else None


def _deciding(home: Home, bench: Workbench, row: Row) -> Event | None:
    """Return the event that a decision without content rests on, by its keyed name; of a row that is older than these names by its scope and day."""
    names = Pseudonyms(home, bench.corp_id)
    if row["event_ref"] is not None:
        return next((e for e in bench.events if names.event_ref(e.event_id) == row["event_ref"]), None)
    if row["scope_ref"] is None or row["rule"] not in ("2", "3"):
        return None
    scopes = dict.fromkeys(scope_of(e) for e in bench.events if e.undoes is None)
    scope = next((s for s in scopes if names.scope_ref(s) == row["scope_ref"]), None)
    return None if scope is None else _event_of(bench.register, bench.events, scope, row)


def _event_of(register: Register, events: list[Event], scope: str, row: Row) -> Event | None:
    wanted = "pending" if row["rule"] == "2" or row["reason"] == "unknown_status" else "refused"
    end_of_day = None if row["dt"] is None else (row["dt"] + 1) * clock.DAY_MS - 8 * 3_600_000
    states = [s for s in register.timeline(scope) if s.status == wanted]
    in_time = [s for s in states if row["reason"] == "withdrawn" or s.since_ms is None or end_of_day is None or s.since_ms < end_of_day]
    chosen = in_time[-1].event_id if in_time else None
    return next((e for e in events if e.event_id == chosen), None)


# -- in words ----------------------------------------------------------------------------------------------------------


def paragraph(found: Explained, lang: Lang) -> str:
    """Return the paragraph."""
    now = found.now
    said = [words.say(f"explain.{_kind(now)}", lang, seq=now["seq"], fate=words.label("fate", now["fate"], lang), settled=words.beijing(now["settled_at"], lang))]
    said.append(words.say("explain.why", lang, why=_why(found, lang)))
    if found.event is not None:
        said.append(_event(found.event, lang))
    elif found.gone:
        said.append(words.say("explain.event_gone", lang))
    rule = found.message["consent_rule"] if found.message is not None else now["rule"]
    policy = found.message["policy_version"] if found.message is not None else now["policy_version"] or found.policy
    if rule is not None:
        said.append(words.say("explain.basis", lang, rule=rule, register=now["register_version"], policy=policy[:12]))
    if found.message is not None and found.message["lawful_basis"]:
        said.append(words.say("explain.lawful", lang, basis=words.say("list.join", lang).join(words.label("lawful_basis", b, lang) for b in found.message["lawful_basis"])))
    if now["fate"] == "withheld" and now["keep_until"] is not None:
        said.append(words.say("explain.until", lang, until=words.beijing(now["keep_until"], lang)))
    if len(found.history) > 1:
        steps = [f"{words.label('fate', r['fate'], lang)} {words.beijing(r['settled_at'], lang)}" for r in found.history]
        said.append(words.say("explain.before", lang, steps=" → ".join(steps)))
    return ("" if lang == "zh" else " ").join(said)


def _kind(row: Row) -> str:
    return row["fate"] if row["fate"] in ("archived", "pending", "withheld", "restricted") else "other"


def _why(found: Explained, lang: Lang) -> str:
    if found.message is not None:
        source = found.message["consent_source"]
        key = "policy" if source.startswith("policy:") else "officer" if source.startswith("officer:") else source if source in ("directory", "original") else "event"
        return words.say(f"explain.kept.{key}", lang, consent=words.label("consent", found.message["consent"], lang), source=words.label("consent_source", source, lang))
    return words.label("explain.reason", found.now["reason"], lang) or str(found.now["code"] or "")


def _event(event: Event, lang: Lang) -> str:
    return words.say(
        "explain.event", lang, source=words.label("consent_origin", event.source, lang), status=words.label("consent_status", event.status, lang),
        at=words.beijing(event.changed_at_ms, lang), precision=words.label("precision", event.precision, lang),
        recorded=words.beijing(event.recorded_at_ms, lang), event=event.event_id[:12],
    )  # fmt: skip
