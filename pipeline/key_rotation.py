"""Rotation: the keyring moves under another master key, and the configuration with it.

Before: keyring.py, masters.py, config.py. After: cli/keyring.py.
"""

from __future__ import annotations

from pathlib import Path

import msgspec

from pipeline import config, durable, masters
from pipeline.keyring import Keyring


def with_master(text: str, setting: str) -> str:
    """Return the configuration `text` with keys.master set to `setting`; raises UsageError when either is not usable."""
    masters.parse(setting)
    return config.changed(text, "keys.master", msgspec.json.encode(setting).decode())  # a JSON string is a TOML string


def rotate(home: Path, keyring: Keyring, to: str, *, make: bool = False) -> str:
    """Move the keyring of `home` under the master key that `to` names (made first with `make`); return the new master's id.

    Killed at any point the home opens with the master key its configuration names then; the same command again completes it.
    Nothing is changed when the new master key cannot wrap and unwrap. Archive files are not touched."""
    path = home / "liuhen.toml"
    with_master(config.read(path), to)
    if make:
        masters.make_master(to, home)
    master = masters.open_master(to, home)
    keyring.rotate(master, lambda: durable.replace(path, with_master(config.read(path), to).encode()))
    return master.id
