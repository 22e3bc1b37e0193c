"""The commands about what is looked for, as a user's shell runs them."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.liuhen import liuhen
from tests.firm import home, message, page, run

PACK = """id: mine
owner: o
reason: r
since: 2026-01-01
language: zh
rules:
  - id: mine-bee
    category: X1
    title: {zh: 蜜蜂, en: bee}
    severity: high
    party: any
    terms: [小蜜蜂计划]
    near: [{any: [收益], within: 6}]
    examples: {must_match: [小蜜蜂计划收益高], must_not_match: [小蜜蜂计划]}
"""


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    at = home(tmp_path)
    run(at, page(tmp_path, "a.json", {1: message(1, "小蜜蜂计划收益高，电话13800138000"), 2: message(2, "小蜜蜂计划")}))
    return at.path


@pytest.mark.slow
def test_a_pack_is_tried_added_scanned_for_and_compared(archive: Path, tmp_path: Path) -> None:
    pack = tmp_path / "mine.yaml"
    pack.write_text(PACK, "utf-8")
    [change] = [row for row in liuhen(archive, "rescan", "--dry-run", "--with", str(pack), "--format", "jsonl").rows if row["new"]]
    assert (change["rule_id"], change["now"], change["then"], change["new"]) == ("mine-bee", 0, 1, 1)
    assert "13800138000" not in str(change)
    assert liuhen(archive, "lexicon", "add", str(pack)).code == 0
    scanned = liuhen(archive, "rescan").summary
    assert (scanned["scanned"], scanned["months"], scanned["skipped"]) == (2, 1, 0)
    assert liuhen(archive, "rescan").summary["skipped"] == 1
    found = liuhen(archive, "sql", "select msgid, rule_id from matches where rule_id = 'mine-bee'", "--format", "jsonl").rows
    assert found == [{"msgid": "m1", "rule_id": "mine-bee"}]
    [added] = liuhen(archive, "lexicon", "diff", "shipped", "home", "--format", "jsonl").rows
    assert (added["rule_id"], added["what"], added["change"]) == ("mine-bee", "rule", "added")
    versions = [row["lexicon_version"] for row in liuhen(archive, "lexicon", "list", "--versions", "--format", "jsonl").rows]
    assert len(versions) == 2 and scanned["lexicon_version"] in versions
    assert len(liuhen(archive, "lexicon", "diff", versions[0][:12], versions[1][:12], "--format", "jsonl").rows) == 1


def test_a_sentence_says_why_it_is_not_found_and_examples_say_what_fails(archive: Path, tmp_path: Path) -> None:
    pack = tmp_path / "mine.yaml"
    pack.write_text(PACK, "utf-8")
    [row] = liuhen(archive, "lexicon", "test", "小蜜蜂计划", "--with", str(pack), "--format", "jsonl").rows
    assert (row["rule_id"], row["via"], row["reason"]) == ("mine-bee", None, "term number 1 is there, but near does not hold")
    pack.write_text(PACK.replace("must_not_match: [小蜜蜂计划]", "must_not_match: [小蜜蜂计划收益]"), "utf-8")
    ended = liuhen(archive, "lexicon", "test", "--with", str(pack), "--format", "jsonl")
    assert ended.code == 2
    [failure] = ended.rows
    assert (failure["rule_id"], failure["example"], failure["number"]) == ("mine-bee", "must_not_match", 1)
    assert "term number 1 stands at 0-5" in failure["reason"]
    assert liuhen(archive, "lexicon", "test").code == 0
