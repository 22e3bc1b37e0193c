"""Hot files are never more than the bound, whoever commits and however long: counted after every commit."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import pipeline
from pipeline import clock, compact, ingest, purges, room, stage
from pipeline.consenting import reconcile
from pipeline.deltalog import CommitConflict, DataFile
from pipeline.home import Home
from pipeline.lake import Lake
from pipeline.rescan import months
from pipeline.source import media_fetch
from pipeline.verify import verify_archive
from tests import firm
from tests.consenting.test_reconcile import disagree, told, undone
from tests.firm import CORP, T0, message, page, run, values
from tests.flow.test_rescan import listed

DAY = 86_400_000
BOUND = 3


class Counted:
    """What the log held after each commit of this process: the most hot files of a kind, the most small ones in a place, and what each was for."""

    def __init__(self) -> None:
        self.hot: list[int] = []
        self.small: list[int] = []
        self.what: list[str] = []

    def after(self, lake: Lake, what: str) -> None:
        files = lake.snapshot().files
        unmoved = Counter(f.kind for f in files if f.bucket == "hot" and f.kind in ("messages", "sealed", "matches", "media"))
        merged = [f for f in files if f.bucket in ("-", "x") and f.size < 8 << 20]
        self.hot.append(max(unmoved.values(), default=0))
        self.small.append(max(Counter((f.kind, f.month, f.lexicon, f.bucket) for f in merged).values(), default=0))
        self.what.append(what)


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> Iterator[Counted]:
    """Counts after every commit."""
    seen, real = Counted(), Lake.commit

    def watched(self: Lake, *args: Any, what: str) -> int:
        version = real(self, *args, what=what)
        seen.after(self, what)
        return version

    monkeypatch.setattr(Lake, "commit", watched)
    yield seen


@pytest.fixture
def narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    """A bound of three, and a manifest for every page."""
    monkeypatch.setattr(compact, "HOT_FILES", BOUND)
    monkeypatch.setattr(stage, "FLUSH_ROWS", 1)


def whole(at: Home) -> None:
    """Nothing lies in the lake that no version names, and a verification finds nothing."""
    purges.run(at, CORP, at_once=True)
    lake = at.lake(CORP)
    on_disk = {str(p.relative_to(lake.root)) for p in lake.root.rglob("*") if p.is_file() and "_delta_log" not in p.parts}
    assert on_disk == {f.path for f in lake.snapshot().files}
    assert [str(f) for f in verify_archive(at.path, CORP, now_ms=clock.now_ms()).findings] == []


def pages(folder: Path, count: int) -> list[Path]:
    """Pages of one message each, every second with a finding, in two months in turn; every third cannot be opened."""
    told = {}
    for n in range(1, count + 1):
        sealed = firm.item(n, message(n, "保本保息" if n % 2 else "你好", at_ms=T0 - (n % 2) * 40 * DAY + n * 1000), version=2 if n % 3 == 0 else 1)
        told[n] = page(folder, f"{n:04}.json", [sealed])
    return list(told.values())


@pytest.mark.slow
@pytest.mark.parametrize(
    ("bound", "count"),
    [pytest.param(BOUND, 7, id="seven pages, a bound of three"), pytest.param(64, 100, id="a hundred pages, the bound as it is", marks=pytest.mark.slow)],
)
def test_one_long_ingest_of_small_portions(bound: int, count: int, tmp_path: Path, counted: Counted, narrow: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compact, "HOT_FILES", bound)
    monkeypatch.setattr(ingest, "PAGES_A_PIPELINE", 40)
    at = firm.home(tmp_path)
    ended = run(at, *pages(tmp_path, count))
    assert ended.summary.archived == count - count // 3 and ended.summary.failed == count // 3
    assert max(counted.hot) <= bound and max(counted.small) <= bound
    assert counted.what.index("compact") < len(counted.what) - 1 - counted.what[::-1].index("settle"), "files were compacted while the ingest went on"
    assert values(at, "select seq from messages order by seq") == [n for n in range(1, count + 1) if n % 3]
    assert values(at, "select count(distinct seq) from matches") == [len([n for n in range(1, count + 1) if n % 2 and n % 3])]
    whole(at)


@pytest.mark.slow
def test_withheld_bytes_of_many_capture_days_are_one_file_a_day_and_few_more(tmp_path: Path, narrow: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """A day's bytes end with the day's own key: they are merged by themselves, but not left to pile up day after day."""
    at, real, n = firm.home(tmp_path), clock.now_ms, 0
    told(at, disagree("wmA", T0 - DAY))
    for day in range(4):
        monkeypatch.setattr(clock, "now_ms", lambda day=day: real() + day * DAY)
        for _ in range(3):
            n += 1
            run(at, page(tmp_path, f"{n}.json", {n: message(n)}))
            files = at.lake(CORP).snapshot().of("withheld_sealed")
            assert len(files) <= day + 1 + BOUND and sum(f.rows for f in files) == n
    assert len({f.month for f in files}) == 4 and next(f.rows for f in sorted(files, key=lambda f: f.month)) == 3
    assert values(at, "select count(*) from withheld") == [12]
    whole(at)


def test_a_page_of_more_months_than_the_bound_goes_straight_into_the_layout(tmp_path: Path, counted: Counted, narrow: None) -> None:
    """Nothing could be compacted before it: its own files are too many."""
    at, plain = firm.home(tmp_path), tmp_path / "old.jsonl"
    run(at, page(tmp_path, "a.json", {1: message(1, "先来的", at_ms=T0 - 60 * DAY)}))
    lines = [message(n, "保本保息", to=[f"wm{n}"], at_ms=T0 - n * 30 * DAY) for n in range(2, 7)]
    plain.write_text("".join(json.dumps(m, ensure_ascii=False) + "\n" for m in lines))
    run(at, plain=[plain])
    files = at.lake(CORP).snapshot().of("messages")
    assert len({f.month for f in files}) == 5 and max(counted.hot) <= BOUND
    assert values(at, "select msgid from messages order by msgid") == ["m1", "m2", "m3", "m4", "m5", "m6"]
    assert len({(f.month, f.bucket) for f in files if f.bucket != "hot"}) == len([f for f in files if f.bucket != "hot"]), "the rows of a bucket lie in one file"
    whole(at)


@pytest.mark.slow
def test_a_commit_that_goes_straight_and_loses_a_race_leaves_nothing(tmp_path: Path, narrow: None, monkeypatch: pytest.MonkeyPatch) -> None:
    at, real, lost = firm.home(tmp_path), Lake.commit, list[int]()

    def late(self: Lake, *args: Any, what: str) -> int:
        if what == "settle" and not lost:
            lost.append(1)
            raise CommitConflict
        return real(self, *args, what=what)

    monkeypatch.setattr(Lake, "commit", late)
    run(at, page(tmp_path, "a.json", {n: message(n, at_ms=T0 - n * 30 * DAY) for n in range(1, 7)}))
    assert lost and values(at, "select seq from messages order by seq") == [1, 2, 3, 4, 5, 6]
    whole(at)


@pytest.mark.slow
def test_every_other_committer(tmp_path: Path, counted: Counted, narrow: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """States of files, findings over several messages, a rescan, a refusal and its undoing, the register: each many times over."""
    at = firm.home(tmp_path)
    file = {"md5sum": "0" * 32, "filename": "a.pdf", "fileext": "pdf", "filesize": 10}
    told_of = {n: message(n, msgtype="file", file={**file, "sdkfileid": f"s{n}"}, at_ms=T0 - (n % 2) * 40 * DAY) for n in (1, 2)}
    run(at, page(tmp_path, "a.json", {**told_of, **{n: message(n, "保本息息", at_ms=T0 - (n % 4) * 31 * DAY + n) for n in range(3, 8)}}))
    state = at.lake(CORP).read("media", at.lake(CORP).snapshot().of("media")).to_pylist()
    for n in range(1, 6):
        media_fetch.append_states(at, CORP, [{**s, "month": f"{s['dt']:%Y-%m}", "state_no": n, "status": "failed"} for s in state])
    for n in range(2):
        at.store_pack("words", listed(f"保本{'息' * n}"))
        months.rescan(at, CORP, workers=1)
    for n in range(2):
        told(at, disagree("wmA", T0 - 400 * DAY), batch=f"b{n}")
        reconcile.run(at, CORP)
        assert values(at, "select count(*) from messages") == [0]
        undone(at, f"b{n}")
        reconcile.run(at, CORP)
        assert values(at, "select count(*) from messages") == [7]
    assert {"media", "rescan", "consent import", "move restricted", "restore", "compact"} <= set(counted.what)
    assert max(counted.hot) <= BOUND and max(counted.small) <= BOUND
    lake = at.lake(CORP)
    numbers = Counter((r["seq"], r["state_no"]) for r in lake.read("media", lake.snapshot().of("media")).to_pylist())
    assert numbers == {(seq, number): 1 for seq in (1, 2) for number in range(6)}, "each state once"
    whole(at)


# -- which commits are held up ---------------------------------------------------------------------------------------


def hot(n: int, kind: str = "messages", month: str = "2026-01", bucket: str = "hot", size: int = 1) -> DataFile:
    return DataFile(path=f"{kind}{month}{bucket}{n}", kind=kind, month=month, bucket=bucket, rows=1, size=size)


@pytest.mark.parametrize(
    ("there", "adds", "removes", "crowded"),
    [
        pytest.param(63, [hot(99)], [], [], id="the sixty-fourth has room"),
        pytest.param(64, [hot(99)], [], [("messages", "", "", "")], id="the sixty-fifth has none"),
        pytest.param(64, [hot(99, month="2026-02")], [], [("messages", "", "", "")], id="of all months together"),
        pytest.param(64, [hot(99)], [hot(0)], [], id="one for one"),
        pytest.param(90, [hot(99)], [hot(0)], [], id="one for one, above the bound already"),
        pytest.param(64, [hot(99, "sealed")], [], [], id="another kind"),
        pytest.param(64, [hot(99, bucket="3")], [], [], id="a compacted file"),
        pytest.param(0, [hot(n, month=f"{2000 + n}-01") for n in range(65)], [], [("messages", "", "", "")], id="too many by itself"),
        pytest.param(0, [hot(n, "records", "-", "-") for n in range(65)], [], [("records", "-", "-", "-")], id="small files of a merged kind"),
        pytest.param(0, [hot(n, "records", "-", "-", 9 << 20) for n in range(65)], [], [], id="large files of a merged kind"),
        pytest.param(0, [hot(n, "withheld_sealed", f"2026-01-{1 + n % 2:02}", "-") for n in range(65)], [], [], id="two capture days, each merged by itself"),
    ],
)  # fmt: skip
def test_which_commits_have_no_room(there: int, adds: list[DataFile], removes: list[DataFile], crowded: list[tuple[str, ...]]) -> None:
    assert sorted(tuple(s) for s in room.too_many([hot(n) for n in range(there)], adds, removes)) == crowded


def test_nobody_reaches_the_log_but_by_the_room_and_by_compaction() -> None:
    """Modules with a function `commit` of their own (room, change) are called by their module's name."""
    root = Path(pipeline.__file__).parent
    sources = {str(p.relative_to(root)): p.read_text("utf-8") for p in root.rglob("*.py")}
    direct = {name for name, text in sources.items() for on in re.findall(r"([\w\])]+)\.commit\(", text) if on not in ("room", "change")}
    assert direct == {"room.py", "compact.py"}
    assert [name for name, text in sources.items() if "create_write_transaction" in text] == ["deltalog.py"]
    assert [name for name, text in sources.items() if ".write_entry(" in text] == ["lake.py"]
