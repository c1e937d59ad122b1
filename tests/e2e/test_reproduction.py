"""`reproduce.sh`: shows a violation with the program that was run, and not with an honest Kopia, kind by kind."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.e2e.commandline import scenario, snapstorm
from tests.waiting import GIVE_UP_SECONDS

from snapstorm.errors import TestbedError as LedgerError
from snapstorm.model.guarantees import Guarantee
from snapstorm.model.manifest import Manifest
from snapstorm.targets.kopia.reproduction import WHY_NOT, Script
from snapstorm.targets.plugin import Shown
from snapstorm.testbed.testbed import read_testbed

WRITE = "write-random-files count = 3, size_bytes = '1..3000', depth = '0..1', odd_percent = 0"
TAKEN = (WRITE, "snapshot-root")
EVERYTHING = (
    *TAKEN,
    "modify-files",
    "snapshot-root",
    "write-random-files count = 1, size_bytes = '1..3000'",
    "snapshot-root",
    "restore-random-snapshot",
    "expire keep_latest = 2",
    "list-snapshots",
    "delete-random-snapshot",
    "list-snapshots",
    "run-gc",
    "verify-repository",
)

HISTORY = """
name = "history"
actions = 60
[weights]
snapshot-root = 20
restore-random-snapshot = 10
delete-random-snapshot = 10
write-random-files = 20
modify-files = 10
delete-files = 5
list-snapshots = 8
restore-subpath = 8
snapshot-subpath = 6
restore-into-data-directory = 3
expire = 5
run-gc = 3
verify-repository = 3
[options.write-random-files]
count = "1..6"
size_bytes = "0..10000"
depth = "0..3"
"""

RESTORE_FAILS = """
if argv[:1] == ["restore"]:
    sys.exit("ERROR it failed")
"""

RESTORE_LOSES_A_FILE = """
if argv[:1] == ["restore"]:
    done = run(argv)
    for file in [path for path in pathlib.Path(argv[-1]).rglob("*") if path.is_file()][:1]:
        file.unlink()
    sys.exit(done.returncode)
"""

RESTORE_WRITES_NOTHING = """
if argv[:1] == ["restore"]:
    sys.exit(0)
"""

CREATE_FAILS = """
if argv[:2] == ["snapshot", "create"]:
    sys.exit("ERROR it failed")
"""

CREATE_HANGS = """
if argv[:2] == ["snapshot", "create"]:
    import time

    time.sleep(600)
"""

CREATE_ANSWERS_GARBAGE = """
if argv[:2] == ["snapshot", "create"]:
    run(argv)
    print('{"id": 5')
    sys.exit(0)
"""

CREATE_LEAVES_OUT = """
if argv[:2] == ["snapshot", "create"]:
    done = run(argv)
    shown = json.loads(done.stdout)
    shown["rootEntry"]["summ"]["numFailed"] = 1
    answer(shown)
"""

CREATE_COUNTS_ONE_TOO_MANY = """
if argv[:2] == ["snapshot", "create"]:
    done = run(argv)
    shown = json.loads(done.stdout)
    shown["rootEntry"]["summ"]["files"] += 1
    answer(shown)
"""

CREATE_GIVES_ANOTHER_ID = """
if argv[:2] == ["snapshot", "create"]:
    listed = json.loads(run(["snapshot", "list", "--all", "--json"]).stdout)
    done = run(argv)
    shown = json.loads(done.stdout)
    answer({**shown, "id": listed[0]["id"]} if listed else shown)
"""

CREATE_TAKES_TWO = """
if argv[:2] == ["snapshot", "create"]:
    run(argv)
"""

CREATE_LOSES_TAGS = """
argv = [word for word in argv if not word.startswith("--tags")]
"""

CREATE_IS_CUT_OFF_AND_WRONG = """
if argv[:2] == ["snapshot", "create"]:
    victim = next(path for path in sorted(pathlib.Path(argv[-1]).rglob("*")) if path.is_file())
    aside, times = counter.with_name("aside"), victim.parent.stat()
    victim.rename(aside)
    run(argv)
    aside.rename(victim)
    os.utime(victim.parent, ns=(times.st_atime_ns, times.st_mtime_ns))
    sys.exit("ERROR it was cut off")
"""

LIST_FAILS = """
if argv[:2] == ["snapshot", "list"]:
    sys.exit("ERROR it failed")
"""

LISTS = """
if argv[:2] == ["snapshot", "list"]:
    listed = json.loads(run(argv).stdout)
    if listed:
        {change}
    answer(listed)
"""
LIST_OMITS_THE_NEWEST = LISTS.format(change="del listed[-1]")
LIST_SHOWS_A_GHOST = LISTS.format(change="listed.append({**listed[0], 'id': '1' * 32, 'tags': {}})")
LIST_SHOWS_ONE_TWICE = LISTS.format(change="listed.append(listed[0])")
LIST_MOVES_ONE = LISTS.format(change="listed[0]['source']['path'] += '/elsewhere'")
LIST_CALLS_ONE_INCOMPLETE = LISTS.format(change="listed[0]['incomplete'] = 'checkpoint'")
LIST_CHANGES_AN_ID = LISTS.format(change="listed[0]['id'] = '2' * 32")

DELETE_FAILS = """
if argv[:2] == ["snapshot", "delete"]:
    sys.exit("ERROR it failed")
"""

DELETE_DOES_NOTHING = """
if argv[:2] == ["snapshot", "delete"]:
    sys.exit(0)
"""

DELETE_TAKES_ANOTHER = """
if argv[:2] == ["snapshot", "delete"]:
    argv[2] = next(
        entry["id"]
        for entry in json.loads(run(["snapshot", "list", "--all", "--json"]).stdout)
        if entry["id"] != argv[2]
    )
"""

EXPIRE_DOES_NOTHING = """
if argv[:2] == ["snapshot", "expire"]:
    sys.exit(0)
"""

EXPIRE_TAKES_ONE_TOO_MANY = """
argv = ["--keep-latest=1" if word == "--keep-latest=2" else word for word in argv]
"""

COLLECTION_DOES_NOTHING = """
if argv[:2] == ["maintenance", "run"]:
    sys.exit(0)
"""

VERIFY_COMPLAINS = """
if argv[:2] == ["snapshot", "verify"]:
    sys.exit("ERROR error processing a")
"""

ONE_EPOCH_IS_COMPACTED_TWICE = """
if argv[:2] == ["snapshot", "list"]:
    done = run(argv)
    bed = pathlib.Path(os.environ["KOPIA_CONFIG_PATH"].partition("/clients/")[0])
    for name in ("9_aa-saa-c1", "9_bb-sbb-c1"):
        blob = bed / "repository" / "xs" / f"{name}.f"
        blob.parent.mkdir(exist_ok=True)
        blob.touch()
    end_like(done)
"""

MANIFESTS_ARE_GONE = """
if argv[:2] == ["manifest", "list"]:
    print("[]")
    sys.exit(0)
"""

_NOTES_PASSWORDS = """
config = pathlib.Path(os.environ.get("KOPIA_CONFIG_PATH", "/none"))
name = next((part for part in config.parts if "@" in part), "server")
if argv[:1] == ["repository"] and "impostors" not in config.parts:
    counter.with_name(f"password-{name}").write_text(os.environ["KOPIA_PASSWORD"])
"""

SHOWS_OTHERS = (
    _NOTES_PASSWORDS
    + """
if argv[:2] == ["snapshot", "list"] and "clients" in config.parts:
    os.environ["KOPIA_PASSWORD"] = counter.with_name("password-server").read_text()
    bed = str(config).partition("/clients/")[0]
    os.environ["KOPIA_CONFIG_PATH"] = bed + "/server/repository.config"
"""
)

TAKES_ANY_PASSWORD = (
    _NOTES_PASSWORDS
    + """
if "impostors" in config.parts:
    os.environ["KOPIA_PASSWORD"] = counter.with_name(f"password-{name}").read_text()
"""
)

KEEPS_REMOVED_USERS = """
if argv[:3] == ["server", "users", "delete"]:
    sys.exit(0)
"""

DIRECT, SERVER = ("--mode", "direct", "--clients", "1"), ("--clients", "2")

Make = Callable[..., Path]


def record(scratch: Path, program: Path, mode: tuple[str, ...], text: str) -> Path:
    """The testbed of a run of this scenario with this program."""
    config, bed = scratch / "steps.toml", scratch / "testbed"
    config.write_text(text)
    with_it = ("--config", config, "--kopia", program, "--testbed", bed)
    ran = snapstorm("run", *with_it, "--seed", "3", "--operation-timeout", "20s", *mode)
    assert ran.status in (0, 1), ran.stderr
    return bed


def run_script(script: Path, program: Path, **environment: str) -> tuple[int, str]:
    """Its exit status, and what it prints."""
    done = subprocess.run(
        ["bash", str(script), str(program)],
        env={"PATH": os.environ["PATH"], "TMPDIR": str(script.parent), **environment},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        timeout=GIVE_UP_SECONDS,
        check=False,
    )
    assert done.stderr == ""
    return done.returncode, done.stdout


RESTORED = (*TAKEN, "restore-random-snapshot")
LISTED = (*TAKEN, "list-snapshots")
DELETED = (*TAKEN, "delete-random-snapshot", "list-snapshots")
KINDS = {
    "a restore fails": (Guarantee.RESTORED_EXACTLY, RESTORE_FAILS, RESTORED),
    "a restore loses a file": (Guarantee.RESTORED_EXACTLY, RESTORE_LOSES_A_FILE, RESTORED),
    "a creation fails": (Guarantee.AVAILABLE, CREATE_FAILS, TAKEN),
    "a deletion fails": (Guarantee.AVAILABLE, DELETE_FAILS, DELETED),
    "a listing fails": (Guarantee.AVAILABLE, LIST_FAILS, LISTED),
    "a listing omits one": (Guarantee.ACKNOWLEDGED_STAYS_LISTED, LIST_OMITS_THE_NEWEST, LISTED),
    "a deletion does nothing": (Guarantee.DELETED_STAYS_GONE, DELETE_DOES_NOTHING, DELETED),
    "a creation is cut off": (Guarantee.IN_DOUBT_ABSENT_OR_EXACT, CREATE_IS_CUT_OFF_AND_WRONG, LISTED),
    "a listing shows a ghost": (Guarantee.NOTHING_UNREQUESTED, LIST_SHOWS_A_GHOST, LISTED),
    "a creation miscounts": (Guarantee.PARTIAL_IS_REPORTED, CREATE_COUNTS_ONE_TOO_MANY, TAKEN),
    "an epoch is compacted twice": (Guarantee.LAYOUT_IS_SOUND, ONE_EPOCH_IS_COMPACTED_TWICE, LISTED),
}
"""What is found with which program, by one client that works directly on the repository."""

SERVER_KINDS = {
    "others are shown": (Guarantee.CLIENTS_ISOLATED, SHOWS_OTHERS, LISTED),
    "any password is right": (Guarantee.CLIENTS_ISOLATED, TAKES_ANY_PASSWORD, TAKEN),
}
"""The same by two clients of a server."""


LONG = {"a restore fails", "a creation fails", "a deletion fails", "any password is right"}
"""Another kind shows the same guarantee by default."""


@pytest.mark.usefixtures("nothing_left")
@pytest.mark.parametrize(
    ("kind", "mode"),
    [
        pytest.param(kind, mode, id=kind, marks=pytest.mark.long if kind in LONG else ())
        for kinds, mode in ((KINDS, DIRECT), (SERVER_KINDS, SERVER))
        for kind in kinds
    ],
)
def test_the_program_that_was_run_shows_it_and_the_honest_one_does_not(
    scratch: Path, real_kopia: Path, wrapper: Make, kind: str, mode: tuple[str, ...]
) -> None:
    """Recorded with a program that misbehaves each time."""
    guarantee, body, steps = (KINDS | SERVER_KINDS)[kind]
    program = wrapper(body)
    script = make_script(record(scratch, program, mode, scenario(*steps, clients=int(mode[-1]))), guarantee)
    status, printed = run_script(script, program)
    assert (status, "SHOWN: " in printed) == (1, True), printed
    assert run_script(script, real_kopia) == (0, "not shown\n")


def test_each_guarantee_that_a_script_judges_is_tried_above() -> None:
    """So that none is claimed that was never shown."""
    assert {guarantee for guarantee, _, _ in (KINDS | SERVER_KINDS).values()} == {
        guarantee for guarantee, why_not in WHY_NOT.items() if why_not is None
    }


def make_script(bed: Path, guarantee: Guarantee) -> Path:
    """The script of a run that has found this, as shrinking writes it."""
    with read_testbed(bed) as ledger:
        found = [row.violation for row in ledger.recorded_violations(1)]
    assert guarantee in {violation.guarantee for violation in found}
    return write_script(bed, Shown(guarantee, {one.operation for one in found if one.guarantee is guarantee}))


def write_script(bed: Path, shown: Shown) -> Path:
    """The script of a run, whatever it has found."""
    file = bed.parent / "reproduce.sh"
    with read_testbed(bed) as ledger:

        def manifest_of(digest: str) -> Manifest | None:
            try:
                return ledger.manifest(digest)
            except LedgerError:
                return None

        file.write_text("\n".join(Script(manifest_of).lines(list(ledger.record.commands(1)), shown)) + "\n")
    return file


WAYS = {
    "a restore writes nothing": (RESTORE_WRITES_NOTHING, "is not what was written"),
    "a creation answers garbage": (CREATE_ANSWERS_GARBAGE, "no snapshot is named"),
    "a creation leaves something out": (CREATE_LEAVES_OUT, "something was left out"),
    "a creation hangs": (CREATE_HANGS, "no end after 5 s"),
    "a creation gives another id": (CREATE_GIVES_ANOTHER_ID, "acknowledged under the id of"),
    "a creation takes two": (CREATE_TAKES_TWO, "nobody has asked for it"),
    "a creation loses tags": (CREATE_LOSES_TAGS, "without the tag"),
    "a listing fails": (LIST_FAILS, "has to succeed: snapshot list"),
    "a listing shows one twice": (LIST_SHOWS_ONE_TWICE, "is listed 2 times"),
    "a listing moves one": (LIST_MOVES_ONE, "is listed as one of"),
    "a listing calls one incomplete": (LIST_CALLS_ONE_INCOMPLETE, "is listed as incomplete"),
    "a listing changes an id": (LIST_CHANGES_AN_ID, "and it is not listed"),
    "a deletion takes another": (DELETE_TAKES_ANOTHER, "although its deletion was acknowledged"),
    "retention does nothing": (EXPIRE_DOES_NOTHING, "although its deletion was acknowledged"),
    "retention takes one too many": (EXPIRE_TAKES_ONE_TOO_MANY, "and it is not listed"),
    "a collection does nothing": (COLLECTION_DOES_NOTHING, "nothing was done: maintenance run"),
    "a check complains": (VERIFY_COMPLAINS, "has to succeed: snapshot verify"),
    "manifests are gone": (MANIFESTS_ARE_GONE, "and it is not listed"),
}
"""More ways to misbehave, each with what is said of it."""

WAYS_OF_SERVERS = {
    "removed users are kept": (KEEPS_REMOVED_USERS, "was removed, and is let in"),
    "any password is right": (TAKES_ANY_PASSWORD, "with a wrong password was let in"),
    "others are shown": (SHOWS_OTHERS, "is shown snapshot"),
}


@pytest.mark.long
@pytest.mark.parametrize(("ways", "mode"), [(WAYS, DIRECT), (WAYS_OF_SERVERS, SERVER)])
def test_each_way_to_misbehave_is_shown(
    scratch: Path, real_kopia: Path, wrapper: Make, ways: dict[str, tuple[str, str]], mode: tuple[str, ...]
) -> None:
    """With the commands of one honest run."""
    text = scenario(*EVERYTHING, clients=int(mode[-1]))
    script = write_script(record(scratch, real_kopia, mode, text), Shown(Guarantee.AVAILABLE, {None}))
    assert run_script(script, real_kopia) == (0, "not shown\n")
    for name, (body, words) in ways.items():
        status, printed = run_script(script, wrapper(body), SECONDS_MAX="5" if "hangs" in name else "60")
        assert status == 1, name
        assert words in printed, (name, printed)


@pytest.mark.long
@pytest.mark.parametrize("mode", [DIRECT, SERVER])
def test_nothing_is_shown_of_a_long_history_with_an_honest_program(
    scratch: Path, real_kopia: Path, mode: tuple[str, ...]
) -> None:
    """Whatever clients do, and with trees that are too large for the script or not known any more."""
    script = write_script(record(scratch, real_kopia, mode, HISTORY), Shown(Guarantee.AVAILABLE, {None}))
    assert run_script(script, real_kopia) == (0, "not shown\n")


@pytest.mark.long
def test_what_shrinking_leaves_shows_a_restore_that_fails(scratch: Path, real_kopia: Path, wrapper: Make) -> None:
    """From the run to the script."""
    program, bed, out = wrapper(RESTORE_FAILS), scratch / "bed", scratch / "out"
    files = ("--option", "write-random-files.size_bytes=0..20000", "--option", "write-random-files.count=3")
    many = ("--seed", "3", "--actions", "12", "--clients", "2", *files)
    assert snapstorm("run", "--testbed", bed, "--kopia", program, *many).status == 1
    assert snapstorm("shrink", bed, "--minutes", "3", "--output", out, seconds_max=GIVE_UP_SECONDS).status == 0
    assert run_script(out / "reproduce.sh", program)[0] == 1
    assert run_script(out / "reproduce.sh", real_kopia) == (0, "not shown\n")
