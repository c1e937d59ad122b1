"""Actions of other distributions: modules that define actions and what performs them."""

from __future__ import annotations

import functools

from snapstorm.runtime.extensions import load_extensions

EXTENSIONS = "snapstorm.actions"
"""The entry-point group of such modules; loading one registers what it defines."""


@functools.cache
def load_actions() -> None:
    """Load them, once in a process. Raises HarnessError for one that can't be loaded."""
    load_extensions(EXTENSIONS)
