"""What differs between two manifests, as far as a target keeps it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from enum import StrEnum
from typing import NamedTuple

import msgspec

from snapstorm.model.capabilities import Capabilities, DirectoryTimes
from snapstorm.model.manifest import ROOT, SPECIAL_TYPES, Entry, EntryType, Manifest, Xattrs, show_path


class DifferenceKind(StrEnum):
    MISSING = "missing"
    EXTRA = "extra"
    TYPE = "type"
    SIZE = "size"
    CONTENT = "content"
    TARGET = "link target"
    DEVICE_NUMBER = "device number"
    HARD_LINK = "hard link"
    MODE = "mode"
    OWNER = "owner"
    MTIME = "mtime"
    XATTRS = "extended attributes"


class Difference(NamedTuple):
    """One way in which an entry is not what it must be."""

    path: bytes
    kind: DifferenceKind
    expected: str
    actual: str

    def __str__(self) -> str:
        if self.kind is DifferenceKind.MISSING:
            return f"{show_path(self.path)}: missing ({self.expected})"
        if self.kind is DifferenceKind.EXTRA:
            return f"{show_path(self.path)}: was never there ({self.actual})"
        if self.kind is DifferenceKind.HARD_LINK:
            return f"{show_path(self.path)}: is {self.actual}, must be {self.expected}"
        return f"{show_path(self.path)}: {self.kind.value} is {self.actual}, must be {self.expected}"


def differences(expected: Manifest, actual: Manifest, capabilities: Capabilities) -> list[Difference]:
    """Everything in which `actual` is not what `expected` becomes on a target that keeps this, in path order.

    What only one of the manifests records is not compared.
    """
    if not (expected.is_detailed and actual.is_detailed):
        expected, actual = without_details(expected), without_details(actual)
    wanted = as_restored(expected, capabilities)
    links = _link_differences(wanted, actual) if capabilities.hard_links else {}
    result: list[Difference] = []
    pairs: Iterable[tuple[Entry | None, Entry | None]] = zip(wanted.entries, actual.entries, strict=False)
    if [entry.path for entry in wanted.entries] != [entry.path for entry in actual.entries]:
        paths = sorted(wanted.by_path.keys() | actual.by_path.keys())
        pairs = ((wanted.by_path.get(path), actual.by_path.get(path)) for path in paths)
    for want, have in pairs:
        if want is None:
            assert have is not None
            result.append(Difference(have.path, DifferenceKind.EXTRA, "", _show_entry(have)))
        elif have is None:
            result.append(Difference(want.path, DifferenceKind.MISSING, _show_entry(want), ""))
        else:
            if not _is_same(want, have):
                result.extend(_entry_differences(want, have, capabilities))
            if want.path in links:
                result.append(links[want.path])
    return result


def _is_same(want: Entry, have: Entry) -> bool:
    """Whether nothing at all differs, as is nearly always so: quicker to tell than what does."""
    return (
        want.digest == have.digest
        and want.mtime_ns == have.mtime_ns
        and want.size == have.size
        and want.type is have.type
        and want.mode == have.mode
        and want.uid == have.uid
        and want.gid == have.gid
        and want.target == have.target
        and want.xattrs == have.xattrs
    )


def _link_differences(wanted: Manifest, actual: Manifest) -> Mapping[bytes, Difference]:
    """By path, files that are not one with those that they must be one with. Missing and extra files don't count."""
    if not (wanted.has_hard_links or actual.has_hard_links):
        return {}
    found: dict[bytes, Difference] = {}
    first_wanted: dict[bytes, bytes] = {}
    first_actual: dict[bytes, bytes] = {}
    for want in wanted.entries:
        path, have = want.path, actual.by_path.get(want.path)
        if want.type is not EntryType.FILE or have is None or have.type is not EntryType.FILE:
            continue
        must_be = first_wanted.setdefault(want.target, path) if want.target else path
        is_one_with = first_actual.setdefault(have.target, path) if have.target else path
        if must_be != is_one_with:
            expected, found_to_be = (
                "a file of its own" if other == path else f"one file with {show_path(other)}"
                for other in (must_be, is_one_with)
            )
            found[path] = Difference(path, DifferenceKind.HARD_LINK, expected, found_to_be)
    return found


def as_restored(expected: Manifest, capabilities: Capabilities) -> Manifest:
    """What a tree must look like after a snapshot and a restore: what the target is known to drop is dropped, and
    times that it computes are computed."""
    dropped = set[EntryType]()
    if not capabilities.special_files:
        dropped |= SPECIAL_TYPES
    if not capabilities.sockets:
        dropped.add(EntryType.SOCKET)
    if not capabilities.symlinks:
        dropped.add(EntryType.SYMLINK)
    kept = expected
    if any(entry.type in dropped for entry in expected.entries):
        kept = Manifest(tuple(entry for entry in expected.entries if entry.type not in dropped), expected.is_detailed)
    if capabilities.directory_mtime is DirectoryTimes.NEWEST_BELOW:
        return with_newest_times(kept)
    return kept


def with_newest_times(manifest: Manifest) -> Manifest:
    """Every non-empty directory but the root gets the newest mtime of the entries below it (see `DirectoryTimes`).

    Directories below count with the mtime that they had, not with the one that they get (measured on Kopia 0.19.0 and
    0.23.1, and so in its source: `DirManifestBuilder.AddEntry`).
    """
    newest: dict[bytes, int] = {}
    result: list[Entry] = []
    # Reverse path order visits everything below a directory before the directory itself.
    for entry in reversed(manifest.entries):
        newest_below = newest.get(entry.path)
        if entry.path == ROOT:
            result.append(entry)
            continue
        result.append(entry if newest_below is None else msgspec.structs.replace(entry, mtime_ns=newest_below))
        parent = entry.path.rpartition(b"/")[0]
        times = (entry.mtime_ns, newest_below, newest.get(parent))
        newest[parent] = max(time for time in times if time is not None)
    return Manifest(tuple(reversed(result)), manifest.is_detailed)


def _entry_differences(want: Entry, have: Entry, capabilities: Capabilities) -> Iterator[Difference]:
    def differs(kind: DifferenceKind, expected: object, actual: object) -> Difference:
        return Difference(want.path, kind, str(expected), str(actual))

    if want.type is not have.type:
        yield differs(DifferenceKind.TYPE, want.type.value, have.type.value)
        return
    if want.size != have.size:
        yield differs(DifferenceKind.SIZE, f"{want.size:,} bytes", f"{have.size:,} bytes")
    elif want.digest != have.digest:
        yield differs(DifferenceKind.CONTENT, want.digest.hex()[:16], have.digest.hex()[:16])
    if want.target != have.target and want.type is not EntryType.FILE:
        kind = DifferenceKind.TARGET if want.type is EntryType.SYMLINK else DifferenceKind.DEVICE_NUMBER
        yield differs(kind, show_path(want.target), show_path(have.target))
    # A symbolic link has no mode of its own on Linux.
    if capabilities.mode and want.type is not EntryType.SYMLINK and want.mode != have.mode:
        yield differs(DifferenceKind.MODE, f"{want.mode:04o}", f"{have.mode:04o}")
    if capabilities.owner and (want.uid, want.gid) != (have.uid, have.gid):
        yield differs(DifferenceKind.OWNER, f"{want.uid}:{want.gid}", f"{have.uid}:{have.gid}")
    if want.mtime_ns != have.mtime_ns and _keeps_mtime(want.type, capabilities):
        yield differs(DifferenceKind.MTIME, f"{want.mtime_ns} ns", f"{have.mtime_ns} ns")
    must_be, are = _kept_xattrs(want.xattrs, capabilities), _kept_xattrs(have.xattrs, capabilities)
    if must_be != are:
        yield differs(DifferenceKind.XATTRS, _show_xattrs(must_be, are), _show_xattrs(are, must_be))


def comparable(manifest: Manifest, capabilities: Capabilities) -> Manifest:
    """The tree with everything blanked that `differences` does not compare: two trees without differences become equal.

    The expected one must have gone through `as_restored` before.
    """
    keeps_mtime = {kind: _keeps_mtime(kind, capabilities) for kind in EntryType}
    entries: list[Entry] = []
    for entry in manifest.entries:
        has_mode = capabilities.mode and entry.type is not EntryType.SYMLINK
        has_mtime = keeps_mtime[entry.type]
        has_target = capabilities.hard_links or not entry.target or entry.type is not EntryType.FILE
        xattrs = _kept_xattrs(entry.xattrs, capabilities) if entry.xattrs else ()
        is_whole = has_mode and has_mtime and has_target and capabilities.owner
        if not is_whole or xattrs != entry.xattrs or entry.segments:
            entry = msgspec.structs.replace(  # noqa: PLW2901
                entry,
                mode=entry.mode if has_mode else 0,
                uid=entry.uid if capabilities.owner else 0,
                gid=entry.gid if capabilities.owner else 0,
                mtime_ns=entry.mtime_ns if has_mtime else 0,
                target=entry.target if has_target else b"",
                xattrs=xattrs,
                segments=(),
            )
        entries.append(entry)
    return Manifest(tuple(entries), manifest.is_detailed)


def without_details(manifest: Manifest) -> Manifest:
    """What an older version would have recorded of the same tree."""
    if not manifest.is_detailed:
        return manifest
    return Manifest(tuple(map(_without_details, manifest.entries)))


def _without_details(entry: Entry) -> Entry:
    kind, target, xattrs = entry.type, entry.target, entry.xattrs
    if kind is EntryType.SYMLINK:
        xattrs = ()
    elif kind is EntryType.FILE or kind is EntryType.DIRECTORY:
        target, xattrs = b"", tuple(xattr for xattr in xattrs if xattr[0].startswith(b"user."))
    else:
        kind, target, xattrs = EntryType.SPECIAL, b"", ()
    return msgspec.structs.replace(entry, type=kind, target=target, xattrs=xattrs)


def _kept_xattrs(xattrs: Xattrs, capabilities: Capabilities) -> Xattrs:
    prefixes = capabilities.xattr_prefixes_bytes if capabilities.xattrs else ()
    return tuple(xattr for xattr in xattrs if xattr[0].startswith(prefixes))


def _keeps_mtime(kind: EntryType, capabilities: Capabilities) -> bool:
    if kind is EntryType.DIRECTORY:
        return capabilities.directory_mtime is not DirectoryTimes.NOT_KEPT
    return capabilities.symlink_mtime if kind is EntryType.SYMLINK else capabilities.file_mtime


def _show_xattrs(xattrs: Xattrs, others: Xattrs) -> str:
    """Those that are not among the others, with the beginnings of their values."""
    shown = [f"{show_path(name)}={value[:16].hex()}" for name, value in xattrs if (name, value) not in others]
    return ", ".join(shown) or "none"


def _show_entry(entry: Entry) -> str:
    match entry.type:
        case EntryType.FILE:
            return f"file of {entry.size:,} bytes"
        case EntryType.SYMLINK:
            return f"link to {show_path(entry.target)}"
        case EntryType.CHARACTER_DEVICE | EntryType.BLOCK_DEVICE:
            return f"{entry.type.value} {show_path(entry.target)}"
        case _:
            return entry.type.value
