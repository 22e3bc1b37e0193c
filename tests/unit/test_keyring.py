"""The keyring: wrapped keys, one master key, destruction that is one."""

from __future__ import annotations

import json
import os
import signal
from base64 import b64encode
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from pipeline import config, durable
from pipeline.config import Corp
from pipeline.errors import ArchiveError, StorageError, UsageError, VerifyFailed
from pipeline.key_rotation import rotate
from pipeline.keyring import FileMaster, Keyring
from pipeline.masters import open_master
from tests.crash.harness import Point, child


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    FileMaster.create(tmp_path / "master.key")
    return tmp_path


def ring(folder: Path) -> Keyring:
    return Keyring(folder / "keyring.json", FileMaster(folder / "master.key"), witness=folder / "keyring.seen")


class Counting(FileMaster):
    """A master key that counts how often it is asked."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.calls: list[str] = []

    def wrap(self, key: bytes, name: str) -> bytes:
        self.calls.append("wrap")
        return super().wrap(key, name)

    def unwrap(self, wrapped: bytes, name: str) -> bytes:
        self.calls.append("unwrap")
        return super().unwrap(wrapped, name)


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


def test_the_master_is_asked_once_a_process_however_many_keys_are_used(folder: Path) -> None:
    for unit in ("a", "b", "c"):
        ring(folder).current(unit)
    master = Counting(folder / "master.key")
    keyring = Keyring(folder / "keyring.json", master)
    assert master.calls == []
    for name in ("a#0", "b#0", "c#0"):
        keyring.get(name)
    keyring.next_generation("a")
    keyring.seal("d", b"data", context=b"")
    keyring.destroy("b#0")
    assert master.calls == ["unwrap"]


# -- generations and destruction ------------------------------------------------------------------------------------


def test_an_older_copy_of_a_file_dies_with_its_generation(folder: Path) -> None:
    keyring = ring(folder)
    (folder / "copy").write_bytes(keyring.seal("u", b"erased later", context=b"c"))
    keyring.next_generation("u")
    kept = keyring.seal("u", b"rewritten", context=b"c")
    keyring.destroy("u#0")
    for each in (keyring, ring(folder)):
        with pytest.raises(UsageError) as told:
            each.open((folder / "copy").read_bytes(), context=b"c")
        assert told.value.code == "KEY_DESTROYED"
        assert each.open(kept, context=b"c") == b"rewritten"


def test_a_key_destroyed_by_another_process_is_gone_from_memory_too(folder: Path) -> None:
    warm, other = ring(folder), ring(folder)
    box = warm.seal("u", b"x", context=b"c")
    assert warm.open(box, context=b"c") == b"x"
    other.destroy("u#0")
    with pytest.raises(UsageError, match="it was destroyed at 20"):
        warm.open(box, context=b"c")


def test_within_one_use_the_file_is_looked_at_once_and_by_this_thread_alone(folder: Path) -> None:
    keyring, other = ring(folder), ring(folder)
    name = keyring.current("u")
    key = keyring.get(name)
    with keyring.one_use():
        other.destroy(name)
        assert keyring.get(name) == key
        with pytest.raises(UsageError, match="it was destroyed at 20"):
            other.get(name)
    with pytest.raises(UsageError, match="it was destroyed at 20"), keyring.one_use():
        keyring.get(name)

    name = keyring.current("v")
    with keyring.one_use(), ThreadPoolExecutor(1) as pool:
        other.destroy(name)
        with pytest.raises(UsageError, match="it was destroyed at 20"):
            pool.submit(keyring.get, name).result()


def test_a_key_that_another_thread_opened_just_before_it_was_destroyed_opens_nothing_afterwards(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    here, there = ring(folder), ring(folder)
    name, other = here.current("u"), here.current("v")
    real = Keyring._open_entry

    def opened(self: Keyring, wanted: str) -> bytes:
        key = real(self, wanted)
        if wanted == name and self is here:
            there.destroy(name)
            here.get(other)  # another thread of the same process looks, and finds the new file
        return key

    monkeypatch.setattr(Keyring, "_open_entry", opened)
    here.get(name)
    with pytest.raises(UsageError) as refused:
        here.get(name)
    assert refused.value.code == "KEY_DESTROYED"


def test_a_keyring_changes_while_other_threads_take_keys_from_it(folder: Path) -> None:
    here, there = ring(folder), ring(folder)
    names = [here.current(f"u{n}") for n in range(3)]

    class Opened(dict[str, bytes]):
        """The keys that are open; whoever goes through them step by step meets another thread."""

        def __iter__(self) -> Iterator[str]:
            for name in super().__iter__():
                self[f"of another thread, after {name}"] = b""
                yield name

    here._plain = Opened({name: here.get(name) for name in names})
    there.current("new")
    assert here.get(names[0]) and here.names("new") == ["new#0"]


def test_two_changes_within_one_tick_of_the_clock_are_seen_though_the_number_of_the_file_comes_back(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real_fstat, real_stat = os.fstat, os.stat

    def as_before(stat: os.stat_result) -> os.stat_result:
        return os.stat_result([stat.st_mode, 7, *stat[2:10]], {"st_mtime_ns": 1_000_000_000, "st_atime_ns": 0, "st_ctime_ns": 0})

    monkeypatch.setattr(os, "fstat", lambda *args: as_before(real_fstat(*args)))
    monkeypatch.setattr(os, "stat", lambda *args, **more: as_before(real_stat(*args, **more)))
    here, there = ring(folder), ring(folder)
    name = here.current("u")
    here.get(name)
    there.destroy(name)
    with pytest.raises(UsageError):
        here.get(name)


def test_two_who_want_the_same_generation_make_it_once(folder: Path) -> None:
    one, two = ring(folder), ring(folder)
    one.current("u")
    one.reach("u", 1)
    two.reach("u", 1)
    assert one.names("u#") == two.names("u#") == ["u#0", "u#1"]


def test_a_new_generation_of_another_process_is_used_at_once(folder: Path) -> None:
    warm, other = ring(folder), ring(folder)
    assert warm.current("u") == "u#0"
    other.next_generation("u")
    assert warm.current("u") == "u#1"


def test_the_number_of_a_destroyed_key_never_comes_back(folder: Path) -> None:
    keyring = ring(folder)
    keyring.current("u")
    keyring.destroy("u#0")
    assert ring(folder).current("u") == "u#1"
    keyring.destroy("u#1")
    assert ring(folder).next_generation("u") == "u#2"
    assert ring(folder).names() == ["u#2"]


def test_ten_generations_are_counted_as_numbers(folder: Path) -> None:
    keyring = ring(folder)
    for _ in range(11):
        keyring.next_generation("u")
    assert ring(folder).current("u") == "u#10"


def test_a_key_that_could_not_be_stored_is_not_used(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    keyring = ring(folder)
    keyring.current("a")

    def full(handle: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched, pytest.raises(StorageError):
        patched.setattr(os, "fsync", full)
        keyring.current("b")
    assert keyring.names() == ["a#0"] == ring(folder).names()
    assert keyring.get(keyring.current("b")) == ring(folder).get("b#0")


# -- losses, one sentence each --------------------------------------------------------------------------------------


def edited(path: Path, **changes: object) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def put_back_old(folder: Path) -> None:
    old = (folder / "keyring.json").read_bytes()
    ring(folder).current("later")
    (folder / "keyring.json").write_bytes(old)


def put_back_destroyed(folder: Path) -> None:
    old = (folder / "keyring.json").read_bytes()
    ring(folder).destroy("u#0")
    (folder / "keyring.json").write_bytes(old)


def other_home(folder: Path) -> None:
    (folder / "keyring.json").unlink()
    Keyring(folder / "keyring.json", FileMaster(folder / "master.key")).current("u")


def other_master(folder: Path) -> None:
    (folder / "master.key").unlink()
    FileMaster.create(folder / "master.key")


LOSSES = [
    pytest.param(lambda f: (f / "master.key").unlink(), "MASTER_KEY_MISSING", 2, id="master key lost"),
    pytest.param(other_master, "KEYRING_MASTER_MISMATCH", 6, id="another master key"),
    pytest.param(lambda f: (f / "master.key").chmod(0o644), "MASTER_KEY_EXPOSED", 2, id="master key readable by others"),
    pytest.param(lambda f: (f / "master.key").write_text("c2hvcnQ="), "MASTER_KEY_MALFORMED", 2, id="master key cut"),
    pytest.param(lambda f: (f / "keyring.json").unlink(), "KEYRING_MISSING", 6, id="keyring lost"),
    pytest.param(lambda f: (f / "keyring.json").write_bytes(b""), "KEYRING_DAMAGED", 6, id="keyring empty"),
    pytest.param(lambda f: (f / "keyring.json").write_text('{"version":2}'), "KEYRING_DAMAGED", 6, id="keyring without its parts"),
    pytest.param(lambda f: edited(f / "keyring.json", version=1), "KEYRING_VERSION", 2, id="another format"),
    pytest.param(lambda f: edited(f / "keyring.json", backup=7), "KEYRING_CHANGED", 6, id="a number edited"),
    pytest.param(lambda f: edited(f / "keyring.json", keys={}), "KEYRING_CHANGED", 6, id="keys taken out"),
    pytest.param(lambda f: edited(f / "keyring.json", mac=""), "KEYRING_CHANGED", 6, id="its MAC taken out"),
    pytest.param(put_back_old, "KEYRING_OLD", 6, id="an old keyring put back"),
    pytest.param(put_back_destroyed, "KEYRING_OLD", 6, id="a keyring with a destroyed key put back"),
    pytest.param(other_home, "KEYRING_FOREIGN", 6, id="the keyring of another home"),
    pytest.param(lambda f: (f / "keyring.seen").write_bytes(b"{"), "KEYRING_WITNESS_DAMAGED", 6, id="witness damaged"),
]


@pytest.mark.parametrize(("lose", "code", "exit_code"), LOSSES)
def test_every_loss_is_one_sentence_with_its_code(folder: Path, lose: object, code: str, exit_code: int) -> None:
    keyring = ring(folder)
    box = keyring.seal("u", b"x", context=b"c")
    secret = b64encode(keyring.get("u#0")).decode()
    lose(folder)  # type: ignore[operator]  # a table of functions
    with pytest.raises(ArchiveError) as told:
        ring(folder).open(box, context=b"c")
    assert (told.value.code, int(told.value.exit_code)) == (code, exit_code)
    assert told.value.remedy and "\n" not in str(told.value) and secret not in str(told.value)


def test_what_was_not_lost_opens_and_a_lost_witness_is_written_again(folder: Path) -> None:
    ring(folder).current("u")
    (folder / "keyring.seen").unlink()
    assert len(ring(folder).get("u#0")) == 32
    ring(folder).current("v")
    put_back_old(folder)
    with pytest.raises(VerifyFailed, match="it has state 2, this home has seen 3"):
        ring(folder)


def test_a_key_that_this_keyring_never_had_is_told_apart_from_a_destroyed_one(folder: Path) -> None:
    with pytest.raises(VerifyFailed) as told:
        ring(folder).get("ww1/m/2026-11/hot#3")
    assert told.value.code == "KEY_UNKNOWN"
    assert "older than the archive" in str(told.value)


# -- rotation -------------------------------------------------------------------------------------------------------

NEW = "file:keys/new.key"


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """The parts of a home that rotation touches, with three keys and a box."""
    for name in ("keys", "custody"):
        (tmp_path / name).mkdir()
    FileMaster.create(tmp_path / "keys" / "master.key")
    (tmp_path / "liuhen.toml").write_text(config.render([Corp(id="ww1")], demo=False))
    for unit in ("a", "b", "a!2"):
        opened(tmp_path).current(unit)
    (tmp_path / "box").write_bytes(opened(tmp_path).seal("a", b"content", context=b"c"))
    return tmp_path


def opened(home: Path) -> Keyring:
    """The keyring with the master key that the configuration names, as every command opens it."""
    setting = config.parse((home / "liuhen.toml").read_text()).keys.master
    return Keyring(home / "keys" / "keyring.json", open_master(setting, home), witness=home / "custody" / "keyring.seen")


def keys_of(home: Path) -> dict[str, bytes]:
    return {name: opened(home).get(name) for name in opened(home).names()}


def test_rotation_keeps_every_key_and_shuts_the_old_master_out(home: Path) -> None:
    before, old = keys_of(home), (home / "keys" / "keyring.json").read_bytes()
    rotate(home, opened(home), NEW, make=True)
    assert config.parse((home / "liuhen.toml").read_text()).keys.master == NEW
    assert keys_of(home) == before and sorted(before) == ["a!2#0", "a#0", "b#0"]
    assert opened(home).open((home / "box").read_bytes(), context=b"c") == b"content"
    with pytest.raises(VerifyFailed, match="another master key"):
        Keyring(home / "keys" / "keyring.json", FileMaster(home / "keys" / "master.key"))
    wrapped = {key["wrapped"] for key in json.loads(old)["keys"].values()}
    assert not any(w in (home / "keys" / "keyring.json").read_text() for w in wrapped)


def test_the_root_key_of_before_opens_nothing_made_after_a_rotation(home: Path) -> None:
    keyring = opened(home)
    keyring.get("a#0")
    root = keyring._root[1]
    assert len(root) == 32
    rotate(home, keyring, NEW, make=True)
    keyring.get("a#0")
    assert keyring._root[1] != root and opened(home).get("a#0") == keyring.get("a#0")


def test_the_same_keyring_goes_on_after_its_rotation(home: Path) -> None:
    keyring = opened(home)
    rotate(home, keyring, NEW, make=True)
    assert keyring.current("c") == "c#0"
    assert opened(home).get("c#0") == keyring.get("c#0")


def test_a_process_that_missed_the_rotation_is_told_so(home: Path) -> None:
    missed = opened(home)
    rotate(home, opened(home), NEW, make=True)
    with pytest.raises(VerifyFailed, match="if it was rotated just now, run the same command again"):
        missed.current("c")


@pytest.mark.parametrize(
    ("to", "code"),
    [
        pytest.param("file:keys/absent.key", "MASTER_KEY_MISSING", id="a file that is not there"),
        pytest.param("vault:x", "MASTER_KEY_UNKNOWN", id="no such kind"),
        pytest.param("file:", "MASTER_KEY_UNKNOWN", id="no path"),
        pytest.param("pkcs11:token=a;object=b?module-path=c&pin-value=1234", "MASTER_PIN_IN_SETTING", id="a PIN in the setting"),
    ],
)
def test_a_master_key_that_cannot_be_used_changes_nothing(home: Path, to: str, code: str) -> None:
    before = {p: p.read_bytes() for p in home.rglob("*") if p.is_file()}
    with pytest.raises(UsageError) as told:
        rotate(home, opened(home), to)
    assert told.value.code == code
    assert {p: p.read_bytes() for p in home.rglob("*") if p.is_file()} == before


@pytest.mark.crash
def test_a_rotation_killed_at_any_durable_step_leaves_the_old_or_the_new_state_and_is_completed_by_the_same_command(home: Path) -> None:
    (home.parent / "saved").mkdir(exist_ok=True)
    before = keys_of(home)
    saved = {p.relative_to(home): p.read_bytes() for p in home.rglob("*") if p.is_file()}

    def again() -> None:
        for path in [p for p in home.rglob("*") if p.is_file()]:
            path.unlink()
        for name, data in saved.items():
            (home / name).write_bytes(data)
            (home / name).chmod(0o600)

    def work() -> str:
        return rotate(home, opened(home), NEW, make=True)

    _, (_, calls) = child(work, trace=True)
    assert sum(c.startswith("replace") for c in calls) == 3  # both wrappings, the configuration, the new one alone
    for number, what in enumerate(calls):
        for after in (False, True):
            again()
            died, _ = child(work, kill_at=Point(number, after, what))
            assert died == signal.SIGKILL, (number, after, what)
            assert keys_of(home) == before, (number, after, what)
            rotate(home, opened(home), NEW, make=True)
            assert keys_of(home) == before and not opened(home).unfinished
            with pytest.raises(VerifyFailed):
                Keyring(home / "keys" / "keyring.json", FileMaster(home / "keys" / "master.key"))


def test_a_rotation_whose_disk_fails_at_any_step_leaves_a_home_that_opens(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = keys_of(home)
    replace, seen = durable.replace, []

    def failing(path: Path, data: bytes, *, mode: int = 0o600) -> None:
        seen.append(path.name)
        if len(seen) == fail_at:
            raise StorageError("STORAGE_FULL", "the disk is full")
        replace(path, data, mode=mode)

    for fail_at in (1, 2, 3):
        seen.clear()
        with monkeypatch.context() as patched, pytest.raises(StorageError):
            patched.setattr(durable, "replace", failing)
            rotate(home, opened(home), f"file:keys/new{fail_at}.key", make=True)
        assert keys_of(home) == before
    rotate(home, opened(home), NEW, make=True)
    assert keys_of(home) == before and not opened(home).unfinished


def test_keys_list_what_is_newest_and_backed_up(folder: Path) -> None:
    keyring = ring(folder)
    keyring.current("u")
    keyring.backed_up(keyring.serial)
    keyring.next_generation("u")
    assert [(i.name, i.newest, i.backed_up) for i in ring(folder).infos()] == [("u#0", False, True), ("u#1", True, False)]
