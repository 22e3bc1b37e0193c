"""The report and the pages as PDF/A: what page 1 must say, in any script, as text that cannot act; a character without a glyph refuses the file."""

from __future__ import annotations

import hashlib
import io
import threading
from pathlib import Path
from typing import Any

import pytest

from pipeline.config import Evidence
from pipeline.errors import UsageError
from pipeline.evidence import report
from pipeline.evidence.pdf import fonts, render, writer
from pipeline.evidence.pdf.fonts import Fonts
from pipeline.evidence.redaction.masking import Choices
from pipeline.home import Home
from tests.evidence import case
from tests.evidence.bag import unzipped, verdicts

FOLDERS = Evidence().fonts
AT = 1_795_140_000_000
pytestmark = pytest.mark.slow  # fonts are looked through, and need to be there


@pytest.fixture(scope="module")
def known() -> Fonts:
    if not any(Path(f).is_dir() for f in FOLDERS):
        pytest.skip("no fonts on this machine")
    return fonts.find(FOLDERS)


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Home:
    return case.home(tmp_path_factory.mktemp("pdf"))


@pytest.fixture(scope="module")
def full(archive: Home, known: Fonts) -> bytes:
    return case.export(archive, fonts=known)[0]


def text_of(data: bytes, page: int | None = None) -> str:
    import pypdf

    read = pypdf.PdfReader(io.BytesIO(data))
    shown = "".join(p.extract_text() for n, p in enumerate(read.pages) if page is None or n == page)
    return shown.replace("\n", "").replace("\u200b", "")  # where lines may end


def conversation(body: str, **more: Any) -> dict[str, Any]:
    line = {"kind": "message", "head": "10:00 张三", "body": [body], "remarks": [], "struck": False}
    return {"title": "会话", "author": "liuhen", "about": [], "header": "h", "footer": "f", "lines": [line], **more}


def test_page_one_says_what_is_not_in_it_and_what_it_does_not_prove(full: bytes) -> None:
    page = text_of(unzipped(full)["data/01-report.pdf"], 0)
    counted = ("缺口（全存档）", "已拒存（全存档）", "待决（全存档）", "媒体文件", "其中被撤回", "其中由他处导入")
    for said in (*counted, "密文形式本身不能证明内容来自企业微信", "拉取记录 1 条", "检查点 1 个"):
        assert said in page, said


def test_the_index_names_every_file_by_its_digest(full: bytes) -> None:
    files = unzipped(full)
    digests = dict(line.split("  data/")[::-1] for line in files["manifest-sha256.txt"].decode().splitlines())
    del digests["01-report.pdf"]
    shown = text_of(files["data/01-report.pdf"])
    index = report.exhibits(sorted(digests.items()))
    assert sum(e.files for e in index) == len(digests)
    assert digests["custody/log.jsonl"] in {e.digest for e in report.exhibits([("custody/log.jsonl", digests["custody/log.jsonl"])])}
    assert all(e.digest in shown.replace("\u200b", "") for e in index)
    # Of several files: what `grep data/proofs/ manifest-sha256.txt | sha256sum` says.
    proofs = "".join(f"{line}\n" for line in sorted(files["manifest-sha256.txt"].decode().splitlines(), key=lambda line: line[66:]) if line[66:].startswith("data/proofs/"))
    assert [e.digest for e in index if e.name == "proofs/*"] == [hashlib.sha256(proofs.encode()).hexdigest()] and proofs.count("\n") > 1


def test_the_pages_show_the_conversation_recalls_and_what_cannot_be_read(full: bytes) -> None:
    files = unzipped(full)
    shown = "".join(text_of(d) for n, d in files.items() if n.startswith("data/view/") and n.endswith(".pdf")).replace(" ", "")
    for said in ("方便聊聊吗", "稍后撤回", "原文保留", "=HYPERLINK(1)", "王小明也在群里"):
        assert said in shown, said
    raw = files["data/raw/000000000008.plain.json"]
    import hashlib

    assert f"holo（没有可读文字）·SHA-256{hashlib.sha256(raw).hexdigest()}·{len(raw)}字节" in shown
    html = files["data/view/0001.zh.html"].decode()
    assert hashlib.sha256(raw).hexdigest() in html


def test_it_is_declared_as_pdf_a_with_every_font_inside(full: bytes) -> None:
    import pypdf

    for name, data in unzipped(full).items():
        if name.endswith(".pdf"):
            read = pypdf.PdfReader(io.BytesIO(data))
            metadata = read.xmp_metadata
            assert metadata is not None
            xmp = metadata.stream.get_data()
            assert b"<pdfaid:part>2</pdfaid:part>" in xmp and b"<pdfaid:conformance>U</pdfaid:conformance>" in xmp
            for page in read.pages:
                resources: Any = page["/Resources"].get_object()
                for font in resources.get("/Font", {}).values():
                    one = font.get_object()
                    descendant = one["/DescendantFonts"][0].get_object()["/FontDescriptor"].get_object() if "/DescendantFonts" in one else one
                    assert one["/Subtype"] == "/Type3" or any(k in descendant for k in ("/FontFile2", "/FontFile3")), name


def test_the_same_export_gives_the_same_bytes_with_pdf_too(archive: Home, full: bytes, known: Fonts) -> None:
    assert case.export(archive, fonts=known)[0] == full


def test_a_bundle_with_pdf_passes_both_verifiers(full: bytes, tmp_path: Path) -> None:
    ours, (code, words) = verdicts(tmp_path, full)
    assert (ours, code) == ("", 0), words


@pytest.mark.parametrize("char", ["\ue412", "\U000f0000", "\u0378", "\u1200"])
def test_a_character_without_a_glyph_refuses_the_page_and_is_named(known: Fonts, char: str) -> None:
    if ord(char) in known.covered:
        pytest.skip("these fonts have it")
    with pytest.raises(UsageError) as told:
        render.pdf("conversation", conversation(f"看{char}这里"), known, at_ms=AT)
    assert told.value.code == "GLYPH_MISSING" and f"U+{ord(char):04X}" in str(told.value) and "看" not in str(told.value)


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("#strong[x] $x^2$ *粗* _斜_ `raw` @ref <label> \\ // /* */", id="markup"),
        pytest.param('#read("/etc/passwd") #import "@preview/x:1"', id="what would read a file"),
        pytest.param("= 标题", id="a heading"),
        pytest.param("https://example.com", id="an address"),
    ],
)
def test_what_strangers_wrote_is_text_and_never_markup(known: Fonts, text: str) -> None:
    made = render.pdf("conversation", conversation(text), known, at_ms=AT)
    assert text.replace(" ", "") in text_of(made).replace(" ", "")
    assert b"/URI" not in made


@pytest.mark.parametrize("text", ["👍🏻", "👨‍👩‍👧", "❤️", "𠮷野家", "ｱｲｳ 한국어 にほん", "①②③ ㎡ ％ ￥ €"])
def test_emoji_and_rare_characters_are_written(known: Fonts, text: str) -> None:
    assert render.pdf("conversation", conversation(text), known, at_ms=AT).startswith(b"%PDF-1.7")


def test_unseen_characters_are_shown(known: Fonts) -> None:
    shown = text_of(render.pdf("conversation", conversation("转\u202e账\u200b吧"), known, at_ms=AT))
    assert "〈U+202E〉" in shown and "〈U+200B〉" in shown


def test_another_process_sets_the_same_bytes_and_is_replaced_when_it_has_set_enough(known: Fonts, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer, "ENOUGH", 1)
    with writer.Writer(known) as one:
        made = [one.pdf("conversation", conversation("您好"), at_ms=AT) for _ in range(2)]
        with pytest.raises(UsageError) as told:
            one.pdf("conversation", conversation("\U000f0000"), at_ms=AT)
    assert made == [render.pdf("conversation", conversation("您好"), known, at_ms=AT)] * 2
    assert told.value.code == "GLYPH_MISSING" and "U+F0000" in str(told.value)


def test_no_thread_is_begun_for_it_and_a_process_that_was_ended_is_told(known: Fonts) -> None:
    before = set(threading.enumerate())
    with writer.Writer(known) as one:
        assert one.pdf("conversation", conversation("您好"), at_ms=AT).startswith(b"%PDF")
        assert set(threading.enumerate()) <= before  # each would leave memory of its own behind
        assert one._running is not None
        one._running[0].kill()
        one._running[0].join()
        with pytest.raises(UsageError) as told:
            one.pdf("conversation", conversation("您好"), at_ms=AT)
        assert told.value.code == "PDF_FAILED"
        assert one.pdf("conversation", conversation("您好"), at_ms=AT).startswith(b"%PDF")  # another one is begun


def test_nothing_that_was_masked_is_in_the_pdf(archive: Home, known: Fonts) -> None:
    from pipeline.evidence.redaction import leaks

    made, values = case.export(archive, choices=Choices(chosen=("小宝",)), fonts=known)
    assert leaks.leaks(io.BytesIO(made), values) == []
    for name, data in unzipped(made).items():
        if name.endswith(".pdf"):
            shown = text_of(data).replace(" ", "")
            assert not [s for s in case.SECRETS if s in shown], name


def test_a_masked_value_in_a_pdf_is_found(known: Fonts) -> None:
    import zipfile

    from pipeline.evidence.redaction import leaks

    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w") as archive:
        archive.writestr("case/a.pdf", render.pdf("conversation", conversation("电话 １３８ 0013 8000"), known, at_ms=AT))
        archive.writestr("case/b.pdf", render.pdf("conversation", conversation("电话 139"), known, at_ms=AT))
        archive.writestr("case/c.pdf", render.pdf("conversation", conversation("好", title="13800138000"), known, at_ms=AT))
    assert leaks.leaks(sink, ["13800138000"]) == ["case/a.pdf", "case/c.pdf"]


def test_a_folder_without_chinese_fonts_says_which_to_install(tmp_path: Path) -> None:
    with pytest.raises(UsageError) as told:
        fonts.find((str(tmp_path),))
    assert told.value.code == "FONTS_MISSING" and "fonts-noto-cjk" in str(told.value)
