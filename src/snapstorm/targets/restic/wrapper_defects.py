"""The defects that wrappers add to the real restic: those in which the real process matters. All others are planted at
the protocol boundary, in `snapstorm.defects`."""

from __future__ import annotations

from snapstorm.model.guarantees import Guarantee
from snapstorm.model.work import WorkKind
from snapstorm.targets import restore_wrappers
from snapstorm.targets.command_wrappers import (
    COLLECTS_NOTHING,
    DELETES_NOTHING,
    LEAVES_A_LISTING,
    LEAVES_A_PROCESS,
    LEAVES_A_TEMPORARY_FILE,
    NEVER_ENDS,
    RESTORES_NOTHING,
    complains_of_good_data,
    creates_and_answers,
    deletes_and_ends_with,
    leaves_out,
)
from snapstorm.targets.restore_wrappers import (
    CHANGED_MODE,
    CUT_TIME,
    DROPPED_FIFO,
    FLIPPED_BYTE,
    LONGER_FILE,
    LOST_LINK,
    LOST_XATTR,
    MISSING_FILE,
    SECOND_FILE,
    SPLIT_NAMES,
    Restoring,
)
from snapstorm.targets.wrapper_programs import WrapperDefect, when

_RESTORING = Restoring(asked="asks_for('restore')", directory="restored_to()")

HELPERS = (
    restore_wrappers.HELPERS
    + r'''
cache = pathlib.Path(os.environ.get("RESTIC_CACHE_DIR", "/none/none"))
client = next((part for part in reversed(cache.parts) if "@" in part), "")


def asks_for(word):
    return argv[:1] == [word]


def restored_to():
    return next(word.partition("=")[2] for word in argv if word.startswith("--target="))


def messages(done):
    """What `backup --json` has said, a value for each line."""
    import json

    return [json.loads(line) for line in done.stdout.splitlines()] if done.returncode == 0 else None


def end_with(done, said):
    """End with these messages."""
    import json

    sys.stdout.write("".join(json.dumps(one) + "\n" for one in said))
    sys.stdout.flush()
    sys.exit(done.returncode)


def exclusion_of(path):
    """The option by which `backup` leaves out this file alone."""
    import re

    return "--exclude=" + re.sub(r"([\\*?\[\]$])", r"\\\1", str(path))


def globals_of(arguments):
    """The options that go with every command."""
    return [word for word in arguments if word.startswith("--cacert=")]


def bed():
    """The testbed whose command this is."""
    return next(parent for parent in cache.parents if (parent / "secrets.toml").exists())


def secret(name):
    import tomllib

    return tomllib.loads((bed() / "secrets.toml").read_text())[name]
'''
)


def _backup(sentence: str, guarantee: Guarantee, body: str, *, number: int = 3) -> WrapperDefect:
    return WrapperDefect(sentence, guarantee, WorkKind.CREATE, when("backup", body, number=number))


_MIXES_CLIENTS_UP = """
if client.startswith("client-2@") and "clients" in cache.parts and os.environ["RESTIC_REPOSITORY"].startswith("rest:"):
    import urllib.parse

    strike()
    other = "client-1@" + client.partition("@")[2]
    parts = urllib.parse.urlsplit(os.environ["RESTIC_REPOSITORY"].removeprefix("rest:"))
    user, word = (urllib.parse.quote(text, safe="") for text in (other, secret(f"client {other}")))
    os.environ["RESTIC_REPOSITORY"] = f"rest:https://{user}:{word}@{parts.hostname}:{parts.port}/{other}/"
    os.environ["RESTIC_PASSWORD"] = secret(f"repository {other}")
"""

_AVAILABLE = Guarantee.AVAILABLE

_RESTORES = {
    "restore-flips-one-byte": _RESTORING.wrong(FLIPPED_BYTE),
    "restore-splits-names": _RESTORING.wrong(SPLIT_NAMES),
    "restore-loses-an-xattr": _RESTORING.wrong(LOST_XATTR),
    "restore-drops-a-fifo": _RESTORING.wrong(DROPPED_FIFO),
    "restore-cuts-a-time": _RESTORING.wrong(CUT_TIME),
    "restore-brings-nothing-back": RESTORES_NOTHING.of("restore"),
    "restore-hides-an-error": _RESTORING.wrong(MISSING_FILE),
    "restore-makes-a-file-longer": _RESTORING.wrong(LONGER_FILE),
    "restore-turns-a-mode-over": _RESTORING.wrong(CHANGED_MODE),
    "restore-drops-a-link": _RESTORING.wrong(LOST_LINK),
    "restore-brings-a-file-twice": _RESTORING.wrong(SECOND_FILE),
}

_BACKUPS = {
    "backup-never-ends": NEVER_ENDS.of("backup"),
    "backup-answers-garbage": creates_and_answers('{"message_type": "summary"').of("backup"),
    "backup-is-not-saved": _backup(
        "A snapshot is acknowledged with an id, and was forgotten at once.",
        Guarantee.ACKNOWLEDGED_STAYS_LISTED,
        """
        done = run(argv)
        said = messages(done)
        run(["forget", said[-1]["snapshot_id"], *globals_of(argv)])
        end(done)
        """,
    ),
    "backup-leaves-a-file-out": leaves_out("argv.insert(1, exclusion_of(path))").of("backup"),
    "backup-tells-a-wrong-count": _backup(
        "One file more is acknowledged than there was.",
        Guarantee.PARTIAL_IS_REPORTED,
        """
        done = run(argv)
        said = messages(done)
        said[-1]["total_files_processed"] += 1
        end_with(done, said)
        """,
    ),
    "backup-copies-elsewhere": _backup(
        "A snapshot is stored a second time, which no operation has asked for.",
        Guarantee.NOTHING_UNREQUESTED,
        """
        done = run(argv)
        run(["backup", f"--host={client}", argv[-1], *globals_of(argv)])
        end(done)
        """,
        number=2,
    ),
    "backup-leaves-a-process": LEAVES_A_PROCESS.of("backup"),
    "backup-leaves-a-temporary-file": LEAVES_A_TEMPORARY_FILE.of("backup"),
}

_OTHERS = {
    "forget-does-nothing": DELETES_NOTHING.of("forget"),
    "forget-ends-with-1": deletes_and_ends_with(1).of("forget"),
    "forget-finds-a-lock": WrapperDefect(
        "A deletion is refused because of a lock, whoever works.",
        _AVAILABLE,
        WorkKind.DELETE,
        when(
            "forget",
            "sys.stderr.write('unable to create lock in backend: repository is already locked by PID 1 on x by y\\n')\n"
            "sys.exit(11)",
        ),
    ),
    "prune-does-nothing": COLLECTS_NOTHING.of("prune"),
    "check-complains-of-good-data": complains_of_good_data(
        "error for tree 01234567:\nFatal: repository contains errors"
    ).of("check"),
    "list-leaves-the-latest-out": WrapperDefect(
        "The latest snapshot is not shown.",
        Guarantee.ACKNOWLEDGED_STAYS_LISTED,
        WorkKind.LIST,
        when(
            "snapshots",
            """
            done = run(argv)
            shown = shown_by(done)
            if shown:
                shown.pop()
            end(done, shown)
            """,
            number=3,
        ),
    ),
    "list-leaves-a-file": LEAVES_A_LISTING.of("snapshots"),
    "clients-are-mixed-up": WrapperDefect(
        "One client works as another.",
        Guarantee.CLIENTS_ISOLATED,
        WorkKind.LIST_AMONG_OTHERS,
        _MIXES_CLIENTS_UP,
    ),
}

WRAPPER_DEFECTS: dict[str, WrapperDefect] = {**_RESTORES, **_BACKUPS, **_OTHERS}
"""Every defect that a wrapper adds, by its name."""
