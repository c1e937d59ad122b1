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
    Action,
    DeleteFiles,
    Expire,
    FileAction,
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
ACTION_SHARE = 0.7
FAULT_SHARE = 0.4
PARAMETER_SHARE = 0.5
CLIENTS = (1, 2, 3, 4, 4, 6, 8)
_MiB = 1 << 20


def draw_swarm(seed: int, faults: Sequence[str], parameters: Mapping[str, Sequence[str]]) -> Scenario:
    """The configuration that this seed gives, of these faults and of these settings of the target."""
    draws = stream(seed, "swarm")
    weights = {key: _weight(draws) for key in ALWAYS}
    weights |= {key: _weight(draws) for key in ACTIONS if _may_be_drawn(key) and draws.random() < ACTION_SHARE}
    if not any(issubclass(ACTIONS[key], FileAction) and key != WriteRandomFiles.key for key in weights):
        weights[DeleteFiles.key] = _weight(draws)
    weights = {key: min(weight, ACTIONS[key].swarm_weight_max) for key, weight in weights.items()}
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


def _may_be_drawn(key: str) -> bool:
    action = ACTIONS[key]
    return key not in ALWAYS and action.swarm_weight_max > 0 and not action().is_exclusive


def _weight(draws: random.Random) -> int:
    """From 1 to the greatest that there is, small ones as often as large ones on a scale of doublings."""
    return max(1, round(math.exp(draws.random() * math.log(Action.swarm_weight_max))))


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
        Expire.key: {"keep_latest": draws.choice((1, 3, 10))},
    }
    return {key: values for key, values in options.items() if key in weights}
