"""A self-made certificate for the platform's host name: the vendor library checks the name, not who signed it (envelope-format.md 4).

Before: nothing. After: server.py. P-256, because a handshake is made for every request.
"""

from __future__ import annotations

import ssl
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives import serialization as ser
from cryptography.hazmat.primitives.asymmetric import ec

HOST = "qyapi.weixin.qq.com"
LIFE_DAYS = 30


def made(host: str = HOST) -> tuple[bytes, bytes]:
    """Return a fresh certificate for `host` and its private key, both PEM."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, host), x509.NameAttribute(x509.NameOID.ORGANIZATION_NAME, "liuhen simulate DEMO")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key()).serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1)).not_valid_after(now + timedelta(days=LIFE_DAYS))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(host)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True).sign(key, hashes.SHA256())
    )  # fmt: skip
    secret = key.private_bytes(ser.Encoding.PEM, ser.PrivateFormat.PKCS8, ser.NoEncryption())
    return certificate.public_bytes(ser.Encoding.PEM), secret


def server_context(host: str = HOST) -> tuple[ssl.SSLContext, bytes]:
    """Return a TLS context that shows a fresh certificate, and the certificate, for clients that do check who signed it."""
    public, secret = made(host)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    # OpenSSL takes a private key from a file only.
    with tempfile.NamedTemporaryFile(suffix=".pem") as handle:
        Path(handle.name).write_bytes(public + secret)
        context.load_cert_chain(handle.name)
    return context, public
