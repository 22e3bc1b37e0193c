"""The log beyond one tree: epochs after a restore, the custody log's own tree, SM3 beside SHA-256, what is kept beside the notes, what is gone."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline import custody, stores
from pipeline.errors import ArchiveError, UsageError, VerifyFailed
from pipeline.evidence import checkpoint, epochs, leaves, matter, proving, signer, statement
from pipeline.evidence.tree import Frontier, Tree, consistent, leaf_hash, root_of_inclusion, sm3_of
from pipeline.home import Home
from pipeline.reader import Reader
from pipeline.verify import verify_archive
from tests import firm
from tests.cli.liuhen import liuhen
from tests.evidence.bag import SCRIPT, Files, refused_by_both, unzipped, verdicts, zipped
from tests.evidence.test_bundle import export
from tests.evidence.test_tree import slow_root


def said(at: Home, folder: Path, *numbers: int, text: str = "第{}句") -> None:
    """One page with these messages."""
    firm.run(at, firm.page(folder, f"{'-'.join(map(str, numbers))}{len(text)}.json", {n: firm.message(n, text.format(n)) for n in numbers}))


def with_matter(at: Home) -> Home:
    matter.begin(at, firm.CORP, "2026-0142", title="保单纠纷", reason="投诉", review_on=None)
    return at


# -- epochs --------------------------------------------------------------------------------------------------------


class Restored:
    """An archive that was put back from a backup over 3 records, after a checkpoint over 5 had left the house."""

    def __init__(self, folder: Path) -> None:
        at = with_matter(firm.home(folder))
        said(at, folder, 1, 2, 3)
        checkpoint.make(at, firm.CORP)
        shutil.copytree(at.path, folder / "backup")
        said(at, folder, 4, 5)
        self.outside = folder / "outside.note"
        self.outside.write_text(checkpoint.make(at, firm.CORP)[0].text)
        shutil.rmtree(at.path)
        shutil.copytree(folder / "backup", at.path)
        self.home = Home(at.path)
        said(self.home, folder, 6, text="恢复之后第{}句")


@pytest.fixture(scope="module")
def restored(tmp_path_factory: pytest.TempPathFactory) -> Restored:
    return Restored(tmp_path_factory.mktemp("restored"))


@pytest.fixture(scope="module")
def begun(restored: Restored) -> Home:
    """The epoch has begun, and went on."""
    ended = liuhen(restored.home.path, "checkpoint", "--after", str(restored.outside), "--format", "jsonl")
    assert ended.code == 0 and "epoch 1 begun" in ended.err
    assert [(r["leaves"], r["epoch"]) for r in ended.rows] == [(5, 1)]  # four records, and the checkpoint that was known outside
    said(restored.home, restored.outside.parent, 7)
    checkpoint.make(restored.home, firm.CORP)
    return restored.home


@pytest.mark.slow
def test_an_epochs_first_leaf_is_the_checkpoint_that_was_known_outside(begun: Home, restored: Restored) -> None:
    newest = checkpoint.find(begun, firm.CORP, None)
    assert newest.text.startswith(f"{signer.public_key(begun, firm.CORP).name}/1\n6\n") and newest.records == 5
    tree = checkpoint.tree(begun, firm.CORP, begun.lake(firm.CORP).snapshot())
    assert tree.leaf(0) == hashlib.sha256(bytes(9) + hashlib.sha256(b"liuhen-epoch-v1\0" + restored.outside.read_bytes()).digest()).digest()
    commitments = firm.values(begun, "SELECT commitment FROM lake_records ORDER BY leaf")
    assert tree.root() == slow_root([tree.leaf(0), *(hashlib.sha256(b"\0" + (n + 1).to_bytes(8) + c).digest() for n, c in enumerate(commitments))])


@pytest.mark.slow
def test_a_bundle_of_an_epoch_is_accepted_by_both_and_names_it(begun: Home, tmp_path: Path) -> None:
    data = export(begun, customer="wmA")
    ours, (code, words) = verdicts(tmp_path, data)
    assert (ours, code) == ("", 0) and "epoch 1: begun after a restore; the checkpoint known outside had 5 leaves" in words, words
    ended = liuhen(None, "verify", "case.zip", cwd=tmp_path)
    assert ended.code == 0 and "epoch 1" in ended.err
    assert "data/checkpoints/before-1.note" in unzipped(data)


@pytest.mark.slow
def test_the_archives_verification_accepts_an_epoch_and_names_one_that_was_tampered_with(begun: Home, tmp_path: Path) -> None:
    report = verify_archive(begun.path, firm.CORP)
    assert report.findings == [] and report.counts["signed checkpoints"] == 3
    home = Path(shutil.copytree(begun.path, tmp_path / "home"))
    shutil.copy(home / "evidence" / firm.CORP / "checkpoints/000000000003.note", home / "evidence" / firm.CORP / "checkpoints-1/before.note")
    assert {f.code for f in verify_archive(home, firm.CORP).findings} == {"EVIDENCE_EPOCH", "EVIDENCE_ROOT"}


def _another_before(files: Files) -> None:
    files["data/checkpoints/before-1.note"] = files["data/checkpoints/000000000005.note"]


def _no_before(files: Files) -> None:
    del files["data/checkpoints/before-1.note"]


def _another_first_leaf(files: Files) -> None:
    told = json.loads(files["data/checkpoints/epoch.json"])
    told["path"][0] = "00" * 32
    files["data/checkpoints/epoch.json"] = json.dumps(told).encode()


@pytest.mark.parametrize(
    ("damage", "named"),
    [
        pytest.param(_another_before, "epoch 1", id="begun with another checkpoint"),
        pytest.param(_no_before, "epoch", id="what it begins with left out"),
        pytest.param(_another_first_leaf, "first leaf of epoch 1", id="its first leaf is another"),
    ],
)
@pytest.mark.slow
def test_a_false_beginning_of_an_epoch_is_named_by_both(begun: Home, tmp_path: Path, damage: Callable[[Files], None], named: str) -> None:
    files = unzipped(export(begun, customer="wmA"))
    damage(files)
    refused_by_both(tmp_path, zipped(files), named)


@pytest.mark.slow
def test_a_second_restore_begins_a_second_epoch(begun: Home, tmp_path: Path) -> None:
    shutil.copytree(begun.path, tmp_path / "home")
    at = Home(tmp_path / "home")
    shutil.copytree(at.path, tmp_path / "backup")
    said(at, tmp_path, 8)
    (tmp_path / "outside.note").write_text(checkpoint.make(at, firm.CORP)[0].text)
    shutil.rmtree(at.path)
    shutil.copytree(tmp_path / "backup", at.path)
    at = Home(at.path)
    said(at, tmp_path, 9)
    assert epochs.begin(at, firm.CORP, tmp_path / "outside.note") == (2, True)
    assert checkpoint.make(at, firm.CORP)[0].epoch == 2
    ours, (code, words) = verdicts(tmp_path, export(at, customer="wmA"))
    assert (ours, code) == ("", 0), words
    assert verify_archive(at.path, firm.CORP).findings == []


@pytest.mark.slow
def test_a_log_that_still_begins_with_the_checkpoint_goes_on(begun: Home, tmp_path: Path) -> None:
    (tmp_path / "known.note").write_text(checkpoint.all_of(begun, firm.CORP)[0].text)
    assert epochs.begin(begun, firm.CORP, tmp_path / "known.note") == (1, False)


@pytest.mark.parametrize(
    ("text", "code"),
    [
        pytest.param(None, "INPUT_MISSING", id="no such file"),
        pytest.param(b"\xff\xfe", "EPOCH_NOTE", id="no text"),
        pytest.param(b"liuhen/ww1/x\n1\n", "EPOCH_NOTE", id="no note"),
        pytest.param("old", "EPOCH_PLACE", id="of the epoch before"),
    ],
)
@pytest.mark.slow
def test_an_epoch_begins_with_a_checkpoint_of_this_log_alone(begun: Home, tmp_path: Path, text: bytes | str | None, code: str) -> None:
    if text is not None:
        old = (begun.path / "evidence" / firm.CORP / "checkpoints/000000000003.note").read_bytes()
        (tmp_path / "x.note").write_bytes(old if isinstance(text, str) else text)
    with pytest.raises(UsageError) as told:
        epochs.begin(begun, firm.CORP, tmp_path / "x.note")
    assert told.value.code == code


# -- the custody log's tree ------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Home:
    """Five messages, two checkpoints, both trees."""
    folder = tmp_path_factory.mktemp("log")
    at = firm.home(folder, settings={"evidence.sm3": "true"})
    with_matter(at)
    for numbers in ((1, 2, 3), (4, 5)):
        said(at, folder, *numbers)
        checkpoint.make(at, firm.CORP)
    return at


@pytest.mark.slow
def test_a_line_of_the_custody_log_is_shown_without_the_others(archive: Home) -> None:
    files = unzipped(export(archive, customer="wmA"))
    point = checkpoint.find(archive, firm.CORP, None)
    lines = files["data/custody/log.jsonl"].splitlines(keepends=True)
    hashes = [hashlib.sha256(b"\0" + n.to_bytes(8) + hashlib.sha256(line).digest()).digest() for n, line in enumerate(lines)]
    assert slow_root(hashes) == point.said.custody_root
    proofs = [json.loads(p) for p in files["data/custody/proofs.jsonl"].splitlines()]
    assert [json.loads(lines[p["n"] - 1])["command"] for p in proofs] == ["checkpoint", "checkpoint"]
    for proof in proofs:
        path = [bytes.fromhex(h) for h in proof["path"]]
        assert root_of_inclusion(proof["n"] - 1, len(lines), hashes[proof["n"] - 1], path) == point.said.custody_root


@pytest.mark.slow
def test_an_erased_parameter_leaves_the_custody_tree_whole(archive: Home, tmp_path: Path) -> None:
    shutil.copytree(archive.path, tmp_path / "home")
    at, path = Home(tmp_path / "home"), tmp_path / "home/custody/000001.jsonl"
    entries = [msgspec.json.decode(line, type=custody.Entry) for line in path.read_bytes().splitlines()]
    path.write_bytes(b"".join(custody.line(msgspec.structs.replace(e, params="")) for e in entries))
    assert verify_archive(at.path, firm.CORP).findings == []


@pytest.mark.slow
def test_a_forged_custody_line_is_named_with_every_checkpoint_over_it(archive: Home, tmp_path: Path) -> None:
    home = Path(shutil.copytree(archive.path, tmp_path / "home"))
    path = home / "custody/000001.jsonl"
    path.write_bytes(path.read_bytes().replace(b'"command":"checkpoint"', b'"command":"chequepoint"', 1))
    codes = [f.code for f in verify_archive(home, firm.CORP).findings]
    assert "CUSTODY_BROKEN" in codes and codes.count("EVIDENCE_CUSTODY") == 2


# -- SM3 ---------------------------------------------------------------------------------------------------------------


def test_sm3_is_the_standards() -> None:
    assert sm3_of(b"abc").hex() == "66c7f0f462eeedd9d1f2d46bdc10e4e24167c4875cf2f7a2297da02b8f4ba8e0"  # GB/T 32905-2016, A.1


@pytest.mark.slow
def test_a_second_tree_stands_beside_the_first(archive: Home) -> None:
    def slow(hashes: list[bytes]) -> bytes:
        if len(hashes) == 1:
            return hashes[0]
        k = 1
        while k * 2 < len(hashes):
            k *= 2
        return hashlib.new("sm3", b"\1" + slow(hashes[:k]) + slow(hashes[k:])).digest()

    commitments = firm.values(archive, "SELECT commitment FROM lake_records ORDER BY leaf")
    hashes = [hashlib.new("sm3", b"\0" + n.to_bytes(8) + c).digest() for n, c in enumerate(commitments)]
    assert [p.said.sm3 for p in checkpoint.all_of(archive, firm.CORP)] == [slow(hashes[:3]), slow(hashes)]
    assert verify_archive(archive.path, firm.CORP).findings == []


@pytest.mark.slow
def test_both_verifiers_follow_the_paths_of_the_second_tree(archive: Home, tmp_path: Path) -> None:
    data = export(archive, customer="wmA")
    files = unzipped(data)
    assert files["manifest-sm3.txt"].decode().splitlines() == [
        f"{hashlib.new('sm3', d).hexdigest()}  {n}" for n, d in sorted(files.items()) if n.startswith("data/")
    ]
    ours, (code, words) = verdicts(tmp_path, data)
    assert (ours, code) == ("", 0), words
    name = "data/proofs/000000000002.json"
    proof = json.loads(files[name])
    proof["sm3_path"] = proof["sm3_path"][::-1] if len(set(proof["sm3_path"])) > 1 else []
    files[name] = json.dumps(proof, ensure_ascii=False).encode()
    refused_by_both(tmp_path, zipped(files), "record 2")


@pytest.mark.slow
def test_where_sm3_is_not_offered_it_is_not_checked_and_the_exit_code_says_so(archive: Home, tmp_path: Path) -> None:
    (tmp_path / "case.zip").write_bytes(export(archive, customer="wmA"))
    lacking = (
        "import hashlib, runpy, sys\nreal = hashlib.new\n"
        "def new(name, *more, **words):\n    if name == 'sm3': raise ValueError('unsupported hash type sm3')\n    return real(name, *more, **words)\n"
        f"hashlib.new = new\nsys.argv = ['verify.py', 'case.zip', '--lang', 'en']\nrunpy.run_path({str(SCRIPT)!r}, run_name='__main__')\n"
    )
    ended = subprocess.run([sys.executable, "-I", "-S", "-c", lacking], cwd=tmp_path, capture_output=True, check=False)
    assert ended.returncode == 3 and b"SM3: this Python does not offer it" in ended.stdout


# -- what is kept, what is gone ----------------------------------------------------------------------------------------


@pytest.mark.slow
def test_what_is_kept_beside_the_notes_is_made_again_from_the_lake(archive: Home, tmp_path: Path) -> None:
    shutil.copytree(archive.path, tmp_path / "home")
    at, folder = Home(tmp_path / "home"), tmp_path / "home/evidence" / firm.CORP / "checkpoints"
    snapshot = at.lake(firm.CORP).snapshot()
    kept = {p.name: p.read_bytes() for p in folder.glob("*.bin")}
    assert sorted(kept) == ["blocks.bin", "blocks.sm3.bin", "leaves.bin", "leaves.sm3.bin"]
    leaves.forget(folder)
    assert not list(folder.glob("*.bin"))
    trees = {name: checkpoint.tree(at, firm.CORP, snapshot, name) for name in ("sha256", "sm3")}
    leaves.keep(folder, trees)
    assert {p.name: p.read_bytes() for p in folder.glob("*.bin")} == kept


@pytest.mark.slow
def test_a_forged_cache_gives_no_proof(archive: Home, tmp_path: Path) -> None:
    shutil.copytree(archive.path, tmp_path / "home")
    at, folder = Home(tmp_path / "home"), tmp_path / "home/evidence" / firm.CORP / "checkpoints"
    forged = bytearray((folder / "leaves.bin").read_bytes())
    forged[0] ^= 1
    leaves.keep(folder, {"sha256": Tree(bytes(forged)), "sm3": checkpoint.tree(at, firm.CORP, at.lake(firm.CORP).snapshot(), "sm3")})
    point = checkpoint.find(at, firm.CORP, None)
    prover = proving.prover(at, firm.CORP, at.lake(firm.CORP).snapshot(), point)  # the newest leaves are read again: the forged ones are dropped
    assert prover.tree.root() == point.root
    with pytest.raises(VerifyFailed) as told:
        proving.Prover(point, {"sha256": Tree(bytes(forged))}).path(3, firm.values(at, "SELECT commitment FROM lake_records WHERE leaf = 3")[0])
    assert told.value.code == "PROOF_BROKEN"


@pytest.mark.slow
def test_a_record_and_its_nonce_can_go_and_the_tree_stays_whole(archive: Home, tmp_path: Path) -> None:
    shutil.copytree(archive.path, tmp_path / "home")
    at = Home(tmp_path / "home")
    before = checkpoint.find(at, firm.CORP, None)
    ((nonce, commitment),) = firm.values(at, "SELECT m.nonce, r.commitment FROM lake_messages AS m JOIN lake_records AS r USING (origin, seq) WHERE seq = 2")
    stores.purge(at, firm.CORP, [("sealed", 2)])
    with Reader(at, firm.CORP) as reader:
        assert reader.rows("SELECT 1 FROM lake_messages WHERE seq = 2") == [] and reader.rows("SELECT 1 FROM lake_sealed WHERE seq = 2") == []
        assert [r["commitment"] for r in reader.rows("SELECT commitment FROM lake_records WHERE seq = 2 AND fate_no = 0")] == [commitment]
        prover = proving.prover(at, firm.CORP, reader.snapshot, before)
    assert prover.tree.root(before.size) == before.root
    said(at, tmp_path, 6)
    after, new = checkpoint.make(at, firm.CORP)
    tree = checkpoint.tree(at, firm.CORP, at.lake(firm.CORP).snapshot())
    assert new and consistent(before.size, after.size, before.root, after.root, tree.consistency(before.size, after.size))
    data = export(at, customer="wmA")
    assert nonce not in data and "第2句".encode() not in data
    ours, (code, words) = verdicts(tmp_path, data)
    assert (ours, code) == ("", 0), words


# -- what a checkpoint says ----------------------------------------------------------------------------------------


LOG = "liuhen/ww1/0123456789abcdef"
TEXT = f"{LOG}\n7\n{'A' * 43}=\ncustody 3 {'0' * 64}\ncustody-root {'A' * 43}=\nat 1795140000000\n"


def test_a_checkpoints_text_is_read_as_it_is_written() -> None:
    said = statement.parse(TEXT)
    assert (said.origin, said.size, said.root, said.custody, said.at_ms, said.records) == (LOG, 7, bytes(32), (3, "0" * 64), 1_795_140_000_000, 7)
    assert statement.text_of(said) == TEXT
    later = statement.parse(TEXT.replace(LOG, f"{LOG}/2") + f"sm3 {'A' * 43}=\nepoch 2 9 {'A' * 43}=\n")
    assert (later.epoch, later.sm3, later.records) == (statement.Epoch(2, 9, bytes(32)), bytes(32), 6)


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(TEXT.replace(LOG, f"{LOG}\nx"), id="an origin with a line break"),
        pytest.param(TEXT.replace("\n7\n", "\n07\n"), id="a leading zero"),
        pytest.param(TEXT.replace("\n7\n", "\n７\n"), id="a full-width digit"),
        pytest.param(TEXT + "more\n", id="a line more"),
        pytest.param(TEXT.rpartition("at ")[0], id="a line less"),
        pytest.param(TEXT + f"epoch 1 9 {'A' * 43}=\n", id="an epoch that the origin does not name"),
        pytest.param(TEXT.replace(LOG, f"{LOG}/1"), id="an origin whose epoch nothing tells of"),
        pytest.param(TEXT[:-1], id="its last line not ended"),
    ],
)
def test_nothing_else_is_a_checkpoint(text: str) -> None:
    with pytest.raises(ValueError):
        statement.parse(text)


@pytest.mark.slow
def test_a_log_that_another_key_signed_is_not_continued(archive: Home, tmp_path: Path) -> None:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    shutil.copytree(archive.path, tmp_path / "home")
    other = signer.key_of(Ed25519PrivateKey.generate(), firm.CORP)
    (tmp_path / "home/evidence" / firm.CORP / "log.vkey").write_text(f"{other}\n")
    with pytest.raises(ArchiveError) as told:
        checkpoint.make(Home(tmp_path / "home"), firm.CORP)
    assert told.value.code == "CHECKPOINT_KEY_CHANGED"


@pytest.mark.slow
@given(st.integers(0, 300))
def test_a_root_that_grows_is_the_trees(size: int) -> None:
    grown, hashes = Frontier(), [leaf_hash(n, hashlib.sha256(bytes([n % 251])).digest()) for n in range(size)]
    for one in hashes:
        grown.add(one)
    assert grown.root() == Tree(b"".join(hashes)).root() and grown.size == size


@pytest.mark.slow
@settings(deadline=None)  # the machine may be busy
@given(st.integers(1, 130), st.integers(0, 129))
def test_pymerkle_finds_the_same_roots_paths_and_proofs(size: int, number: int) -> None:
    from pymerkle import InmemoryTree

    theirs, number = InmemoryTree(algorithm="sha256"), number % size
    commitments = [hashlib.sha256(n.to_bytes(2)).digest() for n in range(size)]
    for n, one in enumerate(commitments):
        theirs.append_entry(n.to_bytes(8) + one)
    ours = Tree(b"".join(leaf_hash(n, one) for n, one in enumerate(commitments)))
    assert ours.root() == theirs.get_root(size)
    assert ours.inclusion(number) == theirs.prove_inclusion(number + 1, size).path[1:]
    proof = theirs.prove_consistency(number + 1, size)
    proof.verify(ours.root(number + 1), ours.root(), number + 1, size)  # raises when it does not hold
    assert consistent(number + 1, size, theirs.get_root(number + 1), theirs.get_root(size), ours.consistency(number + 1, size))
