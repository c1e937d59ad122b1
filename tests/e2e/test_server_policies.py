"""An operator's own policies and rights: expected where they can be, refused where not, and no cover for a loss."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from tests.e2e.commandline import Ran, scenario
from tests.e2e.test_operated_server import USERS, Operated, operated, run

pytestmark = pytest.mark.anyio

WITHOUT_DELETIONS = (
    "write-random-files count = 12, size_bytes = '5000..60000', odd_percent = 0",
    "snapshot-root",
    "snapshot-root",
    "modify-files",
    "snapshot-root",
    "snapshot-subpath",
)
ONE_SNAPSHOT = WITHOUT_DELETIONS[:2]
TWO_SNAPSHOTS = WITHOUT_DELETIONS[:3]
ONE_DELETION = (*ONE_SNAPSHOT, "delete-random-snapshot")
ONE_CLIENT = ("--clients", "1")
"""Alice alone."""
STEPS = (*WITHOUT_DELETIONS, "delete-random-snapshot", "expire keep_latest = 1")

DROPS_A_KEPT_FILE = """
if argv[:2] == ["snapshot", "create"] and "/data" in argv[-1]:
    source = pathlib.Path(argv[-1])
    small = [path for path in source.rglob("*") if path.is_file() and path.stat().st_size < 30000]
    kept = [path for path in small if not path.name.startswith("f")]
    if kept:
        run(["policy", "set", USER + ":" + str(source), "--add-ignore=/" + str(kept[0].relative_to(source))])
        done = run(argv)
        run(["policy", "set", USER + ":" + str(source), "--clear-ignore"])
        end_like(done)
"""
"""By a rule that is there only while the snapshot is taken."""

SAVES_NOTHING = """
if argv[:2] == ["snapshot", "create"] and argv[-1].endswith("/data"):
    counter = counter.with_name("count-" + USER)
    if nth(3):
        sys.exit(0)
"""
"""Each client's third time, which is after its files were changed."""

ACCEPTS_A_DELETION = """
if argv[:2] == ["snapshot", "delete"] and USER == "alice@laptop" and nth(2):
    sys.exit(0)
"""

CHANGES_POLICIES = """
if argv[:2] == ["snapshot", "create"] and argv[-1].endswith("/data"):
    counter = counter.with_name("count-" + USER)
    if nth(2) and USER == "alice@laptop":
        run(["policy", "set", USER, "--max-file-size=10000"])
    elif counter.stat().st_size == 2:
        run(["policy", "set", USER + ":" + argv[-1], "--keep-latest=1"])
"""
"""Alice's limit, and Bob's retention, before each one's second snapshot of all files."""

TAKES_A_RIGHT_AWAY = """
if argv[:2] == ["snapshot", "delete"] and USER == "alice@laptop" and not nth(1):
    sys.exit("error deleting manifest: access denied")
"""

WHO = """
USER = next((part for part in pathlib.Path(os.environ.get("KOPIA_CONFIG_PATH", "")).parts if "@" in part), "")
"""


async def as_operator(theirs: Operated, *words: str) -> None:
    """Have the operator do something, and the server see it."""
    completed = await theirs.server.kopia.run(theirs.server.repository.actor, *words)
    assert completed.exit_code == 0, completed.stderr
    await theirs.server.refresh()


async def run_scenario(theirs: Operated, bed: Path, *words: str | Path, steps: Sequence[str] = STEPS) -> Ran:
    config = bed.with_suffix(".toml")
    config.write_text(scenario(*steps))
    return await run("run", "--config", config, *theirs.words(bed), *words, "--yes", "--seed", "18", "--json")


def broken(ran: Ran) -> set[str]:
    assert ran.status == 1, ran.stderr
    return {violation["guarantee"] for violation in ran.json["violations"]}


async def judged_again(bed: Path) -> dict[str, Any]:
    return (await run("recheck", f"{bed}:1", "--json")).json


@pytest.mark.usefixtures("nothing_left")
async def test_what_policies_leave_out_is_expected_and_no_more(scratch: Path, wrapper: Callable[..., Path]) -> None:
    """Identical snapshots, a limit, rules: an honest Kopia passes; a file that is to be kept, or a change that was not
    saved, is missed all the same."""
    async with operated(scratch) as theirs:
        await as_operator(
            theirs, "policy", "set", "--global", "--ignore-identical-snapshots=true", "--max-file-size=30000",
            "--add-ignore=f*", "--add-ignore=*.tmp",
        )  # fmt: skip
        honest = await run_scenario(theirs, scratch / "honest")
        assert honest.status == 0, honest.stderr
        unsaved = honest.json["actions"]["snapshot-root"]["no_op"]
        assert unsaved >= 2
        assert honest.json["bytes_verified"] > 0
        again = await judged_again(scratch / "honest")
        assert (again["verdict"], again["violations"]) == ("pass", [])
        assert again["judged"]["unsaved"] >= unsaved

        dropping = await run_scenario(
            theirs, scratch / "dropping", *ONE_CLIENT, "--kopia", wrapper(WHO + DROPS_A_KEPT_FILE), steps=ONE_SNAPSHOT
        )
        assert broken(dropping) & {"partial-is-reported", "restored-exactly"}

        lazy = await run_scenario(
            theirs, scratch / "lazy", *ONE_CLIENT, "--kopia", wrapper(WHO + SAVES_NOTHING), steps=WITHOUT_DELETIONS[:-1]
        )
        assert broken(lazy) == {"partial-is-reported"}
        assert "nothing was saved" in lazy.json["violations"][0]["detail"]
        again = await judged_again(scratch / "lazy")
        assert [found["today"] for found in again["violations"]] == ["still"]


@pytest.mark.usefixtures("nothing_left")
async def test_rights_are_found_out_and_held_to(scratch: Path, wrapper: Callable[..., Path]) -> None:
    """Who may only append does no deletion, and one that is accepted is a violation. Who may only read is refused."""
    async with operated(scratch) as theirs:
        theirs.server.known.discard(USERS[0])  # So that it keeps no rights.
        await theirs.server.narrow_rights("nobody@nowhere")
        append = ("server", "acl", "add", f"--user={USERS[0]}", "--target=type=snapshot,username=alice,hostname=laptop")
        await as_operator(theirs, *append, "--access=READ")
        refused = await run_scenario(theirs, scratch / "refused")
        assert refused.status == 3
        assert "alice@laptop may not add snapshots; give it access APPEND or FULL" in refused.stderr.splitlines()[-1]
        assert not (scratch / "refused").exists()

        await as_operator(theirs, *append, "--access=APPEND", "--overwrite")
        honest = await run_scenario(theirs, scratch / "honest", steps=ONE_DELETION)
        assert honest.status == 0, honest.stderr
        assert honest.json["actions"]["delete-random-snapshot"]["no_op"] == 1
        assert honest.json["actions"]["delete-random-snapshot"]["ok"] == 1
        assert [note for note in honest.json["notes"] if "alice@laptop may not delete snapshots" in note]

        second = await run_scenario(
            theirs, scratch / "accepting", *ONE_CLIENT, "--kopia", wrapper(WHO + ACCEPTS_A_DELETION), steps=ONE_DELETION
        )
        assert broken(second) == {"clients-isolated"}
        assert "was let delete snapshot" in second.json["violations"][0]["detail"]


@pytest.mark.long  # On the simulated target: tests/unit/guarantees/test_settings.py.
@pytest.mark.usefixtures("nothing_left")
async def test_a_change_of_settings_leaves_unjudged_what_rests_on_it(
    scratch: Path, wrapper: Callable[..., Path]
) -> None:
    """A limit or retention that changes while snapshots are taken is no violation and no pass; the next run goes on
    from there. A setting under which nothing can be judged is refused before anything is made."""
    async with operated(scratch) as theirs:
        bed = scratch / "bed"
        changed = await run_scenario(theirs, bed, "--kopia", wrapper(WHO + CHANGES_POLICIES), steps=TWO_SNAPSHOTS)
        assert changed.status == 4, changed.stderr
        assert "settings of the server were changed" in changed.json["reason"]
        notes = "\n".join(changed.json["notes"])
        assert "max-file-size was 0, is 10000" in notes
        assert "retention was keeps all, is expires snapshots" in notes
        assert (await judged_again(bed))["violations"] == []

        after = await run_scenario(theirs, bed, *ONE_CLIENT, steps=ONE_SNAPSHOT)
        assert after.status == 0, after.stderr

        await as_operator(theirs, "policy", "set", "--global", "--ignore-file-errors=true")
        refused = await run_scenario(theirs, scratch / "refused")
        assert refused.status == 3
        assert "the policy of (global) sets --ignore-file-errors" in refused.stderr.splitlines()[-1]
        assert not (scratch / "refused").exists()


@pytest.mark.long  # On the simulated target: tests/unit/guarantees/test_settings.py.
@pytest.mark.usefixtures("nothing_left")
async def test_a_right_that_is_taken_away_leaves_unjudged_what_rests_on_it(
    scratch: Path, wrapper: Callable[..., Path]
) -> None:
    """Deletions that were allowed when the run began, and are refused later, are no violation and no pass."""
    async with operated(scratch) as theirs:
        denied = await run_scenario(
            theirs, scratch / "denied", *ONE_CLIENT, "--kopia", wrapper(WHO + TAKES_A_RIGHT_AWAY), steps=ONE_DELETION
        )
        assert denied.status == 4, denied.stderr
        assert "a deletion by alice@laptop was refused" in "\n".join(denied.json["notes"])
