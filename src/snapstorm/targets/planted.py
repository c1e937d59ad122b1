"""Specimens for the calibration of the judge: targets with a planted defect, and honest ones, and how each is run."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from snapstorm.defects.all_defects import DEFECTS, FOR_EVERY_TARGET, behaviour_named, unknown_defect
from snapstorm.defects.behaviour import Behaviour
from snapstorm.defects.defect import Defect
from snapstorm.defects.defective import with_defect
from snapstorm.errors import ConfigError
from snapstorm.model.guarantees import Guarantee
from snapstorm.model.location import GatewayStorage, NamedStorage
from snapstorm.model.work import WorkKind
from snapstorm.scenario.scenarios import Scenario
from snapstorm.scenario.shipped_scenarios import shipped
from snapstorm.targets.plugin import MakeTarget, TargetPlugin
from snapstorm.targets.workload import LOSS, REAL

HONEST = "honest"
"""The name of a specimen without a defect."""


@dataclass(frozen=True)
class Setup:
    """How a specimen is run. Nothing in it tells a specimen with a defect from one without."""

    scenario: Scenario
    operation_seconds_max: float
    keep_going: bool = False
    faults: tuple[str, ...] = ()
    fault_pace: float = 1.0
    recovery_seconds_max: float = 120.0
    repository: NamedStorage | None = None
    """Where the repository is; None for the testbed."""
    rounds: int = 1
    """Runs on one testbed: some defects show only in a second one."""
    ends_early: bool = False
    """A round in which something was found while clients worked is not judged any further, for it takes long."""


@dataclass(frozen=True)
class Planted:
    """What a run needs to know to run against a specimen. It does not tell what was planted."""

    target: str
    """As for `--target`."""
    programs: Sequence[Path] = ()


@dataclass(frozen=True)
class Specimen:
    """What is planted, and what it must break. Only the bookkeeping sees one."""

    kind: str
    """The name of its target."""
    name: str
    sentence: str
    guarantee: Guarantee | None
    """None for one that is honest."""
    shown_by: str
    """The kind of work that shows it."""
    setup: Setup
    plant: Callable[[Path], Planted]
    """Makes it in a new directory."""
    times_struck: Callable[[Path], int | None] = lambda _: None
    """How often what was planted there has misbehaved; None where that is not known."""
    why_it_broke: Callable[[Path], str] = lambda _: ""
    """What went wrong in the specimen itself, so that nothing was measured; empty if nothing."""

    @property
    def is_honest(self) -> bool:
        return self.guarantee is None


@dataclass(frozen=True)
class Specimens:
    """Of one target."""

    defects: Sequence[Specimen]
    honest: Sequence[Specimen]
    """One in each set-up that is to be met by honest runs."""


@dataclass(frozen=True)
class Setups:
    """How the specimens of a target are run: as usual, and where the usual does not show a defect."""

    usual: Setup
    hanging_seconds_max: float
    """The time for an operation, for what never ends."""
    under_fault: Setup
    whole_trees: Setup | None = None
    """With hard links, special files and attributes of the system; None where these are not kept."""
    scenarios: Mapping[str, Scenario] = field(default_factory=dict[str, Scenario])
    """By name, for defects of this target that only a scenario of their own can show."""

    def setup_for(self, name: str, defect: Defect) -> Setup:
        if defect.fault:
            return replace(
                self.under_fault,
                repository=GatewayStorage() if defect.is_behind_gateway else None,
                faults=(defect.fault,),
                scenario=_SCENARIOS.get(name, self.under_fault.scenario),
            )
        if defect.needs_whole_trees and self.whole_trees is not None:
            return self.whole_trees
        if name.endswith("-hangs"):
            return replace(self.usual, operation_seconds_max=self.hanging_seconds_max)
        scenarios = {**_SCENARIOS, **self.scenarios}
        return replace(self.usual, scenario=scenarios[name], rounds=1) if name in scenarios else self.usual


_SCENARIOS = {"collection-frees-nothing": shipped("space"), "verify-says-nothing": LOSS}
"""For defects that only a scenario of their own can show."""

REAL_SETUPS = Setups(
    # A busy machine must not take so long for what does not hang.
    usual=Setup(REAL, operation_seconds_max=100.0, ends_early=True),
    hanging_seconds_max=15.0,
    # Each fault strikes often.
    under_fault=Setup(REAL, operation_seconds_max=60.0, fault_pace=3.0, ends_early=True),
    # Elsewhere a later collection may complain first, or what was lost may be deleted.
    scenarios={"gc-drops-content": LOSS},
)


def specimens_of(
    target: str,
    programs: Sequence[Path],
    *,
    names: Collection[str] = FOR_EVERY_TARGET,
    own: Mapping[str, Defect] | None = None,
    setups: Setups = REAL_SETUPS,
) -> Specimens:
    """The target with each of these defects, and with each of its own, and an honest one in each set-up in which
    defects are run."""
    defects = {name: defect for name, defect in DEFECTS.items() if name in names} | dict(own or {})
    setup_by_name = {name: setups.setup_for(name, defect) for name, defect in defects.items()}
    planted = [specimen_of(target, programs, setup_by_name[name], name, defect) for name, defect in defects.items()]
    # What hangs is ended so soon that an honest operation might be, too.
    met = {name: setup for name, setup in setup_by_name.items() if not name.endswith("-hangs")}.values()
    different = [setup for number, setup in enumerate(met) if setup not in list(met)[:number]]
    return Specimens(planted, [specimen_of(target, programs, setup) for setup in different])


def specimen_of(
    target: str, programs: Sequence[Path], setup: Setup, name: str = "", defect: Defect | None = None
) -> Specimen:
    """The target with this defect, or without any. Which one it is stands in a file that no judge reads."""

    def plant(directory: Path) -> Planted:
        directory.mkdir(mode=0o700)
        file = directory / "program"
        file.write_text(name)
        return Planted(f"{target}:{file}", programs)

    return Specimen(
        kind=target,
        name=name or HONEST,
        sentence=defect.sentence if defect else "Does everything right.",
        guarantee=defect.guarantee if defect else None,
        shown_by=defect.shown_by if defect else WorkKind.RESTORE,
        setup=setup,
        plant=plant,
    )


def find_defective(
    plugin: TargetPlugin, programs: Sequence[Path], defect: str, *, is_virtual: bool = False
) -> MakeTarget:
    """The target with this defect. An absolute path is that of a file that holds its name, so that a run need not know
    it. Raises ConfigError for a defect that there is not."""
    try:
        name = Path(defect).read_text(encoding="utf-8").strip() if defect.startswith("/") else defect
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"the name of a defect can't be read from {defect}: {error}") from error
    make_behaviour = behaviour_named(name)
    own = name if make_behaviour is None else None
    if own is not None and not plugin.has_planted_defects:
        raise unknown_defect(own, list(DEFECTS))
    make_target = plugin.find_virtual(programs, own) if is_virtual else plugin.find(programs, own, None)
    return lambda runner: with_defect(make_target(runner), make_behaviour or Behaviour, defect)
