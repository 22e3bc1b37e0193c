"""Checkpoints: what the tree of a corp was at a time, signed and kept for good, and each one shown to only add to the one before.

Before: statement.py, note.py, signer.py, leaves.py, custody_tree.py, commit.py (leaves). After: epochs.py, stamps.py, bundle.py, the command
`checkpoint`, a cycle of `run`.

Files, write-once, free of content, below `evidence/CORP_ID/`:
    log.vkey                          the public key
    checkpoints/SIZE.note             the signed note (statement.py), SIZE in twelve digits
    checkpoints-K/SIZE.note           those of epoch K, with before.note: the checkpoint known outside that it begins with (epochs.py)
    leaves.bin, blocks.bin …          a cache, beside the notes of the epoch (leaves.py)

Rules: (1) no checkpoint over fewer leaves than the last one, and none that does not begin with it: that is damage, told and refused;
(2) the same leaves give no second checkpoint; (3) everything a checkpoint says is signed; nothing unsigned beside it is believed;
(4) one key signs a log for good (signer.py).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from hashlib import sha256
from pathlib import Path

import msgspec

from pipeline import clock, custody, durable
from pipeline.deltalog import Snapshot
from pipeline.errors import UsageError, VerifyFailed
from pipeline.evidence import custody_tree, leaves, note, statement
from pipeline.evidence.signer import key_changed, key_of, public_key, signing_key
from pipeline.evidence.statement import Epoch, Said
from pipeline.evidence.tree import Tree
from pipeline.home import Home

FIRST_LEAF = b"liuhen-epoch-v1\0"


class Checkpoint(msgspec.Struct, frozen=True, kw_only=True):
    """A checkpoint: what it says, the signed note word by word, and where it lies."""

    said: Said
    text: str
    path: Path

    @property
    def origin(self) -> str:
        """Log and epoch."""
        return self.said.origin

    @property
    def size(self) -> int:
        """How many leaves."""
        return self.said.size

    @property
    def root(self) -> bytes:
        """The root over them, 32 bytes."""
        return self.said.root

    @property
    def records(self) -> int:
        """How many records' leaves: those with a smaller number are in it."""
        return self.said.records

    @property
    def epoch(self) -> int:
        """The epoch, 0 for the first."""
        return self.said.epoch.number if self.said.epoch else 0


def folder(home: Home, corp_id: str, epoch: int = 0) -> Path:
    """Return where the notes of an epoch lie."""
    return home.path / "evidence" / corp_id / (f"checkpoints-{epoch}" if epoch else "checkpoints")


def newest_epoch(home: Home, corp_id: str) -> int:
    """Return the number of the epoch that goes on, 0 for the first."""
    at = home.path / "evidence" / corp_id
    begun = [int(p.parent.name.removeprefix("checkpoints-")) for p in at.glob("checkpoints-*/before.note")]
    return max(begun, default=0)


def all_of(home: Home, corp_id: str, epoch: int | None = None) -> list[Checkpoint]:
    """Return every checkpoint of an epoch (the newest), oldest first; raises VerifyFailed CHECKPOINT_DAMAGED for one that our key did not sign."""
    number = newest_epoch(home, corp_id) if epoch is None else epoch
    return of_sizes(home, corp_id, sizes(home, corp_id, number), number)


def sizes(home: Home, corp_id: str, epoch: int) -> list[int]:
    """Return the sizes of an epoch's checkpoints, ascending, by the names of their files alone: years of them are not read to know the newest."""
    return sorted(int(path.stem) for path in folder(home, corp_id, epoch).glob("[0-9]*.note") if path.stem.isdigit())


def of_sizes(home: Home, corp_id: str, wanted: Iterable[int], epoch: int) -> list[Checkpoint]:
    """Return the checkpoints over so many leaves; raises VerifyFailed CHECKPOINT_DAMAGED."""
    key, at = public_key(home, corp_id), folder(home, corp_id, epoch)
    found = [read(at / f"{size:012d}.note", key) for size in wanted]
    for point in found:
        if point.epoch != epoch or point.path.stem != f"{point.size:012d}":
            raise _damaged(point.path)
    return found


def newest(home: Home, corp_id: str) -> Checkpoint | None:
    """Return the newest checkpoint, None when there is none yet; raises VerifyFailed CHECKPOINT_DAMAGED."""
    number = newest_epoch(home, corp_id)
    return next(iter(of_sizes(home, corp_id, sizes(home, corp_id, number)[-1:], number)), None)


def read(path: Path, key: note.Key) -> Checkpoint:
    """Return the checkpoint in a file; raises VerifyFailed CHECKPOINT_DAMAGED."""
    with durable.storage("reading a checkpoint"):
        data = path.read_bytes()
    try:
        text = data.decode("utf-8")
        opened = note.opened(text, key)
        if opened is None:
            raise ValueError
        said = statement.parse(opened)
        if said.log != key.name:
            raise ValueError
    except ValueError as error:
        raise _damaged(path) from error
    return Checkpoint(said=said, text=text, path=path)


def _damaged(path: Path) -> VerifyFailed:
    return VerifyFailed("CHECKPOINT_DAMAGED", f"checkpoint {path.stem} is not as it was signed", remedy="restore evidence/ from its backup")


def find(home: Home, corp_id: str, size: int | None) -> Checkpoint:
    """Return the checkpoint over `size` leaves, the newest for None; raises UsageError CHECKPOINT_UNKNOWN."""
    number = newest_epoch(home, corp_id)
    known = sizes(home, corp_id, number)
    wanted = known[-1:] if size is None else [s for s in known if s == size]
    if wanted:
        return of_sizes(home, corp_id, wanted, number)[0]
    told = ", ".join(map(str, known[-5:])) or "none yet"
    raise UsageError("CHECKPOINT_UNKNOWN", f"there is no such checkpoint; the newest are {told}", remedy="`liuhen checkpoint` makes one")


def first_leaf(outside: str) -> bytes:
    """Return what the first leaf of an epoch commits to: the note of the checkpoint that was known outside."""
    return sha256(FIRST_LEAF + outside.encode()).digest()


def tree(home: Home, corp_id: str, snapshot: Snapshot, algorithm: str = "sha256") -> Tree:
    """Return the tree of the newest epoch over all leaves of a version of the lake. Raises VerifyFailed LEAF_MISSING."""
    number = newest_epoch(home, corp_id)
    at = folder(home, corp_id, number)
    return leaves.tree(home, corp_id, snapshot, at, _first_leaf(at) if number else None, algorithm)


def _first_leaf(at: Path) -> bytes:
    with durable.storage("reading a checkpoint"):
        return first_leaf((at / "before.note").read_bytes().decode("utf-8", "replace"))


def make(home: Home, corp_id: str) -> tuple[Checkpoint, bool]:
    """Make a checkpoint over all leaves there are; return it and whether it is new (rule 2).

    Raises VerifyFailed LOG_SHRUNK, LOG_FORKED (rule 1), CHECKPOINT_KEY_CHANGED (rule 4)."""
    last = newest(home, corp_id)
    snapshot = home.lake(corp_id).snapshot()
    grown = tree(home, corp_id, snapshot)
    if last is not None:
        adds_to(last, grown)
        if last.size == grown.size:
            return last, False
    second = tree(home, corp_id, snapshot, "sm3") if home.config.evidence.sm3 else None
    return _write(home, corp_id, grown, second), True


def adds_to(last: Checkpoint, grown: Tree) -> None:
    """Rule 1."""
    remedy = "the archive was put back or changed: `liuhen verify --archive`; restore the newest backup, or begin an epoch (`liuhen checkpoint --after`)"
    if grown.size < last.size:
        raise VerifyFailed("LOG_SHRUNK", f"the log has {grown.size} leaves, a checkpoint was made over {last.size}", remedy=remedy)
    if grown.root(last.size) != last.root:
        raise VerifyFailed("LOG_FORKED", f"the first {last.size} leaves are not those of the last checkpoint", remedy=remedy)


def _write(home: Home, corp_id: str, grown: Tree, second: Tree | None) -> Checkpoint:
    signer, epoch = signing_key(home, corp_id), _epoch(home, corp_id)
    key = key_of(signer, corp_id)
    if (home.path / "evidence" / corp_id / "log.vkey").exists() and public_key(home, corp_id) != key:
        raise key_changed()
    entry = home.custody.append(command="checkpoint", phase="made", params={"corp": corp_id, "size": grown.size, "root": grown.root().hex(), "key": key.name})
    said = Said(
        log=key.name, size=grown.size, root=grown.root(), custody=(entry.n, custody.chained(entry)),
        custody_root=custody_tree.tree(home.custody.entries(), entry.n).root(), at_ms=clock.now_ms(), sm3=second.root() if second else None, epoch=epoch,
    )  # fmt: skip
    signed = note.sign(statement.text_of(said), key.name, signer)
    at = folder(home, corp_id, epoch.number if epoch else 0)
    durable.make_folder(at)
    durable.write_once(at.parent / "log.vkey", f"{key}\n".encode())
    leaves.keep(at, {"sha256": grown, **({"sm3": second} if second else {})})
    path = at / f"{grown.size:012d}.note"
    durable.write_once(path, signed.encode())
    return Checkpoint(said=said, text=signed, path=path)


def _epoch(home: Home, corp_id: str) -> Epoch | None:
    number = newest_epoch(home, corp_id)
    if not number:
        return None
    before = read(folder(home, corp_id, number) / "before.note", public_key(home, corp_id))
    return Epoch(number, before.size, before.root)


def befores(home: Home, corp_id: str, epoch: int) -> Iterator[tuple[int, Checkpoint]]:
    """Yield (epoch, the checkpoint that it begins with) of every epoch up to this one."""
    key = public_key(home, corp_id)
    for number in range(1, epoch + 1):
        yield number, read(folder(home, corp_id, number) / "before.note", key)
