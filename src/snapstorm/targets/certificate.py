"""A certificate for a server on this machine, signed by itself, for servers that make none themselves."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from ipaddress import IPv4Address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

_LOOPBACK = IPv4Address("127.0.0.1")
_VALID_FROM = datetime(2000, 1, 1, tzinfo=UTC)
_VALID_UNTIL = datetime(2049, 1, 1, tzinfo=UTC)
"""A testbed may be opened years later, and clocks of machines may be wrong."""


def write_certificate(certificate: Path, key: Path) -> None:
    """Make a certificate for 127.0.0.1 and its key, of mode 0600, unless both are there."""
    if certificate.exists() and key.exists():
        return
    secret = ec.generate_private_key(ec.SECP256R1())
    certificate.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    _write(key, secret.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    _write(certificate, _signed_by_itself(secret).public_bytes(Encoding.PEM))


def _signed_by_itself(secret: ec.EllipticCurvePrivateKey) -> x509.Certificate:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "snapstorm")])
    return (
        x509.CertificateBuilder(issuer_name=name, subject_name=name)
        .public_key(secret.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(_VALID_FROM)
        .not_valid_after(_VALID_UNTIL)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=False)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(_LOOPBACK)]), critical=False)
        .sign(secret, SHA256())
    )


def _write(path: Path, content: bytes) -> None:
    path.unlink(missing_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with open(descriptor, "wb") as file:
        file.write(content)
