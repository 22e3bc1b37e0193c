"""What the program's errors say, in Chinese: an English sentence → the Chinese one.

Before: resources.py. After: words.py (errors for a person) and every place that shows a sentence which was stored or came over in English.
The table is schemas/sentences.yaml: English template → Chinese template. Errors keep their English sentence: what is logged, stored and read by
machines stays stable, and a sentence that crossed a process or was kept for years is told in Chinese all the same.

Rules:
 (1) a sentence is known by the template that it was made from: `{name}` stands for any value, the template with most words of its own wins.
 (2) a value that is itself a sentence of the table, or a known one of several words ("{what}: the disk is full"), is told in Chinese too; any other stays as it is.
 (3) a template of nothing but values and signs comes first and holds only when each value is a known sentence: what somebody else wrote is
     not taken apart. Its first value is as long as can be ("writing a: b: the disk is full").
 (4) a list of ours, known by the name of its value (LISTS), has the comma of Chinese lists between its words; roles have their Chinese names.
 (5) what is longer than LONGEST characters, or stands in more than DEEPEST others, is not looked at: somebody's value may hold our words again and again.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache

import yaml

from pipeline.resources import data_folder

LONGEST, DEEPEST = 2_000, 4
LISTS = frozenset({"choices", "classes", "decisions", "events", "fields", "holders", "kinds", "known", "left", "names", "roles", "states"})
_VALUE = re.compile(r"\{(\w+)\}")


def in_chinese(sentence: str, depth: int = 0) -> str | None:
    """Return the Chinese of an English sentence of ours, None when the table has none. depth: in how many others it stands (rule 5)."""
    fixed, shaped = _table()
    if sentence in fixed:
        return fixed[sentence]
    if len(sentence) > LONGEST or depth > DEEPEST:
        return None
    return _from_shapes(sentence, shaped, depth) or _beside().get(sentence)


def _from_shapes(sentence: str, shaped: Sequence[tuple[re.Pattern[str], str, bool]], depth: int) -> str | None:
    for shape, chinese, only_known in shaped:
        found = shape.fullmatch(sentence)
        told = _values(found.groupdict(), only_known, depth) if found else None
        if told is not None:
            return _VALUE.sub(lambda name, told=told: told[name[1]], chinese)  # type: ignore[misc]
    return None


def chinese_or_as_is(sentence: str) -> str:
    """Return the Chinese of a sentence of ours, else the sentence."""
    return in_chinese(sentence) or sentence


def _values(found: dict[str, str], only_known: bool, depth: int) -> dict[str, str] | None:
    """Rules 2 and 3."""
    told = {name: in_chinese(value, depth + 1) if " " in value or value in templates() else None for name, value in found.items()}
    if only_known and None in told.values():
        return None
    return {name: value or (_listed(name, found[name]) if name in LISTS else found[name]) for name, value in told.items()}


def _listed(name: str, value: str) -> str:
    """Return a list of ours, its words set apart as in Chinese (rule 4)."""
    if name not in ("holders", "roles"):
        return value.replace(", ", "、")
    from pipeline.roles.table import table

    known = table().roles
    return "、".join(f"{known[one].name.zh}({one})" if one in known else one for one in re.split(", | or ", value))


@cache
def _beside() -> dict[str, str]:
    """Return the sentences that stand with their Chinese in tables of their own: WeCom's errcodes, the parameters of the audits."""
    from pipeline import audit
    from pipeline.wecom import errcodes

    found = {english: chinese for code in errcodes.errcodes() for english, chinese in ((code.en, code.zh), (code.do_en, code.do_zh))}
    return found | {p.help.en: p.help.zh for one in audit.load_audits() for p in one.meta.parameters}


@cache
def templates() -> dict[str, str]:
    """Return the whole table, read once."""
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    table: dict[str, str] = yaml.load((data_folder("schemas") / "sentences.yaml").read_text("utf-8"), Loader=loader)
    return table


@cache
def _table() -> tuple[dict[str, str], list[tuple[re.Pattern[str], str, bool]]]:
    """Return the sentences without values, and the shapes of those with some in the order of the rules."""
    fixed = {english: chinese for english, chinese in templates().items() if not _VALUE.search(english)}
    bare = {t: not re.search("[A-Za-z]", _VALUE.sub("", t)) for t in templates() if t not in fixed}
    ordered = sorted(bare, key=lambda t: (bare[t], len(_VALUE.sub("", t)), t), reverse=True)
    return fixed, [(_shape(t, ".+" if bare[t] else ".+?"), templates()[t], bare[t]) for t in ordered]


def _shape(template: str, value: str) -> re.Pattern[str]:
    """Return the expression for all sentences of a template; a name that comes twice stands for the same value."""
    parts, seen = _VALUE.split(template), set()
    made = [re.escape(parts[0])]
    for name, text in zip(parts[1::2], parts[2::2], strict=True):
        made.append(f"(?P={name})" if name in seen else f"(?P<{name}>{value})")
        seen.add(name)
        made.append(re.escape(text))
    return re.compile("".join(made), re.DOTALL)
