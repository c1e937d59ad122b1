"""Secrets of one testbed: random passwords in a file that only its owner can read, separate from the ledger."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import stat
import tomllib
from pathlib import Path

from snapstorm.errors import TestbedError

_SECRET_BYTES = 24
"""192 random bits, 32 characters of A-Z a-z 0-9 _ -: safe in an environment, a URL and a command line."""
_OPEN_TO_OTHERS = stat.S_IRWXG | stat.S_IRWXO


class FileSecretStore:
    """A `SecretStore` that keeps its secrets in a TOML file of mode 0600, `"name" = "secret"` on each line.

    Every secret is durable before it is returned, because without its password a repository is lost. Raises
    TestbedError if other users can read the file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._secret_by_name = _read(path)

    def get(self, name: str) -> str:
        """The secret with that name, created at the first call."""
        if name not in self._secret_by_name:
            with_new = {**self._secret_by_name, name: secrets.token_urlsafe(_SECRET_BYTES)}
            _write(self.path, with_new)
            self._secret_by_name = with_new
        return self._secret_by_name[name]

    def all(self) -> dict[str, str]:
        """All secrets by name, in the order of the file."""
        return dict(self._secret_by_name)

    def values(self) -> tuple[str, ...]:
        """All secrets created so far, to check that none has leaked."""
        return tuple(self._secret_by_name.values())


def _read(path: Path) -> dict[str, str]:
    try:
        with path.open("rb") as file:
            mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
            if mode & _OPEN_TO_OTHERS:
                raise TestbedError(f"{path} holds passwords and is open to other users: run chmod 600 on it")
            content = tomllib.load(file)
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise TestbedError(f"can't read the secrets in {path}: {error}") from error
    if not all(isinstance(value, str) for value in content.values()):
        raise TestbedError(f'can\'t read the secrets in {path}: each line must be "name" = "secret"')
    return content


def _write(path: Path, secret_by_name: dict[str, str]) -> None:
    """Replace the file by one with these secrets. After a crash it is either the old or the new one."""
    # JSON strings are TOML strings too, if characters outside the basic plane are not escaped.
    lines = (
        f"{json.dumps(name, ensure_ascii=False)} = {json.dumps(secret, ensure_ascii=False)}\n"
        for name, secret in sorted(secret_by_name.items())
    )
    new = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with open(
            os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), "w", encoding="utf-8"
        ) as file:
            file.writelines(lines)
            file.flush()
            os.fsync(file.fileno())
        new.replace(path)
        _sync_directory(path.parent)
    except OSError as error:
        with contextlib.suppress(OSError):
            new.unlink()
        raise TestbedError(f"can't write the secrets to {path}: {error}") from error


def _sync_directory(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
