"""A certificate of our own is one that a client accepts for a server on this machine, and for no other."""

from __future__ import annotations

import socket
import ssl
import stat
import threading
from pathlib import Path

import pytest

from snapstorm.errors import HarnessError
from snapstorm.targets.certificate import write_certificate


def shake_hands(certificate: Path, key: Path, trusted: Path, name: str) -> bytes:
    """What a server with this certificate sends a client that trusts that one and wants to reach this host."""
    serving = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    serving.load_cert_chain(certificate, key)
    ours, theirs = socket.socketpair()

    def serve() -> None:
        try:
            with serving.wrap_socket(theirs, server_side=True) as connection:
                connection.sendall(b"hello")
        except OSError:
            theirs.close()

    server = threading.Thread(target=serve)
    server.start()
    try:
        with ssl.create_default_context(cafile=str(trusted)).wrap_socket(ours, server_hostname=name) as connection:
            return connection.recv(5)
    finally:
        ours.close()
        server.join()


def test_a_client_that_knows_it_accepts_it_on_loopback(tmp_path: Path) -> None:
    """Signature, dates and name are right; its files are private; what is there stays."""
    certificate, key = tmp_path / "server" / "c.pem", tmp_path / "server" / "k.pem"
    write_certificate(certificate, key)
    assert shake_hands(certificate, key, certificate, "127.0.0.1") == b"hello"
    assert {stat.S_IMODE(path.stat().st_mode) for path in (certificate, key)} == {0o600}
    before = certificate.read_bytes()
    write_certificate(certificate, key)
    assert certificate.read_bytes() == before


def test_nobody_else_accepts_it(tmp_path: Path) -> None:
    """Neither under another name, nor a client that knows another one."""
    for name in ("one", "other"):
        write_certificate(tmp_path / f"{name}.pem", tmp_path / f"{name}.key")
    one, key = tmp_path / "one.pem", tmp_path / "one.key"
    with pytest.raises(ssl.SSLCertVerificationError):
        shake_hands(one, key, one, "127.0.0.2")
    with pytest.raises(ssl.SSLCertVerificationError):
        shake_hands(one, key, tmp_path / "other.pem", "127.0.0.1")


@pytest.mark.parametrize("host", ["10.1.2.3", "::1", "server.example"])
def test_another_address_or_name_gets_a_certificate_of_its_own(host: str, tmp_path: Path) -> None:
    """In place of the one for loopback, and it stays as long as the host does."""
    certificate, key = tmp_path / "c.pem", tmp_path / "k.pem"
    write_certificate(certificate, key)
    write_certificate(certificate, key, host)
    assert shake_hands(certificate, key, certificate, host) == b"hello"
    before = certificate.read_bytes()
    write_certificate(certificate, key, host)
    assert certificate.read_bytes() == before
    with pytest.raises(ssl.SSLCertVerificationError):
        shake_hands(certificate, key, certificate, "127.0.0.1")


def test_what_is_no_certificate_is_said(tmp_path: Path) -> None:
    """With what to do about it."""
    certificate, key = tmp_path / "c.pem", tmp_path / "k.pem"
    write_certificate(certificate, key)
    certificate.write_text("nonsense")
    with pytest.raises(HarnessError, match="delete it to have a new one made"):
        write_certificate(certificate, key)
