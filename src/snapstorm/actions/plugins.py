"""Actions of other distributions: found through the entry points of the group `snapstorm.actions`.

Each names a module that defines actions and what performs them; loading it registers both.
"""

from __future__ import annotations

import functools
from importlib.metadata import entry_points

from snapstorm.errors import ConfigError

GROUP = "snapstorm.actions"


@functools.cache
def load_actions() -> None:
    """Load them, once in a process. Raises ConfigError for one that can't be loaded."""
    for found in entry_points(group=GROUP):
        try:
            found.load()
        except Exception as error:
            raise ConfigError(f"the actions of {found.value} can't be loaded: {error}") from error
