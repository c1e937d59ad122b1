"""A certificate is signed by its issuer, or by itself; its key is private."""

from __future__ import annotations

import stat
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.exceptions import InvalidSignature

from snapstorm.runtime.certificates import make_identity, write_private

VALID = (datetime(2020, 1, 1, tzinfo=UTC), datetime(2030, 1, 1, tzinfo=UTC))


def test_an_issuer_signs_and_is_named() -> None:
    """Another one has not."""
    extensions = [(x509.BasicConstraints(ca=True, path_length=0), True)]
    issuer, other = (make_identity(name, extensions, valid=VALID) for name in ("issuer", "other"))
    issued = make_identity("leaf", [], valid=VALID, issuer=issuer).certificate
    issued.verify_directly_issued_by(issuer.certificate)
    issuer.certificate.verify_directly_issued_by(issuer.certificate)
    with pytest.raises((ValueError, InvalidSignature)):
        issued.verify_directly_issued_by(other.certificate)
    assert (issued.not_valid_before_utc, issued.not_valid_after_utc) == VALID
    assert issuer.certificate.extensions.get_extension_for_class(x509.BasicConstraints).critical


def test_a_private_file_is_private_from_its_beginning(scratch: Path) -> None:
    """Also where one lay that was not."""
    path = scratch / "keys" / "k.pem"
    write_private(path, b"a")
    path.chmod(0o644)
    write_private(path, b"b")
    assert path.read_bytes() == b"b"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
