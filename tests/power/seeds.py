"""Seeds of honest runs: a few by default, the others in the long tests."""

from __future__ import annotations

import pytest


def seeds(few: int, many: int) -> list[object]:
    """From 0 on; all but the first `few` are long."""
    return [pytest.param(seed, marks=() if seed < few else pytest.mark.long) for seed in range(many)]
