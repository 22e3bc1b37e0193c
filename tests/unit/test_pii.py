"""What is found in a text as personal or secret, and what stands after masking. Expected maskings are typed by hand."""

from __future__ import annotations

import json
import os
import time
from datetime import date
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline import pii
from pipeline.errors import UsageError

NOTHING: list[str] = []

CASES = [
    # identity cards; 11010519491231002X is the example of GB 11643
    pytest.param("证号11010519491231002X。", "证号******1949********。", ["id_card"], id="id-card"),
    pytest.param("11010519491231002x", "******1949********", ["id_card"], id="id-card-small-x"),
    pytest.param("110105 19491231 002X", "****** 1949**** ****", ["id_card"], id="id-card-spaced"),
    pytest.param("１１０１０５１９４９１２３１００２Ｘ", "******１９４９********", ["id_card"], id="id-card-full-width"),
    pytest.param("000105194912310021", "000105194912310021", NOTHING, id="id-card-begins-with-zero"),
    pytest.param("110105194912310021", "110105194912310021", NOTHING, id="id-card-wrong-check-digit"),
    pytest.param("110105194913310021", "110105194913310021", NOTHING, id="id-card-month-13"),
    pytest.param("110105194902300020", "110105194902300020", NOTHING, id="id-card-30-february"),
    pytest.param("单11010519491231002XY", "单11010519491231002XY", NOTHING, id="id-card-inside-a-word"),
    pytest.param("991234198001010018", "******1980********", ["id_card"], id="id-card-unknown-area"),
    pytest.param("身份证 110105491231002 号", "身份证 ******49******* 号", ["id_card"], id="id-15-with-word"),
    pytest.param("流水 110105491231002 号", "流水 110105491231002 号", NOTHING, id="id-15-without-word"),
    pytest.param("身份证 110105490230002 号", "身份证 110105490230002 号", NOTHING, id="id-15-30-february"),
    pytest.param("身份证 110105491331002 号", "身份证 110105491331002 号", NOTHING, id="id-15-month-13"),
    # credit codes; 91110000600037341L is a published one
    pytest.param("税号91110000600037341L，谢谢", "税号******************，谢谢", ["credit_code"], id="credit-code"),
    pytest.param("91110000600037341L", "******************", ["credit_code"], id="credit-code-without-word"),
    pytest.param("91110000600037341M", "91110000600037341M", NOTHING, id="credit-code-wrong-check"),
    pytest.param("信用代码911100000000000061", "信用代码******************", ["credit_code"], id="credit-code-digits-with-word"),
    pytest.param("订单911100000000000061", "订单911100000000000061", NOTHING, id="credit-code-digits-without-word"),
    # bank cards: test numbers of the networks, and UnionPay's 62
    pytest.param("打到4111111111111111吧", "打到************1111吧", ["bank_card"], id="visa"),
    pytest.param("4111 1111 1111 1111", "**** **** **** 1111", ["bank_card"], id="visa-spaced"),
    pytest.param("4111-1111-1111-1111", "****-****-****-1111", ["bank_card"], id="visa-hyphens"),
    pytest.param("6212345678901265", "************1265", ["bank_card"], id="unionpay-16"),
    pytest.param("6212 3456 7890 1233", "6212 3456 7890 1233", NOTHING, id="unionpay-wrong-check-digit"),
    pytest.param("41111111111114", "41111111111114", NOTHING, id="visa-of-14-digits"),
    pytest.param("共100元，62 12 34 56 78 90 12 65", "共100元，62 12 34 56 78 90 12 65", NOTHING, id="pairs-of-digits"),
    pytest.param("6212 3456 7890 1234 569", "**** **** **** ***4 569", ["bank_card"], id="unionpay-19-spaced"),
    pytest.param("账号 1234567890123 456", "账号 ************3 456", ["bank_card"], id="account-in-two-groups"),
    pytest.param("371449635398431", "***********8431", ["bank_card"], id="amex"),
    pytest.param("371449635398431 6212345678901265", "***********8431 ************1265", ["bank_card"] * 2, id="two-cards-side-by-side"),
    pytest.param("4111  1111  1111  1111", "4111  1111  1111  1111", NOTHING, id="two-spaces-are-no-card"),
    pytest.param("7992739871300008", "7992739871300008", NOTHING, id="luhn-alone-is-not-enough"),
    pytest.param("银行转7992739871300008", "银行转************0008", ["bank_card"], id="luhn-and-a-word-about-money"),
    pytest.param("银行转7992739871300007", "银行转7992739871300007", NOTHING, id="a-word-about-money-without-luhn"),
    pytest.param("账号：1234567890123", "账号：*********0123", ["bank_card"], id="account-word-is-enough"),
    pytest.param("账号：123456789012", "账号：123456789012", NOTHING, id="account-of-12-digits"),
    pytest.param("账号：12345678901234567890", "账号：12345678901234567890", NOTHING, id="20-digits"),
    pytest.param("账号是我昨天在柜台上登记的那个1234567890123", "账号是我昨天在柜台上登记的那个1234567890123", NOTHING, id="word-too-far"),
    pytest.param(
        "账号一二三四五六七八九十一二1234567890123", "账号一二三四五六七八九十一二*********0123", ["bank_card"], id="word-12-before"
    ),
    pytest.param("x4111111111111111", "x4111111111111111", NOTHING, id="card-inside-a-word"),
    pytest.param("4111111111111111x", "4111111111111111x", NOTHING, id="card-runs-into-a-word"),
    pytest.param("尾号 5000 6000 8000 3000", "尾号 5000 6000 8000 3000", NOTHING, id="amounts-in-a-row"),
    # mobiles
    pytest.param("电话13800138000。", "电话*******8000。", ["mobile"], id="mobile"),
    pytest.param("138 0013 8000", "*** **** 8000", ["mobile"], id="mobile-spaced"),
    pytest.param("138-0013-8000", "***-****-8000", ["mobile"], id="mobile-hyphens"),
    pytest.param("+86 13800138000", "+** *******8000", ["mobile"], id="mobile-with-plus-86"),
    pytest.param("8613800138000", "*********8000", ["mobile"], id="mobile-with-86"),
    pytest.param("008613800138000", "***********8000", ["mobile"], id="mobile-with-0086"),
    pytest.param("１３８００１３８０００", "*******８０００", ["mobile"], id="mobile-full-width"),
    pytest.param("微信wx13800138000", "微信wx*******8000", ["mobile"], id="mobile-after-letters"),
    pytest.param("213800138000", "213800138000", NOTHING, id="mobile-inside-a-longer-number"),
    pytest.param("138001380001", "138001380001", NOTHING, id="mobile-too-long"),
    pytest.param("1.13800138000", "1.13800138000", NOTHING, id="decimals-of-a-number"),
    pytest.param("12800138000", "12800138000", NOTHING, id="second-digit-2"),
    pytest.param("1380013800", "1380013800", NOTHING, id="ten-digits"),
    pytest.param("13800138000/13912345678", "*******8000/*******5678", ["mobile"] * 2, id="two-mobiles"),
    pytest.param("打①③⑧⓪⓪①③⑧⓪⓪⓪", "打*******⑧⓪⓪⓪", ["mobile"], id="mobile-in-rings"),
    pytest.param("打㈠㈢㈧0０¹₃⑻⒏𝟖🄀", "打*******⑻⒏𝟖🄀", ["mobile"], id="mobile-in-every-style"),
    pytest.param("①②③④步", "①②③④步", [], id="numbered-steps"),
    pytest.param("我电话幺三八零零幺三八零零零", "我电话*******八零零零", ["mobile"], id="mobile-in-words"),
    pytest.param("壹叁捌0138零零零", "壹叁捌0138零零零", NOTHING, id="mobile-in-words-too-short"),
    pytest.param("一三八零零一三8000", "*******8000", ["mobile"], id="mobile-half-in-words"),
    pytest.param("一一二二三三四四五五六六七七", "一一二二三三四四五五六六七七", NOTHING, id="digits-in-words-that-are-no-mobile"),
    # landlines
    pytest.param("电话010-12345678", "电话***-****5678", ["landline"], id="landline-with-word"),
    pytest.param("编号010-12345678", "编号010-12345678", NOTHING, id="landline-without-word"),
    pytest.param("(0755)8123456", "(****)***3456", ["landline"], id="landline-in-brackets"),
    pytest.param("电话910-12345678", "电话910-12345678", NOTHING, id="area-code-without-zero"),
    # secrets
    pytest.param("您的验证码是123456，5分钟有效", "您的验证码是******，5分钟有效", ["secret"], id="code"),
    pytest.param("验证码：A7K9", "验证码：****", ["secret"], id="code-with-letters"),
    pytest.param("4821（验证码）", "****（验证码）", ["secret"], id="code-before-its-word"),
    pytest.param("2023年的验证码短信", "2023年的验证码短信", NOTHING, id="a-year-is-no-code"),
    pytest.param("验证码是123", "验证码是123", NOTHING, id="code-of-three-digits"),
    pytest.param("验证码请到官方网站上的帮助页面里查看123456", "验证码请到官方网站上的帮助页面里查看123456", NOTHING, id="code-too-far"),
    pytest.param("密码1234（验证码）", "密码****（验证码）", ["secret"], id="two-words-for-one-secret"),
    pytest.param("房间号 4821", "房间号 4821", NOTHING, id="four-digits-without-word"),
    pytest.param("密码是abcdef", "密码是******", ["secret"], id="password"),
    pytest.param("密码：Ab@12345", "密码：********", ["secret"], id="password-with-signs"),
    pytest.param("密码改成888888了", "密码改成******了", ["secret"], id="password-changed-to"),
    pytest.param("密码13800138000", "密码***********", ["secret"], id="password-that-is-a-mobile-is-masked-wholly"),
    pytest.param("Password: hunter2", "Password: *******", ["secret"], id="password-english"),
    pytest.param("pwd=hunter2", "pwd=*******", ["secret"], id="pwd"),
    pytest.param("忘记密码请拨打95518", "忘记密码请拨打95518", NOTHING, id="a-hotline-is-no-password"),
    pytest.param("密码 reset", "密码 reset", NOTHING, id="a-word-is-no-password"),
    pytest.param("密码是123", "密码是123", NOTHING, id="password-too-short"),
    pytest.param("CVV 123", "CVV ***", ["secret"], id="cvv"),
    pytest.param("卡背面后三位：456", "卡背面后三位：***", ["secret"], id="cvv-in-words"),
    pytest.param("CVV 12345", "CVV 12345", NOTHING, id="cvv-too-long"),
    pytest.param("有效期08/27", "有效期*****", ["secret"], id="card-expiry"),
    pytest.param("有效期2027年", "有效期2027年", NOTHING, id="expiry-of-something-else"),
    pytest.param("有效期13/27", "有效期13/27", NOTHING, id="month-13"),
    # policies, travel documents, email
    pytest.param("保单号：PDAA2023-1234", "保单号：*************", ["policy"], id="policy"),
    pytest.param("保单号码 6212345678901265", "保单号码 ****************", ["policy"], id="policy-that-looks-like-a-card"),
    pytest.param("保单号：ABCDEFGH", "保单号：ABCDEFGH", NOTHING, id="policy-without-digit"),
    pytest.param("保单号：A123456", "保单号：A123456", NOTHING, id="policy-too-short"),
    pytest.param("保单PDAA20231234", "保单PDAA20231234", NOTHING, id="policy-without-its-word"),
    pytest.param("护照E12345678", "护照*********", ["travel_document"], id="passport"),
    pytest.param("护照号EA1234567", "护照号*********", ["travel_document"], id="passport-two-letters"),
    pytest.param("護照E12345678", "護照*********", ["travel_document"], id="passport-in-traditional-characters"),
    pytest.param("驗證碼是123456", "驗證碼是******", ["secret"], id="code-in-traditional-characters"),
    pytest.param("帳號：1234567890123", "帳號：*********0123", ["bank_card"], id="account-in-traditional-characters"),
    pytest.param("型号E12345678", "型号E12345678", NOTHING, id="passport-without-word"),
    pytest.param("护照20301231到期", "护照20301231到期", NOTHING, id="a-date-is-no-passport"),
    pytest.param("港澳通行证H1234567890", "港澳通行证***********", ["travel_document"], id="hong-kong"),
    pytest.param("台胞证12345678", "台胞证********", ["travel_document"], id="taiwan"),
    pytest.param("邮箱zhang.san@mail.example.com，收", "邮箱*********@****************，收", ["email"], id="email"),
    pytest.param("13800138000@163.com", "***********@*******", ["email"], id="email-that-begins-with-a-mobile"),
    pytest.param("@张三 看下", "@张三 看下", NOTHING, id="mention"),
    pytest.param("a@b", "a@b", NOTHING, id="no-domain"),
    # ordinary text
    pytest.param("今年收益4.5%，去年2023年是5.1%", "今年收益4.5%，去年2023年是5.1%", NOTHING, id="years-and-rates"),
    pytest.param("保费30000元，保额1000000元", "保费30000元，保额1000000元", NOTHING, id="amounts"),
    pytest.param("2023-12-15 08:30:00", "2023-12-15 08:30:00", NOTHING, id="date-and-time"),
    pytest.param("", "", NOTHING, id="empty"),
    pytest.param(
        "我叫张三，电话13800138000，证件号11010519491231002X，卡号6212345678901265，密码是abc123",
        "我叫张三，电话*******8000，证件号******1949********，卡号************1265，密码是******",
        ["mobile", "id_card", "bank_card", "secret"],
        id="several-in-order",
    ),
]


@pytest.mark.parametrize(("text", "masked", "kinds"), CASES)
def test_personal_data_is_masked_and_its_near_misses_are_not(text: str, masked: str, kinds: list[str]) -> None:
    found = pii.find(text)
    assert pii.mask(text, found) == masked
    assert [p.kind for p in found] == kinds
    assert len(masked) == len(text)


def test_the_firms_own_policy_numbers_are_masked_wholly() -> None:
    policies = pii.compiled([r"\bP[0-9]{12}\b", r"[0-9]{4}-LI-[0-9]{6}"])
    text = "😀您的P123456789012和2026-LI-000123，还有P12345678901"
    assert pii.mask(text, pii.find(text, policies)) == "😀您的*************和**************，还有P12345678901"
    assert pii.find(text) == []


def test_a_policy_number_wins_over_the_card_it_looks_like() -> None:
    assert [p.kind for p in pii.find("6212345678901265", pii.compiled(["62[0-9]{14}"]))] == ["policy"]


@pytest.mark.parametrize("pattern", ["(?=a)", "(", "[0-9]*", "保"])
def test_a_policy_pattern_that_cannot_work_is_refused_by_its_number(pattern: str) -> None:
    with pytest.raises(UsageError, match="number 2") as refused:
        pii.compiled(["P[0-9]{12}", pattern])
    assert refused.value.code == "PII_PATTERN"


@pytest.mark.parametrize(
    ("text", "least", "expected"),
    [
        pytest.param("加我9989123456吧", 8, [(2, 12)], id="plain"),
        pytest.param("1234567", 8, [], id="too few"),
        pytest.param("1234567", 7, [(0, 7)], id="as few as asked"),
        pytest.param("12-34-56-78", 8, [(0, 11)], id="signs between"),
        pytest.param("1234====5678", 8, [], id="four signs between"),
        pytest.param("1234a5678", 8, [], id="a letter between"),
        pytest.param("1234\n5678", 8, [], id="a line end between"),
        pytest.param("幺三八零⓪₁③⑻", 8, [(0, 8)], id="every way to write a digit"),
    ],
)
def test_runs_of_digits_are_found_where_they_are_asked_for(text: str, least: int, expected: list[tuple[int, int]]) -> None:
    assert [(place.start_cp, place.end_cp) for place in pii.digit_runs(text, least)] == expected
    assert pii.places(text, ["secret"]) == []


def test_places_are_code_points_of_the_text() -> None:
    assert pii.find("😀电话１３８００１３８０００") == [pii.Pii(3, 14, "mobile")]


@pytest.mark.parametrize("masked", [str(case.values[1]) for case in CASES])
def test_a_masked_text_is_left_as_it_is(masked: str) -> None:
    """Stored text can be looked through again under the same rules without losing more."""
    assert pii.mask(masked, pii.find(masked)) == masked


@settings(max_examples=300, deadline=None)
@given(st.text(alphabet="0123456789 -X@.ab身份证密码验卡号电话:+/()６２", max_size=60))
def test_masking_changes_only_what_was_found(text: str) -> None:
    found = pii.find(text)
    masked = pii.mask(text, found)
    inside = {i for p in found for i in range(p.start_cp, p.end_cp)}
    assert len(masked) == len(text)
    assert all(m == c or (m == "*" and i in inside) for i, (c, m) in enumerate(zip(text, masked, strict=True)))
    assert all(one.end_cp <= other.start_cp for one, other in pairwise(found))
    assert all(p.start_cp < p.end_cp for p in found)


@settings(max_examples=300, deadline=None)
@given(st.integers(0, 9999), st.dates(date(1850, 1, 1), date(2099, 12, 31)), st.integers(0, 999))
def test_an_identity_number_made_by_hand_is_found(area: int, born: date, order: int) -> None:
    """The check character as GB 11643 defines it: weighted sum, remainder by 11, table."""
    body = f"{100000 + area}{born:%Y%m%d}{order:03d}"
    total = sum(int(c) * w for c, w in zip(body, [7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2], strict=True))
    right = "10X98765432"[total % 11]
    assert [p.kind for p in pii.find(f"号{body}{right}")] == ["id_card"]


def seconds(text: str) -> float:
    """Processor time of the fastest of three searches."""
    times = []
    for _ in range(3):
        start = time.process_time()
        pii.mask(text, pii.find(text))
        times.append(time.process_time() - start)
    return min(times)


PATTERNS = ["1", "1 ", "12-", "4444 ", "6222020", "卡号4444 ", "138 0013 ", "0755-", "(0", "E1234567 ", "保单号A1-"]
PATTERNS += ["a", "a@", "a." * 30 + "@", "@", "密码", "密码是 ", "1234 验证码"]


@pytest.mark.slow
@pytest.mark.parametrize("pattern", PATTERNS)
def test_time_grows_with_length_and_no_faster(pattern: str) -> None:
    """Eight times the length takes about eight times as long; work that grew with the square would take sixty-four times."""
    small, large = (pattern * (n // len(pattern)) for n in (15_000, 120_000))
    assert seconds(large) < 28 * max(seconds(small), 0.0005)


@pytest.mark.slow
def test_ten_megabytes_of_digits_are_looked_through() -> None:
    assert pii.find("7" * 10_000_000) == []


@pytest.mark.fixtures
def test_public_card_numbers_are_found_where_published() -> None:
    folder = os.environ.get("LIUHEN_FIXTURES")
    if not folder:
        pytest.skip("LIUHEN_FIXTURES does not name the folder of public test data")
    lines = (Path(folder) / "matching" / "identifiers_fetched.jsonl").read_text("utf-8").splitlines()
    cases = [case for case in map(json.loads, lines) if case["kind"] == "BANK_CARD"]
    # UATP (airlines' own cards, beginning with 1): not a card anybody is paid by here, and 1 begins too many order numbers.
    missed = {c["id"] for c in cases if [[p.start_cp, p.end_cp, p.kind.upper()] for p in pii.find(c["text"])] != c["expect"]}
    assert missed == {"identifiers#0241"}
    assert len(cases) == 17


def test_a_pattern_that_is_none_is_told_by_us_alone(capfd: pytest.CaptureFixture[str]) -> None:
    """RE2 would write it to stderr, pattern and all."""
    with pytest.raises(UsageError):
        pii.compiled(["保单("])
    assert capfd.readouterr() == ("", "")
