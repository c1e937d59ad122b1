"""What clients do while the judge is calibrated: short runs in which every kind of operation occurs."""

from __future__ import annotations

from typing import Any

from snapstorm.scenario.scenarios import Scenario

_ODD = {"count": 14, "size_bytes": "0..20000", "depth": "0..2", "odd_percent": 60, "one_of_each": True}
"""All that the target keeps is in every tree, so that whatever spoils one kind of entry can be seen."""

SIMULATED = Scenario.model_validate(
    {
        "name": "power",
        "clients": 3,
        "actions": 120,
        "steps": [
            {"action": "write-random-files", "count": 12, "size_bytes": "1..20000"},
            {"action": "snapshot-root"},
        ],
        "weights": {
            "snapshot-root": 20,
            "snapshot-subpath": 4,
            "restore-random-snapshot": 20,
            "restore-subpath": 6,
            "restore-into-data-directory": 4,
            "delete-random-snapshot": 8,
            "expire": 4,
            "write-random-files": 15,
            "modify-files": 15,
            "change-metadata": 6,
            "delete-files": 4,
            "delete-random-subdirectory": 4,
            "list-snapshots": 8,
            "run-gc": 6,
            "verify-repository": 3,
        },
        "options": {
            "write-random-files": {"count": "1..6", "size_bytes": "0..20000", "odd_percent": 40},
            "expire": {"keep_latest": 3},
        },
    }
)
"""Against a simulated target, where an operation takes no time."""

LOSS = Scenario.model_validate(
    {
        "name": "loss",
        "clients": 1,
        "actions": 20,
        "steps": [
            {"action": "write-random-files", "count": 4, "size_bytes": "1..20000"},
            {"action": "snapshot-root"},
            {"action": "delete-files", "percent": 100},
            {"action": "run-gc"},
        ],
        "weights": {"list-snapshots": 1},
    }
)
"""No file holds any more what a collection may destroy, so that no later snapshot stores it again."""

SIMULATED_DAYS = Scenario.model_validate(
    {
        "name": "days",
        "clients": 2,
        "virtual_start": "2025-12-19T12:00:00Z",
        "rounds": 24,
        "retention": {"daily": 3, "weekly": 5, "monthly": 3},
        "steps": [
            {"action": "write-random-files", "count": 1, "size_bytes": "1..2000"},
            {"action": "snapshot-root"},
            {"action": "list-snapshots", "every": 2},
            {"action": "restore-random-snapshot", "every": 3},
            {"action": "advance-time", "alone": True},
        ],
    }
)
"""Days around a turn of the year, on which snapshots expire by a policy."""

_STEPS: tuple[dict[str, Any], ...] = (
    {"action": "write-random-files", **_ODD},
    {"action": "snapshot-root"},
    {"action": "modify-files", "count": 6, "kinds": ["in-place"]},
    {"action": "snapshot-root"},
    {"action": "list-snapshots"},
    {"action": "restore-random-snapshot"},
    {"action": "modify-files", "count": 6, "kinds": ["in-place", "append"]},
    {"action": "snapshot-root"},
    {"action": "restore-random-snapshot"},
    {"action": "verify-repository"},
    {"action": "delete-random-snapshot"},
    {"action": "list-snapshots"},
    {"action": "run-gc"},
    {"action": "snapshot-root"},
    {"action": "expire", "keep_latest": 2},
    {"action": "modify-files", "count": 2},
    {"action": "snapshot-root"},
    {"action": "list-snapshots"},
)

REAL = Scenario.model_validate(
    {
        "name": "calibration",
        "clients": 2,
        "actions": 12,
        "steps": _STEPS,
        "weights": {
            "snapshot-root": 4,
            "restore-random-snapshot": 4,
            "restore-subpath": 1,
            "delete-random-snapshot": 2,
            "list-snapshots": 2,
            "modify-files": 3,
        },
        "options": {"modify-files": {"count": "1..4"}},
    }
)
"""Against a real target, where an operation takes half a second: 48 actions, each kind at least twice."""
