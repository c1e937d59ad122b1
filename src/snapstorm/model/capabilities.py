"""Capabilities: what of a tree survives a snapshot and a restore on a given target, as this process may judge it.

The table decides two things: what the `FileWriter` makes by default, and what a comparison holds against the target.
An expectation keeps the table under which it was made; a later, narrower comparison (not as root, say) is counted and
printed, and erases nothing.
"""

from __future__ import annotations

import functools
from enum import StrEnum
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field


class DirectoryTimes(StrEnum):
    """What becomes of a directory's mtime when it is restored."""

    EXACT = "exact"
    NEWEST_BELOW = "newest-below"
    """The root's is exact; another non-empty directory gets the newest mtime below it (measured on Kopia)."""
    NOT_KEPT = "not-kept"


class Capabilities(BaseModel):
    """One row for each property of a tree. Defaults are what a good backup system keeps.

    A row that was added later has the default that tables in older ledgers, which lack it, were made under.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    mode: bool = Field(default=True, description="permission bits, setuid, setgid and sticky included")
    owner: bool = Field(default=True, description="user and group ids (restoring them needs root)")
    file_mtime: bool = Field(default=True, description="modification time of files, to the nanosecond")
    directory_mtime: DirectoryTimes = Field(
        default=DirectoryTimes.EXACT, description="modification time of directories"
    )
    symlink_mtime: bool = Field(default=True, description="modification time of symbolic links, to the nanosecond")
    symlinks: bool = Field(default=True, description="symbolic links, dangling ones too, never followed")
    empty_directories: bool = Field(default=True, description="directories without entries")
    hard_links: bool = Field(default=True, description="two names of one file stay one file")
    xattrs: bool = Field(default=True, description="extended attributes")
    xattr_prefixes: Annotated[tuple[str, ...], AfterValidator(lambda prefixes: tuple(sorted(prefixes)))] = Field(
        default=("user.",), description="how the names of those begin"
    )
    non_utf8_names: bool = Field(default=True, description="names that are not valid UTF-8")
    special_files: bool = Field(default=True, description="FIFOs and devices, with their numbers")
    # Most tools leave them out: restic 0.18.1 and borg 1.4.5 do, with exit status 0 (measured).
    sockets: bool = Field(default=False, description="Unix sockets")
    sparse: bool = Field(default=True, description="holes stay holes (their content is compared in any case)")
    name_bytes_max: int = Field(default=255, description="longest file name, in bytes")
    forbidden_name_suffixes: tuple[str, ...] = Field(default=(), description="file names that the target reserves")

    @functools.cached_property
    def as_json(self) -> str:
        """The table as it is kept beside each snapshot."""
        return self.model_dump_json()

    @functools.cached_property
    def xattr_prefixes_bytes(self) -> tuple[bytes, ...]:
        return tuple(prefix.encode() for prefix in self.xattr_prefixes)

    def narrowed_to(self, other: Capabilities) -> Capabilities:
        """What both tables promise: the widest comparison that is fair under either."""
        mine, theirs = self.model_dump(), other.model_dump()
        both: dict[str, Any] = {name: value and theirs[name] for name, value in mine.items() if isinstance(value, bool)}
        both["directory_mtime"] = (
            self.directory_mtime if self.directory_mtime == other.directory_mtime else DirectoryTimes.NOT_KEPT
        )
        both["xattr_prefixes"] = tuple(
            {
                prefix
                for one, another in ((self, other), (other, self))
                for prefix in one.xattr_prefixes
                if prefix.startswith(another.xattr_prefixes)
            }
        )
        both["name_bytes_max"] = min(self.name_bytes_max, other.name_bytes_max)
        both["forbidden_name_suffixes"] = tuple(sorted({*self.forbidden_name_suffixes, *other.forbidden_name_suffixes}))
        return Capabilities(**both)
