"""The defects that wrappers add to the real borg: those in which the real process matters. All others are planted at
the protocol boundary, in `snapstorm.defects`."""

from __future__ import annotations

from collections.abc import Mapping

from snapstorm.model.guarantees import Guarantee
from snapstorm.model.work import WorkKind
from snapstorm.targets import restore_wrappers
from snapstorm.targets.command_wrappers import (
    DELETES_NOTHING,
    LEAVES_A_LISTING,
    LEAVES_A_PROCESS,
    LEAVES_A_TEMPORARY_FILE,
    NEVER_ENDS,
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

_RESTORING = Restoring(asked="asks_for('extract') and '--dry-run' not in argv", directory="'.'")

HELPERS = (
    restore_wrappers.HELPERS
    + r"""
command = next((word for word in argv if not word.startswith("-")), "")


def asks_for(word):
    return command == word


def archive_in(words):
    return next(word for word in words if "::" in word)


base = pathlib.Path(os.environ.get("BORG_BASE_DIR", "/none/none"))


def secret(name):
    import tomllib

    bed = next(parent for parent in base.parents if (parent / "secrets.toml").exists())
    return tomllib.loads((bed / "secrets.toml").read_text())[name]
"""
)

_EXTRACTING: Mapping[str, WrapperDefect] = {
    "extract-flips-a-byte": _RESTORING.wrong(FLIPPED_BYTE),
    "extract-splits-hard-links": _RESTORING.wrong(SPLIT_NAMES),
    "extract-loses-an-xattr": _RESTORING.wrong(LOST_XATTR),
    "extract-drops-a-fifo": _RESTORING.wrong(DROPPED_FIFO),
    "extract-rounds-a-time": _RESTORING.wrong(CUT_TIME),
    "extract-misses-a-file": _RESTORING.wrong(MISSING_FILE),
    "extract-makes-a-file-longer": _RESTORING.wrong(LONGER_FILE),
    "extract-turns-a-mode-over": _RESTORING.wrong(CHANGED_MODE),
    "extract-drops-a-link": _RESTORING.wrong(LOST_LINK),
    "extract-brings-a-file-twice": _RESTORING.wrong(SECOND_FILE),
    "extract-does-nothing": WrapperDefect(
        "Nothing is brought back, with exit status 0.",
        Guarantee.AVAILABLE,
        WorkKind.RESTORE,
        when("extract", "sys.exit(0)", number=2),
    ),
}

_CREATING: Mapping[str, WrapperDefect] = {
    "create-drops-the-archive": WrapperDefect(
        "The archive is deleted as soon as it is there.",
        Guarantee.ACKNOWLEDGED_STAYS_LISTED,
        WorkKind.LIST,
        when(
            "create",
            """
            done = run(argv)
            run(["delete", archive_in(argv)])
            end(done)
            """,
            number=3,
        ),
    ),
    "create-leaves-a-file-out": leaves_out('argv.insert(argv.index("create") + 1, f"--exclude=pf:{path}")').of(
        "create"
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
    "create-never-ends": NEVER_ENDS.of("create"),
    "create-answers-garbage": creates_and_answers('{"archive": ').of("create"),
    "create-copies-elsewhere": WrapperDefect(
        "A second archive is made, which no operation has asked for.",
        Guarantee.NOTHING_UNREQUESTED,
        WorkKind.CREATE,
        when(
            "create",
            """
            done = run(argv)
            run(["create", f"{archive_in(argv)}-again", argv[-1]])
            end(done)
            """,
            number=2,
        ),
    ),
    "create-leaves-a-process": LEAVES_A_PROCESS.of("create"),
    "create-leaves-a-temporary-file": LEAVES_A_TEMPORARY_FILE.of("create"),
}

_OTHERS: Mapping[str, WrapperDefect] = {
    "delete-does-nothing": DELETES_NOTHING.of("delete"),
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
    "delete-ends-with-2": deletes_and_ends_with(2).of("delete"),
    "check-complains-of-good-data": complains_of_good_data(
        "Data integrity error: Segment entry checksum mismatch [segment 1, offset 8]"
    ).of("check"),
    "list-leaves-a-file": LEAVES_A_LISTING.of("list"),
    "clients-are-mixed-up": WrapperDefect(
        "One client works as another.",
        Guarantee.CLIENTS_ISOLATED,
        WorkKind.LIST_AMONG_OTHERS,
        """
        if "/clients/client-2@" in str(base) and any("ssh://client-2@" in word for word in argv):
            strike()
            host = base.parent.name.partition("@")[2]
            argv[:] = [word.replace("client-2@", "client-1@") if "ssh://" in word else word for word in argv]
            os.environ["BORG_RSH"] = os.environ["BORG_RSH"].replace("/client-2@", "/client-1@")
            os.environ["BORG_PASSPHRASE"] = secret(f"repository client-1@{host}")
        """,
    ),
}

WRAPPER_DEFECTS: Mapping[str, WrapperDefect] = {**_EXTRACTING, **_CREATING, **_OTHERS}
"""Every defect that a wrapper adds, by its name."""
