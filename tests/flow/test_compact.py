"""Compaction: the same rows in fewer files, whoever reads meanwhile; old files and old keys end, and no clock destroys anything."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa
import pytest

from pipeline import audit, clock, compact, generations, layout, manifests, purges, schema, stores
from pipeline.deltalog import DataFile
from pipeline.errors import VerifyFailed
from pipeline.home import Home
from pipeline.ingest import append
from pipeline.keyring import FileMaster, Keyring
from pipeline.lake import Lake
from pipeline.layout import bucket_of, cuts
from pipeline.reader import Reader
from tests import firm
from tests.firm import CORP, item, message, recall, refusal, run, values

DAY = 86_400_000
MINUTE = 60_000
STEP = 480 * MINUTE


# -- the layout --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("conversation", "bucket"),
    [
        # first digit of `printf wrROOM | sha256sum`, and so on
        pytest.param("wrROOM", "a", id="a room"),
        pytest.param("wmA|zhangsan", "d", id="a pair: the outside id"),
        pytest.param("lisi|wmA", "d", id="the same customer with another employee"),
        pytest.param("wmA|wmB", "d", id="two outside ids: the smaller"),
        pytest.param("woA|zhangsan", "1", id="an id that begins with wo"),
        pytest.param("lisi|zhangsan", "1", id="nobody from outside: the conversation"),
        pytest.param("zhangsan", "8", id="one person alone"),
        pytest.param("", "e", id="nothing"),
    ],
)
def test_a_conversation_lies_in_the_bucket_of_its_room_or_customer(conversation: str, bucket: str) -> None:
    assert bucket_of(conversation) == bucket


@pytest.mark.parametrize(
    ("days", "groups"),
    [
        pytest.param([2048], [2048], id="a day that fits"),
        pytest.param([2049], [2048, 1], id="a day that is one too long"),
        pytest.param([5000, 3000], [2048, 2048, 904, 2048, 952], id="long days end their groups"),
        pytest.param([10, 20, 30], [60], id="short days share a group"),
        pytest.param([2000, 40, 20], [2040, 20], id="a day is not cut to fill a group"),
        pytest.param([1, 5000], [1, 2048, 2048, 904], id="a short day before a long one"),
        pytest.param([], [], id="no rows"),
    ],
)
def test_row_groups_end_with_days(days: list[int], groups: list[int]) -> None:
    column = [n for n, rows in enumerate(days) for _ in range(rows)]
    assert [rows for _, rows in cuts("messages", pa.table({"dt": pa.array(column, pa.int32())}))] == groups


# -- an archive with everything in it ----------------------------------------------------------------------------


def archive(folder: Path) -> Home:
    """Ingests of three months: recalls, refusals, a room, a file, findings, an unknown time, a late key, an import that its original outranks."""
    at = firm.home(folder)
    plain = folder / "old.jsonl"
    plain.write_text(json.dumps({"seq": 900, "message": message(7, "第7句 保本保息", sender="e1", to=["wm3"], at_ms=firm.T0 - 75 * DAY)}) + "\n")
    run(at, plain=[plain])
    for month in range(3):
        first, then = month * 100, firm.T0 - (75 - 30 * month) * DAY
        told = {
            first + n: message(first + n, f"第{n}句 保本保息" if n % 7 == 0 else f"第{n}句", sender=f"e{n % 3}", to=[f"wm{n % 4}"], at_ms=then + n * STEP)
            for n in range(1, 31)
        }  # fmt: skip
        told[first + 7] = message(7, "第7句 保本保息", sender="e1", to=["wm3"], at_ms=firm.T0 - 75 * DAY) if month == 0 else told[first + 7]
        told[first + 8] = message(first + 8, "没有时间", msgtime=0)
        told[first + 9] = message(first + 9, "群里说", sender="e1", to=["wm1", "e2"], room="wrROOM", at_ms=then)
        told[first + 10] = {**recall(first + 10, f"m{first + 4}", sender="e1", to=["wm0"]), "msgtime": then + 11 * STEP}
        told[first + 11] = refusal(first + 11, "wm2", "e2", at_ms=then + 15 * STEP)
        file = {"md5sum": "0" * 32, "filename": "合同.pdf", "fileext": "pdf", "filesize": 10, "sdkfileid": "s"}
        told[first + 12] = {**message(first + 12, sender="e0", to=["wm0"], at_ms=then + 12 * STEP), "msgtype": "file", "file": file}
        items = [item(n, m, version=2 if n % 100 == 20 else 1) for n, m in told.items()]
        run(at, firm.page(folder, f"{month}a.json", items[:18]), firm.page(folder, f"{month}b.json", items[18:]))
        if month == 1:
            at.add_key(CORP, 2, firm.pem(2), None)
    return at


VALUES = {"from": "2026-01-01", "to": "2026-12-31", "customer": "wm0", "employee": "e1"}
AUDITS: dict[str, dict[str, str]] = {"customer-conversations": {"customer": "wm0"}, "findings-of-employee": {"employee": "e1"}}


def everything(at: Home, corp: str = CORP) -> dict[str, Any]:
    """All that can be asked: every view and every audit, as bags of rows."""
    with Reader(at, corp) as reader:
        return _views(reader) | _audits(reader)


def seen(at: Home) -> dict[str, Any]:
    """Every view as a bag of rows: all that the audits are asked of."""
    with Reader(at, CORP) as reader:
        return _views(reader)


def _views(reader: Reader) -> dict[str, Any]:
    return {view: Counter(map(repr, reader.rows(f"SELECT * FROM {view}"))) for view in audit.view_columns()}


def _audits(reader: Reader) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for asked in audit.load_audits():
        needed = [p.name for p in asked.meta.parameters if p.default is msgspec.UNSET]
        given = {name: {**VALUES, **AUDITS.get(asked.name, {})}[name] for name in needed}
        found[f"audit {asked.name}"] = Counter(map(repr, audit.run(reader.connection, asked, audit.bind(asked, given))[1]))
    return found


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    at = archive(tmp_path_factory.mktemp("archive"))
    purges.run(at, CORP, at_once=True)
    return at.path


@pytest.fixture(scope="module")
def asked(template: Path) -> dict[str, Any]:
    """What the views show before anything happens to the archive."""
    return seen(Home(template))


@pytest.fixture(scope="module")
def compacted_template(template: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same archive, compacted; the old files wait."""
    at = Home(Path(shutil.copytree(template, tmp_path_factory.mktemp("compacted") / "home")))
    compact.run(at, CORP)
    return at.path


@pytest.fixture
def home(template: Path, tmp_path: Path) -> Home:
    return Home(Path(shutil.copytree(template, tmp_path / "home")))


@pytest.fixture
def compacted(compacted_template: Path, tmp_path: Path) -> Home:
    return Home(Path(shutil.copytree(compacted_template, tmp_path / "home")))


@pytest.fixture
def later(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Sets the clock of the lists ahead (milliseconds)."""
    real = clock.now_ms

    def ahead(ms: int) -> None:
        monkeypatch.setattr(clock, "now_ms", lambda: real() + ms)

    return ahead


def on_disk(lake: Lake) -> set[str]:
    return {str(p.relative_to(lake.root)) for p in lake.root.rglob("*") if p.is_file() and "_delta_log" not in p.parts}


def named(lake: Lake) -> set[str]:
    return {f.path for f in lake.snapshot().files}


def test_every_view_and_audit_is_the_same_after_compaction(home: Home) -> None:
    before, lake = everything(home), home.lake(CORP)
    assert all(before[v] for v in ("messages", "matches_all", "media", "withheld", "control", "pulls", "audit coverage", "audit findings-by-category"))
    done = compact.run(home, CORP)
    files = lake.snapshot().files
    assert done.steps and not done.left and not [f for f in files if f.bucket == "hot"]
    assert everything(home) == before
    assert {f.bucket for f in files if f.kind == "matches"} == {"one"}
    assert {f.bucket for f in files if f.kind in ("messages", "media")} <= set(layout.BUCKETS)
    assert {f.bucket for f in files if f.kind == "sealed"} <= {*layout.BUCKETS, "x"}
    assert max(Counter((f.kind, f.month, f.bucket, f.lexicon) for f in files).values()) == 1
    for file in files:
        lake.check(file)
    again = lake.snapshot().version
    assert compact.run(home, CORP) == compact.Compacted() and lake.snapshot().version == again


def test_rows_lie_sorted_in_their_bucket_with_statistics_and_no_text_among_them(compacted: Home) -> None:
    lake = compacted.lake(CORP)
    for file in lake.snapshot().of("messages"):
        rows = lake.read("messages", [file]).to_pylist()
        keys = [(r["dt"], r["conversation_id"], r["sent_at"] is None, r["sent_at"] or r["captured_at"], r["seq"]) for r in rows]
        assert keys == sorted(keys) and {bucket_of(r["conversation_id"]) for r in rows} == {file.bucket}
        assert file.stats == {"seq": (min(r["seq"] for r in rows), max(r["seq"] for r in rows))} and file.rows == len(rows)
        (fragment,) = lake.dataset("messages", [file]).get_fragments()
        fragment.ensure_complete_metadata()
        assert fragment.metadata is not None
        group = fragment.metadata.row_group(0)
        with_statistics = {group.column(n).path_in_schema for n in range(group.num_columns) if group.column(n).is_stats_set}
        assert with_statistics == set(schema.kind("messages").statistics)


@pytest.mark.slow
def test_what_comes_after_a_compaction_is_moved_into_the_same_files(compacted: Home, tmp_path: Path) -> None:
    home = compacted
    before = {f.path for f in home.lake(CORP).snapshot().of("messages")}
    run(home, firm.page(tmp_path, "more.json", {901: message(901, "保本保息", sender="e1", to=["wm1"])}))
    told = seen(home)
    compact.run(home, CORP)
    assert seen(home) == told and values(home, "select count(*), count(distinct msgid) from messages where msgid = 'm901'") == [(1, 1)]
    after = home.lake(CORP).snapshot().of("messages")
    assert len({(f.month, f.bucket) for f in after}) == len(after)
    assert len({f.path for f in after} - before) == 1, "only the bucket of the one conversation is written again"


def test_what_loses_rows_keeps_the_row_groups_of_its_kind(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(layout.GROUP_ROWS, "messages", 2)
    compact.run(home, CORP)
    lake = home.lake(CORP)
    before = {f.path for f in lake.snapshot().files}
    stores.purge(home, CORP, {("sealed", n) for n in (2, 103, 214)})
    anew = [f for f in lake.snapshot().of("messages") if f.path not in before and f.rows > 2]
    assert anew, "none of the three lay beside others"
    for file in anew:
        with lake.opened(file) as opened:
            assert {opened.metadata.row_group(n).num_rows for n in range(opened.metadata.num_row_groups)} <= {1, 2}


@pytest.mark.slow
def test_rows_are_read_in_ranges_and_a_day_that_is_too_large_by_groups_of_buckets(home: Home, asked: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    ranges = []
    monkeypatch.setattr(compact, "_SAMPLE_ROWS", 1)
    monkeypatch.setattr(compact, "RANGE_BYTES", 500)
    read = compact._read

    def told(readers: Any, kind: str, wanted: Any) -> Any:
        ranges.append((kind, wanted))
        return read(readers, kind, wanted)

    monkeypatch.setattr(compact, "_read", told)
    compact.run(home, CORP)
    assert seen(home) == asked
    assert any(r.span.low is not None and r.span.high is not None for _, r in ranges) and any(r.buckets for _, r in ranges)
    assert {k for k, r in ranges if r.span.low is not None} >= {"messages", "sealed", "matches"}


@pytest.mark.parametrize("rows_a_group", [1, 2, 100])
@pytest.mark.parametrize(
    ("low", "high", "seqs"),
    [
        pytest.param(None, None, [None, 1, 2, 3, 4, None], id="all, those without a number too"),
        pytest.param(None, 2, [1, 2], id="up to two"),
        pytest.param(2, 3, [3], id="above two, up to three"),
        pytest.param(2, None, [None, 3, 4, None], id="the last span holds what has no number"),
        pytest.param(9, None, [None, None], id="nothing but what has none"),
        pytest.param(8, 9, [], id="nothing"),
    ],
)
def test_a_file_is_read_by_spans(tmp_path: Path, low: int | None, high: int | None, seqs: list[int | None], rows_a_group: int) -> None:
    lake = firm.home(tmp_path).lake(CORP)
    some: dict[str, Any] = {"string": "s", "binary": b"b", "timestamp_ms": 1}
    other: dict[str, Any] = {c.name: [None if c.null else some[c.type]] * 6 for c in schema.kind("sealed").columns}
    table = schema.table("sealed", {**other, "seq": [None, 1, 2, 3, 4, None]})
    file = lake.write(table, "sealed", month="2026-03", bucket="hot", group_rows=rows_a_group)
    reader = layout.FileReader(lake, file)
    for _ in range(2):  # the second time with the footer it kept
        found = [seq for part in reader.tables("seq", layout.Span(low, high)) for seq in part["seq"].to_pylist()]
        assert sorted(found, key=str) == sorted(seqs, key=str)


@pytest.mark.parametrize(("values", "most", "ends"), [
    pytest.param([], 3, [None], id="nothing"),
    pytest.param([1, 2, 3], 3, [None], id="all of it fits"),
    pytest.param([1, 1, 2, 2, 3, 3], 3, [1, 2, None], id="a second day would be too much"),
    pytest.param([1, 1, 2, 2, 3], 3, [1, None], id="the last two fit"),
    pytest.param([1, 1, 2, 3, 3], 3, [2, None], id="two days fit"),
    pytest.param([1, 1, 1, 1, 2], 3, [1, None], id="a day that is too large by itself"),
    pytest.param([1, 2, 2, 2, 2], 3, [1, None], id="the last day is too large"),
    pytest.param([1, 1, 1, 1], 3, [None], id="one day that is too large"),
    pytest.param([1, 2, 3, 4, 5, 6, 7], 3, [3, 6, None], id="each value once"),
])  # fmt: skip
def test_a_range_ends_with_the_last_day_that_fits(values: list[int], most: int, ends: list[int | None]) -> None:
    assert list(compact._ends(pa.array(values, pa.int64()), most)) == ends


@pytest.mark.slow
def test_a_month_with_too_many_row_groups_is_written_a_few_buckets_at_a_time(home: Home, asked: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    groups = []
    monkeypatch.setattr(compact, "OPEN_CHUNKS", 20)
    monkeypatch.setitem(layout.GROUP_ROWS, "messages", 16)
    write = compact._write_some

    def told(lake: Lake, step: Any, inputs: Any, group: Any, token: str, written: list[DataFile]) -> None:
        groups.append((step.kind, step.month, group))
        write(lake, step, inputs, group, token, written)

    monkeypatch.setattr(compact, "_write_some", told)
    compact.run(home, CORP)
    assert seen(home) == asked
    # What has no time of its own lies in the month of today, which may be one more, and a small one.
    of = {m: [g for k, at, g in groups if (k, at) == ("messages", m)] for m in ("2026-09", "2026-10", "2026-11")}
    assert all(max(map(len, shares)) < 16 and set[str]().union(*shares) == set(layout.BUCKETS) for shares in of.values())


def test_small_files_of_the_other_kinds_are_merged_and_no_row_of_theirs_changes(home: Home) -> None:
    lake = home.lake(CORP)
    kinds = [k for k in schema.KINDS if not layout.buckets_of(k)]
    before = {k: Counter(map(repr, lake.read(k, lake.snapshot().of(k)).to_pylist())) for k in kinds}
    many = {k for k, n in Counter(f.kind for f in lake.snapshot().files).items() if n > 1 and k in ("records", "pages", "consent", "recalls", "runs")}
    assert many == {"records", "pages", "consent", "recalls", "runs"}
    leaf = lake.snapshot().next_leaf
    compact.run(home, CORP)
    snapshot = lake.snapshot()
    assert {k: Counter(map(repr, lake.read(k, snapshot.of(k)).to_pylist())) for k in kinds} == before
    assert all(len(snapshot.of(k)) == 1 for k in many) and snapshot.next_leaf == leaf


# -- when ----------------------------------------------------------------------------------------------------------


def entry(kind: str, month: str = "-", bucket: str = "-", *, size: int = 1, lexicon: str = "-", n: int = 0) -> DataFile:
    return DataFile(path=f"{kind}{month}{bucket}{n}", kind=kind, month=month, bucket=bucket, lexicon=lexicon, rows=1, size=size)


class Listed:
    """A version of the archive, by its files alone."""

    def __init__(self, files: list[DataFile]) -> None:
        self.files = tuple(files)


@pytest.mark.parametrize(
    ("files", "steps"),
    [
        pytest.param([entry("messages", "2026-01", "hot", n=n) for n in range(64)], [], id="64 hot files may stay"),
        pytest.param([entry("messages", "2026-01", "hot", n=n) for n in range(65)], [("messages", "2026-01", "-", "")], id="65 may not"),
        pytest.param(
            [entry("messages", f"2026-0{1 + n % 2}", "hot", n=n) for n in range(65)],
            [("messages", "2026-01", "-", ""), ("messages", "2026-02", "-", "")], id="of all months together, the fuller month first",
        ),
        pytest.param(
            [*(entry("messages", "2026-01", "hot", n=n) for n in range(65)), entry("media", "2026-01", "hot"), entry("media", "2026-02", "hot")],
            [("messages", "2026-01", "-", ""), ("media", "2026-01", "-", "")], id="a month is compacted for all kinds",
        ),
        pytest.param([entry("messages", "2026-01", "3", n=n) for n in range(100)], [], id="compacted files are not hot"),
        pytest.param([entry("records", n=n) for n in range(65)], [("records", "-", "-", "-")], id="small files of a kind that is merged"),
        pytest.param([entry("records", n=n, size=9_000_000) for n in range(99)], [], id="large files stay"),
        pytest.param([entry("sealed", "2026-01", "x", n=n) for n in range(65)], [("sealed", "2026-01", "-", "x")], id="unopened bytes stay in x"),
        pytest.param([entry("withheld_sealed", f"2026-01-{1 + n % 2:02}", n=n) for n in range(66)], [], id="a capture day is merged by itself"),
        pytest.param(
            [entry("withheld_sealed", f"2026-01-{1 + n % 2:02}", n=n) for n in range(67)],
            [("withheld_sealed", "2026-01-01", "-", "-"), ("withheld_sealed", "2026-01-02", "-", "-")], id="days that hold too many together are merged, each by itself",
        ),
        pytest.param([entry("withheld_sealed", f"day {n}", n=n) for n in range(200)], [], id="one a day is what there has to be"),
        pytest.param(
            [*(entry("pending_sealed", f"month {n // 4}", n=n) for n in range(88)), entry("pending_sealed", "month 22", n=88)],
            [("pending_sealed", f"month {n}", "-", "-") for n in sorted(range(22), key=str)], id="months of records that wait too",
        ),
    ],
)  # fmt: skip
def test_what_is_due(files: list[DataFile], steps: list[tuple[str, ...]]) -> None:
    assert [tuple(s) for s in compact.due(Listed(files))] == steps  # type: ignore[arg-type]  # its files are all that is asked


def test_without_time_nothing_is_done_and_what_is_left_is_said(home: Home) -> None:
    before = named(home.lake(CORP))
    done = compact.run(home, CORP, budget_s=0)
    assert done.left > 5 and named(home.lake(CORP)) == before
    assert compact.run(home, CORP).steps == done.left


# -- old files and their keys -----------------------------------------------------------------------------------------


def test_old_files_stay_ten_minutes_and_a_reader_of_an_older_version_goes_on(home: Home, later: Any) -> None:
    lake, query = home.lake(CORP), "SELECT * FROM messages ORDER BY origin, seq"
    with Reader(home, CORP) as reader:
        told = reader.rows(query)
        old = named(lake)
        compact.run(home, CORP)
        assert purges.run(home, CORP) == 0 and old <= on_disk(lake)
        assert reader.rows(query) == told
        later(9 * MINUTE)
        assert purges.run(home, CORP) == 0 and old <= on_disk(lake)
        later(11 * MINUTE)
        assert purges.run(home, CORP) == len(old - named(lake))
        assert on_disk(lake) == named(lake) and not list(purges.folder(home, CORP).iterdir())
        assert reader.rows(query) == told and reader.arrow(query).num_rows == len(told)  # re-opened, once


@pytest.mark.slow
@pytest.mark.parametrize(
    "step", [pytest.param("_connect", id="it opens"), pytest.param("_register", id="it looks at a kind"), pytest.param("_with", id="it asks")]
)
def test_erasures_that_follow_each_other_while_a_reader(home: Home, monkeypatch: pytest.MonkeyPatch, step: str) -> None:
    told, real = firm.values(home, "select seq from messages order by seq"), getattr(Reader, step)
    gone, todo = told[:4], told[:4]

    def erase_first(*asked: Any) -> Any:
        if todo:
            stores.purge(home, CORP, {("sealed", todo.pop())})
        return real(*asked)

    monkeypatch.setattr(Reader, step, erase_first)
    with Reader(home, CORP) as asking:
        found = asking.rows("SELECT seq FROM messages ORDER BY seq")
    assert not todo and [r["seq"] for r in found] == [n for n in told if n not in gone]


@pytest.mark.slow
@pytest.mark.parametrize(
    "narrowed", [pytest.param(lambda r: r._only(), id="messages"), pytest.param(lambda r: r.of_findings([], date(2026, 1, 1), date(2027, 1, 1)), id="findings")]
)
def test_a_reader_whose_files_went_before_a_question_is_narrowed_looks_at_the_newest_version_whole(home: Home, later: Any, narrowed: Any) -> None:
    with Reader(home, CORP) as reader:
        opened = reader.snapshot.version
        compact.run(home, CORP)
        later(11 * MINUTE)
        assert purges.run(home, CORP)
        with narrowed(reader):
            assert reader.snapshot.version > opened
            found = reader.rows("SELECT seq FROM messages ORDER BY seq"), reader.rows("SELECT finding_id FROM matches ORDER BY 1")
        again = reader.rows("SELECT seq FROM messages ORDER BY seq"), reader.rows("SELECT finding_id FROM matches ORDER BY 1")
    assert found == again == (firm.rows(home, "SELECT seq FROM messages ORDER BY seq"), firm.rows(home, "SELECT finding_id FROM matches ORDER BY 1"))
    assert found[0] and found[1]


def test_a_file_that_is_missing_without_a_reason_is_still_an_error(home: Home) -> None:
    lake = home.lake(CORP)
    with Reader(home, CORP) as reader:
        for file in lake.snapshot().of("messages")[1:]:
            (lake.root / file.path).unlink()
        with pytest.raises(Exception, match=r"No such file|not there any more"):
            reader.rows("SELECT text FROM messages")


def test_superseded_imports_and_reopened_bytes_go_through_the_same_list(tmp_path: Path, later: Any) -> None:
    at = firm.home(tmp_path)
    run(at, firm.page(tmp_path, "a.json", [item(1, message(1)), item(2, message(2), version=2)]))
    lake = at.lake(CORP)
    (old,) = [f.path for f in lake.snapshot().of("sealed", buckets=["x"])]
    at.add_key(CORP, 2, firm.pem(2), None)
    assert run(at).summary.reopened == 1
    assert old not in named(lake) and old in on_disk(lake)
    later(11 * MINUTE)
    assert run(at).summary.landed == 0
    assert old not in on_disk(lake) and on_disk(lake) == named(lake)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("ahead", "then", "gone"),
    [
        pytest.param(-DAY, 0, False, id="set back a day: it waits"),
        pytest.param(365 * DAY, 0, False, id="forward a year: it waits, too"),
        pytest.param(4 * DAY, 0, True, id="four days later"),
        pytest.param(0, 365 * DAY, False, id="written while a year ahead: ten minutes from then"),
    ],
)
def test_no_clock_destroys_what_the_newest_version_names(home: Home, asked: dict[str, Any], later: Any, ahead: int, then: int, gone: bool) -> None:
    lake, old = home.lake(CORP), named(home.lake(CORP))
    later(then)
    compact.run(home, CORP)
    later(ahead)
    purges.run(home, CORP)
    assert (old - named(lake)).isdisjoint(on_disk(lake)) == gone
    assert named(lake) <= on_disk(lake)
    if then:
        later(11 * MINUTE)
        assert purges.run(home, CORP) > 0
    later(0)
    assert seen(home) == asked


def test_a_list_that_names_what_is_committed_destroys_nothing(home: Home, asked: dict[str, Any]) -> None:
    snapshot = home.lake(CORP).snapshot()
    purges.note(home, CORP, snapshot, snapshot.files, token="0" * 16)
    assert purges.run(home, CORP, at_once=True) == 0
    assert not list(purges.folder(home, CORP).iterdir()) and seen(home) == asked


def test_what_nothing_names_goes_a_day_later_and_no_staged_file_with_it(home: Home, later: Any) -> None:
    from pipeline import landing
    from pipeline.workbench import Workbench

    lake = home.lake(CORP)
    rows = lake.read("messages", lake.snapshot().of("messages")[:1])
    left = lake.write(rows, "messages", month="2026-11", bucket="hot").path
    part = f"{left.rsplit('/', 1)[0]}/.0123456789abcdef.part"
    (lake.root / part).write_bytes(b"PARE")
    torn = f"_delta_log/{9:020d}.json#1"
    (lake.root / torn).write_bytes(b"{}")
    bench = Workbench(home, CORP, lake.snapshot())
    ref = landing.put(home, CORP, firm.answer([item(991, message(991))]), source="file", name="a", captured_at_ms=clock.now_ms())
    builder = bench.builder()
    builder.add(bench.walk(bench.landing(ref)))
    assert purges.sweep(home, CORP) == 3 and purges.sweep(home, CORP) == 0, "what is listed is not listed again"
    assert builder.flush() is not None  # staged between the sweep and its day
    assert purges.sweep(home, CORP) == 0
    later(23 * 60 * MINUTE)
    assert purges.run(home, CORP) == 0 and {left, part} <= on_disk(lake)
    later(25 * 60 * MINUTE)
    assert purges.run(home, CORP) == 3 and not {left, part} & on_disk(lake) and not (lake.root / torn).exists()
    assert run(home).summary.archived == 1


def test_a_sweep_does_not_hold_what_was_committed_and_taken_out_since(home: Home) -> None:
    lake, snapshot = home.lake(CORP), home.lake(CORP).snapshot()
    file = lake.write(lake.read("acks", []).slice(0, 0), "acks")
    assert purges.sweep(home, CORP) == 1  # a worker had written it, and named it nowhere yet
    lake.commit(snapshot, [file], [], what="test")
    snapshot = lake.snapshot()
    noted = purges.note(home, CORP, snapshot, [file])
    purges.begin(home, CORP, noted, version=lake.commit(snapshot, [], [file], what="test"))
    assert purges.run(home, CORP, at_once=True) >= 1 and file.path not in on_disk(lake)


def test_a_file_that_was_swept_too_early_is_staged_again(home: Home, later: Any) -> None:
    """A worker that is slower than a day: its file is listed, its manifest comes, the file is named again and stays."""
    from pipeline import landing
    from pipeline.workbench import Workbench

    bench = Workbench(home, CORP, home.lake(CORP).snapshot())
    ref = landing.put(home, CORP, firm.answer([item(992, message(992))]), source="file", name="a", captured_at_ms=clock.now_ms())
    builder = bench.builder()
    builder.add(bench.walk(bench.landing(ref)))
    manifest = builder.flush()
    assert manifest is not None
    hidden = manifest.with_name("aside")
    manifest.rename(hidden)  # its files are there, its manifest is not yet
    assert purges.sweep(home, CORP) > 0
    hidden.rename(manifest)
    later(25 * 60 * MINUTE)
    assert purges.run(home, CORP) == 0
    manifest.rename(hidden)
    purges.sweep(home, CORP)
    later(50 * 60 * MINUTE)
    assert purges.run(home, CORP) > 0
    hidden.rename(manifest)
    assert run(home).summary.archived == 1 and values(home, "select seq from messages where seq = 992") == [992]


def hot_keys(at: Home) -> set[str]:
    return {n.split("/m/")[1] for n in at.keyring.names(f"{CORP}/m/") if "/hot" in n}


def test_the_key_of_an_emptied_month_ends_with_its_last_file_and_copies_die(home: Home) -> None:
    lake = home.lake(CORP)
    months = {f.month for f in lake.snapshot().files if f.bucket == "hot"}
    copy = next(f for f in lake.snapshot().of("messages"))
    data = (lake.root / copy.path).read_bytes()
    compact.run(home, CORP)
    assert hot_keys(home) == {f"{m}/hot{second}#{g}" for m in months for second in ("", "!2") for g in (0, 1)}
    purges.run(home, CORP, at_once=True)
    assert hot_keys(home) == {f"{m}/hot{second}#1" for m in months for second in ("", "!2")}
    (lake.root / copy.path).write_bytes(data)
    fresh = Lake(lake.root, CORP, Keyring(home.keyring.path, FileMaster(home.path / "keys" / "master.key")))
    with pytest.raises(Exception, match=r"destroyed|not in the keyring"):
        fresh.read("messages", [copy])


@pytest.mark.slow
def test_a_key_waits_for_files_that_were_staged_under_it(home: Home, tmp_path: Path) -> None:
    """A worker staged before the compaction; its manifest is committed after it: not a row may be lost."""
    from pipeline import commit, landing
    from pipeline.workbench import Workbench

    bench = Workbench(home, CORP, home.lake(CORP).snapshot())
    ref = landing.put(home, CORP, firm.answer([item(990, message(990, at_ms=firm.T0))]), source="file", name="a", captured_at_ms=clock.now_ms())
    builder = bench.builder()
    builder.add(bench.walk(bench.landing(ref)))
    assert builder.flush() is not None
    compact.run(home, CORP)
    purges.run(home, CORP, at_once=True)
    assert "2026-11/hot#0" in hot_keys(home)
    commit.commit_all(home, CORP, commit.Run(run_id="late"))
    assert values(home, "select text from messages where seq = 990") == ["你好"]
    compact.run(home, CORP)
    purges.run(home, CORP, at_once=True)
    assert "2026-11/hot#0" not in hot_keys(home) and values(home, "select text from messages where seq = 990") == ["你好"]


def test_a_file_whose_key_has_ended_is_not_committed(home: Home) -> None:
    lake = home.lake(CORP)
    file = lake.write(lake.read("messages", lake.snapshot().of("messages")[:1]), "messages", month="2026-11", bucket="hot")
    compact.run(home, CORP)
    purges.run(home, CORP, at_once=True)
    with pytest.raises(VerifyFailed, match="not in the keyring any more"):
        lake.commit(lake.snapshot(), [file], [], what="test")


def test_an_erasure_reaches_old_files_that_wait(compacted: Home, template: Path) -> None:
    home, lake, old = compacted, compacted.lake(CORP), named(Home(template).lake(CORP))
    stores.purge(home, CORP, {("sealed", 1)})
    purges.run(home, CORP, at_once=True)
    assert on_disk(lake) == named(lake) and not old - named(lake) & on_disk(lake)
    assert values(home, "select seq from messages where origin = 'sealed' and seq = 1") == []


# -- races ---------------------------------------------------------------------------------------------------------------


@pytest.fixture
def between(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Lets something happen between the writing of a compaction's files and its commit, once."""
    real = compact.write
    todo: list[Any] = []

    def written(*args: Any) -> Any:
        files = real(*args)
        if todo:
            todo.pop()()
        return files

    monkeypatch.setattr(compact, "write", written)
    yield todo.append


@pytest.mark.slow
def test_a_commit_that_comes_between_costs_nothing_when_the_inputs_are_still_there(home: Home, asked: dict[str, Any], between: Any) -> None:
    written: list[int] = []
    between(lambda: written.append(append(home, CORP, [("acks", ack())], what="test")))
    compact.run(home, CORP)
    found = seen(home)
    assert written and found == asked


def ack() -> pa.Table:
    return schema.table("acks", {"what": ["nothing"], "until_leaf": [-1], "reason": ["r"], "actor": ["a"], "at": [firm.T0]})


def test_an_erasure_that_comes_between_is_not_undone(home: Home, between: Any) -> None:
    seq = values(home, "select min(seq) from messages where origin = 'sealed'")[0]
    between(lambda: stores.purge(home, CORP, {("sealed", n) for n in range(1, 400)}))
    compact.run(home, CORP)
    lake = home.lake(CORP)
    assert seq and values(home, "select count(*) from messages where origin = 'sealed'") == [0]
    assert [f for f in lake.snapshot().files if f.kind in ("messages", "sealed") and f.rows and f.bucket == "hot"] == []
    purges.run(home, CORP, at_once=True)
    assert on_disk(lake) == named(lake)


@pytest.mark.slow
@pytest.mark.parametrize("number", [0, 1, 3])
def test_an_erasure_while_files_get_their_names_leaves_none_of_them(home: Home, number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """It has looked which files bear the token on its list when one of them gets its name, so it misses that one, and takes those not yet finished."""
    real, look = layout.FileWriter.close, purges._left_by
    closed: list[layout.FileWriter] = []

    def close(writer: layout.FileWriter) -> DataFile:
        closed.append(writer)
        if len(closed) != number + 1:
            return real(writer)
        finished: list[DataFile] = []

        def left_by(lake: Lake, listed: purges.PurgeList) -> list[str]:
            found = look(lake, listed)
            if not finished:
                finished.append(real(writer))
            return found

        with monkeypatch.context() as only:
            only.setattr(purges, "_left_by", left_by)
            stores.purge(home, CORP, {("sealed", n) for n in range(1, 400)})
        return finished[0]

    monkeypatch.setattr(layout.FileWriter, "close", close)
    compact.run(home, CORP)
    lake = home.lake(CORP)
    assert len(closed) > number + 1 and values(home, "select count(*) from messages where origin = 'sealed'") == [0]
    purges.run(home, CORP, at_once=True)
    assert on_disk(lake) == named(lake)


@pytest.mark.slow
@pytest.mark.parametrize("number", [0, 1, 5, 20])
def test_an_erasure_while_a_compaction_reads_is_not_undone(home: Home, number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its inputs go under its hands, and their key with them."""
    real, opened = layout.FileReader.tables, [0]

    def tables(reader: layout.FileReader, *args: Any) -> Iterator[pa.Table]:
        opened[0] += 1
        for table in real(reader, *args):
            if opened[0] == number + 1:
                opened[0] += 1
                stores.purge(home, CORP, {("sealed", n) for n in range(1, 400)})
            yield table

    monkeypatch.setattr(layout.FileReader, "tables", tables)
    compact.run(home, CORP)
    lake = home.lake(CORP)
    assert opened[0] > number + 1 and values(home, "select count(*) from messages where origin = 'sealed'") == [0]
    purges.run(home, CORP, at_once=True)
    assert on_disk(lake) == named(lake)


@pytest.mark.slow
def test_another_compaction_that_comes_between_wins_and_nothing_is_there_twice(home: Home, asked: dict[str, Any], between: Any) -> None:
    between(lambda: compact.run(home, CORP))
    compact.run(home, CORP)
    assert seen(home) == asked
    lake = home.lake(CORP)
    purges.run(home, CORP, at_once=True)
    assert on_disk(lake) == named(lake) and seen(home) == asked


@pytest.mark.slow
def test_files_of_a_compaction_that_slept_too_long_are_written_again(home: Home, asked: dict[str, Any], between: Any) -> None:
    """Its list came due while it slept; what it had written was unlinked with it."""
    between(lambda: purges.run(home, CORP, at_once=True))
    compact.run(home, CORP)
    assert seen(home) == asked
    purges.run(home, CORP, at_once=True)
    assert on_disk(home.lake(CORP)) == named(home.lake(CORP))


def test_generations_are_held_by_a_file_whose_key_cannot_be_told(compacted: Home) -> None:
    home, lake = compacted, compacted.lake(CORP)
    month = "2026-11"
    with manifests.files_held(home, CORP):
        assert generations.retire(lake, [*lake.snapshot().files, f"kind=messages/month={month}/bucket=hot/lexicon=-/gone.parquet"])
    assert f"{month}/hot#0" in hot_keys(home)

