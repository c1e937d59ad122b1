"""Extensions: parts that other installed distributions bring, found by their entry points."""

from __future__ import annotations

from importlib.metadata import entry_points

from snapstorm.errors import HarnessError


def load_extensions(group: str) -> dict[str, object]:
    """What installed distributions declare under this entry-point group, loaded, by name and in the order of names.

    Raises HarnessError for one that can't be loaded, and for a name that is declared twice.
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
