"""Master keys on a real token (SoftHSM through PKCS#11) and at a key service that speaks AWS KMS over HTTP (moto on this machine)."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline import masters
from pipeline.config import Corp
from pipeline.errors import ArchiveError, VerifyFailed
from pipeline.home import Home
from pipeline.key_rotation import rotate
from pipeline.master_token import TokenMaster
from pipeline.masters import open_master
from tests.cli.liuhen import liuhen

pytestmark = pytest.mark.slow

MODULES = ("/usr/lib/softhsm/libsofthsm2.so", "/usr/lib64/softhsm/libsofthsm.so", "/usr/local/lib/softhsm/libsofthsm2.so")
KEY = bytes(range(32))
PIN = "4711-pin"


@pytest.fixture(scope="module")
def token(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The setting of a key on a fresh token; the key itself is not made yet."""
    module = next((m for m in MODULES if os.path.exists(m)), "")
    if not module or not shutil.which("softhsm2-util"):
        pytest.skip("softhsm2 is not installed")
    folder = tmp_path_factory.mktemp("hsm")
    (folder / "tokens").mkdir()
    (folder / "softhsm2.conf").write_text(f"directories.tokendir = {folder}/tokens\nobjectstore.backend = file\nlog.level = ERROR\n")
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("SOFTHSM2_CONF", str(folder / "softhsm2.conf"))
        patched.setenv("LIUHEN_TEST_PIN", PIN)
        subprocess.run(["softhsm2-util", "--init-token", "--free", "--label", "our token", "--so-pin", "87654321", "--pin", PIN], check=True)
        yield f"pkcs11:token=our%20token;object=liuhen?module-path={module}&pin-source=env:LIUHEN_TEST_PIN"


@pytest.fixture(scope="module")
def service() -> Iterator[str]:
    """The setting of a key at a key service on this machine."""
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    with pytest.MonkeyPatch.context() as patched:
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            patched.setenv(name, "for-tests")
        import boto3

        client = boto3.client("kms", region_name="cn-north-1", endpoint_url=f"http://{host}:{port}")
        for alias in ("alias/liuhen", "alias/other"):
            client.create_alias(AliasName=alias, TargetKeyId=client.create_key()["KeyMetadata"]["KeyId"])
        yield f"kms:alias/liuhen?region=cn-north-1&endpoint=http://{host}:{port}"
    server.stop()


@pytest.fixture
def home(tmp_path: Path) -> Path:
    Home.create(tmp_path / "home", [Corp(id="ww1")])
    return tmp_path / "home"


def test_a_key_on_a_token_wraps_and_never_leaves_it(token: str, tmp_path: Path) -> None:
    masters.make_master(token, tmp_path)
    masters.make_master(token, tmp_path)  # an existing one stays: two of a name could not be told apart
    wrapped = open_master(token, tmp_path).wrap(KEY, "keyring/1")
    assert open_master(token, tmp_path).unwrap(wrapped, "keyring/1") == KEY and KEY not in wrapped
    import pkcs11

    parsed = masters.parse(token)
    with pkcs11.lib(parsed.query["module-path"]).get_token(token_label="our token").open(user_pin=PIN) as session:
        key = session.get_key(object_class=pkcs11.ObjectClass.SECRET_KEY, label="liuhen")
        assert not key[pkcs11.Attribute.EXTRACTABLE] and key[pkcs11.Attribute.SENSITIVE]
        with pytest.raises(pkcs11.AttributeSensitive):
            key[pkcs11.Attribute.VALUE]


def test_a_token_without_gcm_wraps_by_aes_key_wrap(token: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    masters.make_master(token, tmp_path)
    by_gcm = open_master(token, tmp_path).wrap(KEY, "keyring/1")
    with monkeypatch.context() as patched:
        patched.setattr(TokenMaster, "_offers_gcm", lambda self, session: False)
        by_wrap = open_master(token, tmp_path).wrap(KEY, "keyring/1")
    assert (by_gcm[:1], by_wrap[:1]) == (b"G", b"W")
    for wrapped in (by_gcm, by_wrap):
        assert open_master(token, tmp_path).unwrap(wrapped, "keyring/1") == KEY
        for at in (0, 2, 4, 20, len(wrapped) - 1):
            changed = bytearray(wrapped)
            changed[at] ^= 1
            with pytest.raises(VerifyFailed) as told:
                open_master(token, tmp_path).unwrap(bytes(changed), "keyring/1")
            assert told.value.code == "KEYRING_MASTER_MISMATCH"
        with pytest.raises(VerifyFailed):
            open_master(token, tmp_path).unwrap(wrapped, "keyring/2")


@pytest.mark.parametrize(
    ("old", "new", "pin", "code"),
    [
        pytest.param("", "", "wrong-pin", "MASTER_PIN_REFUSED", id="wrong PIN"),
        pytest.param("", "", "", "MASTER_PIN_MISSING", id="no PIN"),
        pytest.param("our%20token", "no%20token", PIN, "MASTER_TOKEN_MISSING", id="no such token"),
        pytest.param("object=liuhen", "object=nobody", PIN, "MASTER_KEY_MISSING", id="no such key"),
        pytest.param("object=liuhen", "object=open", PIN, "MASTER_KEY_UNFIT", id="a key that can be taken out"),
        pytest.param("object=liuhen", "object=short", PIN, "MASTER_KEY_UNFIT", id="a key of 128 bits"),
        pytest.param("object=liuhen", "object=twice", PIN, "MASTER_KEY_AMBIGUOUS", id="two keys of a name"),
        pytest.param("softhsm/lib", "softhsm/nolib", PIN, "MASTER_MODULE_MISSING", id="no such module"),
    ],
)
def test_what_is_wrong_with_a_token_is_one_sentence_without_the_pin(
    token: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, old: str, new: str, pin: str, code: str
) -> None:
    odd_keys(token)
    masters.make_master(token, tmp_path)
    monkeypatch.setenv("LIUHEN_TEST_PIN", pin)
    with pytest.raises(ArchiveError) as told:
        open_master(token.replace(old, new) if old else token, tmp_path).wrap(KEY, "n")
    assert told.value.code == code and told.value.remedy
    assert PIN not in str(told.value) and "wrong-pin" not in str(told.value)


def odd_keys(token: str) -> None:
    """Keys on the token that must not be master keys, made once."""
    import pkcs11

    wanted = [("open", 256, True), ("short", 128, False), ("twice", 256, False), ("twice", 256, False)]
    with pkcs11.lib(masters.parse(token).query["module-path"]).get_token(token_label="our token").open(rw=True, user_pin=PIN) as session:
        if not list(session.get_objects({pkcs11.Attribute.LABEL: "open"})):
            for label, bits, extractable in wanted:
                session.generate_key(pkcs11.KeyType.AES, bits, label=label, store=True, template={pkcs11.Attribute.EXTRACTABLE: extractable})


def test_a_forked_child_uses_the_token_too(token: str, tmp_path: Path) -> None:
    masters.make_master(token, tmp_path)
    wrapped = open_master(token, tmp_path).wrap(KEY, "n")
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            code = 0 if open_master(token, tmp_path).unwrap(wrapped, "n") == KEY else 2
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert open_master(token, tmp_path).unwrap(wrapped, "n") == KEY


def test_a_key_service_wraps_bound_to_the_name(service: str, tmp_path: Path) -> None:
    wrapped = open_master(service, tmp_path).wrap(KEY, "keyring/1")
    assert open_master(service, tmp_path).unwrap(wrapped, "keyring/1") == KEY and KEY not in wrapped
    with pytest.raises(VerifyFailed) as told:
        open_master(service, tmp_path).unwrap(wrapped, "keyring/2")
    assert told.value.code == "KEYRING_MASTER_MISMATCH"


@pytest.mark.parametrize(
    ("old", "new", "code", "exit_code"),
    [
        pytest.param("alias/liuhen", "alias/nobody", "MASTER_KEY_MISSING", 2, id="no such key"),
        pytest.param("127.0.0.1", "127.0.0.1:1/", "MASTER_UNREACHABLE", 9, id="nobody listens"),
        pytest.param("endpoint=http://", "endpoint=", "MASTER_KEY_UNKNOWN", 2, id="no address"),
    ],
)
def test_what_is_wrong_with_a_key_service_is_one_sentence(service: str, tmp_path: Path, old: str, new: str, code: str, exit_code: int) -> None:
    setting = service.replace(old, new) if code != "MASTER_UNREACHABLE" else service.rsplit(":", 1)[0] + ":1"
    with pytest.raises(ArchiveError) as told:
        open_master(setting, tmp_path).wrap(KEY, "n")
    assert (told.value.code, int(told.value.exit_code)) == (code, exit_code) and told.value.remedy


def test_a_key_service_without_credentials_or_region_says_so(service: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_REGION", "AWS_DEFAULT_REGION", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    with pytest.raises(ArchiveError) as told:
        open_master("kms:alias/liuhen", tmp_path).wrap(KEY, "n")
    assert told.value.code == "MASTER_KEY_UNKNOWN"
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    with pytest.raises(ArchiveError) as told:
        open_master(service, tmp_path).wrap(KEY, "n")
    assert told.value.code == "MASTER_SERVICE_DENIED"


def test_a_home_moves_from_file_to_token_to_service_and_back(token: str, service: str, home: Path) -> None:
    masters.make_master(token, home)
    box = Home(home).keyring.seal("lexicon", b"words", context=b"c")
    for setting in (token, service, "file:keys/master.key"):
        moved = Home(home)
        rotate(home, moved.keyring, setting)
        assert moved.keyring.open(box, context=b"c") == b"words"
        fresh = Home(home)
        assert fresh.config.keys.master == setting
        assert fresh.keyring.open(box, context=b"c") == b"words"
        assert [e.n for e in fresh.custody.entries()] == []


def test_commands_work_with_a_token_and_refuse_without_its_pin(token: str, home: Path) -> None:
    ended = liuhen(home, "keyring", "rotate", "--to", token, "--make-key", LIUHEN_TEST_PIN=PIN)
    assert (ended.code, ended.out) == (0, "")
    assert PIN not in ended.err and PIN not in (home / "liuhen.toml").read_text()
    assert liuhen(home, "status", LIUHEN_TEST_PIN=PIN).code == 0
    refused = liuhen(home, "status")
    assert refused.code == 2 and "MASTER_PIN_MISSING" in refused.err and "env:LIUHEN_TEST_PIN" in refused.err
