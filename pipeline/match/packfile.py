"""Read a keyword pack: a YAML file of rules with their proof, or a plain list of one term a line.

Before: errors.py. After: lexicon.py.

A refusal is a UsageError that names the pack and the rule (YAML) or the line (list):
LEXICON_UNREADABLE  not UTF-8, not YAML, a key twice, larger than 64 MiB
LEXICON_INVALID     a field is missing, unknown or of the wrong type; a term, phrase or id that cannot work
LEXICON_EMPTY       a list without a term
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Iterator
from typing import Annotated, Any, Literal, TypeVar

import msgspec
import yaml

from pipeline.errors import UsageError
from pipeline.match.fold import fold_chars
from pipeline.records import Direction, PartyKind, Severity

MAX_BYTES = 64 * 1024 * 1024
MAX_TERM = 200  # characters
T = TypeVar("T")
_UNREADABLE = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff\ufffd]")  # control characters, half a character, the mark of a damaged one
_ID = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"

Id = Annotated[str, msgspec.Meta(pattern=_ID)]
Category = Annotated[str, msgspec.Meta(pattern=r"^[A-Z][A-Za-z0-9_-]{0,31}$")]
Sentence = Annotated[str, msgspec.Meta(min_length=1)]


class Title(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A rule's name for officers."""

    zh: Sentence
    en: Sentence


class Example(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A sentence that proves a rule, said by `party` (when absent: by whom the rule is about)."""

    text: Sentence
    party: PartyKind | None = None


class Examples(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a rule must find, and what it must leave alone (finding and suppressing it is leaving it alone)."""

    must_match: tuple[str | Example, ...] = ()
    must_not_match: tuple[str | Example, ...] = ()


class Rule(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One thing nobody should say.

    party: whose words it is about. terms: what is looked for. allow: phrases that excuse a hit they cover or overlap.
    negations: whether a negation word before a hit takes it back. direction, msgtypes: only in such messages.
    basis: the regulation. source: where the terms were taken from.
    """

    id: Id
    category: Category
    title: Title
    severity: Severity
    party: Literal["employee", "external", "any"]
    terms: Annotated[tuple[str, ...], msgspec.Meta(min_length=1)]
    allow: tuple[str, ...] = ()
    negations: bool = False
    direction: Direction | None = None
    msgtypes: tuple[str, ...] = ()
    basis: str = ""
    source: str = ""
    examples: Examples = Examples()


class Pack(msgspec.Struct, frozen=True, kw_only=True):
    """A pack as read. duplicates: lines of a plain list that repeated an earlier one."""

    id: Id
    owner: str
    reason: str
    since: datetime.date | None
    language: str
    rules: tuple[Rule, ...]
    duplicates: int = 0


class _PackHead(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The top of a YAML pack; its rules are read one by one so that an error can name the rule."""

    id: Id
    owner: Sentence
    reason: Sentence
    since: datetime.date
    language: Sentence
    rules: Annotated[list[dict[str, Any]], msgspec.Meta(min_length=1)]


class ListOptions(msgspec.Struct, frozen=True, kw_only=True):
    """What the one rule of a plain list is called and how heavy it weighs."""

    id: str
    category: str
    severity: Severity
    party: Literal["employee", "external", "any"] = "any"


class PackSource(msgspec.Struct, frozen=True):
    """A pack file: `name` to call it by, its bytes, its kind, and for a plain list its options."""

    name: str
    data: bytes
    kind: Literal["yaml", "txt"]
    options: ListOptions | None = None


def read_pack(source: PackSource) -> Pack:
    """Return the pack in `source`, validated but not yet proven; raises UsageError as listed at the top."""
    if len(source.data) > MAX_BYTES:
        raise _refused("LEXICON_UNREADABLE", source.name, f"the file is larger than {MAX_BYTES} bytes", "split it")
    return _read_yaml(source) if source.kind == "yaml" else _read_list(source)


def _refused(code: str, where: str, what: str, remedy: str) -> UsageError:
    return UsageError(code, f"keyword pack {where}: {what}", remedy=remedy)


# --- YAML ---------------------------------------------------------------------------------------------------------


def _read_yaml(source: PackSource) -> Pack:
    head = _convert(_parse(source), _PackHead, source.name, "the pack")
    rules = tuple(_rule(entry, number, head.id) for number, entry in enumerate(head.rules, 1))
    _refuse_repeats([rule.id for rule in rules], head.id, "rule id")
    return Pack(id=head.id, owner=head.owner, reason=head.reason, since=head.since, language=head.language, rules=rules)


def _parse(source: PackSource) -> Any:
    loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # the C one takes a thirtieth of the time
    try:
        text = source.data.decode("utf-8-sig")
        line = _line_of_repeated_key(yaml.compose(text, Loader=loader))
        value = yaml.load(text, Loader=loader) if line is None else None
    except UnicodeDecodeError as error:
        bad = source.data.count(b"\n", 0, error.start) + 1
        raise _refused("LEXICON_UNREADABLE", source.name, f"line {bad} is not valid UTF-8", "save the file as UTF-8") from None
    except yaml.MarkedYAMLError as error:
        bad = error.problem_mark.line + 1 if error.problem_mark else 1
        raise _refused("LEXICON_UNREADABLE", source.name, f"line {bad} is not valid YAML: {error.problem}", "correct the line") from None
    except (yaml.YAMLError, TypeError, ValueError, RecursionError):
        raise _refused("LEXICON_UNREADABLE", source.name, "the file is not valid YAML", "compare it with a pack that was shipped") from None
    if line is not None:
        raise _refused("LEXICON_UNREADABLE", source.name, f"line {line} gives a key a second time", "remove one")
    return value


def _line_of_repeated_key(root: Any) -> int | None:
    """The line (from 1) of a key that its mapping has twice; PyYAML would keep the last and lose the other without a word."""
    nodes, seen = [root], set[int]()
    while nodes:
        node = nodes.pop()
        if id(node) in seen or not isinstance(node, yaml.CollectionNode):
            continue
        seen.add(id(node))
        keys: set[str] = set()
        for child in node.value:
            if isinstance(node, yaml.MappingNode):
                key, child = child
                if key.value in keys:
                    return int(key.start_mark.line) + 1
                keys.add(str(key.value))
            nodes.append(child)
    return None


def _convert(value: Any, kind: type[T], where: str, what: str) -> T:
    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        raise _refused("LEXICON_INVALID", where, f"{what} is not as expected: {error}", "see keywords/README.md") from None


def _rule(entry: dict[str, Any], number: int, pack_id: str) -> Rule:
    name = entry.get("id") if isinstance(entry.get("id"), str) else None
    where = f"{pack_id}, rule {name or f'number {number}'}"
    rule = _convert(entry, Rule, where, "the rule")
    for kind, phrases in (("term", rule.terms), ("allow phrase", rule.allow)):
        _refuse_repeats(phrases, where, kind)
        for at, phrase in enumerate(phrases, 1):
            if fault := _fault(phrase):
                raise _refused("LEXICON_INVALID", where, f"{kind} number {at} {fault}", "correct or remove it")
    return rule


def _refuse_repeats(values: tuple[str, ...] | list[str], where: str, kind: str) -> None:
    seen: set[str] = set()
    for value in values:
        if value in seen:
            raise _refused("LEXICON_INVALID", where, f"the {kind} {value!r} is given twice", "remove one")
        seen.add(value)


def _fault(phrase: str) -> str | None:
    """Why `phrase` cannot be looked for, or None."""
    if phrase != phrase.strip():
        return "begins or ends with a space"
    if len(phrase) > MAX_TERM:
        return f"is longer than {MAX_TERM} characters"
    if _UNREADABLE.search(phrase):
        return "holds a control character or the mark of a damaged one"
    if len(phrase) < 2 or len(fold_chars(phrase)) < 2:
        return "has fewer than 2 visible characters, which would be found everywhere"
    return None


# --- plain lists --------------------------------------------------------------------------------------------------


def _read_list(source: PackSource) -> Pack:
    options = source.options
    if options is None:
        raise _refused("LEXICON_INVALID", source.name, "a plain list needs an id, a category and a severity", "give them with the file")
    lines = list(_list_lines(source))
    terms = tuple(dict.fromkeys(lines))
    if not terms:
        raise _refused("LEXICON_EMPTY", source.name, "the list holds no term", "put one term on each line")
    entry = {"id": options.id, "category": options.category, "title": {"zh": options.id, "en": options.id}, "terms": terms}
    rule = _convert(entry | {"severity": options.severity, "party": options.party}, Rule, source.name, "the list")
    return Pack(id=rule.id, owner="", reason="", since=None, language="", rules=(rule,), duplicates=len(lines) - len(terms))


def _list_lines(source: PackSource) -> Iterator[str]:
    """The terms of a plain list: lines without blanks around them, empty ones and comments skipped."""
    data = source.data.removeprefix(b"\xef\xbb\xbf")
    for number, line in enumerate(re.split(rb"\r\n|\n|\r", data), 1):
        try:
            term = line.decode("utf-8").strip()
        except UnicodeDecodeError:
            raise _refused("LEXICON_UNREADABLE", source.name, f"line {number} is not valid UTF-8", "save the file as UTF-8") from None
        if not term or term.startswith("#"):
            continue
        if fault := _fault(term):
            raise _refused("LEXICON_INVALID", source.name, f"the term in line {number} {fault}", "correct or remove the line")
        yield term
