"""A time-stamp authority on this machine: a root, a certificate made for stamps alone, and `openssl ts` behind real HTTP."""

from __future__ import annotations

import subprocess
import threading
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives import serialization as ser
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

CONFIG = """
[tsa]
default_tsa = one
[one]
serial = {folder}/serial
crypto_device = builtin
signer_cert = {folder}/tsa.pem
certs = {folder}/root.pem
signer_key = {folder}/tsa.key
signer_digest = sha256
default_policy = 1.2.3.4.1
digests = sha1, sha256, sha384, sha512
accuracy = secs:1
ess_cert_id_alg = sha256
"""


def _certificate(name: str, issuer: x509.Name | None, key: rsa.RSAPrivateKey, signer: rsa.RSAPrivateKey, until: datetime) -> x509.Certificate:
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    built = x509.CertificateBuilder().subject_name(subject).issuer_name(issuer or subject).public_key(key.public_key())
    built = built.serial_number(x509.random_serial_number()).not_valid_before(datetime.now(UTC) - timedelta(days=1)).not_valid_after(until)
    built = built.add_extension(x509.BasicConstraints(ca=issuer is None, path_length=None), critical=True)
    if issuer is None:
        usage = x509.KeyUsage(False, False, False, False, False, True, True, False, False)
        return built.add_extension(usage, critical=True).sign(signer, hashes.SHA256())
    return built.add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.TIME_STAMPING]), critical=True).sign(signer, hashes.SHA256())


class Authority:
    """mode: "" answers as it should; "500", "junk", "refuse", "other" do not. lasts: how long its certificates are valid, from now to `until`."""

    def __init__(self, folder: Path, *, lasts: timedelta = timedelta(days=365), port: int = 0) -> None:
        self.folder, self.mode, self.asked = folder, "", 0
        folder.mkdir(parents=True, exist_ok=True)
        root_key, key = rsa.generate_private_key(65537, 2048), rsa.generate_private_key(65537, 2048)
        until = self.until = datetime.now(UTC) + lasts
        root = _certificate("root of the authority", None, root_key, root_key, until)
        self.roots = folder / "root.pem"
        self.roots.write_bytes(root.public_bytes(ser.Encoding.PEM))
        (folder / "tsa.pem").write_bytes(_certificate("authority", root.subject, key, root_key, until).public_bytes(ser.Encoding.PEM))
        (folder / "tsa.key").write_bytes(key.private_bytes(ser.Encoding.PEM, ser.PrivateFormat.PKCS8, ser.NoEncryption()))
        (folder / "serial").write_text("01\n")
        (folder / "ts.cnf").write_text(CONFIG.format(folder=folder))
        self._server: ThreadingHTTPServer | None = None
        self.port = port

    def __enter__(self) -> Authority:
        authority = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                authority.asked += 1
                assert self.headers["Content-Type"] == "application/timestamp-query"
                data = authority.respond(body)
                self.send_response(500 if authority.mode == "500" else 200)
                self.send_header("Content-Type", "application/timestamp-reply")
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *args: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", self.port), Handler)
        self.port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.shutdown()
        self._server.server_close()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/stamp"

    def respond(self, request: bytes) -> bytes:
        if self.mode == "junk":
            return b"<html>no stamp</html>"
        if self.mode == "refuse":
            return bytes.fromhex("3005300302010230".removesuffix("30"))
        if self.mode == "other":
            request = self.query(b"something else")
        return self.reply(request)

    def reply(self, request: bytes) -> bytes:
        """A TimeStampResp to this request, by openssl."""
        (self.folder / "q").write_bytes(request)
        words = ["openssl", "ts", "-reply", "-config", str(self.folder / "ts.cnf"), "-queryfile", str(self.folder / "q"), "-out", str(self.folder / "r")]
        subprocess.run(words, check=True, capture_output=True)
        return (self.folder / "r").read_bytes()

    def query(self, data: bytes, algorithm: str = "sha256") -> bytes:
        """A request over these bytes, by openssl."""
        (self.folder / "d").write_bytes(data)
        words = ["openssl", "ts", "-query", "-data", str(self.folder / "d"), f"-{algorithm}", "-cert", "-out", str(self.folder / "q")]
        subprocess.run(words, check=True, capture_output=True)
        return (self.folder / "q").read_bytes()
