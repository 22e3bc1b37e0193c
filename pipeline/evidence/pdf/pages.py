"""The lines of a conversation as data for the template conversation.typ.

Before: transcript.py, conversation.py (words of a line). After: views.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pipeline import conversation, words
from pipeline.transcript import DayLine, Line, MessageLine, RecallLine
from pipeline.words import Lang


def lines_of(lines: Sequence[Line], lang: Lang) -> list[dict[str, Any]]:
    """Return what the template writes of each line."""
    return [_line(line, lang) for line in lines]


def _line(line: Line, lang: Lang) -> dict[str, Any]:
    if isinstance(line, MessageLine):
        return _message(line, lang)
    if isinstance(line, RecallLine):
        return {"kind": "note", "head": f"{_when(line.at_ms, lang)} {conversation.recall_text(line, lang)} · {line.msgid}"}
    return {"kind": "day" if isinstance(line, DayLine) else "note", "head": conversation.note_text(line, lang)}


def _message(line: MessageLine, lang: Lang) -> dict[str, Any]:
    head = f"{_when(line.at_ms, lang)} · {conversation.person_text(line.sender)} · {words.label('sender_kind', line.sender.kind, lang)} · {line.msgid}"
    kind = conversation.type_text(line, lang)
    said = [f"[{kind}]"] if kind else []
    for block in line.blocks:
        label = conversation.block_label(block.path, lang)
        text = "".join(s.text for s in block.segments)
        said.append(f"{label}: {text}" if label else text)
    said += [f"[{conversation.media_text(m, lang)}{f' · SHA-256 {m.sha256}' if m.sha256 else ''}]" for m in line.media]
    recalled = conversation.recalled_text(line, lang)
    return {"kind": "message", "head": head, "body": said, "remarks": [recalled] if recalled else [], "struck": bool(recalled)}


def _when(at_ms: int | None, lang: Lang) -> str:
    if at_ms is None:
        return words.say("conversation.time_unknown", lang)
    return words.beijing(at_ms, lang)
