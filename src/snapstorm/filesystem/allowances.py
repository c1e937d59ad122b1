"""The entries that a writer may make: those that the target keeps, this platform supports, and this process is allowed
to make."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Collection
from dataclasses import dataclass, replace
from pathlib import Path

from snapstorm.filesystem.names import NameRules
from snapstorm.model.actions import MetadataKind, Oddity
from snapstorm.model.capabilities import Capabilities

PATH_BYTES_MAX = 3000
"""Longest path relative to the data directory. Leaves over 1,000 bytes for the paths of the data directory and of
restores: tools that work with absolute paths fail beyond 4,096."""

PLAIN_FILE_MODES = (0o644, 0o600, 0o640, 0o664, 0o755)
PLAIN_DIRECTORY_MODES = (0o755, 0o700, 0o750)

# Without root's rights, a backup could not read a file that its owner may not read, nor could we delete in such a
# directory.
_ODD_FILE_MODES = (0o400, 0o444, 0o500, 0o777, 0o666, 0o4755, 0o2755, 0o6711, 0o1644, 0o7777)
_ODD_FILE_MODES_OF_ROOT = (0o000, 0o001, 0o111, 0o222, 0o4000)
_ODD_DIRECTORY_MODES = (0o711, 0o777, 0o1777, 0o2755, 0o3770)
_ODD_DIRECTORY_MODES_OF_ROOT = (0o000, 0o111, 0o500, 0o555, 0o4755)

_NEEDS: dict[Oddity, tuple[str, ...]] = {
    Oddity.EMPTY_DIRECTORY: ("empty_directories",),
    Oddity.SYMLINK: ("symlinks",),
    Oddity.DANGLING_SYMLINK: ("symlinks",),
    Oddity.SPARSE_FILE: ("sparse",),
    Oddity.ODD_MODE: ("mode",),
    Oddity.OLD_MTIME: ("file_mtime",),
    Oddity.NON_UTF8_NAME: ("non_utf8_names",),
    Oddity.HARD_LINK: ("hard_links",),
    Oddity.XATTR: ("xattrs",),
}
"""The capabilities that each oddity needs; without them a restored tree would lack the entry."""

_METADATA_NEEDS: dict[MetadataKind, str] = {
    MetadataKind.MODE: "mode",
    MetadataKind.MTIME: "file_mtime",
    MetadataKind.OWNER: "owner",
    MetadataKind.XATTR: "xattrs",
}

_LINKS = frozenset({Oddity.SYMLINK, Oddity.DANGLING_SYMLINK})


@dataclass(frozen=True)
class Allowances:
    """What one writer may make. All tuples have a fixed order, because entries are drawn from them."""

    oddities: tuple[Oddity, ...]
    metadata: tuple[MetadataKind, ...]
    names: NameRules
    file_modes: tuple[int, ...]
    odd_file_modes: tuple[int, ...]
    odd_directory_modes: tuple[int, ...]
    path_bytes_max: int = PATH_BYTES_MAX

    def without_links(self) -> Allowances:
        """The same without symbolic links."""
        return replace(self, oddities=tuple(oddity for oddity in self.oddities if oddity not in _LINKS))


@dataclass(frozen=True)
class Platform:
    """What this process can do in a directory."""

    is_root: bool
    can_chown: bool
    has_xattrs: bool


def probe_platform(directory: Path) -> Platform:
    """Find out by trying on the directory itself, which is left as it was."""
    is_root = os.geteuid() == 0
    return Platform(is_root, is_root and _can_chown(directory), _has_xattrs(directory))


def allowances(
    capabilities: Capabilities, platform: Platform, oddities: Collection[Oddity] | None = None
) -> Allowances:
    """What to make by default for a target with these capabilities; `oddities` replaces the default choice.

    Extended attributes are always left out if the file system has none.
    """
    wanted = [oddity for oddity in Oddity if _is_kept(oddity, capabilities)] if oddities is None else oddities
    return Allowances(
        oddities=tuple(oddity for oddity in Oddity if oddity in wanted and _is_possible(oddity, platform)),
        metadata=tuple(
            kind
            for kind, needed in _METADATA_NEEDS.items()
            if getattr(capabilities, needed) and _is_changeable(kind, platform)
        ),
        names=NameRules(
            min(capabilities.name_bytes_max, 255),
            tuple(suffix.encode() for suffix in capabilities.forbidden_name_suffixes),
        ),
        file_modes=PLAIN_FILE_MODES if capabilities.mode else (0o644,),
        odd_file_modes=_ODD_FILE_MODES + (_ODD_FILE_MODES_OF_ROOT if platform.is_root else ()),
        odd_directory_modes=_ODD_DIRECTORY_MODES + (_ODD_DIRECTORY_MODES_OF_ROOT if platform.is_root else ()),
    )


def _is_kept(oddity: Oddity, capabilities: Capabilities) -> bool:
    return all(getattr(capabilities, needed) for needed in _NEEDS.get(oddity, ()))


def _is_possible(oddity: Oddity, platform: Platform) -> bool:
    return platform.has_xattrs or oddity is not Oddity.XATTR


def _is_changeable(kind: MetadataKind, platform: Platform) -> bool:
    return {MetadataKind.OWNER: platform.can_chown, MetadataKind.XATTR: platform.has_xattrs}.get(kind, True)


def _can_chown(directory: Path) -> bool:
    """Whether a file can be given to another owner. The root of a user namespace may own all files and yet be unable
    to."""
    status = os.stat(directory)
    with contextlib.suppress(OSError):
        os.chown(directory, OWNERS[0][0], OWNERS[0][1])
        os.chown(directory, status.st_uid, status.st_gid)
        os.chmod(directory, status.st_mode & 0o7777)
        return True
    return False


def _has_xattrs(directory: Path) -> bool:
    if not hasattr(os, "setxattr"):
        return False
    with contextlib.suppress(OSError):
        os.setxattr(directory, b"user.snapstorm.probe", b"1")
        os.removexattr(directory, b"user.snapstorm.probe")
        return True
    return False


OWNERS = ((1000, 1000), (1001, 100), (65534, 65534), (0, 0), (123456, 0))
"""(uid, gid) of the owners to whom root gives files."""
