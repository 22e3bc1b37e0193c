"""One saved GetChatData answer, read: its records as they came, still sealed, and what of it cannot be read.

Before: saved_files.py, the source. After: landing.py, envelope.py.

A page is one answer, `{"errcode":0,"errmsg":"ok","chatdata":[…]}` (wecom-archive.md 2.1, 2.3). Rules of reading one:
 (1) every whole record is kept, whatever else is wrong; what is wrong is told once a record and once a page, never raised.
 (2) a page that ends in the middle: its whole records, then one PAGE_CUT for the rest.
 (3) no name may occur twice where it decides something (errcode, chatdata, the five fields): two readers would differ.
 (4) a record nests no deeper than 64 levels, a page holds no more than 100,000 records; time and memory grow with the size only.
A record's bytes are handed on exactly as they lay in the page.

Three ways through a page give the same: one decoding of the whole page where it is written as the source writes it to the last
character; record by record with msgspec where only the order or the spaces are other; and on any doubt outline.py.
"""

from __future__ import annotations

import re
from typing import Annotated, NamedTuple

import msgspec

from pipeline.errors import Failure
from pipeline.hostile_json import MAX_DEPTH, too_deep
from pipeline.outline import MAX_MEMBERS, SPACE, UNREADABLE, children, repeated, text, too_many_members, value_of
from pipeline.records import PageRef, SealedItem, SealedPage, Unopened

STEP = "landing"
MAX_RECORDS = 100_000
MAX_MSGID = 1024
MAX_SEQ = 2**63 - 1
MAX_KEY_VERSION = 2**31 - 1
NUMBERS = ("seq", "publickey_ver")
FIELDS = ("seq", "msgid", "publickey_ver", "encrypt_random_key", "encrypt_chat_msg")
# Five names and three strings have 16 quotation marks: a record with exactly these repeats no name and nests nothing.
PLAIN_QUOTES = 16
# How the source begins and ends a page that holds records.
PLAIN_HEAD, PLAIN_TAIL = b'{"errcode":0,"errmsg":"ok","chatdata":[', b"]}"
PLAIN_HEAD_QUOTES = 8
# A larger page goes the careful way at once: it may be made of millions of tiny values.
QUICK_BYTES = 4 << 20
BOM = b"\xef\xbb\xbf"

_INTEGER = re.compile(rb"-?[0-9]+")


class _Answer(msgspec.Struct):
    chatdata: list[msgspec.Raw] | None = None


class _Head(msgspec.Struct):
    errcode: msgspec.Raw = msgspec.Raw()
    chatdata: msgspec.Raw = msgspec.Raw()


class _Fields(msgspec.Struct):
    seq: int
    msgid: str
    publickey_ver: int
    encrypt_random_key: str
    encrypt_chat_msg: str


class _Tokens(msgspec.Struct):
    seq: msgspec.Raw = msgspec.Raw()
    msgid: msgspec.Raw = msgspec.Raw()
    publickey_ver: msgspec.Raw = msgspec.Raw()
    encrypt_random_key: msgspec.Raw = msgspec.Raw()
    encrypt_chat_msg: msgspec.Raw = msgspec.Raw()


class _PlainFields(msgspec.Struct, gc=False):
    seq: Annotated[int, msgspec.Meta(ge=0, le=MAX_SEQ)]
    msgid: Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_MSGID)]
    publickey_ver: Annotated[int, msgspec.Meta(ge=1, le=MAX_KEY_VERSION)]
    encrypt_random_key: str
    encrypt_chat_msg: str


class _PlainAnswer(msgspec.Struct):
    chatdata: list[_PlainFields]


_plain = msgspec.json.Decoder(_PlainAnswer).decode
_written = msgspec.json.Encoder().encode
_answer = msgspec.json.Decoder(_Answer).decode
_head = msgspec.json.Decoder(_Head).decode
_fields = msgspec.json.Decoder(_Fields).decode
_tokens = msgspec.json.Decoder(_Tokens).decode


class _Refusal(NamedTuple):
    """A failure's code and sentence (which may hold `{page}`), and what could be read of the record all the same."""

    code: str
    detail: str
    seq: int | None = None
    msgid: str | None = None


_TOO_MANY_MEMBERS = _Refusal("PAGE_UNREADABLE", f"{{page}} has more than {MAX_MEMBERS} fields")


class Counted(NamedTuple):
    """What a page holds, told without taking it apart: every sequence number that was read, in page order, and how many records there are."""

    seqs: tuple[int, ...]
    records: int


class _Split(NamedTuple):
    """A page taken apart: its records' bytes, and the first thing that is wrong around them."""

    records: list[bytes]
    problem: _Refusal | None


def read_page(ref: PageRef, data: bytes) -> tuple[SealedPage, tuple[Unopened, ...]]:
    """Return the page's whole records in page order, and beside them every failure with the bytes to keep of it.

    The failures of the two are the same, in item order. One that concerns the page and not a record comes last, has the
    item number after the last record, and no bytes. seq and msgid stand in a failure where valid ones were read.
    Never raises, whatever `data` is.
    """
    if (plain := _read_plain(data)) is not None:
        return SealedPage(ref, plain), ()
    split = _split(data.removeprefix(BOM))
    items: list[SealedItem] = []
    unopened: list[Unopened] = []
    for item, raw in enumerate(split.records):
        read = _read_record(item, raw)
        if isinstance(read, SealedItem):
            items.append(read)
        else:
            unopened.append(Unopened(_failure(read, item, ref.name), raw))
    if split.problem is not None:
        unopened.append(Unopened(_failure(split.problem, len(split.records), ref.name)))
    return SealedPage(ref, tuple(items), tuple(u.failure for u in unopened)), tuple(unopened)


def count_plain(data: bytes) -> Counted | None:
    """Return what a page holds that is written as the source writes it, by one decoding; None on any doubt.

    What `read_page` finds in such a page is exactly this: each record decoded has its five names and three strings, and as many quotation
    marks as these have, so none can hold anything else."""
    found = _decode_plain(data)
    if found is None or data.count(b'"') != PLAIN_HEAD_QUOTES + PLAIN_QUOTES * len(found):
        return None
    return Counted(tuple([f.seq for f in found]), len(found))


def count(page: SealedPage) -> Counted:
    """Return what a page holds that was read; what cannot be read of it counts as one record, also when it is the page's end."""
    seqs = [i.seq for i in page.items] + [f.seq for f in page.failures if f.seq is not None]
    return Counted(tuple(seqs), len(page.items) + len(page.failures))


def _decode_plain(data: bytes) -> list[_PlainFields] | None:
    if len(data) > QUICK_BYTES or not data.startswith(PLAIN_HEAD) or not data.endswith(PLAIN_TAIL):
        return None
    try:
        found = _plain(data).chatdata
    except UNREADABLE:
        return None
    return found if 0 < len(found) <= MAX_RECORDS else None


def _read_plain(data: bytes) -> tuple[SealedItem, ...] | None:
    """Return the records of a page that is written as the source writes it to the last character; None on any doubt.

    What was decoded is written again: when that gives the page, the records are all there is in it, and their bytes are what was written."""
    found = _decode_plain(data)
    if found is None:
        return None
    records = list(map(_written, found))
    if data != b"%b%b%b" % (PLAIN_HEAD, b",".join(records), PLAIN_TAIL):
        return None
    return tuple([
        SealedItem(item, f.seq, f.msgid, f.publickey_ver, f.encrypt_random_key, f.encrypt_chat_msg, raw)
        for item, (f, raw) in enumerate(zip(found, records, strict=True))
    ])  # fmt: skip


def _failure(refusal: _Refusal, item: int, page_name: str) -> Failure:
    detail = refusal.detail.replace("{page}", page_name)
    return Failure(step=STEP, code=refusal.code, detail=detail, item=item, seq=refusal.seq, msgid=refusal.msgid)


# -- the page -----------------------------------------------------------------------------------------------------


def _split(data: bytes) -> _Split:
    return _split_quickly(data) or _split_carefully(data)


def _split_quickly(data: bytes) -> _Split | None:
    """Take apart a page whose records follow each other without spaces, as the source writes them; None on any doubt."""
    if len(data) > QUICK_BYTES:
        return None
    try:
        answer = _answer(data)
    except UNREADABLE:
        return None
    records = [bytes(raw) for raw in answer.chatdata or ()]
    if len(records) > MAX_RECORDS:
        return None
    around = data
    if records:
        body = b",".join(records)
        at = data.find(records[0])
        if not data.startswith(body, at):
            return None
        around = data[:at] + data[at + len(body) :]
    problem = _problem_around(around)
    if problem is not None and problem.code != "SOURCE_ERRCODE":
        return None
    # Only if nothing is left in chatdata was it the records' own place that was found.
    if records and bytes(_head(around).chatdata) != b"[]":
        return None
    return _Split(records, problem)


def _split_carefully(data: bytes) -> _Split:
    """Take apart any bytes: the records of every `chatdata` list at the top."""
    opens = len(data) - len(data.lstrip(SPACE))
    if opens == len(data):
        return _Split([], _Refusal("PAGE_CUT", "{page} is empty"))
    if data[opens] != ord("{"):
        return _Split([], _Refusal("PAGE_UNREADABLE", "{page} is not a JSON object"))
    top = children(data, opens, MAX_MEMBERS)
    unfinished = [(top.rest, len(data))] if top.end < 0 and not top.over else []
    records: list[bytes] = []
    around: list[bytes] = []
    done = opens
    for start, end in top.spans + unfinished:
        value = value_of("chatdata", data, start, end)
        if value is None or data[value : value + 1] != b"[":
            continue
        inner = children(data, value, MAX_RECORDS - len(records))
        records += [data[a:b].strip(SPACE) for a, b in inner.spans]
        if inner.over:
            return _Split(records, _Refusal("PAGE_UNREADABLE", f"{{page}} holds more than {MAX_RECORDS} records: the others were not read"))
        if inner.end > 0:
            around.append(data[done : value + 1])
            done = inner.end - 1
    if top.over:
        return _Split(records, _TOO_MANY_MEMBERS)
    if top.end < 0:
        return _Split(records, _Refusal("PAGE_CUT", f"{{page}} ends in the middle, after {len(records)} whole records"))
    if data[top.end :].strip(SPACE):
        return _Split(records, _Refusal("PAGE_UNREADABLE", "{page} goes on after the end of the answer"))
    return _Split(records, _problem_around(b"".join([*around, data[done : top.end]])))


def _problem_around(around: bytes) -> _Refusal | None:
    """Return what is wrong with an answer whose records were taken out, or None."""
    if too_deep(around):
        return _Refusal("PAGE_UNREADABLE", f"{{page}} nests deeper than {MAX_DEPTH} levels")
    try:
        head = _head(around)
    except UNREADABLE:
        return _Refusal("PAGE_UNREADABLE", "{page} is not valid JSON outside its records")
    if too_many_members(around):
        return _TOO_MANY_MEMBERS
    errcode, chatdata = bytes(head.errcode), bytes(head.chatdata)
    if not errcode and not chatdata:
        return _Refusal("PAGE_UNREADABLE", "{page} has neither errcode nor chatdata")
    if (twice := repeated(around, ("errcode", "chatdata"))) is not None:
        return _Refusal("PAGE_UNREADABLE", f"{{page}} has {twice} twice")
    if errcode and not (_INTEGER.fullmatch(errcode) and len(errcode) <= 10):
        return _Refusal("PAGE_UNREADABLE", "errcode of {page} is not a whole number")
    if chatdata and chatdata != b"null" and not chatdata.startswith(b"["):
        return _Refusal("PAGE_UNREADABLE", "chatdata of {page} is not a list")
    if errcode and int(errcode):
        return _Refusal("SOURCE_ERRCODE", f"the source answered errcode {int(errcode)}")
    return None


# -- one record ---------------------------------------------------------------------------------------------------


def _read_record(item: int, raw: bytes) -> SealedItem | _Refusal:
    try:
        fields = _fields(raw)
    except UNREADABLE:
        return _examine(raw) or _malformed("it does not have the fields of a sealed record")
    if raw.count(b'"') != PLAIN_QUOTES and (refusal := _examine(raw)) is not None:
        return refusal
    if (refusal := _out_of_bounds(fields)) is not None:
        return refusal
    return SealedItem(item, fields.seq, fields.msgid, fields.publickey_ver, fields.encrypt_random_key, fields.encrypt_chat_msg, raw)


def _out_of_bounds(fields: _Fields) -> _Refusal | None:
    seq = fields.seq if 0 <= fields.seq <= MAX_SEQ else None
    msgid = fields.msgid if 0 < len(fields.msgid) <= MAX_MSGID else None
    if fields.seq > MAX_SEQ:
        return _Refusal("SEQ_RANGE", "seq is 2^63 or more", None, msgid)
    if seq is None:
        return _malformed("seq is negative", None, msgid)
    if msgid is None:
        return _malformed(f"msgid has {len(fields.msgid)} characters, expected 1 to {MAX_MSGID}", seq)
    if not 1 <= fields.publickey_ver <= MAX_KEY_VERSION:
        return _malformed(f"publickey_ver is outside 1 to {MAX_KEY_VERSION}", seq, msgid)
    return None


def _examine(raw: bytes) -> _Refusal | None:
    """Return why a record is refused, step by step, or None when only its looks are unusual."""
    try:
        raw.decode()
    except UnicodeDecodeError:
        return _malformed("it is not valid UTF-8")
    if not raw.startswith(b"{"):
        return _malformed("it is not a JSON object")
    if too_deep(raw):
        return _malformed(f"it nests deeper than {MAX_DEPTH} levels")
    try:
        tokens = _tokens(raw)
    except UNREADABLE:
        return _malformed("it is not valid JSON")
    if too_many_members(raw):
        return _malformed(f"it has more than {MAX_MEMBERS} fields")
    if (twice := repeated(raw, FIELDS)) is not None:
        return _malformed(f"it has the field {twice} twice")
    return _examine_fields({name: bytes(getattr(tokens, name)) for name in FIELDS})


def _examine_fields(tokens: dict[str, bytes]) -> _Refusal | None:
    seq, msgid = _whole_number(tokens["seq"]), _short_text(tokens["msgid"])
    for name, token in tokens.items():
        if not token:
            return _malformed(f"the field {name} is missing", seq, msgid)
        if name in NUMBERS and not _INTEGER.fullmatch(token):
            return _malformed(f"the field {name} is not a whole number", seq, msgid)
        if name not in NUMBERS and not token.startswith(b'"'):
            return _malformed(f"the field {name} is not a string", seq, msgid)
    # Thousands of digits are no integer to msgspec, so the bounds of the two numbers are looked at here too.
    if seq is None and not tokens["seq"].startswith(b"-"):
        return _Refusal("SEQ_RANGE", "seq is 2^63 or more", None, msgid)
    if _whole_number(tokens["publickey_ver"]) is None:
        return _malformed(f"publickey_ver is outside 1 to {MAX_KEY_VERSION}", seq, msgid)
    return None


def _malformed(why: str, seq: int | None = None, msgid: str | None = None) -> _Refusal:
    return _Refusal("ITEM_MALFORMED", why, seq, msgid)


def _whole_number(token: bytes) -> int | None:
    """Return the whole number a JSON token is, if it is one from 0 to 2^63 - 1."""
    if len(token) > len(str(MAX_SEQ)) or not _INTEGER.fullmatch(token):
        return None
    return value if 0 <= (value := int(token)) <= MAX_SEQ else None


def _short_text(token: bytes) -> str | None:
    """Return the msgid a JSON token is, if it is a usable one."""
    longest = 6 * MAX_MSGID + 2
    found = text(token) if token.startswith(b'"') and len(token) <= longest else None
    return found if found and len(found) <= MAX_MSGID else None
