"""The floor: exactly the Kopia commands that a run has recorded, with the same overlap, and nothing around them.

    python benchmarks/floor.py SCENARIO

Runs a fixed scenario, then replays the commands of its ledger, sweep included, in an empty testbed over the same files:
each command starts as soon as all those have ended that had ended before it in the run. Nothing is written, read or
compared meanwhile. What the run took more is snapstorm's own.
"""

from __future__ import annotations

import concurrent.futures
import hashlib
import json
import re
import shutil
import signal
import sqlite3
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from common import SNAPSTORM, run, scratch_directory

from snapstorm.runtime.secrets import FileSecretStore
from snapstorm.targets.kopia.command import Actor
from snapstorm.targets.kopia.repository import password_hash

_COMMAND_SECONDS_MAX = 120
_COMMANDS_AT_ONCE_MAX = 64
"""More than clients in any run that is replayed."""
_LISTENING = re.compile(r"^SERVER ADDRESS: (https://\S+)$", re.MULTILINE)
_NO_CLIENT = "x" * 32


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
    server: tuple[str, ...]
    serves_seconds: float
    """When the first command began that needs the server."""

    @classmethod
    def read(cls, bed: Path) -> Recorded:
        ledger = sqlite3.connect(bed / "ledger.sqlite3")
        rows = ledger.execute(
            "SELECT argv, began_seconds, seconds, exit_code, directory, snapshot FROM commands"
            " LEFT JOIN expectations USING (operation) ORDER BY began_seconds"
        ).fetchall()
        ledger.close()
        commands = [Command(tuple(json.loads(r[0])), r[1], r[1] + r[2], r[3], r[4], r[5]) for r in rows]
        serving = [command for command in commands if command.has("server", "start")]
        others = [command for command in commands if command not in serving]
        served = [c.began for c in others if c.has("server", "users", "add") or c.has("server", "refresh")]
        return cls(others, serving[0].argv, min(served))

    def set_up(self) -> Recorded:
        """Of these, what comes before the clients' first action."""
        first = min(command.began for command in self.commands if command.snapshot is not None)
        return Recorded([c for c in self.commands if c.began < first], self.server, self.serves_seconds)


@dataclass
class Replay:
    """One replay over a testbed of which only the clients' files and the secrets are left."""

    bed: Path
    recorded: Recorded
    _ids: dict[str, str] = field(default_factory=dict)
    _hashes: dict[str, str] = field(default_factory=dict)
    _server: subprocess.Popen[bytes] | None = None
    _serves: threading.Event = field(default_factory=threading.Event)
    _words: list[tuple[str, str]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._secrets = FileSecretStore(self.bed / "secrets.toml").all()
        users = [c for c in self.recorded.commands if c.has("server", "users", "add")]
        self._hashes = {user: password_hash(self._secrets[f"client {user}"]) for user in (c.argv[4] for c in users)}
        for directory in ("repository", "server", "runs"):
            shutil.rmtree(self.bed / directory, ignore_errors=True)
        for client in (self.bed / "clients").iterdir():
            for entry in client.iterdir():
                if entry.name != "data":
                    shutil.rmtree(entry) if entry.is_dir() else entry.unlink()

    def seconds(self) -> float:
        """Replay all, and return how long it took."""
        commands = self.recorded.commands
        by_end = sorted(range(len(commands)), key=lambda index: commands[index].ended)
        began = time.perf_counter()
        try:
            with concurrent.futures.ThreadPoolExecutor(_COMMANDS_AT_ONCE_MAX) as pool:
                running: list[concurrent.futures.Future[None]] = []
                ended = 0
                for command in commands:  # In the order of their beginnings.
                    while commands[by_end[ended]].ended <= command.began:
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
        if command.has("repository", "status") and self._server is None:
            self._start_server()
        if command.began >= self.recorded.serves_seconds and not self._serves.wait(60):
            raise RuntimeError("the server does not start")
        self._run(command)

    def _start_server(self) -> None:
        """At the moment at which a run does: once the repository is there."""
        log = self.bed / "server.log"
        actor = self._actor(str(self.bed / "server"))
        env = {**self._environment(actor), "KOPIA_SERVER_CONTROL_PASSWORD": self._secrets["server-control"]}
        with log.open("wb") as file:
            self._server = subprocess.Popen(
                self.recorded.server, env=env, cwd=actor.directory, stdout=file, stderr=file
            )
        threading.Thread(target=self._wait_for_server, args=(log,), daemon=True).start()

    def _wait_for_server(self, log: Path) -> None:
        while not (found := _LISTENING.search(log.read_text())):
            time.sleep(0.005)
        certificate = (self.bed / "server" / "certificate.pem").read_text()
        fingerprint = hashlib.sha256(ssl.PEM_cert_to_DER_cert(certificate)).hexdigest()
        self._words += [
            (r"^--(url|address)=https://.*", rf"--\1={found[1]}"),
            (r"^--server-cert-fingerprint=.*", f"--server-cert-fingerprint={fingerprint}"),
        ]
        self._serves.set()

    def _run(self, command: Command) -> None:
        actor = self._actor(command.directory)
        actor.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        env = self._environment(actor)
        if command.has("server", "refresh"):
            env["KOPIA_SERVER_PASSWORD"] = self._secrets["server-control"]
        words = [self._word(word) for word in command.argv]
        if command.has("server", "users", "add"):
            words[5] = f"--user-password-hash={self._hashes[words[4]]}"
        if command.has("restore"):
            Path(words[-1]).parent.mkdir(parents=True, exist_ok=True)
        done = subprocess.run(
            words, env=env, cwd=actor.directory, capture_output=True, timeout=_COMMAND_SECONDS_MAX, check=False
        )
        if (done.returncode == 0) != (command.exit_code == 0):
            raise RuntimeError(
                f"{' '.join(words)}: {done.returncode}, not {command.exit_code}: {done.stderr[-2000:]!r}"
            )
        if command.snapshot is not None and command.has("snapshot", "create"):
            self._ids[command.snapshot] = json.loads(done.stdout)["id"]

    def _word(self, word: str) -> str:
        for pattern, replacement in self._words:
            word = re.sub(pattern, replacement, word)
        return self._ids.get(word, word)

    def _actor(self, directory: str) -> Actor:
        path = Path(directory)
        is_client = path.parent.parent.name == "clients"
        password = self._secrets[f"client {path.parent.name}"] if is_client else self._secrets["repository"]
        if path.parent.name == "impostors":
            password = _NO_CLIENT
        return Actor(path, password, has_cache=path.name != "auditor")

    def _environment(self, actor: Actor) -> dict[str, str]:
        return {**actor.environment.own, "KOPIA_PASSWORD": actor.password}


def run_and_replay(scenario: str, more: Sequence[str] = ()) -> tuple[float, float]:
    """Seconds of a whole run, and of the floor right after it."""
    with scratch_directory() as scratch:
        bed = scratch / "bed"
        took = run([*SNAPSTORM, "run", scenario, "--testbed", bed, "--progress", "none", *more])
        return took.seconds, Replay(bed, Recorded.read(bed)).seconds()


def main() -> None:
    """Print both for each scenario that is named."""
    for scenario in sys.argv[1:]:
        whole, floor = run_and_replay(scenario)
        print(f"{scenario}: {whole:.2f} s, floor {floor:.2f} s, ratio {whole / floor:.2f}")


if __name__ == "__main__":
    main()
