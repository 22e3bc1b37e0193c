"""The redacted set: the same records at the same positions, people who are not parties under pseudonyms, personal data as its class.

Before: bundle.py (gathered), rules.py. After: bundle.py (written), leaks.py (looked through again).

Rules:
 (1) masked in the record, before anything is written from it; pages and tables are made from the masked records only.
 (2) parties: the customer or employee asked for, the two of a conversation asked for, the employees who spoke with the customer alone, and
     whom the preparer names. Everybody else has a pseudonym, stable inside a matter and another in the next one: it is keyed by both.
 (3) a group of fields in which nothing was masked stays open; of a masked one only the digest is in its proof. With salt and fields
     (they are in the full set) a court opens that group beside the others, which stay closed.
 (4) sealed and opened bytes, files, names of files, consent of others, and the custody log (it names the firm's staff) are left out.
 (5) every mask is in the log: record, path, code points of the original, class, what stands there, why, who decided, and the digest of
     the group, which commits to what is hidden.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from pipeline import leaf, pii
from pipeline.evidence.gathered import Bundle
from pipeline.evidence.records import Told
from pipeline.evidence.redaction.rules import Place, Rules, masked
from pipeline.evidence.spool import Spool
from pipeline.pseudonyms import Pseudonyms
from pipeline.reader import Reader
from pipeline.words import say

_SHOWN = {"employee": "colleague", "external": "customer", "robot": "robot"}


_Masks = list[dict[str, Any]]


class Choices(msgspec.Struct, frozen=True, kw_only=True):
    """What the preparer decided. parties: further ids that stay; chosen: words that go; keep: classes that stay, with the reason."""

    parties: tuple[str, ...] = ()
    chosen: tuple[str, ...] = ()
    keep: tuple[str, ...] = ()
    reason: str = ""
    approver: str = ""


class Redacted(msgspec.Struct, frozen=True, kw_only=True):
    """A redacted set, and every value that must be found nowhere in it."""

    bundle: Bundle
    values: frozenset[str]


def redacted(reader: Reader, full: Bundle, choices: Choices) -> Redacted:
    """Return the redacted set of a bundle."""
    return _Redaction(reader, full, choices).made()


def parties(full: Bundle, further: Iterable[str] = ()) -> frozenset[str]:
    """Return the ids that stay (rule 2)."""
    asked = full.scope.asked
    known = {*further, asked.get("customer", ""), asked.get("employee", "")}
    if "conversation" in asked and asked["conversation"].count("|") == 1:
        known |= set(asked["conversation"].split("|"))
    if "customer" in asked:
        for told in full.told:
            pair = {told.line["sender_id"], *told.line["recipient_ids"]}
            if told.line["room_id"] is None and len(pair) == 2 and asked["customer"] in pair:
                known |= pair
    return frozenset(k for k in known if k)


class _Redaction:
    def __init__(self, reader: Reader, full: Bundle, choices: Choices) -> None:
        self.full, self.choices = full, choices
        self.stay = {p.lower() for p in parties(full, choices.parties)}
        self.keyed = Pseudonyms(reader.home, reader.corp_id)
        self.kinds: dict[str | None, str] = {}
        self.here: set[str] = set()
        for line in (t.line for t in full.told):
            self.kinds[line["sender_id"]] = line["sender_kind"]
            self.here.update(i for i in (line["sender_id"], *line["recipient_ids"]) if i)
        self.kinds |= {r["userid"]: r["kind"] for r in full.people}
        self.shown: dict[str, str] = {}
        self.values: set[str] = set()
        self.folder = reader.home.path
        self.log = Spool(self.folder, dict[str, Any])
        policies = pii.compiled(reader.home.config.pii.policy_patterns)
        self.rules = Rules(names=self._names(), chosen=choices.chosen, policies=policies, keep=choices.keep)

    def person(self, userid: str) -> str:
        """Return a party's id as it is, anybody else's pseudonym (rule 2)."""
        if not userid or userid.lower() in self.stay:
            return userid
        if userid not in self.shown:
            name = self.keyed.of("person", f"case\0{self.full.matter.matter}\0{userid.lower()}").hex()[:8]
            kind = _SHOWN.get(self.kinds.get(userid) or "", "person")
            self.shown[userid] = f"{say(f'mask.{kind}', 'zh')}-{name}"
            self.values.add(userid)
        return self.shown[userid]

    def _names(self) -> dict[str, str]:
        """Return {name or id: pseudonym} of the firm's people and of everybody in these conversations, without the parties."""
        here = self.here
        others = [r for r in self.full.people if r["userid"].lower() not in self.stay and (r["kind"] == "employee" or r["userid"] in here)]
        own = {r[k] for r in self.full.people if r["userid"].lower() in self.stay for k in ("name", "alias") if r[k]}
        names = {r[k]: self.person(r["userid"]) for r in others for k in ("name", "alias") if r[k] and r[k] not in own}
        self.values |= {r["name"] for r in others if r["userid"] in here and r["name"] and r["name"] not in own}
        return names | {i: self.person(i) for i in sorted(here) if i.lower() not in self.stay}

    def conversation(self, conversation_id: str) -> str:
        """Return a conversation's id with its people as they are shown."""
        return "|".join(sorted(map(self.person, conversation_id.split("|")))) if "|" in conversation_id else conversation_id

    def text(self, text: str | None) -> str | None:
        """Return a text of ours (a title, a query) masked, outside the log."""
        if text is None:
            return None
        places = self.rules.places(text)
        self._hidden(text, places)
        return masked(text, places)

    def _hidden(self, text: str, places: list[Place]) -> None:
        self.values |= {text[p.start_cp : p.end_cp] for p in places}

    def made(self) -> Redacted:
        full = self.full
        told = Spool(self.folder, Told)
        for one in full.told:
            told.append(self.told(one))
        coverage = self._coverage(full.coverage)
        bundle = msgspec.structs.replace(
            full, told=told, coverage=coverage, accounts=[*self._accounts()], consent=[self._consent(e) for e in full.consent],
            notices=[self._notice(n) for n in full.notices],
            people=[r for r in full.people if r["userid"].lower() in self.stay],
            scope=msgspec.structs.replace(full.scope, conversations=tuple(map(self.conversation, full.scope.conversations)), asked=coverage["asked"]),
            matter=msgspec.structs.replace(full.matter, title=self.text(full.matter.title) or ""), notes=("redacted",), masks=self.log, keys={},
        )  # fmt: skip
        return Redacted(bundle=bundle, values=frozenset(self.values))

    def told(self, told: Told) -> Told:
        """Return a record masked, its proof with the masked groups closed (rule 3); its masks go into the log."""
        own, line = _Masks(), told.line
        text, parts = self._text(own, told)
        people: dict[str, Any] = {"sender_id": self._id(own, "sender_id", line["sender_id"])}
        people["recipient_ids"] = [self._id(own, f"recipient_ids[{n}]", i) for n, i in enumerate(line["recipient_ids"])]
        proof = _closed(told.proof, {entry["group"] for entry in own})
        for entry in own:
            known = {"leaf": told.leaf, "reason": self.choices.reason, "approver": self.choices.approver}
            self.log.append({**entry, **known, "commitment": proof["groups"][entry["group"]]["digest"]})
        stays = people["sender_id"] == line["sender_id"]
        masked_line = {
            **line, **people, "text": text, "parts": parts, "conversation_id": self.conversation(line["conversation_id"]),
            **{name: line[name] if stays else None for name in ("sender_name", "sender_seen_as")},
            "recalled_by": self.person(line["recalled_by"]) if line["recalled_by"] else line["recalled_by"], "media": [_nameless(m) for m in line["media"]],
        }  # fmt: skip
        unread = told.unread and {**told.unread, "sha256": ""}
        return msgspec.structs.replace(told, line=masked_line, proof=proof, raw=b"", envelope=None, quotes=None, unread=unread, media=())

    def _text(self, own: _Masks, told: Told) -> tuple[str | None, list[dict[str, Any]] | None]:
        text, parts = self._masked(own, "text", told.line["text"]), told.line["parts"]
        if parts is None:
            return text, None
        return text, [{**p, "text": self._masked(own, f"parts[{n}].text", p["text"])} for n, p in enumerate(parts)]

    def _masked(self, own: _Masks, path: str, text: str | None) -> str | None:
        if not text:
            return text
        places = self.rules.places(text)
        self._hidden(text, places)
        own += [{"group": "text", "path": path, "class": p.kind, "start_cp": p.start_cp, "end_cp": p.end_cp, "shown": p.shown} for p in places]
        return masked(text, places) if places else text

    def _id(self, own: _Masks, path: str, userid: str | None) -> str | None:
        shown = self.person(userid) if userid else userid
        if shown != userid:
            own.append({"group": "parties", "path": path, "class": "third_party", "start_cp": None, "end_cp": None, "shown": shown})
        return shown


    def _coverage(self, coverage: Mapping[str, Any]) -> dict[str, Any]:
        whole = coverage["whole_archive"]
        asked = {k: self.text(v) if k == "query" else self.conversation(v) if k == "conversation" else self.person(v) for k, v in coverage["asked"].items()}
        conversations = [{**c, "conversation_id": self.conversation(c["conversation_id"])} for c in coverage["conversations"]]
        gaps = [{k: v for k, v in g.items() if k not in ("estimate", "acknowledged_by")} for g in whole["gaps"]]
        return {**coverage, "asked": asked, "conversations": conversations, "whole_archive": {**whole, "gaps": gaps}}

    def _accounts(self) -> Iterable[dict[str, Any]]:
        yield from (self._account(a) for a in self.full.accounts if a["id"].lower() in self.stay)
        others = {a["id"] for a in self.full.accounts if a["id"].lower() not in self.stay}
        yield from ({"id": shown, "says": "masked"} for shown in sorted(map(self.person, others)))

    def _account(self, account: Mapping[str, Any]) -> dict[str, Any]:
        """Return a party's account; a remark is a member's own words: who made it and whom it names are masked too."""
        if account["says"] != "remark":
            return dict(account)
        return {**account, "by": self.person(account["by"]), "inside_firm": {"remark": self.text(account["inside_firm"]["remark"])}}

    def _consent(self, event: Mapping[str, Any]) -> dict[str, Any]:
        return {k: self.person(v) if k in ("userid", "external_userid") and v else v for k, v in event.items()}

    def _notice(self, notice: Mapping[str, Any]) -> dict[str, Any]:
        """Return a notice masked; its id is left out: it is a plain digest over ids."""
        shown = {k: v for k, v in self._consent(notice).items() if k != "notice_id"}
        return {**shown, "document_version": self.text(notice["document_version"])}


def _nameless(item: Mapping[str, Any]) -> dict[str, Any]:
    """Return a file's line without its name and digest (rule 4)."""
    return {**item, "file_name": None, "sha256": None}


def _closed(proof: Mapping[str, Any], closed: set[str]) -> dict[str, Any]:
    """Return a proof in which these groups show their digest only, and the JSON as received has no salt."""
    groups = {name: {"digest": _digest(name, group)} if name in closed else group for name, group in proof["groups"].items()}
    return {**{k: v for k, v in proof.items() if k != "raw_salt"}, "groups": groups}


def _digest(name: str, group: Mapping[str, Any]) -> str:
    return leaf.group_digest_from_salt(bytes.fromhex(group["salt"]), name, leaf.canonical(group["fields"])).hex()
