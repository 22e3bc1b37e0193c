"""One look-up for the data folders `schemas/`, `keywords/` and `sql/`.

Before: nothing. After: schema.py, lexicon.py, audit.py, words.py.
In a checkout (and an editable install) they lie beside the package; in a wheel they lie inside it under `_data/`.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Literal

from pipeline.errors import UsageError

Folder = Literal["schemas", "keywords", "sql"]


@cache
def data_folder(name: Folder) -> Path:
    """Return the folder `name`; raises UsageError DATA_FOLDER_MISSING when the installation lacks it."""
    package = Path(__file__).parent
    for base in (package / "_data", package.parent):
        if (base / name).is_dir():
            return base / name
    raise UsageError("DATA_FOLDER_MISSING", f"the folder {name}/ of this installation is missing", remedy="install liuhen again")
