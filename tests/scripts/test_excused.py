"""Approved texts and mass messages in a real archive."""

from __future__ import annotations

from datetime import date
from pathlib import Path

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
