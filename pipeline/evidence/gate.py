"""Where a bundle goes: out of mainland China only with the reference of an approval.

Before: nothing. After: the command `export`. Sources: 数据安全法 36 (no data to foreign judicial or law-enforcement bodies without approval of
the competent authority), 个人信息保护法 38-41 (conditions for personal data going abroad), 证券法 177.

Rules: (1) CN is the default; every other ISO 3166 country, and HK, MO, TW as regions outside the mainland's data rules, needs a reference;
(2) the product cannot judge an approval: it asks for one, and destination and reference stand on page 1 and in custody.
"""

from __future__ import annotations

import re

from pipeline.errors import UsageError

INLAND = "CN"
_COUNTRY = re.compile("[A-Z]{2}")


def check(destination: str, reference: str) -> None:
    """Raise UsageError DESTINATION for what is no country, APPROVAL_REFERENCE for one abroad without a reference."""
    if not _COUNTRY.fullmatch(destination):
        raise UsageError("DESTINATION", "expected a country as two capital letters (ISO 3166), such as CN", remedy="for example --destination HK")
    if destination != INLAND and not reference.strip():
        raise UsageError(
            "APPROVAL_REFERENCE", "data that leaves mainland China needs an approval of the competent authority (数据安全法 36, 个人信息保护法 41)",
            remedy="give its number with --reference, or do not send the bundle there",
        )  # fmt: skip


def told(destination: str, reference: str) -> str:
    """Return what page 1 says: nothing for a bundle that stays."""
    return "" if destination == INLAND else f"{destination} ({reference.strip()})"
