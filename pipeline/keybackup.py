"""Backup of the keyring as an age file, and the way back: keys in clear exist in memory only.

Before: keyring.py, key_needs.py. After: cli/keyring.py.
The file is age v1 (https://age-encryption.org/v1) to one or more X25519 recipients; inside is JSON (docs/formats.md, section 3), so that
`age -d` and any program that reads JSON open it without this one. It depends on no master key: the identity alone opens it.
A backup older than the destruction of a key still holds that key: docs/operations.md says what follows.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import msgspec

from pipeline import config, durable, masters
from pipeline import keyring_file as kf
from pipeline.errors import UsageError, VerifyFailed
from pipeline.key_rotation import with_master
from pipeline.keyring import Keyring
from pipeline.keyring_file import VERSION, KeyringFile, Material
from pipeline.masters import KEY_BYTES, MasterKey


def encrypt(material: Material, recipients: Sequence[str]) -> bytes:
    """Return the backup for these recipients (age1…); raises UsageError BACKUP_RECIPIENT_MALFORMED."""
    age = masters.imported("pyrage", extra="backup")
    return bytes(age.encrypt(msgspec.json.encode(material), [_recipient(age, text) for text in recipients]))


def _recipient(age: Any, text: str) -> Any:
    try:
        return age.x25519.Recipient.from_str(text.strip())
    except age.RecipientError as error:
        raise UsageError(
            "BACKUP_RECIPIENT_MALFORMED", "a recipient is not an age public key: expected age1… of 62 characters", remedy="`age-keygen -y FILE` prints it"
        ) from error


def read_identities(path: Path) -> list[Any]:
    """Return the identities in a file as `age-keygen` writes it; raises UsageError IDENTITY_MISSING, IDENTITY_EXPOSED, IDENTITY_MALFORMED."""
    age = masters.imported("pyrage", extra="backup")
    advice = "give the file that age-keygen wrote"
    data = masters.read_secret(path, what="the identity file", missing="IDENTITY_MISSING", exposed="IDENTITY_EXPOSED", advice=advice)
    lines = [line.strip() for line in data.decode(errors="replace").splitlines()]
    try:
        found = [age.x25519.Identity.from_str(line) for line in lines if line and not line.startswith("#")]
    except age.IdentityError:
        found = []
    if not found:
        raise UsageError("IDENTITY_MALFORMED", f"the identity file {path.name} holds no AGE-SECRET-KEY-1… line", remedy=advice)
    return found


def decrypt(data: bytes, identities: Sequence[Any]) -> Material:
    """Return what `encrypt` was given; raises UsageError BACKUP_IDENTITY_WRONG, VerifyFailed BACKUP_DAMAGED."""
    age = masters.imported("pyrage", extra="backup")
    try:
        material = msgspec.json.decode(age.decrypt(data, identities), type=Material)
    except age.DecryptError as error:
        if "No matching keys" in str(error):
            raise UsageError("BACKUP_IDENTITY_WRONG", "this identity does not open the backup", remedy="use the identity of a recipient it was made for") from None
        raise VerifyFailed("BACKUP_DAMAGED", "the backup is not an age file, or was cut or changed", remedy="use another copy") from None
    except msgspec.DecodeError:
        raise VerifyFailed("BACKUP_DAMAGED", "the age file does not hold a keyring", remedy="check which file it is") from None
    if material.version != VERSION or any(len(one.key) != KEY_BYTES for one in material.keys.values()):
        raise VerifyFailed("BACKUP_DAMAGED", f"the backup does not hold a keyring of format {VERSION}", remedy="use the version of liuhen that wrote it")
    return material


def save(keyring: Keyring, recipients: Sequence[str], output: Path) -> tuple[bytes, int]:
    """Write a backup to `output`, a new file (0600); return its bytes and the serial of the key set it holds."""
    if not recipients:
        raise UsageError("BACKUP_RECIPIENT_MALFORMED", "no recipient was given", remedy="--recipient age1…")
    material = keyring.material()
    data = encrypt(material, recipients)
    if not durable.write_once(output, data):
        raise UsageError("OUTPUT_EXISTS", f"there is a file {output} already", remedy="name another: a backup overwrites nothing")
    keyring.backed_up(material.serial)
    return data, material.serial


def restore(home: Path, material: Material, *, lost: Iterable[str] = (), to: str = "", make: bool = False) -> Keyring:
    """Write the keyring of a backup into `home` under its master key, or with `to` under another one; return it.

    lost: names that the archive needs and the backup lacks; their numbers are not used again. With `to` the configuration is changed first:
    killed in between, the same command again completes it. Raises VerifyFailed KEYRING_FOREIGN (a backup of another home),
    UsageError KEYRING_NEWER (the keyring here has newer keys, or has forgotten some since); both leave everything as it was."""
    path, config_path = home / "keys" / "keyring.json", home / "liuhen.toml"
    setting = to or config.parse(config.read(config_path)).keys.master
    text = with_master(config.read(config_path), setting)
    durable.make_folder(path.parent)
    with kf.locked(path):
        seen = kf.read_witness(home / kf.WITNESS)
        _check_older(path, material, seen)
        if make:
            masters.make_master(setting, home)
        master = masters.open_master(setting, home)
        if to:
            durable.replace(config_path, text.encode())
        plant(path, master, material, seen, lost)
        kf.testify(home / kf.WITNESS, _there(path))
    return Keyring(path, master, witness=home / kf.WITNESS)


def check_ours(home: Path, material: Material) -> None:
    """Raise VerifyFailed KEYRING_FOREIGN when the backup is of another home's keyring, UsageError or VerifyFailed as reading does."""
    _check_older(home / "keys" / "keyring.json", material, kf.read_witness(home / kf.WITNESS), newer=False)


def _check_older(path: Path, material: Material, seen: kf.Witness | None, *, newer: bool = True) -> None:
    try:
        found = kf.read_file(path)
    except VerifyFailed:
        found = None  # a damaged one is what a backup is for
    known = {found[0].id} if found else {seen.keyring} if seen else set()
    if known - {material.id}:
        raise VerifyFailed("KEYRING_FOREIGN", "the backup is of another home's keyring", remedy="find the backup of this one")
    if newer and found and found[0].serial > material.serial:
        raise UsageError(
            "KEYRING_NEWER", f"the keyring here is newer (state {found[0].serial}) than the backup (state {material.serial}): nothing was changed",
            remedy="keep it; only if its master key is lost, move it away first, then run the same command again",
        )  # fmt: skip


def _there(path: Path) -> KeyringFile:
    found = kf.read_file(path)
    assert found is not None  # just written
    return found[0]


def plant(path: Path, master: MasterKey, material: Material, seen: kf.Witness | None, lost: Iterable[str]) -> None:
    """Write the keyring file of `material` under `master`; what the witness knows to be destroyed stays destroyed."""
    destroyed = {**(seen.destroyed if seen else {}), **material.destroyed}
    keys = {name: one for name, one in material.keys.items() if name not in destroyed}
    root = secrets.token_bytes(KEY_BYTES)
    file = KeyringFile(
        version=VERSION, id=material.id, roots=(kf.wrap_root(master, root, material.id),), backup=material.serial,
        serial=material.serial if seen is None or seen.serial <= material.serial else seen.serial + 1,
        keys={name: kf.wrap_key(root, name, one) for name, one in keys.items()},
        destroyed=destroyed, lost=sorted({*material.lost, *lost} - set(destroyed) - set(keys)),
    )  # fmt: skip
    kf.write(path, file, root)
