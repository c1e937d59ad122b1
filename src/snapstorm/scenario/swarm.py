"""Swarm: a whole configuration drawn from a seed.

A fixed mix of everything tests one way of using a target again and again. Leaving things out reaches further: without
deletions a repository grows, without small files packs fill differently (Groce et al., *Swarm Testing*, 2012). So each
draw takes part of the actions and faults, with weights far apart, and trees and settings of its own.
"""

from __future__ import annotations

import math
import random
from collections.abc import Mapping, Sequence
from typing import Any

from snapstorm.model.actions import (
    ACTIONS,
    DeleteFiles,
    FileAction,
    ListSnapshots,
    RestoreRandomSnapshot,
    RunGc,
    SnapshotRoot,
    WriteRandomFiles,
)
from snapstorm.model.protocols import Mode
from snapstorm.scenario.scenarios import Scenario
from snapstorm.scenario.seeds import stream

ALWAYS = (WriteRandomFiles.key, SnapshotRoot.key, RestoreRandomSnapshot.key)
"""Without these, nothing would be tested."""
NEVER = ("restore-snapshot", "delete-snapshot", "delete-snapshots")
"""Of these, others draw the snapshot."""
ACTION_SHARE = 0.7
FAULT_SHARE = 0.4
PARAMETER_SHARE = 0.5
WEIGHT_MAX = 40
CLIENTS = (1, 2, 3, 4, 4, 6, 8)
_MiB = 1 << 20


def draw_swarm(seed: int, faults: Sequence[str], parameters: Mapping[str, Sequence[str]]) -> Scenario:
    """The configuration that this seed gives, of these faults and of these settings of the target."""
    draws = stream(seed, "swarm")
    possible = [key for key, action in ACTIONS.items() if key not in (*ALWAYS, *NEVER) and not action().is_exclusive]
    weights = {key: _weight(draws) for key in ALWAYS}
    weights |= {key: _weight(draws) for key in possible if draws.random() < ACTION_SHARE}
    if not any(issubclass(ACTIONS[key], FileAction) and key != WriteRandomFiles.key for key in weights):
        weights[DeleteFiles.key] = _weight(draws)
    # Collections and listings are costly beside the rest, and a few of them go a long way.
    weights |= {key: min(weights[key], 4) for key in (RunGc.key, ListSnapshots.key) if key in weights}
    drawn: dict[str, Any] = {
        "name": f"swarm-{seed}",
        "description": f"The configuration that seed {seed} draws.",
        "clients": draws.choice(CLIENTS),
        "mode": Mode.SERVER,
        "weights": weights,
        "options": _options(draws, weights),
        "data_bytes_max": draws.choice((8, 64, 256, 512)) * _MiB,
        "faults": [key for key in faults if draws.random() < FAULT_SHARE],
        "parameters": {
            name: draws.choice(list(choices))
            for name, choices in parameters.items()
            if draws.random() < PARAMETER_SHARE
        },
    }
    drawn["fault_weights"] = {key: _weight(draws) for key in drawn["faults"]}
    return Scenario.model_validate(drawn)


def _weight(draws: random.Random) -> int:
    """From 1 to `WEIGHT_MAX`, small ones as often as large ones on a scale of doublings."""
    return max(1, round(math.exp(draws.random() * math.log(WEIGHT_MAX))))


def _options(draws: random.Random, weights: Mapping[str, int]) -> dict[str, dict[str, Any]]:
    """The shape of the trees, and how far a step goes."""
    count_max, size_max = draws.choice(((3, 64 * _MiB), (30, 8 * _MiB), (100, _MiB), (600, 64 << 10), (2000, 4 << 10)))
    options: dict[str, dict[str, Any]] = {
        WriteRandomFiles.key: {
            "count": f"1..{count_max}",
            "size_bytes": f"0..{size_max}",
            "depth": f"0..{draws.choice((0, 2, 5, 15))}",
            "odd_percent": draws.choice((0, 10, 50, 90)),
            "duplicate_percent": draws.choice((0, 20, 80)),
            "compressible_percent": draws.choice((0, 50, 100)),
            "total_bytes_max": 256 * _MiB,
        },
        DeleteFiles.key: {"percent": draws.choice((5, 50, 100))},
        RunGc.key: {"kind": draws.choice(("quick", "full", "random"))},
        "expire": {"keep_latest": draws.choice((1, 3, 10))},
    }
    return {key: values for key, values in options.items() if key in weights}
