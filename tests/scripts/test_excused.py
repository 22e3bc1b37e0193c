"""Approved texts and mass messages in a real archive."""

from __future__ import annotations

from datetime import date
from pathlib import Path

from pipeline.match.packfile import PackSource
from pipeline.rescan import months
from pipeline.scripts import mass, store
from pipeline.scripts.texts import ApprovedText
from pipeline.wecom.statistics import MassMessage
from tests import firm

NOTICE = "我们郑重提示：凡是号称保本保息的产品都请您当心"
CAMPAIGN = "年末感恩回馈：本产品保本保息，欢迎咨询"


def test_what_was_approved_is_kept_and_says_by_what_it_is_excused(tmp_path: Path) -> None:
    home = firm.home(tmp_path)
    store.add(home, [ApprovedText(id="notice-1", approver="合规部", valid_from=date(2026, 11, 1), text=NOTICE)])
    mass.take(home, [MassMessage(msgid="g1", creator="market", created_ms=firm.T0, by_member=False, text=CAMPAIGN)])
    said = {1: firm.message(1, NOTICE), 2: firm.message(2, CAMPAIGN), 3: firm.message(3, "本产品保本保息"), 4: firm.message(4, NOTICE, sender="wmA", to=("zhangsan",))}
    firm.run(home, firm.page(tmp_path, "1.json", said))
    query = "SELECT msgid, suppressed_by FROM matches_all WHERE term = '保本保息' ORDER BY msgid"
    assert firm.values(home, query) == [("m1", "approved/notice-1"), ("m2", "approved/mass-g1"), ("m3", None)]


DUTY = """
id: duty
owner: 合规部
reason: 试
since: 2026-01-01
language: zh
rules:
  - id: duty-missing
    category: C05
    title: {zh: 付款前未提示, en: payment without notice}
    severity: medium
    party: employee
    terms: [可以付款了]
    context: {missing: {any: [犹豫期], days: 30}}
  - id: duty-named
    category: C05
    title: {zh: 付款前未发告知书, en: payment without the notice}
    severity: medium
    party: employee
    terms: [可以付款了]
    context: {missing: {any: [犹豫期], days: 30, texts: [notice-9]}}
"""
READ = "您购买的产品由保险公司承担责任，请仔细阅读所附文件"  # none of the words that the rules ask for


def test_an_approved_text_that_was_sent_counts_as_disclosed_live_and_in_a_rescan(tmp_path: Path) -> None:
    home = firm.home(tmp_path)
    home.store_pack("duty", PackSource("duty", DUTY.encode(), "yaml"))
    store.add(home, [ApprovedText(id="notice-1", approver="合规部", valid_from=date(2026, 11, 1), valid_to=date(2026, 11, 30), text=READ)])
    mass.take(home, [MassMessage(msgid="g1", creator="market", created_ms=firm.T0, by_member=False, text=CAMPAIGN)])
    talks = [[READ + "。"], ["您好"], [CAMPAIGN], ["犹豫期十五天"], [READ.replace("仔细", "认真")]]
    said: dict[int, dict[str, object]] = {}
    for number, before in enumerate(talks):
        for text in (*before, "您可以付款了"):
            said[len(said) + 1] = firm.message(len(said) + 1, text, to=(f"wm{number}",))
    said[len(said) + 1] = firm.message(len(said) + 1, READ, sender="wm9", to=("zhangsan",))  # the customer's own words disclose nothing
    said[len(said) + 1] = firm.message(len(said) + 1, "您可以付款了", to=("wm9",))
    firm.run(home, firm.page(tmp_path, "1.json", said))
    query = "SELECT rule_id, msgid, suppressed_by FROM matches_all WHERE rule_id LIKE 'duty%' ORDER BY ALL"
    expected = [
        *(("duty-missing", msgid, "approved/notice-1" if msgid == "m2" else None) for msgid in ("m10", "m12", "m2", "m4", "m6")),
        *(("duty-named", msgid, None) for msgid in ("m10", "m12", "m2", "m4", "m6")),
    ]
    assert firm.values(home, query) == expected
    assert months.rescan(home, firm.CORP, workers=1).added == 0
    assert firm.values(home, query) == expected

    store.remove(home, "notice-1")  # judged anew without it, the duty was not done
    assert months.rescan(home, firm.CORP, workers=1).added >= 10
    assert firm.values(home, "SELECT count(*) FROM matches WHERE rule_id LIKE 'duty%'") == [10]
