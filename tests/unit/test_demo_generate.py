"""The demonstration on disk: it opens with its own keys, breaks where the truth says, and says what was planted."""

from __future__ import annotations

import gzip
import json
import stat
from collections import Counter
from collections.abc import Iterator
from datetime import date, datetime
from hashlib import md5, sha256
from pathlib import Path
from typing import Any

import msgspec
import pytest
import zstandard

from pipeline import answers, saved_files
from pipeline.consent import ConsentPolicy, decide
from pipeline.consent_events import events_from_control, events_from_import
from pipeline.demo import generate, media, pages, story
from pipeline.demo.truth import Truth
from pipeline.directory import Directory, Entry
from pipeline.enterprise_keys import KeySet, load_private_key
from pipeline.envelope import open_page
from pipeline.errors import UsageError
from pipeline.message import parse_page
from pipeline.records import Message, OpenedItem, PageRef, ParsedPage
from pipeline.register import Register

END_DAY = date(2026, 11, 20)
CAPTURED_MS = 1_795_300_000_000  # some days later
COUNT = 500


class Demo(msgspec.Struct, frozen=True):
    """A generated demonstration, its folder, and the progress that was reported."""

    out: Path
    truth: Truth
    progress: list[tuple[int, int]]


class Opened(msgspec.Struct):
    """What a reader gets out of the pages: every record once, by seq and msgid."""

    messages: dict[tuple[int, str], tuple[Message, OpenedItem]] = msgspec.field(default_factory=dict)
    failures: dict[tuple[int | None, str | None, str], str] = msgspec.field(default_factory=dict)


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Demo:
    out = tmp_path_factory.mktemp("demo") / "firm"
    progress: list[tuple[int, int]] = []
    truth = generate.generate(out, messages=COUNT, seed=1, end_day=END_DAY, progress=lambda *at: progress.append(at))
    return Demo(out, truth, progress)


def keys_of(demo: Demo, *, late: bool) -> KeySet:
    keys = {}
    for key in demo.truth.keys:
        if late or not key.late:
            passphrase = key.passphrase.encode() if key.passphrase else None
            keys[key.version] = load_private_key((demo.out / key.file).read_bytes(), passphrase)
    return KeySet.of(keys)


def parsed_pages(demo: Demo, keys: KeySet) -> Iterator[ParsedPage]:
    for raw in saved_files.pages_from_file(demo.out / "pages"):
        page = sha256(raw.data).hexdigest()
        ref = PageRef(corp_id="wwdemo", page=page, uri="", size=len(raw.data), source="file", name=raw.name, captured_at_ms=CAPTURED_MS)
        yield parse_page(open_page(*answers.read_page(ref, raw.data), keys=keys))


def read_all(demo: Demo, *, late: bool) -> Opened:
    found = Opened()
    for page in parsed_pages(demo, keys_of(demo, late=late)):
        for item in page.items:
            found.messages[item.opened.seq, item.opened.msgid] = (item.message, item.opened)
        for failed in page.failed:
            f = failed.failure
            found.failures[f.seq, f.msgid, f.code] = f.code
    return found


@pytest.fixture(scope="module")
def first(demo: Demo) -> Opened:
    return read_all(demo, late=False)


@pytest.fixture(scope="module")
def later(demo: Demo) -> Opened:
    return read_all(demo, late=True)


# --- the files ---


def test_the_truth_on_disk_is_the_one_that_was_returned(demo: Demo) -> None:
    assert msgspec.json.decode((demo.out / "truth.json").read_bytes(), type=Truth) == demo.truth
    assert "DEMO" in demo.truth.demo and "DEMO" in demo.truth.firm


def test_private_keys_can_be_read_by_their_owner_alone(demo: Demo) -> None:
    secrets = [demo.out / name for name in ("keys/v1.pem", "keys/v2.pem", "late-key/v3.pem")]
    assert [stat.S_IMODE(s.stat().st_mode) for s in secrets] == [0o600] * 3
    heads = [s.read_text().splitlines()[0] for s in secrets]
    assert heads == ["-----BEGIN RSA PRIVATE KEY-----", "-----BEGIN ENCRYPTED PRIVATE KEY-----", "-----BEGIN PRIVATE KEY-----"]
    assert [(k.file, k.passphrase, k.late) for k in demo.truth.keys] == [
        ("keys/v1.pem", None, False), ("keys/v2.pem", "demo", False), ("late-key/v3.pem", None, True),
    ]  # fmt: skip
    assert sum(k.records for k in demo.truth.keys) == COUNT


def test_pages_come_in_every_form_that_can_be_read(demo: Demo) -> None:
    names = [p.name for p in sorted((demo.out / "pages").iterdir())]
    assert names == [f["name"] for f in sorted(demo.truth.files, key=lambda f: str(f["name"]))]
    assert {"".join(Path(n).suffixes) for n in names} >= {".json", ".json.gz", ".jsonl", ".jsonl.zst", ".json.zst"}
    assert sum(f["records"] for f in demo.truth.files if not f["cut"]) == COUNT + len(demo.truth.repeated_seqs)


def test_a_second_demonstration_does_not_go_over_the_first(demo: Demo) -> None:
    with pytest.raises(UsageError) as refused:
        generate.generate(demo.out, messages=COUNT, end_day=END_DAY)
    assert refused.value.code == "DEMO_EXISTS"


def test_the_truth_is_written_before_anything_is_sealed(tmp_path: Path) -> None:
    class Stopped(Exception):
        pass

    def stop(done: int, total: int) -> None:
        raise Stopped

    with pytest.raises(Stopped):
        generate.generate(tmp_path / "firm", messages=COUNT, end_day=END_DAY, progress=stop)
    assert msgspec.json.decode((tmp_path / "firm/truth.json").read_bytes(), type=Truth).records == COUNT


def test_progress_ends_with_the_total(demo: Demo) -> None:
    assert demo.progress == [(500, 500)]


def test_the_directory_has_the_columns_of_the_schema_and_everybody_once(demo: Demo) -> None:
    rows = [json.loads(line) for line in (demo.out / "directory.jsonl").read_bytes().splitlines()]
    assert all(list(row) == ["userid", "kind", "name", "department", "valid_from", "valid_to"] for row in rows)
    people = Counter(row["userid"] for row in rows)
    assert [userid for userid, count in people.items() if count > 1] == ["WuShijia"], "the one who changed the department"
    assert Counter(row["kind"] for row in rows)["employee"] == 62
    assert all("（DEMO）" in row["name"] for row in rows)


# --- what a reader finds ---


@pytest.mark.slow
def test_each_failure_is_the_one_that_the_truth_tells(demo: Demo, first: Opened, later: Opened) -> None:
    # What only the committer can know: who was first.
    committed = {"MSGID_CONFLICT": 1, "SEQ_CONFLICT": 1}
    assert Counter(first.failures.values()) + Counter(committed) == Counter(demo.truth.failures) + Counter(demo.truth.page_failures)
    assert Counter(later.failures.values()) + Counter(committed) == Counter(demo.truth.failures_later) + Counter(demo.truth.page_failures)
    told = {(b.code, b.msgid) for b in demo.truth.broken if b.code not in committed}
    assert told == {(code, msgid) for _, msgid, code in first.failures if code != "PAGE_CUT"}


@pytest.mark.slow
def test_every_other_record_opens_and_all_of_them_are_there(demo: Demo, first: Opened, later: Opened) -> None:
    assert len(first.messages) + sum(demo.truth.failures.values()) - 2 == COUNT
    assert len(later.messages) + sum(demo.truth.failures_later.values()) - 2 == COUNT
    assert Counter(m.msgtype or "switch" for m, _ in later.messages.values()) == Counter(demo.truth.types) - Counter(broken_types(demo))


def broken_types(demo: Demo) -> dict[str, int]:
    return {"text": len(demo.truth.broken) - demo.truth.failures["KEY_MISSING"] - 2}


def test_planted_phrases_stand_where_the_truth_says(demo: Demo, later: Opened) -> None:
    literal = [p for p in demo.truth.phrases if p.form == "literal"]
    assert len(literal) >= 28
    for phrase in literal:
        message, _ = later.messages[phrase.seq, phrase.msgid]
        assert message.text.count(phrase.term) == 1
        part = next(i for i, part in enumerate(message.parts) if phrase.term in part.text)
        at = message.parts[part].text.index(phrase.term)
        quoted = any(q.part == part and q.start_cp <= at < q.end_cp for q in message.quotes)
        assert quoted == phrase.quoted


def test_files_are_found_with_the_ids_of_the_truth_and_can_be_made_again(demo: Demo, later: Opened) -> None:
    found = [(seq, ref.kind, ref.sdkfileid) for (seq, _), (message, _) in later.messages.items() for ref in message.media]
    assert sorted(found) == sorted((r["seq"], r["kind"], r["sdkfileid"]) for r in demo.truth.media_refs)
    for message, _ in later.messages.values():
        for ref in message.media:
            data = media.content(ref.sdkfileid)
            assert ref.declared_size in (len(data), None)
            assert ref.declared_md5 in (md5(data).hexdigest(), "", None)


def test_personal_details_stand_in_the_messages(demo: Demo, later: Opened) -> None:
    by_seq = {seq: message for (seq, _), (message, _) in later.messages.items()}
    assert demo.truth.details
    assert all(d["value"] in by_seq[d["seq"]].text for d in demo.truth.details)


def test_the_gate_withholds_what_the_truth_says_and_nothing_else(demo: Demo, later: Opened) -> None:
    events, reports = events_from_import(
        (demo.out / "consent.jsonl").read_bytes().splitlines(), recorded_at_ms=CAPTURED_MS, batch="demo", document_digest=None
    )
    assert reports == ()
    stream = [e for message, opened in later.messages.values() for e in events_from_control(message, opened, recorded_at_ms=CAPTURED_MS)]
    register = Register.of([*events, *stream], version=1)
    people = [json.loads(line) for line in (demo.out / "directory.jsonl").read_bytes().splitlines()]
    directory = Directory.of(
        Entry(userid=p["userid"], kind=p["kind"], valid_from_ms=ms(p["valid_from"]), valid_to_ms=ms(p["valid_to"])) for p in people
    )
    fates: dict[tuple[str, str], str] = {}
    for (_, msgid), (message, _) in later.messages.items():
        decision = decide(message, captured_at_ms=CAPTURED_MS, register=register, directory=directory, policy=ConsentPolicy())
        fates.setdefault((message.kind, msgid), decision.fate)
    recalls = {r["msgid"] for r in demo.truth.recalls}  # they follow their originals when they are settled
    assert {m for (kind, m), fate in fates.items() if fate == "withheld" and kind != "recall"} == set(demo.truth.withheld_later) - recalls
    assert Counter(fates.values())["control"] == demo.truth.fates["control"]
    assert "pending" not in fates.values()


def ms(moment: str | None) -> int | None:
    return int(datetime.fromisoformat(moment).timestamp() * 1000) if moment else None


def test_repeated_records_are_the_same_bytes(demo: Demo) -> None:
    seen: dict[int, list[bytes]] = {}
    for path in sorted((demo.out / "pages").iterdir()):
        for item in items_of(path):
            seen.setdefault(item[0], []).append(item[1])
    again = {seq: copies for seq, copies in seen.items() if len(copies) > 1}
    # Beside the told ones: the one seq that two records have, and the seq of the broken one that lies beyond all.
    assert set(demo.truth.repeated_seqs) == {seq for seq, copies in again.items() if len(set(copies)) == 1}
    assert [len(set(copies)) for copies in again.values() if len(set(copies)) > 1] == [2]


def items_of(path: Path) -> list[tuple[int, bytes]]:
    """The records of a whole file, read without the pipeline."""
    data = path.read_bytes()
    if path.suffix == ".gz":
        data = gzip.decompress(data)
    elif path.suffix == ".zst":
        data = zstandard.ZstdDecompressor().decompressobj().decompress(data)
    if "-cut" in path.name:
        return []
    values: list[Any] = [json.loads(line) for line in data.splitlines()]
    items = [item for v in values for item in v.get("chatdata", [v])]
    return [(item["seq"], json.dumps(item).encode()) for item in items]


def test_a_small_file_layout_overlaps_every_fourth_answer_and_cuts_the_second() -> None:
    plan = story.plan(COUNT, seed=1, corp_id="wwdemo", end_day=END_DAY)
    files = list(pages.layout(plan.records))
    seqs = [[r.seq for r in a] for f in files if not f.cut and "b0-" not in f.name for a in f.answers]
    # 499 records, 63 an answer; the fourth and the eighth begin with 25 of the one before, less one that is broken from outside.
    assert [len(a) for a in seqs] == [63, 63, 63, 63 + 24, 63, 63, 63, 58 + 25, 0]
    assert set(seqs[3][:24]) < set(seqs[2][-25:]) and seqs[7][:25] == seqs[6][-25:]
    (cut,) = [f for f in files if f.cut]
    assert [r.seq for r in cut.answers[0]] == seqs[1]
    assert pages.encode(cut, [[b'{"seq":1}'] * 63]).count(b"}") < 63


# --- by hand ---


def test_it_can_be_called_by_hand(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = [str(tmp_path / "firm"), "--messages", "500", "--seed", "4", "--end-day", "2026-11-20"]
    assert generate.main(arguments) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["demo"] is True and said["records"] == 500 and sum(said["fates"].values()) == 500
    assert generate.main(arguments) == 2
    assert "already holds a demonstration" in capsys.readouterr().err
    assert generate.main([str(tmp_path / "other"), "--messages", "5"]) == 2


def test_the_walk_names_files_that_are_there_and_adds_the_late_key_after_the_first_ingest(demo: Demo) -> None:
    walk = generate.commands(demo.out, demo.truth)
    assert all(Path(word).exists() for words in walk for word in words if word.startswith(str(demo.out)))
    first = [words[0] for words in walk].index("ingest")
    late = ["keys", "add", "--version", "3", "--private-key", str(demo.out / "late-key/v3.pem")]
    assert walk.index(late) > first and walk.count(["ingest"]) == 1
    employee = next(words[-1] for words in walk if "findings-of-employee" in words).removeprefix("employee=")
    assert employee in demo.truth.per_employee_later


@pytest.mark.parametrize(
    "fileid", ["", "x", "AAAA", "ZGVtby9maWxl", "CgRkZW1v"], ids=["empty", "no base64", "zeros", "no protobuf", "another id"]
)
def test_a_file_id_of_somebody_else_is_refused(fileid: str) -> None:
    with pytest.raises(UsageError):
        media.content(fileid)
