"""Trees of files as lines of bash that make them, and words as bash reads them."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator

from snapstorm.model.content import run_bytes, runs
from snapstorm.model.manifest import ROOT, Entry, EntryType, Manifest, show_path

EMBEDDED_BYTES_MAX = 256 << 10
"""Contents of more than this are not in the script: random bytes of the same number are written instead."""


_USERS_XATTRS = b"user."


class Trees:
    """Writes trees as lines of one script."""

    def __init__(self, *, is_whole: bool = False) -> None:
        """`is_whole`: with FIFOs and devices, hard links, and attributes of users."""
        self._is_whole = is_whole
        self._embedded_bytes = 0
        self._contents: set[str] = set()
        """Those that the script has made."""

    def lines(self, root: str, manifest: Manifest) -> Iterator[str]:
        """Make the tree anew at `root`, a word of bash."""
        yield f"wipe {root}; mkdir -p {root}"
        entries = [entry for entry in manifest.entries if entry.path != ROOT]
        for entry in entries:
            yield from self._entry(root, f"{root}/{bash_bytes(entry.path)}", entry)
        # Last and the deepest first: making what is in a directory changes its time.
        for entry in (*reversed(entries), *(entry for entry in manifest.entries if entry.path == ROOT)):
            place = root if entry.path == ROOT else f"{root}/{bash_bytes(entry.path)}"
            if entry.type in (EntryType.DIRECTORY, EntryType.FILE):
                seconds = f"{entry.mtime_ns // 10**9}.{entry.mtime_ns % 10**9:09}"
                yield f"chmod {entry.mode:o} {place}; touch -d @{seconds} {place}"

    def _entry(self, root: str, place: str, entry: Entry) -> Iterator[str]:
        if self._is_whole and entry.type is EntryType.FILE and entry.target not in (b"", entry.path):
            yield f"ln {root}/{bash_bytes(entry.target)} {place}"
            return
        yield from self._new_entry(place, entry)
        if self._is_whole and entry.type in (EntryType.DIRECTORY, EntryType.FILE):
            for name, value in entry.xattrs:
                if name.startswith(_USERS_XATTRS):
                    yield f"set_xattr {place} {bash_bytes(name)} {value.hex() or chr(39) * 2}"

    def _new_entry(self, place: str, entry: Entry) -> Iterator[str]:
        if entry.type is EntryType.DIRECTORY:
            yield f"mkdir -p {place}"
        elif entry.type is EntryType.SYMLINK:
            yield f"ln -s -- {bash_bytes(entry.target)} {place}"
        elif entry.type is EntryType.FILE:
            yield from self._content(place, entry)
        elif self._is_whole and entry.type is EntryType.FIFO:
            yield f"mkfifo {place}"
        else:
            yield f"# {show_path(entry.path)}: a FIFO, a socket or a device, left out"

    def _content(self, place: str, entry: Entry) -> Iterator[str]:
        if entry.size == 0:
            yield f": >{place}"
            return
        kept = f'"$BED"/contents/{entry.digest.hex()[:32]}'
        # Once only, also where others stand for its bytes: by size and time Kopia knows a file that has not changed.
        if kept not in self._contents:
            self._contents.add(kept)
            yield f"{self._bytes(entry)} >{kept}"
        yield f"cat {kept} >{place}"

    def _bytes(self, entry: Entry) -> str:
        """A command that writes them."""
        self._embedded_bytes += entry.size
        if not entry.segments or self._embedded_bytes > EMBEDDED_BYTES_MAX:
            return f"head -c {entry.size} /dev/urandom"
        content = b"".join(bytes(run_bytes(run)) for run in runs(entry.segments, entry.size))
        return f"base64 -d <<<{base64.b64encode(content).decode()}"


_PLAIN = re.compile(rb"[A-Za-z0-9_./=:@%+,-]+")


def bash_word(word: str) -> str:
    """A word as bash reads it."""
    return bash_bytes(word.encode("utf-8", "surrogateescape"))


def bash_bytes(word: bytes) -> str:
    """The same, whatever bytes it has."""
    if _PLAIN.fullmatch(word):
        return word.decode()
    if word.isascii() and word.decode().isprintable():
        return "'" + word.decode().replace("'", "'\\''") + "'"
    return "$'" + "".join(_escaped(byte) for byte in word) + "'"


def _escaped(byte: int) -> str:
    char = chr(byte)
    return char if char.isascii() and char.isprintable() and char not in "'\\" else f"\\x{byte:02x}"
