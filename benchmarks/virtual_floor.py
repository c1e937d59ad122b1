"""The floor of a run in virtual time: the Kopia commands that it has recorded, bare, with the same jumps of the clock.

    python benchmarks/virtual_floor.py [year] [--virtual-days N] [--rounds R]

As `floor.py`, behind a gateway as the run was. Before each snapshot some files are rewritten, about as many as the
scenario changes, so that Kopia has as much to store.
"""

from __future__ import annotations

import argparse
import os
import random
import sqlite3
import statistics
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from common import SNAPSTORM, run, scratch_directory
from floor import Command, Recorded
from floor_kopia import KopiaReplay

from snapstorm.gateway.app import Served, serving
from snapstorm.gateway.storage import Clocks
from snapstorm.runtime.clock import Clock, VirtualClock
from snapstorm.targets.kopia.clients import derive_at_no_cost
from snapstorm.targets.kopia.command import CLOCK_VARIABLE, COMMAND_CLOCK_SECONDS, SERVER_CLOCK_SECONDS, Actor
from snapstorm.targets.kopia.server import JUMP_SECONDS
from snapstorm.targets.password_file import PASSWORD_FILE, PasswordFile

_JUMP = "advance-time"
_CHANGED_FILES = 5
_CHANGED_BYTES_MAX = 65536
_KEY = "floor"


@dataclass
class VirtualReplay(KopiaReplay):
    """Also has what only a run in virtual time has: the gateway, its clocks, and a file of users."""

    began_ns: int = 0
    _is_starting: bool = False
    _served: Served | None = None
    _draws: random.Random = field(default_factory=lambda: random.Random(1))

    def __post_init__(self) -> None:
        super().__post_init__()
        clients = {name: secret for name, secret in self._secrets.items() if name.startswith("client ")}
        users = {name.removeprefix("client "): secret for name, secret in clients.items()}
        PasswordFile(self.bed / "server" / PASSWORD_FILE).add(users)
        self.clock = VirtualClock(Clock(), self.began_ns)

    @contextmanager
    def served(self) -> Iterator[None]:
        """Behind a gateway of its own, during the block."""
        clocks = Clocks.following(self.clock)
        with serving(self.bed / "floor", clocks, has_versions=True) as self._served:
            self._served.admit("target", _KEY)
            self._replaced.append((r"^--endpoint=.*", f"--endpoint={self._served.endpoint.removeprefix('http://')}"))
            yield

    def _run(self, command: Command) -> None:
        if command.argv[0] == _JUMP:
            self.clock.advance(int(command.argv[1]))
            time.sleep(JUMP_SECONDS)
            return
        if command.has("snapshot", "create"):
            self._change_files(Path(command.argv[-1]))
        super()._run(command)
        if command.has("repository", "connect", "server"):
            derive_at_no_cost(self._actor(command.directory).config)

    def _change_files(self, data: Path) -> None:
        files = [path for path in data.rglob("*") if path.is_file() and not path.is_symlink()]
        for path in self._draws.sample(files, min(_CHANGED_FILES, len(files))):
            path.chmod(0o600)
            path.write_bytes(os.urandom(self._draws.randrange(_CHANGED_BYTES_MAX)))

    def _variables(self, actor: Actor) -> Mapping[str, str]:
        assert self._served is not None
        seconds = SERVER_CLOCK_SECONDS if self._is_starting else COMMAND_CLOCK_SECONDS
        return {
            **super()._variables(actor),
            CLOCK_VARIABLE: self._served.clock_url(actor.name, seconds),
            "AWS_ACCESS_KEY_ID": _KEY,
            "AWS_SECRET_ACCESS_KEY": _KEY,
        }

    def _start_server(self) -> None:
        self._is_starting = True
        super()._start_server()
        self._is_starting = False


def recorded_in(bed: Path) -> tuple[Recorded, int]:
    """The commands of a run in virtual time, with a command for each jump of its clock, and when the run began.

    Commands that failed are left out: most of them had to be refused because a user had been removed, and the replay
    removes no users.
    """
    recorded = Recorded.read(bed)
    recorded.commands = [command for command in recorded.commands if command.exit_code == 0]
    with closing(sqlite3.connect(bed / "ledger.sqlite3")) as ledger:
        jumps = ledger.execute("SELECT at_seconds, by_ns FROM clock_jumps").fetchall()
        (began_ns,) = ledger.execute("SELECT virtual_began_ns FROM runs").fetchone()
    recorded.commands += [
        Command((_JUMP, str(by_ns)), at, at + SERVER_CLOCK_SECONDS, 0, "", None) for at, by_ns in jumps
    ]
    recorded.commands.sort(key=lambda command: command.began)
    return recorded, began_ns


def run_and_replay(scenario: str, more: Sequence[str]) -> tuple[float, float, float, float]:
    """Seconds and CPU seconds of a whole run, and of the floor right after it."""
    with scratch_directory() as scratch:
        bed = scratch / "bed"
        took = run([*SNAPSTORM, "run", scenario, "--testbed", bed, "--progress", "none", *more])
        recorded, began_ns = recorded_in(bed)
        replay = VirtualReplay(bed, recorded, began_ns=began_ns)
        before = os.times()
        with replay.served():
            floor_seconds = replay.seconds()
        after = os.times()
        floor_cpu = sum(after[:4]) - sum(before[:4])
        return took.seconds, took.cpu_seconds, floor_seconds, floor_cpu


def main() -> None:
    """Print each pair, and the median of their ratios."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("scenario", nargs="?", default="year")
    parser.add_argument("--virtual-days", default="60")
    parser.add_argument("--rounds", type=int, default=3)
    typed = parser.parse_args()
    more = ["--virtual-days", typed.virtual_days, "--seed", "1", "--known", "weeks-expire"]
    ratios = []
    for _ in range(typed.rounds):
        whole, whole_cpu, floor, floor_cpu = run_and_replay(typed.scenario, more)
        ratios.append(whole / floor)
        ran, replayed = f"{whole:.1f} s ({whole_cpu:.1f} of CPU)", f"{floor:.1f} s ({floor_cpu:.1f})"
        print(f"{typed.scenario}: {ran}, floor {replayed}, ratio {ratios[-1]:.2f}")
    print(f"median {statistics.median(ratios):.2f}")


if __name__ == "__main__":
    main()
