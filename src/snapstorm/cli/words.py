"""What was typed, as values: the scenario with what the command line changes in it, durations, sizes, places.

Each function raises ConfigError, one line for each thing that is wrong.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, TypeAlias

from cyclopts import Parameter, Token

from snapstorm.errors import ConfigError, reading_failure
from snapstorm.model.location import Storage, read_storage
from snapstorm.runtime.paths import clean_path
from snapstorm.scenario.problems import Place, named
from snapstorm.scenario.quantities import read_bytes, read_duration
from snapstorm.scenario.scenarios import Scenario, build_scenario, parse_scenario, read_option
from snapstorm.scenario.shipped_scenarios import SHIPPED, shipped

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


def changes_of(
    clients: int | None,
    duration: str | None,
    actions: int | None,
    mode: str | None,
    weights: list[str] | None,
    options: list[str] | None,
) -> dict[str, Any]:
    """What the command line changes in the scenario, as a document like the scenario's own."""
    if duration is not None and actions is not None:
        raise ConfigError("give either --duration or --actions, not both")
    changes: dict[str, Any] = {"clients": clients, "mode": mode}
    if duration is not None:
        changes |= {"duration": duration, "actions": None}
    if actions is not None:
        changes |= {"duration": None, "actions": actions}
    if mode == "direct" and clients is None:
        changes["clients"] = 1
    pairs = [_pair("--weights", text) for text in weights or ()]
    changes["weights"] = {key: _whole_number(f"--weights {key}", value) for key, value in pairs}
    table: dict[str, dict[str, Any]] = {}
    for name, value in (_pair("--option", text) for text in options or ()):
        key, dot, field = name.partition(".")
        if not dot:
            raise ConfigError(
                f"--option {name}={value}: write it as KEY.OPTION=VALUE, such as write-random-files.count=5"
            )
        table.setdefault(key, {})[field] = read_option(key, field, value)
    changes["options"] = table
    return changes


def changed(scenario: Scenario, changes: dict[str, Any]) -> Scenario:
    """The scenario with what the command line changes. Raises ConfigError with every problem at once."""
    document = scenario.model_dump(by_alias=True, exclude_unset=True)
    document["steps"] = [step.as_document() for step in scenario.steps]
    if (changes.get("duration") or changes.get("actions") or changes["weights"]) and not scenario.is_random:
        if not changes["weights"]:
            raise ConfigError(f"scenario {scenario.name} is a fixed sequence, so --duration and --actions do not apply")
        document.setdefault("duration", "60s")
    document["weights"] = {**document.get("weights", {}), **changes.pop("weights")}
    for key, options in changes.pop("options").items():
        merged = document.setdefault("options", {}).setdefault(key, {})
        if "size_bytes" in options:
            merged.pop("small_first", None)  # Sizes that were typed are meant from the first step on.
        merged.update(options)
    for name, value in changes.items():
        if value is not None or name in ("duration", "actions"):
            document[name] = value
    changed, problems = build_scenario(document)
    if changed is None:
        raise ConfigError(*(named(place, words, _as_typed(place)) for place, words in problems))
    return changed


def _as_typed(place: Place) -> str:
    """The command line option that sets this place of a scenario; empty if there is none."""
    match place:
        case ("options", key, name, *_):
            return f"--option {key}.{name}"
        case ("options", key):
            return f"--option {key}"
        case ("weights", key, *_):
            return f"--weights {key}"
        case ("clients" | "mode" | "duration" | "actions" as name, *_):
            return f"--{name}"
        case _:
            return ""


def _pair(option: str, text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals:
        raise ConfigError(f"{option} {text}: write it as NAME=VALUE")
    return name.strip(), value.strip()


def _whole_number(option: str, text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise ConfigError(f"{option}: {text!r} is not a whole number") from None


def read_seconds(option: str, text: str) -> float:
    """A duration, in seconds."""
    try:
        return read_duration(text)
    except ValueError as error:
        raise ConfigError(f"{option}: {error}") from None


def operation_seconds(text: str | None, *, has_faults: bool) -> float:
    """Under faults operations hang, which must not take up the run."""
    if text is None:
        return OPERATION_SECONDS_UNDER_FAULTS if has_faults else OPERATION_SECONDS
    return read_seconds("--operation-timeout", text)


def read_size(option: str, text: str | None) -> int | None:
    """A number of bytes; None if nothing was typed."""
    if text is None:
        return None
    try:
        return read_bytes(text)
    except ValueError as error:
        raise ConfigError(f"{option}: {error}") from None


def read_place(option: str, text: str | None) -> Storage | None:
    """Where a repository is stored; None if nothing was typed."""
    if text is None:
        return None
    try:
        return read_storage(text)
    except ValueError as error:
        raise ConfigError(f"{option}: {error}") from None


def above_zero(option: str, value: float | None) -> float | None:
    """A number that must be above 0, if one was typed."""
    if value is not None and not 0 < value < float("inf"):
        raise ConfigError(f"{option} must be above 0, not {value}")
    return value
