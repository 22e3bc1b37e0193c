"""The schemas are data, and the data is held to a form."""

from __future__ import annotations

import json
from typing import Any

import pyarrow as pa
import pytest

from pipeline import schema
from pipeline.records import Part, Quote
from pipeline.resources import data_folder

FILES = sorted(p.name for p in data_folder("schemas").glob("*.v1.json") if p.name != "leaf.v1.json")


def test_every_declared_kind_has_a_file_and_every_file_is_declared() -> None:
    assert sorted(f"{k}.v1.json" for k in schema.KINDS) == FILES


@pytest.mark.parametrize("name", schema.KINDS)
def test_a_kind_is_well_formed(name: str) -> None:
    text = json.loads((data_folder("schemas") / f"{name}.v1.json").read_text("utf-8"))
    assert set(text) == {"kind", "version", "doc", "key_unit", "order", "statistics", "second_key", "columns"}
    declared = schema.kind(name)
    columns = [c.name for c in declared.columns]
    assert declared.kind == name and declared.version == 1 and declared.doc
    assert len(columns) == len(set(columns))
    assert set(declared.order) <= set(columns) and set(declared.statistics) <= set(columns) and set(declared.second_key) <= set(columns)
    assert all(c.type in schema.TYPES for c in declared.columns)


@pytest.mark.parametrize("name", schema.KINDS)
def test_statistics_never_cover_what_people_wrote(name: str) -> None:
    telling = {"text", "parts", "raw", "text_clear", "parts_clear", "matched_text", "file_name", "name", "reason", "envelope", "plaintext"}
    assert not telling & set(schema.kind(name).statistics)


def test_a_column_means_the_same_type_in_every_kind() -> None:
    seen: dict[str, str] = {}
    for name in schema.KINDS:
        for c in schema.kind(name).columns:
            assert seen.setdefault(c.name, c.type) == c.type, f"{name}.{c.name}"


def test_the_leaf_fields_are_never_changed_without_a_new_version() -> None:
    text = json.loads((data_folder("schemas") / "leaf.v1.json").read_text("utf-8"))
    assert text["label"] == "liuhen-record-v1"
    assert text["groups"] == {
        "text": ["text", "parts"],
        "parties": ["sender_id", "recipient_ids", "room_id"],
        "rest": [
            "corp_id", "origin", "seq", "fate", "msgid", "kind", "action", "msgtype", "sent_at_ms", "captured_at_ms", "key_version",
            "raw_commitment", "sealed_sha256", "media", "reason", "scope_ref", "code",
        ],
    }  # fmt: skip


PARTS, QUOTES = schema.TYPES["list<part>"], schema.TYPES["list<quote>"]


@pytest.mark.parametrize(
    ("values", "wanted", "expected"),
    [
        pytest.param([(Part("a", "甲"), Part("b", "乙")), (), (Part("c", ""),)], PARTS, [[("a", "甲"), ("b", "乙")], [], [("c", "")]], id="structs"),
        pytest.param([None, (Part("a", "甲"),), None], PARTS, [None, [("a", "甲")], None], id="structs, some absent"),
        pytest.param([(), ()], PARTS, [[], []], id="empty lists"),
        pytest.param([None, None], PARTS, [None, None], id="nothing"),
        pytest.param([[("a", "甲")], [("b", "乙")]], PARTS, [[("a", "甲")], [("b", "乙")]], id="tuples"),
        pytest.param([(Quote(0, 1, 2),), ()], QUOTES, [[(0, 1, 2)], []], id="numbers in structs"),
        pytest.param([("wmA", "wmB"), (), ["wmC"], None], pa.list_(pa.string()), [["wmA", "wmB"], [], ["wmC"], None], id="texts in lists"),
        pytest.param([[b"x"], [b"y", b"z"]], pa.list_(pa.binary()), [[b"x"], [b"y", b"z"]], id="bytes in lists"),
        pytest.param(["甲".encode(), b"", None], pa.string(), ["甲", "", None], id="texts as bytes"),
        pytest.param([None, b"a"], pa.string(), [None, "a"], id="texts as bytes, the first absent"),
    ],
)  # fmt: skip
def test_columns_are_made_as_arrow_makes_them(values: list[Any], wanted: pa.DataType, expected: list[Any]) -> None:
    made = schema._array(values, wanted)
    made.validate(full=True)
    assert made.equals(pa.array(expected, wanted))


def test_bytes_that_are_no_utf_8_become_no_text() -> None:
    with pytest.raises(pa.ArrowInvalid):
        schema._array([b"a", b"\xff"], pa.string())


def test_a_value_in_a_column_that_does_not_exist_is_a_mistake_told_at_once() -> None:
    with pytest.raises(KeyError, match="no column"):
        schema.table("acks", {"what": ["failed"], "untill_leaf": [1]})
