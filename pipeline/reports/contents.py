"""Which audits a pack holds, in which order, with which parameters beside its days.

Before: ../audit.py. After: gather.py. Data alone: to add an audit, add a line.
"""

from __future__ import annotations

from typing import Final

import msgspec


class Entry(msgspec.Struct, frozen=True):
    """One question of the pack. sheet: its name in the workbook (zh), at most 31 characters, unlike any other; given: its parameters."""

    audit: str
    sheet: str
    given: dict[str, str] = {}


# In the order in which a supervisor reads: is it whole, how much, what was found, what was done about it, how people behave.
PACK: Final = (
    Entry("coverage", "完整性对账"),
    Entry("source-gaps", "缺口"),
    Entry("unopened", "未能打开"),
    Entry("licensed-chatting", "席位与聊天"),
    Entry("behaviour-archive", "行为统计对照"),
    Entry("consent-answers", "同意覆盖率"),
    Entry("refusals-by-employee", "不同意率"),
    Entry("volume", "消息量-按日", {"by": "day"}),
    Entry("volume", "消息量-按部门", {"by": "department"}),
    Entry("volume", "消息量-按员工", {"by": "employee"}),
    Entry("findings", "命中-按规则", {"by": "rule"}),
    Entry("findings", "命中-按类别", {"by": "category"}),
    Entry("findings", "命中-按部门", {"by": "department"}),
    Entry("findings", "命中-按员工", {"by": "employee"}),
    Entry("findings", "命中-按级别", {"by": "severity"}),
    Entry("findings", "命中-按待审天数", {"by": "age"}),
    Entry("findings-ageing", "待审命中"),
    Entry("reviewers", "审查工作量"),
    Entry("repeat-offenders", "反复出现"),
    Entry("promises-undisclosed", "承诺未提示"),
    Entry("sales-without-disclosures", "销售缺提示"),
    Entry("off-channel", "引向其他渠道"),
    Entry("same-text", "同文群发"),
    Entry("recalls-near-money", "撤回与金钱"),
    Entry("recalls-near-findings", "撤回与命中"),
    Entry("unanswered", "未获回复"),
    Entry("off-hours", "夜间与周末"),
    Entry("handover-followup", "客户交接"),
    Entry("red-packets", "红包"),
    Entry("personal-data", "个人信息"),
)
# What the charts are drawn from: the same questions over the months before.
MONTHS_DRAWN: Final = 12
