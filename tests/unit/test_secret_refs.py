"""Secrets are found where the reference says, and never told."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline import secret_refs
from pipeline.errors import UsageError


def test_a_secret_comes_from_the_environment_or_from_a_file_of_its_owner(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LIUHEN_TEST_SECRET", " s3cret\n")
    assert secret_refs.resolve("env:LIUHEN_TEST_SECRET", tmp_path, setting="x") == "s3cret"
    (tmp_path / "keys").mkdir()
    path = tmp_path / "keys" / "archive.secret"
    path.write_text("s3cret\n")
    path.chmod(0o600)
    assert secret_refs.resolve("file:keys/archive.secret", tmp_path, setting="x") == "s3cret"
    assert secret_refs.resolve(f"file:{path}", Path("/"), setting="x") == "s3cret"


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o666])
def test_a_file_that_others_may_read_is_refused(tmp_path: Path, mode: int) -> None:
    (tmp_path / "s").write_text("s3cret")
    (tmp_path / "s").chmod(mode)
    with pytest.raises(UsageError, match=f"expected mode 0600, got {mode:04o}") as refused:
        secret_refs.resolve("file:s", tmp_path, setting="corp.ww1.archive_secret")
    assert refused.value.code == "SECRET_READABLE" and "s3cret" not in str(refused.value)


@pytest.mark.parametrize(
    ("reference", "code"),
    [
        pytest.param("", "SECRET_FORM", id="not set"), pytest.param("s3cret", "SECRET_FORM", id="the secret itself"),
        pytest.param("env:LIUHEN_TEST_NOT_SET", "SECRET_MISSING", id="no such variable"), pytest.param("file:none", "SECRET_MISSING", id="no such file"),
        pytest.param("file:.", "SECRET_MISSING", id="a folder"), pytest.param("env:A=B", "SECRET_FORM", id="no name of a variable"),
    ],
)  # fmt: skip
def test_what_is_no_reference_or_leads_nowhere_is_refused(tmp_path: Path, reference: str, code: str) -> None:
    with pytest.raises(UsageError) as refused:
        secret_refs.resolve(reference, tmp_path, setting="corp.ww1.archive_secret")
    assert refused.value.code == code and "s3cret" not in str(refused.value) and "corp.ww1.archive_secret" in str(refused.value)
