"""Options that only one target has: declared by it, and shown in the help of a command under its name."""

from __future__ import annotations

import re
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field, fields, make_dataclass, replace
from pathlib import Path
from typing import Annotated

from cyclopts import Group, Parameter

from snapstorm.cli.option_groups import TARGETS_SORT_KEY
from snapstorm.errors import ConfigError, HarnessError
from snapstorm.runtime.paths import clean_path
from snapstorm.targets.plugin import TargetOptions, TargetPlugin
from snapstorm.targets.registry import plugin_named, target_names

_TARGET = "target"


@dataclass(frozen=True)
class OwnOptions:
    """The targets' own options as they were typed. Subclasses have a field for each target."""

    def of(self, target: TargetPlugin) -> TargetOptions:
        """The options of this target. Raises ConfigError if one of another target was typed."""
        chosen = TargetOptions()
        for one in fields(self):
            name, typed = one.metadata[_TARGET], getattr(self, one.name)
            if name == target.name:
                chosen = _with_clean_paths(typed)
            elif others := [option.name for option in fields(typed) if getattr(typed, option.name) != option.default]:
                raise ConfigError(f"{_as_typed(others[0])} is an option of the target {name}, not of {target.name}")
        return chosen


def own_options(command: str) -> type[OwnOptions]:
    """The options of all installed targets for this command, in a group of the help for each.

    A target that can't be loaded has none here; choosing it tells why. Raises HarnessError for an option that several
    targets have.
    """
    plugins: list[TargetPlugin] = []
    for name in target_names():
        with suppress(HarnessError):
            plugins.append(plugin_named(name))
    having = [(plugin, plugin.options[command]) for plugin in plugins if command in plugin.options]
    counts = Counter(option.name for _, options in having for option in fields(options))
    if twice := [name for name, count in counts.items() if count > 1]:
        raise HarnessError(f"several targets have an option {_as_typed(twice[0])}; uninstall all but one of them")
    made = make_dataclass(
        "InstalledOptions",
        [
            (
                re.sub(r"\W", "_", plugin.name),
                Annotated[options, Parameter(name="*", group=_group(plugin), negative="")],
                field(default_factory=options, metadata={_TARGET: plugin.name}),
            )
            for plugin, options in having
        ],
        bases=(OwnOptions,),
        frozen=True,
    )
    made.__module__ = __name__  # Otherwise cyclopts takes it for a built-in type, which has no fields.
    return Parameter(name="*")(made)


def _group(plugin: TargetPlugin) -> Group:
    return Group(f"Target {plugin.name}", help=plugin.sentence, sort_key=TARGETS_SORT_KEY)


def _with_clean_paths(options: TargetOptions) -> TargetOptions:
    paths = {one.name: value for one in fields(options) if isinstance(value := getattr(options, one.name), Path)}
    return replace(options, **{name: clean_path(path) for name, path in paths.items()})


def _as_typed(name: str) -> str:
    return f"--{name.replace('_', '-')}"
