"""What was made from the lake says from what: it is used while it fits, and made again when it does not."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from pipeline import compact, ingest, schema, stamps, stores
from pipeline.deltalog import Snapshot
from pipeline.home import Home
from pipeline.lake import Lake
from pipeline.stamps import Stamp, digest, judge, stamp
from tests import firm
from tests.firm import CORP, T0, message, page, run
from tests.flow.test_compact import entry

MAKER = "counts/1"


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("stamps")
    at = firm.home(folder)
    run(at, page(folder, "a.json", {n: message(n, "保本保息") for n in range(1, 4)}))
    return at.path


@pytest.fixture
def at(template: Path, tmp_path: Path) -> Home:
    return Home(Path(shutil.copytree(template, tmp_path / "home")))


def verdict(found: Stamp | None, snapshot: Snapshot, maker: str = MAKER) -> str:
    return judge(found, maker, snapshot, snapshot.of("messages"))


def made(lake: Lake) -> Stamp:
    snapshot = lake.snapshot()
    return stamp(MAKER, snapshot, snapshot.of("messages"))


def ack(at: Home) -> None:
    rows = schema.table("acks", {"what": ["nothing"], "until_leaf": [-1], "reason": ["r"], "actor": ["a"], "at": [T0]})
    ingest.append(at, CORP, [("acks", rows)], what="test")


def test_the_digest_of_inputs_is_that_of_paths_and_sizes() -> None:
    # printf 'messages2026-01hot1 7\nmessages2026-01hot2 7\n' | sha256sum
    files = [entry("messages", "2026-01", "hot", n=n, size=7) for n in (2, 1)]
    assert digest(files) == "f1f7245a57a6954257eb83362cc5f142d44060c5defaa16b0032e4afc02b96dc"
    assert digest(files) == digest(files[::-1]) != digest([*files, entry("messages", "2026-01", "hot", n=3, size=7)])
    assert digest(files) != digest([entry("messages", "2026-01", "hot", n=n, size=8) for n in (1, 2)])


def test_it_fits_until_its_inputs_change(at: Home, tmp_path: Path) -> None:
    lake = at.lake(CORP)
    found = made(lake)
    assert verdict(found, lake.snapshot()) == "fits"
    ack(at)
    assert verdict(found, lake.snapshot()) == "fits", "a commit that touched none of its inputs"
    assert verdict(found, lake.snapshot(), "counts/2") == "other maker"
    run(at, page(tmp_path, "b.json", {9: message(9)}))
    assert verdict(found, lake.snapshot()) == "other inputs"


@pytest.mark.parametrize("change", [pytest.param("compact", id="compacted"), pytest.param("purge", id="a record erased")])
def test_it_does_not_fit_files_that_were_written_anew(at: Home, change: str) -> None:
    lake = at.lake(CORP)
    found = made(lake)
    if change == "compact":
        compact.run(at, CORP)
    else:
        stores.purge(at, CORP, {("sealed", 2)})
    assert verdict(found, lake.snapshot()) == "other inputs"


def test_it_does_not_fit_another_table_nor_an_older_log_that_was_put_back(at: Home, tmp_path: Path) -> None:
    lake = at.lake(CORP)
    log = lake.root / "_delta_log"
    shutil.copytree(log, tmp_path / "log")
    ack(at)
    found = made(lake)
    shutil.rmtree(log)
    shutil.copytree(tmp_path / "log", log)
    assert verdict(found, lake.snapshot()) == "later head"
    (tmp_path / "other").mkdir()
    assert verdict(found, firm.home(tmp_path / "other").lake(CORP).snapshot()) == "other table"


@pytest.mark.parametrize(
    "left",
    [
        pytest.param(None, id="none"), pytest.param(b"", id="empty"), pytest.param(b'{"maker":"counts/1"', id="torn"), pytest.param(b"{}", id="other form"),
    ],
)  # fmt: skip
def test_a_stamp_that_cannot_be_read_fits_nothing(at: Home, tmp_path: Path, left: bytes | None) -> None:
    path, lake = tmp_path / "stamp.json", at.lake(CORP)
    stamps.put(path, made(lake))
    assert verdict(stamps.read(path), lake.snapshot()) == "fits"
    stamps.take(path)
    if left is not None:
        path.write_bytes(left)
    assert verdict(stamps.read(path), lake.snapshot()) == "no stamp"
