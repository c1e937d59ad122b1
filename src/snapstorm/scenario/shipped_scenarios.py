"""The scenarios that come with snapstorm. They follow the tests of Kopia's own robustness suite, including sizes and
numbers of clients."""

from __future__ import annotations

from typing import Any

from snapstorm.errors import ConfigError, did_you_mean
from snapstorm.scenario.scenarios import Scenario

_MiB = 1 << 20


def _fixed(name: str, description: str, write: dict[str, Any]) -> Scenario:
    """The original's fixed sequence. Its first three steps act only if an earlier run left something."""
    steps = (
        {"action": "restore-into-data-directory"},
        {"action": "delete-random-subdirectory"},
        {"action": "delete-files", "percent": 50},
        {"action": "write-random-files", "odd_percent": 0, "duplicate_percent": 0, **write},
        {"action": "snapshot-root"},
        {"action": "restore-snapshot"},
    )
    return Scenario.model_validate({"name": name, "description": description, "clients": 4, "steps": steps})


_RANDOM_OPTIONS = {
    "write-random-files": {
        "count": "1..100",
        "size_bytes": f"0..{64 * _MiB}",
        "total_bytes_max": 512 * _MiB,
        "depth": "0..3",
        "small_first": True,
    },
    # Few enough that a short run reaches it.
    "expire": {"keep_latest": 2},
    "run-gc": {"kind": "random"},
}

_COLLECT_ALONE = {"action": "run-gc", "kind": "full", "safety": "none", "alone": True}

_SPACE_ROUND: tuple[dict[str, Any], ...] = (
    {
        "action": "write-random-files",
        "count": 20,
        "size_bytes": "16384..131072",
        "size_distribution": "uniform",
        "links": False,  # 0.19.0 does not count them (#4421), which this scenario does not test.
    },
    {"action": "snapshot-root"},
)

_DAILY_CHANGES: tuple[dict[str, Any], ...] = (
    {"action": "write-random-files", "count": "1..4", "size_bytes": "0..65536"},
    {"action": "modify-files", "count": "1..4"},
    # So that data stays as large as it is, and storage must level off.
    {"action": "delete-files", "percent": 40, "every": 3},
)

_COLLECT_QUICKLY = {"action": "run-gc", "kind": "quick", "alone": True}
_COLLECT_FULLY = {"action": "run-gc", "kind": "full", "alone": True}

_IN_VIRTUAL_TIME: tuple[Scenario, ...] = (
    Scenario.model_validate(
        {
            "name": "year",
            "description": "Three clients live through a virtual year: daily snapshots, weekly collections.",
            "clients": 3,
            "virtual_start": "2022-01-01",
            "rounds": 365,
            "retention": {"daily": 7, "weekly": 4, "monthly": 12},
            "steps": (
                *_DAILY_CHANGES,
                {"action": "snapshot-root"},
                {"action": "restore-random-snapshot", "every": 7},
                {"action": "list-snapshots", "every": 7},
                {**_COLLECT_FULLY, "every": 7},
                _COLLECT_QUICKLY,
                {"action": "advance-time", "days": 1, "alone": True},
            ),
            "data_bytes_max": 2 * _MiB,
        }
    ),
    Scenario.model_validate(
        {
            "name": "decade",
            "description": "Two clients live through ten virtual years: snapshots each fortnight, monthly collections.",
            "clients": 2,
            "virtual_start": "2012-01-01",
            "rounds": 261,
            "retention": {"latest": 3, "monthly": 12, "annual": 10},
            "steps": (
                *_DAILY_CHANGES,
                {"action": "snapshot-root"},
                {"action": "restore-random-snapshot", "every": 6},
                {"action": "list-snapshots", "every": 2},
                {**_COLLECT_FULLY, "every": 2},
                {"action": "advance-time", "days": 14, "alone": True},
            ),
            "data_bytes_max": 2 * _MiB,
        }
    ),
    Scenario.model_validate(
        {
            "name": "skewed-clocks",
            "description": "Four clients whose clocks are hours and days apart, through a virtual month.",
            "clients": 4,
            "virtual_start": "2022-01-01",
            "clock_skews": ("0s", "5h", "-7h", "3d"),
            "rounds": 30,
            "steps": (
                *_DAILY_CHANGES,
                {"action": "snapshot-root"},
                {"action": "restore-random-snapshot", "every": 5},
                {"action": "delete-random-snapshot", "every": 4},
                {"action": "list-snapshots", "every": 5},
                {**_COLLECT_FULLY, "every": 5},
                _COLLECT_QUICKLY,
                {"action": "advance-time", "days": 1, "alone": True},
            ),
            "data_bytes_max": 2 * _MiB,
        }
    ),
)

SHIPPED: tuple[Scenario, ...] = (
    Scenario.model_validate(
        {
            "name": "randomized",
            "description": "Four clients do random actions: write, change, snapshot, restore, delete.",
            "duration": "60s",
            "weights": {
                "snapshot-root": 20,
                "restore-random-snapshot": 20,
                "delete-random-snapshot": 10,
                "write-random-files": 20,
                "delete-random-subdirectory": 10,
                "delete-files": 10,
                "modify-files": 10,
                "change-metadata": 5,
                "list-snapshots": 5,
                "restore-subpath": 3,
                "snapshot-subpath": 3,
                "restore-into-data-directory": 2,
                "expire": 1,
                "run-gc": 1,
                "verify-repository": 1,
            },
            "options": _RANDOM_OPTIONS,
            "data_bytes_max": 512 * _MiB,
        }
    ),
    _fixed(
        "many-small-files",
        "Four clients write 10,000 files of 4 KiB each into one directory, snapshot and restore.",
        {"count": 10_000, "size_bytes": 4096, "depth": 1},
    ),
    _fixed(
        "one-large-file",
        "Four clients write one file of 40 MiB each, snapshot and restore.",
        {"count": 1, "size_bytes": 40 * _MiB, "depth": 1},
    ),
    _fixed(
        "many-small-files-across-directory-tree",
        "Four clients write 1,000 files of 4 KiB each, 10 at a time, over a tree 15 deep, snapshot and restore.",
        {"count": 10, "size_bytes": 4096, "depth": "0..15", "repeat": 100},
    ),
    Scenario.model_validate(
        {
            "name": "maintenance",
            "description": "Four clients write, snapshot and delete while garbage is collected.",
            "steps": (
                {"action": "write-random-files", "count": 100, "size_bytes": "0..1048576"},
                {"action": "snapshot-root"},
                {"action": "delete-files"},
                {"action": "write-random-files", "count": 100, "size_bytes": "0..1048576"},
                {"action": "snapshot-root"},
                {"action": "delete-random-snapshot"},
                {"action": "run-gc"},
                {"action": "restore-random-snapshot"},
                {"action": "modify-files"},
                {"action": "snapshot-root"},
                {"action": "run-gc"},
                {"action": "restore-random-snapshot"},
                {"action": "list-snapshots"},
            ),
        }
    ),
    Scenario.model_validate(
        {
            "name": "space",
            "description": "Four clients write and delete; garbage collection must free the storage again.",
            "steps": (
                *_SPACE_ROUND,
                _COLLECT_ALONE,
                {"action": "mark-storage", "alone": True},
                *_SPACE_ROUND * 4,
                {"action": "delete-snapshots", "keep": "oldest", "keep_count": 1},
                # The tree, too, is as it was at the mark again; little is written from now on.
                {"action": "restore-into-data-directory"},
                # The first collection packs garbage with needed data. A later one, over a second later, marks the
                # garbage for good. That pack is rewritten when there is another one to join it with. Measured on
                # 0.23.1, in MB: 4.3 at the mark, 23.1 before the first, 23.1 after it, 21.2 after the second, 4.4 last.
                _COLLECT_ALONE,
                {"action": "verify-repository"},
                {"action": "restore-random-snapshot"},
                {"action": "list-snapshots"},
                {**_COLLECT_ALONE, "repeat": 5},
                {"action": "write-random-files", "count": 1, "size_bytes": 4096, "odd_percent": 0},
                {"action": "snapshot-root"},
                _COLLECT_ALONE,
                {"action": "check-storage", "alone": True},
                {"action": "restore-random-snapshot"},
            ),
        }
    ),
    Scenario.model_validate(
        {
            "name": "upgrade",
            "description": "Three versions, one after the other, on a repository that begins in the oldest format.",
            "duration": "90s",
            "versions": ("0.19.0", "0.22.3", "0.23.1"),
            "repository_format": "oldest",
            # 0.19.0 counts only links in the root of a snapshot (#4421), so there are none elsewhere.
            "steps": (
                {
                    "action": "write-random-files",
                    "count": 20,
                    "size_bytes": "0..65536",
                    "depth": 0,
                    "odd_percent": 60,
                },
            ),
            "weights": {
                "snapshot-root": 20,
                "restore-random-snapshot": 10,
                "delete-random-snapshot": 5,
                "write-random-files": 20,
                "delete-files": 5,
                "modify-files": 10,
                "list-snapshots": 5,
                "restore-subpath": 3,
                "restore-into-data-directory": 2,
                "run-gc": 1,
                "verify-repository": 1,
            },
            "options": {"write-random-files": {"count": "1..30", "size_bytes": f"0..{4 * _MiB}", "links": False}},
            "data_bytes_max": 128 * _MiB,
        }
    ),
    Scenario.model_validate(
        {
            "name": "delete-random-snapshot",
            "description": "One client takes snapshots, deletes one at random, and restores the others.",
            "clients": 1,
            "steps": (
                {"action": "write-random-files", "count": 10, "size_bytes": "0..1048576"},
                {"action": "snapshot-root"},
                {"action": "modify-files"},
                {"action": "snapshot-root"},
                {"action": "delete-random-snapshot"},
                {"action": "list-snapshots"},
                {"action": "restore-random-snapshot"},
            ),
        }
    ),
    *_IN_VIRTUAL_TIME,
)
"""The default first."""


def shipped(name: str) -> Scenario:
    """The shipped scenario of that name. Raises ConfigError with the nearest name."""
    for scenario in SHIPPED:
        if scenario.name == name:
            return scenario
    names = [scenario.name for scenario in SHIPPED]
    hint = did_you_mean(name, names)
    raise ConfigError(f"no scenario is called {name!r}; {hint}known are: {', '.join(names)}")
