"""Finds what identifies a person in a text, and masks it without changing the text's length.

Before: nothing. After: stage.py (text and parts are stored masked, the clear values under a second key), words.py.
Source: GB 11643 (identity numbers), GB 32100 (credit codes), GB/T 15120 and ISO/IEC 7812 (cards), JR/T 0171 (which are secret).
Full-width digits and letters count as ASCII ones, circled, raised, styled digits as digits; so do digits written as words (幺三八…) in a run of 11 or more with at least 6 of them.

Rules; of two that overlap the first in this list wins:
1. secret: passwords, verification codes, CVV and a card's MM/YY beside their words (JR/T 0171 C3). Masked wholly.
2. email: the @ stays.
3. policy: what the firm's own patterns find (RE2, `pii.policy_patterns`); 8-30 letters and digits with a digit after 保单号, 合同号 and
   the like. Masked wholly.
4. id_card: 18 characters with check character and real date, area code not asked; 15 digits with a date and a word for it before.
   The birth year stays.
5. travel_document: passport, Hong Kong/Macau/Taiwan permits, with a word for it before. Masked wholly.
6. credit_code: unified social credit code with check character; a digits-only one needs a word for it before. Masked wholly.
7. bank_card: 13-19 digits, single spaces or hyphens between. Luhn and an issuer's beginning and length; Luhn and a word about money
   before; or a word for an account before (some domestic accounts have no check digit). The last 4 digits stay.
8. mobile: 1[3-9] and nine digits, with +86, spaces, hyphens; not inside longer numbers. The last 4 digits stay.
9. landline: with a word for it before, or its area code in brackets. The last 4 digits stay.
A word counts as before when it ends at most 12 code points before the number begins. Every pattern is bounded: time grows with length.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Collection, Iterable, Iterator
from typing import Any, Literal

import msgspec
import re2
from stdnum import luhn
from stdnum.cn import ric, uscc
from stdnum.exceptions import ValidationError

from pipeline.errors import UsageError

Kind = Literal["secret", "id_card", "policy", "travel_document", "bank_card", "credit_code", "mobile", "landline", "email", "digits"]

NEAR = 12
_LONGEST_WORD = 8


class Pii(msgspec.Struct, frozen=True):
    """One place: code points [start_cp, end_cp) of the text it was found in."""

    start_cp: int
    end_cp: int
    kind: Kind


_Span = tuple[int, int]
_Finder = Callable[[str], Iterator[_Span]]

_SEPARATORS = re.compile("[ -]")
WIDE = {ord(wide): narrow for wide, narrow in zip("０１２３４５６７８９", "0123456789", strict=True)}
WIDE |= {0xFF21 + i: chr(ord("A") + i) for i in range(26)} | {0xFF41 + i: chr(ord("a") + i) for i in range(26)}
WIDE |= {ord("＋"): "+", ord("－"): "-", ord("＠"): "@", ord("．"): ".", ord("　"): " ", ord("＝"): "="}

# Digits in a ring, in brackets, raised, lowered, styled, of other scripts: one character, one digit.
_DIGIT_BLOCKS = (range(0x80, 0x3300), range(0x1D7CE, 0x1D800), range(0x1F100, 0x1F10D))
_DISGUISED = {
    code: str(int(value)) for block in _DIGIT_BLOCKS for code in block
    if unicodedata.category(chr(code)) in ("Nd", "No") and (value := unicodedata.numeric(chr(code))) in range(10)
}  # fmt: skip
WIDE |= _DISGUISED
_DISGUISES = "".join(chr(code) for code in _DISGUISED if code < 0x10000) + "\U0001d7ce-\U0001d7ff\U0001f100-\U0001f10c"

# Digits as people write them in words, one code point each: small ones, radio speech, large ones.
DIGIT_WORDS = dict(zip(map(ord, "零〇一二三四五六七八九幺洞拐勾壹贰叁肆伍陆柒捌玖貳參陸"), "001234567891079123456789236", strict=True))
_WORD_CLASS = f"[0-9{''.join(map(chr, DIGIT_WORDS))}]"
_WORD_RUN = re.compile(_WORD_CLASS * 11 + f"{_WORD_CLASS}*")  # written out: half the time of {11,}
_WORD_SIGN = re.compile(_WORD_CLASS)
_FEWEST_WORDS = 6  # in such a run: fewer are words before a number

LEAST_DIGITS = 8
_ALL_DIGITS = WIDE | DIGIT_WORDS
_DIGIT_RUN = re.compile(r"[0-9](?:[^\w\n]{0,3}[0-9])*+")

# Every place holds three ASCII characters in a row, or digits in words; most texts end here. Then it has one of the signs:
# 码 and 碼 stand for passwords and codes, 令 for 口令, w for password and pwd, 期 and x for a card's MM/YY.
_VISIBLE, _ANY_DIGIT = f"[!-~！-～{_DISGUISES}]", f"[0-9０-９{_DISGUISES}]"
_THREE_ASCII = re.compile(_VISIBLE * 3)
_THREE_DIGITS = re.compile(_ANY_DIGIT * 3)
OTHER_SIGN = re.compile("[@＠码碼令期wWxX]")
_WIDE_SIGNS = re.compile(f"[０-９Ａ-Ｚａ-ｚ＋－＠．＝\u3000{_DISGUISES}]")


def compiled(patterns: Iterable[str]) -> tuple[Any, ...]:
    """Return the firm's patterns of policy numbers, ready for `find`; raises UsageError PII_PATTERN naming which one (from 1) RE2 refuses."""
    found, quiet = [], re2.Options()
    quiet.log_errors = False  # it would tell the pattern
    for number, pattern in enumerate(patterns, 1):
        try:
            found.append(re2.compile(pattern, quiet))
        except re2.error:
            remedy = "look-around and back-references are not in RE2"
            raise UsageError("PII_PATTERN", f"pii.policy_patterns: number {number} is not a pattern of RE2", remedy=remedy) from None
        if found[-1].search("") or found[-1].search("保单"):
            raise UsageError("PII_PATTERN", f"pii.policy_patterns: number {number} is found in texts without any number", remedy="name digits in it")
    return tuple(found)


def find(text: str, policies: tuple[Any, ...] = ()) -> list[Pii]:
    """Return the places in `text` that identify somebody or open something, in order, never overlapping. policies: as `compiled` gives them."""
    in_words = _WORD_SIGN.search(text[10::11]) and _WORD_RUN.search(text)  # a run of eleven holds one of every eleventh
    if not in_words and not _THREE_ASCII.search(text):
        return []
    plain = text.translate(WIDE) if _WIDE_SIGNS.search(text) else text
    plain = _words_as_digits(plain) if in_words else plain
    if not (_THREE_DIGITS.search(plain) or OTHER_SIGN.search(plain) or policies):
        return []
    found: list[Pii] = []
    for kind, sign, finder in _WORD_FINDERS:
        if sign.search(plain):
            plain = _take(plain, kind, finder, found)
        if kind == "email" and policies:
            plain = _take(plain, "policy", lambda told: _firms_policies(told, policies), found)
    if _SEVEN_DIGITS.search(plain):
        for kind, finder in _NUMBER_FINDERS:
            plain = _take(plain, kind, finder, found)
    return sorted(found, key=_start)


def digit_runs(text: str, least: int = LEAST_DIGITS) -> list[Pii]:
    """Return the runs of `least` digits or more, however they are written, with up to three signs between two of them: kind `digits`.

    Order numbers and dates are among them: they are nobody's data by themselves, so `find` leaves them, and only rules that ask for them get them."""
    plain = text.translate(_ALL_DIGITS)
    runs = (m.span() for m in _DIGIT_RUN.finditer(plain))
    return [Pii(start, end, "digits") for start, end in runs if sum(map(str.isdigit, plain[start:end])) >= least]


def places(text: str, kinds: Collection[Kind]) -> list[Pii]:
    """Return the places of `kinds` in `text`, in order; runs of digits only when they are asked for."""
    found = [place for place in find(text) if place.kind in kinds]
    return sorted([*found, *(digit_runs(text) if "digits" in kinds else ())], key=_start)


def mask(text: str, spans: list[Pii]) -> str:
    """Return `text` with `spans` (as `find` gives them) masked; equal length in code points, type hints left standing."""
    pieces: list[str] = []
    done = 0
    for span in spans:
        pieces += text[done : span.start_cp], _masked(text[span.start_cp : span.end_cp], span.kind)
        done = span.end_cp
    return "".join(pieces) + text[done:]


def _words_as_digits(text: str) -> str:
    return _WORD_RUN.sub(lambda run: run[0].translate(DIGIT_WORDS) if sum(ord(c) in DIGIT_WORDS for c in run[0]) >= _FEWEST_WORDS else run[0], text)


def _take(text: str, kind: Kind, finder: _Finder, found: list[Pii]) -> str:
    """Add what `finder` finds; return `text` without it, so that no later finder takes it again."""
    spans = list(finder(text))
    found += [Pii(start, end, kind) for start, end in spans]
    return _blanked(text, spans) if spans else text


def _masked(value: str, kind: Kind) -> str:
    if kind == "id_card":
        return _mask_id_card(value)
    if kind in ("bank_card", "mobile", "landline"):
        return _mask_but_last_four(value)
    return re.sub("[^@＠]", "*", value) if kind == "email" else "*" * len(value)


def _mask_id_card(value: str) -> str:
    """18: digits 7-10 are the birth year; 15: digits 7-8. Spaces and hyphens stay."""
    digits = [i for i, c in enumerate(value) if c.isalnum()]
    year = set(digits[6:10] if len(digits) == 18 else digits[6:8])
    return "".join(c if i in year or not c.isalnum() else "*" for i, c in enumerate(value))


def _mask_but_last_four(value: str) -> str:
    last = [i for i, c in enumerate(value) if _is_digit(c)][-4]
    return "".join("*" if _is_digit(c) else c for c in value[:last]) + value[last:]


def _is_digit(char: str) -> bool:
    return char.isdigit() or ord(char) in DIGIT_WORDS or ord(char) in _DISGUISED


def _start(place: Pii) -> int:
    return place.start_cp


def _blanked(text: str, spans: list[_Span]) -> str:
    """Return `text` with the spans taken out of sight of the finders that follow, same length."""
    pieces: list[str] = []
    done = 0
    for start, end in spans:
        pieces += text[done:start], "\0" * (end - start)
        done = end
    return "".join(pieces) + text[done:]


def _word_before(words: re.Pattern[str], text: str, start: int) -> bool:
    """Return whether one of `words` ends at most NEAR code points before `start`."""
    return any(start - word.end() <= NEAR for word in words.finditer(text, max(0, start - NEAR - _LONGEST_WORD), start))


# --- 1 secrets ---------------------------------------------------------------------------------------------------------------------

_NO_COUNT = "(?![0-9A-Za-z年月日元万块个分秒])"  # a year, an amount or a time is no code
_CONNECTION = r"(?:已?经?(?:改|设|设置|重置|变更|修改|统一|默认|初始)?(?:是|为|成|叫))?\s{0,3}[:：=]?\s{0,3}"
_PASSWORD = re.compile(
    rf"(?:密码|密碼|口令|password|passwd|pwd)(?:(?P<said>{_CONNECTION})|\s{{0,3}}is\s{{1,3}})"
    r"(?P<value>[!-~]{4,32})(?![!-~])",
    re.IGNORECASE,
)
_CODE_AFTER = re.compile(
    r"(?:验证码|驗證碼|校验码|动态码|verification code)[^0-9A-Za-z]{0,12}"
    rf"(?P<value>(?=[A-Za-z]{{0,7}}[0-9])[0-9A-Za-z]{{4,8}}){_NO_COUNT}",
    re.IGNORECASE,
)
_CODE_BEFORE = re.compile(rf"(?<![0-9A-Za-z])(?P<value>[0-9]{{4,8}}){_NO_COUNT}[^0-9A-Za-z]{{0,6}}(?:验证码|驗證碼|校验码|动态码)")
_CVV = re.compile(r"(?:CVV2?|CVC2?|CVN2?|安全码|背面后?[三3]位数?)[^0-9A-Za-z]{0,8}(?P<value>[0-9]{3,4})(?![0-9A-Za-z])", re.IGNORECASE)
_EXPIRY = re.compile(r"(?:有效期|到期日|expiry|exp)[^0-9A-Za-z]{0,6}(?P<value>(?:0[1-9]|1[0-2])[/-][0-9]{2})(?![0-9/-])", re.IGNORECASE)
SECRET_SIGN = re.compile("[码碼令背期wWvVxX]")  # one character of each word above

# Each pattern above holds one of these.
SECRET_WORDS = (
    "密码", "密碼", "口令", "password", "passwd", "pwd", "验证码", "驗證碼", "校验码", "动态码", "verification code", "cvv", "cvc", "cvn",
    "安全码", "背面", "有效期", "到期日", "exp",
)  # fmt: skip


def _secrets(text: str) -> Iterator[_Span]:
    spans = [m.span("value") for m in _PASSWORD.finditer(text) if m["said"] is None or m["said"].strip() or _has_digit(m["value"])]
    for pattern in (_CODE_AFTER, _CODE_BEFORE, _CVV, _EXPIRY):
        spans += [m.span("value") for m in pattern.finditer(text)]
    yield from _without_overlaps(spans)


def _without_overlaps(spans: list[_Span]) -> Iterator[_Span]:
    done = 0
    for start, end in sorted(spans):
        if start >= done:
            yield start, end
            done = end


def _has_digit(value: str) -> bool:
    return any(c.isdigit() for c in value)


# --- 2 email -----------------------------------------------------------------------------------------------------------------------

_EMAIL = re.compile(r"(?<![A-Za-z0-9._%+-])[A-Za-z0-9._%+-]{1,64}@(?:[A-Za-z0-9-]{1,63}\.){1,8}[A-Za-z]{2,24}(?![A-Za-z0-9-])")


def _emails(text: str) -> Iterator[_Span]:
    return (m.span() for m in _EMAIL.finditer(text))


# --- 4 identity cards ----------------------------------------------------------------------------------------------------------------

_ID_18 = re.compile(
    r"(?<![0-9A-Za-z])[1-9][0-9]{5}[ -]?(?:18|19|20)[0-9]{2}(?:0[1-9]|1[0-2])(?:0[1-9]|[12][0-9]|3[01])[ -]?[0-9]{3}[0-9Xx](?![0-9A-Za-z])"
)
_ID_15 = re.compile(r"(?<![0-9A-Za-z])[1-9][0-9]{7}(?:0[1-9]|1[0-2])(?:0[1-9]|[12][0-9]|3[01])[0-9]{3}(?![0-9A-Za-z])")
_ID_WORDS = re.compile(r"身份证|身份證|证件号|證件號|身份号")


def _id_cards(text: str) -> Iterator[_Span]:
    for match in _ID_18.finditer(text):
        if _is_id_card(_SEPARATORS.sub("", match[0]).upper()):
            yield match.span()
    for match in _ID_15.finditer(text):
        if _is_date("19" + match[0][6:12]) and _word_before(_ID_WORDS, text, match.start()):
            yield match.span()


def _is_id_card(number: str) -> bool:
    """Check character (ISO 7064 mod 11-2) and birth date; python-stdnum's own validate would refuse area codes it does not know."""
    return ric.calc_check_digit(number) == number[-1] and _is_date(number[6:14])


def _is_date(yyyymmdd: str) -> bool:
    try:
        ric.get_birth_date("000000" + yyyymmdd)
    except ValidationError:
        return False
    return True


# --- 3 policies, 5 travel documents, 6 credit codes --------------------------------------------------------------------------------

_POLICY = re.compile(
    r"(?:保单|保险单|投保单|批单|合同|报案|赔案|理赔|立案|客户)(?:号码?|编号)[\s:：是为#]{0,4}(?P<value>[A-Za-z0-9-]{8,30})(?![A-Za-z0-9-])"
)
_POLICY_SIGN = re.compile("[单同案赔户][号编]")
_TRAVEL = re.compile(r"(?<![0-9A-Za-z])[EGDSPHMC][A-Z]?[0-9]{7,10}(?![0-9A-Za-z])", re.IGNORECASE)
_TRAVEL_WORDS = re.compile("护照|護照|通行证|通行證|台胞证|台胞證|回乡证|证件号|證件號|passport", re.IGNORECASE)
_TAIWAN = re.compile(r"(?<![0-9A-Za-z])[0-9]{8}(?![0-9A-Za-z])")
_TAIWAN_WORDS = re.compile("台胞证|台湾居民")
_CREDIT_CODE = re.compile(r"(?<![0-9A-Za-z])[0-9]{8}[0-9A-HJ-NPQRTUWXY]{10}(?![0-9A-Za-z])", re.IGNORECASE)
_CREDIT_WORDS = re.compile("信用代码|信用代碼|税号|稅號|纳税人|执照|机构代码")


def _firms_policies(text: str, patterns: tuple[Any, ...]) -> Iterator[_Span]:
    yield from _without_overlaps([m.span() for pattern in patterns for m in pattern.finditer(text) if _has_digit(m[0])])


def _policies(text: str) -> Iterator[_Span]:
    return (m.span("value") for m in _POLICY.finditer(text) if _has_digit(m["value"]))


def _travel_documents(text: str) -> Iterator[_Span]:
    for number, words in ((_TRAVEL, _TRAVEL_WORDS), (_TAIWAN, _TAIWAN_WORDS)):
        yield from (m.span() for m in number.finditer(text) if _word_before(words, text, m.start()))


def _credit_codes(text: str) -> Iterator[_Span]:
    for match in _CREDIT_CODE.finditer(text):
        if uscc.is_valid(match[0]) and (not match[0].isdecimal() or _word_before(_CREDIT_WORDS, text, match.start())):
            yield match.span()


# --- 7 bank cards --------------------------------------------------------------------------------------------------------------------

# How issuers' numbers begin, and their lengths: UnionPay, Visa, Mastercard, American Express, JCB, Diners, Discover and Maestro.
_ISSUERS: tuple[tuple[tuple[str, ...], frozenset[int]], ...] = (
    (("62",), frozenset({16, 17, 18, 19})),
    (("4",), frozenset({13, 16})),
    (("5",), frozenset({16})),
    (("34", "37"), frozenset({15})),
    (("35",), frozenset({16})),
    (("30", "36", "38", "39"), frozenset({14})),
    (("60", "65", "67"), frozenset({16, 17, 18, 19})),
)
_GROUPS = re.compile(r"(?<![0-9A-Za-z])[0-9]++(?:[ -][0-9]++)*+")
_GROUP = re.compile("[0-9]+")
_ACCOUNT_WORDS = re.compile("卡号|卡號|账号|帐号|帳號|賬號|账户|帐户|帳戶|銀行卡|银行卡|储蓄卡|信用卡|借记卡")
_MONEY_WORDS = re.compile("银行|銀行|开户|转账|转帐|汇款|打款|收款|付款")


def _bank_cards(text: str) -> Iterator[_Span]:
    for run in _GROUPS.finditer(text):
        groups = [m.span() for m in _GROUP.finditer(text, run.start(), run.end())]
        if text[run.end() : run.end() + 1].isalnum() and text[run.end()].isascii():
            groups.pop()  # its last digits belong to a word
        first = 0
        while first < len(groups):
            count = _card_groups(text, groups, first)
            if count:
                yield groups[first][0], groups[first + count - 1][1]
            first += count or 1


def _card_groups(text: str, groups: list[_Span], first: int) -> int:
    """Return how many groups of digits from the `first` on make one card number, 0 for none: the longest with a check digit comes first."""
    start = groups[first][0]
    sizes = _card_sizes(groups, first)
    if not sizes:
        return 0
    is_account = _word_before(_ACCOUNT_WORDS, text, start)
    has_word = is_account or _word_before(_MONEY_WORDS, text, start)
    for count in sizes:
        number = _SEPARATORS.sub("", text[start : groups[first + count - 1][1]])
        if (has_word or _is_issued(number)) and luhn.is_valid(number):
            return count
    return sizes[0] if is_account else 0


def _card_sizes(groups: list[_Span], first: int) -> list[int]:
    """Return the counts of groups from the `first` on that hold 13-19 digits together, largest first; no card is written digit by digit."""
    sizes: list[int] = []
    digits = 0
    for count, (start, end) in enumerate(groups[first : first + 8], start=1):
        digits += end - start
        if digits > 19 or (count == 1 and end - start < 3):
            break
        if digits >= 13:
            sizes.append(count)
    return sizes[::-1]


def _is_issued(number: str) -> bool:
    return any(number.startswith(beginnings) and len(number) in lengths for beginnings, lengths in _ISSUERS)


# --- 8 mobiles, 9 landlines ----------------------------------------------------------------------------------------------------------

_MOBILE = re.compile(r"(?<![0-9])(?<![0-9]\.)(?:(?:\+|00)?86[- ]?)?1[3-9][0-9][- ]?[0-9]{4}[- ]?[0-9]{4}(?![0-9])")
_LANDLINE = re.compile(r"(?<![0-9])0[0-9]{2,3}[ -]?[0-9]{7,8}(?![0-9])")
_LANDLINE_IN_BRACKETS = re.compile(r"[(（]0[0-9]{2,3}[)）][ -]?[0-9]{7,8}(?![0-9])")
_PHONE_WORDS = re.compile("电话|電話|座机|固话|热线|熱線|传真|致电|拨打|联系|聯繫|来电|tel|phone|fax", re.IGNORECASE)


def _mobiles(text: str) -> Iterator[_Span]:
    return (m.span() for m in _MOBILE.finditer(text))


def _landlines(text: str) -> Iterator[_Span]:
    yield from (m.span() for m in _LANDLINE.finditer(text) if _word_before(_PHONE_WORDS, text, m.start()))
    yield from (m.span() for m in _LANDLINE_IN_BRACKETS.finditer(text))


# In the order of the rules. Words: kind, what a text must hold to be looked through, finder. Numbers: all need seven digits.
_SEVEN_DIGITS = re.compile(r"[0-9](?:[ )）-]?[0-9]){6}")
_WORD_FINDERS: tuple[tuple[Kind, re.Pattern[str], _Finder], ...] = (
    ("secret", SECRET_SIGN, _secrets),
    ("email", re.compile("@"), _emails),
    ("policy", _POLICY_SIGN, _policies),
)
_NUMBER_FINDERS: tuple[tuple[Kind, _Finder], ...] = (
    ("id_card", _id_cards),
    ("travel_document", _travel_documents),
    ("credit_code", _credit_codes),
    ("bank_card", _bank_cards),
    ("mobile", _mobiles),
    ("landline", _landlines),
)
