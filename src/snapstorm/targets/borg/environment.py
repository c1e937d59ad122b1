"""What borg sees of the user's environment.

Settings of borg's and of Python's are hidden, and the directories of `XDG_*`, which borg 1.2.4 prefers to those below
`BORG_BASE_DIR` (by its source). Credentials of an SSH agent are hidden as well: clients have keys of their own.
"""

from __future__ import annotations

from snapstorm.targets.user_environment import HiddenVariables

HIDDEN = HiddenVariables(prefixes=("BORG_", "PYTHON", "XDG_", "SSH_", "LC_"), names=("LANG", "LANGUAGE"))
"""The language is set: borg reads the encoding of paths from it."""

inherited_environment = HIDDEN.inherited_environment
