"""Every store that holds content is registered, and what is purged is nowhere any more."""

from __future__ import annotations

import json
from pathlib import Path

from pipeline import landing, schema, stores
from pipeline.home import FOLDERS
from tests import firm
from tests.firm import home, item, message, page, run, values


def test_every_kind_is_a_store_or_listed_as_free_of_content() -> None:
    assert set(schema.KINDS) == set(stores.LAKE_KINDS) | set(stores.CONTENT_FREE)
    assert not set(stores.LAKE_KINDS) & set(stores.CONTENT_FREE)


def test_a_kind_with_readable_or_sealed_bytes_is_a_store() -> None:
    telling = {"text", "parts", "raw", "envelope", "plaintext", "matched_text", "file_name", "sdkfileid"}
    for name in schema.KINDS:
        if telling & set(schema.kind(name).arrow.names):
            assert name in stores.LAKE_KINDS, name


def test_every_folder_of_a_home_is_a_store_or_listed_as_free_of_content() -> None:
    top = {f.split("/")[0] for f in FOLDERS}
    assert top == set(stores.REGISTRY) | set(stores.CONTENT_FREE_FOLDERS)


def test_purged_records_are_in_no_file_and_do_not_come_back(tmp_path: Path) -> None:
    at = home(tmp_path)
    saved = page(tmp_path, "a.json", {n: message(n, f"保本保息 {n}") for n in range(1, 6)})
    plain = tmp_path / "old.jsonl"
    plain.write_text(json.dumps({"seq": 2, "message": message(12, "旧")}) + "\n")
    run(at, saved, plain=[plain])
    lost = stores.purge(at, firm.CORP, {("sealed", 2), ("sealed", 4)})
    assert lost["lake"] == 2 * 4  # messages, sealed, and two findings: the term, and the shorter one inside it
    assert values(at, "select origin, seq from messages order by origin, seq") == [("imported", 2), ("sealed", 1), ("sealed", 3), ("sealed", 5)]
    lake = at.lake(firm.CORP)
    on_disk = {str(p.relative_to(lake.root)) for p in lake.root.rglob("*.parquet")}
    assert on_disk == {f.path for f in lake.snapshot().files}
    assert run(at, saved).summary.landed == 0
    assert stores.purge(at, firm.CORP, {("sealed", 2), ("sealed", 4)}) == {"staging": 0, "landing": 0, "media": 0, "lake": 0, "search": 0, "alerts": 0}


def test_records_that_wait_in_the_landing_are_purged_too(tmp_path: Path) -> None:
    at = home(tmp_path)
    landing.put(at, firm.CORP, firm.answer(item(n, message(n)) for n in (1, 2, 3)), source="file", name="a", captured_at_ms=firm.T0)
    assert stores.purge(at, firm.CORP, {("sealed", 2)})["landing"] == 1
    assert run(at).summary.archived == 2
    assert values(at, "select seq from messages order by seq") == [1, 3]
