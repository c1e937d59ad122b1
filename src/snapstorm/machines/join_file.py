"""Who may join: the run makes a certificate authority of its own, and a file that holds what a machine needs.

Both sides prove that this authority signed their certificates. Its key is never written, so nobody can sign more. A
peer with a join file can execute code in the others (see `scheduler_side`), so the file is as secret as a password.
"""

from __future__ import annotations

import ssl
import stat
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID

from snapstorm.errors import ConfigError, HarnessError
from snapstorm.runtime.certificates import Identity, make_identity, write_private
from snapstorm.runtime.clock import NS_PER_SECOND, Clock

JOIN_DAYS = 30.0
"""How long a join file is valid. It is worthless earlier, when its run has ended."""
_CLOCK_SLACK = timedelta(days=1)
"""Clocks of machines may be wrong by so much."""
_OPEN_TO_OTHERS = stat.S_IRWXG | stat.S_IRWXO
_BEGIN, _END = b"-----BEGIN CERTIFICATE-----", b"-----END CERTIFICATE-----\n"


@dataclass(frozen=True)
class Credentials:
    """What one side needs for mutual TLS."""

    file: Path
    """Its certificate and its key."""
    authority_pem: str
    """The certificate of the run's authority, which has signed both sides' certificates."""


def make_credentials(directory: Path, *, days: float = JOIN_DAYS, clock: Clock | None = None) -> Credentials:
    """Make an authority, the coordinator's credentials in the directory, and `join.pem`. Replaces older ones."""
    now = _now(clock)
    valid = now - _CLOCK_SLACK, now + timedelta(days=days)
    authority = make_identity(
        "snapstorm run",
        [(x509.BasicConstraints(ca=True, path_length=0), True), (_usage(signs=True), True)],
        valid=valid,
    )
    signed_by = x509.AuthorityKeyIdentifier.from_issuer_public_key(authority.key.public_key())
    for name in ("coordinator", "join"):
        identity = make_identity(
            f"snapstorm {name}",
            [
                (x509.BasicConstraints(ca=False, path_length=None), True),
                (_usage(signs=False), True),
                # Each side opens connections and takes them.
                (x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]), False),
                (signed_by, False),
            ],
            valid=valid,
            issuer=authority,
        )
        write_private(directory / f"{name}.pem", _as_file(identity, authority))
    return Credentials(directory / "coordinator.pem", authority.certificate_pem.decode())


def read_join_file(path: Path, clock: Clock | None = None) -> Credentials:
    """What a join file holds. Raises ConfigError for what is none, and HarnessError for one that can't be used."""
    try:
        mode, content = path.stat().st_mode, path.read_bytes()
    except OSError as error:
        raise ConfigError(f"the join file {path} can't be read: {error.strerror or error}") from error
    if mode & _OPEN_TO_OTHERS:
        raise HarnessError(f"{path} holds a key and is open to other users: run chmod 600 on it")
    own, _, authority = content.partition(_END)
    try:
        certificate = x509.load_pem_x509_certificate(own[own.index(_BEGIN) :] + _END)
        authority_pem = authority[authority.index(_BEGIN) :]
        x509.load_pem_x509_certificate(authority_pem)
        ssl.create_default_context().load_cert_chain(path)
    except (ValueError, ssl.SSLError) as error:
        raise ConfigError(f"{path} is not a join file of snapstorm, or not a whole one") from error
    if certificate.not_valid_after_utc < _now(clock):
        until = certificate.not_valid_after_utc.isoformat(sep=" ", timespec="minutes").removesuffix("+00:00")
        raise HarnessError(
            f"the join file {path} was valid until {until} UTC: copy machines/join.pem of the run that is to be joined"
        )
    return Credentials(path, authority_pem.decode())


def _now(clock: Clock | None) -> datetime:
    return datetime.fromtimestamp((clock or Clock()).wall_ns() / NS_PER_SECOND, UTC)


def _usage(*, signs: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs,
        key_cert_sign=signs,
        crl_sign=False,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _as_file(identity: Identity, authority: Identity) -> bytes:
    return identity.key_pem + identity.certificate_pem + authority.certificate_pem
