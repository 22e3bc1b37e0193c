"""All of it together: a made-up corp whose people talk, decide, come and go, and whose platform answers.

Before: made.py, growth.py, stream.py, vault.py, keys.py, callbacks.py. After: routes.py, admin.py, server.py.

Rules:
1. The truth is written before anything is sealed: truth.json (counts), records.jsonl (a line a record), both in the folder.
2. What the plan tells has arrived when the double starts: arrivals keep their distances, the last one is a moment old, so that all lies
   inside five days.
3. One lock: every answer is of one moment.
"""

from __future__ import annotations

import hashlib
import random
import threading
from base64 import b64encode
from collections.abc import Callable, Sequence
from datetime import date
from pathlib import Path
from typing import Literal

import msgspec

from pipeline.demo import faults as broken
from pipeline.demo import generate, story, truth
from pipeline.demo.firm import directory_lines
from pipeline.demo.story import Plan, Record
from pipeline.demo.talks import Draft
from pipeline.simulate import book, events, growth, made
from pipeline.simulate.callbacks import Sender, Target
from pipeline.simulate.campaigns import Counts
from pipeline.simulate.chat import Chat
from pipeline.simulate.corp import Agreement, Corp, Gone, Member, Scope, Seat
from pipeline.simulate.exchange import Refused
from pipeline.simulate.faults import Faults
from pipeline.simulate.growth import Growth, Said
from pipeline.simulate.keys import CorpKeys
from pipeline.simulate.stream import DAY_MS, Sealed, Stream
from pipeline.simulate.timepiece import Timepiece
from pipeline.simulate.tokens import Holder, Tokens
from pipeline.simulate.vault import Vault

BOOK = "records.jsonl"
SECRETS = "secrets"
Progress = Callable[[int, int], None]
Decision = Literal["Agree", "Disagree"]


class Setting(msgspec.Struct, frozen=True, kw_only=True):
    """What a double is made of. window_days: how long records can be fetched; callback_url: where events go, "" for nowhere; echo_s: how long
    the check of that URL waits (the platform: a second)."""

    folder: Path
    end_day: date
    messages: int = 2_000
    seed: int = 1
    corp_id: str = generate.CORP_ID
    window_days: float = 5.0
    token_life_s: int = 7_200
    callback_url: str = ""
    notice_every_s: float = 15.0
    retry_pause_s: float = 1.0
    echo_s: float = 1.0


class Simulator:
    """The double, without HTTP. `lock` is held while an answer is made."""

    def __init__(self, setting: Setting, *, clock: Timepiece | None = None, keys: generate.Keys | None = None, progress: Progress | None = None) -> None:
        self.setting = setting
        self.clock = clock or Timepiece()
        self.lock = threading.RLock()
        self.plan = story.plan(setting.messages, seed=setting.seed, corp_id=setting.corp_id, end_day=setting.end_day)
        self.corp: Corp = made.corp_of(self.plan)
        self.faults = Faults()
        self.stream = Stream(window_ms=int(setting.window_days * DAY_MS))
        self.vault = Vault()
        self.chat = Chat(self.stream, self.vault)
        self.counts = Counts()
        self.secrets: dict[Holder, str] = {"archive": _secret(setting, "archive"), "contacts": _secret(setting, "contacts")}
        self.tokens = Tokens(setting.corp_id, self.secrets, seed=setting.seed, life_s=setting.token_life_s)
        self.callback = Target(
            url=setting.callback_url, token=_secret(setting, "token")[:20], encoding_aes_key=_aes_key(setting), corp_id=setting.corp_id
        )
        self._growth = Growth(self.plan)
        self.truth = self._write_truth()
        self._keys = CorpKeys(setting.folder, keys if keys is not None else generate.make_keys(setting.folder))
        self._take_in(self.plan, progress)
        self.sender: Sender | None = None
        if setting.callback_url:
            self.sender = Sender(
                self.callback, self.clock.now, notice_every_s=setting.notice_every_s, pause_s=setting.retry_pause_s, echo_s=setting.echo_s
            )

    # --- how it begins ---

    def _write_truth(self) -> truth.Truth:
        folder = self.setting.folder
        for name in ("keys", "late-key", SECRETS):
            (folder / name).mkdir(parents=True, exist_ok=True, mode=0o700)
        told = truth.tell(self.plan, [], generate.key_truths(self.plan))
        (folder / "truth.json").write_bytes(msgspec.json.format(msgspec.json.encode(told), indent=1))
        generate.write_lines(folder / "directory.jsonl", directory_lines(self.plan.firm, self.plan.calendar))
        generate.write_lines(folder / "consent.jsonl", self.plan.consent_lines)
        shared = (("callback-token", self.callback.token), ("callback-aes-key", self.callback.encoding_aes_key))
        for name, value in (*self.secrets.items(), *shared):
            generate.write_secret(folder / SECRETS / name, value.encode())
        return told

    def _take_in(self, plan: Plan, progress: Progress | None) -> None:
        """Write the book, seal every record, and let it have arrived (rule 2)."""
        records = plan.records
        shift = self.clock.now() - max(r.draft.arrival_ms for r in records)
        self._settle([(r, r.draft.arrival_ms + shift) for r in records], live=False, progress=progress)

    def _settle(self, placed: Sequence[tuple[Record, int]], *, live: bool, progress: Progress | None = None) -> None:
        """Write the truth about records (each with its arrival), then seal and serve them."""
        book.append(self.setting.folder / BOOK, (book.line(r, landed, live=live) for r, landed in placed))
        for done, (record, landed_ms) in enumerate(placed, 1):
            item = growth.sealed(record, self._keys.public(record.key_version))
            self.stream.add([Sealed(record.seq, landed_ms, item)])
            for _, fileid in truth.files_in(record.draft.body.fields):
                self.vault.add(fileid, landed_ms)
            if progress is not None and (done % generate.STEP == 0 or done == len(placed)):
                progress(done, len(placed))
        self.counts.add((r.draft for r, _ in placed), self.plan.firm.externals)

    # --- people talk ---

    def grow(self, count: int, *, over_ms: int = 0, fault: str = "") -> list[int]:
        """Let people say `count` more messages, spread over the coming `over_ms`, and return their seqs; fault: all of them broken so."""
        if fault not in ("", growth.POISON, *broken.RECORD_FAULTS):
            raise Refused(40058)
        with self.lock:
            now = self.clock.now()
            drafts = self._growth.talk(count, now, now + over_ms)
            if fault:
                drafts = [d for d in drafts if broken.fits(d.as_message(), fault)]
            return self._arrive(drafts, fault=fault)

    def say(self, said: Said) -> int:
        """Let somebody say something; return its seq."""
        with self.lock:
            return self._arrive([self._growth.said(said, self.clock.now())])[0]

    def _arrive(self, drafts: Sequence[Draft], *, fault: str = "") -> list[int]:
        now, first = self.clock.now(), self.stream.last_seq + 1
        version = self._keys.newest
        records = [growth.record_of(d, seq=first + n, version=version, fault=fault) for n, d in enumerate(drafts)]
        self._settle([(r, max(r.draft.arrival_ms, now)) for r in records], live=True)
        if records:
            self._notify()
        return [r.seq for r in records]

    def _notify(self) -> None:
        if self.sender is not None:
            self.sender.notice(events.NEW_MESSAGES, events.event_xml(self.corp.corp_id, events.NEW_MESSAGES, self.second))

    def _event(self, name: str, xml: bytes) -> None:
        if self.sender is not None:
            self.sender.send(name, xml)

    @property
    def second(self) -> int:
        """The double's time in seconds."""
        return self.clock.now() // 1000

    # --- keys ---

    @property
    def newest_key(self) -> int:
        """The key version that seals now."""
        return self._keys.newest

    def rotate(self) -> tuple[int, Path]:
        """Upload a new key: from now on it seals. Return its version and the file of its private half."""
        with self.lock:
            path = self._keys.rotate()
            return self._keys.newest, path

    # --- customers decide ---

    def decide(self, scope: Scope, status: Decision, *, quietly: bool = False) -> None:
        """A customer agrees or refuses now: the scope stands so, a record tells it, and WeCom's event (agreement in a single chat).

        quietly: only the calls know."""
        with self.lock:
            self.corp.agreements[scope] = Agreement(status, self.second)
            if quietly:
                return
            room = self.corp.rooms.get(scope.room_id)
            member = self.corp.member(scope.userid)
            others = tuple(s.userid for s in room.seats if s.userid != scope.external_userid) if room else (member.userid if member else scope.userid,)
            draft = self._growth.decided("agree" if status == "Agree" else "disagree", scope.external_userid, others, scope.room_id, self.clock.now())
            self._arrive([draft])
            if status == "Agree" and not scope.room_id:
                self._event("msg_audit_approved", events.approved(self.corp.corp_id, others[0], scope.external_userid, self.second))

    # --- people come and go ---

    def leave(self, userid: str) -> None:
        """An employee leaves: 60111 from now on, no seat, no contacts of their own."""
        with self.lock:
            member = self._member(userid)
            del self.corp.members[member.userid.lower()]
            self.corp.gone[member.userid.lower()] = Gone(member.userid, self.second)
            self.corp.follows = {place: f for place, f in self.corp.follows.items() if place[0] != member.userid.lower()}
            self.unseat(member.userid)
            self._event(events.MEMBER, events.member_changed(self.corp.corp_id, "delete_user", member.userid, self.second))

    def change_member(self, userid: str, changes: dict[str, object]) -> None:
        """Change fields of an employee (name, alias, department, position, external_position, status)."""
        with self.lock:
            member = self._member(userid)
            self.corp.members[member.userid.lower()] = msgspec.convert({**msgspec.to_builtins(member), **changes}, type(member))
            self._event(events.MEMBER, events.member_changed(self.corp.corp_id, "update_user", member.userid, self.second))

    def _member(self, userid: str) -> Member:
        member = self.corp.member(userid)
        if member is None:
            raise Refused(60111)
        return member

    def unseat(self, userid: str) -> None:
        """Take an employee's seats of every edition: from now on silently not archived by the list."""
        with self.lock:
            self.corp.permitted = {e: [u for u in ids if u.lower() != userid.lower()] for e, ids in self.corp.permitted.items()}

    def seat(self, userid: str, editions: Sequence[int]) -> None:
        """Give an employee seats of these editions."""
        with self.lock:
            for edition in editions:
                ids = self.corp.permitted.setdefault(edition, [])
                if userid.lower() not in (u.lower() for u in ids):
                    ids.append(userid)

    def unfollow(self, userid: str, external_userid: str, *, by_customer: bool) -> None:
        """End a contact; who ended it is in the event: del_follow_user (the customer) or del_external_contact (the employee)."""
        with self.lock:
            if self.corp.follows.pop((userid.lower(), external_userid), None) is None:
                raise Refused(84061)
            change = "del_follow_user" if by_customer else "del_external_contact"
            self._event(events.CUSTOMER, events.contact_changed(self.corp.corp_id, change, userid, external_userid, self.second))

    def change_follow(self, userid: str, external_userid: str, changes: dict[str, object]) -> None:
        """Change what an employee wrote about a customer (remark, description, state, tags)."""
        with self.lock:
            follow = self.corp.follows.get((userid.lower(), external_userid))
            if follow is None:
                raise Refused(84061)
            place = (userid.lower(), external_userid)
            self.corp.follows[place] = msgspec.convert({**msgspec.to_builtins(follow), **changes}, type(follow))
            self._event(events.CUSTOMER, events.contact_changed(self.corp.corp_id, "edit_external_contact", userid, external_userid, self.second))

    def change_room(self, room_id: str, *, add: Sequence[str] = (), remove: Sequence[str] = (), name: str = "", owner: str = "") -> None:
        """Change a room's members, name or owner."""
        with self.lock:
            room = self.corp.rooms.get(room_id)
            if room is None:
                raise Refused(40050)
            room.seats = [s for s in room.seats if s.userid not in remove]
            room.seats += [Seat(u, 2 if u in self.plan.firm.externals else 1, self.second, room.owner) for u in add]
            room.name, room.owner = name or room.name, owner or room.owner
            room.version += 1
            changed = {"add_member": list(add), "del_member": list(remove)}
            for detail, people in changed.items():
                if people:
                    self._event(events.CUSTOMER_ROOM, events.room_changed(self.corp.corp_id, room_id, detail, people, self.second))
            for detail, value in (("change_name", name), ("change_owner", owner)):
                if value:
                    self._event(events.CUSTOMER_ROOM, events.room_changed(self.corp.corp_id, room_id, detail, [], self.second))

    def close(self) -> None:
        """End the thread that sends."""
        if self.sender is not None:
            self.sender.close()


def _secret(setting: Setting, what: str) -> str:
    """A secret that follows from the seed: whoever may reach the double may know it."""
    return f"DEMO{hashlib.sha256(f'{setting.seed}/{setting.corp_id}/{what}'.encode()).hexdigest()[:39]}"


def _aes_key(setting: Setting) -> str:
    return b64encode(random.Random(f"{setting.seed}/aes").randbytes(32)).decode().rstrip("=")
