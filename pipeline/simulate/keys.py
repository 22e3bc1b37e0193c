"""The corp's RSA keys: each message is sealed with the newest; a new version while it runs (wecom-archive.md 2.2).

Before: demo/generate.py. After: simulator.py, growth.py.
"""

from __future__ import annotations

from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from pipeline.demo import generate


class CorpKeys:
    """Private keys by version, and the folder in which the operator finds them as PEM."""

    def __init__(self, folder: Path, keys: generate.Keys) -> None:
        self._folder = folder
        self._keys = dict(keys)

    @property
    def newest(self) -> int:
        """The version that seals from now on."""
        return max(self._keys)

    def public(self, version: int) -> rsa.RSAPublicKey:
        """Return the public half."""
        return self._keys[version].public_key()

    def rotate(self) -> Path:
        """Make the next version and write its private half (PKCS#8, 0600); return the file."""
        version = self.newest + 1
        key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        path = self._folder / f"keys/v{version}.pem"
        form = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        generate.write_secret(path, key.private_bytes(*form))
        self._keys[version] = key
        return path
