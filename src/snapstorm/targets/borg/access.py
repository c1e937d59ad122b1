"""The access list, and the shim that checks it. The shim takes the place of `ssh` and `sshd` between borg and
`borg serve`.

Borg starts the shim in place of `ssh`. The shim compares the key that the client shows with the one in the access list,
a file for each client. To a client that has the right one it serves the client's repository and no other one, as a
forced command in `authorized_keys` would, in a fresh environment.
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from snapstorm.errors import HarnessError
from snapstorm.runtime.watchdog import OWNER_VARIABLE
from snapstorm.targets.borg.answers import REFUSED
from snapstorm.targets.borg.command import LINK, SETTINGS, make_private

_LIST, _SHIM, _BASE = "access", "shim", "base"
_PASSED_ON = ("PATH", "HOME", "TMPDIR", OWNER_VARIABLE)
"""Variables of the client's that the server's side gets as well: by the last one it is known as ours, and ended."""


@dataclass(frozen=True)
class AccessList:
    """The clients that are let in, each with a key and the repository that it is served."""

    directory: Path
    """The server's directory."""
    repositories: Path

    @property
    def shim(self) -> Path:
        """The program in place of `ssh`: `shim KEY-FILE LOG PROGRAM USER@HOST ...`."""
        return self.directory / _SHIM

    def prepare(self) -> None:
        """Write the shim anew: a testbed may have moved."""
        base = self.directory / _BASE
        make_private(self.directory / _LIST)
        make_private(base)
        link = base / LINK
        link.unlink(missing_ok=True)
        link.symlink_to(self.repositories)
        _write(self.shim, shim_script(self.directory / _LIST, base), 0o700)

    def let_in(self, client: str, key: str, repository: str) -> None:
        """Let this client in, with this key, to this repository. In effect on return."""
        _write(self._file(client), f"{key}\n{repository}\n", 0o600)

    def shut_out(self, client: str) -> None:
        """Let this client in no more."""
        self._file(client).unlink(missing_ok=True)

    def knows(self, client: str) -> bool:
        return self._file(client).exists()

    def _file(self, client: str) -> Path:
        if "/" in client or client.startswith("."):
            raise HarnessError(f"a client of the target borg can't be called {client!r}")
        return self.directory / _LIST / client


def write_key(path: Path, key: str) -> None:
    """The file with the key that a client shows."""
    make_private(path.parent)
    _write(path, f"{key}\n", 0o600)


def _write(path: Path, text: str, mode: int) -> None:
    """Replace a file at once, which nobody else can read at any time."""
    new = path.with_name(f"{path.name}.new")
    new.unlink(missing_ok=True)
    with open(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode), "w", encoding="utf-8") as file:
        file.write(text)
    new.replace(path)


def shim_script(access: Path, base: Path) -> str:
    """The shim. It is given a client's key file, a log, the program that is to serve, and what borg gives to `ssh`.

    Why it has refused a client stands in the log, too: borg does not always read it (measured, 1.4.5).
    """
    settings: Mapping[str, str] = {**SETTINGS, "BORG_BASE_DIR": str(base)}
    assigned = " ".join(shlex.quote(f"{name}={value}") for name, value in settings.items())
    passed_on = " ".join(f'${{{name}+"{name}=${name}"}}' for name in _PASSED_ON)
    return f"""#!/bin/sh
# In place of ssh and sshd: serves a client that shows the right key its own repository, and no other one.
key_file=$1 log=$2 program=$3 client=$4 shown= known= repository=
case $client in */* | .*) exit 255 ;; esac
list={shlex.quote(str(access))}/$client
[ -r "$key_file" ] && IFS= read -r shown <"$key_file"
[ -r "$list" ] && {{ IFS= read -r known && IFS= read -r repository; }} <"$list"
if [ -z "$known" ] || [ "$shown" != "$known" ]; then
    echo "$client: {REFUSED}." | tee "$log" >&2
    exit 255
fi
cd {shlex.quote(str(base))} || exit 1
exec env -i {passed_on} {assigned} "$program" serve --restrict-to-repository "./{LINK}/$repository"
"""
