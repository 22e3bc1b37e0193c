"""Backup, drill and restore of the keyring with an archive behind it, from outside, as an operator does it."""

from __future__ import annotations

import shutil
from pathlib import Path

import pyrage
import pytest

from pipeline import keybackup
from pipeline.home import Home
from pipeline.key_needs import coverage
from pipeline.keyring import Held
from pipeline.keyring_file import Material
from tests import firm
from tests.cli.liuhen import liuhen

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def identity() -> pyrage.x25519.Identity:
    return pyrage.x25519.Identity.generate()


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory, identity: pyrage.x25519.Identity) -> Path:
    """A home with an archive, a backup made before its newest month (old.age) and one after it (new.age), an identity file."""
    folder = tmp_path_factory.mktemp("keys")
    home = folder / "home"
    (folder / "key.pem").write_bytes(firm.pem(1))
    (folder / "id.txt").write_text(f"{identity}\n")
    (folder / "id.txt").chmod(0o600)
    assert liuhen(home, "init", "--corp-id", "ww1").code == 0
    assert liuhen(home, "keys", "add", "--version", "1", "--private-key", str(folder / "key.pem")).code == 0
    backup = ["keyring", "backup", "--recipient", str(identity.to_public()), "-o"]
    assert liuhen(home, *backup, str(folder / "old.age")).code == 0
    firm.page(folder, "a.json", {1: firm.message(1, "这款产品保本保息"), 2: firm.refusal(2, at_ms=firm.T0 + 3000), 3: firm.message(3, "看不到的话")})
    assert liuhen(home, "ingest", "--from", str(folder / "a.json")).code == 0
    assert liuhen(home, *backup, str(folder / "new.age")).code == 0
    return folder


def drill(folder: Path, name: str, home: str = "home") -> tuple[int, str]:
    ended = liuhen(folder / home, "keyring", "restore", str(folder / name), "--identity-file", str(folder / "id.txt"), "--drill")
    assert ended.out == ""
    return ended.code, ended.err


def test_the_drill_names_every_key_that_a_backup_lacks(archive: Path) -> None:
    code, told = drill(archive, "new.age")
    assert code == 0 and "0 keys missing, 0 files do not open" in told
    code, told = drill(archive, "old.age")
    assert code == 6 and "BACKUP_INCOMPLETE" in told
    units = {line.split()[1].split("#")[0] for line in told.splitlines() if line.startswith("missing: ")}
    assert "ww1/base" in units and any(u.startswith("ww1/m/") for u in units) and any(u.startswith("ww1/withheld/") for u in units)


def test_the_second_key_of_a_file_is_looked_for_too(archive: Path, identity: pyrage.x25519.Identity) -> None:
    material = keybackup.decrypt((archive / "new.age").read_bytes(), [identity])
    # it protects two files here: the messages and the control record's plaintext
    (second,) = [n for n in material.keys if "!2#" in n and "/hot" in n]
    without = {n: k for n, k in material.keys.items() if n != second}
    found = coverage(Home(archive / "home"), Held(Material(id=material.id, serial=1, made_ms=0, keys=without)))
    assert list(found.missing) == [second] and found.missing[second] == 2 and found.unreadable == 0


def test_another_key_under_the_same_name_does_not_count_as_covered(archive: Path, identity: pyrage.x25519.Identity) -> None:
    material = keybackup.decrypt((archive / "new.age").read_bytes(), [identity])
    swapped = {**material.keys, "ww1/base#0": material.keys["names#0"]}
    found = coverage(Home(archive / "home"), Held(Material(id=material.id, serial=1, made_ms=0, keys=swapped)))
    assert not found.missing and found.unreadable >= 2 and not found.complete


def test_on_another_machine_the_identity_alone_brings_the_archive_back(archive: Path) -> None:
    shutil.copytree(archive / "home", archive / "there")
    for name in ("master.key", "keyring.json"):
        (archive / "there" / "keys" / name).unlink()
    assert liuhen(archive / "there", "status").code == 2
    code, told = drill(archive, "new.age", "there")
    assert code == 0 and "0 keys missing" in told
    ended = liuhen(archive / "there", "keyring", "restore", str(archive / "new.age"), "-i", str(archive / "id.txt"), "--make-key")
    assert (ended.code, ended.out) == (0, "")
    rows = liuhen(archive / "there", "sql", "select seq, text from messages where seq = 1").rows
    assert rows == [{"seq": 1, "text": "这款产品保本保息"}]
    entries = list(Home(archive / "there").custody.entries())
    assert [(e.command, e.phase) for e in entries if e.command.startswith("keyring")][-4:] == [
        ("keyring drill", "start"), ("keyring drill", "end"), ("keyring restore", "start"), ("keyring restore", "end"),
    ]  # fmt: skip


def test_backup_and_drill_are_recorded_in_custody(archive: Path, identity: pyrage.x25519.Identity) -> None:
    home = Home(archive / "home")
    entries = list(home.custody.entries())
    (start, *_) = [e for e in entries if e.command == "keyring backup" and e.phase == "start"]
    assert home.custody.params(start)["recipients"] == [str(identity.to_public())]
    results = [e.result for e in entries if e.command == "keyring backup" and e.phase == "end"]
    assert len(results) == 2 and all(r.startswith("state ") and "sha256 " in r for r in results)


def test_the_list_shows_names_and_states_and_no_key(archive: Path) -> None:
    ended = liuhen(archive / "home", "keyring", "list", "ww1/", "--format", "jsonl")
    assert ended.code == 0 and {"ww1/base#0"} <= {r["key_name"] for r in ended.rows}
    assert all(set(r) == {"key_name", "state", "created_at", "backed_up"} and r["state"] == "newest" and r["backed_up"] for r in ended.rows)


def test_a_command_line_refusal_has_its_code(archive: Path) -> None:
    for given, code in (
        (["restore", str(archive / "none.age"), "-i", str(archive / "id.txt")], "INPUT_MISSING"),
        (["restore", str(archive / "new.age"), "-i", str(archive / "none.txt")], "IDENTITY_MISSING"),
        (["restore", str(archive / "old.age"), "-i", str(archive / "id.txt")], "KEYRING_NEWER"),
        (["restore", str(archive / "new.age"), "-i", str(archive / "id.txt"), "--to", "file:x"], "KEYRING_USABLE"),
        (["rotate", "--to", "vault:x"], "MASTER_KEY_UNKNOWN"),
        (["backup", "-r", "age1", "-o", str(archive / "z.age")], "BACKUP_RECIPIENT_MALFORMED"),
    ):
        ended = liuhen(archive / "home", "keyring", *given)
        assert ended.code == 2 and code in ended.err, given
