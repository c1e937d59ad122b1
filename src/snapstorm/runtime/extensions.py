"""Extensions: parts that other installed distributions provide through entry points."""

from __future__ import annotations

from importlib.metadata import entry_points

from snapstorm.errors import HarnessError


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
