"""The sample case in docs/ is verified in a bare Python, says what its truth says, and hides in the redacted set what it must."""

from __future__ import annotations

import json
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from pipeline.evidence.bundle import _bundled
from pipeline.evidence.check import check

SAMPLE = Path(__file__).parents[2] / "docs" / "sample"
KEY = (SAMPLE / "key.txt").read_text("utf-8").strip()


def inside(name: str) -> dict[str, bytes]:
    with zipfile.ZipFile(SAMPLE / name) as archive:
        return {n.removeprefix("case/data/"): archive.read(n) for n in archive.namelist()}


@pytest.mark.parametrize("name", ["case.zip", "redacted.zip"])
def test_a_reader_verifies_it_with_nothing_but_python(name: str, tmp_path: Path) -> None:
    (tmp_path / "verify.py").write_bytes(inside(name)["verify/verify.py"])
    words = [sys.executable, "-I", "-S", "verify.py", str(SAMPLE / name), "--lang", "en", "--key", KEY]
    ended = subprocess.run(words, capture_output=True, text=True, timeout=300, check=False, cwd=tmp_path)
    assert ended.returncode == 0 and "all passed: 9 records, checkpoint 9" in ended.stdout and "not checked" not in ended.stdout, ended.stdout
    assert check(SAMPLE / name, key=KEY).sound


def test_it_says_what_was_said() -> None:
    truth = json.loads((SAMPLE / "truth.json").read_text("utf-8"))
    told = [json.loads(line) for line in inside("case.zip")["02-messages.jsonl"].splitlines()]
    assert [(r["seq"], r["sender_id"], r["recipient_ids"], r["msgtype"]) for r in told] == [(t["seq"], t["from"], t["to"], t["kind"]) for t in truth]
    assert [r["text"] for r in told if r["msgtype"] == "text"] == [t["words"] for t in truth if t["kind"] == "text"]
    assert [(r["seq"], r["recalls_msgid"]) for r in told if r["kind"] == "recall"] == [(4, "sample-3")]
    assert [r["seq"] for r in told if r["recalled_at_ms"]] == [3]


@pytest.mark.parametrize("hidden", ["13800138000", "何伟", "hewei", "wmQian", "人民路88号"])
def test_the_redacted_set_hides_strangers_and_personal_data(hidden: str) -> None:
    assert hidden.encode() in b"".join(inside("case.zip").values())
    assert hidden.encode() not in b"".join(inside("redacted.zip").values())


def test_its_verifier_is_todays() -> None:
    """When this fails: python3 docs/sample/make.py --pdf makes the sample again."""
    assert inside("case.zip")["verify/verify.py"].decode() == _bundled("verify.py")
