"""Findings over several messages, and months matched again: the same however the messages came, once each, and old findings stay."""

from __future__ import annotations

import random
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from pipeline import clock
from pipeline.deltalog import CommitConflict
from pipeline.errors import UsageError
from pipeline.home import Home
from pipeline.lake import Lake
from pipeline.looked import Looked
from pipeline.match.packfile import ListOptions, PackSource
from pipeline.rescan import begins, follow, months, preview, stored
from pipeline.workbench import packs_of
from tests import firm
from tests.cli.inside import Answer
from tests.firm import T0, home, message, page, recall, run, values

PACK = """
id: mine
owner: 合规部
reason: 试
since: 2026-01-01
language: zh
rules:
  - id: mine-asked
    category: C01
    title: {zh: 问与应, en: asked and affirmed}
    severity: high
    party: employee
    context: {asked: {terms: [这个稳不稳]}, affirmed: [放心], within: {messages: 3, minutes: 10}}
    examples:
      must_match: [{messages: [{party: external, text: 这个稳不稳}, {party: employee, text: 放心吧}]}]
      must_not_match: [{messages: [{party: external, text: 这个稳不稳}, {party: employee, text: 不好说}]}]
  - id: mine-silence
    category: C19
    title: {zh: 换号后沉默, en: silence after leaving}
    severity: low
    party: any
    terms: [去蜜蜂那边说]
    context: {then_silence: {days: 7}}
    examples:
      must_match: [{messages: [{party: employee, text: 去蜜蜂那边说}]}]
"""
SOURCE = PackSource("mine", PACK.encode(), "yaml")
ACROSS = "select rule_id, via, [s.msgid for s in spans], matched_text from matches where via in ('split', 'context') order by all"
ALL = "select finding_id, rule_id, via, suppressed_by from matches_all order by all"


def listed(*terms: str) -> PackSource:
    return PackSource("words", "\n".join(terms).encode(), "txt", ListOptions(id="words", category="X1", severity="high"))


BUBBLES = {n: message(n, text) for n, text in enumerate(["在吗", "保", "本", "保", "息", "的"], 1)}
TALK = {
    11: message(11, "这个稳不稳", sender="wmA", to=["zhangsan"]), 12: message(12, "放心吧"), 13: message(13, "去蜜蜂那边说"),
}  # fmt: skip
FOUND = [
    ("c01-guarantee", "split", ["m2", "m3", "m4", "m5"], "保本保息"),
    ("mine-asked", "context", ["m11", "m12"], "放心吧"),
]


def test_a_term_in_four_bubbles_and_an_affirmation_are_found_after_the_commit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    at = home(tmp_path)
    at.store_pack("mine", SOURCE)
    monkeypatch.setattr(follow, "AT_ONCE", 1)  # each conversation by itself
    run(at, page(tmp_path, "a.json", {**BUBBLES, **TALK}))
    assert [row for row in values(at, ACROSS) if row[0] in ("c01-guarantee", "mine-asked")] == FOUND
    [span] = values(at, "select spans[4] from matches where via = 'split' and rule_id = 'c01-guarantee'")
    assert span == {"msgid": "m5", "part": 0, "start_cp": 0, "end_cp": 1}


@pytest.mark.parametrize(
    "cut",
    [
        pytest.param(3, id="inside the term"), pytest.param(5, id="behind it", marks=pytest.mark.slow), pytest.param(11, id="between question and answer", marks=pytest.mark.slow),
    ],
)
def test_it_does_not_matter_over_how_many_runs_the_messages_came(tmp_path: Path, cut: int) -> None:
    whole, parts = home(tmp_path / "1"), home(tmp_path / "2")
    every = {**BUBBLES, **TALK}
    for made in (whole, parts):
        made.store_pack("mine", SOURCE)
    run(whole, page(tmp_path, "all.json", every))
    run(parts, page(tmp_path, "a.json", {n: m for n, m in every.items() if n <= cut}))
    run(parts, page(tmp_path, "b.json", {n: m for n, m in every.items() if n > cut}))
    assert values(parts, ALL) == values(whole, ALL)
    assert len(values(whole, ACROSS)) >= 2


@pytest.mark.slow
def test_the_step_after_the_commit_may_be_repeated(tmp_path: Path) -> None:
    at = home(tmp_path)
    run(at, page(tmp_path, "a.json", BUBBLES))
    before, version = values(at, ALL), at.lake(firm.CORP).snapshot().version
    follow.write_mark(at, firm.CORP, follow.Mark())  # as after a kill before the mark moved on
    assert follow.follow(at, firm.CORP) == 0
    assert (values(at, ALL), at.lake(firm.CORP).snapshot().version) == (before, version)


@pytest.mark.parametrize(("messages", "portions"), [(0, 1), (1, 1), (4, 1), (5, 2), (12, 3), (100, 7)])
def test_many_messages_are_looked_at_in_portions_of_whole_conversations(monkeypatch: pytest.MonkeyPatch, messages: int, portions: int) -> None:
    monkeypatch.setattr(follow, "AT_ONCE", 4)
    whole = follow.Period(conversations=tuple("abcdefg"), from_ms=1, to_ms=2, messages=messages)
    found = list(follow._portions(whole))
    assert len(found) == portions
    assert sorted(c for p in found for c in p.conversations) == list("abcdefg") and {(p.from_ms, p.to_ms) for p in found} == {(1, 2)}


def test_silence_is_a_finding_once_it_has_lasted(tmp_path: Path) -> None:
    at = home(tmp_path)
    at.store_pack("mine", SOURCE)
    run(at, page(tmp_path, "a.json", {1: message(1, "去蜜蜂那边说", at_ms=clock.now_ms() - 86_400_000)}))
    silent = "select count(*) from matches where rule_id = 'mine-silence'"
    assert values(at, silent) == [0]
    assert follow.follow(at, firm.CORP, now_ms=clock.now_ms() + 5 * 86_400_000) == 0
    assert follow.follow(at, firm.CORP, now_ms=clock.now_ms() + 7 * 86_400_000) == 1
    assert values(at, silent) == [1]


C, E = "C", "E"  # who speaks: customer, employee; recalls are lines of their own
TALKS = [
    [(E, "保"), (E, "本"), (E, "保"), (E, "息")], [(C, "有风险吗"), (E, "放心，没问题的")], [(E, "首期一共三万"), (E, "收款码发您了")],
    [(C, "这个稳不稳"), (E, "在的"), (E, "放心吧")], [(E, "去蜜蜂那边说")], [(E, "收益这个数您看一下"), *[(E, "recall")] * 3],
]  # fmt: skip
LINES = ("这个稳不稳", "放心吧", "不保本的", "收款码发您了", "微 信 上 说", "保", "本", "这款保本", "在吗", "好的", "明天几点到", "recall", "加我微信，电话13800138000")
PIECES = ("保", "保保", "本本", "息", "加我", "➕", "薇", "❤️信", "信聊", "给您返", "两个点", "肯定能", "赚 钱", "密码是", "a1b2c3", "，", "稳 赚", "不賠", "\u200b")


@pytest.mark.slow
def test_conversations_that_are_not_looked_at_would_have_shown_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Held to the plain way: every message of every conversation made an object and searched."""
    at, rng = home(tmp_path), random.Random(7)
    real, runs = follow.follow, list[Looked]()

    def follows(*given: Any, **more: Any) -> int:
        runs.append(more["looked"])
        return real(*given, **more)

    monkeypatch.setattr(follow, "follow", follows)
    made: dict[int, dict[str, Any]] = {}
    at.store_pack("mine", SOURCE)
    talks = [*TALKS, *[[(rng.choice((C, E)), rng.choice(LINES)) for _ in range(3)] for _ in range(25)], *[[(E, rng.choice(PIECES)) for _ in range(14)] for _ in range(25)]]
    for number, talk in enumerate(talks):
        people, sent = {C: f"wm{number}", E: "zhangsan"}, T0
        for who, words in talk:
            sender, to, sent, n = people[who], [p for w, p in people.items() if w != who], sent + rng.choice((3_000, 30_000, 400_000 * (number > 5))), len(made) + 1
            made[n] = recall(n, f"m{n - 1}", sender=sender, to=to) | {"msgtime": sent} if words == "recall" else message(n, words, sender=sender, to=to, at_ms=sent)
    run(at, page(tmp_path, "a.json", made))
    lake = at.lake(firm.CORP)
    table, lexicon = stored.read(lake, lake.snapshot(), lake.snapshot().of("messages")), packs_of(at)
    chosen = begins.promising(table, lexicon, None)

    def found(rows: pa.Table) -> list[tuple[Any, ...]]:
        told = [f for talk in stored.conversations(rows, lexicon, None, alone=False) for f in stored.matched(talk, lexicon, None, as_of_ms=T0 + 40 * 86_400_000, alone=False)]
        return sorted((row.finding.rule_id, row.finding.via, row.spans, row.matched_text) for row in told)

    assert found(chosen) == found(table)
    told = begins.promising(table, lexicon, None, looked=runs[0], version=lexicon.version)
    assert found(told) == found(table) and told.num_rows <= chosen.num_rows  # the run knows who said it
    assert begins._among(table, runs[0].seqs(lexicon.version)).all()
    assert {rule for rule, *_ in found(table)} >= {"c01-guarantee", "c01-affirmed", "c14-money-path", "c20-recall-burst", "mine-asked", "mine-silence"}
    assert chosen.num_rows < table.num_rows - 50
    assert sum(via == "split" for _, via, *_ in found(table)) > 5


def test_what_a_run_has_searched_holds_for_its_packs_alone() -> None:
    looked = Looked()
    looked.under("one").add("sealed", 7, True)
    assert (list(looked.seqs("one")["sealed"]), list(looked.begins("one")["sealed"])) == ([7], [7])
    assert looked.seqs("two") == {} == looked.begins("two")
    looked.under("two").add("sealed", 8, False)
    assert looked.seqs("one") == {} and list(looked.seqs("two")["sealed"]) == [8] and looked.begins("two") == {}


# --- rescan --------------------------------------------------------------------------------------------------------


def rescanned(at: Home, **more: Any) -> tuple[int, int, int, int]:
    done = months.rescan(at, firm.CORP, workers=1, **more)
    return done.months, done.skipped, done.scanned, done.added


@pytest.fixture
def archive(tmp_path: Path) -> Home:
    """Two months: a promise and 小蜜蜂计划 in each."""
    at = home(tmp_path)
    before = T0 - 30 * 86_400_000  # October
    texts = ["这款保本保息", "参加小蜜蜂计划吧", "电话13800138000，小蜜蜂计划"]
    first = {n: message(n, text, at_ms=before + n * 1000) for n, text in enumerate(texts, 1)}
    second = {n: message(n, text) for n, text in enumerate(texts, 4)}
    run(at, page(tmp_path, "a.json", {**first, **second}))
    return at


def test_what_is_counted_and_not_kept_is_told_as_ingest_tells_it(tmp_path: Path) -> None:
    at = home(tmp_path)
    run(at, page(tmp_path, "a.json", {1: message(1, "小蜜蜂，" * 1_007), 2: message(2, "小蜜蜂，" * 1_000)}))
    at.store_pack("words", listed("小蜜蜂"))
    done = Answer(Home(at.path), "rescan")
    assert (done.rows[-1]["scanned"], done.rows[-1]["added"]) == (2, 2_000)
    assert "1 条消息的命中过多" in done.err and "另有 7 处" in done.err
    assert "命中过多" not in Answer(Home(at.path), "rescan").err  # nothing was matched again


def counting(at: Home, rule: str) -> list[Any]:
    return values(at, f"select msgid from matches where rule_id = '{rule}' order by seq")


def test_a_pack_that_comes_later_finds_what_was_said_before(archive: Home) -> None:
    old = values(archive, "select finding_id, lexicon_version from matches where rule_id = 'c01-guarantee' order by seq")
    archive.store_pack("words", listed("小蜜蜂计划"))
    assert counting(archive, "words") == []
    assert rescanned(archive)[:3] == (2, 0, 6)
    assert counting(archive, "words") == ["m2", "m3", "m5", "m6"]
    new = values(archive, "select finding_id, lexicon_version from matches where rule_id = 'c01-guarantee' order by seq")
    assert [finding for finding, _ in new] == [finding for finding, _ in old]
    assert {version for _, version in new} == {packs_of(archive).version} != {version for _, version in old}
    assert values(archive, "select count(*) from matches_all where rule_id = 'c01-guarantee'") == [4]


@pytest.mark.slow
def test_repeating_a_rescan_adds_nothing(archive: Home) -> None:
    archive.store_pack("words", listed("小蜜蜂计划"))
    rescanned(archive)
    before, version = values(archive, ALL), archive.lake(firm.CORP).snapshot().version
    assert rescanned(archive) == (0, 2, 0, 0)
    assert (values(archive, ALL), archive.lake(firm.CORP).snapshot().version) == (before, version)


@pytest.mark.slow
def test_a_removed_term_erases_nothing_and_counts_no_more(archive: Home) -> None:
    archive.store_pack("words", listed("小蜜蜂计划"))
    rescanned(archive)
    archive.remove_pack("words")
    rescanned(archive)
    assert counting(archive, "words") == []
    assert values(archive, "select count(*) from matches_all where rule_id = 'words'") == [4]
    archive.store_pack("words", listed("小蜜蜂计划"))
    assert rescanned(archive)[3] == 0  # they are there under this version
    assert counting(archive, "words") == ["m2", "m3", "m5", "m6"]


@pytest.mark.slow
def test_only_the_months_asked_for_are_matched(archive: Home) -> None:
    archive.store_pack("words", listed("小蜜蜂计划"))
    assert rescanned(archive, first=date(2026, 11, 1))[:3] == (1, 0, 3)
    assert counting(archive, "words") == ["m5", "m6"]


def test_a_rescan_finds_what_the_runs_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clock, "now_ms", lambda: T0 + clock.DAY_MS)  # a week later the run would find the silence too
    at = home(tmp_path)
    at.store_pack("mine", SOURCE)
    run(at, page(tmp_path, "a.json", {**BUBBLES, **TALK, 14: message(14, "不能保本保息"), 15: message(15, "加薇❤️我，电话13800138000")}))
    what = "select finding_id, rule_id, term, matched_text, part, start_cp, end_cp, spans, via, suppressed_by, party from matches_all where lexicon_version = '{}' order by all"
    live = values(at, what.format(packs_of(at).version))
    at.store_pack("words", listed("没有这个词"))
    rescanned(at)
    silence = [row for row in values(at, what.format(packs_of(at).version)) if row[1] != "mine-silence"]
    assert silence == live
    assert len(live) > 3


def test_codes_passwords_and_card_codes_are_no_text_of_a_finding_live_or_in_a_rescan(tmp_path: Path) -> None:
    at = home(tmp_path)
    told = {1: message(1, "您的验证码是482913"), 2: message(2, "密码：Ab@12345"), 3: message(3, "背面三位CVV 737"), 4: message(4, "密码是Xy"), 5: message(5, "98zz!")}
    run(at, page(tmp_path, "a.json", told))
    every = "select msgid, matched_text from matches_all where rule_id = 'pii-secret' and lexicon_version = '{}' order by all"
    stars = [("m1", "******"), ("m2", "********"), ("m3", "***"), ("m5", "*******")]  # the last: over two messages
    assert values(at, every.format(packs_of(at).version)) == stars
    at.store_pack("words", listed("没有这个词"))
    rescanned(at)
    assert values(at, every.format(packs_of(at).version)) == stars


def test_the_firms_own_list_lies_encrypted_in_its_home(archive: Home) -> None:
    archive.store_pack("words", listed("小蜜蜂计划"))
    assert [source.name for source in archive.own_packs()] == ["words"]
    holding = [path for path in archive.path.rglob("*") if path.is_file() and "小蜜蜂".encode() in path.read_bytes()]
    assert holding == []


@pytest.mark.slow
def test_messages_that_come_after_a_scan_count_under_their_own_version(archive: Home, tmp_path: Path) -> None:
    archive.store_pack("words", listed("小蜜蜂计划"))
    rescanned(archive)
    archive.store_pack("words", listed("小蜜蜂计划", "大黄蜂计划"))
    run(archive, page(tmp_path, "b.json", {9: message(9, "大黄蜂计划")}))
    assert counting(archive, "words") == ["m2", "m3", "m5", "m6", "m9"]


def test_a_rescan_that_is_stopped_before_its_commit_changes_nothing_and_goes_on(archive: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    archive.store_pack("words", listed("小蜜蜂计划"))
    real, calls = Lake.commit, list[str]()

    def stopped(self: Lake, *args: Any, **more: Any) -> int:
        calls.append(more["what"])
        if len(calls) == 2:
            raise KeyboardInterrupt
        return real(self, *args, **more)

    monkeypatch.setattr(Lake, "commit", stopped)
    with pytest.raises(KeyboardInterrupt):
        rescanned(archive)
    monkeypatch.undo()
    assert counting(archive, "words") == ["m2", "m3"]  # October is done, November as it was
    assert rescanned(archive)[:2] == (1, 1)
    assert counting(archive, "words") == ["m2", "m3", "m5", "m6"]


@pytest.mark.slow
def test_a_month_that_changes_while_it_is_matched_is_matched_again(archive: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    archive.store_pack("words", listed("小蜜蜂计划"))
    real, seen = months._match_month, list[str]()

    def meddled(at: Home, corp: str, snapshot: Any, month: str, *rest: Any) -> months.Done:
        done = real(at, corp, snapshot, month, *rest)
        seen.append(month)
        if len(seen) == 1:
            _another_writer(at, tmp_path)
        return done

    monkeypatch.setattr(months, "_match_month", meddled)
    assert rescanned(archive)[2] == 7
    assert seen == ["2026-10", "2026-10", "2026-11"]
    assert sorted(counting(archive, "words")) == ["m2", "m3", "m5", "m6", "m7"]


def _another_writer(at: Home, folder: Path) -> None:
    """An ingest from elsewhere, which does not know of our lock."""
    from contextlib import nullcontext
    from unittest.mock import patch

    with patch.object(Home, "lock", lambda self, name: nullcontext()):
        run(at, page(folder, "late.json", {7: message(7, "小蜜蜂计划", at_ms=T0 - 30 * 86_400_000)}))


def test_trying_a_pack_writes_nothing_and_shows_masked_samples(archive: Home) -> None:
    before = archive.lake(firm.CORP).snapshot().version
    lexicon = packs_of(archive, listed("小蜜蜂计划"))
    scanned, changes = preview.preview(archive, firm.CORP, lexicon, first=date(2026, 10, 1), last=date(2026, 11, 30), as_of_ms=clock.now_ms())
    [words] = [change for change in changes if change.new]
    assert (scanned, words.rule_id, words.now, words.then, words.new, words.gone) == (6, "words", 0, 4, 4, 0)
    assert any("小蜜蜂计划" in sample for sample in words.samples) and not any("13800138000" in sample for sample in words.samples)
    assert archive.lake(firm.CORP).snapshot().version == before


@pytest.mark.slow
def test_a_rule_is_switched_off_and_on_by_its_id(tmp_path: Path) -> None:
    at = home(tmp_path, settings={"lexicon.off": '["c01-guarantee"]'})
    assert "c01-guarantee" not in {packs_of(at).rules[n].id for n in packs_of(at).live}
    with pytest.raises(UsageError, match="no keyword pack has"):
        packs_of(home(tmp_path / "2", settings={"lexicon.on": '["nobody"]'}))


@pytest.mark.slow
def test_conflicts_are_told_apart(archive: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    archive.store_pack("words", listed("小蜜蜂计划"))
    real, lost = Lake.commit, list[Sequence[Any]]()

    def loses_once(self: Lake, planned: Any, adds: Sequence[Any], removes: Sequence[Any], *, what: str) -> int:
        if not lost:
            lost.append(adds)
            raise CommitConflict
        return real(self, planned, adds, removes, what=what)

    monkeypatch.setattr(Lake, "commit", loses_once)
    assert rescanned(archive)[:3] == (2, 0, 6)
    assert all((archive.lake(firm.CORP).root / file.path).exists() for file in lost[0])  # nothing of the month changed: its files were kept
