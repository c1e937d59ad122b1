"""The benchmarks: one table with goal, measured, and pass or short for each row. All are ratios in one run.

    python benchmarks/bench.py [--quick] [--only WORD ...] [--original PROGRAM] [--write]

`--write` puts the table into the README beside this file. Exits 0 when it ran; the figures are for readers to judge.
Rows whose peer is not installed say so. Measured on an idle machine, or not at all.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import statistics
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import peers
from by_hand import set_up_by_hand
from common import SNAPSTORM, Row, Table, machine, run, scratch_directory, seconds_and_rest
from floor import Recorded, replay_of, run_and_replay

HERE = Path(__file__).parent
BEGIN, END = "<!-- begin table -->", "<!-- end table -->"


class Original(NamedTuple):
    """A test of Kopia's own suite, v0.23.1."""

    test: str
    seconds: float
    """Its whole process, measured once on this kind of machine."""
    goal: float


ORIGINAL = {
    "many-small-files": Original("TestManySmallFiles", 49.0, 0.37),
    "one-large-file": Original("TestOneLargeFile", 17.6, 0.55),
    "many-small-files-across-directory-tree": Original("TestManySmallFilesAcrossDirectoryTree", 80.1, 0.12),
}
ORIGINAL_RANDOMIZED_RATE = 17 / 73
"""Snapshots and restores a second of the randomized test in Kopia's own suite, whole process."""
AT_WORK = re.compile(r"client\(s\) at work")


@dataclass(frozen=True)
class Bench:
    """How much is measured."""

    table: Table
    is_quick: bool
    original: Path | None = None
    """Kopia's own multi-client test as a program, to be run beside ours."""

    @property
    def rounds(self) -> int:
        return 1 if self.is_quick else 3

    def fixed_scenarios(self) -> None:
        """Whole processes against the floor and against Kopia's own suite."""
        names = list(ORIGINAL)[-1:] if self.is_quick else list(ORIGINAL)
        for name in names:
            pairs, originals = [], []
            for _ in range(self.rounds):
                pairs.append(run_and_replay(name))
                originals.append(self._original_seconds(name))
            self._add_against_floor(f"{name} against the floor", 1.10, pairs)
            goal = ORIGINAL[name].goal
            how = "measured once" if self.original is None else "beside it"
            ratios = [whole / original for (whole, _), original in zip(pairs, originals, strict=True)]
            self.table.add(
                Row(
                    f"{name} against Kopia's own suite, {how}",
                    f"≤ {goal}",
                    ratios,
                    lambda value, goal=goal: value <= goal,  # type: ignore[misc]
                    f"{seconds_and_rest([p[0] for p in pairs])}; its {seconds_and_rest(originals)}",
                )
            )

    def _original_seconds(self, name: str) -> float:
        """Seconds of the same test in Kopia's own suite, all of its files in memory as well."""
        if self.original is None:
            return ORIGINAL[name].seconds
        with scratch_directory() as scratch:
            home = scratch / "home"
            home.mkdir()
            env = {
                **os.environ,
                "HOME": str(home),
                "TMPDIR": str(scratch),
                "ENGINE_MODE": "SERVER",
                "FIO_EXE": peers.FIO or "fio",
                "KOPIA_EXE": json.loads(run([*SNAPSTORM, "target", "--json"]).stdout)["executable"],
            }
            test: list[str | Path] = [
                "-test.run",
                f"^{ORIGINAL[name].test}$",
                "-test.v",
                "-repo-path-prefix",
                scratch / "repository",
            ]
            took = run([self.original, *test], env=env)
        if f"--- PASS: {ORIGINAL[name].test}" not in took.stdout + took.stderr:
            raise RuntimeError(f"{ORIGINAL[name].test} did not run: {took.stderr[-2000:]}")
        return took.seconds

    def first_action(self) -> None:
        """From the start of the command to the first action of four clients: against a set-up by hand, and against its
        own commands alone, which are fewer and cheaper."""
        kopia = json.loads(run([*SNAPSTORM, "target", "--json"]).stdout)["executable"]
        found = [self._first_action_and_peers(kopia) for _ in range(1 if self.is_quick else 5)]
        ours = [one[0] for one in found]
        for number, peer in ((1, "the set-up by hand"), (2, "its own commands alone")):
            theirs = [one[number] for one in found]
            self.table.add(
                Row(
                    f"start of the command to the first action of 4 clients, fresh testbed, against {peer}",
                    "≤ 1.15",
                    [mine / other for mine, other in zip(ours, theirs, strict=True)],
                    lambda value: value <= 1.15,
                    f"{seconds_and_rest(ours)}; {peer} {seconds_and_rest(theirs)}",
                )
            )

    @staticmethod
    def _first_action_and_peers(kopia: str) -> tuple[float, float, float]:
        with scratch_directory() as scratch:
            bed = scratch / "bed"
            ours = seconds_to_first_action("kopia", bed)
            (scratch / "by-hand").mkdir()
            by_hand = set_up_by_hand(kopia, scratch / "by-hand", clients=4)
            return ours, by_hand, replay_of("kopia", bed, Recorded.read(bed).set_up()).seconds()

    def other_targets(self) -> None:
        """Whole runs, and what comes before their first action, against their own commands alone."""
        for target in ("restic", "borg"):
            missing = run([*SNAPSTORM, "target", target], may_fail=True).stderr.strip()
            if missing:
                self.table.add(Row(f"{target}, against the floor", "≤ 1.10", [], lambda _: False, skipped=missing))
                continue
            for scenario in list(ORIGINAL)[-1:] if self.is_quick else list(ORIGINAL):
                pairs = [run_and_replay(scenario, target) for _ in range(self.rounds)]
                self._add_against_floor(f"{target}, {scenario}, against the floor", 1.10, pairs)
            pairs = [self._first_action_and_floor(target) for _ in range(self.rounds + 2)]
            what = f"{target}, start of the command to the first action of 4 clients, against its own commands alone"
            self._add_against_floor(what, 1.15, pairs)

    def _add_against_floor(self, what: str, goal: float, pairs: list[tuple[float, float]]) -> None:
        ratios = [whole / floor for whole, floor in pairs]
        detail = f"{seconds_and_rest([p[0] for p in pairs])}; floor {seconds_and_rest([p[1] for p in pairs])}"
        self.table.add(Row(what, f"≤ {goal:.2f}", ratios, lambda value: value <= goal, detail))

    @staticmethod
    def _first_action_and_floor(target: str) -> tuple[float, float]:
        with scratch_directory() as scratch:
            bed = scratch / "bed"
            ours = seconds_to_first_action(target, bed)
            return ours, replay_of(target, bed, Recorded.read(bed).set_up()).seconds()

    def randomized(self) -> None:
        """Snapshots and verified restores of the original's randomized test, by the second."""
        rates, details = [], []
        for seed in range(1, 2 if self.is_quick else 3):
            duration = "20s" if self.is_quick else "60s"
            with scratch_directory() as scratch:
                argv: list[str | Path] = [
                    *SNAPSTORM,
                    "run",
                    "--config",
                    HERE / "original-randomized.toml",
                    "--duration",
                    duration,
                ]
                took = run([*argv, "--testbed", scratch / "bed", "--json", "--seed", str(seed)])
            result = json.loads(took.stdout)
            snapshots = result["actions"]["snapshot-root"]["ok"]
            rates.append((snapshots + result["restores_verified"]) / took.seconds / ORIGINAL_RANDOMIZED_RATE)
            details.append(f"{snapshots}+{result['restores_verified']} in {took.seconds:.0f} s")
        self.table.add(
            Row(
                "randomized, the original's weights and sizes: snapshots and verified restores against its 17 in 73 s",
                "≥ 3",
                rates,
                lambda value: value >= 3,
                ", ".join(details),
            )
        )

    def writing(self) -> None:
        """Against fio doing the same."""
        with scratch_directory() as scratch:
            self._against_fio(
                "writing 10,000 files of 4 KiB",
                5,
                lambda: peers.write_with_snapstorm(scratch, peers.small_files(), 1),
                lambda: peers.write_with_fio(scratch, files=10_000, size_bytes=4096, times=1),
            )
            times = 10 if self.is_quick else 100
            self._against_fio(
                f"{times} writes of 10 files of 4 KiB over a tree of depth 15",
                50,
                lambda: peers.write_with_snapstorm(scratch, peers.across_tree(), times),
                lambda: peers.write_with_fio(scratch, files=10, size_bytes=4096, times=times, depth=15),
                rounds=1,
            )
            self._against_fio(
                "writing one file of 1 GiB",
                1,
                lambda: peers.write_with_snapstorm(scratch, peers.large_file(1 << 30), 1),
                lambda: peers.write_with_fio(scratch, files=1, size_bytes=1 << 30, times=1),
            )

    def _against_fio(
        self, what: str, goal: int, ours: Callable[[], float], fio: Callable[[], float], rounds: int | None = None
    ) -> None:
        if peers.FIO is None:
            skipped = "fio is not installed"
            self.table.add(Row(f"{what}, fio's speed", f"≥ {goal}", [], lambda _: False, skipped=skipped))
            return
        our_seconds, peer_seconds = peers.in_alternation(rounds or self.rounds + 2, ours, fio)
        self._add_speed(f"{what}, against fio", goal, our_seconds, peer_seconds, "fio")

    def scanning(self) -> None:
        """Against one process of `sha256sum`."""
        with scratch_directory() as scratch:
            files = 10_000 if self.is_quick else 100_000
            for what, goal, count, size_bytes in (
                (f"scanning {files:,} files of 4 KiB", 2, files, 4096),
                ("scanning one file of 4 GiB", 3, 1, 4 << 30),
            ):
                tree = scratch / "tree"
                peers.make_files(tree, count, size_bytes)
                ours, theirs = peers.in_alternation(
                    self.rounds,
                    lambda tree=tree: peers.scan_with_snapstorm(tree),  # type: ignore[misc]
                    lambda tree=tree: peers.scan_with_sha256sum(tree),  # type: ignore[misc]
                )
                self._add_speed(f"{what}, against find and one sha256sum", goal, ours, theirs, "sha256sum")
                run(["rm", "-rf", tree])

    def _add_speed(self, what: str, goal: int, ours: list[float], theirs: list[float], peer: str) -> None:
        self.table.add(
            Row(
                what,
                f"≥ {goal}",
                [their / our for our, their in zip(ours, theirs, strict=True)],
                lambda value: value >= goal,
                f"{statistics.median(ours):.2f} s; {peer} {statistics.median(theirs):.2f} s",
                format="{:.1f}",
            )
        )

    def engine_alone(self) -> None:
        """Actions a second where the target and the files cost hardly anything."""
        rates = []
        for _ in range(self.rounds):
            with scratch_directory() as scratch:
                argv: list[str | Path] = [
                    *SNAPSTORM,
                    "run",
                    "--config",
                    HERE / "engine.toml",
                    "--target",
                    "memory",
                    "--json",
                ]
                result = json.loads(run([*argv, "--testbed", scratch / "bed"]).stdout)
            actions = sum(counts["ok"] + counts["no_op"] for counts in result["actions"].values())
            rates.append(actions / result["seconds_by_part"]["actions"])
        self.table.add(
            Row(
                "engine alone, simulated target, 64 clients, durable ledger: actions a second",
                "≥ 3000",
                rates,
                lambda value: value >= 3000,
                format="{:.0f}",
            )
        )

    def many_clients(self, duration: str) -> None:
        """64 clients with real Kopia."""
        with scratch_directory() as scratch:
            argv: list[str | Path] = [
                *SNAPSTORM,
                "run",
                "--config",
                HERE / "many-clients.toml",
                "--duration",
                duration,
                "--seed",
                "1",
            ]
            took = run([*argv, "--testbed", scratch / "bed", "--json"], 3600, may_fail=True)
        result = json.loads(took.stdout)
        memory_mb, share = result["own"]["memory_bytes_max"] / 1e6, result["own"]["cpu_seconds"] / took.cpu_seconds
        words = f"{result['verdict']}: {result['reason']}; {took.seconds:.0f} s"
        what = f"64 clients with real Kopia for {duration}"
        is_pass = result["verdict"] == "pass"
        self.table.add(
            Row(
                f"{what}: pass, own memory in MB", "≤ 250", [memory_mb], lambda v: is_pass and v <= 250, words, "{:.0f}"
            )
        )
        self.table.add(
            Row(f"{what}: own share of the CPU time", "≤ 0.15", [share], lambda v: is_pass and v <= 0.15, words)
        )


def seconds_to_first_action(target: str, bed: Path) -> float:
    """From the start of a run's command until four clients are at work."""
    argv = [*SNAPSTORM, "run", "--config", str(HERE / "first-action.toml"), "--target", target]
    argv += ["--testbed", str(bed), "--progress", "plain"]
    began = time.perf_counter()
    with subprocess.Popen(argv, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True) as process:
        assert process.stderr is not None
        seconds = next(time.perf_counter() - began for line in process.stderr if AT_WORK.search(line))
        process.communicate(timeout=120)
    return seconds


def write_readme(text: str) -> None:
    """Put the table between its marks in the README."""
    readme = HERE / "README.md"
    before, _, rest = readme.read_text().partition(BEGIN)
    readme.write_text(f"{before}{BEGIN}\n{text}\n{END}{rest.partition(END)[2]}")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="less of everything: two minutes")
    parser.add_argument("--only", nargs="*", default=[], help="names of groups")
    parser.add_argument("--many-clients", default=None, metavar="DURATION", help="how long 64 clients work")
    parser.add_argument("--original", type=Path, metavar="PROGRAM", help="Kopia's own multi-client test, to run beside")
    parser.add_argument("--write", action="store_true", help="put the table into the README")
    given = parser.parse_args()
    bench = Bench(Table(), given.quick, given.original and given.original.absolute())
    groups: dict[str, Callable[[], None]] = {
        "fixed": bench.fixed_scenarios,
        "first": bench.first_action,
        "targets": bench.other_targets,
        "randomized": bench.randomized,
        "writing": bench.writing,
        "scanning": bench.scanning,
        "engine": bench.engine_alone,
        "many": lambda: bench.many_clients(given.many_clients or ("20s" if given.quick else "60s")),
    }
    print(described := machine(), flush=True)
    for name in given.only or groups:
        groups[name]()
    text = f"{time.strftime('%Y-%m-%d')}, {described}\n\n{bench.table.as_markdown()}"
    print(f"\n{text}")
    if given.write:
        write_readme(text)


if __name__ == "__main__":
    main()
