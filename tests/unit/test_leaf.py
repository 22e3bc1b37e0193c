"""Commitments: salted by group, canonical, and what a court can check from one group alone."""

from __future__ import annotations

import json
from hashlib import sha256

import msgspec
import pytest

from pipeline import leaf
from pipeline.records import Decision, Gated, MediaRef, Message, OpenedItem, Part
from pipeline.schema import leaf_schema

NONCE = bytes(range(32))
FIELDS = {"text": "保本\n第二行", "parts": [{"path": "text.content", "text": "保本"}], "sender_id": "zhangsan", "recipient_ids": ["wmA"], "seq": 7, "fate": "archived"}


def _number(value: object) -> object:
    return str(value) if isinstance(value, int) and value > 2**53 else value


def by_hand(nonce: bytes, fields: dict[str, object]) -> bytes:
    """The definition in docs/formats.md, written again with the standard library only."""
    label, digests = b"liuhen-record-v1\0", b""
    groups = {
        "text": ["text", "parts"],
        "parties": ["sender_id", "recipient_ids", "room_id"],
        "rest": [
            "corp_id", "origin", "seq", "fate", "msgid", "kind", "action", "msgtype", "sent_at_ms", "captured_at_ms", "key_version",
            "raw_commitment", "sealed_sha256", "media", "reason", "scope_ref", "code",
        ],
    }  # fmt: skip
    for name, columns in groups.items():
        body = json.dumps({c: _number(fields.get(c)) for c in columns}, ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode()
        salt = sha256(nonce + name.encode()).digest()
        digests += sha256(label + name.encode() + b"\0" + salt + len(body).to_bytes(8, "big") + body).digest()
    return sha256(label + digests).digest()


def test_the_commitment_is_what_the_format_says() -> None:
    assert leaf.commitment(NONCE, FIELDS) == by_hand(NONCE, FIELDS)


@pytest.mark.parametrize("field", ["text", "sender_id", "seq", "fate", "recipient_ids", "room_id", "code"])
def test_every_field_counts(field: str) -> None:
    assert leaf.commitment(NONCE, {**FIELDS, field: "other"}) != leaf.commitment(NONCE, FIELDS)


def test_two_records_with_equal_text_have_different_commitments() -> None:
    assert leaf.commitment(leaf.new_nonce(), FIELDS) != leaf.commitment(leaf.new_nonce(), FIELDS)


def test_one_group_can_be_checked_from_its_salt_without_the_nonce() -> None:
    body = leaf.canonical({"text": FIELDS["text"], "parts": FIELDS["parts"]})
    salt = sha256(NONCE + b"text").digest()
    opened = leaf.group_digest_from_salt(salt, "text", body)
    assert opened == leaf.group_digest(NONCE, "text", body)
    others = [leaf.group_digest(NONCE, g, leaf.canonical({n: FIELDS.get(n) for n in leaf_schema().groups[g]})) for g in ("parties", "rest")]
    assert sha256(b"liuhen-record-v1\0" + opened + b"".join(others)).digest() == leaf.commitment(NONCE, FIELDS)


def test_integers_above_two_to_the_53_are_strings() -> None:
    assert leaf.canonical({"seq": 2**53, "x": 2**53 + 1}) == b'{"seq":9007199254740992,"x":"9007199254740993"}'


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('"\\\b\f\n\r\t', r'"\"\\\b\f\n\r\t"'),
        ("\x00\x1f", r'"\u0000\u001f"'),
        ("\x7f\u2028😀é保", '"\x7f\u2028😀é保"'),
        ("</script>", '"</script>"'),
    ],
)
def test_strings_are_written_as_rfc_8785_says(text: str, expected: str) -> None:
    assert leaf.canonical({"t": text}) == ('{"t":' + expected + "}").encode()


def _record(**more: object) -> Gated:
    message = Message(
        msgid="m1", kind="message", action="send", msgtype="text", sender_id="zhangsan", recipient_ids=("wmA", "wmB"), room_id="wr1",
        sent_at_ms=1_795_140_000_123, text="保本\n\"第二行\"", parts=(Part("text.content", "保本"), Part("x", '"第二行"')),
    )  # fmt: skip
    opened = OpenedItem(3, 7, "m1", 2, b'{"msgid":"m1"}', b"k", b'{"seq":7}')
    message = msgspec.structs.replace(message, **{k: v for k, v in more.items() if k in message.__struct_fields__})
    opened = msgspec.structs.replace(opened, **{k: v for k, v in more.items() if k in opened.__struct_fields__ and k != "msgid"})
    return Gated(opened, message, Decision(fate="archived", consent="agree", source="", rule="4", reason="", lawful_basis=()))  # the gate's own value is not what is tested


FILE = MediaRef(ref_no=0, kind="image", path="image", sdkfileid="f", declared_size=2**60, declared_md5="d")


@pytest.mark.parametrize(
    "more",
    [
        pytest.param({}, id="text in a room"), pytest.param({"room_id": None, "sent_at_ms": None, "sender_id": None, "recipient_ids": ()}, id="hardly anything known"),
        pytest.param({"media": (FILE,)}, id="a file"), pytest.param({"seq": 2**53 + 1}, id="seq above 2^53"), pytest.param({"seq": 2**53}, id="seq of 2^53"),
        pytest.param({"key_version": None}, id="import"), pytest.param({"parts": (), "text": ""}, id="no words"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("fate", ["archived", "control"])
def test_the_quick_way_to_a_commitment_is_the_plain_one(more: dict[str, object], fate: str) -> None:
    gated, where = _record(**more), {"corp_id": "ww1", "origin": "sealed", "captured_at_ms": 1_795_140_000_456, "nonce": NONCE, "fate": fate}
    made, sealed = leaf.content_commitment(gated, **where)  # type: ignore[arg-type]  # as named
    assert made == by_hand(NONCE, msgspec.to_builtins(leaf.content_fields(gated, **where)))  # type: ignore[arg-type]  # as named
    assert sealed == (None if gated.opened.key_version is None else sha256(b'{"seq":7}').digest())


def test_no_field_is_in_two_groups() -> None:
    names = [f for fields in leaf_schema().groups.values() for f in fields]
    assert len(names) == len(set(names))
