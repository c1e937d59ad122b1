"""A certificate for a server of ours, signed by itself, for servers that make none themselves."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from snapstorm.errors import HarnessError
from snapstorm.model.protocols import LOOPBACK

_VALID_FROM = datetime(2000, 1, 1, tzinfo=UTC)
_VALID_UNTIL = datetime(2049, 1, 1, tzinfo=UTC)
"""A testbed may be opened years later, and clocks of machines may be wrong."""


def is_address(host: str) -> bool:
    """Whether it is an IP address, rather than a name."""
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


def write_certificate(certificate: Path, key: Path, host: str = LOOPBACK) -> None:
    """Make a certificate for this address or name and its key, of mode 0600, unless there is one for it. Raises
    HarnessError for one that can't be read."""
    if certificate.exists() and key.exists() and _is_for(certificate, host):
        return
    secret = ec.generate_private_key(ec.SECP256R1())
    certificate.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    _write(key, secret.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    _write(certificate, _signed_by_itself(secret, host).public_bytes(Encoding.PEM))


def _is_for(certificate: Path, host: str) -> bool:
    try:
        found = x509.load_pem_x509_certificate(certificate.read_bytes())
        names = found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (ValueError, x509.ExtensionNotFound) as error:
        raise HarnessError(f"{certificate} is no certificate, delete it to have a new one made: {error}") from error
    return _general_name(host) in names


def _general_name(host: str) -> x509.GeneralName:
    return x509.IPAddress(ip_address(host)) if is_address(host) else x509.DNSName(host)


def _signed_by_itself(secret: ec.EllipticCurvePrivateKey, host: str) -> x509.Certificate:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "snapstorm")])
    return (
        x509.CertificateBuilder(issuer_name=name, subject_name=name)
        .public_key(secret.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(_VALID_FROM)
        .not_valid_after(_VALID_UNTIL)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=False)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectAlternativeName([_general_name(host)]), critical=False)
        .sign(secret, SHA256())
    )


def _write(path: Path, content: bytes) -> None:
    path.unlink(missing_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with open(descriptor, "wb") as file:
        file.write(content)
