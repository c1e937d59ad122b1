"""How known bugs of borg are provoked."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import anyio

from snapstorm.errors import OperationFailed
from snapstorm.model.guarantees import Guarantee
from snapstorm.runtime.process import CompletedCommand
from snapstorm.runtime.tasks import together
from snapstorm.targets.borg.answers import Answers
from snapstorm.targets.borg.command import Actor, Borg, local
from snapstorm.targets.borg.known_bugs.bench import COMMAND_SECONDS_MAX, FILE_BYTES, MEASURED, NAME, Bench, last_words
from snapstorm.targets.known_bug import KnownBug, needs_root
from snapstorm.targets.programs import Programs
from snapstorm.targets.workbench import until

_WAIT_SECONDS_MAX = 60.0
_FED_BYTES = 20_000_000
_WRITTEN_BYTES_MIN = 8_000_000
_NOBODY = 65534
_FILES_COUNT = 3


async def _read_below_a_closed_directory(bench: Bench) -> str | None:
    """A user may pass through the directory above his own, and not list it."""
    bench.directory.chmod(0o711)
    closed = bench.directory / "closed"
    closed.mkdir(mode=0o711)
    home = bench.directory / "home"
    home.mkdir()
    tree = await bench.write_files("closed/tree", count=_FILES_COUNT)
    for path in (home, tree, *tree.iterdir()):
        os.chown(path, _NOBODY, _NOBODY)
    program = bench.directory / "borg-as-nobody"
    program.write_text(
        f'#!/bin/sh\nexec setpriv --reuid={_NOBODY} --regid={_NOBODY} --clear-groups "{bench.program.path}" "$@"\n'
    )
    program.chmod(0o755)
    user = Actor("nobody", home / "actor", local(home / NAME), bench.passphrase)
    (home / "actor").mkdir()
    os.chown(home / "actor", _NOBODY, _NOBODY)
    borg = Borg(Programs([program]), bench.runner, COMMAND_SECONDS_MAX)
    Answers(NAME).check(await borg.create_repository(user, "repokey-blake2"), "init", OperationFailed)
    created = await borg.run(user, "create", f"{user.repository}::a", str(tree))
    listed = await borg.run(user, "list", "--short", f"{user.repository}::a")
    kept = [line for line in listed.stdout.decode().splitlines() if "/file-" in line]
    if len(kept) == _FILES_COUNT and created.exit_code == 0:
        return None
    return (
        f"of {_FILES_COUNT} files that the user owns, below a directory of mode 0711 that he does not, {len(kept)} "
        f"are in the archive; create ends with status {created.exit_code}: {last_words(created)}"
    )


async def _count_bytes(bench: Bench) -> str | None:
    await bench.make_repository()
    tree = await bench.write_files("tree", count=_FILES_COUNT)
    created = await bench.ask("create", "--json", bench.archive("a"), tree.name, cwd=tree.parent)
    told = Answers(NAME).read_receipt(created, counts_bytes=True).size_bytes
    there = _FILES_COUNT * FILE_BYTES
    return None if told == there else f"create says that it took {told:,} bytes where there were {there:,}"


async def _delete_nothing(bench: Bench) -> str | None:
    await bench.make_repository()
    deleted = await bench.borg.delete(bench.actor(), ["no-such-archive"])
    if deleted.exit_code != 0:
        return None
    return f"delete of an archive that there is not ends with status 0; it only warns: {last_words(deleted)}"


async def _lose_segments(bench: Bench) -> str | None:
    await bench.make_repository()
    tree = await bench.write_files("tree", count=_FILES_COUNT)
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
    tree = await bench.write_files("tree", count=_FILES_COUNT)
    await bench.ask("create", bench.archive("old"), tree.name, cwd=tree.parent)
    reading, writing = os.pipe()
    results: list[CompletedCommand] = []

    async def create_slowly() -> None:
        words = ("create", bench.archive("slow"), "-")
        results.append(await bench.borg.run(bench.actor(), *words, stdin=reading))

    async def meddle() -> None:
        try:
            await anyio.to_thread.run_sync(_feed, writing)
            written = f"{_WRITTEN_BYTES_MIN:,} bytes were written"
            await until(lambda: bench.written_bytes() >= _WRITTEN_BYTES_MIN, written, seconds_max=_WAIT_SECONDS_MAX)
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
            found.append(f"archive slow was acknowledged, and can't be read: {last_words(read)}")
    return "; ".join(found) or None


def _feed(writing: int) -> None:
    left = memoryview(os.urandom(_FED_BYTES))
    while left:
        left = left[os.write(writing, left) :]


_ALL = frozenset(MEASURED)
_OLD = frozenset({"1.2.4"})

BUGS: Sequence[KnownBug[Bench]] = (
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
