"""What a text, a person or a conversation is looked up by: numbers below 2**43, and of a text every character and every pair of neighbours.

Before: nothing. After: index_file.py (keeps them), candidates.py (looks them up).

Rules:
 (1) A text that holds another holds all keys of that one: whatever lacks one of them cannot hold it.
 (2) Pairs never cross messages. A key may stand for two different things (names are hashed): whoever finds a key looks at the rows themselves.
 (3) Nothing is folded but the case of ASCII letters in the ids of people, which tells employees apart from nobody (interface, SQL views).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from functools import lru_cache
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

Keys = npt.NDArray[np.uint64]
CODE_BITS = 21
NAME = 1 << 42  # characters lie below 2**21, pairs below 2**42
SURROGATES = "surrogatepass"


def of_needle(text: str) -> list[int]:
    """Return the keys that a text holding `text` holds too: its pairs, or its only character."""
    codes = [ord(c) for c in text]
    return sorted({(a << CODE_BITS) | b for a, b in pairwise(codes)}) or codes


@lru_cache(maxsize=1 << 18)
def of_name(what: str, name: str) -> int:
    """Return the key of a name: `what` is conversation, person or type."""
    same = name if what != "person" else name.lower() if name.isascii() else "".join(c.lower() if c.isascii() else c for c in name)
    digest = hashlib.blake2b(f"{what}\0{same}".encode("utf-8", SURROGATES), digest_size=8).digest()
    return NAME | int.from_bytes(digest) >> 22


def of_texts(texts: pa.Array) -> Keys:
    """Return the keys of many texts, each once, ascending."""
    codes = codes_of(texts)
    if not len(codes):
        return codes
    ends = np.cumsum(np.asarray(pc.utf8_length(texts), np.int64))
    follows = np.ones(len(codes), bool)  # whether a character has a neighbour in its own text
    follows[ends[ends > 0] - 1] = False
    inside = follows[:-1]
    pairs = ((codes[:-1] << np.uint64(CODE_BITS)) | codes[1:])[inside]
    return once(np.concatenate([codes, pairs]))


def codes_of(texts: pa.Array) -> Keys:
    """Return the code points of all texts, one after the other."""
    return np.frombuffer(bytes_of(texts).decode("utf-8", SURROGATES).encode("utf-32-le", SURROGATES), "<u4").astype(np.uint64)


def bytes_of(texts: pa.Array) -> bytes:
    """Return the UTF-8 of all texts, one after the other."""
    offsets = offsets_of(texts)
    data = texts.buffers()[2]
    return memoryview(data)[int(offsets[0]) : int(offsets[-1])].tobytes() if data is not None and len(offsets) else b""


def offsets_of(texts: pa.Array) -> Any:
    """Return where each text begins in its buffer, and where the last one ends; int32."""
    return np.frombuffer(texts.buffers()[1], np.int32)[texts.offset : texts.offset + len(texts) + 1] if len(texts) else np.zeros(1, np.int32)


def of_names(what: str, names: Iterable[str | None]) -> Keys:
    """Return the keys of names, each once, ascending."""
    return np.array(sorted({of_name(what, n) for n in set(names) if n}), np.uint64)


def once(keys: Keys) -> Keys:
    """Return keys ascending, each once."""
    keys = np.sort(keys)
    return keys[np.concatenate([[True], keys[1:] != keys[:-1]])] if len(keys) else keys
