"""The keyring: wrapped keys, one master key, destruction that is one."""

from __future__ import annotations

from base64 import b64encode
from pathlib import Path

import pytest

from pipeline.errors import UsageError, VerifyFailed
from pipeline.keyring import FileMaster, Keyring


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    FileMaster.create(tmp_path / "master.key")
    return tmp_path


def ring(folder: Path) -> Keyring:
    return Keyring(folder / "keyring.json", FileMaster(folder / "master.key"))


def test_a_key_is_the_same_after_the_keyring_was_opened_again(folder: Path) -> None:
    name = ring(folder).current("ww1/base")
    assert name == "ww1/base#0"
    assert ring(folder).get(name) == ring(folder).get(name)
    assert len(ring(folder).get(name)) == 32


def test_no_key_lies_in_clear_in_the_file(folder: Path) -> None:
    keyring = ring(folder)
    key = keyring.get(keyring.current("ww1/base"))
    text = (folder / "keyring.json").read_bytes()
    assert key not in text and b64encode(key) not in text and key.hex().encode() not in text


def test_two_open_keyrings_agree_on_a_key_that_either_makes(folder: Path) -> None:
    one, two = ring(folder), ring(folder)
    assert one.get(one.current("u")) == two.get(two.current("u"))


def test_a_new_generation_leaves_the_old_key_until_it_is_destroyed(folder: Path) -> None:
    keyring = ring(folder)
    box = keyring.seal("u", b"old", context=b"c")
    assert keyring.next_generation("u") == "u#1"
    assert keyring.current("u") == "u#1"
    assert keyring.open(box, context=b"c") == b"old"
    keyring.destroy("u#0")
    with pytest.raises(UsageError, match="the key u#0 is not in the keyring"):
        keyring.open(box, context=b"c")
    with pytest.raises(UsageError, match="u#0"):
        ring(folder).open(box, context=b"c")


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o666, 0o620])
def test_a_master_key_that_others_can_read_or_write_is_refused(folder: Path, mode: int) -> None:
    (folder / "master.key").chmod(mode)
    with pytest.raises(UsageError, match=f"expected mode 0600, got {mode:04o}"):
        ring(folder)


def test_a_missing_and_a_short_master_key_are_told_apart(folder: Path) -> None:
    (folder / "master.key").write_text("c2hvcnQ=\n")
    with pytest.raises(UsageError, match="does not hold 32 bytes"):
        ring(folder)
    (folder / "master.key").unlink()
    with pytest.raises(UsageError, match="is missing"):
        ring(folder)


def test_a_keyring_of_another_master_key_is_refused(folder: Path) -> None:
    ring(folder).current("u")
    (folder / "master.key").unlink()
    FileMaster.create(folder / "master.key")
    with pytest.raises(VerifyFailed, match="another master key"):
        ring(folder)


def test_a_wrapped_key_under_another_name_does_not_open(folder: Path) -> None:
    keyring = ring(folder)
    keyring.current("a")
    keyring.current("b")
    path = folder / "keyring.json"
    path.write_text(path.read_text().replace('"a#0"', '"x"').replace('"b#0"', '"a#0"').replace('"x"', '"b#0"'))
    with pytest.raises(VerifyFailed, match="was changed"):
        ring(folder).get("a#0")


@pytest.mark.parametrize("at", [0, 2, 5, 20, -1])
def test_a_box_with_one_changed_byte_is_not_opened(folder: Path, at: int) -> None:
    keyring = ring(folder)
    box = bytearray(keyring.seal("u", b"content", context=b"c"))
    box[at] ^= 1
    with pytest.raises((VerifyFailed, UsageError)):
        keyring.open(bytes(box), context=b"c")


def test_a_box_from_another_place_is_not_opened(folder: Path) -> None:
    keyring = ring(folder)
    with pytest.raises(VerifyFailed, match="belongs elsewhere"):
        keyring.open(keyring.seal("u", b"content", context=b"here"), context=b"there")


def test_pseudonyms_tell_parts_apart_and_need_the_key(folder: Path, tmp_path: Path) -> None:
    keyring = ring(folder)
    assert keyring.pseudonym("names", "ab", "c") == keyring.pseudonym("names", "ab", "c")
    assert keyring.pseudonym("names", "ab", "c") != keyring.pseudonym("names", "a", "bc")
    other = tmp_path / "other"
    other.mkdir()
    FileMaster.create(other / "master.key")
    assert ring(other).pseudonym("names", "ab", "c") != keyring.pseudonym("names", "ab", "c")
