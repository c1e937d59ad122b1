"""The floor: just the commands of the target that a run has recorded, with the same overlap, and nothing around them.

    python benchmarks/floor.py [--target kopia|restic|borg] SCENARIO ...

Runs a fixed scenario, then replays the commands of its ledger, sweep included, in an empty testbed over the same files:
each command starts as soon as all those have ended that had ended before it in the run. Nothing is written, read or
compared meanwhile. What the run took more is snapstorm's own. What a target needs for that stands in `floor_TARGET.py`.
"""

from __future__ import annotations

import abc
import argparse
import concurrent.futures
import importlib
import json
import shutil
import signal
import sqlite3
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from common import SNAPSTORM, run, scratch_directory

from snapstorm.runtime.child import Environment
from snapstorm.runtime.secrets import FileSecretStore

_COMMAND_SECONDS_MAX = 120
_COMMANDS_AT_ONCE_MAX = 64
"""More than clients in any run that is replayed."""
NO_CLIENT = "x" * 32
"""A password that nobody has."""
TARGETS = ("kopia", "restic", "borg")


@dataclass(frozen=True)
class Command:
    """A recorded command."""

    argv: tuple[str, ...]
    began: float
    ended: float
    exit_code: int
    directory: str
    snapshot: str | None
    """The id that it was acknowledged with, if it took a snapshot."""

    def has(self, *words: str) -> bool:
        return self.argv[1 : 1 + len(words)] == words


@dataclass
class Recorded:
    """What one run did."""

    commands: list[Command]

    @classmethod
    def read(cls, bed: Path) -> Recorded:
        ledger = sqlite3.connect(bed / "ledger.sqlite3")
        rows = ledger.execute(
            "SELECT argv, began_seconds, seconds, exit_code, directory, snapshot FROM commands"
            " LEFT JOIN expectations USING (operation) ORDER BY began_seconds"
        ).fetchall()
        ledger.close()
        return cls([Command(tuple(json.loads(r[0])), r[1], r[1] + r[2], r[3], r[4], r[5]) for r in rows])

    def set_up(self) -> Recorded:
        """Of these, what comes before the clients' first action."""
        first = min(command.began for command in self.commands if command.snapshot is not None)
        return Recorded([command for command in self.commands if command.began < first])


@dataclass
class Replay(abc.ABC):
    """One replay over a testbed of which only the clients' files, the secrets, and what costs no command are left."""

    bed: Path
    recorded: Recorded
    _new_by_recorded: dict[str, str] = field(default_factory=dict)
    """Words of the replay, by those of the run."""
    _server: subprocess.Popen[bytes] | None = None
    _starting: threading.Lock = field(default_factory=threading.Lock)
    _serves: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        self._secrets = FileSecretStore(self.bed / "secrets.toml").all()
        self._servers_argv = next((c.argv for c in self.recorded.commands if self._is_server(c)), ())
        self._commands = [command for command in self.recorded.commands if not self._is_server(command)]
        self._serves_seconds = min((c.began for c in self._commands if self._needs_server(c)), default=0.0)
        self._clear()

    # What is the target's own.

    @abc.abstractmethod
    def _clear(self) -> None:
        """Leave of the testbed what a run finds."""

    @abc.abstractmethod
    def _environment(self, command: Command) -> tuple[Mapping[str, str], Path]:
        """The variables and the directory of a command."""

    def _is_server(self, command: Command) -> bool:
        """Whether this command is the server."""
        return False

    def _needs_server(self, command: Command) -> bool:
        """Whether this command can't begin before the server listens."""
        return False

    def _starts_server(self, command: Command) -> bool:
        """Whether the server is started just before this command."""
        return False

    @property
    def _servers_environment(self) -> tuple[Mapping[str, str], Path]:
        """The variables and the directory of the server."""
        raise NotImplementedError

    def _read_address(self, log: str) -> bool:
        """Note where the server listens; False if its log does not tell yet."""
        raise NotImplementedError

    def _words(self, command: Command) -> list[str]:
        """The words with which the replay runs this command."""
        return [self._new_by_recorded.get(word, word) for word in command.argv]

    def _id_in(self, stdout: bytes) -> str | None:
        """The id of the snapshot that was taken, if the target chooses it."""
        return None

    def _finish(self, command: Command) -> None:  # noqa: B027 - most targets need nothing
        """Do what a run did itself after this command, if later commands need it."""

    # What is common.

    def seconds(self) -> float:
        """Replay all, and return how long it took."""
        by_end = sorted(range(len(self._commands)), key=lambda index: self._commands[index].ended)
        began = time.perf_counter()
        try:
            with concurrent.futures.ThreadPoolExecutor(_COMMANDS_AT_ONCE_MAX) as pool:
                running: list[concurrent.futures.Future[None]] = []
                ended = 0
                for command in self._commands:  # In the order of their beginnings.
                    while self._commands[by_end[ended]].ended <= command.began:
                        running[by_end[ended]].result(_COMMAND_SECONDS_MAX)
                        ended += 1
                    running.append(pool.submit(self._start, command))
                for task in running:
                    task.result(_COMMAND_SECONDS_MAX)
        finally:
            if self._server is not None:
                self._server.send_signal(signal.SIGTERM)
                self._server.wait(30)
        return time.perf_counter() - began

    def _start(self, command: Command) -> None:
        with self._starting:
            if self._server is None and self._servers_argv and self._starts_server(command):
                self._start_server()
        if self._servers_argv and command.began >= self._serves_seconds and not self._serves.wait(60):
            raise RuntimeError("the server does not start")
        self._run(command)

    def _start_server(self) -> None:
        log = self.bed / "server.log"
        env, directory = self._servers_environment
        with log.open("wb") as file:
            self._server = subprocess.Popen(self._servers_argv, env=env, cwd=directory, stdout=file, stderr=file)
        threading.Thread(target=self._wait_for_server, args=(log,), daemon=True).start()

    def _wait_for_server(self, log: Path) -> None:
        while not self._read_address(log.read_text()):
            time.sleep(0.005)
        self._serves.set()

    def _run(self, command: Command) -> None:
        env, directory = self._environment(command)
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        words = self._words(command)
        done = subprocess.run(
            words, env=env, cwd=directory, capture_output=True, timeout=_COMMAND_SECONDS_MAX, check=False
        )
        if (done.returncode == 0) != (command.exit_code == 0):
            raise RuntimeError(
                f"{' '.join(words)}: {done.returncode}, not {command.exit_code}: {done.stderr[-2000:]!r}"
            )
        if command.snapshot is not None and (taken := self._id_in(done.stdout)) is not None:
            self._new_by_recorded[command.snapshot] = taken
        self._finish(command)

    def _passwords(self) -> Mapping[str, str]:
        """By client."""
        start = "client "
        return {name.removeprefix(start): value for name, value in self._secrets.items() if name.startswith(start)}

    def _shown_password(self, client: str, command: Command) -> str:
        """A command that failed had to: it was an impostor's, or of a client that had been shut out."""
        return self._passwords()[client] if command.exit_code == 0 else NO_CLIENT

    def _remove(self, *names: str) -> None:
        for name in names:
            for path in self.bed.glob(name):
                if path.is_dir() and not path.is_symlink():
                    shutil.rmtree(path)
                else:
                    path.unlink()


def variables_of(environment: Environment) -> Mapping[str, str]:
    """All of them."""
    return {**environment.inherited, **environment.own, **environment.secret}


def replay_of(target: str, bed: Path, recorded: Recorded | None = None) -> Replay:
    """A replay of the run in this testbed, or of some of its commands."""
    module = importlib.import_module(f"floor_{target}")
    replay: Replay = module.REPLAY(bed, recorded or Recorded.read(bed))
    return replay


def run_and_replay(scenario: str, target: str = "kopia", more: Sequence[str] = ()) -> tuple[float, float]:
    """Seconds of a whole run, and of the floor right after it."""
    with scratch_directory() as scratch:
        bed = scratch / "bed"
        argv = [*SNAPSTORM, "run", scenario, "--target", target, "--testbed", str(bed), "--progress", "none", *more]
        took = run(argv)
        return took.seconds, replay_of(target, bed).seconds()


def main() -> None:
    """Print both for each scenario that is named."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--target", default="kopia", choices=TARGETS)
    parser.add_argument("scenario", nargs="+")
    typed = parser.parse_args()
    for scenario in typed.scenario:
        whole, floor = run_and_replay(scenario, typed.target)
        print(f"{typed.target}, {scenario}: {whole:.2f} s, floor {floor:.2f} s, ratio {whole / floor:.2f}")


if __name__ == "__main__":
    main()
