"""Which source a corp has: the vendor's library; only for WeCom's double on this machine its plain client (made-up data, tests).

Before: vendor.py. After: pull, media, run.
The plain client is never offered against WeCom: it is taken only when `wecom.base_url` is plain http, which the configuration allows for
loopback addresses alone (the client refuses others too), and no library is configured.
"""

from __future__ import annotations

from pipeline import secret_refs
from pipeline.home import Home
from pipeline.source.interface import Source
from pipeline.source.vendor import open_native


def open_source(home: Home, corp_id: str) -> Source:
    """Return the source of a corp; raises UsageError for what is not configured."""
    base = home.config.wecom.base_url
    if base.startswith("http://") and not home.config.source.library:
        from pipeline.simulate.client import LoopbackSource

        corp = next(c for c in home.config.corp if c.id == corp_id)
        secret = secret_refs.resolve(corp.archive_secret, home.path, setting=f"corp.{corp_id}.archive_secret")
        return LoopbackSource(base, corp_id, secret, timeout_s=home.config.source.timeout_s)
    return open_native(home, corp_id)
