"""A page of a bundle says what its records, accounts and our texts say, and nothing else: whatever is changed on it is named by both verifiers."""

from __future__ import annotations

import hashlib
import importlib.util
import io
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pipeline import conversation, ingest, schema, words
from pipeline.evidence import bundle, checkpoint, matter, page_about, proving, scope
from pipeline.home import Home
from pipeline.reader import Reader
from tests import firm
from tests.evidence.bag import SCRIPT, Files, refused_by_both, unzipped, verdicts, zipped

FORMATS = (Path(__file__).parents[2] / "docs" / "formats.md").read_text("utf-8")
DAY_MS = 86_400_000


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Home:
    """A room and a single chat of a customer: names of the time and of another one, a recall, a file, parts with labels, a kind that nobody knows,
    a withheld record, a gap, a message without a time, unseen characters."""
    folder = tmp_path_factory.mktemp("pages")
    at = firm.home(folder)
    person = {"department": None, "short_name": "某证券", "valid_to": None, "source": "contacts", "recorded_at": firm.T0}
    rows = [
        {**person, "userid": "ZhangSan", "kind": "employee", "name": "张三", "alias": "小张", "valid_from": None},
        {**person, "userid": "lisi", "kind": "employee", "name": "李四", "alias": None, "valid_from": firm.T0 + DAY_MS},
        {**person, "userid": "wmA", "kind": "external", "name": "赵(女士)", "alias": None, "short_name": None, "valid_from": None},
    ]
    ingest.append(at, firm.CORP, [("people", schema.table("people", {k: [r[k] for r in rows] for k in rows[0]}))], what="people")
    gap = {"after_seq": 2, "before_seq": 4, "from_at": firm.T0 + 2_000, "to_at": firm.T0 + 4_000, "cause": "x<y", "detected_at": firm.T0, "run_id": "r"}
    ingest.append(at, firm.CORP, [("gaps", schema.table("gaps", {k: [v] for k, v in gap.items()}))], what="gaps")
    link = {"title": "产品\u200b说明", "description": "年化 <六> 个点", "link_url": "https://x", "image_url": ""}
    said: dict[int, dict[str, Any]] = {
        1: firm.message(1, "您好 & 欢迎"), 2: firm.message(2, "好的\n收到", sender="wmA", to=["zhangsan"]), 4: firm.message(4, "稍后撤回"), 5: firm.recall(5, "m4"),
        6: firm.message(6, msgtype="file"), 7: firm.message(7, msgtype="link"), 8: firm.message(8, msgtype="holo"),
        9: firm.message(9, "在群里", room="wr1", to=["wmA", "lisi"]), 10: firm.message(10, "我也在", sender="lisi", room="wr1", to=["wmA", "zhangsan"], at_ms=firm.T0 + 2 * DAY_MS),
        11: firm.message(11, "早一天", sender="lisi", room="wr1", to=["wmA", "zhangsan"], at_ms=firm.T0 - DAY_MS), 12: firm.recall(12, "m4711"),
        13: firm.message(13, "不存", sender="wmX", to=["zhangsan"], room="wr1"), 14: firm.message(14, "没有时间", at_ms=0),
    }  # fmt: skip
    for n in (6, 7, 8):
        del said[n]["text"]
    said[6]["file"] = {"md5sum": "0" * 32, "filename": "报价 <1>.pdf", "fileext": "pdf", "filesize": 70_961, "sdkfileid": "f"}
    said[7]["link"], said[8]["holo"] = link, {"k": 1}
    firm.run(at, firm.page(folder, "p.json", said))
    matter.begin(at, firm.CORP, "m-1", title="t", reason="r", review_on=None)
    checkpoint.make(at, firm.CORP)
    return at


@pytest.fixture(scope="module")
def case(archive: Home) -> bytes:
    with Reader(archive, firm.CORP) as reader:
        prover = proving.prover(archive, firm.CORP, reader.snapshot, checkpoint.find(archive, firm.CORP, None))
        made = bundle.gather(reader, matter.open_of(archive, firm.CORP, "m-1"), scope.of(reader, {"customer": "wmA"}), prover)
        sink = io.BytesIO()
        bundle.write(sink, bundle.files(reader, made, prover), info={})
    return sink.getvalue()


def test_both_pass_pages_with_everything_that_can_stand_on_them(case: bytes, tmp_path: Path) -> None:
    ours, (code, told) = verdicts(tmp_path, case)
    assert (ours, code) == ("", 0), (ours, told)
    chat = unzipped(case)["data/view/0002.zh.html"].decode()
    for there in ("张三</b></bdi>", "赵(女士)", "李四*", "↩ ", "报价 &lt;1&gt;.pdf", "标题</span>产品<span", "没有可读文字", "存档缺口", "时间未知", "客户所见：小张@某证券"):
        assert there in chat + unzipped(case)["data/view/0001.zh.html"].decode(), there


STRANGE = ("\u3000", "</b></bdi>", "<meta charset=utf-8>", "=x", "李四*", "⟨U+FFFFFF⟩", "甲、乙", "\u202e赵 (wm0)")


@pytest.mark.slow
def test_both_pass_names_and_words_that_read_like_our_pages(tmp_path: Path) -> None:
    at = firm.home(tmp_path)
    person = {"alias": None, "department": None, "short_name": None, "valid_from": None, "valid_to": None, "source": "contacts", "recorded_at": firm.T0}
    rows = [{**person, "userid": f"wm{n}", "kind": "external", "name": name} for n, name in enumerate(STRANGE)]
    ingest.append(at, firm.CORP, [("people", schema.table("people", {k: [r[k] for r in rows] for k in rows[0]}))], what="people")
    said = {n: firm.message(n, name, sender=f"wm{n - 1}", to=["zhangsan"], room="wr1") for n, name in enumerate(STRANGE, 1)}
    said |= {n: firm.recall(n, f"m{n - 20}", sender=f"wm{n - 21}") | {"roomid": "wr1"} for n in range(21, 21 + len(STRANGE))}
    firm.run(at, firm.page(tmp_path, "p.json", said))
    matter.begin(at, firm.CORP, "m-1", title="t", reason="r", review_on=None)
    checkpoint.make(at, firm.CORP)
    with Reader(at, firm.CORP) as reader:
        prover = proving.prover(at, firm.CORP, reader.snapshot, checkpoint.find(at, firm.CORP, None))
        made = bundle.gather(reader, matter.open_of(at, firm.CORP, "m-1"), scope.of(reader, {"conversation": "wr1"}), prover)
        sink = io.BytesIO()
        bundle.write(sink, bundle.files(reader, made, prover), info={})
    ours, (code, told) = verdicts(tmp_path, sink.getvalue())
    assert (ours, code) == ("", 0), (ours, told)


def edited(old: str, new: str, page: str = "") -> Callable[[Files], None]:
    """Another word wherever it stands on the Chinese pages; the first time on each."""

    def damage(files: Files) -> None:
        for name in [n for n in files if n.startswith("data/view/") and n.endswith(".zh.html") and page in n]:
            files[name] = files[name].decode().replace(old, new, 1).encode()

    return damage


def _article(text: str, msgid: str) -> str:
    begin = text.index('<article class="row', text.index(f'data-msgid="{msgid}"') - 60)
    return text[begin : text.index("</article>", begin) + len("</article>\n")]


def on(msgid: str, old: str, new: str) -> Callable[[Files], None]:
    """Another word in one message."""

    def damage(files: Files) -> None:
        for name in [n for n in files if n.endswith(".zh.html") and f'data-msgid="{msgid}"'.encode() in files[n]]:
            text = files[name].decode()
            one = _article(text, msgid)
            assert old in one, one
            files[name] = text.replace(one, one.replace(old, new, 1)).encode()

    return damage


def _swapped(files: Files) -> None:
    for name in [n for n in files if n.endswith(".zh.html") and b'data-msgid="m2"' in files[n]]:
        text = files[name].decode()
        one, two = _article(text, "m1"), _article(text, "m2")
        files[name] = text.replace(one, "\0").replace(two, one).replace("\0", two).encode()


def _one_more(of: str) -> Callable[[Files], None]:
    def damage(files: Files) -> None:
        for name in [n for n in files if n.endswith(".zh.html")]:
            files[name] = re.sub(f"<b>([0-9]+)</b><span>{of}", lambda n: f"<b>{int(n[1]) + 1}</b><span>{of}", files[name].decode()).encode()

    return damage


WAS = '      <div class="was">↩ 此消息已由 wmA 撤回（撤回时间未知），原文保留</div>\n      <div class="meta">'


def _recall_added(files: Files) -> None:
    on("m2", 'class="row other"', 'class="row other recalled"')(files)
    on("m2", '      <div class="meta">', WAS)(files)


def _gap_taken_away(files: Files) -> None:
    for name in [n for n in files if n.endswith(".html")]:
        files[name] = re.sub(rb'<div class="row"><div class="event gap">.*?</div></div>\n', b"", files[name])


ELSE, ODD = "shows something else", "what we do not write"
DAMAGES: dict[str, tuple[Callable[[Files], None], str]] = {
    "a name exchanged": (on("m1", "<b>张三</b>", "<b>李四</b>"), ELSE),
    "a name added": (on("m2", "<b>赵(女士)</b>", "<b>赵(女士)、李四</b>"), ELSE),
    "a name taken away": (on("m1", '<b>张三</b></bdi> <bdi class="mono">zhangsan</bdi>', "<b>zhangsan</b></bdi>"), ELSE),
    "a star taken from a name of another time": (on("m11", "李四*", "李四"), ELSE),
    "a customer made an employee": (on("m2", "客户/外部", "员工"), ELSE),
    "a recall added, by class and words": (_recall_added, ELSE),
    "a recall added, by class alone": (on("m2", 'class="row other"', 'class="row other recalled"'), ELSE),
    "a recall taken away": (on("m4", '<div class="was">↩', '<div class="meta">↩'), ""),
    "the time of a recall": (on("m4", "10:00:05", "10:00:06"), ELSE),
    "who recalled": (on("m4", "张三 (zhangsan) 撤回", "李四 (zhangsan) 撤回"), ELSE),
    "who recalled, in the recall's own line": (edited("↩ <a href", "↩ 李四 <a href"), ELSE),
    "a recall that says the original is not there": (edited("张三 (zhangsan) 撤回了 2026", "张三 (zhangsan) 撤回了 2025"), ELSE),
    "a message on the other side": (on("m2", "row other", "row own"), ELSE),
    "the label of a part": (on("m7", "标题", "描述"), ELSE),
    "a label added": (on("m1", '<p class="t">', '<p class="t"><span class="label">撤回</span>'), ELSE),
    "a file called otherwise": (on("m6", "报价", "合同"), ELSE),
    "a file fetched that was not": (on("m6", "待下载", "已下载并核对"), ELSE),
    "a file of another kind, by its sign": (on("m6", "k-pdf", "k-sheet"), ELSE),
    "what nobody can read called readable": (on("m8", "（没有可读文字）", ""), ELSE),
    "consent given": (on("m1", "未表态", "已同意"), ELSE),
    "another seq": (on("m1", "序号 1 ", "序号 3 "), ELSE),
    "the time that a mouse shows": (on("m1", 'title="2026', 'title="2025'), ELSE),
    "another letter in the picture's place": (on("m1", '"true">张<', '"true">李<'), ELSE),
    "two messages in another order": (_swapped, "another order"),
    "a rule of style that hides": (edited("</style>", ".own { display: none }\n</style>"), ODD),
    "a style on an element": (on("m2", '<div class="bubble">', '<div class="bubble" style="display:none">'), ODD),
    "an attribute that hides": (on("m2", '<div class="bubble">', '<div class="bubble" hidden="hidden">'), ODD),
    "a class that hides": (on("m2", '<div class="bubble">', '<div class="notes">'), ODD),
    "a message inside the notes, which are not shown": (
        on("m2", '<aside class="notes"></aside>', '<aside class="notes"><p class="t">不行</p></aside>'), ODD,
    ),
    "a note inserted": (edited("</main>", '<div class="row"><div class="event held">1 条已按批准移除</div></div>\n</main>'), "view/0001.zh.html"),
    "words in the row of a recall": (edited("</span></div></div>\n<article", '</span></div><div class="event held">客户已认可</div></div>\n<article'), ODD),
    "words in the row of a gap": (edited("原因：x&lt;y</div>", '原因：x&lt;y</div><div class="event">客户已认可</div>'), ODD),
    "a recall told in another order": (edited('↩ <a href="#m5">张三 (zhangsan) 撤回了', '<a href="#m5">(zhangsan) 撤回了</a>↩ 张三 <a href="#m5">'), ODD),
    "an element of the notes that a browser leaves open": (on("m2", '  <div class="msg">', '  <aside class="notes"/>\n  <div class="msg">'), ODD),
    "nothing removed, told": (edited("</main>", '<div class="row"><div class="event held">0 条已按批准移除</div></div>\n</main>'), ""),
    "words in the place of an element": (edited("<li><b>7</b><span>消息</span></li>", "&lt;li&gt;<b>7</b><span>消息</span>&lt;/li&gt;"), ODD),
    "a note of other words": (edited("</main>", '<div class="row"><div class="event held">客户已认可</div></div>\n</main>'), ODD),
    "a hint among the messages": (edited("</main>", '<p class="hint">所示范围内没有消息</p>\n</main>'), ODD),
    "a gap taken away": (_gap_taken_away, ""),
    "a gap of other times": (edited("10:00:04 (02:00:04Z)，此间", "10:00:03 (02:00:03Z)，此间"), "gap"),
    "another day above messages": (edited('<div class="day">2026年', '<div class="day">2025年'), ODD),
    "a day too many": (edited("</main>", '<div class="day">2027年1月1日 星期五</div>\n</main>'), ODD),
    "fewer messages in the head": (_one_more("消息"), ODD),
    "a recall more in the head": (_one_more("撤回"), ODD),
    "another conversation in the title": (edited("<title>", "<title>别人 "), ODD),
    "another conversation in the head": (edited('<dd class="mono">', '<dd class="mono">x'), ODD),
    "another firm in the head": (edited('<p class="kicker">ww1', '<p class="kicker">ww2'), ODD),
    "somebody else among the people": (edited("<li><bdi><b>张三</b></bdi>", "<li><bdi><b>王五</b></bdi>"), "王五"),
    "somebody not among the people": (edited("条</i></li>\n", "条</i></li>\n" * 2), ""),
    "seen by customers as somebody else": (edited("客户所见：小张@某证券", "客户所见：小李@某证券"), ODD),
    "words of somebody who said more": (edited("员工 · 1 条", "员工 · 9 条"), ODD),
    "marks on the page, it says": (edited("本页未附关键词标记", "本页所附标记均已核实"), ODD),
    "nothing left uninspected, it says": (edited("文件 1 个（只检查文件名）", "文件 0 个（只检查文件名）"), ODD),
    "another note at the end": (edited("时间为北京时间", "时间为本地时间"), ODD),
    "another checkpoint at the end": (edited("<dt>存档版本</dt><dd>", "<dt>存档版本</dt><dd>1"), ODD),
    "a page made at another time": (edited("<dt>本页生成</dt><dd>2", "<dt>本页生成</dt><dd>1"), ODD),
    "words after the page": (edited("</html>", "</html>\n别的话"), ODD),
    "an instruction to the browser": (edited('<meta name="referrer"', '<meta http-equiv="refresh" content="0"><meta name="referrer"'), ODD),
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("name", DAMAGES)
def test_both_verifiers_name_what_a_page_says_otherwise(case: bytes, tmp_path: Path, name: str) -> None:
    damage, named = DAMAGES[name]
    files = unzipped(case)
    before = dict(files)
    damage(files)
    assert files != before
    refused_by_both(tmp_path, zipped(files), named)


# ---- the lists of the page maker, of both verifiers and of docs/formats.md are one


def _script() -> Any:
    spec = importlib.util.spec_from_file_location("bundled_verify", SCRIPT)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(("demo", "lang"), [(False, "zh"), (False, "en"), (True, "zh"), (True, "en")])
def test_the_style_of_our_pages_is_in_the_list(demo: bool, lang: words.Lang) -> None:
    """When this fails because the look changed: add its digest to both verifiers and to docs/formats.md, section 15, and leave the old ones there."""
    page = conversation.render_html([], conversation.Meta(corp_id="ww1", conversation_id="c", demo=demo, with_findings=False), lang)
    found = re.search("<style>(.*?)</style>", page, re.S)
    assert found is not None
    assert page_about.STYLES[hashlib.sha256(found[1].encode()).hexdigest()] == (lang if demo else "")


def test_both_verifiers_and_the_formats_know_the_same_styles() -> None:
    listed = {digest: said.strip("-") for digest, said in re.findall(r"^([0-9a-f]{64})  (zh|en|-)$", FORMATS, re.M)}
    assert listed == page_about.STYLES == _script().STYLES and len(listed) >= 3


def test_the_script_and_the_formats_know_the_texts_of_our_pages() -> None:
    """When this fails because a text changed: pages that were made before say the old one, so let both verifiers know it beside the new one."""
    known = {key: (entry["zh"], entry["en"]) for key, entry in words.catalogue().items()}
    script = _script().WORDS
    listed = {key: (zh, en) for key, zh, en in re.findall(r"^([a-z_]+\.[a-z_0-9.]+) \| (.*) \| (.*)$", FORMATS, re.M)}
    assert listed == script and {key: known[key] for key in script} == script
    for group in ("msgtype", "part", "media_status", "sender_kind"):
        assert {k for k in known if re.fullmatch(rf"{group}\.\w+", k)} <= set(script)
