"""The shim: stands in place of `ssh` and `sshd` between borg and `borg serve`.

Borg starts the shim in place of `ssh`. The shim compares the key that the client shows with the one in the access list.
To a client that has the right one it serves the client's repository and no other one, as a forced command in
`authorized_keys` would, in a fresh environment.
"""

from __future__ import annotations

import secrets
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from snapstorm.model.protocols import TargetPlace
from snapstorm.runtime.watchdog import OWNER_VARIABLE
from snapstorm.targets.borg.access import Access, AccessList, serving_lines, write_key, write_private
from snapstorm.targets.borg.answers import REFUSED

_SHIM = "shim"
_KEY = "key"
_PASSED_ON = ("PATH", "HOME", "TMPDIR", OWNER_VARIABLE)
"""Variables of the client's that the server's side gets as well: by the last one it is known as ours, and ended."""


@dataclass(frozen=True)
class ShimWay:
    """Implements `Way`."""

    shim: Path
    key_file: Path
    """Where the client has its key."""
    key: str = field(repr=False)

    def variables(self, server_program: Path, log: Path) -> Mapping[str, str]:
        return {"BORG_RSH": shlex.join(map(str, (self.shim, self.key_file, log, server_program)))}

    async def show_key(self) -> None:
        write_key(self.key_file, self.key)

    def hide_key(self) -> None:
        self.key_file.unlink(missing_ok=True)


@dataclass(frozen=True)
class ShimAccess(Access):
    """Implements `Access`."""

    place: TargetPlace
    admitted: AccessList

    @property
    def shim(self) -> Path:
        """The program in place of `ssh`: `shim KEY-FILE LOG PROGRAM USER@HOST ...`."""
        return self.admitted.directory / _SHIM

    def prepare(self) -> None:
        """Write the shim anew: a testbed may have moved."""
        self.admitted.prepare()
        write_private(self.shim, shim_script(self.admitted.files, self.admitted.base), 0o700)

    async def let_in(self, repository_by_client: Mapping[str, str]) -> None:
        for client, repository in repository_by_client.items():
            self.admitted.let_in(client, self._key(client), repository)

    async def shut_out(self, client: str) -> None:
        self.admitted.shut_out(client)

    async def change_key(self, client: str, repository: str) -> None:
        self.admitted.let_in(client, secrets.token_urlsafe(), repository)

    def way(self, client: str, directory: Path) -> ShimWay:
        return ShimWay(self.shim, directory / _KEY, self._key(client))

    def impostors_way(self, client: str, directory: Path) -> ShimWay:
        return ShimWay(self.shim, directory / _KEY, secrets.token_urlsafe())

    def _key(self, client: str) -> str:
        return self.place.secrets.get(f"client {client}")


def shim_script(access: Path, base: Path) -> str:
    """The shim. It is given a client's key file, a log, the program that is to serve, and what borg gives to `ssh`.

    Why it has refused a client stands in the log, too: borg does not always read it (measured, 1.4.5).
    """
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
{serving_lines(base, passed_on)}"""
