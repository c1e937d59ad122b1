"""How each known bug is provoked."""

from __future__ import annotations

import os
import signal

from snapstorm.errors import HarnessError
from snapstorm.filesystem.scanner import scan_tree
from snapstorm.model.guarantees import Guarantee
from snapstorm.runtime.process import CompletedCommand
from snapstorm.runtime.threads import run_file_work
from snapstorm.targets.command_output import stderr_of
from snapstorm.targets.known_bug import BrokenGuarantee, KnownBug
from snapstorm.targets.restic import snapshot_answers
from snapstorm.targets.restic.blobs import find_packs
from snapstorm.targets.restic.known_bugs.bench import MEASURED, Bench, words_of
from snapstorm.targets.workbench import Signal, stop, until

_MEGABYTE = 1_000_000
_PACKS_MIN = 4
_NOT_UTF8 = b"no-such-\xff"


async def _prune_in_the_midst(bench: Bench) -> str | None:
    await bench.create_repository()
    tree = await bench.write_tree("source", count=30, size_bytes=3 * _MEGABYTE)

    async def prune(send: Signal) -> None:
        await until(lambda: len(find_packs(bench.repository)) >= _PACKS_MIN, f"{_PACKS_MIN} packs were written")
        stop(send)
        locks = {path: path.read_bytes() for path in bench.repository.glob("locks/*")}
        await bench.ask("unlock", "--remove-all")
        snapshot_answers.check_pruned(await bench.restic.prune(bench.actor, is_full=True))
        for path, content in locks.items():  # 0.14.0 and 0.16.5 look for their lock for a minute before they end.
            path.write_bytes(content)
        send(signal.SIGCONT)

    async def take() -> CompletedCommand:
        return await bench.restic.run(bench.actor, "backup", "--json", "--pack-size=4", str(tree.directory))

    completed = await bench.beside(take, prune)
    receipt = snapshot_answers.read_receipt(completed, str(tree.directory), tells_counts=False)
    wrong = await bench.what_is_wrong_with(receipt.id, tree.manifest)
    return f"an acknowledged snapshot is not what was written: {wrong}" if wrong else None


async def _lose_packs(bench: Bench) -> str | None:
    await bench.create_repository()
    tree = await bench.write_tree("source", count=4, size_bytes=_MEGABYTE)
    await bench.take_snapshot(tree.directory)
    packs = [pack for pack in find_packs(bench.repository) if pack.holds_files]
    if not packs:
        raise HarnessError("no pack of files was found that could be lost")
    for pack in packs:
        pack.path.unlink()
    snapshot = await bench.take_snapshot(tree.directory, "--force")
    wrong = await bench.what_is_wrong_with(snapshot, tree.manifest)
    if wrong is None:
        return None
    return f"the packs were deleted, then every file was read anew for a snapshot that was acknowledged: {wrong}"


async def _keep_a_tag_that_nothing_has(bench: Bench) -> str | None:
    await bench.create_repository()
    tree = await bench.write_tree("source", count=1, size_bytes=1000)
    for _ in range(2):
        await bench.take_snapshot(tree.directory)
    completed = await bench.restic.run(bench.actor, "forget", "--keep-tag=mistyped")
    left = await bench.count_snapshots()
    if completed.exit_code == 0 and left == 0:
        return "`forget --keep-tag` with a tag that no snapshot has exits with 0, and all snapshots are gone"
    if left != 2:
        raise HarnessError(f"{left} of 2 snapshots are left, and forget said: {words_of(completed)}")
    return None


async def _forget_where_nobody_may(bench: Bench) -> str | None:
    async with bench.append_only() as remote:
        await remote.create_repository()
        tree = await remote.write_tree("source", count=1, size_bytes=1000)
        snapshot = await remote.take_snapshot(tree.directory)
        completed = await remote.restic.run(remote.actor, "forget", snapshot)
        left = await remote.count_snapshots()
    if completed.exit_code == 0 and left:
        return f"`forget` exits with 0, and the snapshot is listed as before: {words_of(completed)}"
    if not left:
        raise HarnessError("the snapshot is gone, though the server lets nobody delete")
    return None


async def _link_to_what_is_not_utf8(bench: Bench) -> str | None:
    await bench.create_repository()
    tree = await bench.write_tree("source", count=1, size_bytes=1000)
    os.symlink(_NOT_UTF8, os.fsencode(tree.directory / "link"))
    expected = await run_file_work(scan_tree, tree.directory)
    return await bench.what_is_wrong_with(await bench.take_snapshot(tree.directory), expected)


async def _restore_over_a_link(bench: Bench) -> str | BrokenGuarantee | None:
    await bench.create_repository()
    tree = await bench.write_tree("source", count=1, size_bytes=1000)
    link = tree.directory / "link"
    link.symlink_to("target")
    expected = await run_file_work(scan_tree, tree.directory)
    snapshot = await bench.take_snapshot(tree.directory)
    target = bench.directory / "over"
    restored = target / tree.directory.relative_to("/")
    await bench.ask("restore", snapshot, f"--target={target}")
    (restored / "link").unlink()
    (restored / "link").symlink_to("elsewhere")
    completed = await bench.restic.run(bench.actor, "restore", snapshot, f"--target={target}")
    if completed.exit_code:
        said = " ".join(stderr_of(completed).split())
        return f"a restore over an earlier one ends with status {completed.exit_code}, where a link was changed: {said}"
    if wrong := await bench.difference(expected, restored):
        words = f"a restore over an earlier one exits with 0, and leaves what had been changed: {wrong}"
        return BrokenGuarantee(Guarantee.RESTORED_EXACTLY, words)
    return None


BUGS = (
    KnownBug(
        key="positive-control",
        title="what a running backup needs is pruned",
        provoked=f"`backup` is stopped after {_PACKS_MIN} packs, `unlock --remove-all` and `prune` run, it goes on. "
        "Documented as unsafe: a judge that does not see it sees nothing.",
        guarantee=Guarantee.RESTORED_EXACTLY,
        bad=frozenset(MEASURED),
        measured=MEASURED,
        provoke=_prune_in_the_midst,
        is_in_all=True,
    ),
    KnownBug(
        key="lost-pack",
        title="a new snapshot relies on packs that are gone",
        provoked="All packs of files are deleted from the storage, and the same tree is taken again with `--force`.",
        guarantee=Guarantee.RESTORED_EXACTLY,
        bad=frozenset(MEASURED),
        measured=MEASURED,
        provoke=_lose_packs,
    ),
    KnownBug(
        key="4568",
        title="a mistyped tag to keep has everything forgotten",
        provoked="`forget --keep-tag` with a tag that no snapshot has.",
        guarantee=Guarantee.ACKNOWLEDGED_STAYS_LISTED,
        bad=frozenset({"0.14.0", "0.16.5"}),
        measured=MEASURED,
        provoke=_keep_a_tag_that_nothing_has,
    ),
    KnownBug(
        key="5233",
        title="a snapshot that can't be removed is said to be",
        provoked="`forget` through a rest-server that was started with `--append-only`.",
        guarantee=Guarantee.DELETED_STAYS_GONE,
        bad=frozenset({"0.18.1"}),
        measured=MEASURED,
        provoke=_forget_where_nobody_may,
    ),
    KnownBug(
        key="3311",
        title="links to what is not UTF-8 are restored as others",
        provoked="The tree holds a symbolic link whose target has the byte 0xff.",
        guarantee=Guarantee.RESTORED_EXACTLY,
        bad=frozenset({"0.14.0"}),
        measured=MEASURED,
        provoke=_link_to_what_is_not_utf8,
    ),
    KnownBug(
        key="2578",
        title="a restore over an earlier one fails, and leaves links as they are",
        provoked="A snapshot is restored, a link is changed in what was restored, and it is restored there again.",
        guarantee=Guarantee.AVAILABLE,
        bad=frozenset({"0.14.0"}),
        measured=MEASURED,
        provoke=_restore_over_a_link,
    ),
)
