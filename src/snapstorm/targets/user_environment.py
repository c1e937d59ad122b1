"""What programs under test see of the user's environment: all of it, except what would change what they do.

A program under test may be a script around the real one (a version manager's shim, `ssh`, `docker`), which needs `HOME`
and whatever else the user has set for it. The real one must behave as in every other environment.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass

_PREFIXES = ("SNAPSTORM_", "AWS_", "AZURE_", "B2_", "GOOGLE_", "OTEL_")
"""Settings of ours; of storage, by which programs take credentials (what they are to have is given to them by name); of
telemetry."""
_NAMES = ("GODEBUG", "GOGC", "GOMAXPROCS", "GOMEMLIMIT", "GOTRACEBACK", "TZ", "PWD", "OLDPWD")
"""Of Go's runtime; the time zone, by which retention counts days; where the user stands, which is not where a command
runs."""


@dataclass(frozen=True)
class HiddenVariables:
    """The variables of the user's that programs of one target are not to see, beside those that none is."""

    prefixes: Sequence[str] = ()
    names: Sequence[str] = ()

    def inherited_environment(self) -> dict[str, str]:
        """The user's environment without them. It may hold secrets of the user's, so it is never recorded."""
        prefixes, names = (*self.prefixes, *_PREFIXES), (*self.names, *_NAMES)
        return {
            name: value for name, value in os.environ.items() if name not in names and not name.startswith(prefixes)
        }

    def bash_that_unsets(self) -> str:
        """A line of bash that takes them away."""
        prefixes, names = (*self.prefixes, *_PREFIXES), (*self.names, *_NAMES)
        return " ".join(["unset", *(f"${{!{prefix}@}}" for prefix in prefixes), *names])
