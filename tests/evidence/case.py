"""A case for tests of redaction, decryption and PDF: a customer, two employees, a room with strangers, and things that must not be seen."""

from __future__ import annotations

import io
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import msgspec

from pipeline import ingest, schema
from pipeline.consenting import notices
from pipeline.evidence import bundle, checkpoint, decryption, matter, proving, scope
from pipeline.evidence.pdf.fonts import Fonts
from pipeline.evidence.pdf.writer import Writer
from pipeline.evidence.redaction import masking
from pipeline.evidence.redaction.masking import Choices
from pipeline.home import Home
from pipeline.reader import Reader
from tests import firm

# What stands in the messages and must be found nowhere in a redacted set, in any spelling.
SECRETS = ("13800138000", "11010519491231002X", "6222021234567890128", "王小明", "李四", "wmThird", "lisi42", "朝阳区建国路88号", "糖尿病", "小宝")
SAID: dict[int, dict[str, Any]] = {
    1: firm.message(1, "您好，方便聊聊吗？😀"),
    2: firm.message(2, "我的电话 138 0013 8000，身份证１１０１０５１９４９１２３１００２Ｘ", sender="wmA", to=["zhangsan"]),
    3: firm.message(3, "卡号 6222 0212 3456 7890 128", sender="wmA", to=["zhangsan"]),
    4: firm.message(4, "王小明也在群里", room="wr1", to=["wmA", "wmThird", "lisi42"]),
    5: firm.message(5, "我是李四", sender="lisi42", room="wr1", to=["wmA", "wmThird", "zhangsan"]),
    6: firm.message(6, "我住北京市朝阳区建国路88号，有糖尿病，小宝也是", sender="wmThird", room="wr1", to=["wmA", "lisi42", "zhangsan"]),
    7: firm.message(7, "稍后撤回"),
    8: firm.recall(8, "m7"),
    9: {**{k: v for k, v in firm.message(9, msgtype="holo").items() if k != "text"}, "holo": {"k": 1}},
    10: firm.message(10, "=HYPERLINK(1)"),
}


def home(folder: Path) -> Home:
    """An archive with the case in it, and a checkpoint over it."""
    at = firm.home(folder)
    names = {"zhangsan": ("employee", "张三"), "lisi42": ("employee", "李四"), "wmThird": ("external", "王小明"), "wmA": ("external", "赵客户")}
    rows = [
        {"userid": i, "kind": k, "name": n, "alias": None, "department": None, "short_name": None, "valid_from": None, "valid_to": None, "source": "test", "recorded_at": firm.T0}
        for i, (k, n) in names.items()
    ]
    ingest.append(at, firm.CORP, [("people", schema.table("people", {k: [r[k] for r in rows] for k in rows[0]}))], what="people")
    for kind, who in (("greeting", "wmA"), ("card", "wmThird"), ("card", "wmElse")):
        notices.note(at, firm.CORP, notice=kind, document_digest=None, document_version=None, userid="zhangsan", external_userid=who, source_msgid="m1", at_ms=firm.T0)
    notices.note(at, firm.CORP, notice="notice_text", document_digest="ab" * 32, document_version="v2", userid=None, external_userid=None, source_msgid=None, at_ms=firm.T0 - 1)
    firm.run(at, firm.page(folder, "p.json", SAID))
    matter.begin(at, firm.CORP, "2026-0142", title="赵客户与王小明保单纠纷", reason="投诉", review_on=None)
    checkpoint.make(at, firm.CORP)
    return at


def export(at: Home, *, prove: bool = False, choices: Choices | None = None, fonts: Fonts | None = None) -> tuple[bytes, frozenset[str]]:
    """The bundle of the customer, full or (with choices) redacted; and the values that were masked."""
    point = checkpoint.find(at, firm.CORP, None)
    with Reader(at, firm.CORP) as reader:
        prover = proving.prover(at, firm.CORP, reader.snapshot, point)
        made = bundle.gather(reader, matter.open_of(at, firm.CORP, "2026-0142"), scope.of(reader, {"customer": "wmA"}), prover)
        values: frozenset[str] = frozenset()
        if prove:
            made = msgspec.structs.replace(made, keys=decryption.public_numbers([1], at.key_set(firm.CORP)))
        if choices is not None:
            masked = masking.redacted(reader, made, choices)
            made, values = masked.bundle, masked.values
        sink = io.BytesIO()
        with Writer(fonts) if fonts else nullcontext() as writer:
            closing = bundle.report_pdf(made, writer) if writer else None
            bundle.write(sink, bundle.files(reader, made, prover, writer=writer), info={"Source-Organization": firm.CORP}, closing=closing)
    return sink.getvalue(), values
