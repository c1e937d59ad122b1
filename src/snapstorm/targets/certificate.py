"""A certificate for a server on this machine, signed by itself, for servers that make none themselves."""

from __future__ import annotations

from datetime import UTC, datetime
from ipaddress import IPv4Address
from pathlib import Path

from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID

from snapstorm.runtime.certificates import make_identity, write_private

_LOOPBACK = IPv4Address("127.0.0.1")
_VALID = (datetime(2000, 1, 1, tzinfo=UTC), datetime(2049, 1, 1, tzinfo=UTC))
"""A testbed may be opened years later, and clocks of machines may be wrong."""


def write_certificate(certificate: Path, key: Path) -> None:
    """Make a certificate for 127.0.0.1 and its key, of mode 0600, unless both are there."""
    if certificate.exists() and key.exists():
        return
    identity = make_identity(
        "snapstorm",
        [
            (x509.BasicConstraints(ca=False, path_length=None), False),
            (x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), False),
            (x509.SubjectAlternativeName([x509.IPAddress(_LOOPBACK)]), False),
        ],
        valid=_VALID,
    )
    write_private(key, identity.key_pem)
    write_private(certificate, identity.certificate_pem)
