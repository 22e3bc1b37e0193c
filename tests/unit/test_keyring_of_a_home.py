"""A filled home never starts a new keyring in silence, and what is named once keeps its name."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pipeline import keybackup
from pipeline import keyring_file as kf
from pipeline.config import Corp
from pipeline.errors import ArchiveError, UsageError, VerifyFailed
from pipeline.home import Home
from pipeline.key_rotation import rotate
from pipeline.keyring import FileMaster, Keyring


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home.create(tmp_path / "home", [Corp(id="ww1")])


@pytest.mark.parametrize("lost", [["keys/keyring.json"], ["keys/keyring.json", "custody/keyring.seen"]], ids=["the keyring", "keyring and witness"])
def test_a_missing_keyring_is_told_and_none_is_made(home: Home, lost: list[str]) -> None:
    for name in lost:
        (home.path / name).unlink()
    again = Home(home.path)
    for use in (lambda: again.keyring.current("ww1/base"), lambda: again.custody.append(command="a", phase="start", params={}), lambda: again.enterprise_keys("ww1")):
        with pytest.raises(VerifyFailed) as told:
            use()
            Home(home.path).keyring.current("ww1/base")
        assert told.value.code == "KEYRING_MISSING"
    assert not (home.path / "keys/keyring.json").exists()


def test_a_keyring_that_goes_away_while_it_is_open_is_not_made_anew(home: Home) -> None:
    keyring = home.keyring
    (home.path / "keys/keyring.json").unlink()
    (home.path / "custody/keyring.seen").unlink()
    with pytest.raises(VerifyFailed, match="missing"):
        keyring.current("ww1/m/2026-11/hot")


def test_a_lost_keyring_comes_back_from_its_backup(home: Home) -> None:
    name, material = home.keyring.pseudonym("names", "a"), home.keyring.material()
    (home.path / "keys/keyring.json").unlink()
    keybackup.restore(home.path, material)
    assert Home(home.path).keyring.pseudonym("names", "a") == name


def test_names_stay_after_a_rotation_and_a_restore(home: Home) -> None:
    before = [home.keyring.pseudonym("names", who) for who in ("wmA", "zhangsan")]
    rotate(home.path, home.keyring, "file:keys/second.key", make=True)
    assert [Home(home.path).keyring.pseudonym("names", who) for who in ("wmA", "zhangsan")] == before
    material = Home(home.path).keyring.material()
    (home.path / "keys/keyring.json").unlink()
    keybackup.restore(home.path, material)
    assert [Home(home.path).keyring.pseudonym("names", who) for who in ("wmA", "zhangsan")] == before


def test_the_key_of_names_has_one_generation(home: Home) -> None:
    with pytest.raises(UsageError) as told:
        home.keyring.next_generation("names")
    assert told.value.code == "KEY_FIXED" and home.keyring.names("names#") == ["names#0"]


def test_a_newer_generation_of_another_unit_names_nothing_anew(home: Home) -> None:
    before = home.keyring.pseudonym("inbox", "a")
    home.keyring.next_generation("inbox")
    assert home.keyring.pseudonym("inbox", "a") == before


def test_a_lost_key_of_names_is_an_error_and_no_other_name(tmp_path: Path) -> None:
    FileMaster.create(tmp_path / "master.key")
    master = FileMaster(tmp_path / "master.key")
    keyring = Keyring(tmp_path / "keyring.json", master)
    keyring.pseudonym("names", "a")
    keyring.current("u")
    material = keyring.material()
    without = json.loads(json.dumps({"k": sorted(n for n in material.keys if n != "names#0")}))["k"]
    lacking = kf.Material(id=material.id, serial=material.serial, made_ms=0, keys={n: material.keys[n] for n in without})
    keybackup.plant(tmp_path / "keyring.json", master, lacking, None, ["names#0"])
    with pytest.raises(ArchiveError) as told:
        Keyring(tmp_path / "keyring.json", master).pseudonym("names", "a")
    assert told.value.code == "KEY_LOST"
