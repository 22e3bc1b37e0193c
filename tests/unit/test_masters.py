"""Master keys: the setting, files and PINs; tokens and services as far as they go without one (tests/slow/test_masters_real.py has them)."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from pipeline.errors import ArchiveError, UsageError, VerifyFailed
from pipeline.masters import FileMaster, make_master, open_master, parse, read_pin

TOKEN = "pkcs11:token=our%20token;object=liuhen?module-path=/lib/p11.so&pin-source=env:PIN"
KEY = bytes(range(32))


def test_a_setting_is_read_in_its_parts() -> None:
    assert parse("file:keys/master.key").rest == "keys/master.key"
    token = parse(TOKEN)
    assert token.path == {"token": "our token", "object": "liuhen"}
    assert token.query == {"module-path": "/lib/p11.so", "pin-source": "env:PIN"}
    service = parse("kms:arn:aws-cn:kms:cn-north-1:1:key/2?region=cn-north-1&endpoint=https://kms.example:8443")
    assert service.rest == "arn:aws-cn:kms:cn-north-1:1:key/2"
    assert service.query == {"region": "cn-north-1", "endpoint": "https://kms.example:8443"}
    assert parse("kms:alias/liuhen").query == {}


@pytest.mark.parametrize(
    ("setting", "code", "words"),
    [
        pytest.param("", "MASTER_KEY_UNKNOWN", "expected file:PATH", id="empty"),
        pytest.param("keys/master.key", "MASTER_KEY_UNKNOWN", "expected file:PATH", id="no scheme"),
        pytest.param("File:keys/master.key", "MASTER_KEY_UNKNOWN", "expected file:PATH", id="capital"),
        pytest.param("vault:secret/x", "MASTER_KEY_UNKNOWN", "expected file:PATH", id="another service"),
        pytest.param("pkcs11:token=a;object=b?module-path=/c", "MASTER_KEY_UNKNOWN", "lacks pin-source", id="no PIN source"),
        pytest.param("pkcs11:object=b?module-path=/c&pin-source=env:P", "MASTER_KEY_UNKNOWN", "lacks token", id="no token"),
        pytest.param("pkcs11:token=;object=b?module-path=/c&pin-source=env:P", "MASTER_KEY_UNKNOWN", "lacks token", id="empty token"),
        pytest.param(TOKEN.replace("object", "label"), "MASTER_KEY_UNKNOWN", "unknown attribute 'label'", id="misspelt attribute"),
        pytest.param(TOKEN.replace("pin-source=env:PIN", "pin-value=1234"), "MASTER_PIN_IN_SETTING", "holds a PIN", id="a PIN as value"),
        pytest.param("kms:?region=x", "MASTER_KEY_UNKNOWN", "names no key", id="no key"),
        pytest.param("kms:alias/x?regoin=x", "MASTER_KEY_UNKNOWN", "unknown attribute 'regoin'", id="misspelt region"),
    ],
)
def test_what_is_not_a_setting_is_one_sentence_that_quotes_no_secret(setting: str, code: str, words: str) -> None:
    with pytest.raises(UsageError, match=words) as told:
        parse(setting)
    assert told.value.code == code and "1234" not in str(told.value)


def test_a_file_is_looked_for_below_the_home_and_made_once(tmp_path: Path) -> None:
    make_master("file:keys/own/m.key", tmp_path)
    text = (tmp_path / "keys/own/m.key").read_bytes()
    assert (tmp_path / "keys/own/m.key").stat().st_mode & 0o777 == 0o600
    make_master("file:keys/own/m.key", tmp_path)
    assert (tmp_path / "keys/own/m.key").read_bytes() == text
    assert open_master("file:keys/own/m.key", tmp_path).id == FileMaster(tmp_path / "keys/own/m.key").id


def test_a_key_opens_under_its_name_only_and_with_its_master_only(tmp_path: Path) -> None:
    FileMaster.create(tmp_path / "a")
    FileMaster.create(tmp_path / "b")
    wrapped = FileMaster(tmp_path / "a").wrap(KEY, "keyring/1")
    assert FileMaster(tmp_path / "a").unwrap(wrapped, "keyring/1") == KEY and KEY not in wrapped
    for master, name, box in (("a", "keyring/2", wrapped), ("b", "keyring/1", wrapped), ("a", "keyring/1", wrapped[:-1]), ("a", "keyring/1", b"")):
        with pytest.raises(VerifyFailed) as told:
            FileMaster(tmp_path / master).unwrap(box, name)
        assert told.value.code == "KEYRING_MASTER_MISMATCH"


def test_a_pin_comes_from_the_environment_or_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LIUHEN_TEST_PIN", "12 34")
    assert read_pin("env:LIUHEN_TEST_PIN", tmp_path) == "12 34"
    (tmp_path / "pin").write_text("5678\n")
    (tmp_path / "pin").chmod(0o600)
    assert read_pin("file:pin", tmp_path) == "5678"


@pytest.mark.parametrize(
    ("source", "mode", "code"),
    [
        pytest.param("env:LIUHEN_TEST_NONE", 0o600, "MASTER_PIN_MISSING", id="not set"),
        pytest.param("file:nothing", 0o600, "MASTER_PIN_MISSING", id="no file"),
        pytest.param("file:empty", 0o600, "MASTER_PIN_MISSING", id="empty file"),
        pytest.param("file:pin", 0o640, "MASTER_PIN_EXPOSED", id="readable by the group"),
        pytest.param("5678", 0o600, "MASTER_KEY_UNKNOWN", id="the PIN itself"),
        pytest.param("|cat pin", 0o600, "MASTER_KEY_UNKNOWN", id="a command"),
    ],
)
def test_a_pin_that_is_not_there_is_one_sentence_without_it(tmp_path: Path, source: str, mode: int, code: str) -> None:
    (tmp_path / "empty").touch(0o600)
    (tmp_path / "pin").write_text("5678")
    (tmp_path / "pin").chmod(mode)
    with pytest.raises(UsageError) as told:
        read_pin(source, tmp_path)
    assert told.value.code == code and "5678" not in str(told.value)


@pytest.mark.parametrize(
    ("setting", "module", "words"),
    [(TOKEN, "pkcs11", r"pip install 'liuhen\[hsm\]'"), ("kms:alias/x?region=cn-north-1", "boto3", r"pip install 'liuhen\[kms\]'")],
    ids=["token", "service"],
)
def test_a_missing_package_is_told_by_the_extra_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, setting: str, module: str, words: str
) -> None:
    monkeypatch.setitem(sys.modules, module, None)  # what an import of a package that is not installed meets
    with pytest.raises(UsageError, match=words) as told:
        open_master(setting, tmp_path).wrap(KEY, "n")
    assert told.value.code == "MASTER_EXTRA_MISSING"


def test_a_key_service_makes_its_keys_itself(tmp_path: Path) -> None:
    with pytest.raises(ArchiveError, match="makes its keys itself"):
        make_master("kms:alias/x", tmp_path)


def test_master_keys_are_told_apart_by_their_id_which_holds_no_name(tmp_path: Path) -> None:
    settings = [TOKEN, TOKEN.replace("=liuhen", "=other"), TOKEN.replace("=our", "=their"), "kms:alias/x", "kms:alias/y"]
    ids = [open_master(s, tmp_path).id for s in settings]
    assert len(set(ids)) == 5 and [i.split(":")[0] for i in ids] == ["pkcs11"] * 3 + ["kms"] * 2
    assert open_master(TOKEN.replace("/lib/p11.so", "/opt/p11.so"), tmp_path).id == ids[0]
    assert all(len(i.split(":")[1]) == 16 for i in ids)
