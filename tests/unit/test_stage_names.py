"""What staging computes its own quick way is what the keyring and the format say."""

from __future__ import annotations

import hashlib
import hmac
from pathlib import Path
from typing import Literal

import msgspec
import pytest

from pipeline import schema
from pipeline.commitrows import RecordRow
from pipeline.pseudonyms import Pseudonyms
from pipeline.records import PageRef
from pipeline.stage import Builder
from pipeline.stagerows import Archived, Gathering, HeldRow, MatchRow, MediaRow, SealedRow, message_columns, sealed_columns
from tests import firm


def by_hand(key: bytes, *parts: str) -> bytes:
    """HMAC-SHA-256 over length-prefixed parts, 16 bytes: docs/formats.md, written again with the standard library only."""
    framed = b"".join(len(p.encode()).to_bytes(4, "big") + p.encode() for p in parts)
    return hmac.new(key, framed, hashlib.sha256).digest()[:16]


@pytest.mark.parametrize("what", ["msgid", "content"])
@pytest.mark.parametrize("data", [b"", b"m1", "保本".encode(), b"x" * 5_000])
def test_a_fingerprint_is_the_pseudonym_of_the_digest(tmp_path: Path, what: Literal["msgid", "content"], data: bytes) -> None:
    home = firm.home(tmp_path)
    key = home.keyring.get(home.keyring.current("names"))
    builder = Builder(home, firm.CORP, lexicon_version="", policy_version="", key_fingerprints={})
    found = builder.fingerprint(what, data)
    assert found == by_hand(key, firm.CORP, what, hashlib.sha256(data).hexdigest())
    assert found == home.keyring.pseudonym("names", firm.CORP, what, hashlib.sha256(data).hexdigest())
    assert builder.fingerprint(what, data) == found  # nothing of one call stays for the next


@pytest.mark.parametrize("others", [1, 19, 20, 200], ids=["pair", "last remembered", "first not remembered", "large room"])
def test_subjects_are_everybody_and_every_scope_once_and_sorted(tmp_path: Path, others: int) -> None:
    home = firm.home(tmp_path)
    names, people = Pseudonyms(home, firm.CORP), (None, "zhangsan", "zhangsan", "", *(f"wm{n}" for n in range(others - 1)))
    key = home.keyring.get(home.keyring.current("names"))
    expected = {by_hand(key, firm.CORP, "person", p) for p in people if p} | {by_hand(key, firm.CORP, "scope", "p1:aB")}
    for _ in range(2):
        assert names.subjects(people, ("p1:aB",)) == sorted(expected)


@pytest.mark.parametrize(
    ("kind", "row"),
    [
        ("sealed", SealedRow), ("withheld_sealed", HeldRow), ("pending_sealed", HeldRow), ("media", MediaRow),
        ("matches", MatchRow), ("records", RecordRow),
    ],
)  # fmt: skip
def test_a_row_has_the_columns_of_its_kind_and_leaves_out_only_what_may_be_absent(kind: str, row: type[msgspec.Struct]) -> None:
    may_be_absent = {c.name: c.null for c in schema.kind(kind).columns}
    assert set(row.__struct_fields__) <= set(may_be_absent)
    assert all(null for name, null in may_be_absent.items() if name not in row.__struct_fields__)


def test_columns_written_at_once_are_those_of_their_kind() -> None:
    at = Gathering(ref=PageRef(corp_id="ww1", page="p", uri="", size=0, source="file", name="", captured_at_ms=0), ingested_ms=0, register_version=0, policy_version="")
    none: list[Archived] = []
    assert set(message_columns(at, none)) == {c.name for c in schema.kind("messages").columns}
    assert set(sealed_columns(at.ref, none)) == {c.name for c in schema.kind("sealed").columns}
