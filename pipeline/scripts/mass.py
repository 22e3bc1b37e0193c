"""The firm's mass messages are not charged to the member who confirmed them.

Before: ../wecom/statistics.py (get_groupmsg_list_v2), store.py. After: covering.py.

Rules:
 (1) What a member wrote (create_type 1) stays the member's own.
 (2) A mass message of the firm holds from the Beijing day it was made for DAYS days: members confirm later than that hardly ever.
 (3) Nothing is hidden by it: its hits are kept, suppressed by `approved/mass-MSGID`, and `judged` says once what the message itself would be
     charged with, so that whoever made it is asked, not the hundred members who confirmed it.
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Iterable
from typing import Final, NamedTuple

from pipeline import clock
from pipeline.home import Home
from pipeline.match import matching
from pipeline.match.fold import fold
from pipeline.match.lexicon import Lexicon, live, said
from pipeline.scripts import store
from pipeline.scripts.texts import SHORTEST, ApprovedText
from pipeline.wecom.statistics import MassMessage

DAYS: Final = 30
_UNFIT: Final = re.compile(r"[^A-Za-z0-9._-]")


class Judged(NamedTuple):
    """A text and the rules that fire on it when an employee says it."""

    text: ApprovedText
    rules: tuple[str, ...]


def take(home: Home, messages: Iterable[MassMessage]) -> int:
    """Add the firm's mass messages to the approved texts of `home`; return how many were new. Safe to repeat."""
    known = {text.key for text in store.load(home)}
    texts = {text.key: text for message in messages if (text := approved(message)) is not None and text.key not in known}
    return store.add(home, texts.values())


def approved(message: MassMessage) -> ApprovedText | None:
    """Return the mass message as an approved text; None for a member's own, one without a time, or one whose text is too short (rule 1)."""
    if message.by_member or message.text is None or message.created_ms is None or len(fold(message.text)) < SHORTEST:
        return None
    first = datetime.date(1970, 1, 1) + datetime.timedelta(days=clock.beijing_day(message.created_ms))
    return ApprovedText(
        id=f"mass-{_UNFIT.sub('-', message.msgid)[:100]}", approver=message.creator or "-", valid_from=first, valid_to=first + datetime.timedelta(days=DAYS),
        text=message.text, source="mass",
    )  # fmt: skip


def judged(texts: Iterable[ApprovedText], lexicon: Lexicon) -> list[Judged]:
    """Return each text with the rules that would fire on it: what the one who made or approved it answers for (rule 3)."""
    return [Judged(text, tuple(dict.fromkeys(f.rule_id for f in live(matching.find(*said(text.text, "employee"), lexicon)[0])))) for text in texts]
