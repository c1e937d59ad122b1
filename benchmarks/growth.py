"""How the cost of an action grows: with the history, with live snapshots, with clients, with files.

    python benchmarks/growth.py [--quick]

Runs on the simulated target, so that what is measured is snapstorm's own, and writes `growth.svg` beside this file with
the numbers in it. What must be flat is flat, what must be linear is linear, or it shows here.
"""

from __future__ import annotations

import argparse
import json
import math
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from html import escape
from pathlib import Path

from big_ledger import fill
from common import SNAPSTORM, machine, run, scratch_directory

HERE = Path(__file__).parent
ACTIONS = 400
WIDTH, HEIGHT, MARGIN = 420, 260, 48

STEADY = """
name = "growth"
clients = {clients}
actions = {actions}
[[steps]]
action = "write-random-files"
count = 3
size_bytes = 1000
odd_percent = 0
[weights]
snapshot-root = 10
restore-random-snapshot = 10
delete-random-snapshot = 10
modify-files = 10
"""

ONE_TREE = """
name = "growth"
clients = 1
actions = 1
data_bytes_max = 1_000_000_000
[[steps]]
action = "write-random-files"
count = {files}
size_bytes = 1000
depth = 0
odd_percent = 0
[[steps]]
action = "snapshot-root"
[[steps]]
action = "restore-snapshot"
id = "latest"
[weights]
list-snapshots = 1
"""


@dataclass(frozen=True)
class Curve:
    """One measure against another."""

    title: str
    x_name: str
    y_name: str
    points: Sequence[tuple[float, float]]
    must_be: str


def actions_of(bed: Path, scenario: str, *options: str) -> tuple[float, int]:
    """Seconds in which the clients of a scenario were at work, and how many actions they did."""
    with tempfile.NamedTemporaryFile("w", suffix=".toml") as file:
        file.write(scenario)
        file.flush()
        argv: list[str | Path] = [
            *SNAPSTORM,
            "run",
            "--config",
            file.name,
            "--target",
            "memory",
            "--testbed",
            bed,
            "--json",
            *options,
        ]
        result = json.loads(run(argv, may_fail=True).stdout)
    if result["verdict"] != "pass":
        raise RuntimeError(f"{result['verdict']}: {result['reason']}")
    return result["seconds_by_part"]["actions"], sum(counts["ok"] for counts in result["actions"].values())


def milliseconds(scratch: Path, operations: int, live: int) -> float:
    """Of one action on a testbed with such a history."""
    bed = scratch / "bed"
    fill(bed, operations, live)
    seconds, actions = actions_of(bed, STEADY.format(clients=4, actions=ACTIONS), "--sweep-seconds", "1")
    return 1000 * seconds / actions


def by_operations(sizes: slice) -> Curve:
    counts = [1_000, 10_000, 100_000, 1_000_000][sizes]
    points = [(count, _fresh(partial(milliseconds, operations=count, live=400))) for count in counts]
    return Curve("operations in the ledger (400 snapshots live)", "operations", "ms per action", points, "flat")


def by_live_snapshots(sizes: slice) -> Curve:
    counts = [100, 1_000, 10_000, 100_000][sizes]
    points = [(count, _fresh(partial(milliseconds, operations=2 * count, live=count))) for count in counts]
    return Curve("live snapshots", "snapshots", "ms per action", points, "flat, or nearly")


def by_clients(sizes: slice) -> Curve:
    def one(scratch: Path, clients: int) -> float:
        seconds, actions = actions_of(scratch / "bed", STEADY.format(clients=clients, actions=4_000))
        return 1000 * seconds / actions

    points = [(count, _fresh(partial(one, clients=count))) for count in [1, 4, 16, 64][sizes]]
    return Curve("clients", "clients", "ms per action of any client", points, "flat")


def by_files(sizes: slice) -> Curve:
    def one(scratch: Path, files: int) -> float:
        return 1000 * actions_of(scratch / "bed", ONE_TREE.format(files=files))[0]

    points = [(count, _fresh(partial(one, files=count))) for count in [10, 100, 1_000, 10_000, 100_000][sizes]]
    return Curve("files: write, snapshot, restore, compare", "files of 1 kB", "ms in all", points, "linear")


def _fresh(measure: Callable[[Path], float]) -> float:
    with scratch_directory() as scratch:
        value = measure(scratch)
    print(f"{value:.2f}", flush=True)
    return value


def as_svg(curves: Sequence[Curve], caption: str) -> str:
    """All curves beside and below each other, each on two logarithmic scales, with its numbers."""
    columns = 2
    rows = math.ceil(len(curves) / columns)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{columns * WIDTH}" height="{rows * HEIGHT + 30}" '
        'font-family="sans-serif" font-size="11">',
        '<rect width="100%" height="100%" fill="white"/>',
    ]
    for number, curve in enumerate(curves):
        x, y = number % columns * WIDTH, number // columns * HEIGHT
        parts.append(f'<g transform="translate({x},{y})">{_panel(curve)}</g>')
    parts.append(f'<text x="12" y="{rows * HEIGHT + 18}" fill="#555">{escape(caption)}</text></svg>')
    return "\n".join(parts) + "\n"


def _panel(curve: Curve) -> str:
    xs, ys = [math.log10(x) for x, _ in curve.points], [math.log10(max(y, 1e-3)) for _, y in curve.points]
    low, high = math.floor(min(ys)), max(math.ceil(max(ys)), math.floor(min(ys)) + 2)

    def place(x: float, y: float) -> tuple[float, float]:
        across = MARGIN + (x - xs[0]) / (xs[-1] - xs[0]) * (WIDTH - 2 * MARGIN)
        return across, HEIGHT - MARGIN - (y - low) / (high - low) * (HEIGHT - 2 * MARGIN)

    places = [place(x, y) for x, y in zip(xs, ys, strict=True)]
    lines = [
        f'<text x="{MARGIN}" y="20" font-weight="bold">{escape(curve.title)}</text>',
        f'<text x="{MARGIN}" y="34" fill="#555">{escape(curve.y_name)}; must be {escape(curve.must_be)}</text>',
        f'<path d="M{MARGIN},{MARGIN} V{HEIGHT - MARGIN} H{WIDTH - MARGIN}" fill="none" stroke="#999"/>',
        f'<polyline points="{" ".join(f"{a:.1f},{b:.1f}" for a, b in places)}" fill="none" stroke="#06c" '
        'stroke-width="2"/>',
        f'<text x="{WIDTH / 2}" y="{HEIGHT - 12}" text-anchor="middle" fill="#555">{escape(curve.x_name)}</text>',
    ]
    for level in range(low, high + 1):
        down = place(xs[0], level)[1]
        lines.append(f'<text x="{MARGIN - 6}" y="{down + 4:.0f}" text-anchor="end" fill="#555">{10.0**level:g}</text>')
        lines.append(f'<path d="M{MARGIN},{down:.1f} H{WIDTH - MARGIN}" stroke="#eee"/>')
    for (x, y), (across, down) in zip(curve.points, places, strict=True):
        lines.append(f'<circle cx="{across:.1f}" cy="{down:.1f}" r="3" fill="#06c"/>')
        lines.append(f'<text x="{across:.1f}" y="{down - 8:.1f}" text-anchor="middle">{y:.3g}</text>')
        lines.append(f'<text x="{across:.1f}" y="{HEIGHT - MARGIN + 14}" text-anchor="middle" fill="#555">{x:,}</text>')
    return "".join(lines)


def main() -> None:
    """Measure, print, and draw."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="only the two smallest sizes of each, and no drawing")
    given = parser.parse_args()
    sizes = slice(2 if given.quick else None)
    curves = [measure(sizes) for measure in (by_operations, by_live_snapshots, by_clients, by_files)]
    for curve in curves:
        print(f"{curve.title}: " + ", ".join(f"{x:,}: {y:.3g} {curve.y_name}" for x, y in curve.points))
    drawn = as_svg(curves, machine())
    if not given.quick:
        (HERE / "growth.svg").write_text(drawn)


if __name__ == "__main__":
    main()
