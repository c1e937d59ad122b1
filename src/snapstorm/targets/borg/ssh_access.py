"""Who is let in over ssh: a line in `authorized_keys` for each client, whose forced command serves its repository.

Which program serves, a client may choose among those under test: `BORG_REMOTE_PATH` is the first word of what it asks
for, and the forced command knows these words only. Which repository, it may not.
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from snapstorm.errors import HarnessError
from snapstorm.model.protocols import TargetPlace
from snapstorm.runtime.process import ProcessRunner
from snapstorm.runtime.watchdog import OWNER_VARIABLE
from snapstorm.targets.borg.access import Access, AccessList, serving_lines, write_private
from snapstorm.targets.borg.command import make_private
from snapstorm.targets.borg.environment import inherited_environment
from snapstorm.targets.borg.sshd import (
    ALIVE_COUNT_MAX,
    ALIVE_SECONDS,
    SshdFiles,
    SshPrograms,
    make_key,
    user_name,
)
from snapstorm.targets.command_output import last_line, stderr_of
from snapstorm.targets.server_process import host_and_port
from snapstorm.targets.ways import Ways

_CONNECT_SECONDS_MAX = ALIVE_SECONDS * ALIVE_COUNT_MAX
_CHECK_SECONDS_MAX = 60.0
_READY = "ready"
_HOST = "snapstorm"
"""By this name a client knows the server's key, whatever way it takes."""
KEY, KNOWN_HOSTS = "key", "known_hosts"
"""Files of a client's: its private key, and the key by which the server is known."""
_PASSED_ON = ("PATH", "HOME")
"""Variables of ours that the server's side gets as well."""


@dataclass(frozen=True)
class SshWay:
    """Implements `Way`."""

    ssh: Path
    address: str
    """`HOST:PORT` to connect to."""
    user: str
    """As whom sshd lets in."""
    host_key: str
    """The line that tells by which key the server is known."""
    known_hosts: Path
    """Holds that line."""
    key_file: Path
    """Where the client has its key."""
    words: Mapping[Path, str]
    """By which it asks for each program under test."""
    key: str | None = field(repr=False)
    """The private key that is the client's; None for who makes one up."""
    make_key_up: SshKeys | None = None

    def variables(self, server_program: Path, log: Path) -> Mapping[str, str]:
        return {"BORG_RSH": shlex.join(self.command(log)), "BORG_REMOTE_PATH": self.words[server_program]}

    def command(self, log: Path) -> Sequence[str]:
        """The words of `ssh`, but for the last ones. It writes to `log` what it complains of."""
        host, port = host_and_port(self.address)
        options = (
            f"HostName={host}",
            f"Port={port}",
            f"User={self.user}",
            f"HostKeyAlias={_HOST}",
            f'UserKnownHostsFile="{self.known_hosts}"',
            "GlobalKnownHostsFile=/dev/null",
            "StrictHostKeyChecking=yes",
            "UpdateHostKeys=no",
            "IdentitiesOnly=yes",
            "IdentityAgent=none",
            "PreferredAuthentications=publickey",
            "BatchMode=yes",
            f"ConnectTimeout={_CONNECT_SECONDS_MAX}",
            f"ServerAliveInterval={ALIVE_SECONDS}",
            f"ServerAliveCountMax={ALIVE_COUNT_MAX}",
        )
        words = [str(self.ssh), "-F", "none", "-E", str(log), "-i", str(self.key_file)]
        return [*words, *(word for option in options for word in ("-o", option))]

    async def show_key(self) -> None:
        make_private(self.key_file.parent)
        write_private(self.known_hosts, self.host_key)
        if self.key is not None:
            write_private(self.key_file, self.key)
        elif self.make_key_up is not None:
            await self.make_key_up.make(self.key_file)

    def hide_key(self) -> None:
        self.key_file.unlink(missing_ok=True)


@dataclass(frozen=True)
class SshKeys:
    """Makes keys."""

    programs: SshPrograms
    runner: ProcessRunner
    directory: Path
    """Holds those of clients."""

    async def make(self, path: Path) -> str:
        """Make a key, unless it is there. Returns the public one."""
        return await make_key(self.programs, self.runner, path)

    def path(self, client: str) -> Path:
        """The key of a client."""
        return self.directory / client


@dataclass(frozen=True)
class SshAccess(Access):
    """Implements `Access`."""

    place: TargetPlace
    admitted: AccessList
    programs: SshPrograms
    runner: ProcessRunner
    executables: Sequence[Path]
    """The programs under test."""
    ways: Ways
    listening: list[str] = field(default_factory=list)
    """Where the server listens, `HOST:PORT`, once it does."""

    @property
    def files(self) -> SshdFiles:
        return SshdFiles(self.place.server)

    @property
    def keys(self) -> SshKeys:
        return SshKeys(self.programs, self.runner, self.place.server / "keys")

    @property
    def known_hosts(self) -> Path:
        return self.place.server / KNOWN_HOSTS

    @property
    def _serving(self) -> Path:
        """The forced command; its argument is the repository."""
        return self.place.server / "serve"

    async def prepare(self) -> None:
        """Write anew what has paths in it, and whose processes they are."""
        self.admitted.prepare()
        host_key = await self.keys.make(self.files.host_key)
        write_private(self.known_hosts, f"{_HOST} {host_key}\n")
        write_private(
            self._serving, serving_script(words_for(self.executables), self.admitted.base, self._passed_on), 0o700
        )
        self._write_authorized_keys()

    @property
    def _passed_on(self) -> Mapping[str, str]:
        ours = inherited_environment()
        return {
            **{name: ours[name] for name in _PASSED_ON if name in ours},
            "TMPDIR": str(self.files.temporary),
            OWNER_VARIABLE: self.runner.owner,
        }

    def _write_authorized_keys(self, *more: str) -> None:
        lines = [
            authorized_line(shlex.join((str(self._serving), one.repository)), one.key)
            for one in self.admitted.admitted()
        ]
        write_private(self.files.authorized_keys, "".join(f"{line}\n" for line in [*lines, *more]))

    async def check(self) -> None:
        """See whether a login works, by a key that is good for nothing else. Raises HarnessError, one line, if not."""
        key = await self.keys.make(self.files.host_key)
        self._write_authorized_keys(authorized_line(f"printf {_READY}", key))
        way = replace(self._way("nobody", self.place.server, None), key_file=self.files.host_key)
        log = self.place.server / "check.log"
        log.unlink(missing_ok=True)
        done = await self.runner.run(
            [*way.command(log), "nobody"],
            env=inherited_environment(),
            seconds_max=_CHECK_SECONDS_MAX,
            is_of_target=False,
        )
        said = log.read_text("utf-8", "replace") if log.exists() else ""
        if done.exit_code != 0:
            why = last_line(said + stderr_of(done))
            raise HarnessError(f"sshd does not let {user_name()} in, or runs nothing: {why}; see {self.files.log}")
        if done.stdout != _READY.encode():
            raise HarnessError(
                f"the login shell of {user_name()} prints something of its own, which no program can read"
            )
        log.unlink(missing_ok=True)
        self._write_authorized_keys()

    async def let_in(self, repository_by_client: Mapping[str, str]) -> None:
        for client, repository in repository_by_client.items():
            self.admitted.let_in(client, await self.keys.make(self.keys.path(client)), repository)
        await self.ways.find(repository_by_client, self.listening[-1])
        self._write_authorized_keys()

    async def shut_out(self, client: str) -> None:
        self.admitted.shut_out(client)
        self._write_authorized_keys()

    async def change_key(self, client: str, repository: str) -> None:
        lost = self.keys.directory / "lost"
        lost.unlink(missing_ok=True)
        self.admitted.let_in(client, await self.keys.make(lost), repository)
        lost.unlink()
        self._write_authorized_keys()

    def way(self, client: str, directory: Path) -> SshWay:
        return self._way(client, directory, self.key(client))

    def impostors_way(self, client: str, directory: Path) -> SshWay:
        return self._way(client, directory, None)

    def key(self, client: str) -> str:
        """The private key of a client that was let in."""
        return self.keys.path(client).read_text(encoding="ascii")

    @property
    def host_key(self) -> str:
        """The line that tells by which key the server is known."""
        return self.known_hosts.read_text(encoding="ascii")

    def _way(self, client: str, directory: Path, key: str | None) -> SshWay:
        return SshWay(
            ssh=self.programs.ssh,
            address=self.ways.of(client) or self.listening[-1],
            user=user_name(),
            host_key=self.host_key,
            known_hosts=directory / KNOWN_HOSTS,
            key_file=directory / KEY,
            words=words_for(self.executables),
            key=key,
            make_key_up=self.keys,
        )


def words_for(executables: Sequence[Path]) -> Mapping[Path, str]:
    """The words by which clients ask for each program under test: wherever it lies, its number tells it."""
    return {path: f"borg-{number}" for number, path in enumerate(executables)}


def authorized_line(command: str, key: str) -> str:
    """A line of `authorized_keys`: whoever shows this key has this command run, whatever it asks for."""
    escaped = command.replace('"', '\\"')
    return f'restrict,command="{escaped}" {key}'


def serving_script(word_by_program: Mapping[Path, str], base: Path, passed_on: Mapping[str, str]) -> str:
    """The forced command. It is given a repository, and serves it by the program whose word is asked for first."""
    cases = "\n".join(
        f"{word}) program={shlex.quote(os.fspath(program))} ;;" for program, word in word_by_program.items()
    )
    variables = " ".join(shlex.quote(f"{name}={value}") for name, value in passed_on.items())
    return f"""#!/bin/sh
# The forced command of each key: serves one repository, and nothing else, by one of the programs under test.
repository=$1
case ${{SSH_ORIGINAL_COMMAND%% *}} in
{cases}
*) echo "there is no such program" >&2; exit 127 ;;
esac
{serving_lines(base, variables)}"""
