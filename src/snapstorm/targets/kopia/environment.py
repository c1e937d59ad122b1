"""What Kopia sees of the user's environment.

`HOME` and `XDG_*` stay: Kopia reads them only where no directories for its configuration, cache and logs are given. The
language stays: Kopia does not read it. Proxies stay: Go uses none for a loopback address.
"""

from __future__ import annotations

from snapstorm.targets.user_environment import HiddenVariables

HIDDEN = HiddenVariables(prefixes=("KOPIA_",), names=("ROOT_CA_PEM_BASE64",))
"""Settings of Kopia's, and a certificate of S3 storage."""

inherited_environment = HIDDEN.inherited_environment
bash_that_unsets = HIDDEN.bash_that_unsets
