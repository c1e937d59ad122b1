"""What restic and rest-server see of the user's environment. `HOME` and `XDG_*` stay: restic reads them only where no
directory for its cache is given."""

from __future__ import annotations

from snapstorm.targets.user_environment import HiddenVariables

HIDDEN = HiddenVariables(prefixes=("RESTIC_", "RCLONE_", "OS_", "ST_", "SWIFT_"))
"""Settings of restic's, and of storage that it knows."""
