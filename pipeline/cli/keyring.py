"""Care of the keyring: rotate, backup, restore, list.

Before: root.py, output.py. After: key_rotation.py, keybackup.py, key_needs.py.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pipeline import clock, durable
from pipeline.cli.output import Format, OutputFile, emit, format_option, output_option
from pipeline.cli.root import CALL, app, recorded, say, t
from pipeline.errors import ArchiveError, UsageError, VerifyFailed

if TYPE_CHECKING:
    from pipeline.key_needs import Coverage
    from pipeline.keyring_file import Material

keyring_app = typer.Typer(help=t("usage.keyring"), no_args_is_help=True)
app.add_typer(keyring_app, name="keyring")

_NAMED = 20  # missing keys told by name; the rest is counted


@keyring_app.command("list", help=t("usage.keyring.list"))
def keyring_list(
    unit: Annotated[str, typer.Argument(help=t("usage.keyring.unit"), metavar="UNIT")] = "", format: Format = format_option, output: OutputFile = output_option
) -> None:
    """List the keys of the keyring, never the keys themselves."""
    with recorded("keyring list", unit=unit):
        infos = CALL.home.keyring.infos()
        rows = [(i.name, "newest" if i.newest else "older", clock.iso(i.created_ms), i.backed_up) for i in infos if i.name.startswith(unit)]
        emit(["key_name", "state", "created_at", "backed_up"], rows, format=format, output=output)
        waiting = sum(not i.backed_up for i in infos)
        if waiting:
            say(t("keyring.list.not_backed_up", n=waiting))
        if CALL.home.keyring.unfinished:
            say(t("keyring.list.unfinished"))


@keyring_app.command("rotate", help=t("usage.keyring.rotate"))
def keyring_rotate(
    to: Annotated[str, typer.Option("--to", help=t("usage.keyring.to"), metavar="SETTING")],
    make_key: Annotated[bool, typer.Option("--make-key", help=t("usage.keyring.make_key"))] = False,
) -> None:
    """Move the keyring under another master key."""
    from pipeline.key_rotation import rotate

    with recorded("keyring rotate", to=to) as told:
        told["result"] = master = rotate(CALL.home_path, CALL.home.keyring, to, make=make_key)
        say(t("keyring.rotate.done", master=master))
        say(t("keyring.rotate.old"))


@keyring_app.command("backup", help=t("usage.keyring.backup"))
def keyring_backup(
    recipient: Annotated[list[str], typer.Option("--recipient", "-r", help=t("usage.keyring.recipient"), metavar="age1…")],
    output: Annotated[Path, typer.Option("--output", "-o", help=t("usage.keyring.output"), metavar="FILE")],
) -> None:
    """Write the keyring as an age file."""
    from pipeline import keybackup

    with recorded("keyring backup", recipients=recipient) as told:
        data, serial = keybackup.save(CALL.home.keyring, recipient, output)
        told["result"] = f"state {serial}, sha256 {hashlib.sha256(data).hexdigest()}"
        say(t("keyring.backup.done", file=output, serial=serial, n=len(recipient)))
        say(t("keyring.backup.apart"))


@keyring_app.command("restore", help=t("usage.keyring.restore"))
def keyring_restore(
    file: Annotated[Path, typer.Argument(help=t("usage.keyring.file"), metavar="FILE")],
    identity_file: Annotated[Path, typer.Option("--identity-file", "-i", help=t("usage.keyring.identity_file"), metavar="FILE")],
    drill: Annotated[bool, typer.Option("--drill", help=t("usage.keyring.drill"))] = False,
    to: Annotated[str, typer.Option("--to", help=t("usage.keyring.restore_to"), metavar="SETTING")] = "",
    make_key: Annotated[bool, typer.Option("--make-key", help=t("usage.keyring.make_key"))] = False,
) -> None:
    """Bring the keyring back from a backup, or only try whether that would work."""
    from pipeline import keybackup
    from pipeline.custody import Custody
    from pipeline.keyring import Held

    data = _read(file)
    if _usable():
        with recorded("keyring drill" if drill else "keyring restore", backup=hashlib.sha256(data).hexdigest()) as told:
            material = keybackup.decrypt(data, keybackup.read_identities(identity_file))
            if to and not drill:
                raise UsageError("KEYRING_USABLE", "the keyring here opens: nothing needs --to", remedy="`liuhen keyring rotate --to …` changes the master key")
            told["result"] = _drill(material) if drill else _restore(material, to, make_key)
        return
    material = keybackup.decrypt(data, keybackup.read_identities(identity_file))
    keybackup.check_ours(CALL.home_path, material)
    result = "" if drill else _restore(material, to, make_key)
    if drill:
        CALL.home.custody = Custody(CALL.home_path / "custody", Held(material))  # the home's own keys do not open: those of the backup record it
    with recorded("keyring drill" if drill else "keyring restore", backup=hashlib.sha256(data).hexdigest()) as told:
        told["result"] = _drill(material) if drill else result


def _usable() -> bool:
    """Whether the home's own keyring opens: then it records the call, else the backup's keys do."""
    try:
        return bool(CALL.home.keyring.get(CALL.home.keyring.current("custody")))
    except ArchiveError:
        CALL.reopen()
        return False


def _restore(material: Material, to: str, make: bool) -> str:
    """Restore; return what the custody log says about it."""
    from pipeline import keybackup

    found = _coverage(material)
    keyring = keybackup.restore(CALL.home_path, material, lost=found.missing, to=to, make=make)
    CALL.reopen()
    say(t("keyring.restore.done", serial=keyring.serial, n=len(material.keys)))
    _tell(found)
    return f"state {keyring.serial}, {len(found.missing)} keys missing"


def _drill(material: Material) -> str:
    found = _coverage(material)
    _tell(found)
    if not found.complete:
        raise VerifyFailed(
            "BACKUP_INCOMPLETE", f"the backup lacks {len(found.missing)} keys that the archive needs; {found.unreadable} files do not open with it",
            remedy="make a new backup: `liuhen keyring backup`",
        )  # fmt: skip
    return f"state {material.serial} opens {found.looked_at} files and boxes"


def _coverage(material: Material) -> Coverage:
    from pipeline.key_needs import coverage
    from pipeline.keyring import Held

    return coverage(CALL.home, Held(material))


def _tell(found: Coverage) -> None:
    say(t("keyring.drill.looked", n=found.looked_at, missing=len(found.missing), unreadable=found.unreadable))
    for name, n in list(found.missing.items())[:_NAMED]:
        say(t("keyring.drill.missing", name=name, n=n))
    if len(found.missing) > _NAMED:
        say(t("keyring.drill.more", n=len(found.missing) - _NAMED))


def _read(file: Path) -> bytes:
    with durable.storage("reading the backup"):
        if not file.is_file():
            raise UsageError("INPUT_MISSING", f"there is no file {file}", remedy="give the age file that `liuhen keyring backup` wrote")
        return file.read_bytes()
