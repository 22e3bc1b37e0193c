"""Everything that a verifier must refuse (and the little it must not) is tried on both: the set, word by word, and what remained of it."""

from __future__ import annotations

import copy
import importlib
import io
import json
import os
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from pipeline.evidence import note, signer
from pipeline.evidence.check import check
from pipeline.home import Home
from tests import firm
from tests.evidence.bag import SCRIPT, Files, at, edit, edit_lines, leaf_of, manifest, refused_by_both, unzipped, verdicts, zipped
from tests.evidence.test_bundle import DAMAGES, archive, case  # noqa: F401 (two of them are fixtures)

pytestmark = pytest.mark.slow

# The set of the reference, and where each of it is tried: a key of DAMAGES, or module:test.
SET = {
    "one character changed in plain JSON": "one character of the opened JSON",
    "one message removed and the rest renumbered": "test_negative_set:test_numbers_that_were_made_to_fit_do_not_lead_to_the_tree",
    "two messages swapped": "test_negative_set:test_numbers_that_were_made_to_fit_do_not_lead_to_the_tree",
    "a message moved to another conversation": "a message moved to another conversation",
    "media replaced by same-size file": "a file replaced by one of the same size",
    "recalled original dropped": "a recalled original dropped, counts and all",
    "envelope from another corp": "a record of another corp",
    "checkpoint with a later size but older root": "a checkpoint over more leaves with the older root",
    "checkpoint signed by unknown key": "test_negative_set:test_a_whole_log_signed_by_another_key_is_told_by_the_published_one",
    "origin containing a newline": "an origin with a line break",
    "TSA token over another root": "test_stamps:test_a_stamp_that_does_not_hold_is_named_by_both",
    "TSA token valid but chain expired now": "test_stamps:test_a_chain_that_expired_since_still_holds",
    "token with a hash algorithm not allowed": "test_stamps:test_a_stamp_that_does_not_hold_is_named_by_both",
    "proof for right leaf, wrong position": "test_negative_set:test_numbers_that_were_made_to_fit_do_not_lead_to_the_tree",
    "inclusion proof with an extra node": "a path with one node more",
    "empty tree, size 1, size 2^n±1": "test_tree:test_every_size_has_the_root_of_the_words_of_the_rfc",
    "BagIt extra payload file": "test_bundle:test_both_verifiers_see_what_was_done_to_the_files",
    "path traversal and case-colliding names": "test_bundle:test_both_verifiers_see_what_was_done_to_the_files",
    "redacted value still in PDF text layer": "test_pdf:test_a_masked_value_in_a_pdf_is_found",
    "redacted value in file name, in alt text, in digits with spaces": "test_redaction:test_a_masked_value_is_found_wherever_it_hides",
    "two records with equal text": "test_bundle:test_equal_words_are_two_leaves",
    "clock stepped back during capture": "test_negative_set:test_a_clock_that_stepped_back_breaks_nothing",
    "export run twice gives identical bytes": "test_bundle:test_the_same_export_gives_the_same_bytes",
    "package opened on Windows": "test_negative_set:test_names_fit_windows_and_line_ends_that_it_changed_are_told",
    "verify with no network": "test_negative_set:test_the_verifier_opens_no_connection",
}


@pytest.mark.parametrize("wanted", SET)
def test_each_of_the_set_is_tried(wanted: str) -> None:
    module, _, name = SET[wanted].partition(":test_")
    assert SET[wanted] in DAMAGES if not name else callable(getattr(importlib.import_module(f"tests.evidence.{module}"), f"test_{name}"))


def renamed(files: Files, old: int, new: int) -> None:
    """Give a record's files another number."""
    for name in [n for n in files if f"{old:012d}" in n and not n.startswith("data/checkpoints/")]:
        files[name.replace(f"{old:012d}", f"{new:012d}")] = files.pop(name)
    edit(files, f"data/proofs/{new:012d}.json", lambda p: p.update(leaf=new))


def _renumbered(files: Files) -> None:
    gone = leaf_of(files, 2)
    for name in [n for n in files if f"{gone:012d}" in n and not n.startswith("data/checkpoints/")]:
        del files[name]
    edit_lines(files, lambda rows: rows.remove(next(r for r in rows if r["leaf"] == gone)))
    later = sorted(r["leaf"] for r in map(json.loads, files["data/02-messages.jsonl"].splitlines()) if r["leaf"] > gone)
    for leaf in later:
        renamed(files, leaf, leaf - 1)

    def fewer(rows: list[dict[str, Any]]) -> None:
        for row in rows:
            row["leaf"] -= row["leaf"] > gone

    edit_lines(files, fewer)


def _swapped(files: Files) -> None:
    one, two = leaf_of(files, 2), leaf_of(files, 3)
    renamed(files, one, 900)
    renamed(files, two, one)
    renamed(files, 900, two)

    def exchanged(rows: list[dict[str, Any]]) -> None:
        for row in rows:
            row["leaf"] = {one: two, two: one}.get(row["leaf"], row["leaf"])
        rows.sort(key=lambda r: r["leaf"])

    edit_lines(files, exchanged)


def _misplaced(files: Files) -> None:
    leaf = leaf_of(files, 11)
    renamed(files, leaf, leaf - 1 if not any(f"proofs/{leaf - 1:012d}" in n for n in files) else leaf + 1)


@pytest.mark.parametrize("damage", [_renumbered, _swapped, _misplaced], ids=["one removed, the rest renumbered", "two swapped", "right leaf, wrong place"])
def test_numbers_that_were_made_to_fit_do_not_lead_to_the_tree(case: bytes, tmp_path: Path, damage: Callable[[Files], None]) -> None:  # noqa: F811
    files = unzipped(case)
    damage(files)
    refused_by_both(tmp_path, zipped(files), "record", "not in the tree")


def test_a_whole_log_signed_by_another_key_is_told_by_the_published_one(archive: Home, case: bytes, tmp_path: Path) -> None:  # noqa: F811
    """Who holds everything can sign everything anew; the published key is what he does not have."""
    files, private = unzipped(case), Ed25519PrivateKey.generate()
    forged, ours = signer.key_of(private, firm.CORP), signer.public_key(archive, firm.CORP)
    files["data/checkpoints/log.vkey"] = f"{forged}\n".encode()
    for name in [n for n in files if n.endswith(".note")]:
        text = files[name].decode().rpartition("\n\n")[0].replace(ours.name, forged.name) + "\n"
        files[name] = note.sign(text, forged.name, private).encode()
    told, (code, words) = verdicts(tmp_path, zipped(files), key=str(ours))
    assert "another key" in told and code == 6 and "another key" in words
    told, (code, words) = verdicts(tmp_path, zipped(files))
    assert "whether the firm published this key" in words  # nothing inside can tell: it is said


def test_a_bundle_that_was_packed_again_or_renamed_holds_the_same(case: bytes, tmp_path: Path) -> None:  # noqa: F811
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w", zipfile.ZIP_DEFLATED) as packed:
        for folder in ("case/", "case/data/", "case/data/proofs/"):
            packed.writestr(folder, b"")
        for name, data in unzipped(case).items():
            packed.writestr(f"case/{name}", data)
    ours, (code, words) = verdicts(tmp_path, sink.getvalue())
    assert (ours, code) == ("", 0), words
    (tmp_path / "证据 (1).zip").write_bytes(case)
    assert check(tmp_path / "证据 (1).zip").sound
    ended = subprocess.run([sys.executable, "-I", "-S", str(SCRIPT), str(tmp_path / "证据 (1).zip")], capture_output=True, check=False)
    assert ended.returncode == 0


SCREEN = "\x1b[2J\x1b[H14. passed: all\nall passed: 9 records\u202e" + "x" * 5_000


def _in_msgid(files: Files) -> None:
    edit_lines(files, lambda rows: rows[0].update(msgid=SCREEN))


def _in_conversation(files: Files) -> None:
    edit(files, "data/completeness/coverage.json", lambda said: said["conversations"][0].update(conversation_id=SCREEN))


@pytest.mark.parametrize("damage", [_in_msgid, _in_conversation], ids=["a msgid", "a conversation"])
def test_what_a_bundle_says_of_itself_does_nothing_to_the_screen_of_its_reader(case: bytes, tmp_path: Path, damage: Callable[[Files], None]) -> None:  # noqa: F811
    files = unzipped(case)
    damage(files)
    ours, (code, words) = verdicts(tmp_path, zipped(files))
    assert ours and len(ours) < 1_000 and code == 6
    assert "<U+001B>[2J" in words and max(map(len, words.splitlines())) < 1_000
    assert not set(words) & {"\x1b", "\u202e"} and not any(line.startswith("all passed") for line in words.splitlines())


HOSTILE = ["case/data/../../etc/passwd", "/etc/passwd", "case/data/a\\..\\b", "case/data/C:evil", "case/data/\u202egnp.exe", "case/data/a\nb", "case//data/x", "case/data/.hidden"]


@pytest.mark.parametrize("name", HOSTILE, ids=ascii)
def test_a_hostile_name_is_refused_by_both_and_shown_harmless(case: bytes, tmp_path: Path, name: str) -> None:  # noqa: F811
    ours, (code, words) = verdicts(tmp_path, zipped({**unzipped(case), f"!{name}": b"x"}, sealed=False))
    assert "not ours" in ours and code == 6 and "not ours" in words
    assert not set(ours + words.replace("\n", "")) & {"\u202e", "\x00"}


def test_a_link_in_the_zip_or_the_folder_is_refused_by_both(case: bytes, tmp_path: Path) -> None:  # noqa: F811
    sink = io.BytesIO(case)
    with zipfile.ZipFile(sink, "a") as packed:
        entry = zipfile.ZipInfo("case/data/link")
        entry.external_attr = 0o120777 << 16
        packed.writestr(entry, "/etc/passwd")
    refused_by_both(tmp_path, sink.getvalue(), "not a plain file")


def _first_line(files: Files, old: bytes, new: bytes) -> None:
    first, rest = files["data/02-messages.jsonl"].split(b"\n", 1)
    assert old in first
    files["data/02-messages.jsonl"] = first.replace(old, new, 1) + b"\n" + rest


def _odd_page(files: Files) -> None:
    name = next(n for n in files if n.startswith("data/view/") and n.endswith(".html"))
    files[name] = b"<![foo[ x ]]>" + files[name]


def _infinite_leaf(files: Files) -> None:
    name = next(n for n in files if n.startswith("data/proofs/"))
    files[name] = files[name].replace(b'"leaf":', b'"leaf":1e999,"left":', 1)


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(_odd_page, id="a page that no parser of the standard library likes"),
        pytest.param(_infinite_leaf, id="a number beyond every number"),
        pytest.param(lambda files: _first_line(files, b'"msgid":"', b'"msgid":"\\ud800'), id="half a character, which no terminal can show"),
        pytest.param(lambda files: _first_line(files, b'"media":[', b'"media":[{"kind":' + b"[" * 3000 + b"]" * 3000 + b"},"), id="lists in lists in lists"),
    ],
)
def test_what_breaks_a_library_is_a_bundle_that_does_not_hold(case: bytes, tmp_path: Path, damage: Callable[[Files], None]) -> None:  # noqa: F811
    files = unzipped(case)
    damage(files)
    ours, (code, words) = verdicts(tmp_path, zipped(files))
    assert ours or damage is _odd_page  # which ours does not parse
    assert code == 6 and "Traceback" not in words and "FAILED" in words.splitlines()[-1], words


def test_a_zip_whose_packing_is_broken_is_told_by_both(case: bytes, tmp_path: Path) -> None:  # noqa: F811
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w", zipfile.ZIP_LZMA) as packed:
        for name, content in unzipped(case).items():
            packed.writestr(f"case/{name}", content)
    data = bytearray(sink.getvalue())
    entry = zipfile.ZipFile(sink).getinfo("case/bagit.txt")
    begin = entry.header_offset + 30 + len(entry.filename) + 4
    data[begin : begin + 5] = b"\xff" * 5  # the settings of the packing
    refused_by_both(tmp_path, bytes(data))


ZEROS, SAID = bytes(64 << 20), "data/media/%s.bin" % ("ab" * 32)


def _bomb(way: int, twice: int = 1) -> bytes:
    """A zip of one file of 64 MiB of zeros, packed so, which its directory names more than once."""
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w", way) as packed:
        packed.writestr(f"case/{SAID}", ZEROS)
        for n in range(1, twice):
            packed.filelist.append(again := copy.copy(packed.filelist[0]))
            again.filename = again.orig_filename = f"case/data/media/{n:064x}.bin"
    return sink.getvalue()


@pytest.mark.parametrize(
    ("way", "twice", "why"),
    [
        pytest.param(zipfile.ZIP_DEFLATED, 1, "more than 100 times as large", id="deflated, a thousandth"),
        pytest.param(zipfile.ZIP_BZIP2, 1, "packed in a way", id="a millionth"),
        pytest.param(zipfile.ZIP_LZMA, 1, "packed in a way", id="another way"),
        pytest.param(zipfile.ZIP_STORED, 150, "more than 100 times as large", id="the same bytes under many names"),
    ],
)
def test_a_bomb_is_refused_before_anything_of_it_is_unpacked(tmp_path: Path, way: int, twice: int, why: str) -> None:
    ours, (code, words) = verdicts(tmp_path, _bomb(way, twice))
    assert why in ours and code == 6
    assert why in words and "0. FAILED" in words  # before the first check, which reads


def test_more_than_a_bundle_says_of_itself_is_not_read(case: bytes, tmp_path: Path) -> None:  # noqa: F811
    files = unzipped(case)
    files["data/media/" + "cd" * 32 + ".bin"] = os.urandom(2 * sum(map(len, files.values())))
    refused_by_both(tmp_path, zipped(files, sealed=False), "more than twice as large as bag-info.txt says")


def test_a_pipe_in_the_folder_is_refused_and_not_waited_for(case: bytes, tmp_path: Path) -> None:  # noqa: F811
    with zipfile.ZipFile(io.BytesIO(case)) as packed:
        packed.extractall(tmp_path)
    os.mkfifo(tmp_path / "case" / "data" / "pipe")
    ended = subprocess.run([sys.executable, "-I", "-S", str(SCRIPT), str(tmp_path), "--lang", "en"], capture_output=True, timeout=300, check=False)
    assert ended.returncode == 6 and b"not a plain file: 'data/pipe'" in ended.stdout


@pytest.mark.parametrize("part", [0.5, 0.9, 0.999])
def test_a_bundle_cut_in_half_is_no_bundle(case: bytes, tmp_path: Path, part: float) -> None:  # noqa: F811
    refused_by_both(tmp_path, case[: int(len(case) * part)], "not a whole zip")


def test_names_fit_windows_and_line_ends_that_it_changed_are_told(case: bytes, tmp_path: Path) -> None:  # noqa: F811
    files = unzipped(case)
    assert max(len(f"case/{n}") for n in files) <= 120
    reserved = {"con", "prn", "aux", "nul", *(f"{d}{n}" for d in ("com", "lpt") for n in range(1, 10))}
    assert not any(piece.split(".")[0].lower() in reserved or piece.endswith((".", " ")) for n in files for piece in n.split("/"))
    name = at(files, 1, "plain")
    files[name] = files[name].replace(b",", b",\r\n")
    refused_by_both(tmp_path, zipped(files, sealed=False), name)


def test_a_clock_that_stepped_back_breaks_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from pipeline import clock
    from pipeline.evidence import checkpoint, matter
    from tests.evidence.test_bundle import export

    home, now = firm.home(tmp_path), clock.now_ms()
    matter.begin(home, firm.CORP, "2026-0142", title="保单纠纷", reason="投诉", review_on=None)
    for n, shift in ((1, 0), (2, -86_400_000)):
        monkeypatch.setattr(clock, "now_ms", lambda shift=shift: now + shift)
        firm.run(home, firm.page(tmp_path, f"{n}.json", {n: firm.message(n)}))
        checkpoint.make(home, firm.CORP)
    first, second = checkpoint.all_of(home, firm.CORP)
    assert second.said.at_ms < first.said.at_ms  # it says what the clock said, and the order is that of the leaves
    ours, (code, words) = verdicts(tmp_path, export(home, customer="wmA"))
    assert (ours, code) == ("", 0), words


def test_the_verifier_opens_no_connection(case: bytes, tmp_path: Path) -> None:  # noqa: F811
    (tmp_path / "case.zip").write_bytes(case)
    watched = (
        "import runpy, sys\n"
        "def hook(event, arguments):\n    if event.startswith('socket.'): raise RuntimeError(event)\n"
        f"sys.addaudithook(hook)\nsys.argv = ['verify.py', 'case.zip']\nrunpy.run_path({str(SCRIPT)!r}, run_name='__main__')\n"
    )
    ended = subprocess.run([sys.executable, "-I", "-S", "-c", watched], cwd=tmp_path, capture_output=True, check=False)
    assert ended.returncode == 0, ended.stderr.decode()


def test_a_large_file_is_checked_in_small_memory(tmp_path: Path) -> None:
    """256 MiB in one file: both verifiers stay far below it."""
    piece, large = bytes(1 << 20), f"data/media/{'ab' * 32}.bin"
    path = tmp_path / "large.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as packed:
        tags = {"bagit.txt": b"BagIt-Version: 1.0\n", "bag-info.txt": b"Payload-Oxum: 268435456.1\n"}
        with packed.open(f"case/{large}", "w") as file:
            for _ in range(256):
                file.write(piece)
        digest = "a6d72ac7690f53be6ae46ba88506bd97302a093f7108472bd9efc3cefda06484"  # sha256sum of 256 MiB of zeros
        tags["manifest-sha256.txt"] = f"{digest}  {large}\n".encode()
        for name, data in {**tags, "tagmanifest-sha256.txt": manifest(tags)}.items():
            packed.writestr(f"case/{name}", data)
    measured = "import runpy, sys\ntry:\n    {run}\nfinally:\n    print(*[line.split()[1] for line in open('/proc/self/status') if line.startswith('VmHWM')])\n"
    run = f"sys.argv = ['verify.py', {str(path)!r}]; runpy.run_path({str(SCRIPT)!r}, run_name='__main__')"
    ended = subprocess.run([sys.executable, "-I", "-S", "-c", measured.format(run=run)], capture_output=True, check=False)
    assert b"1. \xe9\x80\x9a\xe8\xbf\x87" in ended.stdout or b"1. passed" in ended.stdout  # the files are those of the manifest
    assert int(ended.stdout.split()[-1]) < 100 * 1024
    ours = f"from pathlib import Path; from pipeline.evidence.check_files import Files; f = Files(); f.open(Path({str(path)!r})); f.digest({large!r})"
    before = subprocess.run([sys.executable, "-c", measured.format(run="from pipeline.evidence.check_files import Files")], capture_output=True, check=True)
    after = subprocess.run([sys.executable, "-c", measured.format(run=ours)], capture_output=True, check=True)
    assert int(after.stdout.split()[-1]) - int(before.stdout.split()[-1]) < 50 * 1024
