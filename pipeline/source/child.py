"""The process that alone loads the vendor's library, which ends its process on some input and prints to stdout.

Before: frames.py (nothing else of ours is imported here). After: vendor.py, which starts it and speaks to it.

Asked and answered on one descriptor of its own; secrets come in frames, never as arguments or in the environment. stdout is a file in memory
that is looked at for an errcode (a token that was refused is told nowhere else) and emptied after every call; stderr is nowhere.
Rules of the library (wecom-archive.md 1.2, 1.6; envelope-format.md 3), all kept here:
 (1) one handle; `DestroySdk` once for each `NewSdk`; after a renewal the next call makes a new one.
 (2) a fresh slice for every call, freed once; contents are copied by length before that, never read as C strings.
 (3) strings that are handed in hold no NUL.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import re
import resource
import signal
import socket
from ctypes import c_char_p, c_int, c_uint32, c_uint64, c_void_p
from typing import Any

from pipeline.source import frames

LOADED, LOAD_FAILED = 0, -3
PARAMETERS = 10000
# name: (arguments, result)
FUNCTIONS: dict[str, tuple[list[Any], Any]] = {
    "NewSdk": ([], c_void_p),
    "Init": ([c_void_p, c_char_p, c_char_p], c_int),
    "DestroySdk": ([c_void_p], None),
    "GetChatData": ([c_void_p, c_uint64, c_uint32, c_char_p, c_char_p, c_int, c_void_p], c_int),
    "DecryptData": ([c_char_p, c_char_p, c_void_p], c_int),
    "GetMediaData": ([c_void_p, c_char_p, c_char_p, c_char_p, c_char_p, c_int, c_void_p], c_int),
    "NewSlice": ([], c_void_p),
    "FreeSlice": ([c_void_p], None),
    "GetContentFromSlice": ([c_void_p], c_void_p),
    "GetSliceLen": ([c_void_p], c_int),
    "NewMediaData": ([], c_void_p),
    "FreeMediaData": ([c_void_p], None),
    "GetOutIndexBuf": ([c_void_p], c_void_p),
    "GetIndexLen": ([c_void_p], c_int),
    "GetData": ([c_void_p], c_void_p),
    "GetDataLen": ([c_void_p], c_int),
    "IsMediaDataFinish": ([c_void_p], c_int),
}
_ERRCODE = re.compile(rb'errcode"?\s*[:=]\s*"?(-?\d{1,9})')
_PR_SET_DUMPABLE = 4


class Account:
    """Who asks, and by which way. proxy, credentials: empty for none."""

    def __init__(self, corp_id: bytes, secret: bytes, proxy: bytes, credentials: bytes, timeout_s: bytes) -> None:
        self.corp_id, self.secret, self.proxy, self.credentials, self.timeout_s = corp_id, secret, proxy, credentials, int(timeout_s)


class Library:
    """The loaded library with one handle, made when it is first needed."""

    def __init__(self, path: str) -> None:
        self._library = ctypes.CDLL(path)
        for name, (arguments, result) in FUNCTIONS.items():
            function = getattr(self._library, name)
            function.argtypes, function.restype = arguments, result
        self._handle: int | None = None
        self.account: Account | None = None

    def close(self) -> None:
        """Destroy the handle, once."""
        handle, self._handle = self._handle, None
        if handle:
            self._library.DestroySdk(handle)

    def _ready(self) -> tuple[int, Account | None, int | None]:
        """Return (code, account, handle): the handle is initialised when the code is 0."""
        account = self.account
        if account is None:
            return PARAMETERS, None, None
        if self._handle is None:
            handle = self._library.NewSdk()
            code = int(self._library.Init(handle, account.corp_id, account.secret))
            if code:
                self._library.DestroySdk(handle)
                return code, None, None
            self._handle = handle
        return 0, account, self._handle

    def chat_data(self, seq: int, limit: int) -> tuple[int, bytes]:
        """Return (return code, the answer)."""
        code, account, handle = self._ready()
        if account is None:
            return code, b""
        part = self._library.NewSlice()
        try:
            code = self._library.GetChatData(handle, seq, limit, account.proxy, account.credentials, account.timeout_s, part)
            return code, self._content(part) if code == 0 else b""
        finally:
            self._library.FreeSlice(part)

    def decrypt(self, key: bytes, message: bytes) -> tuple[int, bytes]:
        """Return (return code, the plaintext). No handle is needed."""
        part = self._library.NewSlice()
        try:
            code = self._library.DecryptData(key, message, part)
            return code, self._content(part) if code == 0 else b""
        finally:
            self._library.FreeSlice(part)

    def media(self, sdkfileid: bytes, index: bytes) -> tuple[int, bytes, bytes, bool]:
        """Return (return code, bytes of the slice, index of the next, whether it was the last)."""
        code, account, handle = self._ready()
        if account is None:
            return code, b"", b"", False
        part = self._library.NewMediaData()
        try:
            code = self._library.GetMediaData(handle, index, sdkfileid, account.proxy, account.credentials, account.timeout_s, part)
            if code:
                return code, b"", b"", False
            data = _copy(self._library.GetData(part), self._library.GetDataLen(part))
            following = _copy(self._library.GetOutIndexBuf(part), self._library.GetIndexLen(part))
            return code, data, following, self._library.IsMediaDataFinish(part) == 1
        finally:
            self._library.FreeMediaData(part)

    def _content(self, part: int) -> bytes:
        return _copy(self._library.GetContentFromSlice(part), self._library.GetSliceLen(part))


def _copy(at: int | None, size: int) -> bytes:
    return ctypes.string_at(at, size) if at and size > 0 else b""


class Noise:
    """What the library prints: a file in memory."""

    def __init__(self) -> None:
        self._libc = ctypes.CDLL(None)
        self._file = os.memfd_create("printed")
        os.dup2(self._file, 1)
        nowhere = os.open(os.devnull, os.O_RDWR)
        os.dup2(nowhere, 0)
        os.dup2(nowhere, 2)

    def errcode(self) -> bytes:
        """Return the last errcode that was printed since the last time (empty: none), and forget the rest."""
        self._libc.fflush(None)  # what was printed to a file lies in a buffer until then
        size = os.fstat(self._file).st_size
        if not size:
            return b""
        found = _ERRCODE.findall(os.pread(self._file, min(size, 1 << 16), 0))
        os.ftruncate(self._file, 0)
        os.lseek(self._file, 0, os.SEEK_SET)
        return found[-1] if found else b""


def answer(library: Library, asked: list[bytes]) -> list[bytes]:
    """Return the fields of the answer to one request: return code, then what the call gave."""
    name, *fields = asked
    if name == b"account":
        library.close()
        library.account = Account(*fields)
        return [b"0"]
    if name == b"renew":
        library.close()
        return [b"0"]
    if any(b"\0" in f for f in fields):
        return [str(PARAMETERS).encode()]
    if name == b"chat_data":
        code, data = library.chat_data(int(fields[0]), int(fields[1]))
        return [str(code).encode(), data]
    if name == b"decrypt":
        code, data = library.decrypt(*fields)
        return [str(code).encode(), data]
    code, data, following, last = library.media(*fields)
    return [str(code).encode(), data, following, b"1" if last else b"0"]


def _alone() -> None:
    """Leave no core, let nobody look inside. (The parent's end is seen by the closed descriptor.)"""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, 0)
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def main(descriptor: int) -> None:
    """Answer requests until the other side is gone. The first names the library's file."""
    _alone()
    at = socket.socket(fileno=descriptor)
    noise = Noise()
    with contextlib.suppress(frames.Ended):
        (path,) = frames.receive(at)
        try:
            library = Library(os.fsdecode(path))
        except (OSError, AttributeError):
            frames.send(at, [str(LOAD_FAILED).encode()])
            return
        frames.send(at, [str(LOADED).encode()])
        while True:
            told = answer(library, frames.receive(at))
            frames.send(at, [noise.errcode(), *told])


