"""What is kept beside large records files says the same as the records themselves, and is not believed when it does not fit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from pipeline.home import Home
from pipeline.reader import Reader
from pipeline.search import index, rest
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
    return at


def told(at: Home) -> dict[str, list[dict[str, Any]]]:
    with Reader(at, firm.CORP) as reader:
        return {view: reader.rows(f"SELECT * FROM {view} ORDER BY ALL") for view in VIEWS}


def by_hand(at: Home) -> dict[str, int]:
    with Reader(at, firm.CORP) as reader:
        rows = reader.rows("SELECT fate, count(*) AS n FROM lake_current_records WHERE fate <> 'archived' GROUP BY fate")
    return {r["fate"]: r["n"] for r in rows}


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


def test_what_is_kept_is_gone_with_its_file_and_shows_nothing(archive: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rest, "LEAST_ROWS", 1)
    rest.build(archive, firm.CORP)
    other = archive.path / "search" / firm.CORP / f"{'0' * 64}.rest"
    other.write_bytes(kept(archive)[0].read_bytes())
    rest.build(archive, firm.CORP)
    assert not other.exists()
    assert not any(b"m91" in p.read_bytes() or b"withheld" in p.read_bytes() for p in kept(archive))


def kept(at: Home) -> list[Path]:
    return sorted((at.path / "search" / firm.CORP).glob("*.rest"))
