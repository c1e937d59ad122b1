"""Tests that need the pinned borg. It is compiled, and where headers are missing it can't be: then they say so."""

from __future__ import annotations

from pathlib import Path

from tests.needed import Needed

from snapstorm.targets.borg.discovery import PINNED_VERSION

_TOOLS = Path(__file__).parents[1] / ".tools"


def why_not_built() -> str | None:
    """Why `make` could not build the pinned borg; None where it could, or has not tried: then its tests fail."""
    reason = _TOOLS / f"borg-{PINNED_VERSION}.missing"
    if (_TOOLS / "bin" / f"borg-{PINNED_VERSION}").exists() or not reason.exists():
        return None
    return reason.read_text().strip()


BORG = Needed("needs_borg", "borg could not be built: ", "TESTS OF THE TARGET BORG", why_not_built)
