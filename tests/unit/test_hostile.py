"""No input hurts: each ends as a message or as one coded refusal, without deep stacks, in time proportional to its size."""

from __future__ import annotations

import gc
import json
import sys
import time
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline import hostile_json, message
from pipeline.errors import FAILURE_CODES, RecordError
from pipeline.records import Message

CAPTURED = 1_764_000_000_000
HEAD = b'{"msgid":"m","action":"send","from":"a","tolist":["b"],"msgtime":1763990000123,"msgtype":"text",'


def text_message(content: bytes) -> bytes:
    """A text message whose content is `content`, JSON as written."""
    return HEAD + b'"text":{"content":' + content + b"}}"


def read(plaintext: bytes) -> Message:
    return message.parse(plaintext, msgid="m", captured_at_ms=CAPTURED)


def code(plaintext: bytes) -> str:
    """The code of the refusal, "" when it is read."""
    try:
        read(plaintext)
    except RecordError as refused:
        assert refused.code in FAILURE_CODES
        return refused.code
    return ""


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        pytest.param(b'"a\x11\x14b"', "a\x11\x14b", id="control-characters-the-vendor-sends"),
        pytest.param(b'"a\nb\tc"', "a\nb\tc", id="raw-line-break"),
        pytest.param(b'"a\x00b"', "a\0b", id="raw-nul"),
        pytest.param(rb'"a\u0000b"', "a\0b", id="escaped-nul"),
        pytest.param(rb'"a\ud800b"', "a\ufffdb", id="lone-high-surrogate"),
        pytest.param(rb'"\udc00"', "\ufffd", id="lone-low-surrogate"),
        pytest.param(rb'"\udc00\ud800"', "\ufffd\ufffd", id="halves-in-wrong-order"),
        pytest.param(rb'"\uD83D\uDE00\ud800"', "😀\ufffd", id="a-whole-pair-beside-a-lone-half"),
        pytest.param('"😀𠮷"'.encode(), "😀𠮷", id="four-byte-characters"),
        pytest.param(b'"x","n":1e400', "x", id="real-beyond-a-double"),
        pytest.param(b'"x","n":-1e400', "x", id="negative-real-beyond-a-double"),
        pytest.param(b'"x","n":NaN,"o":-Infinity', "x", id="not-a-number"),
        pytest.param(b'"x","n":' + b"9" * 5000, "x", id="integer-of-5000-digits"),
        pytest.param(b'"x","n":' + b"9" * 4300, "x", id="integer-of-4300-digits"),
        pytest.param(b'"first","content":"last"', "last", id="of-equal-keys-the-last"),
        pytest.param(b'"first\x11","content":"last\x11"', "last\x11", id="of-equal-keys-the-last-leniently"),
        pytest.param(b'"' + b"[" * 1000 + b'"', "[" * 1000, id="brackets-in-a-string-are-no-levels"),
        pytest.param(b'"' + rb"\"[" * 1000 + b'"', '"[' * 1000, id="brackets-after-escaped-quotes"),
        pytest.param(b'"' + rb"[\\" * 1000 + b'"', "[\\" * 1000, id="brackets-before-escaped-backslashes"),
        pytest.param(b'"' + "长".encode() * 3_300_000 + b'"', "长" * 3_300_000, id="ten-megabytes"),
    ],
)
def test_what_can_be_read_is_read(content: bytes, expected: str) -> None:
    found = read(text_message(content))
    assert found.text == expected
    assert found.text.encode().decode() == expected
    assert found.canonical


@pytest.mark.parametrize(
    ("plaintext", "expected"),
    [
        pytest.param(b"", "MESSAGE_NOT_JSON", id="empty"),
        pytest.param(HEAD, "MESSAGE_NOT_JSON", id="cut"),
        pytest.param(text_message(b'"x"') + b"}", "MESSAGE_NOT_JSON", id="something-after-the-end"),
        pytest.param(text_message(rb'"\q"'), "MESSAGE_NOT_JSON", id="unknown-escape"),
        pytest.param(text_message(b"'x'"), "MESSAGE_NOT_JSON", id="apostrophes"),
        pytest.param(b"\x93\x17garbage" * 9, "MESSAGE_NOT_UTF8", id="what-a-wrong-key-gives"),
        pytest.param(text_message(b'"\xed\xa0\x80"'), "MESSAGE_NOT_UTF8", id="raw-surrogate"),
        pytest.param(text_message(b'"\xc0\x80"'), "MESSAGE_NOT_UTF8", id="overlong-nul"),
        pytest.param(text_message("中".encode()[:2] + b'"'), "MESSAGE_NOT_UTF8", id="cut-character"),
        pytest.param("中文".encode("gb18030"), "MESSAGE_NOT_UTF8", id="another-encoding"),
        pytest.param(text_message(b"[" * 100_000 + b"]" * 100_000), "MESSAGE_TOO_DEEP", id="100000-brackets"),
        pytest.param(text_message(b"[" * 100_000), "MESSAGE_TOO_DEEP", id="100000-brackets-never-closed"),
        pytest.param(text_message(b'{"a":' * 100_000), "MESSAGE_TOO_DEEP", id="100000-objects-never-closed"),
        pytest.param(b"[" * 65 + b"]" * 65, "MESSAGE_TOO_DEEP", id="65-levels"),
        pytest.param(b"[" * 64 + b"]" * 64, "MESSAGE_MALFORMED", id="64-levels-are-decoded"),
        pytest.param(b"[" * 65 + b"}" * 65, "MESSAGE_TOO_DEEP", id="65-levels-closed-wrongly"),
        pytest.param(b"\x00" * 10, "MESSAGE_NOT_JSON", id="zeros"),
    ],
)
def test_what_cannot_be_read_is_refused_with_a_code(plaintext: bytes, expected: str) -> None:
    assert code(plaintext) == expected


def test_a_message_beyond_64_mebibytes_is_too_large(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hostile_json, "MAX_BYTES", 1000)
    fitting = text_message(b'"' + b"x" * (1000 - len(text_message(b'""'))) + b'"')
    assert (len(fitting), code(fitting), code(fitting + b" ")) == (1000, "", "MESSAGE_TOO_LARGE")


def test_a_byte_order_mark_does_no_harm() -> None:
    assert read(b"\xef\xbb\xbf" + text_message(b'"x"')).text == "x"


def test_a_refusal_carries_nothing_of_what_it_refused() -> None:
    for plaintext in (
        text_message('"保本'.encode()),
        text_message('"保本\xff"'.encode("latin-1", "replace")),
        text_message(b'"\xe4\xbf\xff"'),
    ):
        with pytest.raises(RecordError) as refused:
            read(plaintext)
        assert refused.value.__context__ is None
        assert refused.value.__cause__ is None


@pytest.mark.parametrize(
    ("one", "other"),
    [
        pytest.param(rb'"\ud800"', rb'"\udbff"', id="lone-surrogates"),
        pytest.param(b'"x","n":1e400', b'"x","n":1e401', id="reals-beyond-a-double"),
        pytest.param(b'"x","n":' + b"9" * 5000, b'"x","n":' + b"9" * 4999 + b"8", id="long-integers"),
        pytest.param(b'"x","n":9007199254740993', b'"x","n":9007199254740992', id="integers-beyond-53-bits"),
        pytest.param(b'"x","n":NaN', b'"x","n":null', id="not-a-number"),
        pytest.param(b'"x\x11"', b'"x\x12"', id="control-characters"),
    ],
)
def test_canonical_tells_apart_what_a_reader_cannot(one: bytes, other: bytes) -> None:
    assert read(text_message(one)).canonical == read(text_message(one)).canonical
    assert read(text_message(one)).canonical != read(text_message(other)).canonical


def test_ids_and_file_names_can_be_stored_too() -> None:
    surrogate = (
        rb'{"msgid":"m","from":"a\ud800","tolist":["\udc00"],"msgtype":"file","file":{"filename":"\ud801.pdf","sdkfileid":"F\ud802"}}'
    )
    found = read(surrogate)
    assert (found.sender_id, found.recipient_ids, found.media[0].file_name, found.media[0].sdkfileid) == (
        "a\ufffd",
        ("\ufffd",),
        "\ufffd.pdf",
        "F\ufffd",
    )


def test_a_lone_surrogate_inside_a_forward_can_be_stored() -> None:
    content = json.dumps(rb'{"content":"a\ud800b","sdkfileid":"F"}'.decode())
    forward = (
        HEAD.replace(b'"text"', b'"chatrecord"') + b'"chatrecord":{"item":[{"type":"ChatRecordText","content":' + content.encode() + b"}]}}"
    )
    assert read(forward).text == "a\ufffdb"
    assert rb"\\ud800" in read(forward).canonical


def test_a_lone_surrogate_around_an_item_s_json_does_no_harm() -> None:
    content = rb'"{\"sdkfileid\":\"F\",\"title\":\"\ud800\"}"'
    forward = HEAD.replace(b'"text"', b'"chatrecord"') + b'"chatrecord":{"item":[{"type":"ChatRecordLink","content":' + content + b"}]}}"
    assert (read(forward).text, read(forward).media[0].sdkfileid) == ("\ufffd", "F")


def test_depth_inside_a_forward_s_strings_is_bounded_too() -> None:
    content = json.dumps("[" * 100_000 + "]" * 100_000)
    forward = HEAD.replace(b'"text"', b'"chatrecord"') + b'"chatrecord":{"item":[{"type":"x","content":' + content.encode() + b"}]}}"
    assert read(forward).parts[0].text == "[" * 100_000 + "]" * 100_000


def test_no_input_uses_a_deep_stack() -> None:
    """Everything above fits into 350 more frames, whatever the input."""
    content: object = "x"
    for _ in range(8):
        nested = content
        for _ in range(6):
            nested = {"a": [nested]}
        content = {"item": [{"type": "mixed", "content": json.dumps(nested)}]}
    worst = [text_message(b"[" * 60 + rb'"\ud800"' + b"]" * 60), text_message(json.dumps(content).encode()), text_message(b"[" * 9999)]
    frames, frame = 0, sys._getframe()
    while frame.f_back:
        frame, frames = frame.f_back, frames + 1
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(frames + 350)
    try:
        assert [code(plaintext) for plaintext in worst] == ["", "", "MESSAGE_TOO_DEEP"]
    finally:
        sys.setrecursionlimit(limit)


def depth_by_hand(text: str) -> int:
    """Slow and obvious: walk over the characters, step over strings, count what is open."""
    deepest = depth = i = 0
    while i < len(text):
        if text[i] == '"':
            i += 1
            while text[i] != '"':
                i += 2 if text[i] == "\\" else 1
        depth += (text[i] in "[{") - (text[i] in "]}")
        deepest = max(deepest, depth)
        i += 1
    return deepest


@pytest.mark.parametrize(("levels", "deep"), [pytest.param(63, False, id="64 levels"), pytest.param(64, True, id="65 levels")])
@pytest.mark.parametrize("sibling", ['{"a":1}', '{"a":"},{"}', '{"a":{"b":[1]}}', '{"a":"}]"}'])
def test_many_siblings_do_not_hide_how_deep_it_nests(sibling: str, levels: int, deep: bool) -> None:
    siblings, opening = ",".join([sibling] * 200), '{"x":'
    assert hostile_json.too_deep(f"[{siblings},{'[' * levels}{']' * levels},{siblings}]".encode()) == deep
    assert hostile_json.too_deep(f"[{siblings},{opening * levels}1{'}' * levels},{siblings}]".encode()) == deep


@settings(max_examples=200, deadline=None)
@given(st.lists(st.text(alphabet='[]{}"\\x', max_size=8), max_size=8), st.integers(55, 70), st.booleans())
def test_too_deep_agrees_with_counting_by_hand(texts: list[str], levels: int, as_objects: bool) -> None:
    document: object = {text: [text] for text in texts}
    for i in range(levels):
        document = {"a[": document, "b": texts} if as_objects and i % 2 else [texts, document]
    encoded = json.dumps(document)
    assert hostile_json.too_deep(encoded.encode()) == (depth_by_hand(encoded) > 64)


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=200) | st.text(alphabet='{}[]",:\\u0d8msgid1e-. \x11"', max_size=80).map(str.encode))
def test_any_bytes_end_as_a_message_or_a_coded_refusal(plaintext: bytes) -> None:
    code(plaintext)
    code(text_message(plaintext))
    code(text_message(json.dumps(plaintext.decode("latin-1")).encode()))


# --- time in proportion to size ------------------------------------------------------------------------------------------------------


def seconds(work: Callable[[], object]) -> float:
    """Processor time of the fastest of three runs.

    The collector leaves alone what was there before, as in the workers (worker.py): else it looks, the oftener the larger the text, through
    all that the other tests of this process hold."""
    times = []
    gc.collect()
    gc.freeze()
    try:
        for _ in range(3):
            start = time.process_time()
            work()
            times.append(time.process_time() - start)
    finally:
        gc.unfreeze()
    return min(times)


def forward_of(items: bytes) -> bytes:
    return HEAD.replace(b'"text"', b'"chatrecord"') + b'"chatrecord":{"item":[' + items + b"]}}"


@pytest.mark.slow
@pytest.mark.parametrize(
    "make",
    [
        pytest.param(lambda n: text_message(b'"x","n":' + b"9" * n), id="digits-of-one-integer"),
        pytest.param(lambda n: text_message(b'"x","n":[' + b"1e400," * (n // 6) + b"1]"), id="many-numerals-beyond-a-double"),
        pytest.param(lambda n: text_message(b'"' + b"x" * n + b'"'), id="a-long-text"),
        pytest.param(lambda n: text_message(b'"' + b"\x11" * n + b'"'), id="control-characters"),
        pytest.param(lambda n: text_message(rb'"' + rb"\ud800" * (n // 6) + b'"'), id="lone-surrogates"),
        pytest.param(lambda n: text_message(b'"' + rb"\"" * (n // 2)), id="escaped-quotes-never-closed"),
        pytest.param(lambda n: text_message(b"[" * n), id="opening-brackets"),
        pytest.param(lambda n: text_message(b"[" + b"[]," * (n // 3) + b"1]"), id="flat-brackets"),
        pytest.param(lambda n: b"\xff" * n, id="invalid-bytes"),
        pytest.param(lambda n: text_message(b'"' + "「甲：".encode() * (n // 9) + b'"'), id="headings-of-quotes-never-closed"),
        pytest.param(lambda n: text_message(b'"' + "「甲：」\\n- - - - -\\n".encode() * (n // 26) + b'"'), id="quotes-after-quotes"),
        pytest.param(
            lambda n: forward_of(rb'{"type":"text","content":"{\"content\":\"x\"}"},' * (n // 50) + b"{}"), id="items-of-a-forward"
        ),
        pytest.param(
            lambda n: forward_of(rb'{"type":"x","content":"{\"sdkfileid\":\"F\"}"},' * (n // 50) + b"{}"), id="files-in-a-forward"
        ),
        pytest.param(lambda n: text_message(b'"x",' + b'"k":"v",' * (n // 8) + b'"z":1'), id="one-key-repeated"),
        pytest.param(lambda n: text_message(b'"x",' + b",".join(b'"k%d":"v"' % i for i in range(n // 12)) + b',"z":1'), id="many-keys"),
    ],
)
def test_time_grows_with_size_and_no_faster(make: Callable[[int], bytes]) -> None:
    """Eight times the size takes about eight times as long; work that grew with the square would take sixty-four times."""
    small, large = make(60_000), make(480_000)
    # In turns, and the fairest of three: how fast this core is changes with what its neighbour does.
    rounds = [(max(seconds(lambda: code(small)), 0.0005), seconds(lambda: code(large))) for _ in range(3)]  # below that a clock tick decides
    assert min(long / short for short, long in rounds) < 28
