"""Killed at any durable call and run again, the archive is what an undisturbed run makes (up to times, run ids, nonces, ciphertext)."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import apache_beam  # noqa: F401  # the parent is warm: children do not import it each
import pytest

from tests import firm
from tests.crash import harness
from tests.crash.harness import Point
from tests.firm import T0, item, message, recall, refusal

pytestmark = pytest.mark.crash
# What may differ from run to run.
TIMES = {
    "captured_at", "ingested_at", "recorded_at", "first_seen", "last_seen", "decided_at", "destroy_after", "since", "keep_until", "matched_at",
    "register_version", "committed_at", "attempts",
}  # fmt: skip
VIEWS = ("messages", "matches_all", "withheld", "pending", "control", "failures", "consent", "media", "pulls", "counts")


def source(folder: Path, *, refused_at: int = 39) -> list[Path]:
    """Pages with every kind of fate: a refusal in a later page, a repeat, a conflict, a recall, a missing key, a cut page, an overlap.

    refused_at: the seq of the refusal. What is committed before its page is known was archived and becomes restricted, not withheld: where pages are
    committed in portions the refusal comes in the first of them, else it would depend on the place of death which of the two it is."""
    items = {n: item(n, message(n, f"第{n}句 保本保息" if n % 7 == 0 else f"第{n}句", sender=f"e{n % 3}", to=[f"wm{n % 4}"])) for n in range(1, 40)}
    items[5] = item(5, recall(5, "m4", sender="e1", to=["wm0"]))
    items[9] = item(9, message(8, "第8句", sender="e2", to=["wm0"]))
    items[10] = item(10, message(8, "别的话", sender="e2", to=["wm0"]))
    items[12] = item(12, message(12), version=2)
    items[13] = item(13, message(13, sender="e1", to=["wm1"]), version=2)
    items[refused_at] = item(refused_at, refusal(refused_at, "wm2", "e2", at_ms=T0 + 11_000))
    pages = [
        firm.page(folder, "1.json", [items[n] for n in range(1, 20)]),
        firm.page(folder, "2.json", [items[n] for n in range(15, 30)]),
        firm.page(folder, "3.json", [items[n] for n in range(30, 40)]),
    ]
    cut = folder / "4.json"
    cut.write_bytes(firm.answer([item(50, message(50)), item(51, message(51))])[:-30])
    return [*pages, cut]


class Scene:
    """A prepared home, what is run on it, and what the archive must be afterwards."""

    def __init__(self, folder: Path, work: Callable[[Path], Any], prepare: Callable[[Path], Any]) -> None:
        self.folder, self.work = folder, work
        self.template = folder / "template"
        self.template.mkdir()
        harness.child(lambda: prepare(self.template))
        self.done = self.copy("undisturbed")
        _, (_, self.calls) = harness.child(lambda: work(self.done), trace=True)
        _, self.expected = harness.child(lambda: state(self.done))

    def copy(self, name: str) -> Path:
        path = self.folder / name
        shutil.copytree(self.template, path)
        return path

    def killed_and_run_again(self, point: Point) -> Any:
        at = self.copy(f"{point.number}-{point.after}")
        died, _ = harness.child(lambda: self.work(at), kill_at=point)
        assert died == 9, f"the run ended before {point}"
        harness.child(lambda: self.work(at))
        _, found = harness.child(lambda: state(at))
        _, left = harness.child(lambda: left_behind(at))
        assert left == [], f"left behind a day later, killed {point}"
        shutil.rmtree(at)
        return found


def state(folder: Path) -> dict[str, Any]:
    """Everything readers can see, and that no file is left behind."""
    from pipeline.home import Home
    from pipeline.reader import Reader

    at = Home(folder / "home")
    found: dict[str, Any] = {}
    with Reader(at, firm.CORP) as reader:
        for view in VIEWS:
            rows = [{k: str(v) for k, v in r.items() if k not in TIMES} for r in reader.rows(f"SELECT * FROM {view}")]
            found[view] = sorted(rows, key=repr)
    lake = at.lake(firm.CORP)
    snapshot = lake.snapshot()
    records = lake.read("records", snapshot.of("records"), columns=["leaf", "origin", "seq", "variant", "fate", "fate_no", "code"])
    found["leaves"] = sorted(map(str, records.to_pylist()))
    found["leaf numbers"] = sorted(records["leaf"].to_pylist()) == list(range(records.num_rows))
    for kind in ("sealed", "withheld_sealed", "pending_sealed"):
        found[kind] = sorted(str(s) for s in lake.read(kind, snapshot.of(kind), columns=["seq", "msgid"]).to_pylist())
    listed = {f.path for f in snapshot.files}
    on_disk = {str(p.relative_to(lake.root)) for p in lake.root.rglob("*") if p.is_file() and "_delta_log" not in p.parts}
    found["missing"] = sorted(listed - on_disk)
    found["waiting"] = [p.name for f in (at.landing(firm.CORP), at.staging(firm.CORP)) for p in f.iterdir()]
    return found


def left_behind(folder: Path) -> list[str]:
    """Files of the lake that nothing names, after what a killed run left was swept and a day has passed."""
    from pipeline import clock, purges
    from pipeline.home import Home

    at, real = Home(folder / "home"), clock.now_ms
    clock.now_ms = lambda: real() + 25 * 3_600_000
    purges.run(at, firm.CORP)
    lake = at.lake(firm.CORP)
    on_disk = {str(p.relative_to(lake.root)) for p in lake.root.rglob("*") if p.is_file() and "_delta_log" not in p.parts}
    return sorted(on_disk - {f.path for f in lake.snapshot().files})


def ingest(folder: Path) -> None:
    """The command under test."""
    from pipeline.home import Home

    firm.run(Home(folder / "home"), *sorted(folder.glob("*.json")))


def ingest_in_portions(folder: Path) -> None:
    """An ingest in whose midst files are compacted: a manifest a page, one hot file a kind."""
    from pipeline import compact, stage

    compact.HOT_FILES = stage.FLUSH_ROWS = 1
    ingest(folder)


def prepare_first(folder: Path) -> None:
    firm.home(folder)


def prepare_late_key(folder: Path) -> None:
    firm.home(folder)
    ingest(folder)
    from pipeline.home import Home

    Home(folder / "home").add_key(firm.CORP, 2, firm.pem(2), None)


@pytest.mark.parametrize(
    ("prepare", "work"),
    [
        pytest.param(prepare_first, ingest, id="ingest"),
        pytest.param(prepare_late_key, ingest, id="late key"),
        pytest.param(prepare_first, ingest_in_portions, id="ingest with compactions in it"),
    ],
)
def test_killed_at_any_durable_call_and_run_again_the_archive_is_the_same(
    tmp_path: Path, prepare: Callable[[Path], None], work: Callable[[Path], None], say: Callable[[str], None]
) -> None:
    for version in (1, 2):
        firm.private_key(version)
    pages = tmp_path / "pages"
    pages.mkdir()
    found = source(pages, refused_at=3 if work is ingest_in_portions else 39)

    def prepared(folder: Path) -> None:
        for path in found:
            shutil.copy(path, folder)
        prepare(folder)

    scene = Scene(tmp_path, work, prepared)
    assert scene.expected["missing"] == [] and scene.expected["waiting"] == [] and scene.expected["leaf numbers"]
    assert scene.expected["messages"] and scene.expected["withheld"]
    all_points = harness.points(scene.calls)
    chosen = harness.sampled(all_points, 7, share=4)
    say(f"{len(all_points)} kill points, {len(chosen)} taken: " + ", ".join(sorted(set(scene.calls))))
    for point in sorted(chosen):
        assert scene.killed_and_run_again(point) == scene.expected, f"another archive after being killed {'after' if point.after else 'before'} {point.what}"
