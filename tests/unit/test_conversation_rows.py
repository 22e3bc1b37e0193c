"""A conversation as rows: the same lines, nothing dropped, gaps and held records among them."""

from __future__ import annotations

from typing import Any

from pipeline import conversation_rows
from pipeline.transcript import lines_of
from tests.unit.test_conversation import at, finding, message, recall

MESSAGES = [
    message(1, "lina", "这款保本", 0, recalled_at=at(2), recalled_by="lina"), message(3, "wmwang", "", 3, msgtype="image", parts=[]), recall(2, "lina", "m1", 2),
]  # fmt: skip
MEDIA = [{"msgid": "m3", "origin": "sealed", "seq": 3, "kind": "image", "file_name": None, "status": "verified", "size": 12, "sha256": "ab", "declared_size": 12}]
GAP = {"after_seq": 3, "before_seq": 9, "from_at": at(4), "to_at": at(5), "cause": "window"}


def test_every_line_is_a_row_but_the_headings_of_days() -> None:
    lines = lines_of(MESSAGES, findings=[finding("f1", "m1", 2, 4)], media=MEDIA, gaps=[GAP], held=[{"origin": "sealed", "seq": 4, "fate": "withheld"}])
    rows: list[dict[str, Any]] = [dict(zip(conversation_rows.NAMES, row, strict=True)) for row in conversation_rows.rows_of(lines, "en")]
    assert [row["line"] for row in rows] == ["message", "recall", "message", "gap", "held"]  # the gap stands after its lower seq
    first, second, third, gap, held = rows
    assert (first["text"], first["sender_id"], first["recalled_by"], first["msgid"], first["seq"]) == ("这款保本", "lina", "lina", "m1", 1)
    assert [(f["rule_id"], f["severity"]) for f in first["findings"]] == [("promise", "high")]
    assert (second["msgtype"], second["sender_id"], second["text"]) == ("revoke", "lina", None)
    assert (third["text"], third["files"]) == (None, [{"kind": "image", "name": None, "status": "verified", "size": 12, "sha256": "ab"}])
    assert held["note"] and gap["note"] and held["text"] is gap["text"] is None


def test_the_columns_are_those_of_the_rows() -> None:
    assert tuple(c.name for c in conversation_rows.columns("zh")) == conversation_rows.NAMES
    assert {c.name: c.type for c in conversation_rows.columns("zh")}["sent_at"] == "timestamp"
