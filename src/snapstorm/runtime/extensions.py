"""Parts that register themselves when they are loaded: those of a package, and those of other distributions."""

from __future__ import annotations

import importlib
import pkgutil
from importlib.metadata import entry_points
from types import ModuleType

from snapstorm.errors import HarnessError


def load_modules(package: ModuleType) -> None:
    """Load every module of a package, in alphabetical order."""
    for module in pkgutil.iter_modules(package.__path__, f"{package.__name__}."):
        importlib.import_module(module.name)


def load_extensions(group: str) -> dict[str, object]:
    """The loaded objects that installed distributions declare under this entry-point group, by name, sorted by name.

    Raises HarnessError if one can't be loaded, or if a name is declared twice.
    """
    found: dict[str, object] = {}
    for declared in sorted(entry_points(group=group), key=lambda point: point.name):
        brought_by = declared.dist.name if declared.dist is not None else "?"
        if declared.name in found:
            raise HarnessError(f"{group}: {declared.name} is declared twice, the second time by {brought_by}")
        try:
            found[declared.name] = declared.load()
        except Exception as error:
            words = " ".join(f"{type(error).__name__}: {error}".split())
            raise HarnessError(
                f"{declared.name} ({group}) of the distribution {brought_by} can't be loaded ({words}): "
                "repair it or uninstall it"
            ) from error
    return found
