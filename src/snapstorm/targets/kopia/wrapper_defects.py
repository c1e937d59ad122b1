"""The defects that wrappers add to the real Kopia: one table, by the command that misbehaves."""

from __future__ import annotations

import os
import textwrap

from snapstorm.model.guarantees import Guarantee
from snapstorm.model.work import WorkKind
from snapstorm.targets.kopia.invisible_defects import OUT_OF_SIGHT, TAKES_STALE_CONTENT, TOUCHING_SOURCES
from snapstorm.targets.kopia.leaving_defects import LEAVING_BEHIND
from snapstorm.targets.kopia.metadata_defects import CLAIM_ALL, LIST_AS_CLAIMED, TELLING_WRONG
from snapstorm.targets.kopia.wrappers import WrapperDefect


def _restore(
    sentence: str,
    victims: str,
    damage: str,
    *,
    after: str = "pass",
    shown_by: WorkKind = WorkKind.RESTORE,
    needs_root: bool = False,
) -> WrapperDefect:
    """Every second restore that has a victim is damaged after it was done. `tree` is what was restored; `after` is done
    when times have been set back to what they were before the damage."""
    body = f"""
if asks_for("restore"):
    done, tree = run(argv), pathlib.Path(argv[-1])
    victims = {victims} if done.returncode == 0 else []
    if victims and every(2, "restore"):
        victim = victims[len(victims) // 2]
        with times_kept(victim.parent, victim):
{textwrap.indent(textwrap.dedent(damage).strip(), " " * 12)}
        {after}
    end(done)
"""
    return WrapperDefect(sentence, Guarantee.RESTORED_EXACTLY, shown_by, body, needs_root)


def _before(
    command: str, work: WorkKind, guarantee: Guarantee, sentence: str, body: str, *, number: int = 1
) -> WrapperDefect:
    """Each time that this command is asked for, or every second or third time, something else is done."""
    words = ", ".join(repr(word) for word in command.split())
    block = f"\nif asks_for({words}) and every({number}, 'asked'):\n" + textwrap.indent(
        textwrap.dedent(body).strip(), "    "
    )
    return WrapperDefect(sentence, guarantee, work, block + "\n")


def _create(sentence: str, guarantee: Guarantee, body: str, *, number: int = 3) -> WrapperDefect:
    return _before("snapshot create", WorkKind.CREATE, guarantee, sentence, body, number=number)


def _list(sentence: str, guarantee: Guarantee, body: str, *, shown_by: WorkKind = WorkKind.LIST) -> WrapperDefect:
    """Every second listing that shows anything shows `listed`, as the body has changed it."""
    block = f"""
if asks_for("snapshot", "list"):
    done = run(argv)
    listed = sorted(shown_by(done) or [], key=lambda entry: entry["startTime"])
    if listed and every(2, "list"):
{textwrap.indent(textwrap.dedent(body).strip(), " " * 8)}
        end(done, listed)
    end(done)
"""
    return WrapperDefect(sentence, guarantee, shown_by, block)


def _delete(sentence: str, guarantee: Guarantee, body: str) -> WrapperDefect:
    return _before("snapshot delete", WorkKind.DELETE, guarantee, sentence, body)


def _expire(sentence: str, guarantee: Guarantee, body: str) -> WrapperDefect:
    return _before("snapshot expire", WorkKind.EXPIRE, guarantee, sentence, body)


def _retention(sentence: str, guarantee: Guarantee, change: int) -> WrapperDefect:
    """The policy that an expiry goes by keeps more, or fewer, than it was told to."""
    body = f"""
if asks_for("policy", "set") and "@" in argv[2]:
    at = next(at for at, word in enumerate(argv) if word.startswith("--keep-latest="))
    number = int(argv[at].partition("=")[2])
    if number < 1000:
        strike()
        argv[at] = f"--keep-latest={{number + {change}}}"
"""
    return WrapperDefect(sentence, guarantee, WorkKind.EXPIRE, body)


def _collect(sentence: str, guarantee: Guarantee, body: str) -> WrapperDefect:
    return _before("maintenance run", WorkKind.COLLECT, guarantee, sentence, body)


def _exclude(patch: str) -> str:
    """A creation that leaves one file out. `patch` changes what is told of it."""
    return f"""
if asks_for("snapshot", "create"):
    source = pathlib.Path(argv[-1])
    victims = full_files(source)
    if victims and every(3, "create"):
        size = victims[0].stat().st_size

        def leave_out(copy):
            victim = copy / victims[0].relative_to(source)
            with times_kept(victim.parent):
                victim.unlink()

        done = take_copy(leave_out)
        shown = shown_by(done)
        if shown:
            summary = shown["rootEntry"]["summ"]
{textwrap.indent(textwrap.dedent(patch).strip() or "pass", " " * 12)}
        end(done, shown)
"""


_OLDER = """
if asks_for("restore") and "/" not in argv[1]:
    found = snapshots()
    wanted = [entry for entry in found if entry["id"] == argv[1]]
    older = [
        entry
        for entry in found
        if wanted and entry["source"] == wanted[0]["source"] and entry["startTime"] < wanted[0]["startTime"]
        and entry["rootEntry"]["obj"] != wanted[0]["rootEntry"]["obj"]
    ]
    if older and every(2, "restore"):
        argv[1] = older[-1]["id"]
"""

_COMES_BACK = """
import json
gone = state / f"gone-{client}"
if asks_for("snapshot", "delete"):
    entries = [entry for entry in snapshots() if entry["id"] == argv[2]]
    gone.write_text(json.dumps(entries))
elif asks_for("snapshot", "list") and gone.exists():
    strike()
    done = run(argv)
    listed = shown_by(done)
    end(done, None if listed is None else listed + json.loads(gone.read_text()))
"""

_FORGETS_USERS = """
if asks_for("server", "users", "delete"):
    (state / "removed").touch()
elif asks_for("server", "refresh") and (state / "removed").exists():
    strike()
    sys.exit(0)
"""

_ANY_PASSWORD = """
if "impostors" in config.parts:
    strike()
    os.environ["KOPIA_PASSWORD"] = secret(f"client {client}")
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

_A, _R = Guarantee.AVAILABLE, Guarantee.RESTORED_EXACTLY
_STAYS, _GONE = Guarantee.ACKNOWLEDGED_STAYS_LISTED, Guarantee.DELETED_STAYS_GONE
_UNREQUESTED, _ISOLATED = Guarantee.NOTHING_UNREQUESTED, Guarantee.CLIENTS_ISOLATED
_PARTIAL = Guarantee.PARTIAL_IS_REPORTED

_ALL: dict[str, WrapperDefect] = {
    # Restores.
    "restore-flips-a-byte": _restore(
        "One bit of one file comes back flipped.",
        "full_files(tree)",
        """
        content = bytearray(victim.read_bytes())
        content[len(content) // 2] ^= 0x20
        victim.write_bytes(content)
        """,
    ),
    "restore-truncates-a-file": _restore(
        "One file comes back without its last byte.",
        "full_files(tree)",
        "os.truncate(victim, victim.stat().st_size - 1)",
    ),
    "restore-zeroes-the-tail": _restore(
        "The second half of one file comes back as zeros.",
        "[path for path in full_files(tree) if path.read_bytes()[path.stat().st_size // 2 :].strip(b'\\0')]",
        """
        content = victim.read_bytes()
        half = len(content) // 2
        victim.write_bytes(content[:half] + bytes(len(content) - half))
        """,
    ),
    "restore-appends-a-byte": _restore(
        "One file comes back one byte longer.",
        "files(tree)",
        "victim.write_bytes(victim.read_bytes() + b'x')",
    ),
    "restore-loses-a-file": _restore("One file does not come back.", "files(tree)", "victim.unlink()"),
    "restore-loses-an-empty-directory": _restore(
        "An empty directory does not come back.",
        "empty_directories(tree)",
        "victim.rmdir()",
        shown_by=WorkKind.RESTORE_EMPTY_DIRECTORY,
    ),
    "restore-adds-a-file": _restore(
        "A file comes back that was never there.",
        "[path for path in files(tree) if path != tree]",
        "(victim.parent / 'new').write_bytes(b'')",
    ),
    "restore-renames-a-file": _restore(
        "One file comes back under another name.",
        "[path for path in files(tree) if path != tree]",
        "victim.rename(victim.with_name('another name'))",
    ),
    "restore-changes-a-mode": _restore(
        "One file comes back with another mode.", "files(tree)", "victim.chmod(victim.stat().st_mode ^ 0o001)"
    ),
    "restore-changes-an-owner": _restore(
        "One file comes back with another owner; only root can restore owners.",
        "files(tree)",
        "os.chown(victim, victim.stat().st_uid + 1, -1)",
        needs_root=True,
    ),
    "restore-changes-an-mtime": _restore(
        "One file comes back one nanosecond younger.",
        "files(tree)",
        "pass",
        after="os.utime(victim, ns=(victim.stat().st_atime_ns, victim.stat().st_mtime_ns + 1))",
    ),
    "restore-changes-a-link": _restore(
        "A link comes back pointing elsewhere.",
        "links(tree)",
        """
        target = os.readlink(victim)
        victim.unlink()
        victim.symlink_to(target + 'x')
        """,
        shown_by=WorkKind.RESTORE_LINK,
    ),
    "restore-swaps-two-files": _restore(
        "Two files come back with each other's content.",
        "[path for path in full_files(tree) if path.read_bytes() != full_files(tree)[0].read_bytes()]",
        """
        other = full_files(tree)[0]
        with times_kept(other):
            mine, others = victim.read_bytes(), other.read_bytes()
            victim.write_bytes(others)
            other.write_bytes(mine)
        """,
    ),
    "restore-gives-an-older-snapshot": WrapperDefect(
        "An older snapshot of the same source comes back.", _R, WorkKind.RESTORE, _OLDER
    ),
    "restore-writes-nothing": _before(
        "restore", WorkKind.RESTORE, _R, "A restore succeeds and writes nothing.", "sys.exit(0)", number=2
    ),
    "restore-fails": WrapperDefect(
        "Every third restore of a client fails.",
        _A,
        WorkKind.RESTORE,
        "if asks_for('restore') and every(3, f'restore-{client}'):\n    sys.exit('ERROR restore failed')\n",
    ),
    # Creations.
    "create-acknowledges-and-deletes": _create(
        "A snapshot is acknowledged and deleted afterwards.",
        _STAYS,
        """
        done = run(argv)
        run(["snapshot", "delete", shown_by(done)["id"], "--delete"])
        end(done)
        """,
    ),
    "create-acknowledges-and-does-nothing": _create(
        "A snapshot is acknowledged that was never taken.",
        _STAYS,
        """
        done = run(argv)
        shown = shown_by(done)
        run(["snapshot", "delete", shown["id"], "--delete"])
        end(done, {**shown, "id": "f" * 32})
        """,
    ),
    "create-gives-another-id": WrapperDefect(
        "A new snapshot is acknowledged under an older one's id.",
        _STAYS,
        WorkKind.CREATE,
        """
if asks_for("snapshot", "create"):
    older = snapshots()
    if older and every(3, "create"):
        done = run(argv)
        end(done, {**shown_by(done), "id": older[-1]["id"]})
""",
    ),
    "create-skips-a-file-and-lies": WrapperDefect(
        "A file is left out, and the counts claim all.",
        _R,
        WorkKind.CREATE,
        _exclude(CLAIM_ALL) + LIST_AS_CLAIMED,
    ),
    "create-skips-a-file": WrapperDefect(
        "A file is left out, and the counts say so; the status does not.", _PARTIAL, WorkKind.CREATE, _exclude("")
    ),
    "create-counts-one-too-many": _create(
        "The counts claim a file that was not there.",
        _PARTIAL,
        """
        done = run(argv)
        shown = shown_by(done)
        shown["rootEntry"]["summ"]["files"] += 1
        end(done, shown)
        """,
    ),
    "create-stores-stale-content": WrapperDefect(
        "A file that kept its size is not read again.", _R, WorkKind.CREATE, TAKES_STALE_CONTENT
    ),
    "create-fails-though-done": _create(
        "A snapshot is taken, and the status says that it failed.",
        _A,
        "done = run(argv)\nend(done, status=1)",
    ),
    "create-hangs": _create("A creation never ends.", _A, "wait_for_ever()"),
    "create-is-incomplete": _create(
        "A snapshot is acknowledged as incomplete, without a reason.",
        _A,
        """
        done = run(argv)
        shown = shown_by(done)
        shown["rootEntry"]["summ"]["incomplete"] = "canceled"
        end(done, shown)
        """,
    ),
    "create-answers-garbage": _create(
        "A snapshot is taken, and the answer can't be read.",
        _A,
        "done = run(argv)\nprint('{\"id\": 5')\nsys.exit(0)",
    ),
    "create-takes-two": _create("Two snapshots are taken for one.", _UNREQUESTED, "run(argv)"),
    "create-loses-tags": _create(
        "A snapshot is taken without its tags.",
        _UNREQUESTED,
        "argv = [word for word in argv if not word.startswith('--tags')]",
    ),
    # Listings.
    "list-omits-the-newest": _list("A listing leaves the newest snapshot out.", _STAYS, "del listed[-1]"),
    "list-is-empty": _list("A listing shows nothing.", _STAYS, "listed = []"),
    "list-shows-a-ghost": _list(
        "A listing shows a snapshot that nobody asked for.",
        _UNREQUESTED,
        "listed.append({**listed[0], 'id': '1' * 32, 'tags': {}})",
    ),
    "list-shows-duplicates": _list(
        "A listing shows the newest snapshot twice.", _UNREQUESTED, "listed.append(listed[-1])"
    ),
    "list-changes-an-id": _list("A listing has a snapshot under another id.", _STAYS, "listed[-1]['id'] = '2' * 32"),
    "list-moves-a-snapshot": _list(
        "A listing has a snapshot under another source.", _STAYS, "listed[-1]['source']['path'] += '/elsewhere'"
    ),
    "list-calls-it-incomplete": _list(
        "A listing shows a complete snapshot as incomplete.", _STAYS, "listed[-1]['incomplete'] = 'checkpoint'"
    ),
    "list-shows-others": _list(
        "A client is shown the snapshots of others.",
        _ISOLATED,
        """
        server = str(bed() / "server" / "repository.config")
        end(run(argv, KOPIA_CONFIG_PATH=server, KOPIA_PASSWORD=secret("repository")))
        """,
        shown_by=WorkKind.LIST_AMONG_OTHERS,
    ),
    "list-fails": _list("Every second listing fails.", _A, "sys.exit('ERROR listing failed')"),
    # Deletions.
    "delete-is-ignored": _delete("A deletion is acknowledged and not done.", _GONE, "sys.exit(0)"),
    "delete-takes-another-too": _delete(
        "A deletion takes another snapshot of the client too.",
        _STAYS,
        """
        others = [entry["id"] for entry in snapshots() if entry["id"] != argv[2]]
        for other in others[:1]:
            run(["snapshot", "delete", other, "--delete"])
        """,
    ),
    "delete-takes-another-instead": _delete(
        "A deletion takes another snapshot of the client instead.",
        _GONE,
        """
        for other in [entry["id"] for entry in snapshots() if entry["id"] != argv[2]][:1]:
            argv[2] = other
        """,
    ),
    "delete-comes-back": WrapperDefect("A deleted snapshot is listed again.", _GONE, WorkKind.DELETE, _COMES_BACK),
    "delete-fails": _delete("A deletion fails.", _A, "sys.exit('ERROR delete failed')"),
    "delete-fails-though-done": _delete(
        "A deletion is done, and the status says that it failed.", _A, "done = run(argv)\nend(done, status=1)"
    ),
    # Retention.
    "expire-keeps-one-too-many": _retention("Retention leaves one of those that it must take.", _GONE, 1),
    "expire-takes-one-too-many": _retention("Retention takes one of those that it must keep.", _STAYS, -1),
    "expire-does-nothing": _expire("Retention is acknowledged and not applied.", _GONE, "sys.exit(0)"),
    "expire-fails": _expire("Retention fails.", _A, "sys.exit('ERROR expire failed')"),
    # Collections and checks.
    "maintenance-does-nothing": _collect("A collection is acknowledged and not done.", _A, "sys.exit(0)"),
    "maintenance-is-only-quick": _collect(
        "A full collection is acknowledged, and only a quick one done.",
        _A,
        "argv = [{'--full': '--no-full'}.get(word, word) for word in argv]",
    ),
    "maintenance-deletes-a-snapshot": _collect(
        "A collection deletes the newest snapshot.",
        _STAYS,
        "for entry in snapshots()[-1:]:\n    run(['snapshot', 'delete', entry['id'], '--delete'])",
    ),
    "maintenance-loses-content": _collect(
        "A collection deletes content that is in use.",
        _R,
        """
        done = run(argv)
        for pack in (bed() / "repository" / "p").rglob("*.f"):
            pack.unlink()
        end(done)
        """,
    ),
    "maintenance-fails": _collect("A collection fails.", _A, "sys.exit('ERROR maintenance failed')"),
    # Not `verify-agrees`, which takes a restore to contradict: a check that fails on good data is not available.
    "verify-complains-of-good-data": _before(
        "snapshot verify",
        WorkKind.VERIFY,
        _A,
        "The check finds damage where there is none.",
        "sys.exit('ERROR error processing a/b: invalid checksum at BLOB p1')",
    ),
    # The server.
    "server-keeps-removed-users": _before(
        "server users delete",
        WorkKind.REMOVED_CLIENT,
        _ISOLATED,
        "A client that was removed is still let in.",
        "sys.exit(0)",
    ),
    "server-removes-others-too": _before(
        "server users delete",
        WorkKind.REMOVED_CLIENT,
        _A,
        "With a client that is removed, others are shut out too.",
        """
        for number in (1, 2):
            run(["server", "users", "delete", f"client-{number}@snapstorm", "--no-auto-maintenance"])
        sys.exit(0)
        """,
    ),
    "server-does-not-refresh": WrapperDefect(
        "A server that was told to look again does not see that a client was removed.",
        _ISOLATED,
        WorkKind.REMOVED_CLIENT,
        _FORGETS_USERS,
    ),
    "server-takes-any-password": WrapperDefect(
        "Any password is right.", _ISOLATED, WorkKind.WRONG_PASSWORD, _ANY_PASSWORD
    ),
    "server-lets-everybody-read": _before(
        "server acl enable",
        WorkKind.LIST_AMONG_OTHERS,
        _ISOLATED,
        "Rights are set up so that each client may read everything.",
        """
        done = run(argv)
        run(["server", "acl", "add", "--user=*@*", "--target=type=snapshot", "--access=READ", "--no-auto-maintenance"])
        end(done)
        """,
    ),
    "server-dies": WrapperDefect("The server ends by itself while clients are at work.", _A, WorkKind.CREATE, _DIES),
    "connect-mixes-clients-up": WrapperDefect(
        "One client is connected as another.", _ISOLATED, WorkKind.LIST_AMONG_OTHERS, _MIXES_CLIENTS_UP
    ),
}

_ALL |= TOUCHING_SOURCES | OUT_OF_SIGHT | TELLING_WRONG | LEAVING_BEHIND

WRAPPER_DEFECTS: dict[str, WrapperDefect] = {
    name: defect for name, defect in _ALL.items() if os.geteuid() == 0 or not defect.needs_root
}
"""Every defect that a wrapper can add, and that the user of this process can see, by its name."""
