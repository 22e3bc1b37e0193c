"""Where a secret is: a reference in liuhen.toml, never the value. The value is read when it is needed.

Before: errors.py. After: whatever talks to WeCom.
Rules: (1) `env:NAME` is an environment variable, `file:PATH` a file (relative to the home) that only its owner can read.
(2) Whatever else stands there may be the secret itself: no error quotes it. (3) White space around a value is dropped.
"""

from __future__ import annotations

import os
import re
import stat
from pathlib import Path
from typing import Final

from pipeline import durable
from pipeline.errors import UsageError

ENV_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")
LARGEST: Final = 65_536


def well_formed(reference: str) -> bool:
    """Tell whether this is a reference (or empty: none is set)."""
    scheme, _, rest = reference.partition(":")
    return not reference or (scheme == "env" and ENV_NAME.match(rest) is not None) or (scheme == "file" and rest != "")


def resolve(reference: str, base: Path, *, setting: str) -> str:
    """Return the secret that `reference` names; `setting` is what the configuration calls it, `base` the home.

    Raises UsageError SECRET_FORM (no reference), SECRET_MISSING (nothing there), SECRET_READABLE (others may read the file)."""
    scheme, _, rest = reference.partition(":")
    if not reference or not well_formed(reference):
        why = "is not set" if not reference else "is not a reference"
        raise UsageError("SECRET_FORM", f"{setting} {why}: expected env:NAME or file:PATH", remedy=f"`liuhen config set` or edit {setting} in liuhen.toml")
    value = os.environ.get(rest, "") if scheme == "env" else _from_file(base / rest, setting)
    if not value.strip():
        where = f"the environment variable {rest}" if scheme == "env" else "the file"
        raise UsageError("SECRET_MISSING", f"{setting}: {where} is empty or not there", remedy="put the secret there")
    return value.strip()


def _from_file(path: Path, setting: str) -> str:
    try:
        found = path.stat()
        if not stat.S_ISREG(found.st_mode) or found.st_size > LARGEST:
            raise UsageError("SECRET_MISSING", f"{setting}: expected a small file, got something else", remedy="name the file that holds the secret")
        if found.st_mode & 0o077:
            raise UsageError("SECRET_READABLE", f"{setting}: others may read the file: expected mode 0600, got {found.st_mode & 0o777:04o}", remedy="chmod 600 the file")
        return path.read_text("utf-8")
    except (FileNotFoundError, UnicodeDecodeError):
        return ""
    except OSError as error:
        raise durable.storage_error(error, f"reading the secret of {setting}") from error
