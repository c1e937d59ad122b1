"""The command line of borg: which words ask for what, and in which environment they run.

Together with `answers`, which knows what comes back, this is all that knows borg's interface. No secret is ever among
the words: passphrases travel in the environment, keys of clients in files.
"""

from __future__ import annotations

import itertools
import os
import re
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol

from snapstorm.runtime.child import Environment
from snapstorm.runtime.process import CompletedCommand, ProcessRunner
from snapstorm.targets.borg.answers import is_locked
from snapstorm.targets.borg.comment import Comment
from snapstorm.targets.borg.environment import inherited_environment
from snapstorm.targets.programs import Programs

LOCK_SECONDS_MAX = 60
"""How long a command waits for the lock of a repository, with all its repetitions."""
_LOCK_WAIT_SECONDS = 5
"""How long borg waits itself. It looks at the lock at each tenth of that (`TimeoutTimer`): if it waited a minute,
two commands that meet for a moment would cost one of them six seconds (measured)."""
HOST_ID = "snapstorm"
"""By which borg tells locks of processes on this machine, which it removes once they are dead, from those of others.
Its own choice has the address of a network card, or a random number where there is none."""
COMPACT_SEGMENTS_PERCENT = 0
"""A collection rewrites every segment from which anything can be dropped."""
LINK = "repositories"
_LOCALE = "C.UTF-8"

SETTINGS: Mapping[str, str] = {
    "BORG_EXIT_CODES": "modern",
    "BORG_SELFTEST": "disabled",
    "BORG_HOST_ID": HOST_ID,
    # Otherwise borg asks, and is told nothing: a testbed may have moved; some keys only authenticate.
    "BORG_RELOCATED_REPO_ACCESS_IS_OK": "yes",
    "BORG_UNKNOWN_UNENCRYPTED_REPO_ACCESS_IS_OK": "yes",
    # Times in JSON bear no time zone.
    "TZ": "UTC",
    "LC_ALL": _LOCALE,
}
"""What every borg is told. 1.2.4 knows no exit statuses but 0, 1 and 2. The self-test takes 0.2 s."""


class Shell(Protocol):
    """The program that borg starts as `ssh` to reach a repository that is served."""

    def variables(self, server_program: Path, log: Path) -> Mapping[str, str]:
        """The variables that make borg use it. It lets `server_program` serve, and writes its errors to `log`."""
        ...


@dataclass(frozen=True)
class Actor:
    """Who runs commands: a directory, a cache, and a way to a repository."""

    name: str
    """Tells this actor from the others of its testbed."""
    directory: Path
    """Private to this actor; made at its first command."""
    repository: str
    """Where it is, as borg's command line has it."""
    passphrase: str = field(repr=False)
    shell: Shell | None = None
    """For a repository that is served."""

    @property
    def cache(self) -> Path:
        """The directory of the cache."""
        return self.directory / "cache"

    def environment(self, server_program: Path, shell_log: Path) -> Environment:
        """In which a command of this actor's runs. `shell_log`: where the shell writes why it has refused it."""
        user, _, host = self.name.partition("@")
        variables = {
            **SETTINGS,
            "BORG_BASE_DIR": str(self.directory),
            "BORG_CACHE_DIR": str(self.cache),
            "BORG_CONFIG_DIR": str(self.directory / "config"),
            "BORG_USERNAME": user,
            "BORG_HOSTNAME": host or user,
        }
        if self.shell is not None:
            variables.update(self.shell.variables(server_program, shell_log))
        return Environment(variables, inherited_environment(), {"BORG_PASSPHRASE": self.passphrase})


def local(repository: Path) -> str:
    """A repository in a directory, as borg's command line has it."""
    return f"file://{repository}".replace("{", "{{").replace("}", "}}")


def served(client: str, repository: str) -> str:
    """A repository that is served to this client. The server stands beside a link to all repositories: where they lie,
    something may be mounted over them."""
    return f"ssh://{client}/./{LINK}/{repository}"


@dataclass(frozen=True)
class Borg:
    """The program under test, with a method for each command."""

    programs: Programs
    runner: ProcessRunner
    seconds_max: float
    """After this time a command is ended."""
    numbers: Iterator[int] = field(default_factory=itertools.count)
    """Of commands: one actor may run several at a time."""

    async def run(
        self, actor: Actor, *words: str, cwd: Path | None = None, stdin: int = subprocess.DEVNULL
    ) -> CompletedCommand:
        """Any command, repeated while it finds the repository locked and has not waited for long."""
        make_private(actor.directory)
        began = time.monotonic()
        while True:
            completed = await self._run_once(actor, words, cwd, stdin, self.seconds_max - (time.monotonic() - began))
            if not is_locked(completed) or time.monotonic() - began >= self._lock_seconds - _LOCK_WAIT_SECONDS:
                return completed

    async def _run_once(
        self, actor: Actor, words: Sequence[str], cwd: Path | None, stdin: int, seconds_max: float
    ) -> CompletedCommand:
        """What the shell has written is added to what borg has."""
        shell_log = actor.directory / f"shell-{next(self.numbers)}.log"
        shell_log.unlink(missing_ok=True)  # Of a run that was killed.
        environment = actor.environment(self.programs.draw(f"{actor.name}/server"), shell_log)
        wait = min(_LOCK_WAIT_SECONDS, self._lock_seconds)
        completed = await self.runner.run(
            [self.programs.draw(actor.name), "--log-json", f"--lock-wait={wait}", *words],
            env=environment,
            cwd=cwd or actor.directory,
            stdin=stdin,
            seconds_max=seconds_max,
        )
        written = shell_log.read_bytes() if shell_log.exists() else b""
        shell_log.unlink(missing_ok=True)
        return replace(completed, stderr=completed.stderr + written) if completed.exit_code != 0 else completed

    @property
    def _lock_seconds(self) -> int:
        """Less than the whole time, so that borg says itself that it waits for a lock."""
        return max(1, min(LOCK_SECONDS_MAX, int(self.seconds_max / 2)))

    async def create_repository(self, actor: Actor, encryption: str) -> CompletedCommand:
        return await self.run(actor, "init", f"--encryption={encryption}", actor.repository)

    async def create(
        self, actor: Actor, source: Path, archive: str, comment: Comment, compression: str
    ) -> CompletedCommand:
        """From the directory above the source, so that its root is kept, and its path is not (measured)."""
        name = source.name if not source.name.startswith("-") else f"./{source.name}"
        options = ("--json", f"--comment={comment.as_option}", f"--compression={compression}")
        return await self.run(actor, "create", *options, f"{actor.repository}::{archive}", name, cwd=source.parent)

    async def list_archives(self, actor: Actor) -> CompletedCommand:
        """All archives, also what a creation that was cut off has left, oldest first."""
        options = ("--json", "--consider-checkpoints", "--format={comment}{end}{username}{hostname}")
        return await self.run(actor, "list", *options, actor.repository)

    async def extract(self, actor: Actor, archive: str, sub_path: bytes, directory: Path) -> CompletedCommand:
        """Into a directory, under the path in the archive, which begins with the name of the source: all of it, or what
        is at `sub_path` below the source. Matched by a regular expression, for which the name need not be known."""
        parts = [f"re:^[^/]+/{re.escape(os.fsdecode(sub_path))}(?:/|\\Z)"] if sub_path else []
        words = ("extract", "--sparse", f"{actor.repository}::{archive}", *parts)
        return await self.run(actor, *words, cwd=directory)

    async def read_back(self, actor: Actor, archive: str) -> CompletedCommand:
        """Read all of one archive, and write nothing."""
        return await self.run(actor, "extract", "--dry-run", f"{actor.repository}::{archive}")

    async def delete(self, actor: Actor, archives: Sequence[str]) -> CompletedCommand:
        """In one transaction."""
        return await self.run(actor, "delete", f"{actor.repository}::{archives[0]}", *archives[1:])

    async def check(self, actor: Actor) -> CompletedCommand:
        """The whole repository, and all data in it."""
        return await self.run(actor, "check", "--verify-data", actor.repository)

    async def compact(self, actor: Actor) -> CompletedCommand:
        return await self.run(actor, "compact", f"--threshold={COMPACT_SEGMENTS_PERCENT}", actor.repository)


def make_private(directory: Path) -> None:
    """Make the directory and those above it that are missing, all closed to other users."""
    if directory.is_dir():
        return
    make_private(directory.parent)
    directory.mkdir(mode=0o700, exist_ok=True)
