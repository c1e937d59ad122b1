"""Reads what was typed: the scenario with the changes of the command line, durations, sizes, places.

Each function raises ConfigError, one line for each problem.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any, TypeAlias, TypeVar, overload

from cyclopts import Parameter, Token

from snapstorm.errors import ConfigError, reading_failure
from snapstorm.runtime.paths import clean_path
from snapstorm.scenario.problems import Place, named
from snapstorm.scenario.quantities import read_duration
from snapstorm.scenario.scenarios import Scenario, build_scenario, parse_scenario, read_option
from snapstorm.scenario.shipped_scenarios import SHIPPED, shipped

Value = TypeVar("Value")

OPERATION_SECONDS = 300.0
OPERATION_SECONDS_UNDER_FAULTS = 100.0


def _typed_path(_: Any, tokens: Sequence[Token]) -> Path:
    return clean_path(tokens[0].value)


TypedPath: TypeAlias = Annotated[Path, Parameter(converter=_typed_path)]
"""The path of a file or a directory, made absolute and clean. Not for programs, which may be bare names."""


def choose_scenario(name: str | None, config: Path | None) -> Scenario:
    """The scenario that was named, or that is in a file; the default without either."""
    if config is None:
        return shipped(name or SHIPPED[0].name)
    if name is not None:
        raise ConfigError("a scenario is either shipped and given by name, or your own and given by --config, not both")
    try:
        text = config.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise ConfigError(f"there is no file {config}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{config} can't be read: {reading_failure(error)}") from error
    return parse_scenario(text, str(config))


def changed(
    scenario: Scenario,
    *,
    clients: int | None = None,
    duration: str | None = None,
    actions: int | None = None,
    mode: str | None = None,
    weights: Sequence[str] = (),
    options: Sequence[str] = (),
) -> Scenario:
    """The scenario with what was typed. Raises ConfigError with every problem at once."""
    if duration is not None and actions is not None:
        raise ConfigError("give either --duration or --actions, not both")
    typed_weights = {
        key: _whole_number(f"--weights {key}", value) for key, value in (pair("--weights", text) for text in weights)
    }
    typed_options = _options_by_action(options)
    document = scenario.model_dump(by_alias=True, exclude_unset=True)
    document["steps"] = [step.as_document() for step in scenario.steps]
    if (duration or actions or typed_weights) and not scenario.is_random:
        if not typed_weights:
            raise ConfigError(f"scenario {scenario.name} is a fixed sequence, so --duration and --actions do not apply")
        document.setdefault("duration", "60s")
    document["weights"] = document.get("weights", {}) | typed_weights
    for key, chosen in typed_options.items():
        merged = document.setdefault("options", {}).setdefault(key, {})
        if "size_bytes" in chosen:
            merged.pop("small_first", None)  # Sizes that were typed are meant from the first step on.
        merged.update(chosen)
    if duration is not None or actions is not None:
        document |= {"duration": duration, "actions": actions}
    if mode is not None:
        document["mode"] = mode
    if clients is not None or mode == "direct":
        document["clients"] = 1 if clients is None else clients
    return _built(document)


def with_parameters(scenario: Scenario, texts: Sequence[str]) -> Scenario:
    """The scenario with the settings of the target that were typed: each text is `layout=shared`."""
    parameters = dict(pair("--parameter", text) for text in texts)
    return scenario.model_copy(update={"parameters": {**scenario.parameters, **parameters}}) if texts else scenario


def keeping(scenario: Scenario, texts: Sequence[str]) -> Scenario:
    """The scenario with the retention policy that was typed, if one was: each text is `daily=7,weekly=4`."""
    if not texts:
        return scenario
    pairs = (pair("--keep", part) for text in texts for part in text.split(","))
    document = scenario.model_dump(by_alias=True, exclude_unset=True)
    document["steps"] = [step.as_document() for step in scenario.steps]
    document["retention"] = {name: _whole_number(f"--keep {name}", value) for name, value in pairs}
    return _built(document)


def _built(document: dict[str, Any]) -> Scenario:
    scenario, problems = build_scenario(document)
    if scenario is None:
        raise ConfigError(*(named(place, words, _as_typed(place)) for place, words in problems))
    return scenario


def lasting(scenario: Scenario, virtual_days: int | None) -> Scenario:
    """The scenario with as many rounds as so many virtual days take, if a number was typed."""
    if virtual_days is None:
        return scenario
    if virtual_days < 1:
        raise ConfigError(f"--virtual-days must be at least 1, not {virtual_days}")
    try:
        return scenario.lasting(virtual_days)
    except ValueError as error:
        raise ConfigError(f"--virtual-days {virtual_days}: {error}") from None


def _options_by_action(options: Sequence[str]) -> dict[str, dict[str, Any]]:
    table: dict[str, dict[str, Any]] = {}
    for name, value in (pair("--option", text) for text in options):
        key, dot, field = name.partition(".")
        if not dot:
            words = "write it as KEY.OPTION=VALUE, such as write-random-files.count=5"
            raise ConfigError(f"--option {name}={value}: {words}")
        table.setdefault(key, {})[field] = read_option(key, field, value)
    return table


def _as_typed(place: Place) -> str:
    """The command line option that sets this place of a scenario; empty if there is none."""
    match place:
        case ("options", key, name, *_):
            return f"--option {key}.{name}"
        case ("options", key):
            return f"--option {key}"
        case ("weights", key, *_):
            return f"--weights {key}"
        case ("retention", *names):
            return " ".join(("--keep", *map(str, names)))
        case ("clients" | "mode" | "duration" | "actions" as name, *_):
            return f"--{name}"
        case _:
            return ""


def pair(option: str, text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals:
        raise ConfigError(f"{option} {text}: write it as NAME=VALUE")
    return name.strip(), value.strip()


def _whole_number(option: str, text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise ConfigError(f"{option}: {text!r} is not a whole number") from None


@overload
def read_typed(option: str, text: str, read: Callable[[str], Value]) -> Value: ...
@overload
def read_typed(option: str, text: str | None, read: Callable[[str], Value]) -> Value | None: ...
def read_typed(option: str, text: str | None, read: Callable[[str], Value]) -> Value | None:
    """The value that was typed; None if nothing was."""
    if text is None:
        return None
    try:
        return read(text)
    except ValueError as error:
        raise ConfigError(f"{option}: {error}") from None


def operation_seconds(text: str | None, *, has_faults: bool) -> float:
    """The time after which an operation is ended. Under faults operations hang, which must not take up the run."""
    usual = OPERATION_SECONDS_UNDER_FAULTS if has_faults else OPERATION_SECONDS
    typed = read_typed("--operation-timeout", text, read_duration)
    return usual if typed is None else typed


def above_zero(option: str, value: float | None) -> float | None:
    """A number that must be above 0, if one was typed."""
    if value is not None and not 0 < value < float("inf"):
        raise ConfigError(f"{option} must be above 0, not {value}")
    return value
