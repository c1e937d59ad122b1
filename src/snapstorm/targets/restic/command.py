"""The command line of restic: which words ask for what, and in which environment they run.

Together with `answers`, which knows what comes back, this is all that knows restic's interface. No password is ever
among the words: passwords travel in the environment, that of the server as a part of the repository's address.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from os import fsdecode
from pathlib import Path, PurePosixPath

from snapstorm.model.location import FileStorage, Storage
from snapstorm.runtime.child import Environment
from snapstorm.runtime.process import CompletedCommand, ProcessRunner
from snapstorm.targets.programs import Programs
from snapstorm.targets.restic import answers, versions
from snapstorm.targets.restic.environment import HIDDEN
from snapstorm.targets.restic.versions import Version

TESTBED_TAG = "testbed"
OPERATION_TAG = "operation"

_WAIT_FOR_LOCKS_SECONDS = 2
"""After this time a command gives up; it is asked for again once another one has ended. restic looks again only after
5 s, or at the end of this time (0.18.1, by its source)."""
_UNLOCK_SECONDS_MAX = 20.0
_SPECIAL = re.compile(r"([\\*?\[\]])")


@dataclass(frozen=True)
class Actor:
    """Who runs a command: a repository and its password, a cache, and a directory that nobody else uses."""

    directory: Path
    """Private to this actor; made at its first command."""
    repository: str = field(repr=False)
    """Where the repository is, as restic is told. A directory, or an address with a password in it."""
    password: str = field(repr=False)
    """The repository's."""
    certificate: Path | None = None
    """By which the server is known."""
    has_cache: bool = True
    takes_locks: bool = True
    unlocker: Actor | None = None
    """Who removes what killed commands have left in this repository; None for the actor itself."""
    storage_secrets: Mapping[str, str] = field(default_factory=dict, repr=False)
    """What the storage wants to know, by the name of the environment variable that restic takes it from."""
    region: str | None = None
    """Of storage on S3, where it has one."""

    @functools.cached_property
    def name(self) -> str:
        """Tells this actor from the others of its testbed, wherever that is."""
        return "/".join(self.directory.parts[-2:])

    @property
    def cache(self) -> Path:
        """The directory of the cache."""
        return self.directory / "cache"

    @functools.cached_property
    def environment(self) -> Environment:
        """In which this actor's commands run."""
        variables = {"RESTIC_CACHE_DIR": str(self.cache), "RESTIC_PROGRESS_FPS": "0"}
        secrets = {"RESTIC_PASSWORD": self.password, **self.storage_secrets}
        if self.region is not None:
            variables["AWS_DEFAULT_REGION"] = self.region
        holds_password = self.repository.startswith("rest:")
        (secrets if holds_password else variables)["RESTIC_REPOSITORY"] = self.repository
        return Environment(variables, HIDDEN.inherited_environment(), secrets)


@dataclass(frozen=True)
class TakenPath:
    """The absolute path of what a snapshot was taken of, as restic shows it: with U+FFFD for what is not UTF-8. Of the
    names above and including what was taken, each directory in a snapshot holds only one, so it is found all the
    same."""

    text: str

    @property
    def names(self) -> tuple[str | None, ...]:
        """From the root of the file system on; None for one that is not known."""
        return tuple(name if _is_exact(name) else None for name in PurePosixPath(self.text).parts[1:])

    @property
    def known_parent(self) -> PurePosixPath:
        """The deepest directory above it whose path is known."""
        parent = PurePosixPath("/")
        for name in self.names[:-1]:
            if name is None:
                return parent
            parent /= name
        return parent

    @property
    def names_below_known_parent(self) -> tuple[str | None, ...]:
        return self.names[len(self.known_parent.parts) - 1 :]


def _is_exact(name: str) -> bool:
    return "\N{REPLACEMENT CHARACTER}" not in name and not any("\ud800" <= char <= "\udfff" for char in name)


@dataclass(frozen=True)
class Restic:
    """The programs under test, with a method for each command."""

    programs: Programs
    version_by_program: Mapping[Path, Version]
    runner: ProcessRunner
    seconds_max: float
    """After this time a command is ended."""
    options: Sequence[str] = ()
    """Words of each command that writes."""

    async def run(self, actor: Actor, *words: str, program: Path | None = None) -> CompletedCommand:
        """Any command.

        A killed command leaves its lock, which keeps out whoever needs the repository for himself, and everybody if it
        was such a one itself. So after a command that was ended by a signal or timed out, what is left of it is removed
        (`unlock`, which leaves the locks of processes that still run). Another one may leave a lock as well, such as
        one of a run that was killed. So a command that is kept out by a lock whose owner has ended is repeated once
        after that.
        """
        program = program or self.programs.draw(actor.name)
        completed = await self._run(actor, program, *words)
        if completed.timed_out or completed.exit_code < 0:
            await self.unlock(actor)
        elif answers.is_locked_by_nobody(completed):
            await self.unlock(actor)
            completed = await self._run(actor, program, *words)
        return completed

    async def _run(
        self, actor: Actor, program: Path, *words: str, seconds_max: float | None = None
    ) -> CompletedCommand:
        if not actor.directory.is_dir():
            make_private(actor.directory)
        return await self.runner.run(
            [program, words[0], *self._options(actor, self.version_by_program[program]), *words[1:]],
            env=actor.environment,
            cwd=actor.directory,
            seconds_max=self.seconds_max if seconds_max is None else seconds_max,
        )

    def _options(self, actor: Actor, version: Version) -> list[str]:
        options = [] if actor.certificate is None else [f"--cacert={actor.certificate}"]
        options += [] if actor.has_cache else ["--no-cache"]
        if not actor.takes_locks:
            options.append("--no-lock")
        elif version >= versions.WAITS_FOR_LOCKS:
            options.append(f"--retry-lock={_WAIT_FOR_LOCKS_SECONDS}s")
        return options

    async def unlock(self, actor: Actor, *, is_for_all: bool = False) -> CompletedCommand:
        """Remove the locks of processes of this machine that have ended; or all locks, if nobody is at work."""
        unlocker = actor.unlocker or actor
        program = self.programs.draw(f"{unlocker.name} unlocking")
        words = ["unlock", *(["--remove-all"] if is_for_all else [])]
        return await self._run(unlocker, program, *words, seconds_max=min(_UNLOCK_SECONDS_MAX, self.seconds_max))

    async def create_repository(self, actor: Actor, *, is_oldest_format: bool = False) -> CompletedCommand:
        """In the format 2 or, the oldest that can be made, 1."""
        return await self.run(actor, "init", *(["--repository-version=1"] if is_oldest_format else []))

    async def read_config(self, actor: Actor) -> CompletedCommand:
        """What tells the repository from every other one, and its format. Needs no lock."""
        return await self.run(actor, "cat", "config")

    async def upgrade(self, actor: Actor) -> CompletedCommand:
        """Bring the repository to format 2. Nobody else may be at work."""
        return await self.run(actor, "migrate", "upgrade_repo_v2", program=self.programs.newest_named)

    async def create_snapshot(self, actor: Actor, source: Path, host: str, tags: Mapping[str, str]) -> CompletedCommand:
        """`host` is what restic is told; nobody checks it."""
        marks = [f"--host={host}", *(f"--tag={name}:{value}" for name, value in tags.items())]
        return await self.run(actor, "backup", "--json", *marks, *self.options, str(source))

    async def restore(
        self, actor: Actor, snapshot: str, source: TakenPath, sub_path: bytes, target: Path
    ) -> tuple[CompletedCommand, Sequence[str | None]]:
        """Restore a snapshot of the tree at `source`, or what is at `sub_path` in it, below the directory `target`.
        Returns by which names it is found there, None standing for the only entry.

        What is asked for is restored as an entry of its parent: of the root of what restic restores, mode and times are
        lost (0.14.0 to 0.18.1, measured).
        """
        program = self.programs.draw(actor.name)
        version = self.version_by_program[program]
        origin, names = snapshot, source.names
        if version >= versions.WAITS_FOR_LOCKS:  # Without the directories above, which may be anybody's.
            origin, names = f"{snapshot}:{source.known_parent}", source.names_below_known_parent
        words = ["restore", origin, f"--target={target}"]
        words += ["--sparse"] if version >= versions.RESTORES_SPARSE else []
        if sub_path:
            names = (*names, *fsdecode(sub_path).split("/"))
            words.append(f"--include=/{'/'.join('*' if name is None else as_pattern(name) for name in names)}")
        return await self.run(actor, *words, program=program), names

    async def list_snapshots(self, actor: Actor) -> CompletedCommand:
        """Of all hosts."""
        return await self.run(actor, "snapshots", "--json")

    async def show_snapshot(self, actor: Actor, snapshot: str) -> CompletedCommand:
        return await self.run(actor, "cat", "snapshot", snapshot)

    async def delete_snapshot(self, actor: Actor, snapshot: str) -> CompletedCommand:
        return await self.run(actor, "forget", snapshot)

    async def expire(self, actor: Actor, host: str, source: Path, keep_latest: int) -> CompletedCommand:
        which = [f"--host={host}", f"--path={source}", "--group-by=host,paths"]
        return await self.run(actor, "forget", f"--keep-last={keep_latest}", *which)

    async def check(self, actor: Actor) -> CompletedCommand:
        """Read everything in the repository back."""
        return await self.run(actor, "check", "--read-data")

    async def prune(self, actor: Actor, *, is_full: bool) -> CompletedCommand:
        """Remove what no snapshot needs any more; unless it is to be full, only from packs in which nothing is
        needed."""
        bound = "--max-unused=0" if is_full else "--max-repack-size=0"
        return await self.run(actor, "prune", bound, *self.options)


def address_of(storage: Storage) -> str:
    """How restic is told where a repository is. Which style of bucket names S3 has there, restic finds out itself."""
    if isinstance(storage, FileStorage):
        return str(storage.path)
    return f"s3:{storage.endpoint}/{storage.bucket}/{storage.prefix}".rstrip("/")


def as_pattern(name: str) -> str:
    """A name as a pattern of restic's that matches nothing else."""
    return _SPECIAL.sub(r"\\\1", name)


def make_private(directory: Path) -> None:
    """Make the directory and those above it that are missing, all closed to other users."""
    if directory.is_dir():
        return
    make_private(directory.parent)
    directory.mkdir(mode=0o700, exist_ok=True)
