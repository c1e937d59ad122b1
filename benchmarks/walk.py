"""How far one action travels: the modules and functions of snapstorm that a snapshot, a restore and a listing cross.

    python benchmarks/walk.py [--target memory] [--program PATH] [--list]

One client takes its second snapshot, restores it and lists, in a plain run. Counted is every function of this package
that is entered meanwhile, in any thread; what Python's own machinery adds (comprehensions, lambdas) is not.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import CodeType, FrameType

import anyio

import snapstorm
from snapstorm.model.actions import ListSnapshots, RestoreSnapshot, SnapshotRoot, WriteRandomFiles
from snapstorm.run.harness import HarnessOptions, open_harness

ROOT = str(Path(snapstorm.__file__).parent)
SCRATCH = "/dev/shm" if Path("/dev/shm").is_dir() else None
GOALS = {"kopia": (30, 130), "memory": (25, 110)}


class Walk:
    """Notes the functions of this package that are entered, while it is asked to: in all threads that start later."""

    def __init__(self) -> None:
        self._found: set[CodeType] | None = None

    def begin(self) -> None:
        """Watch this thread, and all that start from now on."""
        threading.setprofile(self._note)
        sys.setprofile(self._note)

    @contextmanager
    def noted(self) -> Iterator[set[CodeType]]:
        """Yields a set that collects the functions that are entered during the block."""
        self._found = set()
        try:
            yield self._found
        finally:
            self._found = None

    def _note(self, frame: FrameType, event: str, _: object) -> None:
        code = frame.f_code
        if self._found is None or event != "call":
            return
        if code.co_filename.startswith(ROOT) and not code.co_name.startswith("<"):
            self._found.add(code)


async def walked(target: str, program: Path | None) -> dict[str, set[CodeType]]:
    """By action: the functions that it crosses."""
    found: dict[str, set[CodeType]] = {}
    walk = Walk()
    walk.begin()
    with tempfile.TemporaryDirectory(prefix="snapstorm-walk-", dir=SCRATCH) as scratch:
        options = HarnessOptions(
            testbed=Path(scratch) / "bed", target=target, programs=(program,) if program else (), seed=1
        )
        async with open_harness(options) as harness:
            (client,) = await harness.connect_clients(1)
            await client.execute(WriteRandomFiles(count=10, size_bytes=1000))
            await client.execute(SnapshotRoot())
            actions: tuple[SnapshotRoot | RestoreSnapshot | ListSnapshots, ...] = (
                SnapshotRoot(),
                RestoreSnapshot(),
                ListSnapshots(),
            )
            for action in actions:
                await client.execute(WriteRandomFiles(count=1, size_bytes=1000))
                with walk.noted() as found[action.key]:
                    await client.execute(action)
    return found


def main() -> None:
    """Walk, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--target", action="append", help="kopia, memory; both by default")
    parser.add_argument("--program", type=Path)
    parser.add_argument("--list", action="store_true", help="name the modules and functions")
    options = parser.parse_args()
    for target in options.target or ("kopia", "memory"):
        modules_max, functions_max = GOALS.get(target, (0, 0))
        print(f"{target} (goal: at most {modules_max} modules and {functions_max} functions)")
        program = options.program if target == "kopia" else None
        for action, codes in anyio.run(walked, target, program).items():
            modules = {code.co_filename.removeprefix(ROOT) for code in codes}
            print(f"  {action:18} {len(modules):3} modules {len(codes):4} functions")
            if options.list:
                for code in sorted(codes, key=lambda code: (code.co_filename, code.co_firstlineno)):
                    print(f"      {code.co_filename.removeprefix(ROOT)}:{code.co_qualname}")


if __name__ == "__main__":
    main()
