"""What goes into a bundle, gathered: the value that its parts are written from.

Before: records.py, matter.py, scope.py, checkpoint.py. After: bundle.py (gathers and writes it), report.py, views.py, redaction/masking.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from pipeline.evidence.checkpoint import Checkpoint
from pipeline.evidence.matter import Matter
from pipeline.evidence.records import Told
from pipeline.evidence.scope import Scope
from pipeline.words import Lang

BAG = "case"  # the folder in the zip
LANGS: tuple[Lang, ...] = ("zh", "en")  # of pages and of the report


class Bundle(msgspec.Struct, frozen=True, kw_only=True):
    """What goes into a bundle, gathered.

    points: checkpoints up to the bundle's; notes: further sentences of page 1 (`report.note.*`); people: rows of the view;
    masks: the log of a redacted set, None in a full one; keys: (modulus, exponent) of each version, where decryption is proved."""

    matter: Matter
    corp_id: str
    scope: Scope
    point: Checkpoint
    told: Sequence[Told]
    leaves: Sequence[int]
    held: Sequence[dict[str, Any]]
    coverage: dict[str, Any]
    accounts: list[dict[str, Any]]
    consent: list[dict[str, Any]]
    pulls: list[dict[str, Any]]
    demo: bool
    points: int
    notes: tuple[str, ...] = ()
    mode: str = "single"
    destination: str = ""
    people: Sequence[dict[str, Any]] = []
    notices: list[dict[str, Any]] = []
    masks: Sequence[dict[str, Any]] | None = None
    keys: dict[int, tuple[int, int]] = {}
