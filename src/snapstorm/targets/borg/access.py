"""The access list: which client may use which repository. `shim` and `ssh_access` enforce it."""

from __future__ import annotations

import os
import shlex
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, Protocol

from snapstorm.errors import HarnessError
from snapstorm.targets.borg.command import LINK, SETTINGS, Shell, make_private

_LIST, _BASE = "access", "base"
_NEW = ".new"


class Way(Shell, Protocol):
    """A client's way to its repository, and the key that the client shows there."""

    async def show_key(self) -> None:
        """From now on the client has its key."""
        ...

    def hide_key(self) -> None:
        """From now on it has none."""
        ...


class Access(ABC):
    """Lets clients in, each with a key of its own to one repository. All changes are in effect on return."""

    @abstractmethod
    async def let_in(self, repository_by_client: Mapping[str, str]) -> None:
        """Let these clients in."""

    @abstractmethod
    async def shut_out(self, client: str) -> None:
        """Let this client in no more."""

    @abstractmethod
    async def change_key(self, client: str, repository: str) -> None:
        """Have another key asked for than the client's, which nobody has."""

    @abstractmethod
    def way(self, client: str, directory: Path) -> Way:
        """The way of a client that was let in, and keeps its key in this directory."""

    @abstractmethod
    def impostors_way(self, client: str, directory: Path) -> Way:
        """The way of somebody who claims to be this client, and has a key of his own in this directory."""


class Admitted(NamedTuple):
    """A client that is let in."""

    client: str
    key: str
    """The client's secret (shim), or its public key (ssh)."""
    repository: str


@dataclass(frozen=True)
class AccessList:
    """The clients that are let in: a file for each."""

    directory: Path
    """The server's directory."""
    repositories: Path

    @property
    def base(self) -> Path:
        """Where the server's side runs, beside a link to the repositories."""
        return self.directory / _BASE

    @property
    def files(self) -> Path:
        """The directory with a file for each client: its key and the name of its repository, each in a line."""
        return self.directory / _LIST

    def prepare(self) -> None:
        """Make what is missing, and the link anew: a testbed may have moved."""
        make_private(self.files)
        make_private(self.base)
        link = self.base / LINK
        link.unlink(missing_ok=True)
        link.symlink_to(self.repositories)

    def let_in(self, client: str, key: str, repository: str) -> None:
        """Let this client in, with this key, to this repository."""
        write_private(self._file(client), f"{key}\n{repository}\n")

    def shut_out(self, client: str) -> None:
        """Let this client in no more."""
        self._file(client).unlink(missing_ok=True)

    def admitted(self) -> Iterator[Admitted]:
        """All who are let in, in the order of their names."""
        for path in sorted(self.files.iterdir()):
            if not path.name.endswith(_NEW):
                key, repository = path.read_text(encoding="utf-8").splitlines()
                yield Admitted(path.name, key, repository)

    def _file(self, client: str) -> Path:
        if "/" in client or client.startswith(".") or client.endswith(_NEW):
            raise HarnessError(f"a client of the target borg can't be called {client!r}")
        return self.files / client


def write_key(path: Path, key: str) -> None:
    """The file with the key that a client shows."""
    make_private(path.parent)
    write_private(path, f"{key}\n")


def write_private(path: Path, text: str, mode: int = 0o600) -> None:
    """Replace a file at once, which nobody else can read at any time."""
    new = path.with_name(f"{path.name}{_NEW}")
    new.unlink(missing_ok=True)
    with open(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode), "w", encoding="utf-8") as file:
        file.write(text)
    new.replace(path)


def serving_lines(base: Path, passed_on: str) -> str:
    """The last lines of a script that serves `$repository` by `$program` in a fresh environment. `passed_on`: words of
    the shell for variables that it has besides."""
    settings: Mapping[str, str] = {**SETTINGS, "BORG_BASE_DIR": str(base)}
    assigned = " ".join(shlex.quote(f"{name}={value}") for name, value in settings.items())
    return f"""cd {shlex.quote(str(base))} || exit 1
exec env -i {passed_on} {assigned} "$program" serve --restrict-to-repository "./{LINK}/$repository"
"""
