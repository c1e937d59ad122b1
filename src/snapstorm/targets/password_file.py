"""A file with users and passwords that a server reads, in the format of Apache's htpasswd.

A password of ours is 24 random bytes, so a plain hash of it is as good as a slow one, and costs the server nothing.

Kopia looks here first (`server start --htpasswd-file`, hidden), and then for users in its repository. It reads the file
when it starts and when it is refreshed (0.19.0 to 0.23.1, measured). A file that is missing then leaves in force what
was read before, so it is never removed. rest-server reads it when it starts and on the signal HUP (0.14.0, measured).
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import os
import secrets
from collections.abc import Mapping
from pathlib import Path

from snapstorm.errors import HarnessError

PASSWORD_FILE = "users.htpasswd"
"""Its name, in the server's directory."""


class PasswordFile:
    """One password file. Nobody else writes to it, and each change is there as a whole or not at all."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def add(self, password_by_user: Mapping[str, str]) -> None:
        """Let users in, into a new file if there is none. One who is there already keeps the password that he has.

        Raises HarnessError, as all that read or write.
        """
        self._write({**_hashed(password_by_user), **self._read()})

    def change(self, user: str, password: str) -> bool:
        """Give a user another password. Whether there is such a user."""
        before = self._read()
        if user in before:
            self._write({**before, **_hashed({user: password})})
        return user in before

    def remove(self, user: str) -> bool:
        """Let a user in no more. Whether there was such a user."""
        before = self._read()
        if user in before:
            self._write({one: hashed for one, hashed in before.items() if one != user})
        return user in before

    def _read(self) -> dict[str, str]:
        """The hashed passwords by user."""
        try:
            lines = self.path.read_text(encoding="utf-8").splitlines() if self.path.exists() else []
        except (OSError, UnicodeDecodeError) as error:
            raise HarnessError(f"can't read the users in {self.path}: {error}") from error
        pairs = [line.partition(":") for line in lines]
        return {user: hashed for user, colon, hashed in pairs if colon}

    def _write(self, hash_by_user: Mapping[str, str]) -> None:
        new = self.path.with_name(f"{self.path.name}.{secrets.token_hex(8)}")
        try:
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            with open(descriptor, "w", encoding="utf-8") as file:
                file.writelines(f"{user}:{hashed}\n" for user, hashed in hash_by_user.items())
            new.replace(self.path)
        except OSError as error:
            with contextlib.suppress(OSError):
                new.unlink()
            raise HarnessError(f"can't write the users to {self.path}: {error}") from error


def _hashed(password_by_user: Mapping[str, str]) -> dict[str, str]:
    return {user: hashed_for_file(password) for user, password in password_by_user.items()}


def hashed_for_file(password: str) -> str:
    """A password as htpasswd's format SHA has it."""
    # SHA-1 is what this format means. What it hides is as random as it is long.
    digest = hashlib.sha1(password.encode(), usedforsecurity=False).digest()
    return f"{{SHA}}{base64.b64encode(digest).decode()}"
