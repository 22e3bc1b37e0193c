"""Public samples of decrypted messages: every text an officer must find, every file, nothing invented."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from pipeline import message
from pipeline.records import Message

pytestmark = pytest.mark.fixtures
CAPTURED = 1_764_000_000_000
KINDS = {"revoke": "recall", "agree": "control", "disagree": "control", "switch": "control"}


def samples() -> list[Any]:
    folder = os.environ.get("LIUHEN_FIXTURES")
    if not folder:
        return [pytest.param(None, marks=pytest.mark.skip(reason="LIUHEN_FIXTURES does not name the folder of public test data"))]
    lines = [line for name in ("wxjava", "skit") for line in (Path(folder) / "messages" / f"{name}.jsonl").read_text("utf-8").splitlines()]
    return [pytest.param(sample, id=f"{sample['id']}-{sample['msgtype']}") for sample in map(json.loads, lines)]


def read(document: dict[str, Any]) -> Message:
    return message.parse(json.dumps(document, ensure_ascii=False).encode(), msgid=document["msgid"], captured_at_ms=CAPTURED)


@pytest.mark.parametrize("sample", samples())
def test_every_text_is_found_and_only_texts_that_are_allowed(sample: dict[str, Any]) -> None:
    texts = [part.text for part in read(sample["message"]).parts]
    assert sorted(set(sample["texts"]) - set(texts)) == []
    assert sorted(set(texts) - set(sample["texts"]) - set(sample.get("texts_optional", []))) == []


@pytest.mark.parametrize("sample", samples())
def test_every_file_is_found_with_its_size_and_digest(sample: dict[str, Any]) -> None:
    found = read(sample["message"])
    assert [{"sdkfileid": m.sdkfileid, "md5sum": m.declared_md5, "filesize": m.declared_size} for m in found.media] == sample["media"]
    assert b"sdkfileid" not in found.canonical


@pytest.mark.parametrize("sample", samples())
def test_the_kind_and_the_people_are_as_sent(sample: dict[str, Any]) -> None:
    found, sent = read(sample["message"]), sample["message"]
    assert found.kind == KINDS.get(sample["msgtype"], "message")
    assert (found.sender_id, list(found.recipient_ids)) == (sent.get("from"), sent.get("tolist", []))
    assert (found.room_id or "") == sent.get("roomid", "")
    assert found.action == sent["action"]
