"""The consent gate: decide what may become of a message, on the parties it names itself and the consent in force when it was sent.

Before: message.py, with register.py and directory.py as plain values. After: matching.py. Pure; nothing but this module makes `Gated`.

Rules; `Decision.rule` holds the number (interface.md, "Rules of meaning"):
 (0) A control record (agree, disagree, switch) is kept as `control`; what it says feeds the register.
 (1) Everybody in it is a proven employee or robot: archived, `not_required`. Who is missing or empty is not proven.
 (2) A deciding scope is pending (unknown status): pending. Rule 3 goes first: a refusal in another deciding scope wins.
 (3) A refusal of a deciding scope is in force: withheld.
 (4) Agreements are in force in all deciding scopes: archived, `agree`, or `default_agree` when one of them is no more than that.
 (5) Some deciding scope is silent: what the policy's `default` says: agree archives as `unknown`, pending waits, refuse withholds.
 (6) A room under `room = "sender"` and a proven sender: nobody's scope decides, archived. Its consent is that of all external
     people in it, `unknown` as soon as one has not agreed.
 (7) A recall carries no words: decided on its own parties here, then it follows its original (`recall_decision`).

Deciding scopes. Single chat: the pair of sender and each recipient, unless both are proven. Both orders of a pair are looked up, so
that a gap in the directory lets no refusal slip; an agreement counts in the order that the directory proves, in either one when
neither person is proven. Room: (room, sender) for a sender not proven; under `room = "everyone"` (room, person) for everybody in
it not proven. A scope never answers for another one.
Time: sent_at, else the time of capture. Not proven counts as external (directory.py).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Annotated, Final, Literal

import msgspec

from pipeline.directory import Directory, looks_external
from pipeline.records import Consent, Decision, Direction, Fate, Gated, GatedPage, Message, ParsedPage, PartyKind
from pipeline.register import SILENT, Register, State, Status, pair_scope, room_scope

PROVEN: Final = ("employee", "robot")
BREAKER_RECORDS: Final = 200
BREAKER_SHARE: Final = 100  # one record in so many: 1 %
_CONVERSATIONS: Final = 65_536  # remembered, counted by recipients
_FEW: Final = 20  # recipients; decisions on larger rooms are not remembered

# The answer that decides among several scopes: the greatest.
_WEIGHT: Final[dict[Status, int]] = {"agree": 0, "default_agree": 1, "silent": 2, "pending": 3, "refused": 4}
_SAYS: Final = {"agree": "agree", "default_agree": "default_agree", "refused": "disagree", "pending": "unknown_status"}


class ConsentPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """The firm's choices: what silence means, who decides in a room, days that withheld bytes stay, legal bases beside consent."""

    default: Literal["agree", "pending", "refuse"] = "agree"
    room: Literal["sender", "everyone"] = "sender"
    withheld_days: Annotated[int, msgspec.Meta(ge=0)] = 15
    lawful_basis: tuple[str, ...] = ()

    @property
    def version(self) -> str:
        """The digest of this policy: sha256 (hex) of its canonical JSON."""
        return hashlib.sha256(msgspec.json.encode(self, order="sorted")).hexdigest()


class _Answer(msgspec.Struct, frozen=True):
    """What one deciding scope says; scope is None where nobody could be asked."""

    scope: str | None
    state: State


class _Verdict(msgspec.Struct, frozen=True):
    """The part of a decision that consent decides."""

    fate: Literal["archived", "pending", "withheld", "control"]
    consent: Consent
    source: str
    rule: str
    reason: str
    scopes: tuple[str, ...] = ()
    scope: str | None = None
    event_id: str | None = None


class _Known(msgspec.Struct, frozen=True, gc=False):
    """A decision, and from when until when (exclusive, ms) it is what the gate says."""

    since_ms: int
    until_ms: int
    decision: Decision


class _Memo:
    """Decisions under one directory and policy (kept alive here, so that their identity stays theirs), by who talks to whom and where.

    weight: how many recipients are remembered."""

    __slots__ = ("directory", "found", "policy", "weight")

    def __init__(self, directory: Directory, policy: ConsentPolicy) -> None:
        self.directory, self.policy = directory, policy
        # By sender, the recipient (all of them, where there are more than one) and the room.
        self.found: dict[tuple[str | None, str | tuple[str, ...], str | None], _Known] = {}
        self.weight = 0


class _Parties(msgspec.Struct, frozen=True):
    """Who is in one message, as far as ids and kinds tell. asked: single chat, both orders of every pair with somebody not
    proven, and whether one of the two is. unproven: everybody not proven; None for a missing sender, "" for an empty id."""

    all_proven: bool
    sender_proven: bool
    sender_kind: PartyKind
    direction: Direction
    employee_id: str | None
    customer_id: str | None
    asked: tuple[tuple[str, str, bool], ...]
    scopes: tuple[str, ...]
    unproven: tuple[str | None, ...]


_EMPLOYEE: Final = ("employee", "employee")
_EXTERNAL: Final = ("external", "external")
_EMPLOYEE_AND_CUSTOMER: Final = {_EMPLOYEE, _EXTERNAL}
_NOBODY: Final = _Answer(None, SILENT)
_NOT_REQUIRED: Final = _Verdict("archived", "not_required", "directory", "1", "all_proven")


# --- the gate ---


def gate_page(page: ParsedPage, *, register: Register, directory: Directory, policy: ConsentPolicy) -> GatedPage:
    """Return the page with a decision on every record; what could not be opened passes unchanged."""
    captured_at_ms, memo = page.ref.captured_at_ms, _memo_of(register, directory, policy)
    items = tuple([Gated(i.opened, i.message, _decided(i.message, captured_at_ms, register, memo)) for i in page.items])
    return GatedPage(page.ref, items, page.failed, register.version)


def with_decision(gated: Gated, decision: Decision) -> Gated:
    """Return the record under another decision: that of a newer register, `recall_decision` or `held_by_breaker`."""
    return Gated(gated.opened, gated.message, decision)


def decide(message: Message, *, captured_at_ms: int, register: Register, directory: Directory, policy: ConsentPolicy) -> Decision:
    """Return what becomes of the message, with the rule and the event or policy it rests on.

    captured_at_ms: when its page was captured (milliseconds UTC), the time that counts when sent_at is unknown. Never raises; later
    events are deliberately looked at only as far as they reach back: late news is the reconciler's business."""
    return _decided(message, captured_at_ms, register, _memo_of(register, directory, policy))


def _memo_of(register: Register, directory: Directory, policy: ConsentPolicy) -> _Memo:
    memo = register.decided.get((id(directory), id(policy)))
    if memo is None or memo.weight >= _CONVERSATIONS:
        memo = register.decided[id(directory), id(policy)] = _Memo(directory, policy)
    return memo


def _decided(message: Message, captured_at_ms: int, register: Register, memo: _Memo) -> Decision:
    """Return the decision; for a message between few people it is worked out once for the time in which nothing about them changes."""
    at_ms = message.sent_at_ms
    if at_ms is None:
        at_ms = captured_at_ms
    if message.kind != "message" or message.control is not None:
        return _decide(message, at_ms, register, memo.directory, memo.policy)
    sender, recipients, room_id = message.sender_id, message.recipient_ids, message.room_id
    who = sender, recipients[0] if len(recipients) == 1 else recipients, room_id
    known = memo.found.get(who)
    if known is not None and known.since_ms <= at_ms < known.until_ms:
        return known.decision
    if not 0 < len(recipients) <= _FEW:
        return _decide(message, at_ms, register, memo.directory, memo.policy)
    if len(recipients) == 1 and sender and recipients[0] and not room_id:
        short = _between_two(sender, recipients[0], room_id, at_ms, register, memo)
        if short is not None:
            return short
    decision = _decide(message, at_ms, register, memo.directory, memo.policy)
    since, until = memo.directory.span_at(sender, at_ms)
    spans = [memo.directory.span_at(person, at_ms) for person in recipients] + [register.span_at(scope, at_ms) for scope in decision.scopes]
    for start, end in spans:
        since, until = start if start > since else since, end if end < until else until
    if memo.weight < _CONVERSATIONS:
        memo.found[who] = _Known(since, until, decision)
        memo.weight += len(recipients)
    return decision


def _between_two(sender: str, other: str, room_id: str | None, at_ms: int, register: Register, memo: _Memo) -> Decision | None:
    """Return the decision on a chat of a proven employee and an external person, and remember it for both directions; None for the long way.

    The short way for nearly every first message between two people, in a third of the time: it must say what `_decide` says
    (tests/unit/test_consent_short_way.py). Where the reverse order of the pair says anything, the long way decides."""
    mine, since, until = memo.directory.kinds_while(sender, at_ms)
    theirs, since_2, until_2 = memo.directory.kinds_while(other, at_ms)
    if mine == _EMPLOYEE and theirs == _EXTERNAL:
        employee, customer = sender, other
    elif mine == _EXTERNAL and theirs == _EMPLOYEE:
        employee, customer = other, sender
    else:
        return None
    scopes = pair_scope(employee, customer), pair_scope(customer, employee)
    if register.may_employ(customer):
        reverse, since_3, until_3 = register.state_while(scopes[1], at_ms)
        if reverse is not SILENT:
            return None
        since, until = max(since, since_3), min(until, until_3)
    state, since_3, until_3 = register.state_while(scopes[0], at_ms)
    verdict = _by_state(state, scopes, scopes[0], memo.policy)
    basis = _lawful_basis(verdict.consent, memo.policy.lawful_basis)
    sent, received = _worded(verdict, basis, "employee", "outbound", employee, customer), _worded(verdict, basis, "external", "inbound", employee, customer)
    if memo.weight < _CONVERSATIONS:
        since, until = max(since, since_2, since_3), min(until, until_2, until_3)
        memo.found[employee, customer, room_id] = _Known(since, until, sent)
        memo.found[customer, employee, room_id] = _Known(since, until, received)
        memo.weight += 2
    return sent if employee is sender else received


def _decide(message: Message, at_ms: int, register: Register, directory: Directory, policy: ConsentPolicy) -> Decision:
    parties = _parties_of(message, directory, at_ms)
    if message.control is not None:  # (0)
        verdict = _control(message)
    elif parties.all_proven:  # (1)
        verdict = _NOT_REQUIRED
    elif not message.room_id:  # (2) to (5)
        verdict = _judged(_pair_answers(parties, register, at_ms), parties.scopes, policy)
    elif policy.room == "sender" and parties.sender_proven:  # (6)
        verdict = _kept_in_room(message.room_id, parties, register, at_ms)
    else:  # (2) to (5)
        persons = parties.unproven if policy.room == "everyone" else (message.sender_id,)
        answers = [_room_answer(message.room_id, person, register, at_ms) for person in persons]
        verdict = _judged(answers, _scopes(answers), policy)
    basis = _lawful_basis(verdict.consent, policy.lawful_basis)
    made = _worded(verdict, basis, parties.sender_kind, parties.direction, parties.employee_id, parties.customer_id)
    return msgspec.structs.replace(made, rule="7") if message.kind == "recall" else made


def _worded(
    verdict: _Verdict, basis: tuple[str, ...], sender_kind: PartyKind, direction: Direction, employee_id: str | None, customer_id: str | None
) -> Decision:
    return Decision(
        fate=verdict.fate, consent=verdict.consent, source=verdict.source, rule=verdict.rule, reason=verdict.reason, lawful_basis=basis,
        scopes=verdict.scopes, scope=verdict.scope, event_id=verdict.event_id, sender_kind=sender_kind, direction=direction, employee_id=employee_id,
        customer_id=customer_id,
    )  # fmt: skip


def recall_decision(decision: Decision, original_fate: Fate | None) -> Decision:
    """Return the decision on a recall that follows its original (rule 7).

    archived, failed, control, or no original at all: archived. pending: pending. withheld: withheld, and so where the original
    was restricted or removed since, so that a recall brings nobody back into view. A duplicate: ask for the fate of the record it
    repeats first. The recall's own decision stays visible as its consent only when its fate is the same."""
    if original_fate in ("withheld", "restricted", "removed"):
        fate: Literal["archived", "pending", "withheld"] = "withheld"
    else:
        fate = "pending" if original_fate == "pending" else "archived"
    reason = "recall_of_unknown" if original_fate is None else f"recall_of_{original_fate}"
    if fate == decision.fate:
        return msgspec.structs.replace(decision, rule="7", reason=reason)
    return msgspec.structs.replace(
        decision, fate=fate, rule="7", reason=reason, consent="unknown", source="original", event_id=None,
        lawful_basis=tuple(basis for basis in decision.lawful_basis if basis != "consent"),
    )  # fmt: skip


def breaker_trips(withheld: int, settled: int, trailing: Sequence[tuple[int, int]]) -> bool:
    """Tell whether a run would withhold far more than usual: more than 1 % of what it settles and more than 200 above the trailing mean.

    trailing: (withheld, settled) of earlier runs; those that settled nothing do not count, and without any the mean is 0."""
    earlier = [held for held, of in trailing if of > 0]
    above_mean = (withheld - BREAKER_RECORDS) * max(len(earlier), 1) > sum(earlier)
    return above_mean and withheld * BREAKER_SHARE > settled


def held_by_breaker(decision: Decision) -> Decision:
    """Return a withheld decision as pending until a person has looked at the run; every other one unchanged."""
    return msgspec.structs.replace(decision, fate="pending", reason="breaker") if decision.fate == "withheld" else decision


# --- who is in it ---


def _parties_of(message: Message, directory: Directory, at_ms: int) -> _Parties:
    """Return the parties at at_ms. A single chat without a recipient has a party that nobody knows."""
    recipients = message.recipient_ids or (() if message.room_id else ("",))
    kinds = [directory.kinds_at(message.sender_id, at_ms), *[directory.kinds_at(party, at_ms) for party in recipients]]
    return _parties(message.sender_id, recipients, bool(message.room_id), kinds)


def _parties(sender: str | None, recipients: tuple[str, ...], in_room: bool, kinds: Sequence[tuple[PartyKind, PartyKind]]) -> _Parties:
    """Return who is in a message, given (kind, display kind) of the sender and of each recipient."""
    if len(recipients) == 1 and not in_room and sender and recipients[0] and {*kinds} == _EMPLOYEE_AND_CUSTOMER:  # nearly every single chat
        return _pair(sender, recipients[0], kinds[0] == _EMPLOYEE)
    proven, shown = [kind in PROVEN for kind, _ in kinds], [show for _, show in kinds]
    asked = () if in_room or not sender else tuple(_asked(sender, recipients, proven))
    employee, customer = _sides((sender,) if in_room else (sender, *recipients), shown)
    return _Parties(
        all_proven=all(proven),
        sender_proven=proven[0],
        sender_kind=shown[0],
        direction=_direction(shown),
        employee_id=employee,
        customer_id=customer,
        asked=asked,
        scopes=tuple([scope for pair in asked for scope in pair[:2]]),
        unproven=tuple(dict.fromkeys([party for party, known in zip((sender, *recipients), proven, strict=True) if not known])),
    )


def _pair(sender: str, recipient: str, outbound: bool) -> _Parties:
    """Return who is in a single chat of a proven employee and an external person: what the general way says of it."""
    employee, customer = (sender, recipient) if outbound else (recipient, sender)
    scopes = pair_scope(employee, customer), pair_scope(customer, employee)
    return _Parties(
        False, outbound, "employee" if outbound else "external", "outbound" if outbound else "inbound", employee, customer, ((*scopes, True),), scopes, (customer,)
    )


def _asked(sender: str, recipients: tuple[str, ...], proven: list[bool]) -> Iterator[tuple[str, str, bool]]:
    """Yield (scope, reverse scope, one is proven) for each pair with somebody not proven.

    First comes the scope whose employee is proven; where neither person is, the one that looks right."""
    for recipient, recipient_proven in zip(recipients, proven[1:], strict=True):
        if recipient and not (proven[0] and recipient_proven):
            sent, received = pair_scope(sender, recipient), pair_scope(recipient, sender)
            by_customer = recipient_proven or (not proven[0] and looks_external(sender) and not looks_external(recipient))
            yield (received, sent, recipient_proven) if by_customer else (sent, received, proven[0])


def _direction(shown: list[PartyKind]) -> Direction:
    if "external" in shown:
        if shown[0] == "employee":
            return "outbound"
        return "inbound" if shown[0] == "external" and "employee" in shown else "unknown"
    return "unknown" if "unknown" in shown else "internal"


def _sides(parties: tuple[str | None, ...], shown: list[PartyKind]) -> tuple[str | None, str | None]:
    """Return (employee_id, customer_id): the first of each kind; of two people not proven the one who looks like a customer."""
    employees = [party for party, kind in zip(parties, shown, strict=False) if kind == "employee" and party]
    externals = [party for party, kind in zip(parties, shown, strict=False) if kind == "external" and party]
    customers = [party for party in externals if looks_external(party)] or externals
    return next(iter(employees), None), next(iter(customers), None)


@lru_cache(maxsize=64)
def _lawful_basis(consent: Consent, configured: tuple[str, ...]) -> tuple[str, ...]:
    """Return the legal bases of a result: consent only where somebody agreed, then the configured ones."""
    others = tuple(basis for basis in configured if basis != "consent")
    return ("consent", *others) if consent in ("agree", "default_agree") else others


# --- who is asked, and what follows ---


def _pair_answers(parties: _Parties, register: Register, at_ms: int) -> list[_Answer]:
    """Return what the pairs of a single chat say; somebody who cannot be asked is silent."""
    answers = [_pair_answer(pair, register, at_ms) for pair in parties.asked]
    return [*answers, _NOBODY] if not answers or "" in parties.unproven else answers


def _pair_answer(pair: tuple[str, str, bool], register: Register, at_ms: int) -> _Answer:
    """Return what two people's pair says. Where one of them is proven, the reverse order may refuse but not agree."""
    natural, reverse, proven = pair
    answer, hint = register.state_at(natural, at_ms), register.state_at(reverse, at_ms)
    if hint is SILENT or (proven and hint.status not in ("refused", "pending")):
        return _Answer(natural, answer)
    # Silence in one order does not outweigh an agreement in the other: these are the same two people.
    if answer is SILENT or _WEIGHT[hint.status] > _WEIGHT[answer.status]:
        return _Answer(reverse, hint)
    return _Answer(natural, answer)


def _room_answer(room_id: str, person: str | None, register: Register, at_ms: int) -> _Answer:
    if not person:
        return _NOBODY
    scope = room_scope(room_id, person)
    return _Answer(scope, register.state_at(scope, at_ms))


def _scopes(answers: list[_Answer]) -> tuple[str, ...]:
    return tuple([answer.scope for answer in answers if answer.scope is not None])


def _weight(answer: _Answer) -> int:
    return _WEIGHT[answer.state.status]


def _judged(answers: list[_Answer], scopes: tuple[str, ...], policy: ConsentPolicy) -> _Verdict:
    """Rules 2 to 5: the weightiest answer decides."""
    deciding = answers[0] if len(answers) == 1 else max(answers, key=_weight)
    return _by_state(deciding.state, scopes, deciding.scope, policy)


def _by_state(state: State, scopes: tuple[str, ...], scope: str | None, policy: ConsentPolicy) -> _Verdict:
    if state.status == "silent":  # (5)
        return _by_policy(scopes, scope, policy)
    source = _source(state.source, state.status)
    if state.status == "refused":  # (3)
        return _Verdict("withheld", "unknown", source, "3", "refused", scopes, scope, state.event_id)
    if state.status == "pending":  # (2)
        return _Verdict("pending", "unknown", source, "2", "unknown_status", scopes, scope, state.event_id)
    return _Verdict("archived", state.status, source, "4", "agreed", scopes, scope, state.event_id)  # (4)


@lru_cache(maxsize=64)
def _source(source: str | None, status: Status) -> str:
    """Return who said it and what: one string for all decisions that rest on the same words."""
    return f"{source}:{_SAYS[status]}"


def _by_policy(scopes: tuple[str, ...], scope: str | None, policy: ConsentPolicy) -> _Verdict:
    fate: Literal["archived", "pending", "withheld"] = "archived"
    if policy.default != "agree":
        fate = "pending" if policy.default == "pending" else "withheld"
    return _Verdict(fate, "unknown", f"policy:default={policy.default}", "5", "policy", scopes, scope)


def _kept_in_room(room_id: str, parties: _Parties, register: Register, at_ms: int) -> _Verdict:
    """Rule 6: kept; asks the external people until one has not agreed, since no later answer would change anything."""
    answers: list[_Answer] = []
    for person in parties.unproven:
        answers.append(_room_answer(room_id, person, register, at_ms))
        if answers[-1].state.status not in ("agree", "default_agree"):
            return _Verdict("archived", "unknown", "policy:room=sender", "6", "sender_decides", _scopes(answers))
    state = max(answers, key=_weight).state
    consent: Consent = "agree" if state.status == "agree" else "default_agree"
    return _Verdict("archived", consent, f"{state.source}:{consent}", "6", "sender_decides", _scopes(answers), None, state.event_id)


def _control(message: Message) -> _Verdict:
    """Rule 0: kept with its bytes; its scopes are named so that whoever asks for a scope finds it."""
    control = message.control
    if control is None or control.kind == "switch" or not control.who:
        return _Verdict("control", "unknown", "record", "0", control.kind if control is not None else "control")
    if message.room_id:
        scopes = [room_scope(message.room_id, control.who)]
    else:
        parties = dict.fromkeys((message.sender_id, *message.recipient_ids))
        scopes = [pair_scope(party, control.who) for party in parties if party and party != control.who]
    return _Verdict("control", "unknown", "record", "0", control.kind, tuple(scopes), scopes[0] if scopes else None)
