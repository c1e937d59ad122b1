"""How far one action travels: the modules and functions of snapstorm that a snapshot, a restore and a listing cross.

    python benchmarks/walk.py [--target memory] [--kopia PATH] [--list]

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
from snapstorm.model.actions import Action, ListSnapshots, RestoreSnapshot, SnapshotRoot, WriteRandomFiles
from snapstorm.run.harness import HarnessOptions, open_harness

ROOT = str(Path(snapstorm.__file__).parent)
SCRATCH = "/dev/shm" if Path("/dev/shm").is_dir() else None
GOALS = {"kopia": (30, 130), "memory": (25, 110)}


@contextmanager
def crossed(found: set[CodeType]) -> Iterator[None]:
    """Collect the functions of this package that are entered while the block lasts."""

    def note(frame: FrameType, event: str, _: object) -> None:
        code = frame.f_code
        if event == "call" and code.co_filename.startswith(ROOT) and not code.co_name.startswith("<"):
            found.add(code)

    threading.setprofile(note)
    sys.setprofile(note)
    try:
        yield
    finally:
        sys.setprofile(None)
        threading.setprofile(None)


async def walk(target: str, program: Path | None) -> dict[str, set[CodeType]]:
    """By action: the functions that it crosses."""
    found: dict[str, set[CodeType]] = {}
    with tempfile.TemporaryDirectory(prefix="snapstorm-walk-", dir=SCRATCH) as scratch:
        options = HarnessOptions(
            testbed=Path(scratch) / "bed", target=target, kopias=(program,) if program else (), seed=1
        )
        async with open_harness(options) as harness:
            (client,) = await harness.connect_clients(1)
            await client.execute(WriteRandomFiles(count=10, size_bytes=1000))
            await client.execute(SnapshotRoot())
            actions: tuple[Action, ...] = (SnapshotRoot(), RestoreSnapshot(), ListSnapshots())
            for action in actions:
                await client.execute(WriteRandomFiles(count=1, size_bytes=1000))
                with crossed(found.setdefault(action.key, set())):
                    await client.execute(action)
    return found


def main() -> None:
    """Walk, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--target", action="append", help="kopia, memory; both by default")
    parser.add_argument("--kopia", type=Path)
    parser.add_argument("--list", action="store_true", help="name the modules and functions")
    options = parser.parse_args()
    for target in options.target or ("kopia", "memory"):
        modules_max, functions_max = GOALS.get(target, (0, 0))
        print(f"{target} (goal: at most {modules_max} modules and {functions_max} functions)")
        program = options.kopia if target == "kopia" else None
        for action, codes in anyio.run(walk, target, program).items():
            modules = {code.co_filename.removeprefix(ROOT) for code in codes}
            print(f"  {action:18} {len(modules):3} modules {len(codes):4} functions")
            if options.list:
                for code in sorted(codes, key=lambda code: (code.co_filename, code.co_firstlineno)):
                    print(f"      {code.co_filename.removeprefix(ROOT)}:{code.co_qualname}")


if __name__ == "__main__":
    main()
