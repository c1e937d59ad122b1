"""Specimens for the calibration of the judge: the real borg with a defect planted at the protocol boundary, wrappers
around it that misbehave, and honest ones."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from snapstorm.defects.all_defects import DEFECTS, FOR_EVERY_TARGET
from snapstorm.model.guarantees import Guarantee
from snapstorm.model.work import WorkKind
from snapstorm.targets.planted import HONEST, REAL_SETUPS, Planted, Specimen, Specimens, specimens_of
from snapstorm.targets.workload import REAL_WHOLE_TREES
from snapstorm.targets.wrapper_programs import WrapperDefect, make_wrapper, times_struck, why_it_broke

AT_THE_BOUNDARY = FOR_EVERY_TARGET | {name for name, defect in DEFECTS.items() if defect.needs_whole_trees}

HELPERS = r'''
command = next((word for word in argv if not word.startswith("-")), "")


def asks_for(word):
    return command == word


def found_below(directory, matches):
    """The first file below a directory, in the order of paths, that matches."""
    for path in sorted(pathlib.Path(directory).rglob("*")):
        if matches(path):
            return path
    return None


def is_plain(path):
    return path.is_file() and not path.is_symlink() and path.stat().st_size > 0


def touch_up(matches, change):
    """Hand an extraction on, change one of the files that it has brought back, and end as it did."""
    done = run(argv)
    path = found_below(".", matches) if done.returncode == 0 else None
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


def _extract(sentence: str, matches: str, change: str) -> WrapperDefect:
    """A file that this matches is brought back, and then changed so."""
    body = f"""
import stat


def change(path):
{textwrap.indent(textwrap.dedent(change).strip(), "    ")}


if asks_for("extract") and "--dry-run" not in argv:
    touch_up(lambda path: {matches}, change)
"""
    return WrapperDefect(sentence, Guarantee.RESTORED_EXACTLY, WorkKind.RESTORE, body)


def _when(command: str, body: str, *, number: int) -> str:
    """Each second or third time that this command is asked for, something else is done."""
    block = textwrap.indent(textwrap.dedent(body).strip(), "    ")
    return f"\nif asks_for({command!r}) and every({number}, 'asked'):\n{block}\n"


_EXTRACTING: Mapping[str, WrapperDefect] = {
    "extract-flips-a-byte": _extract(
        "One byte of a file is another one.",
        "is_plain(path)",
        """
        content = bytearray(path.read_bytes())
        content[len(content) // 2] ^= 1
        path.write_bytes(content)
        """,
    ),
    "extract-splits-hard-links": _extract(
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
    ),
    "extract-loses-an-xattr": _extract(
        "An extended attribute is lost.",
        "is_plain(path) and any(name.startswith('user.') for name in os.listxattr(path))",
        """
        os.removexattr(path, next(name for name in os.listxattr(path) if name.startswith("user.")))
        """,
    ),
    "extract-drops-a-fifo": _extract("A FIFO is left out.", "stat.S_ISFIFO(path.lstat().st_mode)", "path.unlink()"),
    "extract-rounds-a-time": _extract(
        "The time of a link is cut to seconds.",
        "path.is_symlink()",
        """
        seconds = path.lstat().st_mtime_ns // 1_000_000_000
        os.utime(path, ns=(seconds * 1_000_000_000,) * 2, follow_symlinks=False)
        """,
    ),
    "extract-does-nothing": WrapperDefect(
        "Nothing is brought back, with exit status 0.",
        Guarantee.AVAILABLE,
        WorkKind.RESTORE,
        _when("extract", "sys.exit(0)", number=2),
    ),
}

_OTHERS: Mapping[str, WrapperDefect] = {
    "create-drops-the-archive": WrapperDefect(
        "The archive is deleted as soon as it is there.",
        Guarantee.ACKNOWLEDGED_STAYS_LISTED,
        WorkKind.LIST,
        _when(
            "create",
            """
            done = run(argv)
            run(["delete", next(word for word in argv if "::" in word)])
            end(done)
            """,
            number=3,
        ),
    ),
    "create-leaves-a-file-out": WrapperDefect(
        "A file is left out, with exit status 0.",
        Guarantee.PARTIAL_IS_REPORTED,
        WorkKind.CREATE,
        _when(
            "create",
            """
            path = found_below(argv[-1], lambda path: is_plain(path) and path.stat().st_nlink == 1)
            if path is not None:
                place = argv.index("create") + 1
                argv[place:place] = [f"--exclude=pf:{path}"]
            """,
            number=3,
        ),
    ),
    "create-tells-a-wrong-count": WrapperDefect(
        "One file more is acknowledged than there was.",
        Guarantee.PARTIAL_IS_REPORTED,
        WorkKind.CREATE,
        _when(
            "create",
            """
            done = run(argv)
            shown = shown_by(done)
            if shown:
                shown["archive"]["stats"]["nfiles"] += 1
            end(done, shown)
            """,
            number=3,
        ),
    ),
    "create-leaves-a-process": WrapperDefect(
        "A process goes on after the command has ended.",
        Guarantee.NO_LEAK,
        WorkKind.CREATE,
        _when(
            "create",
            """
            import subprocess

            quiet = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
            subprocess.Popen(["sleep", "600"], start_new_session=True, **quiet)
            """,
            number=2,
        ),
    ),
    "delete-does-nothing": WrapperDefect(
        "A deletion is acknowledged and not done.",
        Guarantee.DELETED_STAYS_GONE,
        WorkKind.LIST,
        _when("delete", "sys.exit(0)", number=1),
    ),
    "list-forgets-the-latest": WrapperDefect(
        "The latest archive is not shown.",
        Guarantee.ACKNOWLEDGED_STAYS_LISTED,
        WorkKind.LIST,
        _when(
            "list",
            """
            done = run(argv)
            shown = shown_by(done)
            if shown and shown["archives"]:
                shown["archives"].pop()
            end(done, shown)
            """,
            number=3,
        ),
    ),
}

WRAPPER_DEFECTS: Mapping[str, WrapperDefect] = {**_EXTRACTING, **_OTHERS}
"""Those in which the real process matters. All others are planted at the protocol boundary."""


_WHOLE_TREES = replace(REAL_SETUPS.usual, scenario=REAL_WHOLE_TREES)


def wrapped(real: Path) -> Specimens:
    """The real program with each defect, and without any."""
    setups = replace(REAL_SETUPS, whole_trees=_WHOLE_TREES)
    at_the_boundary = specimens_of("borg", [real], names=AT_THE_BOUNDARY, setups=setups)
    wrappers = [_wrapper_specimen(real, name, defect) for name, defect in WRAPPER_DEFECTS.items()]
    usual = [one for one in at_the_boundary.honest if one.setup in (REAL_SETUPS.usual, _WHOLE_TREES)]
    return Specimens([*at_the_boundary.defects, *wrappers], [*usual, _wrapper_specimen(real, HONEST, None)])


def _wrapper_specimen(real: Path, name: str, defect: WrapperDefect | None) -> Specimen:
    """A wrapper around the real program with this defect, or one that does nothing."""

    def plant(directory: Path) -> Planted:
        return Planted("borg", [make_wrapper(directory, real, defect.body if defect else "", HELPERS)])

    return Specimen(
        kind="borg",
        name=name,
        sentence=defect.sentence if defect else "Does everything right.",
        guarantee=defect.guarantee if defect else None,
        shown_by=defect.shown_by if defect else WorkKind.RESTORE,
        setup=_WHOLE_TREES,
        plant=plant,
        times_struck=times_struck,
        why_it_broke=why_it_broke,
    )
