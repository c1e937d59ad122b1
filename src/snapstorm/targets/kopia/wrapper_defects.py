"""The defects that wrappers add to the real Kopia: one table, by the command that misbehaves.

They are those in which the real process matters: what it answers, how it ends, what it leaves behind, its server and
the repository itself. All others are planted at the protocol boundary, in `snapstorm.defects`.
"""

from __future__ import annotations

from snapstorm.model.guarantees import Guarantee
from snapstorm.model.work import WorkKind
from snapstorm.targets.command_wrappers import (
    COLLECTS_NOTHING,
    LEAVES_A_LISTING,
    LEAVES_A_PROCESS,
    LEAVES_A_TEMPORARY_FILE,
    NEVER_ENDS,
    RESTORES_NOTHING,
    complains_of_good_data,
    creates_and_answers,
    deletes_and_ends_with,
)
from snapstorm.targets.wrapper_programs import WrapperDefect, when


def _create(sentence: str, guarantee: Guarantee, body: str, *, number: int = 3) -> WrapperDefect:
    return WrapperDefect(sentence, guarantee, WorkKind.CREATE, when("snapshot create", body, number=number))


_CONTRADICTS_ITSELF = """
if asks_for("snapshot", "list"):
    done = run(argv)
    listed = sorted(shown_by(done) or [], key=lambda entry: entry["startTime"])
    if listed and every(2, "list"):
        listed[-1]["stats"]["dirCount"] += 1
        end(done, listed)
    end(done)
"""

_FORGETS_USERS = """
if asks_for("server", "users", "delete"):
    (state / "removed").touch()
elif asks_for("server", "refresh") and (state / "removed").exists():
    strike()
    sys.exit(0)
"""

_MIXES_CLIENTS_UP = """
if client.startswith("client-2@") and "impostors" not in config.parts:
    strike()
    os.environ["KOPIA_PASSWORD"] = secret("client client-1@" + client.partition("@")[2])
    argv = [word.replace("--override-username=client-2", "--override-username=client-1") for word in argv]
"""

_DIES = """
if asks_for("server", "start"):
    import subprocess, time

    server = subprocess.Popen([real, *argv])
    while server.poll() is None:
        time.sleep(0.05)
        created = state / "count-created"
        if created.exists() and created.stat().st_size >= 4:
            strike()
            server.kill()
    sys.exit(9)
if asks_for("snapshot", "create"):
    count("created")
"""

_AVAILABLE, _ISOLATED = Guarantee.AVAILABLE, Guarantee.CLIENTS_ISOLATED

LEAVING_BEHIND = {
    "create-leaves-a-temporary-file": LEAVES_A_TEMPORARY_FILE.of("snapshot create"),
    "create-leaves-a-process": LEAVES_A_PROCESS.of("snapshot create"),
    "list-leaves-a-file": LEAVES_A_LISTING.of("snapshot list"),
}

WRAPPER_DEFECTS: dict[str, WrapperDefect] = {
    **LEAVING_BEHIND,
    "restore-writes-nothing": RESTORES_NOTHING.of("restore"),
    "create-never-ends": NEVER_ENDS.of("snapshot create"),
    "create-is-incomplete": _create(
        "A snapshot is acknowledged as incomplete, without a reason.",
        _AVAILABLE,
        """
        done = run(argv)
        shown = shown_by(done)
        shown["rootEntry"]["summ"]["incomplete"] = "canceled"
        end(done, shown)
        """,
    ),
    "create-answers-garbage": creates_and_answers('{"id": 5').of("snapshot create"),
    "create-copies-elsewhere": _create(
        "A snapshot is stored a second time, where no client is shown it.",
        Guarantee.NOTHING_UNREQUESTED,
        """
        done = run(argv)
        run(
            ["snapshot", "create", argv[-1], "--override-source=root@elsewhere:/x", "--no-auto-maintenance"],
            KOPIA_CONFIG_PATH=str(bed() / "server" / "repository.config"),
            KOPIA_PASSWORD=secret("repository"),
        )
        end(done)
        """,
        number=2,
    ),
    "list-contradicts-itself": WrapperDefect(
        "A listing shows a snapshot with another number of directories in its statistics than in its summary.",
        Guarantee.ACKNOWLEDGED_STAYS_LISTED,
        WorkKind.LIST,
        _CONTRADICTS_ITSELF,
    ),
    "delete-ends-with-1": deletes_and_ends_with(1).of("snapshot delete"),
    "expire-runs-nothing": WrapperDefect(
        "Retention is acknowledged and not applied.",
        Guarantee.DELETED_STAYS_GONE,
        WorkKind.EXPIRE,
        when("snapshot expire", "sys.exit(0)"),
    ),
    "maintenance-does-nothing": COLLECTS_NOTHING.of("maintenance run"),
    "maintenance-is-only-quick": WrapperDefect(
        "A full collection is acknowledged, and only a quick one done.",
        _AVAILABLE,
        WorkKind.COLLECT,
        when("maintenance run", "argv = [{'--full': '--no-full'}.get(word, word) for word in argv]"),
    ),
    "verify-complains-of-good-data": complains_of_good_data(
        "ERROR error processing a/b: invalid checksum at BLOB p1"
    ).of("snapshot verify"),
    "server-does-not-refresh": WrapperDefect(
        "A server that was told to look again does not see that a client was removed.",
        _ISOLATED,
        WorkKind.REMOVED_CLIENT,
        _FORGETS_USERS,
    ),
    "server-lets-everybody-read": WrapperDefect(
        "Rights are set up so that each client may read everything.",
        _ISOLATED,
        WorkKind.LIST_AMONG_OTHERS,
        when(
            "server acl enable",
            """
            done = run(argv)
            acl = ["server", "acl", "add", "--user=*@*", "--target=type=snapshot", "--access=READ"]
            run([*acl, "--no-auto-maintenance"])
            end(done)
            """,
        ),
    ),
    "server-dies": WrapperDefect(
        "The server ends by itself while clients are at work.", _AVAILABLE, WorkKind.CREATE, _DIES
    ),
    "connect-mixes-clients-up": WrapperDefect(
        "One client is connected as another.", _ISOLATED, WorkKind.LIST_AMONG_OTHERS, _MIXES_CLIENTS_UP
    ),
}
"""Every defect that a wrapper adds, by its name."""
