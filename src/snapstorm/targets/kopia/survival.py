"""What of a tree survives a snapshot and a restore with Kopia."""

from __future__ import annotations

import os

from snapstorm.model.capabilities import Capabilities, DirectoryTimes

CAPABILITIES = Capabilities(
    # Another directory than the root gets the newest mtime below it. Every entry counts: files, links, and
    # directories, these with the mtime that they had. An empty directory keeps its own.
    directory_mtime=DirectoryTimes.NEWEST_BELOW,
    symlink_mtime=False,  # Rounded up to microseconds.
    hard_links=False,  # Restored as copies.
    xattrs=False,  # Lost, access control lists and file capabilities as well.
    non_utf8_names=False,  # Become U+FFFD; two such names can collapse into one.
    special_files=False,  # Dropped, with exit status 0.
    sparse=False,  # Only with an option of `restore` that is off by default.
    # A placeholder of a shallow restore; a list of what to leave out; a mark that has its directory left out.
    forbidden_name_suffixes=(".kopia-entry", ".kopiaignore", "CACHEDIR.TAG"),
)
"""What survives `snapshot create` and `restore`, as root; all measured, on 0.19.0 and 0.23.1."""


def capabilities() -> Capabilities:
    """The same, for the user that this process runs as."""
    return CAPABILITIES.model_copy(update={"owner": os.geteuid() == 0})
