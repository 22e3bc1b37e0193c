"""New talk while the double runs: ordinary lines of the same people, and messages typed by who asks for them.

Before: demo/talks.py. After: simulator.py.
"""

from __future__ import annotations

import random
from typing import Any

import msgspec
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

from pipeline.demo import chatter, faults, generate, messages
from pipeline.demo.media import new_file
from pipeline.demo.messages import Body
from pipeline.demo.story import Fate, Plan, Record
from pipeline.demo.talks import Draft, World

LEAD_IN_MS = 300_000
SHORTEST = 12  # characters of encrypt_chat_msg that end the vendor library's process
POISON = "POISON"


class Said(msgspec.Struct, kw_only=True, forbid_unknown_fields=True, rename={"sender": "from"}):
    """A message that somebody typed. file: the size in bytes of a document to attach instead of the words; type: `text` or any type with `body`."""

    sender: str
    to: tuple[str, ...]
    roomid: str = ""
    text: str = ""
    file: int | None = None
    type: str = "text"
    body: dict[str, Any] | None = None


class Growth:
    """Makes drafts; the same seed and the same requests make the same words and ids."""

    def __init__(self, plan: Plan) -> None:
        self._world = World(random.Random(f"{plan.seed}/growth"), plan.firm, plan.calendar)

    def talk(self, count: int, from_ms: int, to_ms: int) -> list[Draft]:
        """Return exactly `count` messages of ordinary talk that arrive from `from_ms` on, in the order of arrival."""
        world, drafts = self._world, list[Draft]()
        every = chatter.talks()
        while len(drafts) < count:
            talk = world.rng.choice(every)
            start = from_ms - LEAD_IN_MS if to_ms <= from_ms else world.rng.randrange(from_ms, to_ms)
            drafts += world.perform(talk.turns, world.cast(talk.at, talk.on), start, quick=True)
        return sorted(drafts[:count], key=lambda d: d.arrival_ms)

    def said(self, said: Said, at_ms: int) -> Draft:
        """Return the message that somebody typed, at this moment."""
        world = self._world
        body = Body(msgtype=said.type, fields={said.type: said.body if said.body is not None else {"content": said.text}})
        if said.file is not None:
            file = new_file(world.rng, "file", size=said.file)
            told = {"filename": "演示文件（DEMO）.pdf", "fileext": "pdf", "sdkfileid": file.sdkfileid, "md5sum": file.md5, "filesize": file.size}
            body = Body(msgtype="file", fields={"file": told})
        return Draft(
            msgid=world.msgid(at_ms, (said.sender, *said.to)), sent_ms=at_ms, arrival_ms=at_ms, sender=said.sender, written_sender=said.sender,
            tolist=said.to, room_id=said.roomid, body=body,
        )  # fmt: skip

    def decided(self, kind: str, external_userid: str, others: tuple[str, ...], room_id: str, at_ms: int) -> Draft:
        """Return the record of a customer's decision (`agree` or `disagree`)."""
        return Draft(
            msgid=self._world.msgid(at_ms, (external_userid, *others)), sent_ms=at_ms, arrival_ms=at_ms, sender=external_userid,
            written_sender=external_userid, tolist=others, room_id=room_id, body=messages.decision(kind, external_userid, at_ms), role="decision",
        )  # fmt: skip


def record_of(draft: Draft, *, seq: int, version: int, fault: str = "") -> Record:
    """Return a draft in its place in the sequence; fault: a failure code of demo/faults.py, or POISON."""
    fate: Fate = "control" if draft.role == "decision" else "failed" if fault else "archived"
    msgid = f"9{draft.msgid}" if fault == "MSGID_MISMATCH" else draft.msgid
    return Record(
        seq=seq, msgid=msgid, key_version=version, plaintext=faults.plaintext(draft.as_message(), fault), draft=draft,
        fate=fate, fate_later=fate, code=fault,
    )  # fmt: skip


def sealed(record: Record, public_key: RSAPublicKey) -> bytes:
    """Return a record's JSON as a page carries it; a poisoned one is cut so short that it ends the vendor library's process."""
    if record.code != POISON:
        return generate.seal(record, public_key)
    fields: dict[str, Any] = msgspec.json.decode(generate.seal(record, public_key))
    fields["encrypt_chat_msg"] = fields["encrypt_chat_msg"][:SHORTEST]
    return msgspec.json.encode(fields)
