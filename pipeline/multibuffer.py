"""What does RSA's private operations: eight a call by Intel's crypto_mb, where the processor has AVX512-IFMA or AVX-IFMA, else OpenSSL.

Before: enterprise_keys.py, envelope.py (the shape `Rsa`). After: workbench.py; doctor/keys.py, which tells what is used and why.

Three times as many private operations a CPU second (docs/performance.md). What the library does not do by itself is done here:
 (1) a ciphertext that is not below the modulus is refused, as RFC 8017 section 7.2.2 asks;
 (2) every result is raised to the public exponent again, eight at once, and must give the ciphertext: OpenSSL checks itself, crypto_mb does not,
     and a processor that errs would pass for a damaged record. What fails here is opened once more by OpenSSL;
 (3) PKCS#1 v1.5 padding is taken off here, so its failure is certain; OpenSSL answers it with random bytes. What follows is the same (envelope.py);
 (4) keys of other sizes than 2,048 bits or another exponent than 65,537 are left to OpenSSL.
A self-test against OpenSSL comes before the first record of a process; whatever fails in loading or testing leaves the work to OpenSSL.
docs/adr/0024 says why this is the default and what it costs.

The library names four libraries of a compiler that come under another licence, and uses no symbol of theirs: it is loaded from memory without those
four entries, otherwise unchanged.
"""

from __future__ import annotations

import ctypes
import os
import secrets
import struct
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key

from pipeline.enterprise_keys import KeySet
from pipeline.envelope import OpenSslRsa, Rsa
from pipeline.errors import UsageError

PACKAGE, LIBRARY = "ipp-crypto", "libcrypto_mb.so.13"
MANY, ONE = "multi-buffer", "openssl"
UNUSED: Final = frozenset({b"libsvml.so", b"libirng.so", b"libimf.so", b"libintlc.so.5"})
LANES, BITS, BYTES, EXPONENT = 8, 2048, 256, 65537
LIMB: Final = 8
SCRATCH_SPARE: Final = 64
PT_LOAD, PT_DYNAMIC, DT_NEEDED, DT_STRTAB = 1, 2, 1, 5


class Unavailable(Exception):
    """Why several operations at once are not possible here; the text names the cause in one word: not_installed, processor, loading, self_test."""


def chosen(asked: str, keys: KeySet) -> tuple[Rsa, str]:
    """Return what does the private operations, and its name for the run's record: multi-buffer, openssl, or openssl:WHY where `auto` cannot do better.

    asked: `[ingest] rsa`. WHY: a cause of Unavailable, or `keys` when no key is of the kind that is done eight at once (4).
    Raises UsageError RSA_IMPOSSIBLE when `multi-buffer` is asked for and impossible."""
    if asked == ONE:
        return OpenSslRsa(keys), ONE
    fitting = next((key for key in keys.values() if fits(key)), None)
    try:
        library(fitting)
    except Unavailable as why:
        if asked == MANY:
            raise impossible(why) from None
        return OpenSslRsa(keys), f"{ONE}:{why}"
    return (OpenSslRsa(keys), f"{ONE}:keys") if fitting is None else (MultiBufferRsa(keys), MANY)


def demand(asked: str) -> None:
    """Refuse, with UsageError RSA_IMPOSSIBLE, what is asked for (`[ingest] rsa`) and impossible on this machine."""
    if asked == MANY:
        try:
            library()
        except Unavailable as why:
            raise impossible(why) from None


IMPOSSIBLE: Final = {
    "not_installed": "eight RSA operations at once are demanded, but ipp-crypto is not installed",
    "processor": "eight RSA operations at once are demanded, but this processor lacks AVX512-IFMA",
    "loading": "eight RSA operations at once are demanded, but crypto_mb does not load",
    "self_test": "eight RSA operations at once are demanded, but crypto_mb failed its self-test",
}


def impossible(why: Unavailable) -> UsageError:
    """Return the error that `multi-buffer` is asked for and impossible."""
    return UsageError("RSA_IMPOSSIBLE", IMPOSSIBLE[str(why)], remedy="`liuhen config set ingest.rsa auto` lets OpenSSL do it where it must")


class MultiBufferRsa:
    """Private operations of one key set, eight at once; see `envelope.Rsa`. Raises Unavailable where this machine cannot."""

    def __init__(self, keys: KeySet) -> None:
        lib = library()
        self._plain = OpenSslRsa(keys)
        self._lanes = {version: _Lanes(lib, key) for version, key in keys.items() if fits(key)}

    def decrypt_many(self, blocks: Sequence[tuple[int, bytes]]) -> list[bytes | None]:
        """See `envelope.Rsa`: in the order of `blocks`."""
        found: list[bytes | None] = [None] * len(blocks)
        places: dict[int, list[int]] = {}
        for place, (version, block) in enumerate(blocks):
            lanes = self._lanes.get(version)
            if lanes is None or len(block) != BYTES:
                found[place] = self._plain.decrypt_many([(version, block)])[0]
            elif block < lanes.modulus:  # (1); big-endian and equally long, so bytes compare as numbers
                places.setdefault(version, []).append(place)
        for version, here in places.items():
            for place, padded in zip(here, self._lanes[version].private([blocks[p][1] for p in here]), strict=True):
                found[place] = self._plain.decrypt_many([blocks[place]])[0] if padded is None else unpadded(padded)
        return found


def fits(key: RSAPrivateKey) -> bool:
    """Whether a key is of the one kind that is done here (4)."""
    return key.key_size == BITS and key.public_key().public_numbers().e == EXPONENT


def unpadded(block: bytes) -> bytes | None:
    """Return what PKCS#1 v1.5 padding for encryption (type 2, RFC 8017 section 7.2.2) holds; None when there is none (3)."""
    end = block.find(0, 2)
    return block[end + 1 :] if block.startswith(b"\0\2") and end >= 10 else None


class _Lanes:
    """One key as the library wants it: five numbers of a CRT key and the modulus, little-endian, once for all eight lanes."""

    def __init__(self, lib: Any, key: RSAPrivateKey) -> None:
        numbers = key.private_numbers()
        modulus = numbers.public_numbers.n
        self.modulus = modulus.to_bytes(BYTES, "big")
        self._lib = lib
        parts = (numbers.p, numbers.q, numbers.dmp1, numbers.dmq1, numbers.iqmp)
        self._kept = [_limbs(part, BYTES // 2) for part in parts] + [_limbs(modulus, BYTES)]
        *self._crt, self._n = (_everywhere(at) for at in self._kept)

    def private(self, blocks: Sequence[bytes]) -> Iterator[bytes | None]:
        """Yield each block raised to the private exponent, 256 bytes; None where raising it back does not give the block (2)."""
        lib = self._lib
        method, check = lib.mbx_RSA2K_private_crt_Method(), lib.mbx_RSA2K_pub65537_Method()
        scratch = ctypes.create_string_buffer(max(lib.mbx_RSA_Method_BufSize(method), lib.mbx_RSA_Method_BufSize(check)) + SCRATCH_SPARE)
        given, got, again = (ctypes.create_string_buffer(LANES * BYTES) for _ in range(3))
        at_given, at_got, at_again = _spread(given), _spread(got), _spread(again)
        for first in range(0, len(blocks), LANES):
            eight = blocks[first : first + LANES]
            # Lanes that are left over do the first again: the library takes eight.
            given.raw = b"".join([*eight, *[eight[0]] * (LANES - len(eight))])
            bad = lib.mbx_rsa_private_crt_mb8(at_given, at_got, *self._crt, BITS, method, scratch)
            bad |= lib.mbx_rsa_public_mb8(at_got, at_again, self._n, BITS, check, scratch)
            raw, back = got.raw, again.raw
            for lane, block in enumerate(eight):
                part = slice(lane * BYTES, (lane + 1) * BYTES)
                yield raw[part] if not bad >> 4 * lane & 0xF and back[part] == block else None
        ctypes.memset(got, 0, LANES * BYTES)
        ctypes.memset(scratch, 0, len(scratch))


def _limbs(number: int, size: int) -> Any:
    return (ctypes.c_uint64 * (size // LIMB)).from_buffer_copy(number.to_bytes(size, "little"))


def _everywhere(value: Any) -> Any:
    """Return eight pointers to one value: all lanes share the key."""
    return (ctypes.c_void_p * LANES)(*[ctypes.addressof(value)] * LANES)


def _spread(buffer: Any) -> Any:
    """Return eight pointers, a block apart."""
    return (ctypes.c_void_p * LANES)(*(ctypes.addressof(buffer) + lane * BYTES for lane in range(LANES)))


# -- the library ----------------------------------------------------------------------------------------------------


_outcome: Any = None  # of looking for the library, once a process: the library, or the cause that there is none


def library(key: RSAPrivateKey | None = None) -> Any:
    """Return the library, loaded and tried; raises Unavailable. key: what it is tried with, else a new one (some 50 ms)."""
    global _outcome
    if _outcome is None:
        try:
            _outcome = _usable(key)
        except Unavailable as error:
            _outcome = str(error)
    if isinstance(_outcome, str):
        raise Unavailable(_outcome)
    return _outcome


def place() -> Path | None:
    """Return where the installed package keeps the library; None when it is not installed."""
    from importlib.metadata import PackageNotFoundError, files  # 40 ms, for those alone who open records

    try:
        found = (Path(str(file.locate())) for file in files(PACKAGE) or () if file.name == LIBRARY)
        return next((path for path in found if path.is_file()), None)
    except PackageNotFoundError:
        return None


def _usable(key: RSAPrivateKey | None) -> Any:
    path = place()
    if path is None:
        raise Unavailable("not_installed")
    try:
        lib = _loaded(path)
    # Whatever stands in the way (another libc, no libcrypto.so.3, memory that may not be executed, another build): OpenSSL does the work.
    except Exception as error:
        raise Unavailable("loading") from error
    if lib.mbx_is_crypto_mb_applicable(0) != 1:
        raise Unavailable("processor")
    if not _works(lib, key or generate_private_key(EXPONENT, BITS)):
        raise Unavailable("self_test")
    return lib


def _loaded(path: Path) -> Any:
    """Load it from memory: no file is written, and what is installed stays as it is."""
    fd = os.memfd_create("crypto_mb", os.MFD_CLOEXEC)
    try:
        with open(fd, "wb", closefd=False) as memory:
            memory.write(without_needed(path.read_bytes(), UNUSED))
        lib = ctypes.CDLL(f"/proc/self/fd/{fd}")
    finally:
        os.close(fd)
    pointer, number = ctypes.c_void_p, ctypes.c_uint32
    for name, result, arguments in (
        ("mbx_is_crypto_mb_applicable", ctypes.c_int, [ctypes.c_uint64]),
        ("mbx_RSA2K_private_crt_Method", pointer, []),
        ("mbx_RSA2K_pub65537_Method", pointer, []),
        ("mbx_RSA_Method_BufSize", ctypes.c_int, [pointer]),
        ("mbx_rsa_private_crt_mb8", number, [*[pointer] * 7, ctypes.c_int, pointer, pointer]),
        ("mbx_rsa_public_mb8", number, [*[pointer] * 3, ctypes.c_int, pointer, pointer]),
    ):
        function = getattr(lib, name)
        function.restype, function.argtypes = result, arguments
    return lib


def without_needed(image: bytes, names: frozenset[bytes]) -> bytes:
    """Return an ELF64 library without its DT_NEEDED entries of these names (System V ABI, chapter 5, Dynamic Section)."""
    (at,), (size, count) = struct.unpack_from("<Q", image, 32), struct.unpack_from("<HH", image, 54)
    heads = [struct.unpack_from("<IIQQQQQQ", image, at + number * size) for number in range(count)]
    begin, length = next((h[2], h[5]) for h in heads if h[0] == PT_DYNAMIC)
    entries = list(struct.iter_unpack("<QQ", image[begin : begin + length]))
    strings = next(value for tag, value in entries if tag == DT_STRTAB)
    # Where the names lie is an address; the segment that is loaded there says where in the file.
    strings += next(h[2] - h[3] for h in heads if h[0] == PT_LOAD and h[3] <= strings < h[3] + h[5])
    kept = [e for e in entries if not (e[0] == DT_NEEDED and image[strings + e[1] : image.index(0, strings + e[1])] in names)]
    return image[:begin] + b"".join(struct.pack("<QQ", *e) for e in kept).ljust(length, b"\0") + image[begin + length :]


def _works(lib: Any, key: RSAPrivateKey) -> bool:
    """Whether nine new ciphertexts, so that eight lanes and one are used, open to what OpenSSL sealed, and the last to what OpenSSL opens."""
    padding = PKCS1v15()
    texts = [secrets.token_bytes(88) for _ in range(LANES + 1)]
    blocks = [key.public_key().encrypt(text, padding) for text in texts]
    opened = [unpadded(block) if block else None for block in _Lanes(lib, key).private(blocks)]
    return opened == texts and opened[-1] == key.decrypt(blocks[-1], padding)
