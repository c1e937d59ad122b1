"""The power of the judge under faults: what breaks only then is found, and honest runs stay green."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.power.rechecked import check_rechecked
from tests.power.runs import run_to_end
from tests.power.seeds import seeds
from tests.power.test_memory_defects import SCENARIO

from snapstorm.faults.catalogue import FAULTS
from snapstorm.faults.fault import FaultKind
from snapstorm.model.events import Event, FaultEnded, RestoreVerified, ViolationFound
from snapstorm.model.guarantees import Guarantee
from snapstorm.model.location import GatewayStorage
from snapstorm.model.verdict import Verdict
from snapstorm.run.harness import HarnessOptions
from snapstorm.run.result import RunResult
from snapstorm.run.storm import HEALED
from snapstorm.scenario.scenarios import Scenario
from snapstorm.targets.memory.planted import BEHIND_THE_GATEWAY, MEMORY_DEFECTS
from snapstorm.targets.workload import LOSS
from snapstorm.testbed.control import Control

OF_THE_INTERFACE = frozenset({FaultKind.REFUSES, FaultKind.LAGS, FaultKind.LIES})

FAULT_BY_DEFECT = {name: defect.fault for name, defect in MEMORY_DEFECTS.items() if defect.fault}

HONEST_SEEDS = 1
ALL_SEEDS = 12
PACE = 30.0
PACE_OF_SHOWN = 3.0
"""Of a storage that lags or lies: somebody has to meet what it shows, while it does."""
STRIKES_MIN = 2
ACTIONS_MAX = 3000
"""Far more than it takes: a storm ends when it has shown what it is to show."""
SHOWN_BY_FIRST = {"verify-says-nothing": None, "restart-takes-no-snapshots": None}
"""What shows during the storm, for defects whose own guarantee is judged after it."""

SIMULATED = (
    "kill-server", "terminate-server", "lose-blob", "flip-byte", "truncate-blob", "unfinished-files", "remove-user",
    "change-password", "narrow-rights", "append-only",
)  # fmt: skip
"""What the simulated target can suffer without root."""

OF_STORAGE = tuple(key for key, fault in FAULTS.items() if fault.kind in OF_THE_INTERFACE)
"""What it can suffer behind the gateway."""
SELDOM_MET = frozenset({"storage-stale-list", "storage-partial-list", "storage-keeps-all", "storage-old-bytes"})
"""The simulated target lists and deletes what is stored only when it collects garbage, and overwrites nothing."""

UNDER_STORM = SCENARIO.model_copy(update={"actions": ACTIONS_MAX})

SCENARIOS = {"verify-says-nothing": LOSS}
"""Where a random run may undo what the defect has done."""


class EndOfStorm:
    """Ends the clients' work once each fault has struck often enough and, where one is given, this guarantee has been
    violated: on a slow machine that only takes longer."""

    def __init__(
        self, control: Control, faults: tuple[str, ...], shown_by: Guarantee | None, strikes_min: int = STRIKES_MIN
    ) -> None:
        self._control = control
        self._faults = faults
        self._strikes_min = strikes_min
        self._shown_by = shown_by
        self._strikes: Counter[str] = Counter()

    def __call__(self, event: Event) -> None:
        if isinstance(event, FaultEnded) and event.outcome == HEALED:
            self._strikes[event.key] += 1
        if isinstance(event, ViolationFound) and event.violation.guarantee is self._shown_by:
            self._shown_by = None
        if (
            self._faults
            and self._shown_by is None
            and all(self._strikes[fault] >= self._strikes_min for fault in self._faults)
        ):
            self._control.stop()


def run_once(
    testbed: Path,
    target: str,
    seed: int,
    *faults: str,
    shown_by: Guarantee | None = None,
    scenario: Scenario = UNDER_STORM,
    pace: float = PACE,
    strikes_min: int = STRIKES_MIN,
) -> RunResult:
    """One run in a quick storm, or without one, which comes to the same when it is judged again."""
    control = Control()
    options = HarnessOptions(
        testbed=testbed,
        target=target,
        seed=seed,
        operation_seconds_max=5.0,  # A busy machine must not take so long for what does not hang.
        keep_going=True,
        faults=faults,
        fault_pace=pace,
        repository=GatewayStorage() if set(faults) & set(OF_STORAGE) else None,
        recovery_seconds_max=0.001,  # One try is always made, and is enough.
    )
    result = run_to_end(
        options, scenario if faults else SCENARIO, EndOfStorm(control, faults, shown_by, strikes_min), control
    )
    # A probe of damage that is cut off with its fault may have restored without being judged.
    check_rechecked(testbed, result, unrecorded_max=2)
    return result


@pytest.mark.parametrize("defect", sorted(FAULT_BY_DEFECT))
def test_a_defect_under_faults_is_caught(defect: str, scratch: Path, note_caught: Callable[[str], None]) -> None:
    """A storm of the fault that the defect is about ends violated, and names the guarantee that the defect breaks."""
    expected = MEMORY_DEFECTS[defect].guarantee
    shown_by = SHOWN_BY_FIRST.get(defect, expected)
    scenario = SCENARIOS.get(defect, UNDER_STORM)
    fault = FAULT_BY_DEFECT[defect]
    pace = PACE_OF_SHOWN if FAULTS[fault].kind in {FaultKind.LAGS, FaultKind.LIES} else PACE
    target = f"memory:{defect}"
    result = run_once(scratch / "testbed", target, 1, fault, shown_by=shown_by, scenario=scenario, pace=pace)
    named = {violation.guarantee for violation in result.tally.violations}
    assert result.verdict is Verdict.VIOLATED
    assert expected in named
    note_caught(defect)


@pytest.mark.parametrize("seed", seeds(HONEST_SEEDS, ALL_SEEDS))
def test_an_honest_target_passes_in_a_storm(seed: int, scratch: Path) -> None:
    """Whatever the seed: faults strike, operations fail of them, nothing is violated, all is verified at the end."""
    result = run_once(scratch / "testbed", "memory", seed, *SIMULATED)
    assert result.verdict is Verdict.PASS, result.as_json()
    assert result.tally.faults.keys() == set(SIMULATED)
    assert result.tally.sweep_left == 0
    assert result.snapshots_in_doubt == 0


@pytest.mark.parametrize("seed", seeds(1, ALL_SEEDS))
def test_an_honest_target_passes_whatever_its_storage_does(seed: int, scratch: Path) -> None:
    """A storage that refuses, lags and lies: operations fail of it, nothing is violated, all is verified at the end."""
    often_met = [fault for fault in OF_STORAGE if fault not in SELDOM_MET]
    result = run_once(scratch / "testbed", "memory", seed, *often_met, strikes_min=1)
    assert result.verdict is Verdict.PASS, result.as_json()
    assert set(result.tally.faults) == set(often_met)
    assert result.tally.sweep_left == 0
    assert result.snapshots_in_doubt == 0


@pytest.mark.parametrize("defect", sorted(BEHIND_THE_GATEWAY))
def test_a_defect_of_storage_shows_only_under_its_fault(defect: str, scratch: Path) -> None:
    """Otherwise it would show nothing of the fault."""
    options = HarnessOptions(
        testbed=scratch / "testbed", target=f"memory:{defect}", seed=1, repository=GatewayStorage()
    )
    assert run_to_end(options, SCENARIO).verdict is Verdict.PASS


OF_EACH_KIND = ("kill-server", "lose-blob", "change-password")


@pytest.mark.parametrize(
    "fault",
    [pytest.param(fault, marks=() if fault in OF_EACH_KIND else pytest.mark.long) for fault in SIMULATED],
)
def test_each_fault_strikes_and_heals(fault: str, scratch: Path) -> None:
    """Alone, on a testbed that goes on: it strikes, is recorded as healed, and the next run without it passes. By
    default one of each kind; that all strike and heal is shown above."""
    result = run_once(scratch / "testbed", "memory", 1, fault)
    assert result.verdict is Verdict.PASS, result.as_json()
    assert set(result.tally.faults) == {fault}
    calm = run_once(scratch / "testbed", "memory", 2)
    assert calm.verdict is Verdict.PASS, calm.as_json()
    assert calm.tally.failed_under_faults == 0
    assert calm.tally.restores_verified_earlier_runs > 0


def test_what_fails_without_a_fault_is_still_found_in_a_storm(scratch: Path) -> None:
    """Faults excuse what they touch, not what goes wrong beside them: restores that come back wrong, and a damaged
    snapshot that no fault has touched."""
    for defect, guarantee in (
        ("restore-flips-a-byte", Guarantee.RESTORED_EXACTLY),
        ("delete-takes-another-too", Guarantee.ACKNOWLEDGED_STAYS_LISTED),
        ("list-omits-a-snapshot", Guarantee.ACKNOWLEDGED_STAYS_LISTED),
    ):
        faults = ("remove-user", "unfinished-files")
        result = run_once(scratch / defect, f"memory:{defect}", 3, *faults, shown_by=guarantee)
        assert guarantee in {violation.guarantee for violation in result.tally.violations}, defect


def test_a_storm_without_a_fault_is_inconclusive(scratch: Path) -> None:
    """A run that was asked for faults of which none struck has not shown what it was to show, whoever ended it."""
    control, verified = Control(), list[Event]()

    def stop_soon(event: Event) -> None:
        if isinstance(event, RestoreVerified):
            verified.append(event)
            control.stop()

    options = HarnessOptions(
        testbed=scratch / "testbed", target="memory", seed=1, faults=("kill-server",), fault_pace=1e-6
    )
    result = run_to_end(options, SCENARIO, stop_soon, control)
    assert verified
    assert result.verdict is Verdict.INCONCLUSIVE
    assert "no fault struck" in result.reason
