"""Media: fetched from committed rows only, resumed where it stopped, checked, encrypted while it arrives; one bad file stops nothing."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from pipeline import clock, key_needs, stores
from pipeline.errors import StorageError, VerifyFailed
from pipeline.home import Home
from pipeline.source import media_store
from pipeline.source.interface import Chunk, VendorError
from pipeline.source.media_fetch import Fetch, Fetched
from pipeline.source.media_store import Partial, Reference
from pipeline.source.pace import Pace
from tests import firm
from tests.firm import CORP, T0, message, refusal
from tests.source.fake import DAY, Fake, resident, setting
from tests.source.fake import refusal as wecom_refusal

MONTH = "2026-11"
MD5 = {data: hashlib.md5(data).hexdigest() for data in (b"hello, files", b"the same", b"")}


def image(n: int, fileid: str, *, md5: str = "", size: int = 0, **more: Any) -> dict[str, Any]:
    """A picture as the source writes it."""
    return message(n, msgtype="image", image={"sdkfileid": fileid, "md5sum": md5, "filesize": size}, **more)


@pytest.fixture(scope="module")
def templates(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Homes that were made already, by what is archived in them."""
    return {"": tmp_path_factory.mktemp("homes")}


@pytest.fixture
def filled(tmp_path: Path, templates: dict[str, Path]) -> Callable[[Mapping[int, Mapping[str, Any]]], Home]:
    """Makes a home with these messages archived: a copy of the one that was made first."""

    def make(messages: Mapping[int, Mapping[str, Any]]) -> Home:
        name = json.dumps(messages)
        if name not in templates:
            folder = templates[""] / str(len(templates))
            folder.mkdir()
            firm.run(firm.home(folder), firm.page(folder, "a.json", messages))
            templates[name] = folder / "home"
        return Home(Path(shutil.copytree(templates[name], tmp_path / "home")))

    return make


class Files(Fake):
    """Files by id; `wrong`: what the first fetches of a file give instead; `failing`: what its slices end with, one a call."""

    def __init__(self, files: Mapping[str, bytes], *, wrong: Mapping[str, list[bytes]] | None = None, failing: Mapping[str, list[int]] | None = None) -> None:
        super().__init__()
        self.files = dict(files)
        self.wrong, self.failing = {k: list(v) for k, v in (wrong or {}).items()}, {k: list(v) for k, v in (failing or {}).items()}
        self.slices: list[tuple[str, str]] = []

    def media(self, sdkfileid: str, index: str) -> Chunk:
        self.slices.append((sdkfileid, index))
        if self.failing.get(sdkfileid):
            raise VendorError(self.failing[sdkfileid].pop(0), "media")
        data, at = (self.wrong[sdkfileid][0] if self.wrong.get(sdkfileid) else self.files[sdkfileid]), int(index or 0)
        if at + 4 >= len(data) and self.wrong.get(sdkfileid):
            self.wrong[sdkfileid].pop(0)
        return Chunk(data[at : at + 4], str(at + 4), at + 4 >= len(data))


def fetch(at: Home, source: Fake, **more: Any) -> Fetched:
    """One run of the queue that never sleeps."""
    return Fetch(at, CORP, source, sleep=lambda _: None, pace=Pace(25000, clock=lambda: 0.0, sleep=lambda _: None), **more).run()


def states(at: Home) -> dict[str, str]:
    """Status by file id."""
    return {r["sdkfileid"]: r["status"] for r in firm.rows(at, "select sdkfileid, status from media")}


def content(at: Home, data: bytes) -> bytes:
    """What the store gives back for this content."""
    return b"".join(media_store.read(at, CORP, MONTH, hashlib.sha256(data).hexdigest()))


Filled = Callable[[Mapping[int, Mapping[str, Any]]], Home]


def test_files_are_fetched_checked_and_kept_once_a_content(filled: Filled) -> None:
    a, b = b"hello, files", b"the same"
    at = filled({1: image(1, "f1", md5=MD5[a]), 2: image(2, "f2", size=8), 3: image(3, "f3", md5=MD5[b]), 4: image(4, "f4", md5=MD5[b].upper(), size=99)})
    told = fetch(at, Files({"f1": a, "f2": b, "f3": b, "f4": b}))
    assert (told.files, told.verified, told.unverifiable, told.left, told.exit_code) == (4, 3, 1, 0, 0)
    assert states(at) == {"f1": "verified", "f2": "unverifiable", "f3": "verified", "f4": "verified"}
    assert firm.values(at, "select size, sha256 from media where seq = 1") == [(12, hashlib.sha256(a).hexdigest())]
    assert (content(at, a), content(at, b)) == (a, b)
    assert len(list((at.path / "media").rglob("*.lhm"))) == 2
    assert list((at.path / "media").rglob("*.partial")) == []
    assert fetch(at, Files({})).files == 0


def test_nothing_on_disk_tells_a_name_an_id_or_content(filled: Filled) -> None:
    data = b"hello, files" * 3
    at = filled({1: message(1, msgtype="file", file={"sdkfileid": "secret-id", "filename": "../../保单.pdf", "fileext": "pdf", "md5sum": "", "filesize": 36})})
    fetch(at, Files({"secret-id": data}))
    (path,) = (at.path / "media").rglob("*.lhm")
    assert b"hello" not in path.read_bytes() and hashlib.sha256(data).hexdigest()[:32] not in path.name
    assert len(path.stem) == 32 and path.parent.name == MONTH
    assert f"{CORP}/media/{MONTH}#0" in set(key_needs._boxes(at))  # a backup of the keyring must cover it


@pytest.mark.slow
def test_withheld_and_restricted_files_are_never_asked_for(filled: Filled) -> None:
    at = filled({1: refusal(1, "wmB", at_ms=T0 - DAY), 2: image(2, "no", to=["zhangsan"], sender="wmB"), 3: image(3, "yes")})
    source = Files({"yes": b"the same"})
    fetch(at, source)
    assert {fileid for fileid, _ in source.slices} == {"yes"}


@pytest.mark.slow
def test_what_is_about_to_leave_the_window_goes_first_and_what_must_have_left_it_last(filled: Filled, monkeypatch: pytest.MonkeyPatch) -> None:
    days = {"new": 0, "old": 3, "oldest": 4, "gone": 30, "long gone": 300}
    at = filled({n: image(n, fileid, at_ms=T0 - ago * DAY) for n, (fileid, ago) in enumerate(days.items(), 1)})
    monkeypatch.setattr(clock, "now_ms", lambda: T0)
    source = Files(dict.fromkeys(days, b"1"))
    fetch(at, source)
    assert [fileid for fileid, _ in source.slices] == ["oldest", "old", "new", "long gone", "gone"]


@pytest.mark.slow
def test_nested_files_are_fetched_too(filled: Filled) -> None:
    item = {"type": "ChatRecordImage", "msgtime": 1, "content": '{"sdkfileid":"inner","md5sum":"","filesize":4}', "from_chatroom": False}
    at = filled({1: message(1, msgtype="chatrecord", chatrecord={"title": "t", "item": [item]})})
    assert fetch(at, Files({"inner": b"deep"})).unverifiable == 1


@pytest.mark.slow
def test_a_wrong_md5_once_is_healed_and_three_times_is_kept_and_marked(filled: Filled) -> None:
    good, bad = b"hello, files", b"hollo, files"
    at = filled({1: image(1, "once", md5=MD5[good]), 2: image(2, "always", md5=MD5[good])})
    source = Files({"once": good, "always": good}, wrong={"once": [bad], "always": [bad, bad, b"third try!!!"]})
    told = fetch(at, source)
    assert states(at) == {"once": "verified", "always": "mismatch"}
    assert (told.exit_code, content(at, b"third try!!!")) == (3, b"third try!!!")
    assert len([1 for fileid, index in source.slices if (fileid, index) == ("always", "")]) == 3


ENDS = [
    pytest.param([10010], "expired", 1, id="expired"),
    pytest.param([10005], "missing", 1, id="unknown id"),
    pytest.param([10002] * 3, "unverifiable", 6, id="unreadable three times, then not"),
    pytest.param([10003] * 3, "unverifiable", 6, id="system failure three times, then not"),
    pytest.param([10006] * 2, "unverifiable", 5, id="not to be opened twice, then not"),
    pytest.param([10002] * 4, "pending", 4, id="unreadable: left for the next run"),
    pytest.param([777] * 4, "pending", 4, id="a code nobody knows"),
]


@pytest.mark.slow
@pytest.mark.parametrize(("codes", "status", "calls"), ENDS)
def test_one_bad_file_never_stops_the_queue(filled: Filled, codes: list[int], status: str, calls: int) -> None:
    at = filled({1: image(1, "bad"), 2: image(2, "good")})
    source = Files({"bad": b"hello, files", "good": b"fine"}, failing={"bad": codes})
    fetch(at, source)
    assert states(at) == {"bad": status, "good": "unverifiable"}
    assert len([1 for fileid, _ in source.slices if fileid == "bad"]) == calls


@pytest.mark.slow
def test_a_file_that_cannot_be_fetched_in_three_runs_is_missing(filled: Filled) -> None:
    at = filled({1: image(1, "bad")})
    told = [fetch(at, Files({}, failing={"bad": [10002] * 4})) for _ in range(3)]
    assert [(t.pending, t.missing, t.exit_code) for t in told] == [(1, 0, 3), (1, 0, 3), (0, 1, 3)]
    assert firm.values(at, "select status from media") == ["missing"]


@pytest.mark.slow
@pytest.mark.parametrize(("code", "word", "exit_code"), [(10001, "SOURCE_UNREACHABLE", 3), (10009, "SOURCE_ADDRESS", 4), (10011, "SOURCE_CERTIFICATE", 4)])
def test_network_and_refusals_end_the_queue_and_count_against_no_file(filled: Filled, code: int, word: str, exit_code: int) -> None:
    at = filled({1: image(1, "f1"), 2: image(2, "f2")})
    source = Files({"f1": b"hello, files", "f2": b"fine"}, failing={"f2": [code] * 9})
    source.script = [VendorError(code, "chat_data")] * 9  # messages do not come either
    told = fetch(at, source)
    assert (told.code, told.exit_code, told.left, states(at)) == (word, exit_code, 1, {"f1": "unverifiable", "f2": "pending"})
    assert firm.values(at, "select count(*) from media where status = 'pending'") == [1]


@pytest.mark.slow
def test_a_file_whose_connection_breaks_each_time_while_messages_come_lets_the_others_go_on_and_is_never_given_up(filled: Filled) -> None:
    at = filled({1: image(1, "bad"), 2: image(2, "good")})
    source = Files({"bad": b"hello, files", "good": b"fine"}, failing={"bad": [10001] * 99})
    told = [fetch(at, source) for _ in range(4)]
    assert [(t.code, t.left, t.missing, t.exit_code) for t in told] == [("", 1, 0, 3)] * 4
    assert (states(at), firm.values(at, "select attempts from lake_media where seq = 1 order by state_no desc limit 1")) == ({"bad": "pending", "good": "unverifiable"}, [0])
    source.failing = {}
    assert (fetch(at, source).left, states(at)["bad"]) == (0, "unverifiable")


@pytest.mark.slow
def test_connections_that_break_for_five_files_in_a_row_end_the_queue_and_the_next_run_asks_for_the_others_first(filled: Filled) -> None:
    at = filled({n: image(n, f"f{n}") for n in range(1, 8)})
    broken = {f"f{n}": [10001] * 99 for n in range(1, 6)}
    first = Files({f"f{n}": b"fine" for n in range(1, 8)}, failing=broken)
    told = fetch(at, first)
    assert (told.code, told.exit_code, told.left, {fileid for fileid, _ in first.slices}) == ("SOURCE_UNREACHABLE", 3, 7, {"f1", "f2", "f3", "f4", "f5"})
    second = Files({f"f{n}": b"fine" for n in range(1, 8)}, failing=broken)
    told = fetch(at, second)
    # f5 ended the queue before anything was told of it, so it stands where it stood
    assert (list(dict.fromkeys(fileid for fileid, _ in second.slices)), told.unverifiable, told.left) == (["f5", "f6", "f7", "f1", "f2", "f3", "f4"], 2, 5)


@pytest.mark.slow
def test_a_token_that_is_refused_while_a_file_comes_is_asked_for_anew_and_counts_against_no_file(filled: Filled) -> None:
    at = filled({1: image(1, "f1", md5=MD5[b"hello, files"])})
    source = Files({"f1": b"hello, files"}, failing={"f1": [10002] * 4})  # the library has no code of its own for it
    source.script = [wecom_refusal(42001)]
    told = fetch(at, source)
    assert (told.verified, told.left, told.code, source.renewed, len(source.slices)) == (1, 0, "", 1, 4 + 3)


@pytest.mark.slow
def test_a_run_goes_on_at_the_saved_place(filled: Filled) -> None:
    at = filled({1: image(1, "f1", md5=MD5[b"hello, files"])})
    first = Files({"f1": b"hello, files"})
    seen: list[int] = []
    told = Fetch(at, CORP, first, sleep=lambda _: None, pace=Pace(25000, clock=lambda: 0.0, sleep=lambda _: None))
    original = first.media

    def cut(sdkfileid: str, index: str) -> Chunk:
        seen.append(1)
        if len(seen) == 3:
            raise StorageError("STORAGE_FULL", "full")
        return original(sdkfileid, index)

    first.media = cut  # type: ignore[method-assign]  # the disk fills up while the third slice comes
    with pytest.raises(StorageError):
        told.run()
    second = Files({"f1": b"hello, files"})
    assert (fetch(at, second).verified, second.slices) == (1, [("f1", "8")])


@pytest.mark.slow
def test_a_saved_place_that_is_refused_begins_anew_once(filled: Filled) -> None:
    at = filled({1: image(1, "f1", md5=MD5[b"hello, files"])})
    source = Files({"f1": b"hello, files"})
    with_two = Partial(at, CORP, MONTH, Reference("sealed", 1, 0, "f1"))
    with_two.add(b"hell", "4", False)
    with_two.close()
    source.failing = {"f1": [10000]}
    assert (fetch(at, source).verified, [index for _, index in source.slices]) == (1, ["4", "", "4", "8"])


@pytest.mark.slow
def test_a_whole_file_that_was_not_told_is_not_fetched_again(filled: Filled) -> None:
    at = filled({1: image(1, "f1")})
    left = Partial(at, CORP, MONTH, Reference("sealed", 1, 0, "f1"))
    left.add(b"hello, files", "", True)
    left.keep()
    source = Files({})
    assert (fetch(at, source).unverifiable, source.slices) == (1, [])
    assert list((at.path / "media").rglob("*.partial")) == []


@pytest.mark.slow
def test_a_partial_of_a_file_that_was_told_before_the_kill_is_swept(filled: Filled) -> None:
    at = filled({1: image(1, "f1")})
    fetch(at, Files({"f1": b"hello, files"}))
    told = Partial(at, CORP, MONTH, Reference("sealed", 1, 0, "f1"))
    told.add(b"hello, files", "", True)
    told.close()
    assert fetch(at, Files({})).files == 0
    assert list((at.path / "media").rglob("*.partial")) == []


@pytest.mark.slow
@pytest.mark.parametrize("cut", range(1, 60, 7))
def test_a_partial_that_was_cut_anywhere_goes_on_from_its_last_whole_slice(filled: Filled, cut: int) -> None:
    at = filled({1: image(1, "f1")})
    of = Reference("sealed", 1, 0, "f1")
    partial = Partial(at, CORP, MONTH, of)
    for n in range(3):
        partial.add(b"abcd", str(4 * n + 4), False)
    partial.close()
    size = partial.path.stat().st_size
    with partial.path.open("r+b") as file:
        file.truncate(size - cut)
    again = Partial(at, CORP, MONTH, of)
    assert (again.bytes, again.index) == ((8, "8") if cut <= 40 else (4, "4"))
    again.add(b"rest", "", True)
    digest = again.keep()
    assert b"".join(media_store.read(at, CORP, MONTH, digest)) == b"abcd" * (again.number - 1) + b"rest"


@pytest.mark.slow
def test_a_source_that_never_ends_a_file_is_unreadable(filled: Filled) -> None:
    at = filled({1: image(1, "f1"), 2: image(2, "f2")})

    class Endless(Files):
        def media(self, sdkfileid: str, index: str) -> Chunk:
            super().media(sdkfileid, index)
            return Chunk(b"", index, False) if sdkfileid == "f1" else Chunk(b"fine", "", True)

    assert (fetch(at, Endless({"f1": b"x", "f2": b"y"})).pending, states(at)) == (1, {"f1": "pending", "f2": "unverifiable"})


@pytest.mark.slow
def test_files_above_the_limit_are_told_and_not_kept(filled: Filled) -> None:
    at = setting(filled({1: image(1, "declared", size=2 * 1024 * 1024), 2: image(2, "silent")}), "media.max_mb", "1")

    class Large(Files):
        def media(self, sdkfileid: str, index: str) -> Chunk:
            self.slices.append((sdkfileid, index))
            return Chunk(bytes(524_288), str(len(self.slices)), False)

    source = Large({})
    assert (fetch(at, source).too_large, len(source.slices)) == (2, 3)
    assert [p for p in (at.path / "media").rglob("*") if p.is_file()] == []


@pytest.mark.slow
@pytest.mark.parametrize("damage", ["changed", "cut", "frame left out"])
def test_a_stored_file_that_was_touched_does_not_open(filled: Filled, damage: str) -> None:
    data = b"hello, files"
    at = filled({1: image(1, "f1")})
    fetch(at, Files({"f1": data}))
    (path,) = (at.path / "media").rglob("*.lhm")
    stored = bytearray(path.read_bytes())
    frame = 5 + 12 + 16 + 2 + 1 + 4  # head of the frame, nonce, tag, length and text of a one-digit index, slice
    if damage == "changed":
        stored[-3] ^= 1
    elif damage == "cut":
        del stored[-frame:]
    else:
        del stored[-2 * frame : -frame]
    path.write_bytes(stored)
    with pytest.raises(VerifyFailed) as error:
        content(at, data)
    assert error.value.code == "MEDIA_DAMAGED"


@pytest.mark.slow
def test_purging_a_record_removes_its_file_unless_another_shares_it(filled: Filled) -> None:
    at = filled({1: image(1, "a"), 2: image(2, "b"), 3: image(3, "c")})
    fetch(at, Files({"a": b"shared", "b": b"shared", "c": b"alone"}))
    assert stores.purge(at, CORP, {("sealed", 1), ("sealed", 3)})["media"] == 1
    assert content(at, b"shared") == b"shared"
    with pytest.raises(VerifyFailed):
        content(at, b"alone")
    assert stores.purge(at, CORP, {("sealed", 2)})["media"] == 1


@pytest.mark.slow
def test_a_gigabyte_is_fetched_in_constant_memory(filled: Filled) -> None:
    at = filled({1: image(1, "big")})
    held: list[int] = []

    class Big(Files):
        def media(self, sdkfileid: str, index: str) -> Chunk:
            n = int(index or 0) + 1
            if n % 128 == 0:
                held.append(resident())
            return Chunk(n.to_bytes(8) * 65_536, str(n), n == 2048)

    told = fetch(at, Big({}))
    assert (told.unverifiable, told.bytes) == (1, 1 << 30)
    assert len(held) == 16 and max(held) - held[0] < 8 << 20
