"""Read a keyword pack: a YAML file of rules with their proof, or a plain list of one term a line.

Before: rules.py. After: lexicon.py.

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
import re2
import yaml

from pipeline.errors import UsageError
from pipeline.match.fold import fold_chars
from pipeline.match.rules import DEFAULT_VARIANTS, Context, Example, Examples, Id, Pack, Party, Rule, Sentence, Title
from pipeline.match.tables import Table
from pipeline.records import Severity

__all__ = ["Example", "Examples", "ListOptions", "Pack", "PackSource", "Rule", "Title", "compile_pattern", "read_pack"]

MAX_BYTES = 64 * 1024 * 1024
MAX_TERM = 200  # characters
MAX_DISCLOSURE = 2_000
T = TypeVar("T")
_UNREADABLE = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff\ufffd]")  # control characters, half a character, the mark of a damaged one
LONGEST_PATTERN = 1_000  # characters of a regular expression
PATTERN_MEMORY = 8 << 20  # bytes that RE2 may take for one


class _PackHead(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The top of a YAML pack; its rules are read one by one so that an error can name the rule."""

    id: Id
    owner: Sentence
    reason: Sentence
    since: datetime.date
    language: Sentence
    rules: Annotated[list[dict[str, Any]], msgspec.Meta(min_length=1)]
    folds: dict[Literal["invisible", "enclosed", "width", "case", "simplified", "separators", "digits", "repeats"], bool] = {}
    variants: tuple[Table, ...] = DEFAULT_VARIANTS
    split: bool = True
    disclosures: tuple[Sentence, ...] = ()
    training: tuple[Sentence, ...] = ()


class ListOptions(msgspec.Struct, frozen=True, kw_only=True):
    """What the one rule of a plain list is called and how heavy it weighs."""

    id: str
    category: str
    severity: Severity
    party: Party = "any"


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
    rules = tuple(_inherit(_rule(entry, number, head.id), head) for number, entry in enumerate(head.rules, 1))
    _refuse_repeats([rule.id for rule in rules], head.id, "rule id")
    for at, text in enumerate(head.disclosures, 1):
        if fault := _fault(text, most=MAX_DISCLOSURE):
            raise _refused("LEXICON_INVALID", head.id, f"disclosure number {at} {fault}", "correct or remove it")
    return Pack(
        id=head.id, owner=head.owner, reason=head.reason, since=head.since, language=head.language, rules=rules, folds={str(name): wanted for name, wanted in head.folds.items()},
        disclosures=head.disclosures, training=head.training,
    )  # fmt: skip


def _inherit(rule: Rule, head: _PackHead) -> Rule:
    return msgspec.structs.replace(
        rule, variants=head.variants if rule.variants is None else rule.variants, split=head.split if rule.split is None else rule.split,
        owner=rule.owner or head.owner,
    )  # fmt: skip


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
    if fault := _what_is_missing(rule):
        raise _refused("LEXICON_INVALID", where, fault, "see keywords/README.md")
    least = 1 if rule.near or rule.all_of else 2
    short = _context_words(rule.context) + tuple(w for near in rule.near for w in near.any) + tuple(w for group in rule.all_of for w in group)
    for kind, phrases, fewest in (
        ("term", rule.terms, least), ("allow phrase", rule.allow, 2), ("asked term", rule.context.asked.terms if rule.context and rule.context.asked else (), 2),
        ("short term for pinyin", rule.pinyin_short, 2),
    ):  # fmt: skip
        _refuse_repeats(phrases, where, kind)
        _refuse_faulty(phrases, where, kind, fewest)
    _refuse_faulty((*short, *rule.any_of, *rule.none_of), where, "word", 1)
    for at, pattern in enumerate(rule.patterns, 1):
        if fault := _pattern_fault(pattern):
            raise _refused("LEXICON_INVALID", where, f"pattern number {at} {fault}", "see keywords/README.md, regular expressions")
    return rule


def _refuse_faulty(phrases: tuple[str, ...], where: str, kind: str, fewest: int) -> None:
    for at, phrase in enumerate(phrases, 1):
        if fault := _fault(phrase, fewest=fewest):
            raise _refused("LEXICON_INVALID", where, f"{kind} number {at} {fault}", "correct or remove it")


def _context_words(context: Context | None) -> tuple[str, ...]:
    if context is None:
        return ()
    found = [*context.affirmed, *context.leads, *(w for group in context.together for w in group)]
    return (*found, *(context.recalls.near if context.recalls else ()), *(context.missing.any if context.missing else ()))


def _what_is_missing(rule: Rule) -> str | None:
    """Why the rule as a whole cannot work, or None."""
    context = rule.context
    if not (rule.terms or rule.patterns or rule.pii or context):
        return "the rule has neither terms nor patterns nor pii nor context"
    if rule.valid.from_ and rule.valid.to and rule.valid.to < rule.valid.from_:
        return "the rule's validity ends before it begins"
    if context is None:
        return None
    kinds = [bool(context.asked), bool(context.together), bool(context.then_silence), bool(context.recalls), bool(context.missing)]
    if sum(kinds) != 1:
        return "a context has exactly one of asked, together, then_silence, recalls, missing"
    if context.asked and not context.affirmed:
        return "a context that asks needs the words that affirm"
    if context.together and len(context.together) < 2:
        return "a context that looks for words together needs two groups"
    if (context.then_silence or context.missing) and not (rule.terms or rule.patterns):
        return "this context needs terms of the rule"
    if (context.asked or context.together or context.recalls) and (rule.terms or rule.patterns):
        return "this context brings its own words: the rule has no terms or patterns beside it"
    return None


def _pattern_fault(pattern: str) -> str | None:
    """Why RE2 cannot search for `pattern`, or None."""
    if len(pattern) > LONGEST_PATTERN:
        return f"is longer than {LONGEST_PATTERN} characters"
    try:
        compiled = compile_pattern(pattern)
    except re2.error:
        return "is no regular expression that RE2 takes (it has no look-around and no back-references)"
    return "matches the empty text" if compiled.search("") else None


def compile_pattern(pattern: str) -> Any:
    """Return the compiled RE2 expression, which searches in linear time; raises re2.error."""
    options = re2.Options()
    options.log_errors = False
    options.max_mem = PATTERN_MEMORY
    return re2.compile(pattern, options)


def _refuse_repeats(values: tuple[str, ...] | list[str], where: str, kind: str) -> None:
    seen: set[str] = set()
    for value in values:
        if value in seen:
            raise _refused("LEXICON_INVALID", where, f"the {kind} {value!r} is given twice", "remove one")
        seen.add(value)


def _fault(phrase: str, *, fewest: int = 2, most: int = MAX_TERM) -> str | None:
    """Why `phrase` cannot be looked for, or None."""
    if phrase != phrase.strip():
        return "begins or ends with a space"
    if len(phrase) > most:
        return f"is longer than {most} characters"
    if _UNREADABLE.search(phrase):
        return "holds a control character or the mark of a damaged one"
    if len(phrase) < fewest or len(fold_chars(phrase)) < fewest:
        return f"has fewer than {fewest} visible characters, which would be found everywhere"
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
    rule = _convert(entry | {"severity": options.severity, "party": options.party, "variants": DEFAULT_VARIANTS, "split": True}, Rule, source.name, "the list")
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
