"""`verify --archive` looks at signed checkpoints too: removed, changed, of another key or over other leaves, each is named."""

from __future__ import annotations

import shutil
from base64 import b64decode, b64encode
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from pipeline import verify_tree
from pipeline.evidence import checkpoint, note, signer
from pipeline.evidence.tree import Tree, leaf_hash
from pipeline.home import Home
from pipeline.verify import verify_archive
from pipeline.verify_tree import roots_at
from tests import firm


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with two checkpoints, over 3 and over 5 leaves."""
    folder = tmp_path_factory.mktemp("verified")
    at = firm.home(folder)
    for name, seqs in (("a", range(1, 4)), ("b", range(4, 6))):
        firm.run(at, firm.page(folder, f"{name}.json", {n: firm.message(n, f"第{n}句") for n in seqs}))
        checkpoint.make(at, firm.CORP)
    at.custody.append(command="status", phase="start", params={})
    return at.path


def notes(home: Path) -> list[Path]:
    return sorted((home / "evidence" / firm.CORP / "checkpoints").glob("*.note"))


def _forged(home: Path) -> None:
    path = notes(home)[-1]
    text = path.read_text().rpartition("\n\n")[0] + "\n"
    path.write_text(note.sign(text, text.split("\n")[0], Ed25519PrivateKey.generate()))


def _other_root(home: Path) -> None:
    at, path = Home(home), notes(home)[-1]
    lines = path.read_text().rpartition("\n\n")[0].split("\n")
    lines[2] = b64encode(bytes([b64decode(lines[2])[0] ^ 1]) + b64decode(lines[2])[1:]).decode()
    path.write_text(note.sign("\n".join(lines) + "\n", lines[0], signer.signing_key(at, firm.CORP)))


def _edited(home: Path) -> None:
    path = notes(home)[0]
    path.write_text(path.read_text().replace("\n3\n", "\n4\n", 1))


def _gone(home: Path) -> None:
    notes(home)[-1].unlink()


def _all_gone(home: Path) -> None:
    shutil.rmtree(home / "evidence")


@pytest.mark.parametrize(
    ("damage", "codes"),
    [
        pytest.param(lambda home: None, [], id="sound"),
        pytest.param(_forged, ["EVIDENCE_SIGNATURE"], id="signed by another key"),
        pytest.param(_edited, ["EVIDENCE_SIGNATURE"], id="a size edited"),
        pytest.param(_other_root, ["EVIDENCE_ROOT"], id="our key over another root"),
        pytest.param(_gone, ["EVIDENCE_MISSING"], id="the newest one removed"),
        pytest.param(_all_gone, ["EVIDENCE_MISSING"], id="all removed"),
    ],
)
def test_a_checkpoint_that_is_not_as_it_was_signed_is_named(made: Path, tmp_path: Path, damage: Callable[[Path], None], codes: list[str]) -> None:
    home = tmp_path / "home"
    shutil.copytree(made, home)
    damage(home)
    report = verify_archive(home, firm.CORP)
    assert [f.code for f in report.findings] == codes
    if not codes:
        assert report.counts["checkpoints"] == 2


@pytest.mark.parametrize("block", [1, 2, 8, 32, 65_536])
def test_roots_on_the_way_are_those_of_the_tree(monkeypatch: pytest.MonkeyPatch, block: int) -> None:
    monkeypatch.setattr(verify_tree, "BLOCK", block)
    commitments = [sha256(bytes([n])).digest() for n in range(40)]
    whole = Tree(b"".join(leaf_hash(n, c) for n, c in enumerate(commitments)))
    assert dict(roots_at(iter(commitments), range(41))) == {size: whole.root(size) for size in range(41)}
    assert dict(roots_at([], [1])) == {}


def test_checkpoints_from_the_first_empty_one_on_are_sound(tmp_path: Path) -> None:
    at = firm.home(tmp_path)
    assert checkpoint.make(at, firm.CORP)[0].size == 0
    firm.run(at, firm.page(tmp_path, "a.json", {1: firm.message(1)}))
    assert checkpoint.make(at, firm.CORP)[0].size == 1
    report = verify_archive(at.path, firm.CORP)
    assert not report.findings and report.counts["checkpoints"] == 2
