"""What programs under test see of the user's environment: all of it, except what would change what Kopia does.

A program under test may be a script around Kopia (a version manager's shim, `ssh`, `docker`), which needs `HOME` and
whatever else the user has set for it. Kopia itself must behave as in every other environment.
"""

from __future__ import annotations

import os

_PREFIXES = ("KOPIA_", "SNAPSTORM_", "AWS_", "AZURE_", "B2_", "GOOGLE_", "OTEL_")
"""Settings of Kopia's and of ours; of storage, by which Kopia 0.23.1 takes credentials (what it is to have is given to
it by name); of the telemetry that it is built with."""
_NAMES = ("ROOT_CA_PEM_BASE64", "GODEBUG", "GOGC", "GOMAXPROCS", "GOMEMLIMIT", "GOTRACEBACK", "TZ", "PWD", "OLDPWD")
"""Of S3 storage; of Go's runtime; the time zone, by which retention counts days; where the user stands, which is not
where a command runs."""


def inherited_environment() -> dict[str, str]:
    """The user's environment without these variables. It may hold secrets of the user's, so it is never recorded.

    `HOME` and `XDG_*` stay: Kopia reads them only where no directories for its configuration, cache and logs are given.
    The language stays: Kopia does not read it. Proxies stay: Go uses none for a loopback address.
    """
    return {name: value for name, value in os.environ.items() if name not in _NAMES and not name.startswith(_PREFIXES)}


def bash_that_unsets() -> str:
    """A line of bash that takes these variables away."""
    return " ".join(["unset", *(f"${{!{prefix}@}}" for prefix in _PREFIXES), *_NAMES])
