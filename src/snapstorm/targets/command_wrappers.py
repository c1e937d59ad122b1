"""Wrappers around a real program whose commands misbehave as those of any target can: in what they answer, how they end
and what they leave behind."""

from __future__ import annotations

from dataclasses import dataclass

from snapstorm.model.guarantees import Guarantee
from snapstorm.model.work import WorkKind
from snapstorm.targets.wrapper_programs import WrapperDefect, when


@dataclass(frozen=True)
class WrongCommand:
    """What a command does wrong. Only its name differs from target to target."""

    sentence: str
    guarantee: Guarantee
    shown_by: WorkKind
    body: str
    """As for `when`."""
    number: int = 1
    """It misbehaves each so many-th time."""

    def of(self, command: str) -> WrapperDefect:
        """This command misbehaves so. It may be several words."""
        return WrapperDefect(self.sentence, self.guarantee, self.shown_by, when(command, self.body, number=self.number))


NEVER_ENDS = WrongCommand("A creation never ends.", Guarantee.AVAILABLE, WorkKind.CREATE, "wait_for_ever()", number=3)
LEAVES_A_PROCESS = WrongCommand(
    "A process stays that has left its group and cleared its environment.",
    Guarantee.NO_LEAK,
    WorkKind.CREATE,
    """
    import subprocess

    subprocess.Popen(
        ["/bin/sleep", "100"], env={}, cwd="/", start_new_session=True,
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )
    """,
    number=2,
)
LEAVES_A_TEMPORARY_FILE = WrongCommand(
    "A file stays in the temporary directory.",
    Guarantee.NO_LEAK,
    WorkKind.CREATE,
    """
    import tempfile

    os.close(tempfile.mkstemp(prefix="upload-")[0])
    """,
    number=2,
)
LEAVES_A_LISTING = WrongCommand(
    "A file stays in the directory in which the command ran.",
    Guarantee.NO_LEAK,
    WorkKind.LIST,
    "pathlib.Path('listing.json').write_bytes(b'[]')",
    number=2,
)
RESTORES_NOTHING = WrongCommand(
    "A restore succeeds and writes nothing.",
    Guarantee.RESTORED_EXACTLY,
    WorkKind.RESTORE,
    "sys.exit(0)",
    number=2,
)
DELETES_NOTHING = WrongCommand(
    "A deletion is acknowledged and not done.", Guarantee.DELETED_STAYS_GONE, WorkKind.LIST, "sys.exit(0)"
)
COLLECTS_NOTHING = WrongCommand(
    "A collection is acknowledged and not done.", Guarantee.AVAILABLE, WorkKind.COLLECT, "sys.exit(0)"
)


def creates_and_answers(text: str) -> WrongCommand:
    """`text`: what is printed, and can't be read."""
    return WrongCommand(
        "A snapshot is taken, and the answer can't be read.",
        Guarantee.AVAILABLE,
        WorkKind.CREATE,
        f"run(argv)\nprint({text!r})\nsys.exit(0)",
        number=3,
    )


def leaves_out(exclude: str) -> WrongCommand:
    """A file is left out of a snapshot. `exclude`: Python that adds to `argv` what excludes the file at `path`. Needs
    the helpers of `restore_wrappers`."""
    found = "path = found_below(argv[-1], lambda path: is_plain(path) and path.stat().st_nlink == 1)"
    return WrongCommand(
        "A file is left out, with exit status 0.",
        Guarantee.PARTIAL_IS_REPORTED,
        WorkKind.CREATE,
        f"{found}\nif path is not None:\n    {exclude}",
        number=3,
    )


def deletes_and_ends_with(status: int) -> WrongCommand:
    """`status`: one by which the target says that it failed."""
    return WrongCommand(
        "A deletion is done, and the exit status says that it failed.",
        Guarantee.AVAILABLE,
        WorkKind.DELETE,
        f"end(run(argv), status={status})",
    )


def complains_of_good_data(words: str) -> WrongCommand:
    """`words`: the target's own. What breaks is not `verify-agrees`, which takes a restore to contradict: a check that
    fails on good data is not available."""
    return WrongCommand(
        "The check finds damage where there is none.",
        Guarantee.AVAILABLE,
        WorkKind.VERIFY,
        f"sys.exit({words!r})",
    )
