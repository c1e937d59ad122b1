"""The defects that wrappers add to the real restic: those in which the real process matters. All others are planted at
the protocol boundary, in `snapstorm.defects`."""

from __future__ import annotations

from snapstorm.model.guarantees import Guarantee
from snapstorm.model.work import WorkKind
from snapstorm.targets import restore_wrappers
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
    "restore-brings-nothing-back": WrapperDefect(
        "A restore succeeds and writes nothing.",
        Guarantee.RESTORED_EXACTLY,
        WorkKind.RESTORE,
        when("restore", "sys.exit(0)", number=2),
    ),
    "restore-hides-an-error": _RESTORING.wrong(MISSING_FILE),
    "restore-makes-a-file-longer": _RESTORING.wrong(LONGER_FILE),
    "restore-turns-a-mode-over": _RESTORING.wrong(CHANGED_MODE),
    "restore-drops-a-link": _RESTORING.wrong(LOST_LINK),
    "restore-brings-a-file-twice": _RESTORING.wrong(SECOND_FILE),
}

_BACKUPS = {
    "backup-never-ends": _backup("A backup never ends.", _AVAILABLE, "wait_for_ever()"),
    "backup-answers-garbage": _backup(
        "A snapshot is taken, and the answer can't be read.",
        _AVAILABLE,
        'run(argv)\nprint(\'{"message_type": "summary"\')\nsys.exit(0)',
    ),
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
    "backup-leaves-a-file-out": _backup(
        "A file is left out, with exit status 0.",
        Guarantee.PARTIAL_IS_REPORTED,
        r"""
        import re

        path = found_below(argv[-1], lambda path: is_plain(path) and path.stat().st_nlink == 1)
        if path is not None:
            argv.insert(1, "--exclude=" + re.sub(r"([\\*?\[\]$])", r"\\\1", str(path)))
        """,
    ),
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
    "backup-leaves-a-process": _backup(
        "A process stays that has left its group and cleared its environment.",
        Guarantee.NO_LEAK,
        """
        import subprocess

        subprocess.Popen(
            ["/bin/sleep", "100"], env={}, cwd="/", start_new_session=True,
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )
        """,
        number=2,
    ),
    "backup-leaves-a-temporary-file": _backup(
        "A file stays in the temporary directory.",
        Guarantee.NO_LEAK,
        """
        import tempfile

        os.close(tempfile.mkstemp(prefix="pack-")[0])
        """,
        number=2,
    ),
}

_OTHERS = {
    "forget-does-nothing": WrapperDefect(
        "A deletion is acknowledged and not done.",
        Guarantee.DELETED_STAYS_GONE,
        WorkKind.LIST,
        when("forget", "sys.exit(0)"),
    ),
    "forget-ends-with-1": WrapperDefect(
        "A deletion is done, and the exit status says that it failed.",
        _AVAILABLE,
        WorkKind.DELETE,
        when("forget", "end(run(argv), status=1)"),
    ),
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
    "prune-does-nothing": WrapperDefect(
        "A collection is acknowledged and not done.",
        _AVAILABLE,
        WorkKind.COLLECT,
        when("prune", "sys.exit(0)"),
    ),
    # Not `verify-agrees`, which takes a restore to contradict: a check that fails on good data is not available.
    "check-complains-of-good-data": WrapperDefect(
        "The check finds damage where there is none.",
        _AVAILABLE,
        WorkKind.VERIFY,
        when("check", "sys.exit('error for tree 01234567:\\nFatal: repository contains errors')"),
    ),
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
    "list-leaves-a-file": WrapperDefect(
        "A file stays in the directory in which the command ran.",
        Guarantee.NO_LEAK,
        WorkKind.LIST,
        when("snapshots", "pathlib.Path('listing.json').write_bytes(b'[]')", number=2),
    ),
    "clients-are-mixed-up": WrapperDefect(
        "One client works as another.",
        Guarantee.CLIENTS_ISOLATED,
        WorkKind.LIST_AMONG_OTHERS,
        _MIXES_CLIENTS_UP,
    ),
}

WRAPPER_DEFECTS: dict[str, WrapperDefect] = {**_RESTORES, **_BACKUPS, **_OTHERS}
"""Every defect that a wrapper adds, by its name."""
