"""Fetched files that no row names go a day after they were first seen so; whatever names one, or may name it, keeps it."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pipeline import clock, stores, trusted_clock
from pipeline.consenting import reconcile
from pipeline.errors import Locked, StorageError, VerifyFailed
from pipeline.home import Home
from pipeline.source import cycle, media_store, media_sweep
from pipeline.source.media_store import Partial, Reference
from pipeline.source.media_sweep import Swept
from pipeline.verify import verify_archive
from tests import firm
from tests.consenting.test_reconcile import disagree, told
from tests.firm import CORP, T0
from tests.source.test_media import MONTH, Files, fetch, image

HOUR = 3_600_000
# f2 and f4 have the same content; wmB's is f3 alone.
CONTENTS = {"f1": b"hello, files", "f2": b"the same", "f3": b"a third one, longer", "f4": b"the same"}
Later = Callable[[float], None]


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An archive with four files of three contents."""
    folder = tmp_path_factory.mktemp("swept")
    at = firm.home(folder)
    firm.run(at, firm.page(folder, "a.json", {n: image(n, f"f{n}", to=["wmB" if n == 3 else "wmA"]) for n in (1, 2, 3, 4)}))
    assert fetch(at, Files(CONTENTS)).unverifiable == 4
    return at.path


@pytest.fixture
def at(tmp_path: Path, template: Path) -> Home:
    """A copy of it."""
    return Home(Path(shutil.copytree(template, tmp_path / "home")))


@pytest.fixture
def later(monkeypatch: pytest.MonkeyPatch) -> Later:
    """Lets so many hours pass since now."""
    real = clock.now_ms
    return lambda hours: monkeypatch.setattr(clock, "now_ms", lambda: real() + round(hours * HOUR))


def path_of(at: Home, data: bytes) -> Path:
    return media_store.address(at, CORP, MONTH, hashlib.sha256(data).hexdigest())


def there(at: Home) -> set[str]:
    """Which of the files of CONTENTS are on the disk."""
    return {name for name, data in CONTENTS.items() if path_of(at, data).exists()}


def unname(at: Home, *seqs: int) -> None:
    """Take rows out and leave their files, as removals of earlier versions did."""
    stores._purge_lake(at, CORP, {("sealed", seq) for seq in seqs})


def codes(at: Home) -> set[str]:
    """What a verification finds: of what `unname` did, that nobody recorded a removal."""
    return {f.code for f in verify_archive(at.path, CORP).findings}


def sweeps(at: Home, later: Later, *hours: float) -> list[Swept | None]:
    """What the looks at these hours did."""
    found = []
    for hour in hours:
        later(hour)
        found.append(media_sweep.run(at, CORP))
    return found


def test_who_waited_while_somebody_else_looked_does_not_look_again(at: Home, later: Later, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else he would take the other one's look of a moment ago for one of a day ago."""
    unname(at, 1)
    later(0)
    due = media_sweep._is_due

    def then_another(home: Home, corp_id: str) -> bool:
        monkeypatch.setattr(media_sweep, "_is_due", due)
        found = due(home, corp_id)
        assert media_sweep.run(home, corp_id) == Swept(unnamed=1)
        return found

    monkeypatch.setattr(media_sweep, "_is_due", then_another)
    assert media_sweep.run(at, CORP) is None
    assert there(at) == {"f1", "f2", "f3", "f4"}


def test_what_no_row_names_goes_a_day_after_it_was_seen_and_nothing_else(at: Home, later: Later) -> None:
    unname(at, 1, 2)
    assert sweeps(at, later, 0, 1, 23.9) == [Swept(swept=0, unnamed=1), None, None]
    assert there(at) == {"f1", "f2", "f3", "f4"}, "f2 is what f4 is"
    assert sweeps(at, later, 24.1, 48.2) == [Swept(swept=1, unnamed=0), Swept()]
    assert there(at) == {"f2", "f3", "f4"}
    assert [(e.phase, e.result, at.custody.params(e) | {"mode": ""}) for e in at.custody.entries() if e.command == "media sweep"] == [
        ("start", "", {"corp": CORP, "files": 1, "mode": ""}), ("end", "1 files", {"corp": CORP, "files": 1, "mode": ""}),
    ]  # fmt: skip


def test_an_archive_whose_rows_name_all_loses_nothing(at: Home, later: Later) -> None:
    assert sweeps(at, later, 0, 25, 50) == [Swept(), Swept(), Swept()]
    assert there(at) == {"f1", "f2", "f3", "f4"}


def test_files_of_restricted_records_stay(at: Home, later: Later) -> None:
    told(at, disagree("wmA", T0))
    reconcile.run(at, CORP)
    assert firm.values(at, "select count(*) from restricted") == [3]
    assert sweeps(at, later, 0, 25, 50) == [Swept(), Swept(), Swept()]
    assert there(at) == {"f1", "f2", "f3", "f4"}


def test_what_is_named_again_within_the_day_stays(at: Home, later: Later) -> None:
    unname(at, 1)
    assert sweeps(at, later, 0) == [Swept(unnamed=1)]
    folder = at.path.parent
    firm.run(at, firm.page(folder, "b.json", {11: image(11, "f11")}))
    assert fetch(at, Files({"f11": CONTENTS["f1"]})).unverifiable == 1
    assert sweeps(at, later, 25) == [Swept()] and "f1" in there(at)


def test_a_file_that_a_staged_row_names_stays(at: Home, later: Later, monkeypatch: pytest.MonkeyPatch) -> None:
    """No stage names fetched files today; whichever will, keeps them."""
    lake = at.lake(CORP)
    named = [f for f in lake.snapshot().of("media") if lake.read("media", [f], columns=["sha256"])["sha256"].null_count < f.rows]
    unname(at, 1)
    monkeypatch.setattr(media_sweep, "staged_files", lambda *_: named)  # they stay ten minutes
    assert sweeps(at, later, 0, 25) == [Swept(), Swept()] and "f1" in there(at)


def test_what_is_being_fetched_stays_until_it_is_told(at: Home, later: Later) -> None:
    """A fetch was killed between naming its file and telling it; it goes on two days later, and asks for nothing."""
    firm.run(at, firm.page(at.path.parent, "b.json", {11: image(11, "f11")}))
    partial = Partial(at, CORP, MONTH, Reference("sealed", 11, 0, "f11"))
    partial.add(b"of the eleventh", "", True)
    partial.keep()
    assert sweeps(at, later, 0, 25, 50) == [Swept(), Swept(), Swept()]
    source = Files({})
    assert (fetch(at, source).unverifiable, source.slices) == (1, [])
    assert path_of(at, b"of the eleventh").exists()
    assert sweeps(at, later, 75) == [Swept()]


def test_a_fetch_that_stores_the_same_content_right_after_the_sweep_has_its_file(at: Home, later: Later) -> None:
    unname(at, 1)
    sweeps(at, later, 0)
    firm.run(at, firm.page(at.path.parent, "b.json", {11: image(11, "f11")}))
    assert sweeps(at, later, 25) == [Swept(swept=1)] and "f1" not in there(at)
    assert fetch(at, Files({"f11": CONTENTS["f1"]})).unverifiable == 1
    assert "f1" in there(at) and codes(at) == {"ROW_MISSING"}


def test_nothing_is_swept_while_files_are_fetched(at: Home, later: Later) -> None:
    """The sweep is asked for in the midst of a fetch that has just named a file of the very content."""
    unname(at, 1)
    sweeps(at, later, 0)
    later(25)
    firm.run(at, firm.page(at.path.parent, "b.json", {11: image(11, "f11"), 12: image(12, "f12")}))
    seen = []

    class Meanwhile(Files):
        def media(self, sdkfileid: str, index: str) -> Any:
            if sdkfileid == "f12":  # f11 is named, and not yet told
                with pytest.raises(Locked):
                    media_sweep.run(at, CORP)
                seen.append(path_of(at, CONTENTS["f1"]).exists())
            return super().media(sdkfileid, index)

    assert fetch(at, Meanwhile({"f11": CONTENTS["f1"], "f12": b"x"})).unverifiable == 2
    assert seen == [True] and sweeps(at, later, 25) == [Swept()] and "f1" in there(at)


def test_other_corps_and_what_is_no_file_of_ours_are_not_touched(at: Home, later: Later) -> None:
    other = at.path / "media" / "ww2" / MONTH / path_of(at, CONTENTS["f1"]).name
    other.parent.mkdir(parents=True)
    shutil.copy(path_of(at, CONTENTS["f1"]), other)
    note = path_of(at, CONTENTS["f1"]).with_name("note.txt")
    note.write_text("x")
    unname(at, 1)
    assert sweeps(at, later, 0, 25) == [Swept(unnamed=1), Swept(swept=1)]
    assert other.exists() and note.exists()


def cut(at: Home) -> None:
    path = path_of(at, CONTENTS["f1"])
    os.truncate(path, path.stat().st_size - 1)


def under_another_name(at: Home) -> None:
    path = path_of(at, CONTENTS["f1"])
    path.rename(path.with_name(f"{'0' * 32}.lhm"))


@pytest.mark.parametrize("damage", [cut, under_another_name])
def test_what_does_not_open_to_the_content_of_its_name_stays(at: Home, later: Later, damage: Callable[[Home], None]) -> None:
    unname(at, 1)
    damage(at)
    before = len(list((at.path / "media").rglob("*.lhm")))
    assert sweeps(at, later, 0, 25, 50) == [Swept(unnamed=1)] * 3
    assert len(list((at.path / "media").rglob("*.lhm"))) == before


@pytest.mark.parametrize("kind", ["media", "restricted"])
def test_rows_that_cannot_be_read_keep_every_file(at: Home, later: Later, kind: str) -> None:
    told(at, disagree("wmB", T0))
    reconcile.run(at, CORP)
    unname(at, 1)
    sweeps(at, later, 0)
    lake = at.lake(CORP)
    damaged = lake.root / lake.snapshot().of(kind)[0].path
    damaged.write_bytes(damaged.read_bytes()[:100])
    later(25)
    with pytest.raises(VerifyFailed):
        media_sweep.run(at, CORP)
    assert there(at) == {"f1", "f2", "f3", "f4"}
    step = cycle.media_sweep(cycle.Cycle(at, CORP, open_source=lambda *_: Files({})))
    assert (step.told, step.exit_code, step.code) == (None, 6, "FILE_DAMAGED")


def test_a_log_that_cannot_be_read_keeps_every_file(at: Home, later: Later) -> None:
    unname(at, 1)
    sweeps(at, later, 0)
    log = sorted((at.lake(CORP).root / "_delta_log").glob("*.json"))
    log[1].write_bytes(b"{")
    later(25)
    with pytest.raises((VerifyFailed, StorageError)):
        media_sweep.run(at, CORP)
    assert there(at) == {"f1", "f2", "f3", "f4"}


def test_a_torn_end_of_the_log_begins_the_day_anew(at: Home, later: Later) -> None:
    unname(at, 1)
    sweeps(at, later, 0)
    log = at.lake(CORP).root / "_delta_log"
    newest = max(int(p.stem) for p in log.glob("*.json"))
    (log / f"{newest + 1:020d}.json").write_bytes(b"")
    assert sweeps(at, later, 25, 26, 49.5) == [Swept(unnamed=1), None, Swept(swept=1)]


@pytest.mark.parametrize("hours", [[0, -30, 0, 1], [0, 24 * 400, 24 * 400 + 1]], ids=["back", "a year ahead"])
def test_no_jump_of_a_clock_makes_a_day(at: Home, later: Later, hours: list[float]) -> None:
    unname(at, 1)
    assert sweeps(at, later, *hours) == [Swept(unnamed=1), *[None] * (len(hours) - 1)]
    assert "f1" in there(at)


def test_archive_time_that_the_operator_sets_back_begins_the_day_anew(at: Home, later: Later) -> None:
    unname(at, 1)
    sweeps(at, later, 48)
    later(0)
    trusted_clock.confirm(at)
    assert sweeps(at, later, 0, 1, 24.1) == [Swept(unnamed=1), None, Swept(swept=1)]


def test_a_record_of_the_first_look_that_is_lost_begins_the_day_anew(at: Home, later: Later) -> None:
    unname(at, 1)
    sweeps(at, later, 0)
    (at.path / "source" / f"{CORP}.unnamed_media.json").write_bytes(b"{")
    assert sweeps(at, later, 25, 26, 50) == [Swept(unnamed=1), None, Swept(swept=1)]


def test_the_cycle_tells_numbers_and_no_name(at: Home, later: Later) -> None:
    unname(at, 1)
    steps = [s for s in cycle.STEPS if s.name == "media_sweep"]

    def run(hours: float) -> str:
        later(hours)
        summary = cycle.run(cycle.Cycle(at, CORP, open_source=lambda *_: Files({})), steps=steps)
        assert summary.exit_code == 0
        return json.dumps({name: [told.swept, told.unnamed] for name, told in summary.steps.items()})

    assert [run(h) for h in (0, 1, 25, 50)] == ['{"media_sweep": [0, 1]}', "{}", '{"media_sweep": [1, 0]}', "{}"]
    assert codes(at) == {"ROW_MISSING"}
