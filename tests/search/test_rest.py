"""What is kept beside large records files says the same as the records themselves, and is not believed when it does not fit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from pipeline import durable, stores
from pipeline.deltalog import DataFile
from pipeline.home import Home
from pipeline.keyring import Keyring
from pipeline.reader import Reader
from pipeline.search import doubled, index, rest
from tests import firm
from tests.firm import T0, message, page, run

DAY = 86_400_000
VIEWS = ("failures", "pending", "withheld", "restricted", "control")


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Home:
    folder = tmp_path_factory.mktemp("rest")
    at = firm.home(folder)
    items = [firm.item(n, message(n, sender="wmX" if n % 3 == 0 else "wmA", to=["zhangsan"])) for n in range(1, 20)]
    items += [firm.item(90, firm.refusal(90, "wmX", "zhangsan", at_ms=T0 - DAY)), firm.item(91, b"{nothing", msgid="m91")]
    run(at, page(folder, "a.json", items))
    durable.make_folder(at.path / "search" / firm.CORP)  # as the maker of indexes does before it
    return at


def told(at: Home) -> dict[str, list[dict[str, Any]]]:
    with Reader(at, firm.CORP) as reader:
        return {view: reader.rows(f"SELECT * FROM {view} ORDER BY ALL") for view in VIEWS}


def by_hand(at: Home) -> dict[str, int]:
    with Reader(at, firm.CORP) as reader:
        rows = reader.rows("SELECT fate, count(*) AS n FROM lake_current_records WHERE fate <> 'archived' GROUP BY fate")
    return {r["fate"]: r["n"] for r in rows}


@pytest.mark.slow
def test_views_of_fates_say_the_same_from_what_is_kept(archive: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rest, "LEAST_ROWS", 1)
    before = told(archive)
    assert {view: len(rows) for view, rows in before.items()} == {"failures": 1, "pending": 0, "withheld": 6, "restricted": 0, "control": 1}
    assert by_hand(archive) == {"failed": 1, "withheld": 6, "control": 1}
    index.build(archive, firm.CORP)
    boxes = kept(archive)
    assert boxes
    monkeypatch.setattr(rest, "from_file", None)  # what is kept is enough
    assert told(archive) == before
    monkeypatch.undo()
    for path in boxes:
        path.write_bytes(path.read_bytes()[:-3])
    monkeypatch.setattr(rest, "LEAST_ROWS", 1)
    assert told(archive) == before
    assert rest.build(archive, firm.CORP) == len(boxes) and told(archive) == before


def test_only_the_newest_of_a_record_is_handed_on() -> None:
    """Whoever may not see that a record was withheld at last must not be told that it failed still."""
    found = [
        ("sealed", 7, "", 0, "failed"), ("sealed", 7, "", 1, "withheld"),  # its key came
        ("sealed", 8, "", 0, "failed"),  # stands
        ("sealed", 8, "second", 0, "failed"), ("plain", 7, "", 0, "failed"),  # other records
        ("sealed", 9, "", 0, "failed"), ("sealed", 9, "", 2, "archived"), ("sealed", 9, "", 1, "pending"),
        ("sealed", None, "a", 0, "failed"), ("sealed", None, "b", 0, "failed"), ("sealed", None, "b", 1, "control"), ("sealed", 0, "b", 0, "failed"),
    ]  # fmt: skip
    fields = ("origin", "seq", "variant", "fate_no", "fate")
    rows = pa.table({name: pa.array([row[i] for row in found], rest.columns().field(name).type) for i, name in enumerate(fields)})
    assert [tuple(row.values()) for row in rest.newest(rows).to_pylist()] == [
        ("sealed", 7, "", 1, "withheld"),
        ("sealed", 8, "", 0, "failed"),
        ("sealed", 8, "second", 0, "failed"),
        ("plain", 7, "", 0, "failed"),
        ("sealed", 9, "", 2, "archived"),
        ("sealed", None, "a", 0, "failed"),
        ("sealed", None, "b", 1, "control"),
        ("sealed", 0, "b", 0, "failed"),
    ]
    assert rest.newest(rows.slice(0, 0)).num_rows == 0
    assert [tuple(row.values()) for row in rest.later(rows).to_pylist()] == [  # each of them, where pages are counted
        ("sealed", 7, "", 1, "withheld"), ("sealed", 9, "", 2, "archived"), ("sealed", 9, "", 1, "pending"), ("sealed", None, "b", 1, "control"),
    ]  # fmt: skip


@pytest.mark.slow
def test_the_screen_counts_as_the_view_does(archive: Home, tmp_path: Path) -> None:
    """The view compares every record; the screen adds up what is kept and what the log says."""
    at = firm.home(tmp_path)
    items = [firm.item(n, message(n, sender="wmX" if n % 3 == 0 else "wmA", to=["zhangsan"])) for n in range(1, 20)]
    items += [firm.item(90, b"{nothing", msgid="m90"), firm.item(91, b"{nothing", msgid="m91")]
    run(at, page(tmp_path, "a.json", items))
    run(at, page(tmp_path, "b.json", [firm.item(95, firm.refusal(95, "wmX", "zhangsan", at_ms=T0 - DAY))]))  # known late: 6 messages are restricted
    assert counted(archive) == {"landed": 21, "archived": 13, "active": 13, "pending": 0, "withheld": 6, "failed": 1, "control": 1, "duplicate": 0, "restricted": 0, "removed": 0}
    assert counted(at) == {"landed": 22, "archived": 19, "active": 13, "pending": 0, "withheld": 0, "failed": 2, "control": 1, "duplicate": 0, "restricted": 6, "removed": 0}
    for home in (archive, at):
        with Reader(home, firm.CORP) as reader:
            (view,) = reader.rows("SELECT * EXCLUDE (corp_id) FROM counts")
            pages = reader.rows("SELECT * FROM page_fates")
        assert counted(home) == view
        assert {fate: sum(page[fate] for page in pages) for fate in view} == view


def counted(at: Home) -> dict[str, int]:
    lake = at.lake(firm.CORP)
    snapshot = lake.snapshot()
    return rest.counts(rest.rows_of(at.path, lake, snapshot), snapshot.rows("records"))


def test_what_was_kept_with_other_columns_is_read_anew(archive: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rest, "LEAST_ROWS", 1)
    before = told(archive)
    now = rest.columns()
    with monkeypatch.context() as earlier:
        earlier.setattr(rest, "columns", lambda: pa.schema([f for f in now if f.name != "policy_version"]))
        for path in kept(archive):
            path.unlink()
        assert rest.build(archive, firm.CORP)
    assert told(archive) == before
    assert rest.build(archive, firm.CORP) == len(kept(archive))


def test_findings_that_stand_several_times_are_kept_while_they_fit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    at = firm.home(tmp_path)
    run(at, page(tmp_path, "a.json", [firm.item(n, message(n, sender="zhangsan", to=["wmA"], text="保证收益，稳赚不赔")) for n in range(1, 4)]))
    lake = at.lake(firm.CORP)
    snapshot = lake.snapshot()
    rows = lake.read("matches", snapshot.of("matches"))
    again = rows.slice(0, 1).set_column(rows.schema.get_field_index("lexicon_version"), "lexicon_version", pa.array(["older"], pa.string()))
    lake.commit(snapshot, [lake.write(again, "matches", month=snapshot.of("matches")[0].month, lexicon="older")], (), what="test")
    snapshot = lake.snapshot()
    monkeypatch.setattr(doubled, "LEAST_ROWS", 1)
    index.build(at, firm.CORP)
    assert sorted(doubled.looked_up(lake, snapshot)["finding_id"].to_pylist()) == [rows["finding_id"][0].as_py()] * 2
    found = doubled.kept(at.path, lake, snapshot)
    assert found is not None and found.equals(doubled.looked_up(lake, snapshot))
    file = doubled.place(at.path, firm.CORP)
    assert b"older" not in file.read_bytes()
    box = file.read_bytes()
    file.write_bytes(box[:-1])
    assert doubled.kept(at.path, lake, snapshot) is None
    file.write_bytes(box)
    lake.commit(snapshot, [lake.write(rows.slice(1, 1), "matches", month=snapshot.of("matches")[0].month, lexicon="other")], (), what="test")
    assert doubled.kept(at.path, lake, lake.snapshot()) is None
    index.purge(at, firm.CORP, ())
    assert not file.exists()


def test_what_is_kept_is_gone_with_its_file_and_shows_nothing(archive: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rest, "LEAST_ROWS", 1)
    rest.build(archive, firm.CORP)
    other = archive.path / "search" / firm.CORP / f"{'0' * 64}.rest"
    other.write_bytes(kept(archive)[0].read_bytes())
    rest.build(archive, firm.CORP)
    assert not other.exists()
    assert not any(b"m91" in p.read_bytes() or b"withheld" in p.read_bytes() for p in kept(archive))


def test_an_erasure_takes_what_is_kept_and_ends_its_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By a marker planted in a record that is kept there: gone from the home, and whoever copied the boxes before cannot open them any more."""
    monkeypatch.setattr(rest, "LEAST_ROWS", 1)
    monkeypatch.setattr(doubled, "LEAST_ROWS", 1)
    at = firm.home(tmp_path)
    items = [firm.item(n, message(n, text="保证收益，稳赚不赔")) for n in range(1, 4)] + [firm.item(9, b"{nothing", msgid="PLANTED-9")]
    run(at, page(tmp_path, "a.json", items))
    index.build(at, firm.CORP)
    (box,) = kept(at)
    copies = {path: path.read_bytes() for path in (box, doubled.place(at.path, firm.CORP))}
    lake = at.lake(firm.CORP)
    snapshot = lake.snapshot()
    (records,) = rest.wanted(snapshot)
    assert opens_to(at, records) == ["PLANTED-9"]

    for _ in range(2):  # killed before its end, it is called again
        stores.purge(at, firm.CORP, {("sealed", 1)})
        assert not any(path.exists() for path in copies)
    for path, data in copies.items():
        path.write_bytes(data)
    (records,) = rest.wanted(lake.snapshot())
    assert opens_to(Home(at.path), records) is None and doubled.kept(at.path, Home(at.path).lake(firm.CORP), snapshot) is None
    assert [r["msgid"] for r in told(Home(at.path))["failures"]] == ["PLANTED-9"]  # the record is there still, and read itself
    index.build(at, firm.CORP)
    assert opens_to(at, records) == ["PLANTED-9"] and box.read_bytes() != copies[box]


def opens_to(at: Home, records: DataFile) -> list[str | None] | None:
    """The ids that the box beside a file of records holds, None when it does not open."""
    lake = at.lake(firm.CORP)
    rows = rest.kept(at.path, lake, lake.snapshot(), records)
    return None if rows is None else rows["msgid"].to_pylist()


@pytest.mark.parametrize("killed", ["next_generation", "destroy"])
def test_an_erasure_that_was_killed_ends_the_key_all_the_same(tmp_path: Path, killed: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rest, "LEAST_ROWS", 1)
    at = firm.home(tmp_path)
    run(at, page(tmp_path, "a.json", [firm.item(9, b"{nothing", msgid="PLANTED-9")]))
    index.build(at, firm.CORP)
    (box,) = kept(at)
    copy, unit = box.read_bytes(), doubled.unit(firm.CORP)
    assert at.keyring.names(unit) == [f"{unit}#0"]
    with monkeypatch.context() as patched:
        patched.setattr(Keyring, killed, lambda *_: pytest.fail("killed"))
        with pytest.raises(BaseException, match="killed"):
            rest.purge(at.path, at.lake(firm.CORP))
    rest.purge(at.path, at.lake(firm.CORP))
    assert kept(at) == [] and f"{unit}#0" not in Home(at.path).keyring.names(unit)
    box.write_bytes(copy)
    assert opens_to(Home(at.path), rest.wanted(at.lake(firm.CORP).snapshot())[0]) is None


def kept(at: Home) -> list[Path]:
    return sorted((at.path / "search" / firm.CORP).glob("*.rest"))
