"""Known bugs of single commands: what they leave out, leave behind, or end with."""

from __future__ import annotations

import os
import re
from pathlib import Path

import anyio

from snapstorm.errors import HarnessError, OperationFailed
from snapstorm.filesystem.removal import remove_tree
from snapstorm.filesystem.scanner import scan_tree
from snapstorm.model.guarantees import Guarantee
from snapstorm.model.judging import judge_unsaved, miscounted
from snapstorm.runtime.process import CompletedCommand
from snapstorm.runtime.threads import run_file_work
from snapstorm.targets.command_output import stderr_of
from snapstorm.targets.known_bug import BrokenGuarantee, KnownBug, needs_root
from snapstorm.targets.kopia import answers, snapshot_answers
from snapstorm.targets.kopia.known_bugs.bench import MEASURED, Bench, words_of
from snapstorm.targets.kopia.target import MISCOUNTS_LINKS
from snapstorm.targets.workbench import Signal, until

_NOBODY = 65534
_USER = 1000
_STREAM_BYTES = 8_000_000
_CHECKPOINT_SECONDS = 3
_LINKS = 53
_PANIC = re.compile(r"^panic: (.*)$|runtime error: (.*)$", re.MULTILINE)


async def _show_a_policy(bench: Bench) -> str | None:
    actor = await bench.create_repository()
    source = str(bench.directory / "source")
    await bench.ask(actor, "policy", "set", "--inherit=false", "--clear-ignore", source)
    return _failure_of(await bench.kopia.run(actor, "policy", "show", source), "policy show")


async def _list_without_caches(bench: Bench) -> str | None:
    """`cache set` leaves no room for caches, but their directory stays configured."""
    actor = await bench.create_repository()
    await bench.ask(actor, "cache", "set", "--content-cache-size-mb=0", "--metadata-cache-size-mb=0")
    await run_file_work(remove_tree, actor.cache)
    return _failure_of(await bench.kopia.list_snapshots(actor), "snapshot list")


def _failure_of(completed: CompletedCommand, what: str) -> str | None:
    """In words, how a command failed, with its panic if it had one; None if it did not fail."""
    if completed.exit_code == 0:
        return None
    panic = _PANIC.search(stderr_of(completed))
    return f"`{what}` ends with status {completed.exit_code}: {panic[0] if panic else words_of(completed)}"


async def _take_links(bench: Bench) -> str | None:
    """A tree with links below its root."""
    actor = await bench.create_repository()
    tree = await bench.write_tree("source", count=1, size_bytes=1000)
    below = tree.directory / "below"
    below.mkdir()
    for number in range(_LINKS):
        (below / f"link-{number}").symlink_to("nowhere")
    manifest = await run_file_work(scan_tree, tree.directory)
    receipt = snapshot_answers.read_receipt(await bench.create_snapshot(actor, tree.directory))
    wrong = miscounted(receipt, manifest.counts)
    return f"snapshot {receipt.id} was acknowledged with {wrong}" if wrong else None


async def _restore_by_path(bench: Bench) -> str | None:
    actor = await bench.create_repository()
    tree = await bench.write_tree("source", count=1, size_bytes=10_000)
    name = next(entry.path for entry in tree.manifest if entry.path)
    file = tree.directory / os.fsdecode(name)
    file.chmod(0o640)
    expected = (await run_file_work(scan_tree, tree.directory)).below(name)
    await bench.take_snapshot(actor, tree.directory)
    destination = bench.directory / "restored"
    await bench.ask(actor, "restore", str(file), str(destination))
    wrong = await bench.difference(expected, destination)
    return f"a file restored by its path, with status 0, is not what it was: {wrong}" if wrong else None


async def _change_the_root_alone(bench: Bench) -> str | BrokenGuarantee | None:
    actor = await bench.create_repository()
    await bench.ask(actor, "policy", "set", "--global", "--ignore-identical-snapshots=true")
    tree = await bench.write_tree("source", count=2, size_bytes=1000)
    await bench.take_snapshot(actor, tree.directory)
    tree.directory.chmod(0o700)
    if bench.capabilities.owner:
        os.chown(tree.directory, _USER, _USER)
    changed = await run_file_work(scan_tree, tree.directory)
    second = await bench.create_snapshot(actor, tree.directory)
    answers.check(second, "snapshot create", OperationFailed)
    if not snapshot_answers.is_nothing_saved(second):
        wrong = await bench.what_is_wrong_with(snapshot_answers.read_receipt(second).id, changed)
        return BrokenGuarantee(Guarantee.RESTORED_EXACTLY, wrong) if wrong else None
    found = judge_unsaved(changed, tree.manifest, bench.capabilities)
    if not found:
        raise HarnessError("the root was changed, but no difference is to be seen")
    return f"`snapshot create` ends with status 0 and saves nothing, though {'; '.join(map(str, found))}"


async def _take_a_snapshot_past_a_checkpoint(bench: Bench) -> str | None:
    """A stream is held open until a checkpoint was made, and ends long before the next one is due."""
    actor = await bench.create_repository()
    before = bench.blob_ids("x")
    reading, writing = os.pipe()
    options = ("--stdin-file=stream", f"--checkpoint-interval={_CHECKPOINT_SECONDS}s")

    async def take() -> CompletedCommand:
        try:
            return await bench.create_snapshot(actor, bench.directory, *options, stdin=reading)
        finally:
            os.close(reading)

    async def feed(_: Signal) -> None:
        try:
            with os.fdopen(writing, "wb", buffering=0) as stream:
                await anyio.to_thread.run_sync(_write_all, stream.fileno())
                await until(lambda: bench.blob_ids("x") != before, "a checkpoint was made")
        except BrokenPipeError:
            raise HarnessError("`snapshot create` did not read its input to the end") from None

    receipt = snapshot_answers.read_receipt(await bench.beside(take, feed))
    listed = snapshot_answers.read_listing(await bench.kopia.list_snapshots(actor))
    if [entry.id for entry in listed if entry.incomplete is None] != [receipt.id]:
        raise HarnessError("the snapshot that was acknowledged is not the only complete one that is listed")
    left = [entry for entry in listed if entry.incomplete is not None]
    if not left:
        return None
    return f"after one complete snapshot {len(left)} more are listed that nobody asked for ({left[0].incomplete})"


def _write_all(descriptor: int) -> None:
    left = os.urandom(_STREAM_BYTES)
    while left:
        left = left[os.write(descriptor, left) :]


async def _take_what_can_not_be_entered(bench: Bench) -> str | BrokenGuarantee | None:
    """Another user takes a directory that it may list, of which it may look at no entry."""
    tree = await bench.write_tree("source", count=2, size_bytes=1000)
    closed = tree.directory / "closed"
    closed.mkdir()
    (closed / "file").write_bytes(b"can't be looked at")
    closed.chmod(0o444)
    readable = (await run_file_work(scan_tree, tree.directory)).entries
    as_nobody = bench.through("setpriv", f"--reuid={_NOBODY}", f"--regid={_NOBODY}", "--clear-groups")
    bench.repository.mkdir()
    as_nobody.actor("first").directory.mkdir(parents=True)
    _give_away(bench.directory)
    actor = await as_nobody.create_repository()
    completed = await as_nobody.create_snapshot(actor, tree.directory)
    if completed.exit_code == 0:
        return BrokenGuarantee(
            Guarantee.PARTIAL_IS_REPORTED, "an entry was left out, and `snapshot create` ends with status 0"
        )
    listed = snapshot_answers.read_listing(await as_nobody.kopia.list_snapshots(actor))
    if len(listed) != 1:
        raise HarnessError(f"{len(listed)} snapshots are listed where one is to be: {words_of(completed)}")
    restored, destination = await bench.restore(listed[0].id)
    answers.check(restored, "restore", OperationFailed)
    found = {entry.path for entry in await run_file_work(scan_tree, destination)}
    missing = [entry.path.decode() for entry in readable if entry.path not in found and entry.path != b"closed/file"]
    if not missing:
        return None
    return f"only `closed/file` can't be read; left out of the snapshot is `{missing[0]}`: {words_of(completed)}"


def _give_away(directory: Path) -> None:
    """Make everything in the directory another user's."""
    for top, directories, files in os.walk(directory):
        for name in (".", *directories, *files):
            os.chown(Path(top, name), _NOBODY, _NOBODY, follow_symlinks=False)


BUGS = (
    KnownBug(
        key="4421",
        title="links below the root of a snapshot are not counted",
        provoked=f"A snapshot of a tree with {_LINKS} symbolic links in a directory; its `summ.symlinks` is read.",
        guarantee=Guarantee.PARTIAL_IS_REPORTED,
        bad=MISCOUNTS_LINKS,
        measured=MEASURED,
        provoke=_take_links,
    ),
    KnownBug(
        key="root-unsaved",
        title="a change of the root alone is not saved",
        provoked="Under `--ignore-identical-snapshots`: `chmod 700 SRC; chown 1000:1000 SRC` between two snapshots.",
        guarantee=Guarantee.PARTIAL_IS_REPORTED,
        bad=frozenset(MEASURED),
        measured=MEASURED,
        provoke=_change_the_root_alone,
    ),
    KnownBug(
        key="4439",
        title="checkpoints stay listed after the complete snapshot",
        provoked="A snapshot of a stream is held open past its first checkpoint, and then completes.",
        guarantee=Guarantee.NOTHING_UNREQUESTED,
        bad=frozenset({"0.19.0"}),
        measured=MEASURED,
        provoke=_take_a_snapshot_past_a_checkpoint,
    ),
    KnownBug(
        key="4560",
        title="`policy show` panics",
        provoked="`policy set --inherit=false --clear-ignore PATH`, then `policy show PATH`.",
        guarantee=Guarantee.AVAILABLE,
        bad=frozenset({"0.19.0"}),
        measured=MEASURED,
        provoke=_show_a_policy,
    ),
    KnownBug(
        key="5406",
        title="a command panics where caches are of size 0",
        provoked="`cache set --content-cache-size-mb=0 --metadata-cache-size-mb=0`; the cache's directory is removed; "
        "`snapshot list`.",
        guarantee=Guarantee.AVAILABLE,
        bad=frozenset(MEASURED),
        measured=MEASURED,
        provoke=_list_without_caches,
    ),
    KnownBug(
        key="5217",
        title="one entry that can't be read drops its whole directory",
        provoked="A user without rights takes a directory of mode 0444, of which it can list but not look at the "
        "entries.",
        guarantee=Guarantee.RESTORED_EXACTLY,
        bad=frozenset({"0.19.0", "0.22.3"}),
        measured=MEASURED,
        provoke=_take_what_can_not_be_entered,
        why_not_here=needs_root,
    ),
    KnownBug(
        key="5564",
        title="restore by path loses mode and mtime",
        provoked="`restore /ABSOLUTE/PATH/OF/FILE` of a file of mode 0640.",
        guarantee=Guarantee.RESTORED_EXACTLY,
        bad=frozenset(MEASURED),
        measured=MEASURED,
        provoke=_restore_by_path,
    ),
)
