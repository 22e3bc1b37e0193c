"""What the documentation tells people to type is typed: a bundle is checked with sha256sum and openssl alone, and a changed one is not."""

from __future__ import annotations

import hashlib
import re
import subprocess
from pathlib import Path

import pytest

from pipeline.home import Home
from tests.evidence.bag import unzipped, zipped
from tests.evidence.test_bundle import export
from tests.evidence.test_stamps import authority, stamped  # noqa: F401 (fixtures)

pytestmark = pytest.mark.slow
PAGE = Path(__file__).parents[2] / "docs" / "evidence.md"


def commands() -> str:
    """The commands of the section, as they stand."""
    (found,) = re.findall(r"## By hand\n.*?```sh\n(.*?)```", PAGE.read_text("utf-8"), re.S)
    return str(found)


def typed(folder: Path, data: bytes) -> subprocess.CompletedProcess[str]:
    (folder / "case.zip").write_bytes(data)
    return subprocess.run(["bash", "-e", "-o", "pipefail", "-c", commands()], cwd=folder, capture_output=True, text=True, check=False)


def test_the_commands_of_the_page_find_a_bundle_sound(stamped: Home, tmp_path: Path) -> None:  # noqa: F811
    data = export(stamped, customer="wmA")
    ended = typed(tmp_path, data)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    told = ended.stdout
    assert hashlib.sha256(unzipped(data)["manifest-sha256.txt"]).hexdigest() in told
    assert "Signature Verified Successfully" in told and "Verification: OK" in told + ended.stderr and "Time stamp: " in told


@pytest.mark.parametrize("name", ["data/raw/000000000000.envelope.json", "data/checkpoints/000000000002.note", "data/stamps/000000000002.tsr"])
def test_they_find_one_that_was_changed(stamped: Home, tmp_path: Path, name: str) -> None:  # noqa: F811
    files = unzipped(export(stamped, customer="wmA"))
    files[name] = files[name].replace(b"\n2\n", b"\n3\n") if name.endswith(".note") else bytes(len(files[name]))
    assert typed(tmp_path, zipped(files)).returncode != 0
