"""What becomes of a record when reasons to give it up meet reasons to keep it: the one table, as one function.

Before: nothing. After: judging.py, destroying.py, and whatever removes one day; docs/consent.md shows the same table, and a test compares them.
Sources: PIPL 15, 16, 47 (2), 50; 民诉法解释 113; interface.md, "Consent" 5 and 6; regulation.md 7.

A hold beats everything: who destroys what a dispute needs is punished for it. A statutory period that runs allows keeping and securing,
nothing else (PIPL 47, second paragraph). What was refused before it was sent is never opened, whatever holds.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, Literal, get_args

import msgspec

Occasion = Literal["refused_before_sending", "late_refusal", "withdrawal", "erasure_request", "retention_due"]
Cover = Literal["none", "hold", "statutory"]
State = Literal["never_stored", "restricted", "as_it_was", "removed"]
Removal = Literal["destroyed_unopened", "waits_for_hold", "two_persons", "refused"]


class Outcome(msgspec.Struct, frozen=True):
    """state: how the record stands; removal: what may be done about its bytes; because: the reason to give (a key of words.yaml)."""

    state: State
    removal: Removal
    because: str


_KEPT_BY: Final = {"hold": "precedence.hold", "statutory": "precedence.statutory"}
OCCASIONS: Final = get_args(Occasion)
COVERS: Final = get_args(Cover)


def outcome(occasion: Occasion, cover: Cover, *, withdrawal: Literal["keep", "restrict"] = "keep") -> Outcome:
    """Return what becomes of a record on this occasion under this cover. withdrawal: what the firm's profile says of what was lawful before.

    A statutory cover counts only when its profile was confirmed; several covers at once: the hold (see `strongest`)."""
    if occasion == "refused_before_sending":
        if cover == "hold":
            return Outcome("never_stored", "waits_for_hold", "precedence.hold")
        return Outcome("never_stored", "destroyed_unopened", "precedence.refused")
    if occasion in ("late_refusal", "withdrawal"):
        state: State = "as_it_was" if occasion == "withdrawal" and withdrawal == "keep" else "restricted"
        return Outcome(state, "refused" if cover != "none" else "two_persons", _KEPT_BY.get(cover, f"precedence.{occasion}"))
    if cover == "none":
        return Outcome("removed", "two_persons", f"precedence.{occasion}")
    # Somebody asked for erasure: what must be kept is kept and used for nothing else. What is merely due stays as it was.
    return Outcome("restricted" if occasion == "erasure_request" and cover == "statutory" else "as_it_was", "refused", _KEPT_BY[cover])


def strongest(covers: Iterable[Cover]) -> Cover:
    """Return the cover that decides among several: the hold, then the statutory period."""
    found = set(covers)
    return "hold" if "hold" in found else "statutory" if "statutory" in found else "none"
