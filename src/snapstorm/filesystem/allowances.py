"""The entries that a writer may make: those that the target keeps, this platform supports, and this process is allowed
to make."""

from __future__ import annotations

import contextlib
import os
import random
import stat
import struct
from collections.abc import Collection
from dataclasses import dataclass, replace
from pathlib import Path

from snapstorm.filesystem.names import NameRules
from snapstorm.model.capabilities import Capabilities
from snapstorm.model.change_kinds import MetadataKind, Oddity

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

_NEEDS: dict[Oddity, str] = {
    Oddity.EMPTY_DIRECTORY: "empty_directories",
    Oddity.SYMLINK: "symlinks",
    Oddity.DANGLING_SYMLINK: "symlinks",
    Oddity.SPARSE_FILE: "sparse",
    Oddity.ODD_MODE: "mode",
    Oddity.OLD_MTIME: "file_mtime",
    Oddity.NON_UTF8_NAME: "non_utf8_names",
    Oddity.HARD_LINK: "hard_links",
    Oddity.XATTR: "xattrs",
    Oddity.FIFO: "special_files",
    Oddity.DEVICE: "special_files",
    Oddity.SOCKET: "sockets",
}
"""The capability that each oddity needs; without them a restored tree would lack the entry."""

_METADATA_NEEDS: dict[MetadataKind, str] = {
    MetadataKind.MODE: "mode",
    MetadataKind.MTIME: "file_mtime",
    MetadataKind.OWNER: "owner",
    MetadataKind.XATTR: "xattrs",
}

SPECIALS: dict[Oddity, tuple[int, ...]] = {
    Oddity.FIFO: (stat.S_IFIFO,),
    Oddity.DEVICE: (stat.S_IFCHR, stat.S_IFBLK),
    Oddity.SOCKET: (stat.S_IFSOCK,),
}
"""What each kind of special file is to `mknod`."""

DEVICE_MAJORS = range(240, 255)
"""For local and experimental use: a tool that opens such a device by mistake finds none."""

USER_XATTR_NAMES = (b"user.snapstorm.a", b"user.snapstorm.b", b"user.mime_type")
FILE_CAPABILITY = b"security.capability"
ACCESS = b"system.posix_acl_access"
DEFAULT_ACCESS = b"system.posix_acl_default"
XATTR_NAMES = (
    *USER_XATTR_NAMES,
    b"trusted.snapstorm",
    b"security.snapstorm",
    FILE_CAPABILITY,
    ACCESS,
)
"""Attributes that a file may have. A directory may also have `DEFAULT_ACCESS`, and no `FILE_CAPABILITY`."""


def draw_xattr_value(name: bytes, draws: random.Random) -> bytes:
    """A value that the system accepts for this attribute. A small one: large ones do not fit on every file system."""
    if name == FILE_CAPABILITY:
        # Version 2, effective: two pairs of 32 bits, permitted and inheritable.
        return struct.pack("<5I", 0x02000001, draws.getrandbits(32), 0, draws.getrandbits(8), 0)
    if name.startswith(b"system.posix_acl_"):
        # Version 2: (tag, permissions, id) of owner, one user, group, mask and others.
        nobody = 0xFFFFFFFF
        entries = [(0x01, nobody), (0x02, draws.randrange(1, 1 << 16)), (0x04, nobody), (0x10, nobody), (0x20, nobody)]
        packed = [struct.pack("<HHI", tag, draws.randrange(8), who) for tag, who in entries]
        return struct.pack("<I", 2) + b"".join(packed)
    return draws.randbytes(draws.randint(0, 48))


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
    xattr_names: tuple[bytes, ...]
    """Names of extended attributes that can be set and are kept."""
    path_bytes_max: int = PATH_BYTES_MAX

    @property
    def replaces(self) -> bool:
        """Whether replacing an entry shows anything that writing a new one does not."""
        return Oddity.HARD_LINK in self.oddities or Oddity.FIFO in self.oddities

    def without_links(self) -> Allowances:
        """The same without symbolic links."""
        return replace(self, oddities=tuple(oddity for oddity in self.oddities if oddity not in _LINKS))


@dataclass(frozen=True)
class Platform:
    """What this process can do in a directory."""

    is_root: bool
    can_chown: bool
    xattr_names: tuple[bytes, ...]
    """Those of `XATTR_NAMES` that it can set."""
    specials: frozenset[Oddity] = frozenset()
    """Special files that it can make."""


def probe_platform(directory: Path) -> Platform:
    """Find out by trying on the directory itself, and on files beside it. Everything is left as it was."""
    is_root = os.geteuid() == 0
    probe = directory.with_name(f"{directory.name}.probe")
    probe.unlink(missing_ok=True)
    try:
        return Platform(is_root, is_root and _can_chown(directory), _settable(probe), _makeable(probe))
    finally:
        probe.unlink(missing_ok=True)


def allowances(
    capabilities: Capabilities, platform: Platform, oddities: Collection[Oddity] | None = None
) -> Allowances:
    """What to make by default for a target with these capabilities; `oddities` replaces the default choice.

    What this process can't make here is always left out.
    """
    prefixes = capabilities.xattr_prefixes_bytes if capabilities.xattrs or oddities is not None else ()
    xattr_names = tuple(name for name in platform.xattr_names if name.startswith(prefixes))
    impossible = set[Oddity]() if xattr_names else {Oddity.XATTR}
    impossible |= SPECIALS.keys() - platform.specials
    if oddities is None:
        oddities = [oddity for oddity in Oddity if oddity not in _NEEDS or getattr(capabilities, _NEEDS[oddity])]
    can_change = {MetadataKind.OWNER: platform.can_chown, MetadataKind.XATTR: bool(xattr_names)}
    return Allowances(
        oddities=tuple(oddity for oddity in Oddity if oddity in oddities and oddity not in impossible),
        metadata=tuple(
            kind
            for kind, needed in _METADATA_NEEDS.items()
            if getattr(capabilities, needed) and can_change.get(kind, True)
        ),
        names=NameRules(
            min(capabilities.name_bytes_max, 255),
            tuple(suffix.encode() for suffix in capabilities.forbidden_name_suffixes),
        ),
        file_modes=PLAIN_FILE_MODES if capabilities.mode else (0o644,),
        odd_file_modes=_ODD_FILE_MODES + (_ODD_FILE_MODES_OF_ROOT if platform.is_root else ()),
        odd_directory_modes=_ODD_DIRECTORY_MODES + (_ODD_DIRECTORY_MODES_OF_ROOT if platform.is_root else ()),
        xattr_names=xattr_names,
    )


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


def _settable(probe: Path) -> tuple[bytes, ...]:
    if not hasattr(os, "setxattr"):
        return ()
    probe.touch()
    draws = random.Random(0)
    settable: list[bytes] = []
    for name in XATTR_NAMES:
        with contextlib.suppress(OSError):
            os.setxattr(probe, name, draw_xattr_value(name, draws))
            settable.append(name)
    probe.unlink()
    return tuple(settable)


def _makeable(probe: Path) -> frozenset[Oddity]:
    makeable: set[Oddity] = set()
    for oddity, modes in SPECIALS.items():
        with contextlib.suppress(OSError):
            for mode in modes:
                os.mknod(probe, mode | 0o600, os.makedev(DEVICE_MAJORS[0], 0))
                probe.unlink()
            makeable.add(oddity)
    return frozenset(makeable)


OWNERS = ((1000, 1000), (1001, 100), (65534, 65534), (0, 0), (123456, 0))
"""(uid, gid) of the owners to whom root gives files."""
