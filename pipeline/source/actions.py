"""What is done about every return code of the library and every errcode of the server: the table, and nothing else.

Before: interface.py. After: pull.py, media_fetch.py, native.py. docs/source.md shows this table; a test compares them.
Source: wecom-archive.md 1.4, 2.3; envelope-format.md 3, 4. A code that is not in a table is `OTHER`.

    ok      go on
    retry   the same call again after a pause, `tries` in all; then what `after` says
    renew   a new handle (its token is asked for anew), then as retry
    wait    at least a minute's pause and half the rate, then as retry
    skip    this file or record is given up: its status says why
    stop    nothing more is asked of this corp: exit 4, with the sentence of `code`
    halve   (after retries) ask for half as many records, down to one: that one is set aside as a gap, the rest goes on
    later   (after retries) left for the next run
    park    (after retries) counted; after three runs its status says so
    fail    (after retries) this record is kept sealed, as a failure
"""

from __future__ import annotations

from typing import Literal

import msgspec

from pipeline.source.interface import CHILD_DIED, TIMED_OUT

Do = Literal["ok", "retry", "renew", "wait", "skip", "stop"]
After = Literal["halve", "later", "park", "stop", "fail"]


class Action(msgspec.Struct, frozen=True):
    """What to do: `tries` calls in all, then `after`. code: our stable word for the error; status: a skipped file's."""

    do: Do
    code: str = ""
    tries: int = 1
    after: After = "stop"
    status: str = ""


# GetChatData's return code.
CHAT: dict[int, Action] = {
    0: Action("ok"),
    10000: Action("stop", "SOURCE_PARAMETERS"),
    10001: Action("retry", "SOURCE_UNREACHABLE", tries=6, after="later"),
    10002: Action("retry", "SOURCE_ANSWER_UNREADABLE", tries=4, after="halve"),
    10003: Action("renew", "SOURCE_SYSTEM", tries=4, after="halve"),
    10004: Action("stop", "SOURCE_PARAMETERS"),
    10009: Action("stop", "SOURCE_ADDRESS"),
    10010: Action("renew", "SOURCE_EXPIRED", tries=2, after="stop"),
    10011: Action("stop", "SOURCE_CERTIFICATE"),
    TIMED_OUT: Action("renew", "SOURCE_SILENT", tries=2, after="halve"),
    CHILD_DIED: Action("renew", "SOURCE_LIBRARY_DIED", tries=3, after="halve"),
}
# The errcode inside an answer whose return code is 0; also one that the library printed when it could not get a token.
SERVER: dict[int, Action] = {
    0: Action("ok"),
    -1: Action("retry", "SOURCE_BUSY", tries=4, after="later"),
    40001: Action("stop", "SOURCE_SECRET"),
    40013: Action("stop", "SOURCE_CORP_ID"),
    40014: Action("renew", "SOURCE_TOKEN", tries=2, after="stop"),
    41001: Action("renew", "SOURCE_TOKEN", tries=2, after="stop"),
    42001: Action("renew", "SOURCE_TOKEN", tries=2, after="stop"),
    45009: Action("wait", "SOURCE_RATE", tries=4, after="later"),
    45033: Action("wait", "SOURCE_RATE", tries=4, after="later"),
    48001: Action("stop", "SOURCE_PERMISSION"),
    48002: Action("stop", "SOURCE_PERMISSION"),
    60020: Action("stop", "SOURCE_ADDRESS"),
    301042: Action("stop", "SOURCE_ADDRESS"),
    301052: Action("stop", "SOURCE_LICENCE"),
    301053: Action("stop", "SOURCE_NOT_ENABLED"),
}
# GetMediaData's return code.
MEDIA: dict[int, Action] = {
    0: Action("ok"),
    10000: Action("retry", "MEDIA_INDEX", tries=2, after="park"),  # the saved index is dropped first: from the beginning, once
    10001: Action("retry", "SOURCE_UNREACHABLE", tries=4, after="later"),
    10002: Action("retry", "MEDIA_UNREADABLE", tries=4, after="park"),
    10003: Action("renew", "MEDIA_SYSTEM", tries=4, after="park"),
    10004: Action("stop", "SOURCE_PARAMETERS"),
    10005: Action("skip", "MEDIA_ID", status="missing"),
    10006: Action("retry", "MEDIA_UNDECRYPTABLE", tries=3, after="park"),
    10009: Action("stop", "SOURCE_ADDRESS"),
    10010: Action("skip", "MEDIA_EXPIRED", status="expired"),
    10011: Action("stop", "SOURCE_CERTIFICATE"),
    TIMED_OUT: Action("renew", "SOURCE_SILENT", tries=3, after="park"),
    CHILD_DIED: Action("renew", "SOURCE_LIBRARY_DIED", tries=3, after="park"),
}
# DecryptData's return code. It asks nobody: the same bytes get the same answer, so only a process that ended is tried again.
OPENING: dict[int, Action] = {
    0: Action("ok"),
    10000: Action("skip", "UNDECRYPTABLE", status="failed"),
    10005: Action("skip", "UNDECRYPTABLE", status="failed"),
    10006: Action("skip", "UNDECRYPTABLE", status="failed"),
    10008: Action("skip", "UNDECRYPTABLE", status="failed"),
    TIMED_OUT: Action("retry", "ENVELOPE_MALFORMED", tries=2, after="fail"),
    CHILD_DIED: Action("retry", "ENVELOPE_MALFORMED", tries=2, after="fail"),
}
OTHER_OPENING = Action("skip", "UNDECRYPTABLE", status="failed")
OTHER = Action("retry", "SOURCE_OTHER", tries=4, after="stop")
OTHER_MEDIA = Action("retry", "SOURCE_OTHER", tries=4, after="park")

# Our word -> the sentence, and what the operator does.
SENTENCES: dict[str, tuple[str, str]] = {
    "SOURCE_PARAMETERS": ("the source calls a parameter wrong", "check corp id and archive secret in liuhen.toml"),
    "SOURCE_UNREACHABLE": ("the source cannot be reached, or gives no token", "check network, proxy, corp id and archive secret; `liuhen doctor`"),
    "SOURCE_ANSWER_UNREADABLE": ("the source's answer could not be read", "run the same command again; report it when it stays"),
    "SOURCE_SYSTEM": ("the library reports a failure of its own", "run the same command again; report it when it stays"),
    "SOURCE_EXPIRED": ("the source says that the data expired", "run the same command again; report it when it stays"),
    "SOURCE_CERTIFICATE": ("the source's certificate was refused", "check the root certificates and whether a proxy opens TLS; `liuhen doctor`"),
    "SOURCE_SILENT": ("the source did not answer in time", "check the network; raise source.timeout_s"),
    "SOURCE_LIBRARY_DIED": ("the vendor's library ended its process", "check the library's file and the architecture; `liuhen doctor`"),
    "SOURCE_BUSY": ("the source says it is busy", "run the same command later"),
    "SOURCE_SECRET": ("the source does not know this archive secret", "check corp.archive_secret: it must be the secret of the archive, no other"),
    "SOURCE_CORP_ID": ("the source does not know this corp id", "check corp.id in liuhen.toml"),
    "SOURCE_TOKEN": ("the source refuses tokens that it gave a moment ago", "check whether another program uses the same archive secret"),
    "SOURCE_RATE": ("the source says that too many calls were made", "lower source.calls_per_minute; check for other programs with this secret"),
    "SOURCE_PERMISSION": ("this secret may not call the archive", "check corp.archive_secret: it must be the secret of the archive"),
    "SOURCE_ADDRESS": ("the source does not accept calls from this address", "add the public address of this machine (or of the proxy) to the trusted addresses"),
    "SOURCE_LICENCE": ("the archive service of this corp has expired", "renew it in the administration of WeCom: what is sent meanwhile is not archived"),
    "SOURCE_NOT_ENABLED": ("the archive service of this corp is not enabled", "enable it in the administration of WeCom"),
    "SOURCE_REPEATS": ("the source gives the same page again and again", "report it; nothing was lost and the cursor stays"),
    "SOURCE_OTHER": ("the source answered with a code that is not documented", "look it up in WeCom's list of codes"),
    "MEDIA_INDEX": ("the source refuses the place in a file", "run the same command again"),
    "MEDIA_UNREADABLE": ("a slice of a file could not be read", "run the same command again"),
    "MEDIA_SYSTEM": ("the library reports a failure of its own for a file", "run the same command again"),
    "MEDIA_ID": ("the source does not know this file", "nothing: its status says so"),
    "MEDIA_UNDECRYPTABLE": ("a file does not open", "run the same command again"),
    "MEDIA_EXPIRED": ("a file left the window before it was fetched", "nothing: its status says so; fetch media more often"),
}


def chat(code: int) -> Action:
    """Return what to do about a return code of GetChatData."""
    return CHAT.get(code, OTHER)


def server(errcode: int) -> Action:
    """Return what to do about an errcode of the server."""
    return SERVER.get(errcode, OTHER)


def opening(code: int) -> Action:
    """Return what to do about a return code of DecryptData."""
    return OPENING.get(code, OTHER_OPENING)


def media(code: int) -> Action:
    """Return what to do about a return code of GetMediaData."""
    return MEDIA.get(code, OTHER_MEDIA)
