"""Wrappers around a real program that change what it has restored, for every target that keeps whole trees."""

from __future__ import annotations

import textwrap
from dataclasses import dataclass
from typing import NamedTuple

from snapstorm.model.guarantees import Guarantee
from snapstorm.model.work import WorkKind
from snapstorm.targets.wrapper_programs import WrapperDefect

HELPERS = r'''
import stat


def is_plain(path):
    return path.is_file() and not path.is_symlink() and path.stat().st_size > 0


def found_below(directory, matches):
    """The first file below a directory, in the order of paths, that matches."""
    for path in sorted(pathlib.Path(directory).rglob("*")):
        if matches(path):
            return path
    return None


def touch_up(directory, matches, change):
    """Hand a restore to this directory on, change one of the files that it has brought back, and end as it did."""
    done = run(argv)
    path = found_below(directory, matches) if done.returncode == 0 else None
    if path is not None and count("asked") % 2 == 0:
        strike()
        status = path.lstat()
        parent, times = path.parent, path.parent.stat()
        change(path)
        if path.exists() and not path.is_symlink():
            os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
        os.utime(parent, ns=(times.st_atime_ns, times.st_mtime_ns))
    end(done)
'''


class RestoredWrong(NamedTuple):
    """How a file that was restored is changed."""

    sentence: str
    matches: str
    """Python: whether it is such a file, by its `path`."""
    change: str
    """Python: changes the file at `path`."""


FLIPPED_BYTE = RestoredWrong(
    "One byte of a file is another one.",
    "is_plain(path)",
    """
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    """,
)
SPLIT_NAMES = RestoredWrong(
    "A name of a file becomes a file of its own.",
    "is_plain(path) and path.stat().st_nlink > 1",
    """
    import shutil

    new = path.with_name("new")
    shutil.copy2(path, new)
    status = path.stat()
    os.chown(new, status.st_uid, status.st_gid)
    os.chmod(new, stat.S_IMODE(status.st_mode))
    new.replace(path)
    """,
)
LOST_XATTR = RestoredWrong(
    "An extended attribute is lost.",
    "not path.is_symlink() and any(name.startswith('user.') for name in os.listxattr(path))",
    """
    os.removexattr(path, next(name for name in os.listxattr(path) if name.startswith("user.")))
    """,
)
DROPPED_FIFO = RestoredWrong("A FIFO is left out.", "stat.S_ISFIFO(path.lstat().st_mode)", "path.unlink()")
CUT_TIME = RestoredWrong(
    "The time of a link is cut to seconds.",
    "path.is_symlink()",
    """
    seconds = path.lstat().st_mtime_ns // 1_000_000_000
    os.utime(path, ns=(seconds * 1_000_000_000,) * 2, follow_symlinks=False)
    """,
)
MISSING_FILE = RestoredWrong("A file is missing, with exit status 0.", "is_plain(path)", "path.unlink()")
LONGER_FILE = RestoredWrong(
    "A file has a zero byte more.",
    "is_plain(path)",
    """
    with path.open("ab") as file:
        file.write(bytes(1))
    """,
)
CHANGED_MODE = RestoredWrong(
    "A file may be executed that could not be, or the other way round.",
    "is_plain(path)",
    "path.chmod(stat.S_IMODE(path.stat().st_mode) ^ 0o100)",
)
LOST_LINK = RestoredWrong("A link is left out.", "path.is_symlink()", "path.unlink()")
SECOND_FILE = RestoredWrong(
    "A file comes back a second time, under another name.",
    "is_plain(path)",
    """
    path.with_name("~again").write_bytes(path.read_bytes())
    """,
)


@dataclass(frozen=True)
class Restoring:
    """How a restore of one target is known. Both are Python."""

    asked: str
    """Whether a command restores."""
    directory: str
    """The directory to which it does."""

    def wrong(self, how: RestoredWrong) -> WrapperDefect:
        """Each second restore that brings such a file back changes it."""
        body = f"""
def change(path):
{textwrap.indent(textwrap.dedent(how.change).strip(), "    ")}


if {self.asked}:
    touch_up({self.directory}, lambda path: {how.matches}, change)
"""
        return WrapperDefect(how.sentence, Guarantee.RESTORED_EXACTLY, WorkKind.RESTORE, body)
