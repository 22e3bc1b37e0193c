"""Backup of the keyring as an age file, the way back, and the drill."""

from __future__ import annotations

import os
import re
from base64 import b64encode
from pathlib import Path

import pyarrow as pa
import pyrage
import pytest

from pipeline import keybackup, schema, words
from pipeline.config import Corp
from pipeline.errors import UsageError, VerifyFailed
from pipeline.home import Home
from pipeline.keyring_file import Material


@pytest.fixture(scope="module")
def identity() -> pyrage.x25519.Identity:
    return pyrage.x25519.Identity.generate()


@pytest.fixture
def home(tmp_path: Path) -> Home:
    made = Home.create(tmp_path / "home", [Corp(id="ww1")])
    made.keyring.current("ww1/base")
    made.keyring.current("ww1/withheld/2026-11-20")
    return made


def saved(home: Home, identity: pyrage.x25519.Identity, name: str = "a.age") -> bytes:
    keybackup.save(home.keyring, [str(identity.to_public())], home.path.parent / name)
    return (home.path.parent / name).read_bytes()


def lose_keys(home: Home) -> Home:
    for path in (home.path / "keys").iterdir():
        if path.is_file():
            path.unlink()
    return Home(home.path)


def test_a_backup_restores_every_key_under_a_new_master_with_the_identity_alone(home: Home, identity: pyrage.x25519.Identity) -> None:
    before = {n: home.keyring.get(n) for n in home.keyring.names()}
    data = saved(home, identity)
    lost = lose_keys(home)
    with pytest.raises(UsageError, match=r"master key file master\.key is missing"):
        _ = lost.keyring
    keybackup.restore(lost.path, keybackup.decrypt(data, [identity]), make=True)
    again = Home(home.path)
    assert {n: again.keyring.get(n) for n in again.keyring.names()} == before
    assert sorted(before) == ["custody#0", "names#0", "ww1/base#0", "ww1/withheld/2026-11-20#0"]
    assert all(i.backed_up for i in again.keyring.infos())


def test_any_recipient_opens_a_backup_and_nobody_else(home: Home, identity: pyrage.x25519.Identity) -> None:
    second, stranger = pyrage.x25519.Identity.generate(), pyrage.x25519.Identity.generate()
    keybackup.save(home.keyring, [str(i.to_public()) for i in (identity, second)], home.path.parent / "b")
    data = (home.path.parent / "b").read_bytes()
    assert keybackup.decrypt(data, [identity]) == keybackup.decrypt(data, [stranger, second])
    with pytest.raises(UsageError, match="this identity does not open the backup"):
        keybackup.decrypt(data, [stranger])


def test_no_key_is_written_in_clear_at_any_time(home: Home, identity: pyrage.x25519.Identity, monkeypatch: pytest.MonkeyPatch) -> None:
    keys = [home.keyring.get(n) for n in home.keyring.names()]
    write, written = os.write, []

    def watched(handle: int, data: bytes | memoryview) -> int:
        written.append(bytes(data))
        return write(handle, data)

    monkeypatch.setattr(os, "write", watched)
    data = saved(home, identity)
    keybackup.restore(lose_keys(home).path, keybackup.decrypt(data, [identity]), make=True)
    everything = [*written, *[p.read_bytes() for p in home.path.parent.rglob("*") if p.is_file()]]
    assert data in written and len(everything) > 8
    for key in keys:
        assert not [d for d in everything if key in d or b64encode(key) in d or key.hex().encode() in d]


def test_a_backup_never_shows_its_keys_when_printed(home: Home, identity: pyrage.x25519.Identity) -> None:
    material = keybackup.decrypt(saved(home, identity), [identity])
    assert "KeyMaterial(…)" in repr(material) and repr(home.keyring.get("names#0"))[2:-1] not in repr(material)


@pytest.mark.parametrize(
    ("change", "code"),
    [
        pytest.param(lambda d: d[:-1], "BACKUP_DAMAGED", id="cut"),
        pytest.param(lambda d: d[:-5] + bytes([d[-5] ^ 1]) + d[-4:], "BACKUP_DAMAGED", id="one bit"),
        pytest.param(lambda d: b"", "BACKUP_DAMAGED", id="empty"),
        pytest.param(lambda d: b"-----BEGIN PGP MESSAGE-----", "BACKUP_DAMAGED", id="another kind of file"),
    ],
)
def test_a_changed_backup_is_refused(home: Home, identity: pyrage.x25519.Identity, change: object, code: str) -> None:
    with pytest.raises(VerifyFailed) as told:
        keybackup.decrypt(change(saved(home, identity)), [identity])  # type: ignore[operator]  # a table of functions
    assert told.value.code == code


def test_an_age_file_with_something_else_inside_is_refused(identity: pyrage.x25519.Identity) -> None:
    for inside in (b"", b"{}", b'{"id":"x"}', b"hello"):
        with pytest.raises(VerifyFailed, match="does not hold a keyring"):
            keybackup.decrypt(pyrage.encrypt(inside, [identity.to_public()]), [identity])


@pytest.mark.parametrize("recipient", ["", "age1", "zhangsan", "ssh-ed25519 AAAA", "AGE-SECRET-KEY-1QQ"])
def test_what_is_not_a_recipient_is_refused_and_nothing_written(home: Home, recipient: str) -> None:
    with pytest.raises(UsageError) as told:
        keybackup.save(home.keyring, [recipient], home.path.parent / "x.age")
    assert told.value.code == "BACKUP_RECIPIENT_MALFORMED" and not (home.path.parent / "x.age").exists()
    assert "AGE-SECRET" not in str(told.value)


@pytest.mark.parametrize(
    ("text", "mode", "code"),
    [
        pytest.param(None, 0o600, "IDENTITY_MISSING", id="missing"),
        pytest.param("KEY", 0o644, "IDENTITY_EXPOSED", id="readable by others"),
        pytest.param("# only a comment\n", 0o600, "IDENTITY_MALFORMED", id="no key"),
        pytest.param("age1xyz\n", 0o600, "IDENTITY_MALFORMED", id="the public key"),
        pytest.param("AGE-SECRET-KEY-1QQQ\n", 0o600, "IDENTITY_MALFORMED", id="cut"),
    ],
)
def test_an_identity_file_that_cannot_be_used_is_one_sentence(
    tmp_path: Path, identity: pyrage.x25519.Identity, text: str | None, mode: int, code: str
) -> None:
    if text is not None:
        (tmp_path / "id.txt").write_text(str(identity) if text == "KEY" else text)
        (tmp_path / "id.txt").chmod(mode)
    with pytest.raises(UsageError) as told:
        keybackup.read_identities(tmp_path / "id.txt")
    assert told.value.code == code and "SECRET-KEY-1QQQ" not in str(told.value) and str(identity) not in str(told.value)


def test_an_identity_file_is_read_as_age_keygen_writes_it(tmp_path: Path, home: Home, identity: pyrage.x25519.Identity) -> None:
    (tmp_path / "id.txt").write_text(f"# created: 2026-11-22\n# public key: {identity.to_public()}\n{identity}\n")
    (tmp_path / "id.txt").chmod(0o600)
    assert isinstance(keybackup.decrypt(saved(home, identity), keybackup.read_identities(tmp_path / "id.txt")), Material)


def test_a_newer_keyring_is_never_overwritten(home: Home, identity: pyrage.x25519.Identity) -> None:
    material = keybackup.decrypt(saved(home, identity), [identity])
    home.keyring.current("ww1/m/2026-12/hot")
    before = (home.path / "keys/keyring.json").read_bytes()
    with pytest.raises(UsageError, match=r"is newer \(state 5\) than the backup \(state 4\)"):
        keybackup.restore(home.path, material)
    assert (home.path / "keys/keyring.json").read_bytes() == before


def test_the_backup_of_another_home_is_refused(home: Home, identity: pyrage.x25519.Identity, tmp_path: Path) -> None:
    other = Home.create(tmp_path / "other", [Corp(id="ww1")])
    data = saved(other, identity, "o.age")
    for at in (home, lose_keys(home)):
        with pytest.raises(VerifyFailed, match="of another home's keyring"):
            keybackup.restore(at.path, keybackup.decrypt(data, [identity]), make=True)


def test_a_destroyed_key_does_not_come_back_with_an_older_backup(home: Home, identity: pyrage.x25519.Identity) -> None:
    material = keybackup.decrypt(saved(home, identity), [identity])
    home.keyring.destroy("ww1/withheld/2026-11-20#0")
    assert "ww1/withheld/2026-11-20#0" in material.keys
    restored = keybackup.restore(lose_keys(home).path, material, make=True)
    with pytest.raises(UsageError) as told:
        restored.get("ww1/withheld/2026-11-20#0")
    assert told.value.code == "KEY_DESTROYED" and restored.serial == 6
    assert len(Home(home.path).keyring.get("ww1/base#0")) == 32


def test_the_number_of_a_key_that_a_backup_lacks_is_not_used_again(home: Home, identity: pyrage.x25519.Identity) -> None:
    material = keybackup.decrypt(saved(home, identity), [identity])
    home.keyring.current("ww1/m/2026-12/hot")
    restored = keybackup.restore(lose_keys(home).path, material, lost=["ww1/m/2026-12/hot#0"], make=True)
    with pytest.raises(VerifyFailed) as told:
        restored.get("ww1/m/2026-12/hot#0")
    assert told.value.code == "KEY_LOST"
    assert restored.current("ww1/m/2026-12/hot") == "ww1/m/2026-12/hot#1"


def test_a_damaged_keyring_is_what_a_backup_is_for(home: Home, identity: pyrage.x25519.Identity) -> None:
    data = saved(home, identity)
    (home.path / "keys/keyring.json").write_bytes(b'{"version":2,"id"')
    keybackup.restore(home.path, keybackup.decrypt(data, [identity]))
    assert len(Home(home.path).keyring.get("ww1/base#0")) == 32


def test_a_lost_master_key_is_replaced_by_another_kind_in_one_step(home: Home, identity: pyrage.x25519.Identity) -> None:
    data = saved(home, identity)
    (home.path / "keys/master.key").unlink()
    keybackup.restore(home.path, keybackup.decrypt(data, [identity]), to="file:keys/second.key", make=True)
    assert Home(home.path).config.keys.master == "file:keys/second.key"
    assert len(Home(home.path).keyring.get("ww1/base#0")) == 32


def test_a_backup_overwrites_no_file(home: Home, identity: pyrage.x25519.Identity) -> None:
    first = saved(home, identity)
    with pytest.raises(UsageError, match="there is a file"):
        saved(home, identity)
    assert (home.path.parent / "a.age").read_bytes() == first
    assert (home.path.parent / "a.age").stat().st_mode & 0o777 == 0o600


def sources() -> str:
    """The text of the modules that care for keys."""
    folder = Path(keybackup.__file__).parent
    modules = ("masters", "master_token", "master_service", "keyring", "keyring_file", "keybackup")
    return "".join((folder / f"{name}.py").read_text() for name in modules)


def codes_of_the_keyring() -> set[str]:
    """Every code in those modules; KEYRING_HELD would be a mistake of ours."""
    return set(re.findall(r'"((?:MASTER|KEYRING|KEY|BACKUP|IDENTITY)_[A-Z_]+)"', sources())) - {"KEYRING_HELD"}


def test_every_error_code_of_the_keyring_has_its_chinese_words() -> None:
    assert len(codes_of_the_keyring()) > 30
    assert {code for code in codes_of_the_keyring() if f"error.{code}" not in words.catalogue()} == set()


def test_the_page_on_key_care_lists_every_code_with_its_exit_code() -> None:
    page = (Path(keybackup.__file__).parents[1] / "docs/operations.md").read_text("utf-8")
    rows = re.findall(r"^\| (`[A-Z_`, …]+`) \| (\d) \|", page, re.MULTILINE)
    listed = {code: int(number) for codes, number in rows for code in re.findall(r"[A-Z_]+", codes)}
    assert set(listed) == codes_of_the_keyring() | {"BACKUP_INCOMPLETE", "KEYRING_USABLE"}
    exits = {"UsageError": 2, "VerifyFailed": 6, "StorageError": 9}
    raised = re.findall(r'(UsageError|VerifyFailed|StorageError)\(\s*"([A-Z_]+)"', sources())
    assert {code: exits[kind] for kind, code in raised if code in listed}.items() <= listed.items()


def test_an_older_copy_of_a_lake_file_dies_with_its_generation_and_the_rewritten_one_lives(home: Home) -> None:
    lake = home.lake("ww1")
    table = pa.table({c.name: pa.array([None], schema.kind("sealed").arrow.field(c.name).type) for c in schema.kind("sealed").columns})
    table = table.cast(pa.schema([f.with_nullable(True) for f in schema.kind("sealed").arrow]))
    old = lake.write(table, "sealed", month="2026-11", bucket="hot")
    copy = (lake.root / old.path).read_bytes()
    for unit in ("ww1/m/2026-11/hot", "ww1/m/2026-11/hot!2"):
        assert home.keyring.next_generation(unit) == f"{unit}#1"
    new = lake.write(table, "sealed", month="2026-11", bucket="hot")
    assert lake.read("sealed", [old], columns=["plaintext"]).num_rows == 1
    for unit in ("ww1/m/2026-11/hot", "ww1/m/2026-11/hot!2"):
        home.keyring.destroy(f"{unit}#0")
    assert (lake.root / old.path).read_bytes() == copy
    for each in (lake, Home(home.path).lake("ww1")):
        assert each.read("sealed", [new], columns=["plaintext"]).num_rows == 1
        with pytest.raises(UsageError) as told:
            each.read("sealed", [old], columns=["seq"])
        assert told.value.code == "KEY_DESTROYED"
