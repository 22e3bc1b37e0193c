"""A master key of a key service that speaks AWS KMS, used through boto3 (the extra `kms`).

Before: masters.py. After: keyring.py.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from pipeline.errors import ArchiveError, StorageError, UsageError
from pipeline.masters import Setting, imported, mismatch


class ServiceMaster:
    """A symmetric key of a service that speaks AWS KMS; credentials from the environment as boto3 reads them. The name is the encryption context."""

    def __init__(self, setting: Setting) -> None:
        self._key, self._region, self._endpoint = setting.rest, setting.query.get("region"), setting.query.get("endpoint")
        self.id = "kms:" + hashlib.sha256(b"liuhen-master\0" + self._key.encode()).hexdigest()[:16]

    def wrap(self, key: bytes, name: str) -> bytes:
        """See MasterKey."""
        with self._client() as client:
            return bytes(client.encrypt(KeyId=self._key, Plaintext=key, EncryptionContext={"liuhen": name})["CiphertextBlob"])

    def unwrap(self, wrapped: bytes, name: str) -> bytes:
        """See MasterKey."""
        with self._client() as client:
            return bytes(client.decrypt(KeyId=self._key, CiphertextBlob=wrapped, EncryptionContext={"liuhen": name})["Plaintext"])

    @contextmanager
    def _client(self) -> Iterator[Any]:
        session = imported("boto3", extra="kms").session.Session()  # a fresh one: credentials that were renewed count
        botocore = imported("botocore.config", extra="kms"), imported("botocore.exceptions", extra="kms")
        limits = botocore[0].Config(connect_timeout=5, read_timeout=10, retries={"mode": "standard", "max_attempts": 3})
        try:
            yield session.client("kms", region_name=self._region, endpoint_url=self._endpoint, config=limits)
        except botocore[1].ClientError as error:
            raise _service_error(error.response.get("Error", {}).get("Code", "")) from error
        except (botocore[1].BotoCoreError, ValueError) as error:
            raise _unsent(type(error).__name__) from error


_DENIED = (
    "AccessDenied", "AccessDeniedException", "ExpiredTokenException", "IncompleteSignature", "InvalidClientTokenId", "InvalidSignatureException",
    "MissingAuthenticationToken", "OptInRequired", "SignatureDoesNotMatch", "UnrecognizedClientException",
)  # fmt: skip


def _service_error(code: str) -> ArchiveError:
    match code:
        case "InvalidCiphertextException" | "IncorrectKeyException":
            return mismatch()
        case "NotFoundException":
            return UsageError("MASTER_KEY_MISSING", "the key service has no key of this name", remedy="check the key, region and account of keys.master")
        case "DisabledException" | "KMSInvalidStateException" | "KeyUnavailableException":
            return UsageError(
                "MASTER_KEY_DISABLED", "the key of the key service is disabled or waits for its deletion", remedy="enable it, or cancel the deletion, at once"
            )
        case "InvalidKeyUsageException" | "ValidationException" | "InvalidArnException":
            return UsageError("MASTER_KEY_UNFIT", "the key service does not encrypt with this key", remedy="name a symmetric key for encryption")
        case _ if code in _DENIED:
            return UsageError("MASTER_SERVICE_DENIED", f"the key service refused us ({code})", remedy="allow this role kms:Encrypt and kms:Decrypt on the key")
    return StorageError("MASTER_UNREACHABLE", f"the key service answered with an error ({code or 'none given'})", remedy="run the same command again later")


def _unsent(kind: str) -> ArchiveError:
    if kind in ("NoRegionError", "ValueError", "InvalidRegionError"):
        return UsageError("MASTER_KEY_UNKNOWN", "keys.master names no usable region or endpoint of the key service", remedy="add ?region=NAME")
    if "Credential" in kind or "Token" in kind or "Profile" in kind:
        return UsageError("MASTER_SERVICE_DENIED", f"there are no usable credentials for the key service ({kind})", remedy="give this process a role or credentials")
    return StorageError("MASTER_UNREACHABLE", f"the key service cannot be reached ({kind})", remedy="check the network and run the same command again")
