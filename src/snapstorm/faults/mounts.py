"""Faults of storage that need mounting: a full disk, one that can only be read, a slow one, one with errors.

Each mounts something over the repository's directory, which whoever opens files there from then on sees instead.
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import anyio

from snapstorm.errors import HarnessError, OperationTimedOut, TargetError
from snapstorm.faults import troubled_disk
from snapstorm.faults.damaged_storage import StorageFault
from snapstorm.faults.fault import Record, Scene
from snapstorm.filesystem.removal import remove_tree
from snapstorm.model.abilities import RunsCommands
from snapstorm.runtime.process import RunningProcess
from snapstorm.runtime.threads import run_file_work

_SECONDS_MAX = 30.0
_MOUNT = "mount"
_LAST_USE_SECONDS_MAX = 10.0
"""How long those who still have files open on a disk that was unmounted may take to close them."""
_FUSE = Path("/dev/fuse")
_IN_USE = "in-use"
"""Stands in the work directory of a small disk once something may have been written there."""
_OPAQUE = "trusted.overlay.opaque"
"""By this attribute an overlay marks a directory that was made where another one had been deleted."""


class _Mounts(StorageFault):
    needs = "root, and a repository in a directory"
    hold_seconds = (1.0, 5.0)
    disturbs_process = True

    @classmethod
    def why_not_here(cls) -> str | None:
        if os.geteuid() != 0:
            return "only root can mount"
        return None if can_mount() else "mounting is not allowed here"


class ReadOnlyStorage(_Mounts):
    """The repository can be read, and not written, for some seconds."""

    key = "read-only-storage"
    weight = 2

    async def inject(self, record: Record) -> None:
        self.details = {"directory": str(self.directory)}
        record(self.details)
        await run_file_work(self._mount)

    def _mount(self) -> None:
        directory = str(self.directory)
        run([_MOUNT, "--bind", directory, directory])
        run([_MOUNT, "-o", "remount,bind,ro", directory])

    @classmethod
    def heal_left_over(cls, details: Mapping[str, Any]) -> str | None:
        if not details or not unmount(Path(details["directory"])):
            return None
        return f"made {details['directory']} writable again"


class DiskFull(_Mounts):
    """The repository's disk has only room for a little more, for some seconds."""

    key = "disk-full"
    weight = 4
    needs = "root, loop devices, mkfs.ext4, and a repository in a directory"

    @classmethod
    def why_not_here(cls) -> str | None:
        if not shutil.which("mkfs.ext4"):
            return "mkfs.ext4 is not installed"
        return super().why_not_here() or (None if Path("/dev/loop-control").exists() else "there are no loop devices")

    async def inject(self, record: Record) -> None:
        """A small file system takes what is written; what is there already shows through it."""
        size_bytes = self.draws.choice((1, 2, 4, 8, 16)) << 20
        work = self.scene.directory / f"disk-{self.draws.getrandbits(32):08x}"
        self.details = {"directory": str(self.directory), "work": str(work), "room_bytes": size_bytes}
        record(self.details)
        await run_file_work(self._mount, work, size_bytes)

    def _mount(self, work: Path, room_bytes: int) -> None:
        # The disk is on the testbed's own, not in memory: what is written there has to outlive this machine.
        disk, image, below = work / "disk", work / "image", work / "below"
        for directory in (work, disk, below):
            directory.mkdir(mode=0o700, parents=True)
        with image.open("wb") as file:
            file.truncate(room_bytes + (1 << 20))
        run(["mkfs.ext4", "-q", "-m", "0", "-b", "1024", "-O", "^has_journal", "-N", "1024", str(image)])
        run([_MOUNT, "-o", "loop", str(image), str(disk)])
        for name in ("upper", "scratch"):
            (disk / name).mkdir(mode=0o700)
        mounted_over = str(self.directory)
        run([_MOUNT, "--bind", mounted_over, str(below)])
        (work / _IN_USE).touch()
        options = f"lowerdir={below},upperdir={disk / 'upper'},workdir={disk / 'scratch'}"
        run([_MOUNT, "-t", "overlay", "snapstorm-full", "-o", options, mounted_over])

    @classmethod
    def heal_left_over(cls, details: Mapping[str, Any]) -> str | None:
        if not details:
            return None
        work, directory = Path(details["work"]), Path(details["directory"])
        if not work.exists():
            return None
        disk, below = work / "disk", work / "below"
        if (work / _IN_USE).exists():
            if not is_mounted(disk):
                # The machine has been started anew since: what was written is in the image.
                run([_MOUNT, "-o", "loop", str(work / "image"), str(disk)])
            # First to where it belongs, then the way is cleared, then what was written meanwhile.
            move_down(disk / "upper", below if is_mounted(below) else directory)
            unmount(directory)
            move_down(disk / "upper", directory)
        unmount(below)
        unmount(disk)
        remove_tree(work)
        return f"gave {directory} its room back"


class _TroubledDisk(_Mounts):
    """The repository is seen through a disk in trouble."""

    needs = "root, FUSE, and a repository in a directory that other processes than snapstorm use"
    delays_seconds_max: tuple[float, ...] = (0.0,)
    """The longest time that an operation on a file takes: one of these is drawn."""
    failing_shares: tuple[float, ...] = (0.0,)
    """How many of the operations fail with an input/output error: one of these is drawn."""

    def __init__(self, scene: Scene, draws: random.Random) -> None:
        super().__init__(scene, draws)
        self._processes = AsyncExitStack()
        self._disk: RunningProcess | None = None

    @classmethod
    def why_not_here(cls) -> str | None:
        if not os.access(_FUSE, os.R_OK | os.W_OK):
            return f"there is no {_FUSE}" if not _FUSE.exists() else f"{_FUSE} can't be opened"
        return super().why_not_here()

    @classmethod
    def why_not(cls, scene: Scene) -> str | None:
        reads_itself = not (isinstance(scene.server, RunsCommands) and scene.server.runs_commands)
        return super().why_not(scene) or ("snapstorm itself reads the repository here" if reads_itself else None)

    async def inject(self, record: Record) -> None:
        delay_seconds_max = self.draws.choice(self.delays_seconds_max)
        failing_share = self.draws.choice(self.failing_shares)
        log = self.scene.directory / f"disk-{self.draws.getrandbits(32):08x}.log"
        self.details = {
            "directory": str(self.directory),
            "log": str(log),
            "delay_seconds_max": delay_seconds_max,
            "failing_share": failing_share,
        }
        record(self.details)
        argv = [sys.executable, "-I", "-S", troubled_disk.__file__, str(self.directory)]
        argv += ["--delay-seconds-max", str(delay_seconds_max), "--failing-share", str(failing_share)]
        argv += ["--seed", str(self.draws.getrandbits(32))]
        disk = await self._processes.enter_async_context(self.scene.processes.start(argv, env={}, log=log))
        if await disk.line_matching(troubled_disk.READY, seconds_max=_SECONDS_MAX) is None:
            raise HarnessError(f"a FUSE disk could not be mounted over {self.directory}: {disk.log_tail().strip()}")
        self._disk = disk

    async def heal(self) -> None:
        if self._disk is not None:
            self._disk.child.signal(signal.SIGUSR1)
        await super().heal()
        if self._disk is not None:
            with anyio.move_on_after(_LAST_USE_SECONDS_MAX):
                await self._disk.child.exited()
        await self._processes.aclose()

    @classmethod
    def heal_left_over(cls, details: Mapping[str, Any]) -> str | None:
        if not details:
            return None
        was_mounted = unmount(Path(details["directory"]))
        Path(details["log"]).unlink(missing_ok=True)
        return f"took the disk in trouble away from {details['directory']}" if was_mounted else None


class SlowStorage(_TroubledDisk):
    """Each access to the repository's disk takes up to some tenths of a second (through FUSE)."""

    key = "slow-storage"
    weight = 2
    hold_seconds = (3.0, 10.0)
    delays_seconds_max = (0.01, 0.05, 0.2, 0.5)

    def excuses(self, error: TargetError) -> bool:
        """What is slow takes longer, and does not fail."""
        return isinstance(error, OperationTimedOut)


class FailingStorage(_TroubledDisk):
    """Some of the accesses to the repository's disk, or all, fail with an input/output error (through FUSE)."""

    key = "failing-storage"
    weight = 3
    delays_seconds_max = (0.0, 0.01)
    failing_shares = (0.02, 0.2, 1.0)


def move_down(upper: Path, lower: Path) -> None:
    """Do below an overlay what was done on top of it: files written and replaced, and files and directories deleted."""
    for entry in sorted(upper.rglob("*")):
        try:
            _move_one(entry, lower / entry.relative_to(upper))
        except FileNotFoundError:
            if os.path.lexists(entry):
                raise
            # Somebody is still at work on top, and has just deleted it.


def _move_one(entry: Path, place: Path) -> None:
    status = entry.lstat()
    if stat.S_ISCHR(status.st_mode) and status.st_rdev == 0:
        remove_tree(place)  # A whiteout: this was deleted.
    elif stat.S_ISDIR(status.st_mode):
        if _is_opaque(entry):
            remove_tree(place)
        place.mkdir(mode=stat.S_IMODE(status.st_mode), exist_ok=True)
    elif stat.S_ISREG(status.st_mode):
        new = place.with_name(f".{place.name}.moved")
        shutil.copy2(entry, new)
        new.replace(place)


def _is_opaque(entry: Path) -> bool:
    """Whether this is a directory that was made anew where one had been deleted: what that one held is gone."""
    try:
        return os.getxattr(entry, _OPAQUE, follow_symlinks=False) == b"y"
    except OSError:
        return False


def is_mounted(path: Path) -> bool:
    """Whether something is mounted just here."""
    return any(line.split()[4] == str(path) for line in Path("/proc/self/mountinfo").read_text().splitlines())


def unmount(path: Path) -> bool:
    """Unmount what is mounted just here, now from the tree, and for good once nobody uses it. Whether there was any."""
    was_mounted = False
    while is_mounted(path):
        was_mounted = True
        run(["umount", "--lazy", str(path)])
    return was_mounted


def can_mount() -> bool:
    """Whether mounting is allowed here, tried on an empty directory."""
    with tempfile.TemporaryDirectory(prefix="snapstorm-") as directory:
        try:
            run([_MOUNT, "-t", "tmpfs", "-o", "size=4096", "tmpfs", directory])
        except HarnessError:
            return False
        run(["umount", directory])
    return True


def run(argv: Sequence[str]) -> None:
    """Run a command of the system. Raises HarnessError with its words."""
    try:
        done = subprocess.run(
            list(argv), stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=_SECONDS_MAX, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise HarnessError(f"{argv[0]}: {error}") from error
    if done.returncode != 0:
        raise HarnessError(f"{' '.join(argv)}: {done.stderr.strip()}")
