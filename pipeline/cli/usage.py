"""What the command line's library says of a wrong call, told in the language of who called.

Before: root.py, which catches it. After: the terminal. The library speaks English alone; each of its sentences is recognised here by its
words, and one that is not (a newer version may word it anew) is told as it came, behind a Chinese beginning.
"""

from __future__ import annotations

import re

from pipeline import words
from pipeline.words import Lang

# How the library begins, and the word of the catalogue that says the same; groups are handed over by name.
SENTENCES = (
    (r"No such command '(?P<name>.*?)'\.(?: Did you mean (?P<like>.*)\?)?", "calling.no_command"),
    (r"No such option: (?P<name>\S+)(?: (?:\(Possible options: |Did you mean )(?P<like>.*?)[?)])?", "calling.no_option"),
    (r"Missing (?:option|argument|parameter):? '?(?P<name>[^'.]+)'?.*", "calling.missing"),
    (r"Option '(?P<name>.*?)' requires an argument\.", "calling.no_value"),
    (r"Got unexpected extra arguments?(?:\(s\))? \((?P<name>.*)\)", "calling.too_many"),
    (r"Invalid value for '?(?P<name>.*?)'?: (?P<detail>.*)", "calling.wrong_value"),
)
# What it says of the value itself, which it has from the library that makes values of words.
DETAILS = (
    (r"Input should be a valid integer\b.*", "calling.no_integer"),
    (r"Input should be a valid number\b.*", "calling.no_number"),
    (r"Input should be greater than or equal to (?P<bound>\S+)", "calling.at_least"),
    (r"Input should be less than or equal to (?P<bound>\S+)", "calling.at_most"),
    (r"['\"](?P<given>.*)['\"] is not one of '(?P<choices>.*)'\.", "calling.no_choice"),
)
_OWN = "Value error, "  # with which that library begins what it has from others

_NAME = re.compile(r"(?<![\w.=-])[A-Z][A-Z_]*(?![\w=-])")  # as an option's value is called: DAY, FINDING_ID


def in_a_list(help: str, lang: Lang) -> str | None:
    """Return what a list of commands says of one: its first Chinese sentence; None for English, which the library shortens well.

    The library cuts between words. A Chinese sentence is one word to it, and a long one was left out whole.
    """
    return help.split("\n", 1)[0].split("。", 1)[0] if lang == "zh" else None


def named(text: str, lang: Lang) -> str:
    """Return how a command is called, or an option, with the names of its values in the language of the call."""
    return _NAME.sub(lambda name: words.label("metavar", name[0], lang), text)


def sentence(text: str, lang: Lang) -> str:
    """Return the library's sentence, in Chinese with what was meant where that was guessed; in English as it came."""
    text = text.replace(f": {_OWN}", ": ", 1)
    if lang == "en":
        return text
    for pattern, key in SENTENCES:
        if found := re.fullmatch(pattern, text, re.DOTALL):
            given = {k: _detail(v) if k == "detail" else named(v or "", lang) for k, v in found.groupdict().items()}
            return words.say(key, lang, **given) + _like(given.get("like", ""), lang)
    return words.say("calling.other", lang, detail=text)


def _detail(text: str) -> str:
    """Return in Chinese what is wrong with a value; as it came where that is not recognised."""
    for pattern, key in DETAILS:
        if found := re.fullmatch(pattern, text, re.DOTALL):
            return words.say(key, "zh", **{k: v.replace("', '", "、") if k == "choices" else v for k, v in found.groupdict().items()})
    return text


def _like(names: str, lang: Lang) -> str:
    return words.say("calling.like", lang, names=names.replace("'", "").replace(" or ", "、")) if names else ""
