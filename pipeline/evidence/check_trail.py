"""Checks of what vouches for a bundle: signed checkpoints, epochs, the custody log and its tree, time stamps.

Before: check_files.py. After: check.py. Uses the product's tree, note and statement modules, `cryptography` and, for stamps, `rfc3161-client`.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256
from pathlib import PurePosixPath

import msgspec
from cryptography import x509

from pipeline.custody import GENESIS
from pipeline.errors import UsageError
from pipeline.evidence import note, stamp_check, statement
from pipeline.evidence.check_files import Fault, Files, as_object, need
from pipeline.evidence.checkpoint import first_leaf
from pipeline.evidence.leaves import DIGESTS
from pipeline.evidence.stamp_check import NotAStamp, Stamp
from pipeline.evidence.statement import Said
from pipeline.evidence.tree import Frontier, consistent, leaf_hash, root_of_inclusion


class Trail:
    """The checkpoints of a bundle. key: who signed them; given: the key line that the firm published, None when it is not known."""

    def __init__(self, files: Files, given: str | None, roots: Sequence[x509.Certificate]) -> None:
        self.files, self.given, self.roots = files, given, roots
        self.key: note.Key | None = None
        self.points: dict[int, Said] = {}
        self.stamps: dict[int, Stamp] = {}
        self.unchecked: list[str] = []

    @property
    def newest(self) -> Said:
        """The checkpoint that the bundle is under."""
        return self.points[max(self.points)]

    def checkpoints(self) -> None:
        """Signed by one key, of one epoch, each the beginning of the newest."""
        self.key = note.parse_key(self.files.data("checkpoints/log.vkey").decode())
        need(self.key.name.rpartition("/")[2] == sha256(self.key.public).hexdigest()[:16], "the log's name is not that of its key")
        need(self.given is None or self.given.strip() == str(self.key), "signed by another key than the one you gave")
        for name in self.files.below("checkpoints", ".note"):
            if "before-" not in name:
                said = self._note(name)
                need(name == f"checkpoints/{said.size:012d}.note", f"{name} is over other leaves than it names")
                self.points[said.size] = said
        need(self.points, "no checkpoint")
        for said in self.points.values():
            need(said.epoch == self.newest.epoch, f"checkpoint {said.size} is of another epoch")
            self._beginning(said)
        self._epochs()

    def _note(self, name: str) -> Said:
        assert self.key is not None
        text = note.opened(self.files.data(name).decode(), self.key)
        if text is None:
            raise Fault(f"{name}: the signature is not valid")
        try:
            said = statement.parse(text)
        except ValueError:
            raise Fault(f"{name} is not a checkpoint") from None
        need(said.log == self.key.name, f"{name} is not of this log")
        return said

    def _beginning(self, said: Said) -> None:
        name, newest = f"checkpoints/{said.size:012d}.consistency.json", self.newest
        proof = self.files.object(name)
        hashes = [bytes.fromhex(h) for h in proof["proof"]]
        told = (proof["old"], proof["new"]) == (said.size, newest.size)
        need(told and consistent(said.size, newest.size, said.root, newest.root, hashes), f"checkpoint {said.size} is not the beginning of checkpoint {newest.size}")

    def _epochs(self) -> None:
        """Each epoch begins with a checkpoint of the one before it; the newest one's first leaf is that checkpoint."""
        newest = self.newest
        number = newest.epoch.number if newest.epoch else 0
        there = set(self.files.below("checkpoints", ".note")) - {f"checkpoints/{size:012d}.note" for size in self.points}
        need(there == {f"checkpoints/before-{n}.note" for n in range(1, number + 1)}, "other epochs than the checkpoint names")
        following = newest
        for n in range(number, 0, -1):
            before = self._note(f"checkpoints/before-{n}.note")
            named = following.epoch
            right = named is not None and (named.number, named.size, named.root) == (n, before.size, before.root)
            need(right and (before.epoch.number if before.epoch else 0) == n - 1, f"epoch {n} does not begin with the checkpoint before it")
            following = before
        if number:
            path = [bytes.fromhex(h) for h in self.files.object("checkpoints/epoch.json")["path"]]
            leaf = leaf_hash(0, first_leaf(self.files.data(f"checkpoints/before-{number}.note").decode()))
            need(root_of_inclusion(0, newest.size, leaf, path) == newest.root, f"the first leaf of epoch {number} is not the checkpoint before it")

    def included(self, number: int, commitment: bytes, proof: dict[str, object], where: str) -> None:
        """Check that the leaf of record `number` is in the newest checkpoint's trees."""
        newest = self.newest
        need(proof["size"] == newest.size, f"{where}: proof for another checkpoint")
        for name, root in (("path", newest.root), ("sm3_path", newest.sm3)):
            if root is None:
                need(name not in proof, f"{where}: a path to a tree that the checkpoint does not have")
                continue
            digest = DIGESTS["sm3" if name == "sm3_path" else "sha256"]
            path = [bytes.fromhex(h) for h in msgspec.convert(proof[name], list[str])]
            need(all(len(h) == 32 for h in path), f"{where}: a broken path")
            try:
                made = root_of_inclusion(number + newest.before, newest.size, leaf_hash(number + newest.before, commitment, digest), path, digest)
            except ValueError:
                self.skip("sm3")
                continue
            need(made == root, f"{where} is not in the tree of the checkpoint")

    def skip(self, what: str) -> None:
        """Something could not be checked on this machine."""
        if what not in self.unchecked:
            self.unchecked.append(what)

    # -- custody -------------------------------------------------------------------------------------------------------

    def custody(self) -> None:
        """One chain from the first line to the one that the newest checkpoint names, under the roots that the checkpoints name."""
        previous, grown, named = GENESIS, Frontier(), {said.custody[0]: said for said in self.points.values()}
        for number, line in enumerate(self.files.lines("custody/log.jsonl"), 1):
            entry = as_object(line, f"custody entry {number}")
            need((entry["n"], entry["previous"]) == (number, previous), f"the custody log was changed at entry {number}")
            previous = sha256(line).hexdigest()
            grown.add(leaf_hash(number - 1, bytes.fromhex(previous)))
            if said := named.pop(number, None):
                right = said.custody[1] == previous and said.custody_root == grown.root()
                need(right, f"the custody log is not the one that checkpoint {said.size} names, at entry {number}")
        need(not named, f"the custody log is not the one that checkpoint {self.newest.size} names, it ends at entry {grown.size}")
        need(grown.size == self.newest.custody[0], "the custody log goes on after the checkpoint")
        self._custody_paths(grown.size)

    def _custody_paths(self, size: int) -> None:
        paths = {p["n"]: p for p in self.files.objects("custody/proofs.jsonl")}
        for number, line in enumerate(self.files.lines("custody/log.jsonl"), 1):
            if proof := paths.pop(number, None):
                path = [bytes.fromhex(h) for h in proof["path"]]
                made = root_of_inclusion(number - 1, size, leaf_hash(number - 1, sha256(line).digest()), path)
                need(proof["size"] == size and made == self.newest.custody_root, f"the proof of custody entry {number} does not hold")
        need(not paths, f"a proof of a custody entry that is not there: {sorted(paths)[:3]}")

    # -- stamps --------------------------------------------------------------------------------------------------------

    def check_stamps(self) -> None:
        """Every stamp is over its checkpoint, by a chain that was valid then and leads to the roots given, else to those in the bundle."""
        for name in self.files.below("stamps", ""):
            path = PurePosixPath(name)
            need(path.stem in {f"{s:012d}" for s in self.points} and path.suffix in (".pem", ".tsq", ".tsr"), f"a stamp of no checkpoint: {name}")
            if path.suffix == ".tsr":
                self._stamp(path)

    def _stamp(self, path: PurePosixPath) -> None:
        signed, request = self.files.data(f"checkpoints/{path.stem}.note"), self.files.data(str(path.with_suffix(".tsq")))
        roots = self.roots or stamp_check.certificates(self.files.data(str(path.with_suffix(".pem"))))
        try:
            self.stamps[int(path.stem)] = stamp_check.checked(signed, self.files.data(str(path)), roots, request=request)
        except NotAStamp as error:
            raise Fault(f"the time stamp of checkpoint {int(path.stem)} does not hold: {error}") from None
        except UsageError as error:
            if error.code != "STAMP_EXTRA_MISSING":
                raise
            self.skip("stamps")
