"""The demonstration's plan: every record has a place and a fate, and the stories it tells are the ones it says."""

from __future__ import annotations

import itertools
import json
from collections import Counter
from datetime import UTC, date, datetime, timedelta
from typing import Any

import msgspec
import pytest

from pipeline.demo import pages, story, truth
from pipeline.demo.story import Plan, Record
from pipeline.demo.truth import Truth
from pipeline.errors import UsageError

END_DAY = date(2026, 11, 20)  # a Friday
# wecom-archive.md 3.4, and the switch log of 3.3.
DOCUMENTED = {
    "text", "image", "revoke", "agree", "disagree", "voice", "video", "card",
    "location", "emotion", "file", "link", "weapp", "chatrecord", "todo", "vote",
    "collect", "redpacket", "external_redpacket", "meeting", "meeting_notification", "docmsg", "markdown", "news",
    "calendar", "mixed", "meeting_voice_call", "voip_doc_share", "sphfeed", "voiptext", "qydiskfile", "solitaire",
    "note", "switch",
}  # fmt: skip


def made(count: int, seed: int = 1, end_day: date = END_DAY) -> Plan:
    return story.plan(count, seed=seed, corp_id="wwdemo", end_day=end_day)


def told(plan: Plan) -> Truth:
    return truth.tell(plan, list(pages.layout(plan.records)), [])


@pytest.fixture(scope="module")
def small() -> Plan:
    return made(500)


@pytest.fixture(scope="module")
def medium() -> Plan:
    return made(2_000)


@pytest.mark.parametrize("count", [500, 501, 1_234, 2_000])
def test_a_plan_has_as_many_records_as_were_asked_for_and_each_has_a_fate(count: int) -> None:
    plan = made(count)
    facts = told(plan)
    assert (
        len(plan.records)
        == facts.records
        == sum(facts.fates.values())
        == sum(facts.fates_later.values())
        == sum(facts.types.values())
        == count
    )
    assert sum(facts.failures.values()) == facts.fates["failed"]
    assert sum(facts.archived_types.values()) == facts.fates["archived"]
    assert sum(facts.archived_by_day_later.values()) == facts.fates_later["archived"] - 1, "one archived message has no time"


@pytest.mark.parametrize(("count", "seed"), [(500, 1), (500, 7), (2_000, 1)])
def test_every_documented_kind_of_record_is_there(count: int, seed: int) -> None:
    assert set(told(made(count, seed)).types) == DOCUMENTED


def test_the_same_seed_gives_the_same_plaintexts_and_another_seed_others(small: Plan) -> None:
    again, other = made(500), made(500, seed=2)
    assert [(r.seq, r.msgid, r.plaintext) for r in again.records] == [(r.seq, r.msgid, r.plaintext) for r in small.records]
    assert told(again) == told(small)
    assert {r.plaintext for r in other.records}.isdisjoint(r.plaintext for r in small.records)


def test_fewer_messages_than_the_stories_need_are_refused() -> None:
    with pytest.raises(UsageError) as refused:
        made(499)
    assert refused.value.code == "DEMO_TOO_SMALL"


def test_seqs_grow_with_gaps_and_one_occurs_twice(medium: Plan) -> None:
    steps = Counter(b.seq - a.seq for a, b in itertools.pairwise(medium.records))
    assert steps[0] == 1 and min(steps) == 0
    assert 1_850 < steps[1] < 1_999


@pytest.mark.parametrize("end_day", [END_DAY, date(2026, 11, 22), date(2024, 3, 1)], ids=["friday", "sunday", "leap"])
def test_all_messages_lie_in_the_five_beijing_days(end_day: date) -> None:
    plan = made(500, end_day=end_day)
    first = datetime.combine(end_day - timedelta(days=4), datetime.min.time(), UTC) - timedelta(hours=8)
    begin_ms, end_ms = int(first.timestamp() * 1000), int((first + timedelta(days=5)).timestamp() * 1000)
    assert all(begin_ms <= r.draft.sent_ms < end_ms for r in plan.records)
    assert len(told(plan).archived_by_day) == 5


def test_external_conversations_say_so_in_their_msgids(medium: Plan) -> None:
    for record in medium.records:
        parties = {record.draft.sender, *record.draft.tolist}
        assert record.msgid.endswith("_external") == any(p.startswith(("wmDEMO", "woDEMO")) for p in parties)


def test_everybody_is_marked_as_made_up(small: Plan) -> None:
    people = (*small.firm.employees, *small.firm.customers, *small.firm.quiet, *small.firm.robots)
    assert all(p.name.endswith("（DEMO）") for p in people)
    assert len(small.firm.employees) == 60 and len(small.firm.staff_rooms) + len(small.firm.customer_rooms) == 40
    assert len({p.userid.lower() for p in small.firm.employees}) == 60


# --- what must be withheld ---


def by_story(plan: Plan, name: str) -> tuple[Any, list[Record]]:
    """The first refusal of a story, and all records of its pair or room with its customer, in the order in which they were written."""
    refusal = next(r for r in plan.refusals if r.story == name)
    scope = [
        r for r in plan.records
        if refusal.external_userid in (r.draft.sender, *r.draft.tolist)
        and r.draft.room_id == (refusal.room_id or "")
        and (refusal.room_id or refusal.userid in (r.draft.sender, *r.draft.tolist))
    ]  # fmt: skip
    return refusal, sorted(scope, key=lambda r: r.draft.sent_ms)


def test_a_refusal_holds_from_its_very_millisecond(small: Plan) -> None:
    refusal, scope = by_story(small, "at_once")
    around = {
        r.draft.sent_ms - refusal.from_ms: r.fate
        for r in scope
        if r.draft.role == "story" and abs(r.draft.sent_ms - refusal.from_ms) < 60_000
    }
    assert around == {-1: "archived", 0: "withheld"}


@pytest.mark.parametrize("name", ["by_import", "in_room_by_import"])
def test_an_imported_refusal_holds_from_the_start_of_its_second(small: Plan, name: str) -> None:
    refusal, scope = by_story(small, name)
    assert refusal.from_ms % 1000 == 0
    by_customer = {
        r.draft.sent_ms - refusal.from_ms: r.fate
        for r in scope
        if r.draft.sender == refusal.external_userid and r.draft.sent_ms <= refusal.from_ms
    }
    assert by_customer == {-1: "archived", 0: "withheld"}


def test_a_refusal_that_is_told_late_lies_in_a_later_answer_and_covers_all_the_same() -> None:
    for count, seed in ((500, 1), (500, 5), (2_000, 1), (2_000, 3)):
        plan = made(count, seed)
        refusal, scope = by_story(plan, "told_late")
        covered = [r for r in scope if r.fate_later == "withheld"]
        (record,) = [r for r in scope if r.draft.role == "decision"]
        answer_of = {r.seq: n for n, a in enumerate(a for f in pages.layout(plan.records) if not f.cut for a in f.answers) for r in a}
        assert len(covered) == 3
        assert all(refusal.from_ms <= r.draft.sent_ms and answer_of[r.seq] < answer_of[record.seq] for r in covered)
        assert msgspec.json.decode(record.plaintext)["disagree"]["disagree_time"] == refusal.from_ms


def test_in_a_room_only_the_words_of_who_refused_are_withheld(small: Plan) -> None:
    refusal, scope = by_story(small, "in_room")
    after = [r for r in scope if r.draft.sent_ms > refusal.from_ms and r.draft.role == "story"]
    assert {(r.draft.sender == refusal.external_userid, r.fate_later) for r in after} == {(True, "withheld"), (False, "archived")}


def test_an_agreement_by_record_releases_and_one_by_import_does_not(small: Plan) -> None:
    refusal, scope = by_story(small, "changed_mind")
    assert [r.fate for r in scope if r.draft.role == "story"] == ["withheld"] * 3 + ["archived"] * 3
    assert refusal.until_ms == refusal.from_ms + 6 * 3_600_000
    refusal, scope = by_story(small, "by_import")
    lines = [line for line in small.consent_lines if line["external_userid"] == refusal.external_userid]
    assert [line["status"] for line in lines] == ["Disagree", "Agree"]
    assert {r.fate_later for r in scope if r.draft.sent_ms > refusal.from_ms + 3_600_000} == {"withheld"}


def test_the_millisecond_record_decides_over_the_second_of_an_import(small: Plan) -> None:
    refusal, scope = by_story(small, "by_both")
    assert refusal.from_ms % 1000 == 400
    assert [(r.draft.sent_ms - refusal.from_ms, r.fate) for r in scope[:1]] == [(-200, "archived")]
    (line,) = [line for line in small.consent_lines if line["external_userid"] == refusal.external_userid]
    assert datetime.fromisoformat(str(line["changed_at"])).timestamp() * 1000 == refusal.from_ms - 400


def test_a_pair_never_answers_for_another_pair_or_a_room(medium: Plan) -> None:
    refusal, scope = by_story(medium, "at_once")
    elsewhere = [
        r for r in medium.records if refusal.external_userid in (r.draft.sender, *r.draft.tolist) and r not in scope and not r.code
    ]
    assert elsewhere and {r.fate for r in elsewhere} <= {"archived", "control"}


def test_only_refused_scopes_are_withheld_and_far_less_than_the_breaker_lets_pass(medium: Plan) -> None:
    facts = told(medium)
    refused = {(r.userid or r.room_id, r.external_userid) for r in medium.refusals}
    for record in medium.records:
        if record.fate_later == "withheld":
            draft = record.draft
            scopes = (
                {(draft.room_id, draft.sender)} if draft.room_id else {(draft.sender, draft.tolist[0]), (draft.tolist[0], draft.sender)}
            )
            assert scopes & refused
    assert 20 < facts.fates_later["withheld"] <= 200
    assert told(made(500)).fates_later["withheld"] <= 200


# --- recalls, repeats, keys, faults ---


def test_a_recall_follows_what_it_recalls(medium: Plan) -> None:
    facts = told(medium)
    fates = {r.msgid: r.fate for r in medium.records if r.draft.role not in ("repeat", "conflict")}
    assert {r["order"] for r in facts.recalls} == {"before", "after", "unknown"}
    assert all(r["fate"] == fates.get(r["recalls"], "archived") for r in facts.recalls)
    assert "withheld" in {r["fate"] for r in facts.recalls}
    seqs = {r.msgid: r.seq for r in medium.records if r.draft.role not in ("repeat", "conflict")}
    assert all(r["seq"] < seqs[r["recalls"]] for r in facts.recalls if r["order"] == "before")


def test_a_recall_after_a_refusal_of_something_said_before_it_stays(small: Plan) -> None:
    refusal, scope = by_story(small, "recalled_across")
    told_of = [(r.draft.role, r.draft.sent_ms < refusal.from_ms, r.fate) for r in scope]
    assert told_of == [
        ("story", True, "archived"),
        ("decision", False, "control"),
        ("recall", False, "archived"),
        ("story", False, "withheld"),
        ("recall", False, "withheld"),
    ]


def test_a_repeat_differs_from_its_original_in_file_ids_alone(medium: Plan) -> None:
    def bare(value: Any) -> Any:
        if isinstance(value, dict):
            return {k: bare(v) for k, v in value.items() if k != "sdkfileid"}
        return [bare(v) for v in value] if isinstance(value, list) else value

    originals = {r.msgid: r for r in medium.records if r.draft.role not in ("repeat", "conflict")}
    repeats = [r for r in medium.records if r.fate == "duplicate"]
    assert len(repeats) == 3
    for repeat in repeats:
        original = originals[repeat.msgid]
        assert original.seq < repeat.seq and original.fate == "archived"
        assert bare(json.loads(original.plaintext)) == bare(json.loads(repeat.plaintext))


def test_keys_rotate_at_noon_of_the_third_day_and_only_messages_wait_for_the_late_one(medium: Plan) -> None:
    noon_ms = int(datetime(2026, 11, 18, 4, tzinfo=UTC).timestamp() * 1000)
    assert all((r.key_version == 1) == (r.draft.arrival_ms < noon_ms) for r in medium.records)
    late = [r for r in medium.records if r.key_version == 3]
    assert len(late) >= 10 and late == list(medium.records[-len(late) :])
    assert {r.draft.role for r in late} <= {"ordinary", "story"}
    assert {(r.fate, r.code) for r in late} == {("failed", "KEY_MISSING")}
    assert {r.fate_later for r in late} == {"archived", "withheld"}


def test_each_failure_a_saved_page_can_bring_is_there_once(small: Plan) -> None:
    facts = told(small)
    once = {
        "ENVELOPE_MALFORMED": 1,
        "ITEM_MALFORMED": 1,
        "KEY_BLOCK_MALFORMED": 1,
        "MESSAGE_MALFORMED": 1,
        "MESSAGE_NOT_JSON": 1,
        "MESSAGE_NOT_UTF8": 1,
        "MESSAGE_TOO_DEEP": 1,
        "MSGID_CONFLICT": 1,
        "MSGID_MISMATCH": 1,
        "SEQ_CONFLICT": 1,
        "SEQ_RANGE": 1,
        "UNDECRYPTABLE": 1,
    }
    assert facts.failures_later == once
    assert facts.failures == once | {"KEY_MISSING": facts.fates["failed"] - 12}
    assert facts.page_failures == {"PAGE_CUT": 1}


def test_the_two_records_of_one_seq_differ_in_nothing_that_is_counted(small: Plan) -> None:
    msgids = told(small).seq_conflict
    one, two = [r for r in small.records if r.msgid in msgids]
    assert one.seq == two.seq and one.msgid != two.msgid
    same = ("sent_ms", "sender", "tolist", "room_id")
    assert [getattr(one.draft, n) for n in same] == [getattr(two.draft, n) for n in same]
    assert one.draft.body.msgtype == two.draft.body.msgtype == "text" and not one.draft.marks


# --- phrases ---


def test_every_category_is_planted_and_counts_are_those_of_a_plain_search(medium: Plan) -> None:
    facts = told(medium)
    assert {p.category for p in facts.phrases if p.kind == "violations"} == {f"C{n:02d}" for n in range(1, 23)}
    vocabulary = {p.term for p in facts.phrases if p.form == "literal"}
    found: Counter[str] = Counter()
    for record in medium.records:
        if record.fate == "archived":
            text = json.dumps(readable(record.draft.as_message()), ensure_ascii=False)
            found.update({term: text.count(term) for term in vocabulary if term in text})
    assert found == {term: sum(kinds.values()) for term, kinds in facts.terms.items()}


def readable(value: Any) -> Any:
    """The message without ids, with strings of JSON opened."""
    if isinstance(value, dict):
        return {k: readable(v) for k, v in value.items() if k not in ("sdkfileid", "msgid", "from", "tolist", "roomid")}
    if isinstance(value, list):
        return [readable(v) for v in value]
    return readable(json.loads(value)) if isinstance(value, str) and value.startswith('{"') else value


def test_violations_are_counted_by_who_said_them_without_quotes(medium: Plan) -> None:
    facts = told(medium)
    own = [p for p in facts.phrases if p.kind == "violations" and p.fate == "archived" and p.carrier not in ("quote", "chatrecord")]
    assert sum(sum(c.values()) for c in facts.per_employee.values()) == len(own)
    assert all(p.employee == p.sender for p in own)
    assert {p.employee for p in facts.phrases if p.kind == "customer_words"} == {None}


@pytest.mark.slow
def test_larger_plans_use_every_planted_line() -> None:
    facts = told(made(20_000))
    assert facts.records == 20_000 and facts.fates["withheld"] <= 200
    assert {p.carrier for p in facts.phrases} == {"text", "file", "link", "mixed", "chatrecord", "quote"}
    assert {p.form for p in facts.phrases} == {"literal", "separators", "zero_width", "traditional", "full_width", "split", "affirmed"}
