"""The defects that wrappers add to the real Kopia: one table, by the command that misbehaves.

They are those in which the real process matters: what it answers, how it ends, what it leaves behind, its server and
the repository itself. All others are planted at the protocol boundary, in `snapstorm.defects`.
"""

from __future__ import annotations

from snapstorm.model.guarantees import Guarantee
from snapstorm.model.work import WorkKind
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
    "create-leaves-a-temporary-file": _create(
        "A file stays in the temporary directory.",
        Guarantee.NO_LEAK,
        """
        import tempfile

        os.close(tempfile.mkstemp(prefix="upload-")[0])
        """,
        number=2,
    ),
    "create-leaves-a-process": _create(
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
    "list-leaves-a-file": WrapperDefect(
        "A file stays in the directory in which the command ran.",
        Guarantee.NO_LEAK,
        WorkKind.LIST,
        when("snapshot list", "pathlib.Path('listing.json').write_bytes(b'[]')", number=2),
    ),
}

WRAPPER_DEFECTS: dict[str, WrapperDefect] = {
    **LEAVING_BEHIND,
    "restore-writes-nothing": WrapperDefect(
        "A restore succeeds and writes nothing.",
        Guarantee.RESTORED_EXACTLY,
        WorkKind.RESTORE,
        when("restore", "sys.exit(0)", number=2),
    ),
    "create-never-ends": _create("A creation never ends.", _AVAILABLE, "wait_for_ever()"),
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
    "create-answers-garbage": _create(
        "A snapshot is taken, and the answer can't be read.",
        _AVAILABLE,
        "run(argv)\nprint('{\"id\": 5')\nsys.exit(0)",
    ),
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
    "delete-ends-with-1": WrapperDefect(
        "A deletion is done, and the exit status says that it failed.",
        _AVAILABLE,
        WorkKind.DELETE,
        when("snapshot delete", "end(run(argv), status=1)"),
    ),
    "expire-runs-nothing": WrapperDefect(
        "Retention is acknowledged and not applied.",
        Guarantee.DELETED_STAYS_GONE,
        WorkKind.EXPIRE,
        when("snapshot expire", "sys.exit(0)"),
    ),
    "maintenance-does-nothing": WrapperDefect(
        "A collection is acknowledged and not done.",
        _AVAILABLE,
        WorkKind.COLLECT,
        when("maintenance run", "sys.exit(0)"),
    ),
    "maintenance-is-only-quick": WrapperDefect(
        "A full collection is acknowledged, and only a quick one done.",
        _AVAILABLE,
        WorkKind.COLLECT,
        when("maintenance run", "argv = [{'--full': '--no-full'}.get(word, word) for word in argv]"),
    ),
    # Not `verify-agrees`, which takes a restore to contradict: a check that fails on good data is not available.
    "verify-complains-of-good-data": WrapperDefect(
        "The check finds damage where there is none.",
        _AVAILABLE,
        WorkKind.VERIFY,
        when("snapshot verify", "sys.exit('ERROR error processing a/b: invalid checksum at BLOB p1')"),
    ),
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
