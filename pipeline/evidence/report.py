"""The report of a bundle: page 1 says what is in it, what is not and what it does not prove; then the index of exhibits and how it was made.

Before: gathered.py. After: bundle.py, which writes it as HTML and, through pdf/, as PDF/A.
Pure: one list of sections for both. Sources: 最高人民法院关于民事诉讼证据的若干规定 (2019), articles 15, 19, 23, 93; evidence.md, sections 1, 7 and 9.

Rules:
 (1) page 1 states gaps, withheld, pending, uninspected, recalled and imported, also when they are none, and that the sealed form alone
     does not prove WeCom as origin, with what supports it.
 (2) every exhibit is numbered and named with source, purpose, count and digest; a group of files by the digest of its manifest lines.
 (3) Chinese first, English below; both say the same.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from pipeline import __version__, cells, words
from pipeline.evidence.gathered import LANGS, Bundle
from pipeline.words import Lang

# In the order of the index: what a path begins with, and the word of it. The last one takes what is left.
EXHIBITS = (
    ("02-messages.", "messages"), ("view/", "view"), ("raw/", "raw"), ("media/", "media"), ("identity/", "identity"), ("consent/", "consent"),
    ("source/", "source"), ("completeness/", "completeness"), ("redaction/", "redaction"), ("decryption/", "decryption"), ("proofs/", "proofs"),
    ("checkpoints/", "checkpoints"), ("custody/", "custody"), ("", "rest"),
)  # fmt: skip
COUNTS = ("gaps", "withheld", "pending", "failed", "restricted")


class Exhibit(msgspec.Struct, frozen=True):
    """One line of the index; digest: SHA-256 in hex, of the file, or of the manifest lines of its files."""

    number: int
    word: str
    name: str
    files: int
    digest: str


def exhibits(digests: Iterable[tuple[str, str]]) -> list[Exhibit]:
    """Return the index over (path below data/, SHA-256 in hex), sorted by path: of one file its digest, of several that of their lines in the
    manifest (`HEX␠␠data/PATH`)."""
    groups: dict[tuple[str, str], _Group] = {}
    for path, digest in digests:
        groups.setdefault(next(g for g in EXHIBITS if path.startswith(g[0])), _Group(path, digest)).add(path, digest)
    ordered = [(g, groups[g]) for g in EXHIBITS if g in groups]
    return [
        Exhibit(n, word, one.path if one.files == 1 else f"{begin}*", one.files, one.digest if one.files == 1 else one.lines.hexdigest())
        for n, ((begin, word), one) in enumerate(ordered, 1)
    ]


class _Group:
    """Files of one exhibit: the first one, how many, and the digest of their lines."""

    def __init__(self, path: str, digest: str) -> None:
        self.path, self.digest, self.files, self.lines = path, digest, 0, hashlib.sha256()

    def add(self, path: str, digest: str) -> None:
        self.files += 1
        self.lines.update(f"{digest}  data/{path}\n".encode())


def sections(bundle: Bundle, shown: list[Exhibit], lang: Lang) -> list[dict[str, Any]]:
    """Return the report's sections in one language. shown: the exhibits (none: the index is left out)."""
    return [*_first_page(bundle, lang), *_index(bundle, shown, lang), *_accounts(bundle, lang), *_gaps(bundle, lang), *_made(bundle, lang)]


def _say(name: str, lang: Lang, **values: object) -> str:
    return words.say(f"report.{name}", lang, **values)


def _first_page(bundle: Bundle, lang: Lang) -> list[dict[str, Any]]:
    demo = {"demo": words.say("demo.banner", lang)} if bundle.demo else {}
    limits = [_say("origin_limit", lang), _say("origin_support", lang, pulls=len(bundle.pulls), points=bundle.points)]
    limits += [_say(f"note.{name}", lang) for name in bundle.notes]
    return [
        {"level": 1, "title": _say("title", lang), "facts": _about(bundle, lang), **demo},
        {"level": 2, "title": _say("counts", lang), "facts": counts(bundle, lang)},
        {"level": 2, "title": _say("limits", lang), "box": limits},
    ]


def _about(bundle: Bundle, lang: Lang) -> list[tuple[str, str]]:
    c = bundle.coverage
    asked = " ".join(f"{_say(f'asked.{k}', lang)}: {cells.one_line(v)}" for k, v in c["asked"].items())
    return [
        (_say("matter", lang), f"{bundle.matter.matter} {bundle.matter.title}"), (_say("corp", lang), bundle.corp_id),
        (_say("scope", lang), f"{asked} {c['first_day'] or '…'} – {c['last_day'] or '…'}"),
        (_say("checkpoint", lang), f"{bundle.point.origin}, {c['leaves']}"), (_say("root", lang), bundle.point.root.hex()),
        (_say("made", lang), f"{words.beijing(bundle.point.said.at_ms, lang)} · liuhen {__version__}"), (_say("mode", lang), _say(f"mode.{bundle.mode}", lang)),
        (_say("destination", lang), bundle.destination or _say("destination_inland", lang)),
    ]  # fmt: skip


def counts(bundle: Bundle, lang: Lang) -> list[tuple[str, str]]:
    """Return what page 1 must state, each with its number (rule 1)."""
    c = bundle.coverage
    whole = c["whole_archive"]
    numbers = {"records": c["records"], "marked": c["marked"], "recalled": c["recalled"], "imported": c["imported"], "held": c["held"]}
    media = ", ".join(f"{words.label('media_status', k, lang)} {n}" for k, n in c["media"].items())
    return [
        *((_say(name, lang), str(n)) for name, n in numbers.items()), (_say("uninspected", lang), media or "0"),
        *((_say(name, lang), str(len(whole[name]) if name == "gaps" else whole[name])) for name in COUNTS),
    ]  # fmt: skip


def _index(bundle: Bundle, shown: list[Exhibit], lang: Lang) -> list[dict[str, Any]]:
    table = [
        [str(e.number), f"{e.name} ({e.files})", words.say(f"exhibit.{e.word}.what", lang), words.say(f"exhibit.{e.word}.proves", lang), e.digest] for e in shown
    ]
    index = {"level": 2, "title": _say("index", lang), "head": _heads(("number", "file", "what", "proves", "digest"), lang), "widths": [1, 4, 6, 6, 7], "table": table}
    conversations = {
        "level": 2, "title": _say("conversations", lang), "widths": [1, 7, 2, 2, 2, 4, 4],
        "head": _heads(("number", "conversation", "in_bundle", "before", "after", "first_day", "last_day"), lang),
        "table": [
            [str(n), one["conversation_id"], *(str(one[k] or 0) for k in ("in_bundle", "before", "after")), str(one["first_day"] or ""), str(one["last_day"] or "")]
            for n, one in enumerate(bundle.coverage["conversations"], 1)
        ],
    }  # fmt: skip
    return [{**conversations, "break": True}, *([index] if table else [])]


def _heads(names: tuple[str, ...], lang: Lang) -> list[str]:
    return [_say(f"head.{name}", lang) for name in names]


def _accounts(bundle: Bundle, lang: Lang) -> list[dict[str, Any]]:
    """Who the accounts were then: as customers saw them, and inside the firm (identity.py)."""
    table = [row for account in bundle.accounts if (row := _account(account, lang))]
    head = _heads(("account", "customer_saw", "inside_firm", "from", "to", "source"), lang)
    title = {"level": 2, "title": _say("accounts", lang)}
    return [{**title, "text": [_say("accounts_note", lang)], "head": head, "widths": [4, 5, 5, 4, 4, 3], "table": table}] if table else []


def _account(account: Mapping[str, Any], lang: Lang) -> list[str] | None:
    if account["says"] not in ("directory", "remark"):
        return None
    saw, inside = account["customer_saw"], account["inside_firm"] or {}
    shown = "" if saw is None else f"{saw['name']}@{saw['firm']}" if saw.get("firm") else saw["name"]
    kept = " · ".join(v for v in (inside.get("name"), inside.get("department")) if v)
    if "remark" in inside:
        kept = _say("remark_of", lang, who=account["by"], remark=inside["remark"])
    since, until = (words.beijing(account[k], lang) if account[k] is not None else "…" for k in ("valid_from", "valid_to"))
    return [cells.one_line(v) for v in (account["id"], shown, kept, since, until, words.label("people_source", account["source"], lang))]


def _gaps(bundle: Bundle, lang: Lang) -> list[dict[str, Any]]:
    gaps = bundle.coverage["whole_archive"]["gaps"]
    table = [
        [str(g["after_seq"]), str(g["before_seq"]), words.beijing(g["from_at"], lang), words.beijing(g["to_at"], lang), cells.one_line(words.label("gap_cause", g["cause"], lang))]
        for g in gaps
    ]
    head = _heads(("after_seq", "before_seq", "from", "to", "cause"), lang)
    return [{"level": 2, "title": _say("gaps", lang), "head": head, "widths": [2, 2, 4, 4, 4], "table": table}] if table else []


def _made(bundle: Bundle, lang: Lang) -> list[dict[str, Any]]:
    statement = _say("statement", lang, version=__version__, made=words.beijing(bundle.point.said.at_ms, lang), entries=bundle.point.said.custody[0])
    signed = [_say(f"sign.{name}", lang) for name in ("preparer", "head", "seal", "date")]
    return [{"level": 2, "title": _say("how_made", lang), "text": [statement, _say("statement_system", lang)]}, {"level": 2, "title": _say("sign", lang), "lines": signed}]


def header(bundle: Bundle) -> str:
    """Return what stands above each printed page."""
    return f"{bundle.matter.matter} · {bundle.corp_id}" + (f" · {words.say('demo.mark', 'zh')}" if bundle.demo else "")


def html(bundle: Bundle, template: str) -> str:
    """Return the report as a page; the index with digests is in the PDF and in the manifest."""
    from jinja2 import Environment, Undefined

    page = Environment(autoescape=True, undefined=Undefined).from_string(template)
    return page.render(b=bundle, said={lang: sections(bundle, [], lang) for lang in LANGS})


def data(bundle: Bundle, digests: Iterable[tuple[str, str]]) -> dict[str, Any]:
    """Return what the template report.typ writes: both languages. digests: as `exhibits` takes them."""
    shown = exhibits(digests)
    both = [s for lang in LANGS for s in ({**one, "break": one.get("break", False) or (lang == "en" and n == 0)} for n, one in enumerate(sections(bundle, shown, lang)))]
    return {"title": f"{_say('title', 'zh')} {bundle.matter.matter}", "author": "liuhen", "header": header(bundle), "footer": f"liuhen {__version__}", "sections": both}
