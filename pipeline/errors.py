"""One error tree with stable codes, and the one shape in which a record's failure is told.

Before: nothing. After: everything.

Every sentence here says what was expected, what came, and what to do; none may quote message text, names, keys or tokens.
Exit codes are those of the public interface (README, "Exit codes").
"""

from __future__ import annotations

from enum import IntEnum

import msgspec


class Exit(IntEnum):
    """What a command's end means to the script that called it."""

    DONE = 0
    UNEXPECTED = 1
    USAGE = 2
    LEFT_OVER = 3
    SOURCE_REFUSED = 4
    GAP = 5
    VERIFY_FAILED = 6
    LOCKED = 7
    NOT_ALLOWED = 8
    STORAGE = 9


# Several at once: the first of these that applies is the exit code.
EXIT_PRECEDENCE = (Exit.VERIFY_FAILED, Exit.STORAGE, Exit.SOURCE_REFUSED, Exit.GAP, Exit.LEFT_OVER)


class ArchiveError(Exception):
    """Base of all errors we raise: `code` is stable, `exit_code` ends the command, the text is one clear sentence."""

    exit_code: Exit = Exit.UNEXPECTED

    def __init__(self, code: str, message: str, *, remedy: str = "") -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.remedy = remedy

    def __str__(self) -> str:
        return f"{self.message}; {self.remedy}" if self.remedy else self.message


class UsageError(ArchiveError):
    """The call, the configuration or a file the operator gave is not usable (exit 2)."""

    exit_code = Exit.USAGE


class SourceRefused(ArchiveError):
    """The source said no: secret, address, licence (exit 4)."""

    exit_code = Exit.SOURCE_REFUSED


class VerifyFailed(ArchiveError):
    """Something stored is not what was committed (exit 6)."""

    exit_code = Exit.VERIFY_FAILED


class Locked(ArchiveError):
    """Another run holds the lock (exit 7)."""

    exit_code = Exit.LOCKED


class NotAllowed(ArchiveError):
    """The caller's role does not allow it, or a second person has not approved it yet (exit 8)."""

    exit_code = Exit.NOT_ALLOWED


class StorageError(ArchiveError):
    """Full, read-only or unreachable storage (exit 9)."""

    exit_code = Exit.STORAGE


class RecordError(ArchiveError):
    """One record cannot be settled as archived: the step turns it into a `Failure` and the run goes on.

    `detail` is our own template text, safe to store and to show; it never quotes the record.
    """

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(code, detail)
        self.detail = detail


class Failure(msgspec.Struct, frozen=True, kw_only=True):
    """Why one record, or the broken rest of one page, could not be read. Never holds content.

    step: the module that refused it; code: stable upper-case word; item: position in the page (0-based).
    seq and msgid are None for a broken page. key_version is set where a key is the reason.
    """

    step: str
    code: str
    detail: str
    item: int
    seq: int | None = None
    msgid: str | None = None
    key_version: int | None = None


# step, what the code means, what the operator does. docs/formats.md repeats this table; a test compares them.
FAILURE_CODES: dict[str, tuple[str, str, str]] = {
    "PAGE_CUT": ("landing", "the page ends in the middle: whole records were kept, the rest is lost in this copy", "save the answer again or pull the range again"),
    "PAGE_UNREADABLE": ("landing", "the page is not a GetChatData answer", "check which file was given"),
    "SOURCE_ERRCODE": ("landing", "the saved answer is an error answer of the source", "look the errcode up in docs/formats.md"),
    "ITEM_MALFORMED": ("landing", "a record of the page lacks a field or has one of the wrong type", "report it: the source does not send such records"),
    "SEQ_RANGE": ("landing", "seq is not below 2^63", "report it: the source does not send such records"),
    "SEQ_CONFLICT": ("commit", "the seq was settled before with another msgid", "find out where the page came from; both are kept"),
    "MSGID_CONFLICT": ("commit", "the msgid was settled before with other content", "find out where the page came from; both are kept"),
    "KEY_MISSING": ("envelope", "no private key of this version is known", "`liuhen keys add --version N`, then `liuhen ingest`"),
    "KEY_WRONG": ("envelope", "the private key of this version does not open the record", "check the key of this version, add the right one, then `liuhen ingest`"),
    "KEY_BLOCK_MALFORMED": ("envelope", "encrypt_random_key is not base64 of one RSA block", "report it: the record was damaged before it was saved"),
    "ENVELOPE_MALFORMED": ("envelope", "encrypt_chat_msg does not have the sealed form", "report it: the record was damaged before it was saved"),
    "UNDECRYPTABLE": ("envelope", "wrong key or damaged record: it does not open to a message", "check the key of this version; the sealed bytes are kept"),
    "MSGID_MISMATCH": ("message", "the sealed message carries another msgid than its envelope", "find out where the page came from; the sealed bytes are kept"),
    "MESSAGE_NOT_JSON": ("message", "the opened bytes are not a JSON object", "the sealed bytes are kept; report it"),
    "MESSAGE_NOT_UTF8": ("message", "the opened bytes are not valid UTF-8", "the sealed bytes are kept; report it"),
    "MESSAGE_TOO_DEEP": ("message", "the JSON nests deeper than 64 levels", "the sealed bytes are kept; report it"),
    "MESSAGE_TOO_LARGE": ("message", "the opened message is larger than 64 MiB", "the sealed bytes are kept; report it"),
    "MESSAGE_MALFORMED": ("message", "a field every message needs is missing or has the wrong type", "the sealed bytes are kept; report it"),
}
