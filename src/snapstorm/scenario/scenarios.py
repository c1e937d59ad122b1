"""Scenarios: what a run does, as data.

A scenario gives each client a fixed sequence of steps, a weighted random choice of actions, or first the steps and then
the choice. Users write theirs in TOML with the same fields.
"""

from __future__ import annotations

import bisect
import re
import tomllib
from collections.abc import Sequence
from typing import Annotated, Any, Literal, TypeAlias, get_origin

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    field_validator,
    model_validator,
)

from snapstorm.errors import ConfigError, did_you_mean
from snapstorm.model.actions import ACTIONS, Action, AdvanceTime
from snapstorm.model.lived_time import SECONDS_PER_DAY
from snapstorm.model.protocols import Mode
from snapstorm.model.retention import KeepPolicy
from snapstorm.scenario.problems import Place, named, problems_of
from snapstorm.scenario.quantities import read_duration, read_moment, read_skew
from snapstorm.scenario.recording import Recording, StepOfAction

CLIENTS_MAX = 1024
ROUNDS_MAX = 1_000_000
ACTIONS_MAX = 1_000_000_000
DURATION_SECONDS_DEFAULT = 60.0
"""The duration of random actions if neither a duration nor a number of actions is given."""

Moment: TypeAlias = Annotated[str, BeforeValidator(read_moment)]


def _skew(text: str) -> str:
    read_skew(text)
    return text


Skew: TypeAlias = Annotated[str, AfterValidator(_skew)]

_LISTS = frozenset({list, tuple, set, frozenset})


class ScenarioStep(StepOfAction):
    """One action of a sequence."""

    alone: bool = False
    """All clients wait until each has reached this step; the first one does it; then all go on."""
    every: Annotated[int, Field(ge=1, le=ROUNDS_MAX)] = 1
    """Only in each so many-th round."""


class Scenario(BaseModel):
    """What a run does. Every field except `name` has a default; a scenario without steps and weights is refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Annotated[str, Field(min_length=1, max_length=100)]
    description: str = ""
    clients: Annotated[int, Field(ge=1, le=CLIENTS_MAX)] = 4
    mode: Mode = Mode.SERVER
    steps: tuple[ScenarioStep, ...] = ()
    """Every client does these in this order, before anything random."""
    rounds: Annotated[int, Field(ge=1, le=ROUNDS_MAX)] = 1
    """The steps are done so many times."""
    weights: dict[str, Annotated[int, Field(ge=0, le=1_000_000)]] = Field(default_factory=dict)
    """How often each action is drawn relative to the others, until the duration or the number of actions is used up."""
    options: dict[str, dict[str, Any]] = Field(default_factory=dict)
    """By action key, the options with which it is drawn."""
    duration_seconds: float | None = Field(default=None, alias="duration")
    actions: Annotated[int, Field(ge=1, le=ACTIONS_MAX)] | None = None
    """The number of random actions of all clients together."""
    data_bytes_max: Annotated[int, Field(ge=1, le=1 << 50)] = 1 << 30
    """The maximum size of one client's data directory."""

    faults: tuple[Annotated[str, Field(min_length=1)], ...] = ()
    """Keys of the faults that are injected while clients work, or `all`."""
    fault_weights: dict[str, Annotated[int, Field(ge=1, le=1_000)]] = Field(default_factory=dict)
    """How often each fault is drawn relative to the others, if not as `snapstorm faults --json` says."""
    parameters: dict[str, Annotated[str, Field(min_length=1)]] = Field(default_factory=dict)
    """The target's own settings (`snapstorm target` lists them), for a new testbed."""
    retention: KeepPolicy | None = None
    """How many hourly, daily, weekly, monthly, annual and latest snapshots of each source the target of a new testbed
    keeps; without it, all."""
    versions: tuple[Annotated[str, Field(min_length=1)], ...] = ()
    """Versions of the target that run one after the other on the same testbed, with a sweep in between. The duration,
    or the number of actions, is that of all versions together."""
    repository_format: Literal["newest", "oldest"] = "newest"
    """`oldest`: a new repository is created in the oldest format that its target supports, and the last version
    upgrades it to the newest."""

    virtual_start: Moment | None = None
    """The run is in virtual time, which begins at this moment, such as 2022-01-01, and can be advanced. Best in the
    past. A testbed that lives in virtual time goes on where it was."""
    clock_skews: tuple[Skew, ...] = ()
    """By how much the clock of each client is ahead in virtual time, the first client's first: 5h; behind: -2d; 0s."""

    recorded: Recording | None = None
    """What the clients of an earlier run did, to be done again instead of steps and weights."""

    @field_validator("duration_seconds", mode="before")
    @classmethod
    def _duration(cls, value: Any) -> Any:
        return value if value is None else read_duration(value)

    @model_validator(mode="after")
    def _does_something(self) -> Scenario:
        if self.recorded is not None:
            self._check_recorded(self.recorded)
        elif not self.steps and not self.is_random:
            raise ValueError("has neither steps nor weights above 0, so it would do nothing")
        if self.retention is not None and self.retention.keeps_all:
            raise ValueError("has a retention whose counts are all 0, which keeps everything, as none does")
        if self.mode is Mode.DIRECT and self.clients != 1:
            raise ValueError(f"mode direct has exactly one client, not {self.clients}")
        self._check_time()
        return self

    def _check_time(self) -> None:
        """Real time can't be changed."""
        if self.virtual_start is not None:
            return
        if self.clock_skews:
            raise ValueError("has clock_skews, which needs a virtual_start, such as 2022-01-01")
        steps = self.recorded.steps if self.recorded is not None else self.steps
        if any(step.action == AdvanceTime.key for step in steps):
            raise ValueError(f"has {AdvanceTime.key}, which needs a virtual_start, such as 2022-01-01")

    def _check_recorded(self, recorded: Recording) -> None:
        if self.steps or self.is_random:
            raise ValueError("has a recording, so it can have no steps and no weights")
        if recorded.clients > self.clients:
            raise ValueError(f"has {self.clients} client(s), and a recording of {recorded.clients}")
        if problems := recorded.problems():
            raise ValueError("; ".join(problems[:5]))

    @property
    def is_random(self) -> bool:
        """Whether anything is drawn at random after the steps."""
        return any(self.weights.values())

    @property
    def clock_skews_seconds(self) -> tuple[float, ...]:
        """By how much the clock of each client is ahead, the first client's first."""
        skews = self.clock_skews if self.recorded is None else self.recorded.clock_skews
        return tuple(map(read_skew, skews))

    def days_after(self, rounds: int) -> float:
        """How many virtual days the steps have advanced time by after so many rounds."""
        advances = [(step, step.make()) for step in self.steps if step.action == AdvanceTime.key]
        return sum(
            rounds // step.every * step.repeat * action.seconds / SECONDS_PER_DAY
            for step, action in advances
            if isinstance(action, AdvanceTime)
        )

    def lasting(self, virtual_days: int) -> Scenario:
        """The same with as many rounds as it takes to advance time by so many days. Raises ValueError for a scenario
        that does not advance time, or that does so too slowly."""
        if self.virtual_start is None or not self.days_after(ROUNDS_MAX):
            raise ValueError(f"scenario {self.name} does not advance time in its steps")
        rounds = bisect.bisect_left(
            range(ROUNDS_MAX + 1), True, key=lambda count: self.days_after(count) >= virtual_days
        )
        if rounds > ROUNDS_MAX:
            raise ValueError(f"scenario {self.name} does not come to {virtual_days} days in {ROUNDS_MAX:,} rounds")
        return self.model_copy(update={"rounds": rounds})

    @property
    def random_seconds(self) -> float | None:
        """The duration of random actions; None if their number bounds them."""
        if self.duration_seconds is None and self.actions is None:
            return DURATION_SECONDS_DEFAULT
        return self.duration_seconds


def check_key(key: str) -> None:
    """Refuse a key that is no action's, and name the nearest ones. Raises ValueError."""
    if key not in ACTIONS:
        hint = did_you_mean(key, ACTIONS)
        raise ValueError(f"no action is called {key!r}; {hint}known are: {', '.join(ACTIONS)}")


def parse_scenario(text: str, file_name: str) -> Scenario:
    """The scenario in a TOML text. Raises ConfigError with every problem at once, each with its line."""
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{file_name}: not valid TOML: {error}") from error
    document.setdefault("name", file_name.rpartition("/")[2].removesuffix(".toml") or "scenario")
    scenario, problems = build_scenario(document)
    if scenario is None:
        lines = sorted({(_line_of(text, place), named(place, words)) for place, words in problems})
        raise ConfigError(*(f"{file_name}:{line}: {words}" for line, words in lines))
    return scenario


def build_scenario(document: dict[str, Any]) -> tuple[Scenario | None, list[tuple[Place, str]]]:
    """The scenario that a document describes, or all problems with it, each with its place."""
    problems: list[tuple[Place, str]] = []
    scenario = None
    try:
        scenario = Scenario.model_validate(document)
    except ValidationError as error:
        problems.extend(problems_of(error, Scenario))
    problems.extend(_option_problems(document))
    return (None if problems else scenario), problems


def read_option(key: str, name: str, text: str) -> str | list[str]:
    """The value of an action's option from the command line, where commas separate the entries of a list."""
    field = ACTIONS[key].model_fields.get(name) if key in ACTIONS else None
    if field is None or get_origin(field.annotation) not in _LISTS:
        return text
    return [entry.strip() for entry in text.split(",") if entry.strip()]


def _option_problems(document: dict[str, Any]) -> list[tuple[Place, str]]:
    """Problems with the keys and options of actions, which only the table of actions can find."""
    problems: list[tuple[Place, str]] = []
    weights = document.get("weights", {})
    for key in weights if isinstance(weights, dict) else ():
        problems.extend(_action_problems(key, {}, ("weights",), ("weights", key)))
    steps = document.get("steps", [])
    for index, step in enumerate(steps if isinstance(steps, list) else []):
        if isinstance(step, dict) and isinstance(step.get("action"), str):
            options = {name: value for name, value in step.items() if name not in ScenarioStep.model_fields}
            key_place, is_alone = ("steps", index, "action"), step.get("alone") is True
            problems.extend(_action_problems(step["action"], options, ("steps", index), key_place, is_alone=is_alone))
    table = document.get("options", {})
    for key, options in table.items() if isinstance(table, dict) else ():
        if isinstance(options, dict):
            problems.extend(_action_problems(key, options, ("options", key), ("options", key)))
    return problems


def _action_problems(
    key: str, options: dict[str, Any], place: Place, key_place: Place, *, is_alone: bool = False
) -> list[tuple[Place, str]]:
    try:
        check_key(key)
    except ValueError as error:
        return [(key_place, str(error))]
    try:
        action = ACTIONS[key](**options)
    except ValidationError as error:
        known = ", ".join(ACTIONS[key].model_fields) or "none"
        return [
            ((*place, *where), f"{words} (options of {key}: {known})" if words.startswith("unknown") else words)
            for where, words in problems_of(error, ACTIONS[key])
        ]
    return _exclusive_problems(action, place, key_place) if action.is_exclusive and not is_alone else []


def _exclusive_problems(action: Action[Any], place: Place, key_place: Place) -> list[tuple[Place, str]]:
    """Problems of an action that needs all other clients to wait, at a place where they don't: because of an option, or
    always."""
    if ACTIONS[action.key]().is_exclusive:
        return [(key_place, f"{action.key} is possible only in a step with alone = true")]
    words = "none destroys what is being written meanwhile, so it is possible only in a step with alone = true"
    return [((*place, "safety"), words)]


def _line_of(text: str, place: Place) -> int:
    """The line of the value at `place`, or of the nearest parent that has a line."""
    lines = text.splitlines()
    names = [part for part in place if isinstance(part, str)]
    index = next((part for part in place if isinstance(part, int)), 0)
    start, end = 0, len(lines)
    header = _header_line(lines, names, index)
    if header is not None:
        start, names = header + 1, names[1:] if len(names) > 1 else []
        end = next((at for at in range(start, len(lines)) if lines[at].lstrip().startswith("[")), len(lines))
    for name in reversed(names):
        key = re.compile(rf"""\s*(?:[\w-]+\.)*["']?{re.escape(name)}["']?\s*[.=]""")
        for at in range(start, end):
            if key.match(lines[at]):
                return at + 1
    return start if header is not None else 1


def _header_line(lines: Sequence[str], names: Sequence[str], index: int) -> int | None:
    """The line of the table `[a.b]` or `[a]`, or of the `index`-th `[[a.b]]` or `[[a]]`, that contains the names."""
    quoted = [rf"""["']?{re.escape(name)}["']?""" for name in names]
    for depth in range(min(2, len(names)), 0, -1):
        header = re.compile(r"\s*\[\[?\s*" + r"\s*\.\s*".join(quoted[:depth]) + r"\s*\]")
        found = [at for at, line in enumerate(lines) if header.match(line)]
        if found:
            return found[min(index, len(found) - 1)]
    return None
