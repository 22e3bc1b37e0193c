"""Folding: what becomes the same, what stays apart, and that every place leads back to the text as written."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.match import fold as fold_module
from pipeline.match.fold import as_written, fold, fold_chars, fold_map, has_firm_edges

LETTERS = "保本息险費穩著𠮷aB1é \u3000.-_·,，。：\n\t①⑫㈤Ａ％%+\u200b\ufe0f\u0301\u20e3😀👍🏻ßﬁ…は\u3099が\U000e0041(（"
MIXED = st.text(st.sampled_from(LETTERS)) | st.text()


@pytest.mark.parametrize(
    ("written", "folded"),
    [
        pytest.param("保\u200b本\u200d保\u2060息\ufeff", "保本保息", id="zero width"),
        pytest.param("保\u202e本\u00ad保\ufe0f息\U000e0041", "保本保息", id="bidi, soft hyphen, variation selector, tag"),
        pytest.param("保̲本̶保⃝息", "保本保息", id="combining marks"),
        pytest.param("ＢａｏＢｅｎ１３８", "baoben138", id="full width"),
        pytest.param("①③⑧⑴⒊⑻𝟭𝟯𝟴Ⅴ", "138138138v", id="circled, parenthesised, full-stopped, bold, roman"),
        pytest.param("❶⓫⓿➃㈤㊄", "11104五五", id="negative circled, circled ideographs"),
        pytest.param("Ⓕⓤc⒦🅰🅑", "fuckab", id="styled letters"),
        pytest.param("1️⃣", "1", id="keycap"),
        pytest.param("穩賺不賠", "稳赚不赔", id="traditional"),
        pytest.param("帳戶跟著反覆", "账户跟着反复", id="traditional by word"),
        pytest.param("ＷｈａｔｓＡｐｐ", "whatsapp", id="case"),
        pytest.param("保 本　保\t息", "保本保息", id="spaces"),
        pytest.param("保.本-保_息", "保本保息", id="full stop, hyphen, underscore"),
        pytest.param("保·本*保～息", "保本保息", id="middle dot, asterisk, tilde"),
        pytest.param("毛---主---席", "毛主席", id="runs"),
        pytest.param("我是【中]国【人", "我是中国人", id="brackets"),
        pytest.param("保😀本👍🏻保", "保本保", id="emoji"),
        pytest.param("加 V信", "加v信", id="between Chinese and a letter"),
        pytest.param("返+佣", "返佣", id="plus"),
        pytest.param("𠮷 𠮷", "𠮷𠮷", id="supplementary ideographs"),
        pytest.param("cafe\u0301 É", "cafe e", id="diacritics, composed or not"),
        pytest.param("か\u3099", "か\u3099", id="a voicing mark is no diacritic"),
    ],
)
def test_these_become(written: str, folded: str) -> None:
    assert fold(written) == folded


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("保,本", id="comma"),
        pytest.param("保、本", id="enumeration comma"),
        pytest.param("投保:本人", id="colon"),
        pytest.param("保。本", id="full stop"),
        pytest.param("保\n本", id="line break"),
        pytest.param("保!本?保;本", id="other clause marks"),
        pytest.param("e-mail me", id="between letters"),
        pytest.param("3.5", id="decimal point"),
        pytest.param("5%保本", id="per cent"),
        pytest.param(" 保本 ", id="at the ends"),
        pytest.param("保 ,本", id="space before a comma"),
        pytest.param("零售", id="Chinese digits are not folded"),
    ],
)
def test_these_stay(text: str) -> None:
    assert fold(text) == text


def test_full_width_clause_marks_separate_like_their_plain_forms() -> None:
    assert fold("保，本：保！本？保；本") == "保,本:保!本?保;本"


@pytest.mark.parametrize(
    ("first", "last"),
    [
        (0x200B, 0x200F), (0x202A, 0x202E), (0x2060, 0x2069), (0xFE00, 0xFE0F), (0xFEFF, 0xFEFF), (0x00AD, 0x00AD), (0x034F, 0x034F),
        (0x061C, 0x061C), (0x115F, 0x115F), (0x1160, 0x1160), (0x180B, 0x180F), (0xE0000, 0xE01EF), (0x3164, 0x3164), (0xFFA0, 0xFFA0),
    ],
)  # fmt: skip
def test_every_invisible_character_is_dropped(first: int, last: int) -> None:
    assert {chr(point) for point in range(first, last + 1) if fold(f"保{chr(point)}本") != "保本"} == set()


@pytest.mark.parametrize(
    ("written", "origins"),
    [
        pytest.param("保\u200b 本", [0, 3], id="dropped characters leave no place"),
        pytest.param("ß⑫保", [0, 0, 1, 1, 2], id="one character that becomes two"),
        pytest.param("😀𠮷保", [0, 1, 2], id="supplementary characters count once"),
        pytest.param("1️⃣保️⃣本", [0, 3, 6], id="keycaps"),
        pytest.param("", [], id="nothing"),
    ],
)
def test_each_folded_character_knows_where_it_came_from(written: str, origins: list[int]) -> None:
    assert fold_map(written)[1] == origins


def test_a_lone_surrogate_becomes_the_replacement_character() -> None:
    assert fold("保\ud83d本") == "保\ufffd本"
    assert as_written("保\ud83d本") == "保\ufffd本"


@given(MIXED)
def test_folding_twice_is_folding_once(text: str) -> None:
    assert fold(fold(text)) == fold(text)


@given(MIXED)
def test_the_map_fits_the_folded_text(text: str) -> None:
    folded, origins = fold_map(text)
    assert folded == fold(text)
    assert len(origins) == len(folded)
    assert origins == sorted(origins)
    assert all(char in fold_chars(text[origin]) for char, origin in zip(folded, origins, strict=True))


@given(MIXED, MIXED)
def test_characters_fold_whatever_stands_beside_them(left: str, right: str) -> None:
    assert fold_chars(left + right) == fold_chars(left) + fold_chars(right)


@given(MIXED.filter(has_firm_edges), MIXED, MIXED)
def test_a_term_with_firm_edges_is_found_after_folding_wherever_it_stood(term: str, before: str, after: str) -> None:
    assert fold(term) in fold(before + term + after)


@pytest.mark.parametrize("term", ["+v", "http://", ".[中", "保\u200b", "\u200b保", "e\u0301", ""])
def test_edges_that_folding_can_drop_are_loose(term: str) -> None:
    assert not has_firm_edges(term)


@pytest.mark.parametrize("table", ["INVISIBLE", "MARKS", "ENCLOSED", "HAN", "CLAUSE_MARKS", "KEPT_MARKS"])
def test_the_digest_changes_with_every_table(table: str, monkeypatch: pytest.MonkeyPatch) -> None:
    before = fold_module.fold_digest.__wrapped__()
    monkeypatch.setattr(fold_module, table, getattr(fold_module, table)[1:])
    assert fold_module.fold_digest.__wrapped__() != before
