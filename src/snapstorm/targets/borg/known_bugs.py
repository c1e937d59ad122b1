"""Known bugs of borg, and how each is provoked: with bare commands, on a bench of its own."""

from __future__ import annotations

import os
import secrets
import tempfile
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import anyio

from snapstorm.errors import HarnessError, OperationFailed
from snapstorm.filesystem.removal import remove_tree
from snapstorm.filesystem.scanner import scan_tree
from snapstorm.model.guarantees import Guarantee
from snapstorm.model.protocols import Program
from snapstorm.model.tree_differences import differences
from snapstorm.runtime.polling import until
from snapstorm.runtime.process import CompletedCommand, ProcessRunner
from snapstorm.runtime.tasks import together
from snapstorm.runtime.threads import run_file_work
from snapstorm.targets.borg.answers import Answers, said_by
from snapstorm.targets.borg.command import Actor, Borg, local
from snapstorm.targets.borg.discovery import find_borg, find_version
from snapstorm.targets.borg.target import capabilities_of
from snapstorm.targets.known_bug import KnownBug, KnownBugs, needs_root
from snapstorm.targets.programs import Programs

MEASURED = ("1.2.4", "1.4.5")
"""The versions on which known bugs were looked for."""

_NAME = "repository"
_COMMAND_SECONDS_MAX = 120.0
_WAIT_SECONDS_MAX = 60.0
_FILE_BYTES = 100_001
_FED_BYTES = 20_000_000
_WRITTEN_BYTES_MIN = 8_000_000
_NOBODY = 65534
_FINISHED_COUNT = 3


@dataclass(frozen=True)
class Bench:
    """One borg, and a directory that is the bench's own. Made by `open_bench`."""

    program: Program
    directory: Path
    runner: ProcessRunner
    passphrase: str = field(default_factory=secrets.token_urlsafe, repr=False)

    @property
    def borg(self) -> Borg:
        return Borg(Programs([self.program.path]), self.runner, _COMMAND_SECONDS_MAX)

    @property
    def repository(self) -> Path:
        return self.directory / _NAME

    def actor(self, name: str = "first") -> Actor:
        return Actor(name, self.directory / "actors" / name, local(self.repository), self.passphrase)

    async def make_repository(self) -> None:
        completed = await self.borg.create_repository(self.actor(), "repokey-blake2")
        Answers(_NAME).check(completed, "init", OperationFailed)

    async def ask(self, *words: str, name: str = "first", cwd: Path | None = None) -> CompletedCommand:
        """A command that must succeed for anything to be found out."""
        completed = await self.borg.run(self.actor(name), *words, cwd=cwd)
        Answers(_NAME).check(completed, words[0], OperationFailed)
        return completed

    def archive(self, name: str) -> str:
        return f"{local(self.repository)}::{name}"

    async def write_files(self, name: str, *, count: int) -> Path:
        """A new tree of files whose content can't be compressed."""
        directory = self.directory / name
        directory.mkdir()
        for number in range(count):
            (directory / f"file-{number}").write_bytes(os.urandom(_FILE_BYTES))
        return directory

    async def what_is_wrong_with(self, archive: str, source: Path) -> str | None:
        """In words, how an archive of a tree differs from it; None if it does not."""
        destination = self.directory / f"restored-{secrets.token_hex(4)}"
        destination.mkdir()
        completed = await self.borg.extract(self.actor("reader"), archive, b"", destination)
        if completed.exit_code:
            return f"its extract ends with status {completed.exit_code}: {_last_words(completed)}"
        restored = await run_file_work(scan_tree, destination / source.name)
        expected = await run_file_work(scan_tree, source)
        found = differences(expected, restored, capabilities_of(is_root=os.geteuid() == 0))
        return str(found[0]) if found else None

    async def names(self) -> set[str]:
        """The archives that are listed."""
        listed = await self.borg.list_archives(self.actor("reader"))
        return {entry.id for entry in Answers(_NAME).read_listing(listed)}

    def written_bytes(self) -> int:
        """Of all segments."""
        return sum(path.stat().st_size for path in (self.repository / "data").glob("*/*"))


@asynccontextmanager
async def open_bench(program: Program, runner: ProcessRunner) -> AsyncIterator[Bench]:
    """A bench in a temporary directory, which goes with the block."""
    directory = Path(tempfile.mkdtemp(prefix="snapstorm-known-bug-"))
    try:
        yield Bench(program, directory, runner)
    finally:
        with anyio.CancelScope(shield=True):
            await run_file_work(remove_tree, directory)


async def _read_below_a_closed_directory(bench: Bench) -> str | None:
    """A user may pass through the directory above his own, and not list it."""
    bench.directory.chmod(0o711)
    closed = bench.directory / "closed"
    closed.mkdir(mode=0o711)
    home = bench.directory / "home"
    home.mkdir()
    tree = await bench.write_files("closed/tree", count=_FINISHED_COUNT)
    for path in (home, tree, *tree.iterdir()):
        os.chown(path, _NOBODY, _NOBODY)
    program = bench.directory / "borg-as-nobody"
    program.write_text(
        f'#!/bin/sh\nexec setpriv --reuid={_NOBODY} --regid={_NOBODY} --clear-groups "{bench.program.path}" "$@"\n'
    )
    program.chmod(0o755)
    user = Actor("nobody", home / "actor", local(home / _NAME), bench.passphrase)
    (home / "actor").mkdir()
    os.chown(home / "actor", _NOBODY, _NOBODY)
    borg = Borg(Programs([program]), bench.runner, _COMMAND_SECONDS_MAX)
    Answers(_NAME).check(await borg.create_repository(user, "repokey-blake2"), "init", OperationFailed)
    created = await borg.run(user, "create", f"{user.repository}::a", str(tree))
    listed = await borg.run(user, "list", "--short", f"{user.repository}::a")
    kept = [line for line in listed.stdout.decode().splitlines() if "/file-" in line]
    if len(kept) == _FINISHED_COUNT and created.exit_code == 0:
        return None
    return (
        f"of {_FINISHED_COUNT} files that the user owns, below a directory of mode 0711 that he does not, {len(kept)} "
        f"are in the archive; create ends with status {created.exit_code}: {_last_words(created)}"
    )


async def _count_bytes(bench: Bench) -> str | None:
    await bench.make_repository()
    tree = await bench.write_files("tree", count=_FINISHED_COUNT)
    created = await bench.ask("create", "--json", bench.archive("a"), tree.name, cwd=tree.parent)
    told = Answers(_NAME).read_receipt(created, counts_bytes=True).size_bytes
    there = _FINISHED_COUNT * _FILE_BYTES
    return None if told == there else f"create says that it took {told:,} bytes where there were {there:,}"


async def _delete_nothing(bench: Bench) -> str | None:
    await bench.make_repository()
    deleted = await bench.borg.delete(bench.actor(), ["no-such-archive"])
    if deleted.exit_code != 0:
        return None
    return f"delete of an archive that there is not ends with status 0; it only warns: {_last_words(deleted)}"


async def _lose_segments(bench: Bench) -> str | None:
    await bench.make_repository()
    tree = await bench.write_files("tree", count=_FINISHED_COUNT)
    await bench.ask("create", bench.archive("a"), tree.name, cwd=tree.parent)
    segments = list((bench.repository / "data").glob("*/*"))
    max(segments, key=lambda path: path.stat().st_size).unlink()
    options = ("--files-cache=disabled",)
    await bench.ask("create", *options, bench.archive("b"), tree.name, cwd=tree.parent)
    wrong = await bench.what_is_wrong_with("b", tree)
    if wrong is None:
        return None
    return f"a segment was deleted, then every file was read anew for an archive that was acknowledged: {wrong}"


async def _break_the_lock(bench: Bench) -> str | None:
    """What the manual warns of: another client breaks the lock of one that is at work."""
    await bench.make_repository()
    tree = await bench.write_files("tree", count=_FINISHED_COUNT)
    await bench.ask("create", bench.archive("old"), tree.name, cwd=tree.parent)
    reading, writing = os.pipe()
    results: list[CompletedCommand] = []

    async def create_slowly() -> None:
        words = ("create", bench.archive("slow"), "-")
        results.append(await bench.borg.run(bench.actor(), *words, stdin=reading))

    async def meddle() -> None:
        try:
            await anyio.to_thread.run_sync(_feed, writing)
            await _until(lambda: bench.written_bytes() >= _WRITTEN_BYTES_MIN)
            await bench.ask("break-lock", local(bench.repository), name="other")
            await bench.ask("create", bench.archive("new"), tree.name, name="other", cwd=tree.parent)
            await bench.ask("delete", bench.archive("old"), name="other")
            await bench.ask("compact", local(bench.repository), name="other")
        finally:
            os.close(writing)

    try:
        await together([create_slowly, meddle])
    finally:
        os.close(reading)
    return await _losses(bench, tree, results[0])


async def _losses(bench: Bench, tree: Path, slow: CompletedCommand) -> str | None:
    """What has become of archives that were acknowledged, and of one that was deleted."""
    try:
        listed = await bench.names()
    except OperationFailed as error:
        return f"archive new was acknowledged, and no archive can be listed any more: {error}"
    found = [f"archive {name} {what}" for name, what in (("old", "was deleted, and is there again"),) if name in listed]
    if "new" not in listed:
        found.append("archive new was acknowledged, and is gone")
    elif wrong := await bench.what_is_wrong_with("new", tree):
        found.append(f"archive new was acknowledged, and {wrong}")
    if slow.exit_code == 0:
        read = await bench.borg.read_back(bench.actor("reader"), "slow")
        if read.exit_code:
            found.append(f"archive slow was acknowledged, and can't be read: {_last_words(read)}")
    return "; ".join(found) or None


def _feed(writing: int) -> None:
    left = memoryview(os.urandom(_FED_BYTES))
    while left:
        left = left[os.write(writing, left) :]


async def _until(condition: Callable[[], bool]) -> None:
    with anyio.move_on_after(_WAIT_SECONDS_MAX):
        await until(condition)
        return
    raise HarnessError("borg has not written what it was fed")


def _last_words(completed: CompletedCommand) -> str:
    lines = [line for line in said_by(completed).words.splitlines() if line.strip()]
    return lines[-1].strip() if lines else "it said nothing"


_ALL = frozenset(MEASURED)
_OLD = frozenset({"1.2.4"})

BUGS: dict[str, KnownBug[Bench]] = {
    bug.key: bug
    for bug in (
        KnownBug(
            key="positive-control",
            title="a lock that is broken while its owner is at work, as the manual warns",
            provoked="break-lock, create, delete and compact by another client, while one reads from a pipe",
            guarantee=Guarantee.ACKNOWLEDGED_STAYS_LISTED,
            bad=_ALL,
            provoke=_break_the_lock,
            measured=MEASURED,
            is_in_all=True,
        ),
        KnownBug(
            key="lost-segment",
            title="create acknowledges what is lost",
            provoked="the largest segment is deleted, then all files are read anew for another archive",
            guarantee=Guarantee.RESTORED_EXACTLY,
            bad=_ALL,
            provoke=_lose_segments,
            measured=MEASURED,
        ),
        KnownBug(
            key="7746",
            title="a tree below a directory that can't be listed is left out",
            provoked="as nobody, create of an own tree below a directory of mode 0711",
            guarantee=Guarantee.AVAILABLE,
            bad=_OLD,
            provoke=_read_below_a_closed_directory,
            measured=MEASURED,
            why_not_here=needs_root,
        ),
        KnownBug(
            key="metadata-in-stats",
            title="what is known about files counts among their bytes",
            provoked="create --json of three files",
            guarantee=Guarantee.PARTIAL_IS_REPORTED,
            bad=_OLD,
            provoke=_count_bytes,
            measured=MEASURED,
        ),
        KnownBug(
            key="delete-of-nothing",
            title="delete succeeds where there is nothing to delete",
            provoked="delete of an archive that there is not",
            guarantee=Guarantee.PARTIAL_IS_REPORTED,
            bad=_OLD,
            provoke=_delete_nothing,
            measured=MEASURED,
        ),
    )
}
"""Every known bug by its key, in the order in which they are provoked."""


def _find_programs(named: Sequence[Path]) -> Sequence[Program]:
    """Those that people have named, or one of each version that was measured."""
    return [find_borg(path) for path in named or map(find_version, MEASURED)]


KNOWN_BUGS = KnownBugs(BUGS, _find_programs, open_bench)
