"""The tree is RFC 6962's: hand-made roots, a slow tree of the RFC's own recursive words, and proofs that break when anything is changed."""

from __future__ import annotations

from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.evidence.tree import EMPTY, Tree, consistent, leaf_hash, node, root_of_inclusion, split

# RFC 6962's own shape with the leaves of the certificate-transparency test vectors (google/certificate-transparency, merkletree): the
# roots of the first n leaves "", 00, 10, 2021, 3031, 40414243, 5051525354555657, 606162636465666768696a6b6c6d6e6f, leaf hash SHA-256(0x00 || data).
VECTOR_LEAVES = ["", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f"]
VECTOR_ROOTS = [
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]


def vectors() -> Tree:
    return Tree(b"".join(sha256(b"\0" + bytes.fromhex(leaf)).digest() for leaf in VECTOR_LEAVES))


def made(size: int) -> Tree:
    return Tree(b"".join(leaf_hash(n, sha256(str(n).encode()).digest()) for n in range(size)))


def slow_root(hashes: list[bytes]) -> bytes:
    """MTH of RFC 6962, section 2.1, word by word."""
    if not hashes:
        return sha256(b"").digest()
    if len(hashes) == 1:
        return hashes[0]
    k = 1
    while k * 2 < len(hashes):
        k *= 2
    return sha256(b"\1" + slow_root(hashes[:k]) + slow_root(hashes[k:])).digest()


def test_roots_are_those_of_the_certificate_transparency_vectors() -> None:
    assert [vectors().root(n).hex() for n in range(1, 9)] == VECTOR_ROOTS
    assert vectors().root(0) == EMPTY == bytes.fromhex("e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855")


def test_paths_are_those_of_the_certificate_transparency_vectors() -> None:
    assert [p.hex() for p in vectors().inclusion(0, 8)] == [
        "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
        "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
        "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
    ]
    assert vectors().inclusion(0, 1) == []
    assert [p.hex() for p in vectors().consistency(6, 8)] == [
        "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a",
        "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    ]


@given(st.integers(0, 700), st.integers(0, 700))
def test_every_size_has_the_root_of_the_words_of_the_rfc(size: int, old: int) -> None:
    tree = made(size)
    assert tree.root() == slow_root([tree.leaf(n) for n in range(size)])
    old = min(old, size)
    assert consistent(old, size, tree.root(old), tree.root(), tree.consistency(old))


@given(st.integers(1, 700).flatmap(lambda size: st.tuples(st.just(size), st.integers(0, size - 1))))
def test_a_path_leads_to_the_root_from_its_own_place_only(where: tuple[int, int]) -> None:
    size, number = where
    tree = made(size)
    path = tree.inclusion(number)
    assert root_of_inclusion(number, size, tree.leaf(number), path) == tree.root()
    assert root_of_inclusion(number, size, tree.leaf(number), [*path, bytes(32)]) != tree.root()
    assert root_of_inclusion(number, size, leaf_hash(number, bytes(32)), path) != tree.root()
    for other in {(number + 1) % size, number ^ 1} - {number}:
        assert root_of_inclusion(other, size, tree.leaf(number), path) != tree.root()
    if path:
        assert root_of_inclusion(number, size, tree.leaf(number), path[:-1]) != tree.root()


@given(st.integers(2, 300).flatmap(lambda new: st.tuples(st.integers(1, new - 1), st.just(new))))
def test_a_log_that_was_rewritten_is_not_consistent(sizes: tuple[int, int]) -> None:
    old, new = sizes
    tree = made(new)
    proof = tree.consistency(old)
    changed = bytearray(tree.leaves())
    changed[0] ^= 1
    other = Tree(bytes(changed))
    assert consistent(old, new, tree.root(old), tree.root(), proof)
    assert not consistent(old, new, tree.root(old), other.root(), other.consistency(old))
    assert not consistent(old, new, other.root(old), tree.root(), proof)
    assert not consistent(old, new, tree.root(old), tree.root(), [*proof, bytes(32)])


def test_blocks_that_are_known_give_the_same_root() -> None:
    tree = made(3 * 256 + 17)
    again = Tree(tree.leaves(), tree.blocks())
    assert again.root() == tree.root() and len(tree.blocks()) == 3 * 32
    assert Tree(tree.leaves(), bytes(32) + tree.blocks()[32:]).root() != tree.root()


def test_equal_commitments_at_two_places_are_two_leaves() -> None:
    assert leaf_hash(1, bytes(32)) != leaf_hash(2, bytes(32))
    assert leaf_hash(0, bytes(32)) == sha256(bytes(1 + 8 + 32)).digest()
    assert node(bytes(32), bytes(32)) == sha256(b"\1" + bytes(64)).digest()


@pytest.mark.parametrize(("size", "left"), [(2, 1), (3, 2), (4, 2), (5, 4), (8, 4), (9, 8)])
def test_the_left_side_is_the_largest_power_of_two_below(size: int, left: int) -> None:
    assert split(size) == left


def test_what_is_not_there_has_no_proof() -> None:
    for ask in (lambda: made(3).inclusion(3), lambda: made(3).root(4), lambda: made(3).consistency(4), lambda: Tree(bytes(31))):
        with pytest.raises(ValueError):
            ask()
