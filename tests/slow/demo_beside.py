"""What the walked demonstration has none of, brought in beside it: seats, WeCom's statistics, a handover, a gap, decisions, a name, a late refusal.

Before: test_demo_truth.py (the walk). After: demo_answers.yaml, which says what the audits must answer.

    seats       on 18 November everybody of the firm has one but FengShiyi, who writes all the same
    behaviour   see COUNTED: equal, more and fewer than what was said; two of the employees met a refusal before
    handover    a customer of WangShibing goes over to ZhengShibing when 18 November begins
    gap         two hours and a half of 19 November
    decisions   see DECIDED
    name        a customer who refused SunShiding calls herself 小王 from the 21st on, as an employee is called in replies
    refusal     a customer whom QianShiding asked to another channel on the 17th refuses on the 21st, after the last message
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from datetime import datetime
from pathlib import Path
from typing import Any

from pipeline import clock, ingest, schema
from pipeline.demo.generate import CORP_ID
from pipeline.home import Home
from tests.cli.liuhen import liuhen

UNSEATED = "FengShiyi"
# (day, employee): single chats, and messages in them, as WeCom counts
COUNTED = {
    (17, "YangShibing"): (3, 5), (18, "LiShijia"): (1, 2), (18, "SunShiding"): (5, 12), (18, "WuShiding"): (2, 5), (18, "ZhouShiding"): (4, 7),
}  # fmt: skip
# (employee, term): what a reviewer decides
DECIDED = {("FengShiyi", "稳赚不赔"): "violation", ("ZhouShiding", "拒赔大王"): "not_violation", ("ZhouShiding", "投诉模板发你"): "escalated"}
REFUSES = {"userid": "QianShiding", "external_userid": "wmDEMOht83JtbKd8Bsi4eP2GsSDK2K6J", "status": "Disagree", "changed_at": "2026-11-21T09:00:00+08:00"}
HANDED = {"external_userid": "wmDEMOeS79hOj0S_ktOLzRX9RFHY9aq4", "from_userid": "WangShibing", "to_userid": "ZhengShibing", "source": "contacts", "state": "done"}

NAMED = {"userid": "wmDEMOnsEsE14s2MwSXhJS5Z4MQhERuV", "kind": "external", "name": "小王", "alias": None, "department": None, "short_name": None}


def at(day: int, time: str) -> int:
    """Milliseconds of a Beijing time of November 2026."""
    return round(datetime.fromisoformat(f"2026-11-{day}T{time}+08:00").timestamp() * 1000)


def bring(path: Path, userids: Iterable[str], ask: Callable[[str], list[dict[str, Any]]]) -> None:
    """Bring all of it into the walked home. userids: of the firm's employees; ask: rows of a query."""
    home = Home(path)
    _append(home, "seats", [{"day": _day(18), "userid": who, "edition": 1, "asked_at": at(18, "20:00")} for who in userids if who != UNSEATED])
    counted = [(_day(n), who, *counts, at(n + 1, "09:00")) for (n, who), counts in COUNTED.items()]
    _append(home, "behaviour", [dict(zip(("day", "userid", "chats", "messages", "asked_at"), row, strict=True)) for row in counted])
    _append(home, "handovers", [{**HANDED, "valid_from": at(18, "00:00"), "valid_to": None, "recorded_at": at(18, "09:00")}])
    _append(home, "people", [{**NAMED, "valid_from": at(21, "08:00"), "valid_to": None, "source": "contacts", "recorded_at": at(21, "08:00")}])
    gap = {"after_seq": 101_582, "before_seq": 101_761, "from_at": at(19, "09:00"), "to_at": at(19, "11:30"), "cause": "window", "estimate": None}
    _append(home, "gaps", [{**gap, "run_id": "0" * 32, "detected_at": at(19, "12:00")}])
    (path.parent / "refusal.jsonl").write_text(json.dumps(REFUSES) + "\n")
    assert liuhen(path, "consent", "import", str(path.parent / "refusal.jsonl")).code == 0
    for (who, term), decision in DECIDED.items():
        [found] = ask(f"SELECT finding_id FROM matches WHERE employee_id = '{who}' AND term = '{term}'")
        ended = liuhen(path, "review", "decide", found["finding_id"], decision, "--reason", "演示")
        assert ended.code == 0, ended.err


def _day(n: int) -> int:
    return clock.beijing_day(at(n, "12:00"))


def _append(home: Home, kind: str, rows: list[dict[str, Any]]) -> None:
    ingest.append(home, CORP_ID, [(kind, schema.table(kind, {name: [row[name] for row in rows] for name in rows[0]}))], what=kind)
