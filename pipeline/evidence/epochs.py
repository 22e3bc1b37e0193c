"""Epochs: after a restore the log goes on under a new number, and says so in its first leaf.

Before: checkpoint.py. After: the command `checkpoint --after`; verifiers.

An archive that was put back from a backup lacks leaves that a checkpoint known outside was made over. Going on as if nothing had happened
would show two histories. So a new epoch begins: its first leaf is that checkpoint (its whole note), then come the leaves of all records that
are there, and every checkpoint of the epoch names it. Rules: (1) the checkpoint must be one that this log signed; (2) one that the log still
begins with needs no epoch, and gets none; (3) each epoch begins with a checkpoint of the one before it; (4) it stands in the custody log.
"""

from __future__ import annotations

from pathlib import Path

from pipeline import durable
from pipeline.errors import UsageError
from pipeline.evidence import checkpoint, note, statement
from pipeline.evidence.signer import public_key
from pipeline.home import Home


def begin(home: Home, corp_id: str, outside: Path) -> tuple[int, bool]:
    """Begin the epoch that follows the checkpoint in a file; return its number and whether one was needed (rule 2).

    Raises UsageError EPOCH_NOTE (no checkpoint of this log), EPOCH_PLACE (of another epoch than the newest)."""
    text = _read(outside)
    opened = note.opened(text, public_key(home, corp_id))
    if opened is None:
        raise UsageError("EPOCH_NOTE", "the file is no checkpoint that this log signed", remedy="give the .note that was left with somebody else")
    said, newest = statement.parse(opened), checkpoint.newest_epoch(home, corp_id)
    if (said.epoch.number if said.epoch else 0) != newest:
        raise UsageError("EPOCH_PLACE", f"the checkpoint is of another epoch than the newest here ({newest})", remedy="give the newest checkpoint that is known outside")
    grown = checkpoint.tree(home, corp_id, home.lake(corp_id).snapshot())
    if said.size <= grown.size and grown.root(said.size) == said.root:
        return newest, False
    at = checkpoint.folder(home, corp_id, newest + 1)
    home.custody.append(command="checkpoint", phase="epoch", params={"corp": corp_id, "epoch": newest + 1, "size": said.size, "root": said.root.hex()})
    durable.make_folder(at)
    durable.write_once(at / "before.note", text.encode())
    return newest + 1, True


def _read(path: Path) -> str:
    try:
        return path.read_bytes().decode("utf-8")
    except FileNotFoundError:
        raise UsageError("INPUT_MISSING", f"there is no file {path.name}", remedy="give the .note that was left with somebody else") from None
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError("EPOCH_NOTE", "the file cannot be read as a checkpoint", remedy="give the .note that was left with somebody else") from error
