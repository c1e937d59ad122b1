"""Credentials for S3: from the environment, else from the usual file."""

from __future__ import annotations

from pathlib import Path

import pytest

from snapstorm.errors import HarnessError
from snapstorm.runtime.aws import KEY_VARIABLES, read_credentials

FILE = """
[default]
aws_access_key_id = file-key
aws_secret_access_key = file-secret
[other]
aws_access_key_id = other-key
aws_secret_access_key = other%secret
aws_session_token = other-token
"""


@pytest.fixture(autouse=True)
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in (*KEY_VARIABLES, "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    path = tmp_path / "credentials"
    path.write_text(FILE)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(path))
    return path


def test_the_environment_comes_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """The file is not mixed in."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    assert read_credentials() == {"AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "secret"}


def test_the_file_has_profiles(monkeypatch: pytest.MonkeyPatch) -> None:
    """`default`, or the one that is named."""
    assert read_credentials()["AWS_SECRET_ACCESS_KEY"] == "file-secret"
    monkeypatch.setenv("AWS_PROFILE", "other")
    assert list(read_credentials().values()) == ["other-key", "other%secret", "other-token"]


def test_none_at_all(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One line that says what to do, and never what the file holds."""
    monkeypatch.setenv("AWS_PROFILE", "missing")
    with pytest.raises(HarnessError, match="no credentials for S3: set AWS_ACCESS_KEY_ID"):
        read_credentials()
    file.write_text("secret words without a section")
    with pytest.raises(HarnessError, match="it is no INI file") as caught:
        read_credentials()
    assert "secret words" not in str(caught.value)
    file.unlink()
    with pytest.raises(HarnessError, match="no credentials"):
        read_credentials()
