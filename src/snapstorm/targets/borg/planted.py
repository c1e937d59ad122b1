"""Specimens for the calibration of the judge: the real borg with a defect planted at the protocol boundary, wrappers
around it that misbehave, and honest ones."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from snapstorm.model.guarantees import Guarantee
from snapstorm.model.work import WorkKind
from snapstorm.targets import restore_wrappers
from snapstorm.targets.planted import Specimens
from snapstorm.targets.restore_wrappers import (
    CUT_TIME,
    DROPPED_FIFO,
    FLIPPED_BYTE,
    LOST_XATTR,
    SPLIT_NAMES,
    Restoring,
)
from snapstorm.targets.wrapper_programs import WrapperDefect, when
from snapstorm.targets.wrapper_specimens import AT_THE_BOUNDARY_OF_WHOLE_TREES, wrapped_whole_trees

AT_THE_BOUNDARY = AT_THE_BOUNDARY_OF_WHOLE_TREES

_RESTORING = Restoring(asked="asks_for('extract') and '--dry-run' not in argv", directory="'.'")

HELPERS = (
    restore_wrappers.HELPERS
    + r"""
command = next((word for word in argv if not word.startswith("-")), "")


def asks_for(word):
    return command == word
"""
)

_EXTRACTING: Mapping[str, WrapperDefect] = {
    "extract-flips-a-byte": _RESTORING.wrong(FLIPPED_BYTE),
    "extract-splits-hard-links": _RESTORING.wrong(SPLIT_NAMES),
    "extract-loses-an-xattr": _RESTORING.wrong(LOST_XATTR),
    "extract-drops-a-fifo": _RESTORING.wrong(DROPPED_FIFO),
    "extract-rounds-a-time": _RESTORING.wrong(CUT_TIME),
    "extract-does-nothing": WrapperDefect(
        "Nothing is brought back, with exit status 0.",
        Guarantee.AVAILABLE,
        WorkKind.RESTORE,
        when("extract", "sys.exit(0)", number=2),
    ),
}

_OTHERS: Mapping[str, WrapperDefect] = {
    "create-drops-the-archive": WrapperDefect(
        "The archive is deleted as soon as it is there.",
        Guarantee.ACKNOWLEDGED_STAYS_LISTED,
        WorkKind.LIST,
        when(
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
        when(
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
        when(
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
        when(
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
        when("delete", "sys.exit(0)", number=1),
    ),
    "serve-lets-into-every-repository": WrapperDefect(
        "Whoever is let in is served every repository, not only the own one.",
        Guarantee.CLIENTS_ISOLATED,
        WorkKind.WRONG_PASSWORD,
        when("serve", "argv[1:] = ['--restrict-to-path', os.path.dirname(argv[-1])]"),
    ),
    "list-forgets-the-latest": WrapperDefect(
        "The latest archive is not shown.",
        Guarantee.ACKNOWLEDGED_STAYS_LISTED,
        WorkKind.LIST,
        when(
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


def wrapped(real: Path) -> Specimens:
    """The real program with each defect, and without any."""
    return wrapped_whole_trees("borg", real, AT_THE_BOUNDARY, WRAPPER_DEFECTS, HELPERS)
