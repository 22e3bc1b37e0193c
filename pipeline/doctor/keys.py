"""Master key and enterprise keys: do they open what they must, and by what?

Before: findings.py, enterprise_keys.py, left_over.py. After: examine.py.
A private key is tried by a known answer: sealed with its public half, opened again. Which version belongs to which public key WeCom knows
alone: a wrong pairing shows at the first record (failure KEY_WRONG), not here.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import pyarrow.compute as pc

from pipeline import enterprise_keys, left_over, multibuffer
from pipeline.doctor.findings import Finding, of_error
from pipeline.errors import ArchiveError, Exit
from pipeline.home import Home


def look_home(home: Home) -> Finding:
    """Return whether the master key opens the keyring."""
    try:
        names = home.keyring.names()
        home.keyring.get(names[0])
    except ArchiveError as error:
        return of_error("master", error)
    return Finding(check="master", state="ok", outcome="ok", values={"n": len(names)})


def look_rsa(home: Home) -> Finding:
    """Return what does the private operations, and why not eight at once; bad where that was demanded."""
    if home.config.ingest.rsa == multibuffer.ONE:
        return Finding(check="rsa", state="ok", outcome="configured")
    try:
        multibuffer.library()
    except multibuffer.Unavailable as why:
        if home.config.ingest.rsa == multibuffer.MANY:
            return of_error("rsa", multibuffer.impossible(why))
        return Finding(check="rsa", state="note" if str(why) in ("not_installed", "processor") else "warning", outcome=str(why))
    return Finding(check="rsa", state="ok", outcome="ok")


def look(home: Home, corp_id: str) -> Iterator[Finding]:
    """Yield what is found about a corp's private keys."""
    try:
        stored = [k for k in home.enterprise_keys(corp_id) if not k.retired]
        waiting = left_over.waiting_by_key(home, corp_id)
        held = _held_back(home, corp_id)
        keys = home.key_set(corp_id)
    except ArchiveError as error:
        yield of_error("keys", error, corp=corp_id)
        return
    for key in stored:
        try:
            enterprise_keys.self_test(keys[key.version])
        except ArchiveError as error:
            yield of_error("keys", error, corp=corp_id)
            continue
        values = {"version": key.version, "fingerprint": key.fingerprint}
        odd = bool(key.warning)
        yield Finding(check="keys", corp=corp_id, state="warning" if odd else "ok", outcome="size" if odd else "ok", values=values)
    if not stored:
        yield Finding(check="keys", corp=corp_id, state="bad", outcome="none", exit_code=int(Exit.USAGE))
    for version, records in sorted(waiting.items()):
        values = {"version": version, "n": records}
        yield Finding(check="keys", corp=corp_id, state="bad", outcome="waiting", values=values, exit_code=int(Exit.LEFT_OVER))
    for version, records in sorted(held.items()):
        if version not in keys:
            values = {"version": version, "n": records}
            yield Finding(check="keys", corp=corp_id, state="bad", outcome="needed", values=values, exit_code=int(Exit.LEFT_OVER))


def _held_back(home: Home, corp_id: str) -> Counter[int]:
    """Return how many pending and withheld records of each version stay sealed, and need its key should they be opened one day."""
    lake = home.lake(corp_id)
    snapshot = lake.snapshot()
    found: Counter[int] = Counter()
    for kind in ("pending_sealed", "withheld_sealed"):
        versions = lake.read(kind, snapshot.of(kind), columns=["key_version"])["key_version"]
        found.update({row["values"]: row["counts"] for row in pc.value_counts(versions.drop_null()).to_pylist()})
    return found
