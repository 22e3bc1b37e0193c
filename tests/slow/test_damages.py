"""Seeded damages to a small real archive: each is found by `verify --archive`, and what it says names the right thing.

The archive holds every fate, an import, masked text, a file, a key that came late, pages that wait, staged files, a custody log. The undamaged
archive has no finding, so whatever is found is the damage. Forgeries are made with the product's own writer and valid keys.
"""

from __future__ import annotations

import json
import os
import random
import shutil
from collections.abc import Callable, Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pytest

from pipeline import anchors, clock, ingest, lakerows, landing
from pipeline.consent_events import events_from_import
from pipeline.deltalog import DataFile
from pipeline.home import Home
from pipeline.lake import Lake
from pipeline.verify import verify_archive
from pipeline.verify_report import Finding
from pipeline.workbench import Workbench
from tests import firm
from tests.cli.liuhen import liuhen
from tests.firm import CORP, T0, item, message, recall, refusal

pytestmark = pytest.mark.slow
LOG = f"lake/{CORP}/_delta_log"
# The archive has 28 leaves (the test of the undamaged one counts them).
ALL = "leaf 0-27"
# Which records wait, by the first of them: a page that waits, a staged one, an import.
WAITING = {60: "seq 60-61", 62: "seq 62-63", 70: "seq 70-70"}


class Damage(NamedTuple):
    """codes: one of these must be found; named: stands in that finding; records: which records it must say are concerned."""

    codes: tuple[str, ...]
    named: str
    records: str = ""


Apply = Callable[[Path, random.Random], Damage]
TABLE: dict[str, Apply] = {}


def damage(times: int = 1) -> Callable[[Apply], Apply]:
    """Put a damage into the table, so many times, each with a seed of its own."""

    def put(function: Apply) -> Apply:
        for n in range(times):
            TABLE[f"{function.__name__}-{n}"] = function
        return function

    return put


# -- the archive ---------------------------------------------------------------------------------------------------


def recorded(at: Home, command: str, work: Callable[[], Any]) -> None:
    """What the command line does around every command."""
    at.custody.append(command=command, phase="start", params={"corp": CORP})
    work()
    at.custody.append(command=command, phase="end", params={}, result="done")


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The undamaged archive; `old/` beside it holds keyrings of earlier times."""
    folder = tmp_path_factory.mktemp("damages")
    at = firm.home(folder)
    old = folder / "old"
    old.mkdir()
    for name in ("keys/keyring.json", "custody/keyring.seen"):
        shutil.copy(at.path / name, old / f"first-{Path(name).name}")
    unreadable = json.dumps({"userid": "lisi", "external_userid": "wmP", "status": "Maybe", "changed_at": T0 // 1000}).encode()
    events, _ = events_from_import([unreadable], recorded_at_ms=T0, batch="b", document_digest=None)
    recorded(at, "consent import", lambda: ingest.append(at, CORP, [("consent", lakerows.consent_table(events))], what="consent import"))
    plain = folder / "old.jsonl"
    plain.write_text("".join(json.dumps(m, ensure_ascii=False) + "\n" for m in (message(1, "旧档"), message(90, "只在旧档"))))
    recorded(at, "ingest", lambda: firm.run(at, plain=[plain]))
    shutil.copy(at.path / "keys/keyring.json", old / "second-keyring.json")
    picture: dict[str, Any] = {"msgtype": "image", "image": {"sdkfileid": "x", "md5sum": "0" * 32, "filesize": 10}}
    first = firm.page(folder, "a.json", [
        item(1, message(1, "旧档")), item(2, message(2, "手机13800138000")), item(3, message(3, **picture)),
        item(4, message(4, "拒绝之后的话", at_ms=T0 + 60_000)), item(5, refusal(5, at_ms=T0 + 30_000)), item(6, recall(6, "m4")),
        item(7, message(7, "等钥匙", to=["wmB"]), version=2), item(8, message(2, "手机13800138000")), item(9, message(2, "另一句")),
        item(11, b"\xff", msgid="m11"), item(12, message(12, "群里 保本保息", room="r1", to=["wmB", "lisi"])),
        item(13, message(13, "状态不明", sender="lisi", to=["wmP"])), item(14, recall(14, "m12", to=["wmB"])),
    ])  # fmt: skip
    recorded(at, "ingest", lambda: firm.run(at, first))
    at.add_key(CORP, 2, firm.pem(2), None)
    last_month = {n: message(n, f"上月第{n}句", sender="e1", to=["wmC"], at_ms=T0 - 40 * 86_400_000 + n) for n in range(30, 40)}
    recorded(at, "ingest", lambda: firm.run(at, firm.page(folder, "b.json", last_month)))
    _leave_work(at)
    return at.path


def _leave_work(at: Home) -> None:
    """A page that waits, one that is staged, an import that waits."""
    bench = Workbench(at, CORP, at.lake(CORP).snapshot())
    for name, numbers in (("waits", (60, 61)), ("staged", (62, 63))):
        ref = landing.put(at, CORP, firm.answer(item(n, message(n, "还没入档")) for n in numbers), source="file", name=name, captured_at_ms=clock.now_ms())
    builder = bench.builder()
    builder.add(bench.walk(bench.landing(ref)))
    assert builder.flush() is not None
    landing.put_import(at, CORP, b"\x90", name="import", captured_at_ms=clock.now_ms(), seqs=[70], records=1)


# -- means ---------------------------------------------------------------------------------------------------------


def lake_of(home: Path) -> Lake:
    return Home(home).lake(CORP)


def active(home: Path) -> list[DataFile]:
    return sorted(lake_of(home).snapshot().files, key=lambda f: (f.kind, f.month, f.path.rsplit("-", 1)[0].rsplit("/", 1)[0], f.rows))


def pick(home: Path, rng: random.Random) -> DataFile:
    return rng.choice(active(home))


def concerned(home: Path, file: DataFile) -> str:
    """Which records lie in a file, by what the product itself reads from it while it is whole."""
    rows = lake_of(home).read(file.kind, [file])
    if "seq" in rows.column_names and rows["seq"].null_count < rows.num_rows:
        seqs = [s for s in rows["seq"].to_pylist() if s is not None]
        return f"{file.kind} seq {min(seqs)}-{max(seqs)}"
    if "last_seq" in rows.column_names:
        lasts = [s for s in rows["last_seq"].to_pylist() if s is not None]
        return f"{file.kind} seq {min(lasts)}-{max(lasts)}" if lasts else file.kind
    return file.kind


def settled(home: Path, version: int) -> str:
    """Which leaves an entry of the log settled, "" when none, by the rows of `records` it added."""
    files = [f for f in lake_of(home).snapshot().of("records") if f.path in {a["add"]["path"] for a in _adds(home / LOG / f"{version:020d}.json")}]
    leaves = [n for f in files for n in lake_of(home).read("records", [f])["leaf"].to_pylist()]
    return f"leaf {min(leaves)}-{max(leaves)}" if leaves else ""


def settled_from(home: Path, version: int) -> str:
    """Which leaves an entry and those after it settled, "" when none."""
    leaves = [int(n) for v in range(version, len(entries(home))) if (told := settled(home, v)) for n in told.removeprefix("leaf ").split("-")]
    return f"leaf {min(leaves)}-{max(leaves)}" if leaves else ""


def entries(home: Path) -> list[Path]:
    return sorted((home / LOG).glob("*.json"))


def flip(path: Path, rng: random.Random, low: int = 0, high: int | None = None) -> None:
    """Flip one bit of one byte."""
    data = bytearray(path.read_bytes())
    data[rng.randrange(low, len(data) if high is None else high)] ^= 1 << rng.randrange(8)
    path.write_bytes(data)


def cut(path: Path, rng: random.Random) -> None:
    os.truncate(path, rng.randrange(path.stat().st_size))


def edited(path: Path, change: Callable[[list[dict[str, Any]]], None]) -> None:
    """Rewrite a log entry as whoever edits it would."""
    actions = [json.loads(line) for line in path.read_bytes().splitlines()]
    change(actions)
    path.write_bytes(b"".join(json.dumps(a, separators=(",", ":")).encode() + b"\n" for a in actions))


def edit_some(home: Path, rng: random.Random, change: Callable[[list[dict[str, Any]], list[dict[str, Any]]], None]) -> Damage:
    """Change one entry that adds files, by (its actions, those of them that add); return what must be told: the entry, and what it had settled."""
    having = [p for p in entries(home) if b'"add"' in p.read_bytes()]
    path = rng.choice(having)
    records = settled(home, int(path.stem))
    edited(path, lambda actions: change(actions, [a for a in actions if "add" in a]))
    return Damage(("LOG_ENTRY_EDITED",), f"version={int(path.stem)}", records)


def anchored_anew(home: Path) -> None:
    """What a forger does who knows of the anchors: throws them away and has them made again."""
    at = lake_of(home)
    anchors.path_of(at.root).unlink()
    anchors.catch_up(at.root, int(entries(home)[-1].stem), home / "keys/keyring.json")


def forged(home: Path, kind: str, change: Callable[[pa.Table], pa.Table], *, where: Callable[[DataFile], bool] = lambda f: True) -> DataFile:
    """Replace one file of a kind by another one with valid keys, in a commit that looks like any other."""
    lake = lake_of(home)
    snapshot = lake.snapshot()
    file = max((f for f in snapshot.of(kind) if where(f)), key=lambda f: (f.rows, f.path.split("/")[1]))
    table = change(lake.read(kind, [file]))
    made = [lake.write(table, kind, month=file.month, bucket=file.bucket, lexicon=file.lexicon)] if table.num_rows else []
    lake.commit(snapshot, made, [file], what="settle")
    lake.purge([file])
    return file


def having_seq(home: Path, kind: str, seq: int) -> Callable[[DataFile], bool]:
    """The file of a kind that holds a seq of the sealed origin."""
    lake = lake_of(home)
    holds = {f.path for f in lake.snapshot().of(kind) if ("sealed", seq) in {(r["origin"], r["seq"]) for r in lake.read(kind, [f]).select(["origin", "seq"]).to_pylist()}}
    return lambda f: f.path in holds


def without_seq(seq: int) -> Callable[[pa.Table], pa.Table]:
    def change(table: pa.Table) -> pa.Table:
        keep = [(o, s) != ("sealed", seq) for o, s in zip(table["origin"].to_pylist(), table["seq"].to_pylist(), strict=True)]
        assert not all(keep)
        return table.filter(pa.array(keep))

    return change


def with_value(column: str, value: Callable[[Any], Any], seq: int | None = None) -> Callable[[pa.Table], pa.Table]:
    """Change a column in the row of a seq (or in every row)."""

    def change(table: pa.Table) -> pa.Table:
        at = table.column_names.index(column)
        seqs = table["seq"].to_pylist() if seq is not None else [None] * table.num_rows
        values = [value(v) if s == seq else v for v, s in zip(table[column].to_pylist(), seqs, strict=True)]
        assert values != table[column].to_pylist()
        return table.set_column(at, table.schema.field(at), pa.array(values, table.schema.field(at).type))

    return change


# -- bytes ---------------------------------------------------------------------------------------------------------


@damage(40)
def a_byte_of_a_lake_file_is_flipped(home: Path, rng: random.Random) -> Damage:
    file = pick(home, rng)
    records = concerned(home, file)
    flip(home / "lake" / CORP / file.path, rng)
    return Damage(("FILE_CHANGED",), file.path, records)


@damage(12)
def a_byte_of_a_log_entry_is_flipped(home: Path, rng: random.Random) -> Damage:
    path = rng.choice(entries(home))
    records = settled(home, int(path.stem))
    flip(path, rng)
    return Damage(("LOG_ENTRY_EDITED",), f"version={int(path.stem)}", records)


@damage(12)
def a_byte_of_the_keyring_is_flipped(home: Path, rng: random.Random) -> Damage:
    flip(home / "keys/keyring.json", rng)
    return Damage(("KEYRING_DAMAGED", "KEYRING_MASTER_MISMATCH"), "", ALL)


@damage(12)
def a_byte_of_the_custody_log_is_flipped(home: Path, rng: random.Random) -> Damage:
    path = home / "custody/000001.jsonl"
    lines = path.read_bytes().splitlines(keepends=True)
    number = rng.randrange(len(lines) - 1)  # the newest line is chained to by none: docs/verify.md
    start = sum(map(len, lines[:number]))
    flip(path, rng, start, start + len(lines[number]))
    return Damage(("CUSTODY_BROKEN",), "")


@damage(12)
def a_byte_of_the_anchors_is_flipped(home: Path, rng: random.Random) -> Damage:
    flip(home / f"anchors/{CORP}.jsonl", rng)
    return Damage(("ANCHORS_BROKEN",), "")


@damage(4)
def a_byte_of_the_enterprise_keys_is_flipped(home: Path, rng: random.Random) -> Damage:
    flip(home / f"keys/enterprise/{CORP}.keys", rng)
    return Damage(("BOX_DAMAGED",), f"enterprise/{CORP}.keys")


@damage(6)
def a_byte_of_a_landed_page_is_flipped(home: Path, rng: random.Random) -> Damage:
    path = rng.choice(sorted((home / "landing" / CORP).glob("*.page")))
    flip(path, rng, path.read_bytes().index(b"\n"))
    return Damage(("PAGE_DAMAGED",), path.name, WAITING[int(path.name[:20])])


@damage(6)
def a_byte_of_a_staged_box_is_flipped(home: Path, rng: random.Random) -> Damage:
    path = rng.choice(sorted([*(home / "staging" / CORP).glob("*.outline"), *(home / "staging" / CORP).glob("*.page")]))
    flip(path, rng, path.read_bytes().index(b"\n") if path.suffix == ".page" else 0)
    return Damage(("STAGED_DAMAGED",), path.name, WAITING[70 if path.suffix == ".page" else 62])


@damage(8)
def a_lake_file_is_cut(home: Path, rng: random.Random) -> Damage:
    file = pick(home, rng)
    records = concerned(home, file)
    cut(home / "lake" / CORP / file.path, rng)
    return Damage(("FILE_CHANGED",), file.path, records)


@damage(4)
def a_log_entry_is_cut(home: Path, rng: random.Random) -> Damage:
    path = rng.choice(entries(home))
    records = settled(home, int(path.stem))
    cut(path, rng)
    return Damage(("LOG_ENTRY_EDITED",), f"version={int(path.stem)}", records)


@damage(2)
def the_keyring_is_cut(home: Path, rng: random.Random) -> Damage:
    cut(home / "keys/keyring.json", rng)
    return Damage(("KEYRING_DAMAGED",), "", ALL)


@damage(3)
def the_custody_log_is_cut(home: Path, rng: random.Random) -> Damage:
    path = home / "custody/000001.jsonl"
    lines = path.read_bytes().splitlines(keepends=True)
    kept = rng.randrange(len(lines) - 2)  # the last commit saw all but the last line
    path.write_bytes(b"".join(lines[:kept]))
    return Damage(("CUSTODY_OLDER",), f"n={kept}")


@damage(3)
def the_anchors_are_cut(home: Path, rng: random.Random) -> Damage:
    path = home / f"anchors/{CORP}.jsonl"
    lines = path.read_bytes().splitlines(keepends=True)
    kept = rng.randrange(len(lines) - 2)
    path.write_bytes(b"".join(lines[:kept]))
    return Damage(("ANCHORS_BEHIND",), f"versions={kept}-{len(lines) - 1}")


# -- whole files -----------------------------------------------------------------------------------------------------


@damage(16)
def a_lake_file_is_missing(home: Path, rng: random.Random) -> Damage:
    file = pick(home, rng)
    records = concerned(home, file)
    (home / "lake" / CORP / file.path).unlink()
    return Damage(("FILE_MISSING",), file.path, records)


@damage(10)
def two_lake_files_are_swapped(home: Path, rng: random.Random) -> Damage:
    files = rng.sample(active(home), 2)
    records = {f.path.rsplit("/", 1)[1]: concerned(home, f) for f in files}
    one, two = (home / "lake" / CORP / f.path for f in files)
    aside = one.with_suffix(".aside")
    one.rename(aside)
    two.rename(one)
    aside.rename(two)
    named = rng.choice((one, two)).name
    return Damage(("FILE_CHANGED",), named, records[named])


@damage(3)
def two_log_entries_are_swapped(home: Path, rng: random.Random) -> Damage:
    one, two = rng.sample(entries(home), 2)
    records = {p: settled(home, int(p.stem)) for p in (one, two)}
    first, second = one.read_bytes(), two.read_bytes()
    one.write_bytes(second)
    two.write_bytes(first)
    named = rng.choice((one, two))
    return Damage(("LOG_ENTRY_EDITED",), f"version={int(named.stem)}", records[named])


@damage(4)
def a_log_entry_is_missing(home: Path, rng: random.Random) -> Damage:
    path = rng.choice(entries(home)[:-1])
    records = settled(home, int(path.stem))
    path.unlink()
    return Damage(("LOG_ENTRY_MISSING",), f"versions={int(path.stem)}", records)


def _missing(name: str, code: str, records: str = "") -> None:
    def apply(home: Path, rng: random.Random) -> Damage:
        (home / name).unlink()
        return Damage((code,), "", records)

    TABLE[f"missing {name}"] = apply


_missing("keys/keyring.json", "KEYRING_MISSING", ALL)
_missing("keys/master.key", "MASTER_KEY_MISSING", ALL)
_missing("custody/000001.jsonl", "CUSTODY_OLDER")
_missing("custody/head.json", "CUSTODY_HEAD")
_missing("custody/keyring.seen", "WITNESS_DAMAGED")
_missing(f"anchors/{CORP}.jsonl", "ANCHORS_MISSING")


@damage()
def the_log_is_missing(home: Path, rng: random.Random) -> Damage:
    shutil.rmtree(home / LOG)
    return Damage(("LOG_MISSING",), "", ALL)


@damage()
def the_master_key_can_be_read_by_others(home: Path, rng: random.Random) -> Damage:
    (home / "keys/master.key").chmod(0o640)
    return Damage(("MASTER_KEY_EXPOSED",), "0640", ALL)


@damage(2)
def another_master_key_is_there(home: Path, rng: random.Random) -> Damage:
    import base64

    (home / "keys/master.key").write_bytes(base64.b64encode(rng.randbytes(32)))
    return Damage(("KEYRING_MASTER_MISMATCH",), "", ALL)


@damage()
def an_old_keyring_is_put_back(home: Path, rng: random.Random) -> Damage:
    shutil.copy(home.parent.parent / "old/second-keyring.json", home / "keys/keyring.json")
    return Damage(("KEYRING_OLD",), "", "leaf 2-27")  # it was kept after the two imports


@damage()
def an_old_keyring_is_put_back_with_its_witness(home: Path, rng: random.Random) -> Damage:
    shutil.copy(home.parent.parent / "old/first-keyring.json", home / "keys/keyring.json")
    shutil.copy(home.parent.parent / "old/first-keyring.seen", home / "custody/keyring.seen")
    return Damage(("KEYRING_OLD",), "", ALL)


@damage()
def an_old_keyring_lacks_keys_and_the_records_are_named(home: Path, rng: random.Random) -> Damage:
    shutil.copy(home.parent.parent / "old/first-keyring.json", home / "keys/keyring.json")
    return Damage(("KEY_MISSING",), "messages seq")


# -- the log is edited -----------------------------------------------------------------------------------------------


@damage(6)
def a_file_is_taken_out_of_an_entry(home: Path, rng: random.Random) -> Damage:
    return edit_some(home, rng, lambda actions, adds: actions.remove(rng.choice(adds)))


@damage(6)
def statistics_in_an_entry_are_changed(home: Path, rng: random.Random) -> Damage:
    def change(actions: list[dict[str, Any]], adds: list[dict[str, Any]]) -> None:
        add = rng.choice(adds)["add"]
        stats = json.loads(add["stats"])
        stats["numRecords"] += rng.choice((-1, 1, 100))
        add["stats"] = json.dumps(stats)

    return edit_some(home, rng, change)


@damage(4)
def an_entry_names_another_file(home: Path, rng: random.Random) -> Damage:
    def change(actions: list[dict[str, Any]], adds: list[dict[str, Any]]) -> None:
        add = rng.choice(adds)["add"]
        add["path"] = add["path"].rsplit("-", 1)[0] + f"-{rng.randbytes(32).hex()}.parquet"

    return edit_some(home, rng, change)


@damage(3)
def an_entry_takes_a_file_of_an_earlier_one_out(home: Path, rng: random.Random) -> Damage:
    path = entries(home)[-1]
    file = pick(home, rng)
    records = settled(home, int(path.stem))
    gone = {"remove": {"path": file.path, "dataChange": True, "deletionTimestamp": 1, "partitionValues": file.partition, "size": file.size}}
    edited(path, lambda actions: actions.insert(0, gone))
    return Damage(("LOG_ENTRY_EDITED",), f"version={int(path.stem)}", records)


@damage(2)
def the_word_or_head_of_an_entry_is_changed(home: Path, rng: random.Random) -> Damage:
    path = rng.choice(entries(home)[1:])
    records = settled(home, int(path.stem))
    path.write_bytes(path.read_bytes().replace(b'"liuhen":"', b'"liuhen":"x') if rng.random() < 0.5 else path.read_bytes().replace(b'"appId":"head"', b'"appId":"tail"'))
    return Damage(("LOG_ENTRY_EDITED",), f"version={int(path.stem)}", records)


@damage(6)
def the_last_entries_are_taken_away(home: Path, rng: random.Random) -> Damage:
    found = entries(home)
    kept = rng.randrange(1, len(found))
    records = settled_from(home, kept)
    for path in found[kept:]:
        path.unlink()
    return Damage(("LOG_OLDER",), f"versions={kept}-{len(found) - 1}" if kept < len(found) - 1 else f"versions={kept}", records)


@damage(2)
def an_older_log_is_put_back_and_written_on(home: Path, rng: random.Random) -> Damage:
    found = entries(home)
    kept = rng.randrange(len(found) - 3, len(found))
    records = settled_from(home, kept)
    for path in found[kept:]:
        path.unlink()
    at = Home(home)
    ingest.append(at, CORP, [("acks", pa.Table.from_pylist([{"what": "failed", "until_leaf": 1, "reason": "r", "actor": "a", "at": 1}]).cast(
        pa.schema([("what", "string"), ("until_leaf", "int64"), ("reason", "string"), ("actor", "string"), ("at", "int64")]))
        .set_column(4, pa.field("at", pa.timestamp("us", "UTC")), pa.array([1], pa.timestamp("us", "UTC"))))], what="ack")  # fmt: skip
    return Damage(("LOG_REPLACED",), f"version={kept}", records)


def _adds(entry: Path) -> list[dict[str, Any]]:
    return [a for line in entry.read_bytes().splitlines() if "add" in (a := json.loads(line))]


@damage(4)
def a_file_is_taken_out_of_an_entry_and_the_anchors_are_made_again(home: Path, rng: random.Random) -> Damage:
    telling = {"messages": "ROW_MISSING", "records": "LEAF_MISSING", "pages": "PAGE_MISSING", "withheld_sealed": "ROW_MISSING"}
    kind = sorted(telling)[rng.randrange(4)]

    def change(actions: list[dict[str, Any]]) -> None:
        actions.remove(next(a for a in actions if "add" in a and a["add"]["partitionValues"]["kind"] == kind))

    edited(rng.choice([p for p in entries(home) if any(a["add"]["partitionValues"]["kind"] == kind for a in _adds(p))]), change)
    anchored_anew(home)
    # Records that were the last ones leave no hole among the leaves: their page counts more than there are.
    return Damage((telling[kind], "LEAF_TWICE", "LOG_ENTRY_INVALID", *(["PAGE_COUNTS"] if kind == "records" else [])), "")


@damage(4)
def statistics_are_changed_and_the_anchors_are_made_again(home: Path, rng: random.Random) -> Damage:
    named = ""

    def change(actions: list[dict[str, Any]], adds: list[dict[str, Any]]) -> None:
        nonlocal named
        add = rng.choice([a for a in adds if "seq" in json.loads(a["add"]["stats"])["maxValues"] and a["add"]["path"] in {f.path for f in active(home)}])["add"]
        stats = json.loads(add["stats"])
        stats["maxValues"]["seq"] += 1
        add["stats"], named = json.dumps(stats), add["path"]

    path = next(p for p in reversed(entries(home)) if b'kind=messages' in p.read_bytes())
    edited(path, lambda actions: change(actions, [a for a in actions if "add" in a]))
    anchored_anew(home)
    return Damage(("FILE_STATISTICS",), named)


# -- planted ---------------------------------------------------------------------------------------------------------

OPENED = json.dumps({"msgid": "m", "action": "send", "from": "zhangsan", "tolist": ["wmA"], "msgtype": "text", "text": {"content": "明文"}}).encode()


NUMBERED = b'{"seq":12,"message":' + OPENED + b'}\n{"seq": 13,"message":' + OPENED + b"}\n"


def _parquet(folder: Path, name: str) -> Path:
    import pyarrow.parquet as pq

    pq.write_table(pa.table({"seq": pa.array([35, 33, 34], pa.uint64()), "text": ["明文"] * 3}), folder / name)
    return folder / name


def _planted(name: str, data: bytes, *codes: str, records: str = "") -> None:
    def apply(home: Path, rng: random.Random) -> Damage:
        path = home / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        return Damage(codes, path.name, records)

    TABLE[f"planted {name}"] = apply


HEADER = b'{"v":1,"source":"file","name":"x","captured_at_ms":1,"first_seq":9,"last_seq":9,"records":1,"requested_seq":null}\n'
_planted(f"lake/{CORP}/notes.json", OPENED, "PLAINTEXT")
_planted(f"lake/{CORP}/messages.jsonl", NUMBERED, "PLAINTEXT", records="seq 12-13")
_planted(f"staging/{CORP}/messages.jsonl", NUMBERED, "PLAINTEXT", records="seq 12-13")
_planted(f"landing/{CORP}/messages.jsonl", NUMBERED, "PLAINTEXT", records="seq 12-13")
_planted(f"lake/{CORP}/kind=messages/month=2026-11/bucket=hot/lexicon=-/{'0' * 16}-{'0' * 64}.parquet", b"PAR1" + OPENED + b"PAR1", "PLAINTEXT")
_planted(f"lake/{CORP}/kind=messages/{'0' * 16}-{'0' * 64}.parquet", b"PARE" + OPENED + b"PARE", "UNKNOWN_FILE")
_planted(f"lake/{CORP}/.0123456789abcdef.part", OPENED, "PLAINTEXT")
_planted(f"lake/{CORP}/_delta_log/notes.json", OPENED, "LOG_UNKNOWN_FILE")
_planted(f"landing/{CORP}/{9:020d}-{'0' * 64}.page", HEADER + OPENED, "PLAINTEXT", records="seq 9-9")
_planted(f"landing/{CORP}/opened.json", OPENED, "PLAINTEXT")
_planted(f"landing/{CORP}/readme.txt", b"hello", "UNKNOWN_FILE")
_planted(f"landing/{CORP}/.0123456789abcdef.part", OPENED, "PLAINTEXT")
_planted(f"staging/{CORP}/opened.jsonl", OPENED, "PLAINTEXT")
_planted(f"staging/{CORP}/0123456789abcdef.outline", OPENED, "STAGED_DAMAGED")
_planted(f"staging/{CORP}/{9:020d}-0123456789abcdef.manifest", OPENED, "STAGED_DAMAGED")
_planted(f"staging/{CORP}/{9:020d}-{'0' * 32}.page", HEADER + OPENED, "STAGED_DAMAGED")
_planted(f"staging/{CORP}.purge/list.json", OPENED, "UNKNOWN_FILE")


@damage()
def a_plain_parquet_file_is_planted_under_a_right_name(home: Path, rng: random.Random) -> Damage:
    from hashlib import sha256

    folder = home / f"lake/{CORP}/kind=messages/month=2026-11/bucket=hot/lexicon=-"
    path = _parquet(folder, "x.parquet")
    path = path.rename(folder / f"{'1' * 16}-{sha256(path.read_bytes()).hexdigest()}.parquet")
    return Damage(("PLAINTEXT",), path.name, "seq 33-35")


@damage()
def a_page_of_opened_messages_is_planted_under_a_right_name(home: Path, rng: random.Random) -> Damage:
    from hashlib import sha256

    body = b'{"errcode":0,"chatdata":[' + OPENED + b"]}"
    path = home / f"landing/{CORP}/{9:020d}-{sha256(body).hexdigest()}.page"
    path.write_bytes(HEADER + body)
    return Damage(("PLAINTEXT",), path.name, "seq 9-9")


@damage()
def a_file_that_only_looks_encrypted_is_planted_under_a_right_name(home: Path, rng: random.Random) -> Damage:
    from hashlib import sha256

    data = b"PARE" + OPENED + b"PARE"
    path = home / f"lake/{CORP}/kind=messages/month=2026-11/bucket=hot/lexicon=-/{'2' * 16}-{sha256(data).hexdigest()}.parquet"
    path.write_bytes(data)
    return Damage(("UNKNOWN_FILE",), path.name)


# -- forged with valid keys, in commits that look like any other -----------------------------------------------------


def _taken_out(kind: str, seq: int, code: str) -> None:
    def apply(home: Path, rng: random.Random) -> Damage:
        forged(home, kind, without_seq(seq), where=having_seq(home, kind, seq))
        return Damage((code,), f"sealed {seq}" if code == "ROW_MISSING" else "")

    TABLE[f"row {seq} taken out of {kind}"] = apply


for _kind, _seq, _code in (
    ("messages", 2, "ROW_MISSING"), ("messages", 12, "ROW_MISSING"), ("messages", 35, "ROW_MISSING"), ("sealed", 2, "ROW_MISSING"),
    ("sealed", 5, "ROW_MISSING"), ("sealed", 11, "ROW_MISSING"), ("withheld_sealed", 4, "ROW_MISSING"), ("pending_sealed", 13, "ROW_MISSING"),
    ("records", 2, "LEAF_MISSING"), ("records", 4, "LOG_ROWS_LOST"), ("records", 8, "PAGE_COUNTS"), ("records", 35, "RUN_COUNTS"),
    ("recalls", 14, "ROW_MISSING"), ("media", 3, "COMMITMENT"),
):  # fmt: skip
    _taken_out(_kind, _seq, _code)


@damage()
def a_page_is_taken_out_of_the_ledger(home: Path, rng: random.Random) -> Damage:
    forged(home, "pages", lambda t: t.slice(0, 0))
    return Damage(("PAGE_MISSING",), "")


def _changed(kind: str, seq: int, column: str, value: Callable[[Any], Any], code: str) -> None:
    def apply(home: Path, rng: random.Random) -> Damage:
        forged(home, kind, with_value(column, value, seq), where=having_seq(home, kind, seq))
        return Damage((code,), f"sealed {seq}")

    TABLE[f"{column} of {seq} changed in {kind}"] = apply


_changed("messages", 12, "text", lambda v: v.replace("保本", "不保"), "COMMITMENT")
_changed("messages", 2, "text_clear", lambda v: v.replace("138", "139"), "COMMITMENT")
_changed("messages", 2, "text", lambda v: v + "*", "ROW_DIFFERS")
_changed("messages", 12, "parts", lambda v: [{**p, "text": p["text"] + "。"} for p in v], "COMMITMENT")
_changed("messages", 12, "raw", lambda v: v.replace("保本", "不保"), "COMMITMENT")
_changed("messages", 12, "sender_id", lambda v: "lisi", "COMMITMENT")
_changed("messages", 12, "recipient_ids", lambda v: v[:1], "COMMITMENT")
_changed("messages", 12, "room_id", lambda v: "r2", "COMMITMENT")
_changed("messages", 12, "msgid", lambda v: "m99", "COMMITMENT")
_changed("messages", 12, "nonce", lambda v: bytes(32), "COMMITMENT")
_changed("messages", 12, "sealed_sha256", lambda v: bytes(32), "COMMITMENT")
_changed("messages", 12, "content_fp", lambda v: bytes(16), "ROW_DIFFERS")
_changed("messages", 12, "seq", lambda v: 99, "ROW_WITHOUT_RECORD")
_changed("sealed", 12, "envelope", lambda v: v + b" ", "ROW_DIFFERS")
_changed("sealed", 5, "plaintext", lambda v: v.replace(b"wmA", b"wmX"), "COMMITMENT")
_changed("sealed", 11, "envelope", lambda v: v + b" ", "COMMITMENT")
_changed("withheld_sealed", 4, "scope_ref", lambda v: "0" * 32, "ROW_DIFFERS")
_changed("records", 12, "commitment", lambda v: bytes(32), "COMMITMENT")
_changed("records", 4, "reason", lambda v: "agreed", "COMMITMENT")
_changed("records", 8, "msgid", lambda v: "m99", "COMMITMENT")
_changed("records", 11, "code", lambda v: "KEY_MISSING", "COMMITMENT")
_changed("media", 3, "declared_md5", lambda v: "1" * 32, "COMMITMENT")
_changed("matches", 12, "start_cp", lambda v: v + 1, "ROW_DIFFERS")
TABLE["sealed row 99"] = lambda home, rng: Damage(
    ("ROW_WITHOUT_RECORD",), (forged(home, "messages", with_value("seq", lambda v: 99, 12), where=having_seq(home, "messages", 12)), "sealed 99")[1]
)


@damage()
def a_fetched_file_lies_in_clear(home: Path, rng: random.Random) -> Damage:
    path = home / f"media/{CORP}/2026-11/{'0' * 32}.lhm"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"%PDF-1.7 a contract in clear")
    return Damage(("PLAINTEXT",), f"media/{CORP}/2026-11")


@damage()
def the_newest_custody_line_is_changed(home: Path, rng: random.Random) -> Damage:
    path = home / "custody/000001.jsonl"
    *lines, last = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines) + last.replace(b'"result":"done"', b'"result":"none"'))
    return Damage(("CUSTODY_REPLACED",), f"n={len(lines) + 1}")


@damage()
def the_newest_custody_line_is_cut_off(home: Path, rng: random.Random) -> Damage:
    path = home / "custody/000001.jsonl"
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[:-1]))
    return Damage(("CUSTODY_OLDER",), f"n={len(lines) - 1}")


@damage()
def the_newest_custody_line_is_changed_and_its_head_with_it(home: Path, rng: random.Random) -> Damage:
    """By somebody without the keys."""
    the_newest_custody_line_is_changed(home, rng)
    last = json.loads((home / "custody/000001.jsonl").read_bytes().splitlines()[-1])
    digest = sha256(json.dumps({**last, "params": ""}, separators=(",", ":"), ensure_ascii=False).encode() + b"\n").hexdigest()
    head = home / "custody/head.json"
    head.write_bytes(json.dumps({**json.loads(head.read_bytes()), "sha256": digest}, separators=(",", ":")).encode())
    return Damage(("CUSTODY_HEAD",), "")


@damage()
def a_row_is_there_twice(home: Path, rng: random.Random) -> Damage:
    forged(home, "messages", lambda t: pa.concat_tables([t, t.slice(0, 1)]), where=having_seq(home, "messages", 35))
    return Damage(("ROW_TWICE",), "sealed 30")


@damage()
def a_fate_is_changed_from_withheld_to_archived(home: Path, rng: random.Random) -> Damage:
    forged(home, "records", with_value("fate", lambda v: "archived", 4), where=having_seq(home, "records", 4))
    return Damage(("ROW_MISSING",), "sealed 4")


@damage()
def a_leaf_number_is_used_again(home: Path, rng: random.Random) -> Damage:
    forged(home, "records", with_value("leaf", lambda v: v - 1, 12), where=having_seq(home, "records", 12))
    return Damage(("LEAF_TWICE",), "sealed 11-12")


@damage()
def the_counts_of_a_run_are_changed(home: Path, rng: random.Random) -> Damage:
    forged(home, "runs", with_value("archived", lambda v: None if v is None else v + 1))
    return Damage(("RUN_COUNTS",), "")


@damage()
def the_counts_of_a_page_are_changed(home: Path, rng: random.Random) -> Damage:
    forged(home, "pages", with_value("archived", lambda v: v + 1))
    return Damage(("PAGE_COUNTS",), "")


@damage()
def a_file_is_moved_to_a_month_in_which_nobody_looks_for_it(home: Path, rng: random.Random) -> Damage:
    lake = lake_of(home)
    snapshot = lake.snapshot()
    file = next(f for f in snapshot.of("messages") if f.month == "2026-11")
    moved = lake.write(lake.read("messages", [file]), "messages", month="2020-01", bucket="hot")
    lake.commit(snapshot, [moved], [file], what="settle")
    return Damage(("FILE_MONTH",), moved.path)


@damage()
def a_file_is_sealed_under_the_key_of_another_place(home: Path, rng: random.Random) -> Damage:
    lake = lake_of(home)
    snapshot = lake.snapshot()
    file = next(f for f in snapshot.of("messages") if f.month == "2026-11")
    data = lake.write(lake.read("messages", [file]), "messages", month="2026-10", bucket="hot")
    path = data.path.replace("month=2026-10", "month=2026-11")
    (lake.root / data.path).rename(lake.root / path)
    lake.commit(snapshot, [DataFile(path=path, kind="messages", month="2026-11", bucket="hot", rows=data.rows, size=data.size, stats=data.stats)], [file], what="settle")
    return Damage(("FILE_KEY",), path)


# -- the test --------------------------------------------------------------------------------------------------------


def told(finding: Finding) -> str:
    return " ".join([finding.code, *(f"{k}={v}" for k, v in finding.values.items()), finding.records])


def copies(template: Path) -> Iterator[tuple[str, Path]]:
    for name in TABLE:
        at = template.parent / "copies" / "".join(c if c.isalnum() else "_" for c in name)[:80]
        shutil.copytree(template, at)
        yield name, at


def test_the_undamaged_archive_has_no_finding_and_every_fate(template: Path) -> None:
    report = verify_archive(template, CORP)
    assert (report.findings, report.notes) == ([], [])
    # 4 the refused message, 6 its recall; 5 the refusal; 9 the conflict, 11 not UTF-8; 13 unreadable state; 8 repeats 2, import 1 is outranked;
    # import 90 was archived before the refusal that covers it came.
    fates = {k.removeprefix("fate "): n for k, n in report.counts.items() if k.startswith("fate ")}
    assert fates == {"archived": 16, "restricted": 1, "withheld": 2, "control": 1, "failed": 2, "pending": 1, "duplicate": 2}
    assert report.counts["records"] == 25
    # The imports were archived first (1: its content went with its rows; 90: its rows were moved), 7 failed first (its sealed bytes are there: checked).
    assert (report.counts["leaves"], report.counts["commitments"], report.counts["leaves not checked"]) == (28, 26, 2)
    assert report.counts["pages that wait"] == 2


def test_every_damage_is_found_and_named(template: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert len(TABLE) >= 200
    missed = []
    for seed, (name, home) in enumerate(copies(template)):
        expected = TABLE[name](home, random.Random(seed))
        found = verify_archive(home, CORP).findings
        if not any(f.code in expected.codes and expected.named in told(f) and expected.records in f.records for f in found):
            missed.append((name, expected, [told(f) for f in found]))
        shutil.rmtree(home)
    with capfd.disabled():
        print(f"\n{len(TABLE)} damages, {len(TABLE) - len(missed)} found and named")
    assert not missed, "\n".join(map(str, missed))


@pytest.mark.parametrize("name", ["a_byte_of_a_lake_file_is_flipped-0", "the_keyring_is_cut-0", "the_custody_log_is_cut-0", "the_log_is_missing-0"])
def test_the_command_ends_with_6_and_a_line_for_every_finding(template: Path, tmp_path: Path, name: str) -> None:
    (tmp_path / "x").mkdir()
    home = shutil.copytree(template, tmp_path / "x" / "home")
    expected = TABLE[name](home, random.Random(1))
    ended = liuhen(home, "verify", "--archive", "--format", "jsonl")
    assert ended.code == 6
    assert any(row["code"] in expected.codes for row in ended.rows)
    assert all(row["what"] and row["corp_id"] == CORP for row in ended.rows)
    summed = "1 finding\n" if len(ended.rows) == 1 else f"{len(ended.rows)} findings\n"
    assert "not checked:" in ended.err and f"{CORP}: {summed}" in ended.err


def test_the_command_ends_with_0_and_says_what_was_not_checked(template: Path, tmp_path: Path) -> None:
    home = shutil.copytree(template, tmp_path / "home")
    for _ in range(2):  # the call itself is recorded, which is no finding either
        ended = liuhen(home, "verify", "--archive", "--format", "jsonl")
        assert (ended.code, ended.out) == (0, "")
        assert f"{CORP}: nothing found" in ended.err and "not checked:" in ended.err
    assert [e.command for e in Home(home).custody.entries()][-1] == "verify"


def test_a_damaged_custody_log_is_left_as_it_is(template: Path, tmp_path: Path) -> None:
    home = shutil.copytree(template, tmp_path / "home")
    path = home / "custody/000001.jsonl"
    damaged = path.read_bytes().replace(b'"command":"ingest"', b'"command":"Ingest"', 1)
    path.write_bytes(damaged)
    assert liuhen(home, "verify", "--archive").code == 6
    assert path.read_bytes() == damaged


# -- near misses: what a killed run leaves is no finding --------------------------------------------------------------


def test_anchors_that_lag_by_one_or_end_in_a_torn_line_are_told_and_caught_up(template: Path, tmp_path: Path) -> None:
    home = shutil.copytree(template, tmp_path / "home")
    path = home / f"anchors/{CORP}.jsonl"
    whole = path.read_bytes()
    lines = whole.splitlines(keepends=True)
    for left, codes in ((b"".join(lines[:-1]), ["ANCHORS_LAG"]), (whole[:-30], ["ANCHORS_TORN", "ANCHORS_LAG"])):
        path.write_bytes(left)
        report = verify_archive(home, CORP)
        assert report.findings == [] and [n.code for n in report.notes] == codes
    firm.run(Home(home))
    report = verify_archive(home, CORP)
    assert (report.findings, report.notes) == ([], [])


def test_encrypted_files_that_no_commit_names_and_torn_lines_are_no_finding(template: Path, tmp_path: Path) -> None:
    home = shutil.copytree(template, tmp_path / "home")
    lake = lake_of(home)
    file = lake.snapshot().of("messages")[0]
    lake.write(lake.read("messages", [file]), "messages", month=file.month, bucket="hot")
    (lake.root / ".0123456789abcdef.part").write_bytes(b"PARE cut")
    custody = home / "custody/000001.jsonl"
    custody.write_bytes(custody.read_bytes() + b'{"n":9,"at":"2026')
    report = verify_archive(home, CORP)
    assert report.findings == [] and [n.code for n in report.notes] == ["CUSTODY_TORN"]
    assert report.counts["left by killed runs"] == 1


def test_withheld_bytes_may_be_gone_when_their_days_are_over(template: Path, tmp_path: Path) -> None:
    home = shutil.copytree(template, tmp_path / "home")
    at = Home(home)
    day = next(f.month for f in at.lake(CORP).snapshot().of("withheld_sealed"))
    at.keyring.destroy(f"{CORP}/withheld/{day}#0")
    report = verify_archive(home, CORP)
    assert report.findings == [] and [n.code for n in report.notes] == ["KEY_DESTROYED"]


def test_a_checkpoint_must_say_what_the_log_says(template: Path, tmp_path: Path) -> None:
    import pyarrow.parquet as pq

    home = shutil.copytree(template, tmp_path / "home")
    lake_of(home).snapshot().table.create_checkpoint()
    report = verify_archive(home, CORP)
    assert report.findings == [] and report.counts["checkpoints"] == 1
    (path,) = (home / LOG).glob("*.checkpoint.parquet")
    rows = pq.read_table(path)
    adding = next(n for n, add in enumerate(rows["add"].to_pylist()) if add and add["path"])
    pq.write_table(pa.concat_tables([rows.slice(0, adding), rows.slice(adding + 1)]), path)
    assert [f.code for f in verify_archive(home, CORP).findings] == ["CHECKPOINT_DIFFERS"]
    path.write_bytes(path.read_bytes()[:-9])
    assert [f.code for f in verify_archive(home, CORP).findings] == ["CHECKPOINT_UNREADABLE"]
