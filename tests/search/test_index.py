"""An index only saves looking: answers are the same with it, without it, and with one that was damaged; and it dies with what it was made from."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from pipeline import compact, filekeys, stamps, stores, words
from pipeline.cli.root import LANG
from pipeline.home import Home
from pipeline.reader import Reader
from pipeline.search import boxes, grams, hits, index, index_file, variants
from pipeline.search.question import Question
from tests import firm
from tests.cli.inside import Answer

DAY_MS = 86_400_000
SYLLABLES = [
    "这款产品", "保本", "保息", "收益", "稳赚不赔", "您好", "的", "了", "是", "我", "在吗", "，", "。", "？", "……", "😀", "🧧", "👨‍👩‍👧", "𠮷", "𪚥", "VIP", "vip", "a.cn/x9",
    "138", "0011", "%", "'", "\\", " ", "\n", "保證", "ＷＸ", "微-信", "㈱", "é", "ß",
]  # fmt: skip
MESSAGES = 240


@pytest.fixture(autouse=True)
def small_files_have_indexes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(index, "LEAST_ROWS", 1)


def said(seed: int, first: int, many: int) -> dict[int, dict[str, Any]]:
    """Messages of real-looking words over three months, two employees, customers, a room, a file."""
    dice = random.Random(seed)
    told = {}
    for n in range(first, first + many):
        text = "".join(dice.choices(SYLLABLES, k=dice.randint(1, 9)))
        room = "wrR" if n % 7 == 0 else ""
        told[n] = firm.message(n, text, sender=dice.choice(["ZhangSan", "lisi"]), to=[f"wm{n % 9}"], room=room, at_ms=firm.T0 - dice.randrange(80) * DAY_MS - n)
    told[first] = firm.message(first, sender="wm1", to=["lisi"], msgtype="file", at_ms=firm.T0)
    del told[first]["text"]
    told[first]["file"] = {"md5sum": "0" * 32, "filename": "保本说明𠮷.pdf", "fileext": "pdf", "filesize": 9, "sdkfileid": "f"}
    return told


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Home:
    folder = tmp_path_factory.mktemp("index")
    at = firm.home(folder)
    firm.run(at, firm.page(folder, "a.json", said(1, 1, MESSAGES)))
    return at


@pytest.fixture
def archive(made: Home, tmp_path: Path) -> Home:
    import shutil

    shutil.copytree(made.path, tmp_path / "home")
    return Home(tmp_path / "home")


Rows = list[tuple[tuple[int, int], list[str]]]


def rows_of(at: Home) -> Rows:
    """All messages, newest first: (time, seq) and the texts of their parts, read by DuckDB."""
    with Reader(at, firm.CORP) as reader:
        rows = reader.rows("SELECT seq, parts, epoch_ms(coalesce(sent_at, captured_at)) AS at FROM messages")
    return sorted((((r["at"], r["seq"]), [p["text"] for p in r["parts"]]) for r in rows), reverse=True)


def needles(rows: Rows, many: int = 24) -> list[str]:
    """Substrings of one to six code points, and some that are nowhere."""
    dice = random.Random(5)
    texts = [t for _, parts in rows for t in parts if t]
    cut = []
    for n in range(many):
        text = dice.choice(texts)
        start = dice.randrange(len(text))
        cut.append(text[start : start + 1 + n % 6])
    return [*cut, "𠮷", "🧧", "😀保", "没有的话", "保本保息了的", "龘", "\u200d", "pdf"]


def agrees(at: Home, *, indexed: bool | None) -> None:
    """Every needle is found where Python finds it; indexed: whether the files were asked by their indexes."""
    rows = rows_of(at)
    with Reader(at, firm.CORP) as reader:
        for needle in needles(rows):
            found = hits.look(reader, Question(text=needle, limit=10_000))
            assert [(h.at_ms, h.seq) for h in found.hits] == [key for key, parts in rows if any(needle in t for t in parts)], ascii(needle)
            few = hits.look(reader, Question(text=needle, limit=3))
            assert few.hits == found.hits[:3] and few.more == (len(found.hits) > 3), ascii(needle)
            assert indexed is None or (found.scanned == 0) is indexed


@pytest.mark.slow
def test_python_and_the_search_agree_with_and_without_index_and_after_compaction(archive: Home) -> None:
    agrees(archive, indexed=False)
    made = index.build(archive, firm.CORP)
    assert (made.made, made.messages) == (made.all, MESSAGES) and made.made >= 3
    agrees(archive, indexed=True)
    compact.run(archive, firm.CORP)
    agrees(archive, indexed=False)
    again = index.build(archive, firm.CORP)
    assert again.removed == made.all and again.messages == MESSAGES
    agrees(archive, indexed=True)
    assert index.build(archive, firm.CORP) == index.Built(all=again.all)


@pytest.mark.slow
def test_after_an_erasure_nothing_of_it_is_left_in_any_index(archive: Home) -> None:
    index.build(archive, firm.CORP)
    before = set(indexes(archive))
    lost = stores.purge(archive, firm.CORP, {("sealed", 1), ("sealed", 17)})
    assert lost["search"] == 2 and set(indexes(archive)) < before
    index.build(archive, firm.CORP)
    agrees(archive, indexed=True)
    assert "说明𠮷.pdf" not in {t for _, parts in rows_of(archive) for t in parts}


def indexes(at: Home) -> list[Path]:
    return sorted((at.path / "search" / firm.CORP).glob("*.index"))


@pytest.mark.slow
@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(lambda data: b"", id="empty"),
        pytest.param(lambda data: data[:3], id="cut in the magic"),
        pytest.param(lambda data: data[: len(data) // 2], id="cut in half"),
        pytest.param(lambda data: data[:-1], id="a byte short"),
        pytest.param(lambda data: data[:-9] + bytes([data[-9] ^ 1]) + data[-8:], id="a bit in the last block"),
        pytest.param(lambda data: data[:90] + bytes([data[90] ^ 128]) + data[91:], id="a bit in the head"),
        pytest.param(lambda data: data[:9] + b"x" + data[10:], id="another key's name"),
        pytest.param(lambda data: b"PAR1" + data[4:], id="another kind of file"),
    ],
)
def test_a_damaged_index_is_not_believed_and_made_anew(archive: Home, damage: Any) -> None:
    index.build(archive, firm.CORP)
    for path in indexes(archive):
        path.write_bytes(damage(path.read_bytes()))
    rows = rows_of(archive)
    with Reader(archive, firm.CORP) as reader:
        found = hits.look(reader, Question(text="保本", limit=10_000))
        assert [(h.at_ms, h.seq) for h in found.hits] == [key for key, parts in rows if any("保本" in t for t in parts)]
        assert found.damaged and found.damaged == found.scanned
    assert index.build(archive, firm.CORP).made == found.scanned
    with Reader(archive, firm.CORP) as reader:
        again = hits.look(reader, Question(text="保本", limit=10_000))
        assert again.hits == found.hits and not again.scanned


def test_an_index_of_another_file_another_maker_or_a_later_head_is_not_believed(archive: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    index.build(archive, firm.CORP)
    lake = archive.lake(firm.CORP)
    snapshot = lake.snapshot()
    first, second = index.wanted(snapshot)[:2]
    assert index.read(archive.path, lake, snapshot, first) is not None
    one, other = (index.place(archive.path, firm.CORP, f) for f in (first, second))
    other.write_bytes(one.read_bytes())
    with pytest.raises(boxes.Damaged):
        index.read(archive.path, lake, snapshot, second)
    monkeypatch.setattr(index, "MAKER", "search index/2")
    with pytest.raises(boxes.Damaged):
        index.read(archive.path, lake, snapshot, first)
    monkeypatch.undo()
    later = stamps.Stamp(maker=index.MAKER, table=stamps.table_id(snapshot), version=99, head=snapshot.head + 1, files=1, inputs=stamps.digest([first]))
    key = filekeys.of(lake.root / first.path)
    assert key is not None
    one.write_bytes(index_file.sealed(lake.keyring, key, first.path, later, [index_file.Group(1, 0, 0)], np.array([1], np.uint64), np.array([[1]], np.uint8)))
    with pytest.raises(boxes.Damaged):
        index.read(archive.path, lake, snapshot, first)


def test_an_index_dies_with_the_key_of_its_data_file_and_shows_no_words(archive: Home) -> None:
    index.build(archive, firm.CORP)
    lake = archive.lake(firm.CORP)
    snapshot = lake.snapshot()
    file = index.wanted(snapshot)[0]
    data = b"".join(p.read_bytes() for p in indexes(archive))
    assert not any(word.encode(form) in data for word in ("保本", "稳赚不赔", "ZhangSan", "a.cn/x9") for form in ("utf-8", "utf-32-le", "utf-16-le"))
    key = filekeys.of(lake.root / file.path)
    assert key is not None
    archive.keyring.destroy(key)
    with pytest.raises(boxes.Damaged):
        index.read(archive.path, archive.lake(firm.CORP), snapshot, file)


def test_what_goes_out_of_view_is_not_found_while_its_index_is_still_there(archive: Home) -> None:
    from pipeline import schema
    from pipeline.consenting import hidden

    index.build(archive, firm.CORP)
    lake = archive.lake(firm.CORP)
    with Reader(archive, firm.CORP) as reader:
        before = hits.look(reader, Question(text="保本", limit=1)).hits[0]
        columns: dict[str, list[object]] = {"origin": [before.origin], "seq": [before.seq]}
        others = [c for c in schema.kind("hidden").columns if not c.null and c.name not in columns]
        columns |= {c.name: ["x" if c.type == "string" else 0] for c in others}
        lake.commit(lake.snapshot(), [lake.write(schema.table("hidden", columns), "hidden")], (), what="restrict")
        hidden.ring(archive, firm.CORP)
        after = hits.look(reader, Question(text="保本", limit=1)).hits[0]
    assert (after.origin, after.seq) != (before.origin, before.seq)


@pytest.mark.parametrize(
    ("more", "fits"),
    [
        pytest.param({"employee": "zhangsan"}, lambda r: "zhangsan" in people(r, str.lower), id="an employee in another case"),
        pytest.param({"employee": "LISI", "msgtype": "file"}, lambda r: r["msgtype"] == "file", id="an employee who received, a type"),
        pytest.param({"customer": "wm3"}, lambda r: "wm3" in people(r, str), id="a customer"),
        pytest.param({"customer": "WM3"}, lambda r: False, id="a customer in another case"),
        pytest.param({"room": "wrR"}, lambda r: r["room_id"] == "wrR", id="a room"),
    ],
)
def test_filters_choose_as_sql_does(archive: Home, more: dict[str, Any], fits: Any) -> None:
    index.build(archive, firm.CORP)
    with Reader(archive, firm.CORP) as reader:
        rows = reader.rows("SELECT * FROM messages ORDER BY coalesce(sent_at, captured_at) DESC, seq DESC")
        expected = [r["seq"] for r in rows if "本" in r["text"] and fits(r)]
        assert [h.seq for h in hits.look(reader, Question(text="本", limit=10_000, **more)).hits] == expected


def people(row: dict[str, Any], folded: Any) -> list[str]:
    return [folded(p) for p in [row["sender_id"], *row["recipient_ids"]]]


@pytest.mark.parametrize(
    ("text", "written", "found"),
    [
        pytest.param("保证", "我保證", "保證", id="traditional"),
        pytest.param("wx", "加ＷＸ吧", "ＷＸ", id="full width and capitals"),
        pytest.param("微信", "加微-信吧", "微-信", id="a mark in between"),
        pytest.param("微信", "加薇信吧", "薇信", id="a look-alike"),
        pytest.param("信任", "亻言任我", "亻言任", id="a split character"),
        pytest.param("保證", "保证", "保证", id="simplified, asked in traditional"),
        pytest.param("！", "好！", "！", id="nothing is left of the words but themselves"),
        pytest.param("微信", "微笑，信任", "", id="a clause ends in between"),
        pytest.param("138", "电话一三八", "一三八", id="digit words"),
        pytest.param("138", "电话壹叁捌", "壹叁捌", id="digit words as on a bill"),
        pytest.param("一三八", "电话138", "138", id="digits for digit words"),
        pytest.param("幺三八", "电话一三八", "一三八", id="one digit word for another"),
        pytest.param("138", "一三七", "", id="another number"),
        pytest.param("保本", "保保保本本", "保本", id="repeated characters, the shortest stretch"),
        pytest.param("保本", "保-保-本", "保-本", id="repeated with marks in between"),
        pytest.param("天天涨", "天天天涨涨", "天天涨", id="words that repeat a character themselves"),
        pytest.param("vip", "VVIIPP", "VIIP", id="repeated letters"),
    ],
)
def test_variants_are_found_where_they_stand_as_written(text: str, written: str, found: str) -> None:
    folded = variants.Folded(text)
    texts = pa.array(["无关", written])
    assert folded.rows(texts).tolist() == ([1] if found else [])
    assert [written[p.start_cp : p.end_cp] for p in folded.places([{"path": "p", "text": written}])] == ([found] if found else [])
    if found:
        keys = set(grams.of_texts(texts).tolist())
        assert all(keys & set(any_of) for any_of in folded.keys)


@pytest.mark.parametrize(("text", "written"), [("天天涨", "今天涨"), ("100", "1000x"), ("1100", "100"), ("哈", "嘿")])
def test_repeated_characters_count_once_but_never_more_than_there_are_and_digits_never(text: str, written: str) -> None:
    places = variants.Folded(text).places([{"path": "p", "text": written}])
    assert [written[p.start_cp : p.end_cp] for p in places] == ([text] if text in written else [])


@pytest.mark.parametrize(
    ("text", "written", "found"),
    [
        pytest.param("稳赚", "这个wenzhuan啦", "wenzhuan", id="pinyin"),
        pytest.param("稳赚", "这个 Wen Zhuan 啦", "Wen Zhuan", id="pinyin in two words"),
        pytest.param("wenzhuan", "这个稳赚啦", "稳赚", id="asked in pinyin"),
        pytest.param("保本保息", "宝本宝息", "宝本宝息", id="half of the characters, in their places"),
        pytest.param("保本保息", "报本暴戏", "", id="too few of its own"),
        pytest.param("稳赚", "wenzhou", "", id="another word in letters"),
        pytest.param("稳", "wen", "", id="one syllable"),
        pytest.param("微信", "薇信", "薇信", id="variants are among it"),
        pytest.param("保本138", "baoben138", "", id="words that are not all syllables"),
    ],
)
def test_what_sounds_alike_is_found_on_request(text: str, written: str, found: str) -> None:
    parts = [{"path": "p", "text": written}]
    sounding = variants.Folded(text, by_sound=True)
    assert [written[p.start_cp : p.end_cp] for p in sounding.places(parts)] == ([found] if found else [])
    if found:
        texts = pa.array(["无关", written])
        assert sounding.rows(texts).tolist() == [1]
        keys = set(grams.of_texts(texts).tolist())
        assert all(keys & set(any_of) for any_of in sounding.keys)
    if found and found.isascii():
        assert variants.Folded(text).places(parts) == []


def test_words_sent_in_two_messages_are_no_hit_and_the_answer_says_so(archive: Home, tmp_path: Path) -> None:
    firm.run(archive, firm.page(tmp_path, "split.json", {9_001: firm.message(9_001, "拆零"), 9_002: firm.message(9_002, "售卖")}))
    ended = Answer(archive, "search", "拆零售卖")
    assert ended.rows == [] and words.say("search.not_across", LANG) in ended.err
    assert words.say("search.not_across", LANG) not in Answer(archive, "search", "拆").err


def test_variants_find_what_is_written_and_more(archive: Home) -> None:
    index.build(archive, firm.CORP)
    with Reader(archive, firm.CORP) as reader:
        exact = hits.look(reader, Question(text="保证", limit=1000)).hits
        every = hits.look(reader, Question(text="保证", limit=1000, variants=True)).hits
    assert not exact and every
    assert {h.parts[p.part]["text"][p.start_cp : p.end_cp] for h in every for p in h.places} >= {"保證"}


def test_keys_of_a_text_are_those_of_every_text_it_lies_in() -> None:
    dice = random.Random(3)
    for _ in range(300):
        text = "".join(dice.choices(SYLLABLES, k=6))
        start = dice.randrange(len(text))
        part = text[start : start + dice.randint(1, 6)]
        assert set(grams.of_needle(part)) <= set(grams.of_texts(pa.array(["x", "", text, "y"])).tolist())
    assert set(grams.of_needle("ab")) - set(grams.of_texts(pa.array(["a", "b"])).tolist()), "pairs cross messages"


def test_a_text_across_two_messages_or_two_parts_is_no_hit() -> None:
    from pipeline.search.words import Exact

    assert Exact("ab").rows(pa.array(["xa", "bx", "ab"])).tolist() == [2]
    assert Exact("aa").rows(pa.array(["xa", "aa", "a"])).tolist() == [1]
    assert Exact("a\nb").by_part and not Exact("ab").by_part
    assert Exact("a\nb").places([{"path": "", "text": "a"}, {"path": "", "text": "b"}]) == []
    many = ["不", "好的好的"] * 300
    assert Exact("的好").rows(pa.array(many)).tolist() == list(range(1, 600, 2))
