"""Reading one GetChatData answer: whole records kept, the rest told, nothing raised."""

from __future__ import annotations

import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.answers import Counted, _split_carefully, _split_quickly, count, count_plain, read_page
from pipeline.errors import FAILURE_CODES
from pipeline.records import PageRef, SealedItem

REF = PageRef(corp_id="ww1", page="0" * 64, uri="", size=0, source="file", name="saved.json#1", captured_at_ms=0)

ONE = b'{"seq":196,"msgid":"CAQQ2fbb4QUY0On2rYSAgAMgip/yzgs=","publickey_ver":3,"encrypt_random_key":"QUJD","encrypt_chat_msg":"REVG"}'
TWO = b'{"seq":197,"msgid":"m2_external","publickey_ver":4,"encrypt_random_key":"R0hJ","encrypt_chat_msg":"SktM"}'
PAGE = b'{"errcode":0,"errmsg":"ok","chatdata":[' + ONE + b"," + TWO + b"]}"

FIRST = SealedItem(0, 196, "CAQQ2fbb4QUY0On2rYSAgAMgip/yzgs=", 3, "QUJD", "REVG", ONE)
SECOND = SealedItem(1, 197, "m2_external", 4, "R0hJ", "SktM", TWO)


def page_of(*items: bytes) -> bytes:
    return b'{"errcode":0,"errmsg":"ok","chatdata":[' + b",".join(items) + b"]}"


def record(**fields: bytes) -> bytes:
    """A record with some fields' JSON replaced; the value `b""` leaves the field out."""
    values = {
        "seq": b"5",
        "msgid": b'"m5"',
        "publickey_ver": b"1",
        "encrypt_random_key": b'"QQ=="',
        "encrypt_chat_msg": b'"Qg=="',
        **fields,
    }
    return b"{" + b",".join(b'"%s":%s' % (name.encode(), value) for name, value in values.items() if value) + b"}"


def test_a_page_becomes_its_records_with_their_bytes() -> None:
    page, malformed = read_page(REF, PAGE)
    assert (page.ref, page.items, page.failures, malformed) == (REF, (FIRST, SECOND), (), ())


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        pytest.param(PAGE, Counted((196, 197), 2), id="as the source writes it"),
        pytest.param(page_of(record(seq=b"0"), ONE), Counted((0, 196), 2), id="a seq of 0"),
        pytest.param(page_of(record(msgid=b'"a},{b"'), ONE), Counted((5, 196), 2), id="a separator inside a msgid"),
        pytest.param(page_of(record(msgid=b'"a\\"b"'), ONE), None, id="a quotation mark in a msgid"),
        pytest.param(page_of(record(seq=b'7,"seq":8'), ONE), None, id="a field twice"),
        pytest.param(page_of(record(encrypt_chat_msg=b'"Qg==","more":1'), ONE), None, id="a field more"),
        pytest.param(page_of(record(msgid=b""), ONE), None, id="a field less"),
        pytest.param(page_of(record(seq=b"9223372036854775808"), ONE), None, id="a seq of 2^63"),
        pytest.param(page_of(record(msgid=b'"\xff"'), ONE), None, id="bytes that are no text"),
        pytest.param(PAGE[:-2] + b'],"chatdata":[' + ONE + b"]}", None, id="two lists"),
        pytest.param(PAGE[:-1], None, id="cut"),
        pytest.param(PAGE.replace(b'"errcode":0', b'"errcode":1'), None, id="an errcode"),
        pytest.param(page_of(), None, id="no record"),
    ],
)
def test_one_look_counts_a_page_as_reading_it_does_or_leaves_it_to_that(data: bytes, expected: Counted | None) -> None:
    assert count_plain(data) == expected
    if expected is not None:
        assert count(read_page(REF, data)[0]) == expected


def test_a_record_that_cannot_be_read_counts_and_its_seq_where_it_is_known() -> None:
    assert count(read_page(REF, page_of(ONE, record(msgid=b'""'), b"5"))[0]) == Counted((196, 5), 3)
    assert count(read_page(REF, PAGE[:-5])[0]) == Counted((196,), 2)


@pytest.mark.parametrize(
    ("items", "codes"),
    [
        pytest.param([ONE, TWO], [], id="as the source writes it"),
        pytest.param([record(msgid=b'"a},{b"'), ONE], [], id="a separator inside a msgid"),
        pytest.param([record(msgid=b'"a},{b"') + b" ", ONE], [], id="a separator in a msgid and a space where there should be one: as many pieces as records"),
        pytest.param([record(msgid=b'"a\\"b"'), ONE], [], id="a quotation mark in a msgid"),
        pytest.param([record(seq=b"7,\"seq\":8"), ONE], ["ITEM_MALFORMED"], id="a field twice"),
        pytest.param([record(seq=b"9223372036854775808"), ONE], ["SEQ_RANGE"], id="a seq of 2^63"),
        pytest.param([record(msgid=b'""'), ONE], ["ITEM_MALFORMED"], id="an empty msgid"),
        pytest.param([record(publickey_ver=b"0"), ONE], ["ITEM_MALFORMED"], id="a key version of 0"),
        pytest.param([record(encrypt_chat_msg=b'"Qg==","more":"x"'), ONE], [], id="a field more"),
        pytest.param([ONE, b"5"], ["ITEM_MALFORMED"], id="a number among records"),
    ],
)
def test_a_page_decoded_at_once_gives_what_reading_it_record_by_record_gives(items: list[bytes], codes: list[str]) -> None:
    page, malformed = read_page(REF, page_of(*items))
    spaced, apart = read_page(REF, page_of(*items).replace(b'"chatdata":[', b'"chatdata" : ['))
    assert (page.items, malformed) == (spaced.items, apart)
    assert [m.failure.code for m in malformed] == codes and len(page.items) + len(malformed) == len(items)
    assert all(json.loads(i.raw)["seq"] == i.seq and page_of(*items).count(i.raw) == 1 for i in page.items)


SAME_PAGE = [
    pytest.param(PAGE + b"\n", id="a line end after it"),
    pytest.param(b"\xef\xbb\xbf" + PAGE, id="a byte order mark before it"),
    pytest.param(b' {\n "errcode" : 0 ,\r\n\t"chatdata" : [ ' + ONE + b" ,\n " + TWO + b"\n] }", id="spaces between"),
    pytest.param(b'{"chatdata":[' + ONE + b"," + TWO + b'],"errmsg":"ok","errcode":0}', id="errcode at the end"),
    pytest.param(b'{"chatdata":[' + ONE + b"," + TWO + b"]}", id="no errcode"),
    pytest.param(b'{"errcode":0,"errmsg":"\xff\xfe","chatdata":[' + ONE + b"," + TWO + b"]}", id="errmsg is no UTF-8"),
    pytest.param(b'{"errcode":0,"errmsg":"]}[{\\"","chatdata":[' + ONE + b"," + TWO + b"]}", id="brackets in a string"),
    pytest.param(b'{"errcode":0,"chatd\\u0061ta":[' + ONE + b"," + TWO + b"]}", id="an escape in a name"),
    pytest.param(b'{"more":{"chatdata":[1]},"errcode":0,"chatdata":[' + ONE + b"," + TWO + b"]}", id="another chatdata deeper down"),
]


@pytest.mark.parametrize("data", SAME_PAGE)
def test_an_unusual_page_gives_the_same_records(data: bytes) -> None:
    page, malformed = read_page(REF, data)
    assert (page.items, malformed) == ((FIRST, SECOND), ())


@pytest.mark.parametrize(
    "data", [b'{"errcode":0,"errmsg":"ok","chatdata":[]}', b'{"errcode":0,"chatdata":null}', b'{"errcode":0}', b'{"chatdata":[ ]}']
)
def test_a_page_without_records_is_an_empty_page(data: bytes) -> None:
    page, malformed = read_page(REF, data)
    assert (page.items, malformed) == ((), ())


@pytest.mark.parametrize("end", range(len(PAGE)))
def test_a_cut_page_keeps_its_whole_records(end: int) -> None:
    page, malformed = read_page(REF, PAGE[:end])
    whole = [item for item in (FIRST, SECOND) if end >= PAGE.index(item.raw) + len(item.raw)]
    assert page.items == tuple(whole)
    assert [(m.failure.code, m.failure.item, m.failure.seq, m.failure.msgid, m.sealed) for m in malformed] == [
        ("PAGE_CUT", len(whole), None, None, b"")
    ]
    assert malformed[0].failure.detail.startswith("saved.json#1 ")


def test_a_cut_pretty_printed_page_keeps_its_whole_records() -> None:
    data = json.dumps(json.loads(PAGE), indent=2).encode()
    for end in range(len(data)):
        page, malformed = read_page(REF, data[:end])
        whole = [seq for seq, last in ((196, b'"REVG"\n    }'), (197, b'"SktM"\n    }')) if last in data[:end]]
        assert ([i.seq for i in page.items], [m.failure.code for m in malformed]) == (whole, ["PAGE_CUT"])


MANY_NAMES = b",".join(b'"a%d":1' % n for n in range(1_000))
BROKEN_PAGES = [
    pytest.param(
        b'{"chatdata":[' + ONE + b"]," + MANY_NAMES + b"}", "PAGE_UNREADABLE", [196], "{page} has more than 1000 fields", id="1001 names"
    ),
    pytest.param(b"", "PAGE_CUT", [], "{page} is empty", id="nothing"),
    pytest.param(b" \n", "PAGE_CUT", [], "{page} is empty", id="blanks"),
    pytest.param(b"<html>", "PAGE_UNREADABLE", [], "{page} is not a JSON object", id="no JSON"),
    pytest.param(b"[" + ONE + b"]", "PAGE_UNREADABLE", [], "{page} is not a JSON object", id="a list"),
    pytest.param(b"{}", "PAGE_UNREADABLE", [], "{page} has neither errcode nor chatdata", id="an empty object"),
    pytest.param(ONE, "PAGE_UNREADABLE", [], "{page} has neither errcode nor chatdata", id="a record alone"),
    pytest.param(PAGE.decode().encode("utf-16"), "PAGE_UNREADABLE", [], "{page} is not a JSON object", id="UTF-16"),
    pytest.param(PAGE + b"x", "PAGE_UNREADABLE", [196, 197], "{page} goes on after the end of the answer", id="a letter after it"),
    pytest.param(PAGE + PAGE, "PAGE_UNREADABLE", [196, 197], "{page} goes on after the end of the answer", id="two answers"),
    pytest.param(
        b'{"errcode":301052,"errmsg":"expired"}', "SOURCE_ERRCODE", [], "the source answered errcode 301052", id="an error answer"
    ),
    pytest.param(
        b'{"errcode":-1,"chatdata":[' + ONE + b"]}", "SOURCE_ERRCODE", [196], "the source answered errcode -1", id="an error with records"
    ),
    pytest.param(
        b'{"errcode":"0","chatdata":[' + ONE + b"]}",
        "PAGE_UNREADABLE",
        [196],
        "errcode of {page} is not a whole number",
        id="errcode as text",
    ),
    pytest.param(
        b'{"errcode":0.0,"chatdata":[]}', "PAGE_UNREADABLE", [], "errcode of {page} is not a whole number", id="errcode with a point"
    ),
    pytest.param(
        b'{"errcode":' + b"1" * 5000 + b"}", "PAGE_UNREADABLE", [], "errcode of {page} is not a whole number", id="errcode of 5000 digits"
    ),
    pytest.param(
        b'{"errcode":0,"chatdata":{"seq":1}}', "PAGE_UNREADABLE", [], "chatdata of {page} is not a list", id="chatdata is an object"
    ),
    pytest.param(
        b'{"chatdata":[' + ONE + b'],"chatdata":[' + TWO + b"]}",
        "PAGE_UNREADABLE",
        [196, 197],
        "{page} has chatdata twice",
        id="chatdata twice",
    ),
    pytest.param(
        b'{"chatdata":[' + ONE + b'],"chat\\u0064ata":[]}', "PAGE_UNREADABLE", [196], "{page} has chatdata twice", id="twice, escaped"
    ),
    pytest.param(
        b'{"errcode":0,"chatdata":[' + ONE + b'],"errcode":7}', "PAGE_UNREADABLE", [196], "{page} has errcode twice", id="errcode twice"
    ),
    pytest.param(
        b'{"errcode":0 "chatdata":[' + ONE + b"]}",
        "PAGE_UNREADABLE",
        [],
        "{page} is not valid JSON outside its records",
        id="a comma short",
    ),
    pytest.param(
        b'{"errcode":NaN,"chatdata":[' + ONE + b"]}", "PAGE_UNREADABLE", [196], "{page} is not valid JSON outside its records", id="NaN"
    ),
    pytest.param(
        b'{"x":' + b"[" * 64 + b"]" * 64 + b',"chatdata":[' + ONE + b"]}",
        "PAGE_UNREADABLE",
        [196],
        "{page} nests deeper than 64 levels",
        id="deep",
    ),
]


@pytest.mark.parametrize(("data", "code", "seqs", "detail"), BROKEN_PAGES)
def test_what_is_wrong_with_a_page_is_told_once_and_costs_no_record(data: bytes, code: str, seqs: list[int], detail: str) -> None:
    page, malformed = read_page(REF, data)
    assert [i.seq for i in page.items] == seqs
    expected = ("landing", code, detail.replace("{page}", "saved.json#1"), len(seqs), b"")
    assert [(m.failure.step, m.failure.code, m.failure.detail, m.failure.item, m.sealed) for m in malformed] == [expected]
    assert tuple(m.failure for m in malformed) == page.failures


MALFORMED_RECORDS = [
    pytest.param(b"null", "ITEM_MALFORMED", "it is not a JSON object", None, None, id="null"),
    pytest.param(b'"text"', "ITEM_MALFORMED", "it is not a JSON object", None, None, id="a string"),
    pytest.param(b"[]", "ITEM_MALFORMED", "it is not a JSON object", None, None, id="a list"),
    pytest.param(b"{}", "ITEM_MALFORMED", "the field seq is missing", None, None, id="an empty object"),
    pytest.param(record(seq=b""), "ITEM_MALFORMED", "the field seq is missing", None, "m5", id="no seq"),
    pytest.param(record(seq=b'"5"'), "ITEM_MALFORMED", "the field seq is not a whole number", None, "m5", id="seq as text"),
    pytest.param(record(seq=b"5.0"), "ITEM_MALFORMED", "the field seq is not a whole number", None, "m5", id="seq with a point"),
    pytest.param(record(seq=b"5e0"), "ITEM_MALFORMED", "the field seq is not a whole number", None, "m5", id="seq with an exponent"),
    pytest.param(record(seq=b"true"), "ITEM_MALFORMED", "the field seq is not a whole number", None, "m5", id="seq true"),
    pytest.param(record(seq=b"null"), "ITEM_MALFORMED", "the field seq is not a whole number", None, "m5", id="seq null"),
    pytest.param(record(seq=b"-1"), "ITEM_MALFORMED", "seq is negative", None, "m5", id="seq negative"),
    pytest.param(record(seq=b"05"), "ITEM_MALFORMED", "it is not valid JSON", None, None, id="seq with a leading zero"),
    pytest.param(record(seq=b"NaN"), "ITEM_MALFORMED", "it is not valid JSON", None, None, id="seq NaN"),
    pytest.param(record(seq=b"9223372036854775808"), "SEQ_RANGE", "seq is 2^63 or more", None, "m5", id="seq 2^63"),
    pytest.param(record(seq=b"18446744073709551616"), "SEQ_RANGE", "seq is 2^63 or more", None, "m5", id="seq 2^64"),
    pytest.param(record(seq=b"9" * 5000), "SEQ_RANGE", "seq is 2^63 or more", None, "m5", id="seq of 5000 digits"),
    pytest.param(record(msgid=b""), "ITEM_MALFORMED", "the field msgid is missing", 5, None, id="no msgid"),
    pytest.param(record(msgid=b'""'), "ITEM_MALFORMED", "msgid has 0 characters, expected 1 to 1024", 5, None, id="msgid empty"),
    pytest.param(record(msgid=b"7"), "ITEM_MALFORMED", "the field msgid is not a string", 5, None, id="msgid a number"),
    pytest.param(
        record(msgid=b'"' + b"m" * 1025 + b'"'),
        "ITEM_MALFORMED",
        "msgid has 1025 characters, expected 1 to 1024",
        5,
        None,
        id="msgid too long",
    ),
    pytest.param(record(msgid=b'"\\ud800"'), "ITEM_MALFORMED", "it is not valid JSON", None, None, id="half a surrogate pair"),
    pytest.param(record(msgid=b'"\xff"'), "ITEM_MALFORMED", "it is not valid UTF-8", None, None, id="msgid no UTF-8"),
    pytest.param(record(more=b'"\xff"'), "ITEM_MALFORMED", "it is not valid UTF-8", None, None, id="an unknown field no UTF-8"),
    pytest.param(record(publickey_ver=b"0"), "ITEM_MALFORMED", "publickey_ver is outside 1 to 2147483647", 5, "m5", id="version 0"),
    pytest.param(record(publickey_ver=b"-1"), "ITEM_MALFORMED", "publickey_ver is outside 1 to 2147483647", 5, "m5", id="version negative"),
    pytest.param(
        record(publickey_ver=b"2147483648"), "ITEM_MALFORMED", "publickey_ver is outside 1 to 2147483647", 5, "m5", id="version 2^31"
    ),
    pytest.param(
        record(publickey_ver=b"9" * 5000),
        "ITEM_MALFORMED",
        "publickey_ver is outside 1 to 2147483647",
        5,
        "m5",
        id="version of 5000 digits",
    ),
    pytest.param(
        record(publickey_ver=b"true"), "ITEM_MALFORMED", "the field publickey_ver is not a whole number", 5, "m5", id="version true"
    ),
    pytest.param(
        record(encrypt_random_key=b"null"), "ITEM_MALFORMED", "the field encrypt_random_key is not a string", 5, "m5", id="random key null"
    ),
    pytest.param(record(encrypt_chat_msg=b""), "ITEM_MALFORMED", "the field encrypt_chat_msg is missing", 5, "m5", id="no message"),
    pytest.param(record()[:-1] + b',"seq":6}', "ITEM_MALFORMED", "it has the field seq twice", None, None, id="seq twice"),
    pytest.param(record()[:-1] + b',"s\\u0065q":6}', "ITEM_MALFORMED", "it has the field seq twice", None, None, id="seq twice, escaped"),
    pytest.param(
        record()[:-1] + b',"msgid":"m5"}', "ITEM_MALFORMED", "it has the field msgid twice", None, None, id="msgid twice, the same"
    ),
    pytest.param(record(more=b"[" * 64 + b"]" * 64), "ITEM_MALFORMED", "it nests deeper than 64 levels", None, None, id="65 levels"),
    pytest.param(record(more=b"NaN"), "ITEM_MALFORMED", "it is not valid JSON", None, None, id="NaN in an unknown field"),
    pytest.param(record()[:-1] + b"," + MANY_NAMES + b"}", "ITEM_MALFORMED", "it has more than 1000 fields", None, None, id="1005 names"),
    pytest.param(b"", "ITEM_MALFORMED", "it is not a JSON object", None, None, id="nothing between commas"),
    pytest.param(record() + record(), "ITEM_MALFORMED", "it is not valid JSON", None, None, id="a comma short"),
]


@pytest.mark.parametrize(("raw", "code", "detail", "seq", "msgid"), MALFORMED_RECORDS)
def test_a_malformed_record_costs_nothing_but_itself(raw: bytes, code: str, detail: str, seq: int | None, msgid: str | None) -> None:
    page, malformed = read_page(REF, page_of(ONE, raw, TWO))
    assert [(i.item, i.seq) for i in page.items] == [(0, 196), (2, 197)]
    (one,) = malformed
    assert (one.failure.code, one.failure.detail, one.failure.item, one.failure.seq, one.failure.msgid) == (code, detail, 1, seq, msgid)
    assert one.sealed == raw


UNUSUAL_RECORDS = [
    pytest.param(record(), 5, "m5", id="plain"),
    pytest.param(record(seq=b"0"), 0, "m5", id="seq 0"),
    pytest.param(record(seq=b"9223372036854775807"), 9223372036854775807, "m5", id="seq 2^63 - 1"),
    pytest.param(record(msgid=b'"a\\/b"'), 5, "a/b", id="an escaped slash"),
    pytest.param(record(msgid=b'"\\"seq\\":"'), 5, '"seq":', id="a field's name inside a string"),
    pytest.param(record(msgid='"消息"'.encode()), 5, "消息", id="a msgid that is not ASCII"),
    pytest.param(record(msgid=b'"' + b"m" * 1024 + b'"'), 5, "m" * 1024, id="the longest msgid"),
    pytest.param(record(publickey_ver=b"2147483647"), 5, "m5", id="the highest version"),
    pytest.param(record(more=b'{"seq":6,"seq":7}'), 5, "m5", id="a repeated name deeper down"),
    pytest.param(record(more=b"1")[:-1] + b',"more":2}', 5, "m5", id="an unknown field twice"),
    pytest.param(record(more=b"[" * 63 + b"]" * 63), 5, "m5", id="64 levels"),
    pytest.param(record(more=b'"' + b"[{" * 5000 + b'"'), 5, "m5", id="brackets in a string"),
]


@pytest.mark.parametrize(("raw", "seq", "msgid"), UNUSUAL_RECORDS)
def test_an_unusual_record_is_read(raw: bytes, seq: int, msgid: str) -> None:
    page, malformed = read_page(REF, page_of(raw))
    assert malformed == ()
    assert [(i.seq, i.msgid, i.raw) for i in page.items] == [(seq, msgid, raw)]


def test_a_record_that_looks_like_something_around_it_is_not_taken_for_it() -> None:
    page, malformed = read_page(REF, b'{"errcode":10,"errmsg":"1","chatdata":[1]}')
    assert page.items == ()
    assert [m.failure.detail for m in malformed] == ["it is not a JSON object", "the source answered errcode 10"]


def test_every_code_is_in_the_table_of_failure_codes() -> None:
    used = {p.values[1] for p in BROKEN_PAGES} | {p.values[1] for p in MALFORMED_RECORDS}
    assert used == {"PAGE_CUT", "PAGE_UNREADABLE", "SOURCE_ERRCODE", "ITEM_MALFORMED", "SEQ_RANGE"}
    assert {FAILURE_CODES[str(code)][0] for code in used} == {"landing"}


HOSTILE = [
    pytest.param(b"[" * 100_000, id="brackets"),
    pytest.param(b'{"chatdata":' + b"[" * 100_000, id="brackets in chatdata"),
    pytest.param(b'{"chatdata":' + b"[" * 100_000 + b"]" * 100_000 + b"}", id="brackets that close"),
    pytest.param(b'{"chatdata":[' + b'{"a":' * 100_000, id="objects"),
    pytest.param(b'{"a":' * 100_000 + b"1" + b"}" * 100_000, id="objects that close"),
    pytest.param(b'{"chatdata":[' + b"]" * 100_000, id="closing brackets"),
    pytest.param(b'{"x":"' + b'\\"' * 500_000, id="escaped quotation marks, no end"),
    pytest.param(b'{"x":"' + b"\\" * 1_000_001, id="backslashes, no end"),
    pytest.param(b'{"chatdata":[' + b'"' * 1_000_001, id="quotation marks"),
    pytest.param(b'{"chatdata":[' + b"," * 99_999 + b"]}", id="commas"),
    pytest.param(b'{"chatdata":[' + b'""' * 400_000 + b"]}", id="strings without commas"),
    pytest.param(b"{" + b'"chatdata":[],' * 70_000 + b'"chatdata":[]}', id="chatdata many times"),
    pytest.param(b"{" + b",".join(b'"a%d":1' % n for n in range(100_000)) + b"}", id="many names"),
    pytest.param(page_of(b"{" + b",".join(b'"a%d":1' % n for n in range(100_000)) + b"}"), id="many names in a record"),
    pytest.param(page_of(record(msgid=b'"' + b"x" * 10_000_000 + b'"')), id="a msgid of 10 MB"),
    pytest.param(page_of(record(seq=b"1" * 10_000_000)), id="a seq of 10 MB"),
    pytest.param(page_of(record(more=b"1" * 10_000_000))[:-4], id="a number of 10 MB, cut"),
    pytest.param(b'{"errcode":' + b"1" * 10_000_000 + b"}", id="an errcode of 10 MB"),
    pytest.param(b'{"errcode":' + b"0" * 10_000_000 + b"}", id="zeros"),
    pytest.param(b"\xff" * 1_000_000, id="no UTF-8"),
    pytest.param(b'{"chatdata":["' + b"\xff" * 1_000_000 + b'"]}', id="no UTF-8 in a record"),
    pytest.param(b"{" + b" " * 10_000_000, id="blanks"),
    pytest.param(b'{"chatdata":[' + b" " * 5_000_000 + b"]" + b" " * 5_000_000, id="blanks inside, cut"),
]


@pytest.mark.slow
@pytest.mark.parametrize("data", HOSTILE)
def test_hostile_bytes_end_as_failures_in_time_proportional_to_their_size(data: bytes) -> None:
    begin = time.process_time()
    page, malformed = read_page(REF, data)
    # Anything that goes back over what it has read would take minutes on these.
    assert time.process_time() - begin < 5
    assert page.items == ()
    assert malformed


def test_a_page_with_too_many_records_keeps_the_first_hundred_thousand() -> None:
    _, malformed = read_page(REF, b'{"chatdata":[' + b",".join([b"1"] * 100_001) + b"]}")
    assert (len(malformed), {m.failure.code for m in malformed[:-1]}) == (100_001, {"ITEM_MALFORMED"})
    assert malformed[-1].failure.detail == "saved.json#1 holds more than 100000 records: the others were not read"


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8) | st.sampled_from(["]", "}", '"', "\\", ",", "[{"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["seq", "msgid", "chatdata", "x"]), inner, max_size=3),
    max_leaves=6,
)
records = st.lists(json_values | st.sampled_from([json.loads(ONE), json.loads(TWO)]), max_size=5)


@given(records, st.sampled_from([(",", ":"), (", ", ": ")]), st.booleans())
def test_both_ways_through_a_page_agree_with_a_json_parser(values: list[object], separators: tuple[str, str], ascii_only: bool) -> None:
    data = json.dumps({"errcode": 0, "chatdata": values, "z": values}, separators=separators, ensure_ascii=ascii_only).encode()
    careful = _split_carefully(data)
    assert [json.loads(raw) for raw in careful.records] == values
    assert careful.problem is None
    assert _split_quickly(data) in (None, careful)


@given(records, st.data())
def test_a_cut_anywhere_keeps_what_a_json_parser_finds_whole(values: list[object], data: st.DataObject) -> None:
    texts = [json.dumps(v).encode() for v in values]
    whole = b'{"chatdata":[' + b" , ".join(texts) + b"]}"
    end = data.draw(st.integers(0, len(whole) - 1))
    split = _split_carefully(whole[:end])
    kept, at = 0, len(b'{"chatdata":[')
    for text in texts:
        at += len(text)
        # A bracket says that a record is whole; after a number or a bare string only the comma or bracket behind it does.
        kept += end >= at if text[:1] in b"[{" else whole.find(b"," if at + 3 < len(whole) - 1 else b"]", at) < end
        at += 3
    assert split.records == texts[:kept]
    assert split.problem is not None
    assert split.problem.code == "PAGE_CUT"


@given(
    st.binary(max_size=200)
    | st.lists(st.sampled_from([b"{", b"}", b"[", b"]", b'"', b",", b":", b"\\", b'"chatdata"', ONE, b"1", b" "])).map(b"".join)
)
def test_no_bytes_make_it_raise_and_none_go_untold(data: bytes) -> None:
    page, malformed = read_page(REF, data)
    assert tuple(m.failure for m in malformed) == page.failures
    assert [f.item for f in page.failures] == sorted({f.item for f in page.failures})
    try:
        is_answer = bool({"errcode", "chatdata"} & set(json.loads(data)))
    except (ValueError, TypeError):
        is_answer = False
    assert malformed or is_answer


@given(st.integers(0, len(PAGE) - 1), st.integers(0, 255))
def test_one_changed_byte_costs_at_most_the_record_it_lies_in(at: int, to: int) -> None:
    page, malformed = read_page(REF, PAGE[:at] + bytes((to,)) + PAGE[at + 1 :])
    for item, other in ((FIRST, SECOND), (SECOND, FIRST)):
        begin = PAGE.index(item.raw)
        # Only a lost or new quotation mark, backslash, bracket or comma can reach beyond the record.
        if begin <= at < begin + len(item.raw) and not ({PAGE[at], to} & set(b'"\\[]{},')):
            assert other in page.items
            assert len(page.items) + len(malformed) == 2
