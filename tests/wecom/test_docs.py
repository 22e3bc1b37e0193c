"""docs/wecom.md says what the calls do."""

from __future__ import annotations

from pipeline.wecom import errcodes, limits
from tests.docs.test_docs import bare, section, table, text


def test_the_table_of_errcodes_is_the_data() -> None:
    told = {bare(r[0]): tuple(bare(c) for c in r[1:]) for r in table(section("docs/wecom.md", "3. Every errcode"))}
    assert told == {
        str(c.code): (f"{c.en} · {c.zh}", c.action, c.error, str(int(c.exit_code)), f"{c.do_en} · {c.do_zh}") for c in errcodes.errcodes()
    }  # fmt: skip


def test_the_documented_limits_are_kept() -> None:
    told = {bare(r[0]): int(r[1].split("(")[0].replace(",", "")) for r in table(section("docs/wecom.md", "2. Calls"))}
    assert told == dict(limits.A_MINUTE)
    assert f"{limits.UNKNOWN_A_MINUTE} where no figure is documented" in text("docs/wecom.md")
