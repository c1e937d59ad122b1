"""A Kopia that lies is found out: wrappers around the real one, each breaking one promise."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.e2e.commandline import SMALL, scenario, snapstorm

SCENARIO = scenario(
    "write-random-files count = 20, size_bytes = '5000..30000', odd_percent = 0",
    "snapshot-root",
    "modify-files",
    "snapshot-root",
    "restore-random-snapshot",
    "delete-random-snapshot",
    "list-snapshots",
    clients=1,
)

FLIPS_A_BYTE = """
if argv[:1] == ["restore"] and nth(1):
    done = run(argv)
    destination = pathlib.Path(positional()[-1])
    victim = max((path for path in destination.rglob("*") if path.is_file()), key=lambda path: path.stat().st_size)
    stat = victim.stat()
    content = bytearray(victim.read_bytes())
    content[4500] ^= 0x20
    with open(victim, "r+b") as file:
        file.write(content)
    os.utime(victim, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    end_like(done)
"""

IGNORES_DELETIONS = """
if argv[:2] == ["snapshot", "delete"]:
    sys.exit(0)
"""

DELETES_WHAT_IT_ACKNOWLEDGED = """
if argv[:2] == ["snapshot", "create"] and nth(2):
    done = run(argv)
    run(["snapshot", "delete", json.loads(done.stdout)["id"], "--delete"])
    end_like(done)
"""


ACKNOWLEDGES_IN_GARBAGE = """
if argv[:2] == ["snapshot", "create"] and nth(2):
    run(argv)
    print('{"id": 5')
    sys.exit(0)
"""

SHOWS_A_GHOST = """
if argv[:2] == ["snapshot", "list"] and nth(2):
    listed = json.loads(run(argv).stdout)
    listed.append({**listed[0], "id": "1" * 32, "tags": {}})
    answer(listed)
"""

DATES_TO_2001 = """
if argv[:2] == ["snapshot", "list"] and nth(2):
    listed = json.loads(run(argv).stdout)
    listed[0]["startTime"] = "2001-02-03T04:05:06Z"
    answer(listed)
"""

TELLS_NO_TIME = """
if argv[:2] == ["snapshot", "create"] and nth(2):
    shown = json.loads(run(argv).stdout)
    answer({**shown, "startTime": "yesterday"})
"""

CLAIMS_A_FULL_DISK = """
if argv[:2] == ["snapshot", "create"] and nth(2):
    sys.exit("error uploading: no space left on device")
"""

HANGS_AFTER_DELETING = """
if argv[:2] == ["snapshot", "delete"]:
    run(argv)
    import time

    time.sleep(600)
"""

HANGS_WITHOUT_THE_SERVER = """
if argv[:1] == ["restore"] and "/clients/" not in os.environ["KOPIA_CONFIG_PATH"]:
    import time

    time.sleep(600)
"""

LOSES_PACKS_AFTER_THE_LAST_ACTION = """
if argv[:2] == ["snapshot", "list"] and nth(2):
    done = run(argv)
    bed = pathlib.Path(os.environ["KOPIA_CONFIG_PATH"].partition("/clients/")[0])
    for pack in (bed / "repository" / "p").rglob("*.f"):
        pack.unlink()
    end_like(done)
"""


ENTRIES = {
    IGNORES_DELETIONS: "It is entered, and no content that is in use says that it was deleted: it is listed.",
    DELETES_WHAT_IT_ACKNOWLEDGED: "It is entered, and so is its deletion: it is not to be listed.",
    SHOWS_A_GHOST: "No content mentions it.",
}
"""What Kopia itself has written down of the snapshot concerned."""


LIES = {
    "flips-a-byte": (FLIPS_A_BYTE, "restored-exactly"),
    "ignores-deletions": (IGNORES_DELETIONS, "deleted-stays-gone"),
    "deletes-what-it-acknowledged": (DELETES_WHAT_IT_ACKNOWLEDGED, "acknowledged-stays-listed"),
    "shows-a-ghost": (SHOWS_A_GHOST, "nothing-unrequested"),
    "loses-packs-that-caches-still-hold": (LOSES_PACKS_AFTER_THE_LAST_ACTION, "restored-exactly"),
    "claims-a-full-disk": (CLAIMS_A_FULL_DISK, "available"),
}
SCENARIOS = {
    # Without a restore, which would be the first to fail.
    DELETES_WHAT_IT_ACKNOWLEDGED: scenario(
        "write-random-files", "snapshot-root repeat = 2", "list-snapshots", clients=1
    )
}
NEED_A_SERVER = {
    LOSES_PACKS_AFTER_THE_LAST_ACTION,
    HANGS_WITHOUT_THE_SERVER,
}
"""A server. The others show it as well with a client that works directly, in half the time."""
SEEN_ELSEWHERE = {
    "acknowledges-in-garbage": (ACKNOWLEDGES_IN_GARBAGE, "available"),
    "dates-to-2001": (DATES_TO_2001, "acknowledged-stays-listed"),
    "tells-no-time": (TELLS_NO_TIME, "available"),
    "hangs-after-deleting": (HANGS_AFTER_DELETING, "available"),
    "hangs-without-the-server": (HANGS_WITHOUT_THE_SERVER, "available"),
}
"""What the simulated target does in `tests/power` (misdated listings, operations that hang), what `tests/contract` has
of an operation over its time, and what the readers of answers are given in `tests/unit`."""


@pytest.mark.usefixtures("nothing_left")
@pytest.mark.parametrize(
    ("body", "guarantee"),
    [
        *(pytest.param(*lie, id=name) for name, lie in LIES.items()),
        *(pytest.param(*lie, id=name, marks=pytest.mark.long) for name, lie in SEEN_ELSEWHERE.items()),
    ],
)
def test_a_lying_kopia_is_found_out(body: str, guarantee: str, wrapper: Callable[[str], Path], scratch: Path) -> None:
    """The run ends violated with status 1, names the guarantee, and keeps evidence of it."""
    config = scratch / "scenario.toml"
    config.write_text(SCENARIOS.get(body, SCENARIO))
    mode = () if body in NEED_A_SERVER else ("--mode", "direct")
    ran = snapstorm(
        "run", "--config", config, "--kopia", wrapper(body), "--testbed", scratch / "testbed", "--json", "--seed", "5",
        "--operation-timeout", "15s" if "sleep" in body else "60s", *mode,
    )  # fmt: skip
    assert ran.status == 1, ran.stderr
    assert ran.json["verdict"] == "violated"
    violations = [found for found in ran.json["violations"] if found["guarantee"] == guarantee]
    assert violations, ran.json["violations"]
    evidence = Path(violations[0]["evidence"])
    assert (evidence / "README.md").stat().st_size > 0
    assert "client.execute(" in (evidence / "program.py").read_text()
    if body == FLIPS_A_BYTE:
        check_flipped_byte(violations[0], evidence)
    if body in ENTRIES:
        assert ENTRIES[body] in (evidence / "entry.txt").read_text()
        assert "`entry.txt`" in (evidence / "README.md").read_text()


def check_flipped_byte(violation: dict[str, Any], evidence: Path) -> None:
    """The file, the offset and the kind are named, and the restored tree was kept."""
    assert violation["path"]
    assert "4,500" in violation["detail"] or "4500" in violation["detail"], violation["detail"]
    assert "flip" in violation["detail"] or "changed" in violation["detail"], violation["detail"]
    assert (evidence / "restored").is_dir()
    assert "restore" in (evidence / "commands.txt").read_text()


@pytest.mark.usefixtures("nothing_left")
def test_answers_that_can_not_be_stored_or_passed_on_are_found_out(
    wrapper: Callable[[str], Path], scratch: Path
) -> None:
    """They break `available`, each by the name of its field, and not the tool."""
    body = r"""
verb = argv[1] if argv[:1] == ["snapshot"] else ""
if verb in ("create", "list"):
    counter = counter.with_name("count-" + verb)
    nth(0)
    number = counter.stat().st_size
    answer = json.loads(run(argv).stdout)
    for one in [answer] if verb == "create" else answer:
        if (verb, number) == ("create", 1):
            one["id"] = "a\0b"
        elif (verb, number) == ("list", 1):
            one["source"]["path"] = "\ud800"
        elif (verb, number) == ("list", 2):
            one["tags"]["tag:operation"] = {"a": 1}
    print("[" * 200_000 if (verb, number) == ("create", 2) else json.dumps(answer))
    sys.exit(0)
"""
    config = scratch / "scenario.toml"
    config.write_text(SCENARIO)
    ran = snapstorm(
        "run", "--config", config, "--kopia", wrapper(body), "--testbed", scratch / "testbed", "--json", "--seed", "5",
        "--mode", "direct", "--keep-going",
    )  # fmt: skip
    assert ran.status == 1, ran.stderr
    assert ran.json["verdict"] == "violated"
    details = [found["detail"] for found in ran.json["violations"] if found["guarantee"] == "available"]
    for field in ("`$.id`", "nested too deeply", "].source.path`", "].tags["):
        assert any(field in detail for detail in details), (field, details)
    assert "internal error" not in ran.stderr


@pytest.mark.usefixtures("nothing_left")
@pytest.mark.parametrize(
    ("body", "words"),
    [
        ('if argv[:2] == ["server", "start"]:\n    sys.exit("ERROR boom")\n', "boom"),
        ('if argv[:3] == ["server", "users", "add"]:\n    sys.exit("ERROR no users today")\n', "no users today"),
    ],
    ids=["no-server", "no-users"],
)
def test_a_kopia_that_does_not_get_going_is_an_error(
    body: str, words: str, wrapper: Callable[[str], Path], scratch: Path
) -> None:
    """What fails before any client could work is no verdict on backups: status 3, with the reason, no traceback."""
    ran = snapstorm("run", "--kopia", wrapper(body), "--testbed", scratch / "testbed", "--progress", "none")
    assert ran.status == 3, ran.stderr
    assert words in ran.stderr
    assert "Traceback" not in ran.stderr


@pytest.mark.usefixtures("nothing_left")
def test_a_server_that_dies_is_reported(wrapper: Callable[[str], Path], scratch: Path) -> None:
    """A server that goes away by itself while clients are at work breaks `available`, and nothing hangs."""
    body = """
if argv[:2] == ["snapshot", "create"]:
    counter.touch()
if argv[:2] == ["server", "start"]:
    import time

    server = subprocess.Popen([real, *argv])
    deadline = time.monotonic() + 100
    while not counter.exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    time.sleep(0.3)
    server.kill()
    sys.exit(9)
"""
    ran = snapstorm(
        "run", "--kopia", wrapper(body), "--clients", "2", "--actions", "12", *SMALL, "--testbed", scratch / "testbed",
        "--json",
    )  # fmt: skip
    assert ran.status == 1, ran.stderr
    assert {violation["guarantee"] for violation in ran.json["violations"]} >= {"available"}
    assert "Traceback" not in ran.stderr


def test_a_wrapper_that_does_nothing_passes(wrapper: Callable[[str], Path], scratch: Path) -> None:
    """The same run through an honest wrapper passes: what was found above was the lie, not the wrapper."""
    config = scratch / "scenario.toml"
    config.write_text(SCENARIO)
    ran = snapstorm("run", "--config", config, "--kopia", wrapper(""), "--testbed", scratch / "testbed", "--json")
    assert ran.status == 0, ran.stderr
    assert ran.json["verdict"] == "pass"
