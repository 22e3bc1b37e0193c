"""The words people read, in Chinese (master) and English, and times as people read them.

Before: resources.py, clock.py. After: cells.py, show.py, conversation.py and every command.
The catalogue is schemas/words.yaml: key → {zh, en}. Everything here only looks up and fills in; nothing is translated by rule.

Rules:
 (1) the language is the option, else LIUHEN_LANG, else LANG, else Chinese; a wrong option or LIUHEN_LANG is refused, a foreign LANG is not.
 (2) both languages of a key take the same placeholders; an unknown key is our own mistake (WORD_MISSING), never shown as a key.
 (3) `{n:record is|records are}` is the word before the bar for one and the one behind it for any other number: English needs it, Chinese does not.
 (4) values that the data holds (a fate, a category of somebody's own pack) are shown as they are when the catalogue has no word for them; one that
     stands in brackets for what has no text (`[video]`) keeps them around its word, and several joined by `, ` are each told by its own.
 (5) times are Beijing time with UTC beside it, to the second, the UTC day added when it is another one.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from functools import cache
from typing import Literal

import yaml

from pipeline import sentences
from pipeline.clock import BEIJING
from pipeline.errors import ArchiveError, UsageError
from pipeline.resources import data_folder

Lang = Literal["zh", "en"]
# A key that is a word of letters (a colon in it has no space behind), then both languages in double quotes.
_ENTRY = re.compile(r'^([a-z_]+\.(?:[\w. =-]|:(?! ))*\w): \{zh: ("(?:[^"\\\t\n]|\\.)*"), en: ("(?:[^"\\\t\n]|\\.)*")\}$', re.MULTILINE)
_PLURAL = re.compile(r"\{(?P<n>\w+):(?P<one>[^{}|]*)\|(?P<more>[^{}|]*)\}")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def lang_of(option: str | None, environ: Mapping[str, str]) -> Lang:
    """Return the language to speak (rule 1); raises UsageError LANG_UNKNOWN."""
    for given in (option, environ.get("LIUHEN_LANG")):
        if given:
            known = _lang(given)
            if known is None:
                raise UsageError("LANG_UNKNOWN", "expected the language zh or en, got another", remedy="set --lang or LIUHEN_LANG")
            return known
    return _lang(environ.get("LANG", "")) or "zh"


def _lang(tag: str) -> Lang | None:
    match tag.replace("-", "_").split("_")[0].split(".")[0].lower():
        case "zh":
            return "zh"
        case "en":
            return "en"
    return None


@cache
def catalogue() -> dict[str, dict[str, str]]:
    """Return the whole catalogue, read once."""
    return read_catalogue((data_folder("schemas") / "words.yaml").read_text("utf-8"))


def read_catalogue(text: str) -> dict[str, dict[str, str]]:
    """Return a catalogue as YAML would, which is asked where a line has another shape than `key: {zh: "…", en: "…"}`.

    At every start YAML's own reader, the one in C too, takes ten times as long as looking at lines of one shape."""
    found, said = _ENTRY.findall(text), sum(1 for line in text.split("\n") if line and not line.startswith("#"))
    try:
        if len(found) == said:
            return {key: {"zh": _unquoted(zh), "en": _unquoted(en)} for key, zh, en in found}
    except ValueError:
        pass  # an escape that JSON does not have
    words: dict[str, dict[str, str]] = yaml.load(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    return words


def _unquoted(quoted: str) -> str:
    return str(json.loads(quoted)) if "\\" in quoted else quoted[1:-1]  # the escapes of JSON mean the same in YAML


def say(key: str, lang: Lang, **values: object) -> str:
    """Return the words of `key` in `lang`, its placeholders filled from `values`; raises ArchiveError WORD_MISSING."""
    entry = catalogue().get(key)
    if entry is None:
        raise ArchiveError("WORD_MISSING", f"schemas/words.yaml has no key {key}", remedy="report it: this is a mistake in liuhen")
    return _PLURAL.sub(lambda found: _counted(found, values), entry[lang]).format(**values)


def _counted(found: re.Match[str], values: Mapping[str, object]) -> str:
    return found["one" if str(values[found["n"]]) == "1" else "more"]


def label(group: str, value: object, lang: Lang) -> str:
    """Return the word for a value that the data holds (`label("fate", "archived", "zh")`), else the value itself (rule 4)."""
    if value is None:
        return ""
    entry, shown = catalogue().get(f"{group}.{value}"), str(value)
    if entry is None and shown[:1] + shown[-1:] == "[]" and (inside := catalogue().get(f"{group}.{shown[1:-1]}")):
        return f"[{inside[lang]}]"
    if entry is None and all(several := [catalogue().get(f"{group}.{one}") for one in shown.split(", ")]):
        return ", ".join(one[lang] for one in several if one)
    return entry[lang] if entry else shown


def title(column: str, lang: Lang, *, view: str = "") -> str:
    """Return the title of a column, that of `view` where it differs; the column's own name when nobody gave it one."""
    own = catalogue().get(f"col.{view}.{column}")
    return own[lang] if own else label("col", column, lang)


def failure(code: str, lang: Lang) -> tuple[str, str]:
    """Return what a failure code means and what to do about it; raises ArchiveError WORD_MISSING for a code that does not exist."""
    return say(f"failure.{code}.what", lang), say(f"failure.{code}.do", lang)


def error_text(error: ArchiveError, lang: Lang) -> str:
    """Return an error for a person, in one line or, in Chinese, with what to do in a second one.

    A sentence without Chinese (somebody else's words) is told as detail behind the meaning of its code."""
    if lang == "en":
        return say("error.line", lang, code=error.code, what=str(error))
    told, meaning = sentences.in_chinese(error.message), catalogue().get(f"error.{error.code}")
    lines = [say("error.line", lang, code=error.code, what=told or (meaning[lang] if meaning else error.message))]
    if meaning and not told:
        lines.append(say("error.detail", lang, detail=error.message))
    if error.remedy:
        lines.append(say("error.remedy", lang, remedy=sentences.chinese_or_as_is(error.remedy)))
    return "\n".join(lines)


def sentence(text: str, lang: Lang) -> str:
    """Return a sentence that the program stored or handed on in English, in the language asked for; as it is where nobody translated it."""
    return sentences.chinese_or_as_is(text) if lang == "zh" else text


def moment(at: int | datetime) -> datetime:
    """Return a time in Beijing time: milliseconds since 1970 UTC, an aware datetime, or a naive one that is UTC."""
    if isinstance(at, datetime):
        return at.astimezone(BEIJING) if at.tzinfo else at.replace(tzinfo=UTC).astimezone(BEIJING)
    return (_EPOCH + timedelta(milliseconds=at)).astimezone(BEIJING)


def beijing(at: int | datetime | None, lang: Lang = "zh") -> str:
    """Return a time as `2026-11-22 09:30:05 (01:30:05Z)` (rule 5), or the words for an unknown one."""
    if at is None:
        return say("time.unknown", lang)
    there = moment(at)
    return f"{there:%Y-%m-%d %H:%M:%S} ({utc(at)})"


def utc(at: int | datetime) -> str:
    """Return the UTC half of `beijing`: `01:30:05Z`, with the day before it when that is not the Beijing day."""
    there = moment(at)
    here = there.astimezone(UTC)
    return f"{here:%H:%M:%SZ}" if here.date() == there.date() else f"{here:%Y-%m-%d %H:%M:%SZ}"


def clock(at: int | datetime) -> str:
    """Return the Beijing time of day, `09:30:05`."""
    return f"{moment(at):%H:%M:%S}"


def iso(at: int | datetime) -> str:
    """Return ISO 8601 with the Beijing offset and milliseconds, `2026-11-22T09:30:05.000+08:00`; microseconds only when there are some."""
    return iso_text(moment(at))


def iso_text(at: datetime) -> str:
    """Return a datetime as it is in ISO 8601, with its offset if it has one, to the millisecond or microsecond."""
    return at.isoformat(timespec="microseconds" if at.microsecond % 1000 else "milliseconds")


def day_title(day: date, lang: Lang) -> str:
    """Return a day as people say it: `2026年11月22日 星期日`, `Sunday 22 November 2026`."""
    weekday = say(f"weekday.{day.weekday()}", lang)
    if lang == "zh":
        return f"{day.year}年{day.month}月{day.day}日 {weekday}"
    return f"{weekday} {day.day} {_MONTHS[day.month - 1]} {day.year}"


# strftime("%B") would follow the process's locale.
_MONTHS = ("January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November", "December")
