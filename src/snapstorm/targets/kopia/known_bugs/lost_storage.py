"""Known bugs around the storage: what is collected too early, what is gone, and a disk that is full."""

from __future__ import annotations

import os
import re
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from snapstorm.errors import HarnessError, OperationFailed
from snapstorm.gateway.rules import Operation, Rule, RuleEffect
from snapstorm.model.guarantees import Guarantee
from snapstorm.runtime.clock import Clock
from snapstorm.targets.known_bug import BrokenGuarantee, KnownBug, needs_root
from snapstorm.targets.kopia import answers, snapshot_answers
from snapstorm.targets.kopia.blobs import find_packs
from snapstorm.targets.kopia.known_bugs.bench import MEASURED, Bench, behind_gateway, words_of
from snapstorm.targets.workbench import Signal, stop, until

_MEGABYTE = 1_000_000
_DISK_BYTES = 30 << 20
_FULL_DISK_SECONDS_MAX = 25.0
"""A good version gives up after 2 to 6 s (measured, idle)."""
_LISTING_SECONDS_MAX = 60.0
"""An attempt takes 12 s, in which the storage is asked ten times (measured); after the fifth it is clear."""
_MOUNTED = re.compile(r"^mounted$", re.MULTILINE)


async def _collect_in_the_midst(bench: Bench) -> str | None:
    writer = await bench.create_repository()
    keeper = await bench.connect("keeper")
    tree = await bench.write_tree("source", count=30, size_bytes=3 * _MEGABYTE)
    options = ("--parallel=1", "--no-auto-maintenance")

    async def collect(send: Signal) -> None:
        await until(lambda: _packs_of_files(bench) >= 2, "two packs were written")
        stop(send)
        collected = await bench.maintain(keeper, is_safe=False)
        answers.check(collected, "maintenance run", OperationFailed)
        send(signal.SIGCONT)

    completed = await bench.beside(lambda: bench.create_snapshot(writer, tree.directory, *options), collect)
    wrong = await bench.what_is_wrong_with(snapshot_answers.read_receipt(completed).id, tree.manifest)
    return f"an acknowledged snapshot is not what was written: {wrong}" if wrong else None


async def _lose_packs(bench: Bench) -> str | None:
    actor = await bench.create_repository()
    tree = await bench.write_tree("source", count=4, size_bytes=_MEGABYTE)
    await bench.take_snapshot(actor, tree.directory)
    for pack in find_packs(bench.repository):
        if pack.holds_files:
            pack.path.unlink()
    snapshot = await bench.take_snapshot(actor, tree.directory, "--force-hash=100")
    wrong = await bench.what_is_wrong_with(snapshot, tree.manifest)
    if wrong is None:
        return None
    return f"the packs were deleted, then every file was read anew for a snapshot that was acknowledged: {wrong}"


async def _fill_the_disk(bench: Bench) -> str | BrokenGuarantee | None:
    async with _small_disk(bench) as (inside, disk):
        actor = await inside.create_repository()
        tree = await bench.write_tree("source", count=16, size_bytes=4 * _MEGABYTE)
        completed = await inside.create_snapshot(actor, tree.directory, seconds_max=_FULL_DISK_SECONDS_MAX)
        left = [name for _, _, names in os.walk(disk) for name in names if ".tmp." in name]
    if completed.timed_out:
        return (
            f"`snapshot create` on a full disk neither succeeds nor fails within {_FULL_DISK_SECONDS_MAX:.0f} s; "
            f"{len(left)} unfinished file(s) are left in the repository"
        )
    if completed.exit_code == 0:
        return BrokenGuarantee(Guarantee.PARTIAL_IS_REPORTED, "64 MB were acknowledged on a disk of 30 MB")
    if left:
        return BrokenGuarantee(
            Guarantee.NO_LEAK,
            f"{len(left)} unfinished file(s) stay on the full disk after `snapshot create` has given up: {left[0]}",
        )
    return None


async def _list_what_is_forbidden(bench: Bench) -> str | None:
    """The storage answers every listing with 403, as one does that lacks the right to list."""
    with behind_gateway(bench, Clock()) as (remote, gateway):
        actor = await remote.create_repository()
        tree = await remote.write_tree("source", count=1, size_bytes=1000)
        await remote.take_snapshot(actor, tree.directory)
        with gateway.misbehaving(Rule(RuleEffect.ERROR, frozenset({Operation.LIST}), status=403)):
            listed = await bench.kopia.run(actor, "snapshot", "list", seconds_max=_LISTING_SECONDS_MAX)
    if listed.timed_out:
        return (
            f"the storage answers each listing with 403, and `snapshot list` neither succeeds nor fails within "
            f"{_LISTING_SECONDS_MAX:.0f} s: {words_of(listed)}"
        )
    if listed.exit_code == 0:
        raise HarnessError("`snapshot list` succeeded, so it did not list the storage")
    return None


@asynccontextmanager
async def _small_disk(bench: Bench) -> AsyncIterator[tuple[Bench, Path]]:
    """A bench whose commands see a small disk, and that disk as we see it.

    Mounted in a name space of its own, which goes with the process that holds it, however that ends.
    """
    mount_point = bench.repository
    mount_point.mkdir()
    script = f'mount -t tmpfs -o size={_DISK_BYTES} snapstorm "$0" && echo mounted && exec sleep 600'
    words = ["unshare", "--mount", "--propagation=private", "sh", "-c", script, str(mount_point)]
    environment = {"PATH": os.environ.get("PATH", os.defpath)}
    async with bench.runner.start(words, env=environment, log=bench.directory / "disk.log") as holder:
        if await holder.line_matching(_MOUNTED, seconds_max=10.0) is None:
            raise HarnessError(f"no small disk could be mounted: {holder.log_tail().strip()}")
        inside = bench.through("nsenter", f"--target={holder.child.pid}", "--mount", f"--wd={bench.directory}")
        yield inside, Path(f"/proc/{holder.child.pid}/root{mount_point}")


def _packs_of_files(bench: Bench) -> int:
    return sum(pack.holds_files for pack in find_packs(bench.repository))


BUGS = (
    KnownBug(
        key="positive-control",
        title="what a running snapshot needs is collected",
        provoked="`snapshot create` is stopped after two packs, `maintenance run --full --safety=none` runs, and it "
        "goes on. Documented as unsafe: a judge that does not see it sees nothing.",
        guarantee=Guarantee.RESTORED_EXACTLY,
        bad=frozenset(MEASURED),
        measured=MEASURED,
        provoke=_collect_in_the_midst,
        is_in_all=True,
    ),
    KnownBug(
        key="3492",
        title="a new snapshot relies on packs that are gone",
        provoked="All packs of files are deleted from the storage, and the same tree is taken again with "
        "`--force-hash=100`.",
        guarantee=Guarantee.RESTORED_EXACTLY,
        bad=frozenset(MEASURED),
        measured=MEASURED,
        provoke=_lose_packs,
    ),
    KnownBug(
        key="5157",
        title="a full disk is never given up on (also #5168)",
        provoked="64 MB are taken into a repository on a disk of 30 MB.",
        guarantee=Guarantee.AVAILABLE,
        bad=frozenset({"0.19.0", "0.22.3"}),
        measured=MEASURED,
        provoke=_fill_the_disk,
        why_not_here=needs_root,
    ),
    KnownBug(
        key="listing-hangs",
        title="a command hangs for ever where the storage can't be listed",
        provoked="The storage answers every listing with 403; `snapshot list`.",
        guarantee=Guarantee.AVAILABLE,
        bad=frozenset(MEASURED),
        measured=MEASURED,
        provoke=_list_what_is_forbidden,
    ),
)
