"""The vendor's library as an opener: the same interface as envelope.py's own, so that either can stand behind a page.

Before: vendor.py, actions.py. After: workbench.py (`source.opener`). doctor/ compares both openers on the operator's own records.
One child a process, shared by its threads. A record that ends the child is asked once more (the child may have been killed from outside);
ends it again, it is kept sealed as a failure and the rest of the page goes on.
"""

from __future__ import annotations

import atexit
import threading
from functools import lru_cache

from pipeline.envelope import Decrypt
from pipeline.errors import RecordError
from pipeline.home import Home
from pipeline.source import actions
from pipeline.source.interface import VendorError
from pipeline.source.library import LibraryFile, find
from pipeline.source.vendor import DECRYPT_S, Restarting


class Opener:
    """DecryptData of one library file. Call it with (key block, encrypt_chat_msg)."""

    def __init__(self, file: LibraryFile) -> None:
        self._running = Restarting(file)
        self._one_at_a_time = threading.Lock()

    def __call__(self, key_block: bytes, chat_msg: bytes) -> bytes:
        """Return the message's bytes; raises RecordError."""
        tried = 0
        while True:
            tried += 1
            try:
                with self._one_at_a_time:
                    return self._running.call(b"decrypt", key_block, chat_msg, timeout_s=DECRYPT_S)[0]
            except VendorError as error:
                action, code = actions.opening(error.code), error.code
            if tried >= action.tries:
                what = "ended, or never came back, on this record" if action.do == "retry" else f"does not open it: code {code}"
                raise RecordError(action.code, f"the vendor's library {what}")

    def close(self) -> None:
        """End the child."""
        self._running.close()


@lru_cache(maxsize=4)
def _opener(file: LibraryFile) -> Opener:
    made = Opener(file)
    atexit.register(made.close)
    return made


def decrypt_of(home: Home) -> Decrypt | None:
    """Return what opens the envelopes of this home: the library, or None for our own opener. Raises UsageError as `library.find`."""
    settings = home.config.source
    if settings.opener == "open" or (settings.opener == "auto" and not settings.library):
        return None
    return _opener(find(home.path, library=settings.library, sha256=settings.library_sha256))
