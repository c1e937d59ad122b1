"""A certificate for a server of ours, signed by itself, for servers that make none themselves."""

from __future__ import annotations

from datetime import UTC, datetime
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID

from snapstorm.errors import HarnessError
from snapstorm.model.protocols import LOOPBACK
from snapstorm.runtime.certificates import make_identity, write_private
from snapstorm.targets.server_process import is_address

_VALID = (datetime(2000, 1, 1, tzinfo=UTC), datetime(2049, 1, 1, tzinfo=UTC))
"""A testbed may be opened years later, and clocks of machines may be wrong."""


def write_certificate(certificate: Path, key: Path, host: str = LOOPBACK) -> None:
    """Make a certificate for this address or name and its key, of mode 0600, unless there is one for it. Raises
    HarnessError for one that can't be read."""
    if certificate.exists() and key.exists() and _is_for(certificate, host):
        return
    identity = make_identity(
        "snapstorm",
        [
            (x509.BasicConstraints(ca=False, path_length=None), False),
            (x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), False),
            (x509.SubjectAlternativeName([_general_name(host)]), False),
        ],
        valid=_VALID,
    )
    write_private(key, identity.key_pem)
    write_private(certificate, identity.certificate_pem)


def _is_for(certificate: Path, host: str) -> bool:
    try:
        found = x509.load_pem_x509_certificate(certificate.read_bytes())
        names = found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (ValueError, x509.ExtensionNotFound) as error:
        raise HarnessError(f"{certificate} is no certificate, delete it to have a new one made: {error}") from error
    return _general_name(host) in names


def _general_name(host: str) -> x509.GeneralName:
    return x509.IPAddress(ip_address(host)) if is_address(host) else x509.DNSName(host)
