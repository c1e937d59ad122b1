"""What restic's answers mean, on answers that the real one gave (0.14.0, 0.16.5 and 0.18.1)."""

from __future__ import annotations

import json
import os
from typing import Any

import pytest

from snapstorm.errors import (
    AccessDenied,
    NoSpaceError,
    OperationFailed,
    OperationPartial,
    OperationTimedOut,
    OperationUnknown,
    RepositoryLocked,
    SnapstormError,
    TargetError,
    VersionRefused,
)
from snapstorm.model.abilities import SnapshotMarks
from snapstorm.model.action_results import ListedSnapshot, Particulars
from snapstorm.runtime.process import CompletedCommand
from snapstorm.targets.restic import answers, repository_answers, snapshot_answers

ID = "069e4b12e228d6c419563ed94127ce58c9962d006997c59c05924747461e03be"
PACK = "f07bc0e19a9b435cd01eb35b0f390e3f70ad7ee1c1b326c77844e69af14af2c0"
SUMMARY: dict[str, Any] = {
    "files_new": 3,
    "files_changed": 0,
    "files_unmodified": 0,
    "dirs_new": 7,
    "dirs_changed": 0,
    "dirs_unmodified": 0,
    "total_files_processed": 3,
    "total_bytes_processed": 106000,
    "backup_start": "2026-11-30T18:23:39.293620123Z",
    "backup_end": "2026-11-30T18:23:40.166877329Z",
}
CREATED = {"message_type": "summary", **SUMMARY, "snapshot_id": ID}
STATUS = {"message_type": "status", "percent_done": 1, "total_files": 3}
LISTED = {
    "time": "2026-11-30T18:23:39.293620123Z",
    "paths": ["/dev/shm/rr/src"],
    "hostname": "c1@h",
    "tags": ["testbed:T", "operation:1"],
    "summary": SUMMARY,
    "id": ID,
}
PARTICULARS = Particulars(
    1796063019_293620, 1796063020_166877, files=3, directories=4, size_bytes=106000, symlinks=None, failed_entries=None
)
LOCKED = (
    '{"message_type":"exit_error","code":11,"message":"unable to create lock in backend: repository is already locked '
    "by PID {} on vm by root (UID 0, GID 0)\\nlock was created at 2026-11-30 18:28:46 (1.465453507s ago)\\nstorage ID "
    '2ab54395\\nthe `unlock` command can be used to remove stale locks"}\n'
)
LOCKED_BEFORE = (
    "unable to create lock in backend: repository is already locked exclusively by PID {} on vm by root (UID 0, GID 0)"
    "\n"
    "lock was created at 2026-11-30 18:28:46 (3.453662251s ago)\nstorage ID 2ab54395\n"
    "the `unlock` command can be used to remove stale locks\n"
)
UNAUTHORIZED = (
    "Stat(<config/>) failed: unexpected HTTP response (401): 401 Unauthorized\n"
    '{"message_type":"exit_error","code":1,"message":"Fatal: unable to open config file: unexpected HTTP response '
    "(401): 401 Unauthorized\\nIs there a repository at the following location?\\n"
    'rest:https://client-1@host1:***@127.0.0.1:46679/client-1@host1/"}\n'
)
FORBIDDEN_BEFORE = (
    "unable to remove <snapshot/22ebde2aff> from the repository\n"
    "blob not removed, server response: 403 Forbidden (403)\n"
)
NOT_REMOVED = (
    "Remove(<snapshot/22ebde2aff>) failed: unexpected HTTP response (403): 403 Forbidden\nunable to remove "
    "snapshot/22ebde2affa75beb137be2f64ec7be81f600b1300db001878a92759fecab8117 from the repository\n"
)
NOT_FOUND = (
    'Ignoring "deadbeef": failed to load snapshot deadbeef: open /r/snapshots/deadbeef: no such file or directory\n'
)
WRONG_PASSWORD = '{"message_type":"exit_error","code":12,"message":"Fatal: wrong password or no key found"}\n'
LOST = (
    f"Load(<data/{PACK[:10]}>, 300050, 300050) failed: open /r/data/f0/{PACK}: no such file or directory\n"
    "ignoring error for /dev/shm/rr/dd/src/a: lchown /t/a: no such file or directory\nFatal: There were 2 errors\n\n"
)
DAMAGED = {
    "lost": f"pack {PACK}: does not exist\n\nFatal: repository contains errors\n",
    "cut": f"pack {PACK}: unexpected file size: got 200, expected 600218\nFatal: repository contains errors\n",
    "flipped": f"error for tree bd928f3a:\n  decrypting blob <tree/bd928f3a> from {PACK[:8]} failed: ciphertext "
    "verification failed\nFatal: repository contains errors\n",
}
SOUND = "read all data\n[0:00] 100.00%  4 / 4 packs\nno errors were found\n"


def ended(exit_code: int = 0, stdout: object = b"", stderr: str = "", *, timed_out: bool = False) -> CompletedCommand:
    output = stdout if isinstance(stdout, bytes) else json.dumps(stdout).encode()
    return CompletedCommand(
        argv=("/bin/restic", "some", "command"),
        env={},
        exit_code=exit_code,
        stdout=output,
        stderr=stderr.encode(),
        began_seconds=0.0,
        seconds=1.0,
        timed_out=timed_out,
    )


def said(*messages: object) -> bytes:
    return b"".join(json.dumps(message).encode() + b"\n" for message in messages)


def test_a_snapshot_is_acknowledged_by_its_summary() -> None:
    """The directories above the tree are not counted, and times are cut to microseconds."""
    receipt = snapshot_answers.read_receipt(ended(0, said(STATUS, CREATED)), "/dev/shm/rr/src", tells_counts=True)
    assert (receipt.id, receipt.particulars) == (ID, PARTICULARS)


def test_what_an_older_version_would_not_list_is_not_taken_from_a_receipt() -> None:
    """Otherwise a listing by that version would contradict it."""
    receipt = snapshot_answers.read_receipt(ended(0, said(CREATED)), "/src", tells_counts=False)
    assert (receipt.id, receipt.particulars) == (ID, Particulars())


@pytest.mark.parametrize(
    ("completed", "error"),
    [
        (ended(0, said(STATUS)), OperationUnknown),
        (ended(0, b""), OperationUnknown),
        (ended(0, said({**CREATED, "snapshot_id": ""})), OperationUnknown),
        (ended(0, b'{"message_type": "summary"'), OperationUnknown),
        (ended(0, said({**CREATED, "total_files_processed": -1})), OperationUnknown),
        (ended(3, said(CREATED), "error: lstat /src/x: no such file\n"), OperationPartial),
        (ended(1, said(STATUS), "Fatal: unable to save snapshot: context canceled\n"), OperationUnknown),
        (ended(-9, said(CREATED)), OperationUnknown),
        (ended(-9, said(CREATED), timed_out=True), OperationTimedOut),
        (ended(1, b"", "write /r/data/x: no space left on device\n"), NoSpaceError),
    ],
)
def test_anything_else_is_no_acknowledgement(completed: CompletedCommand, error: type[SnapstormError]) -> None:
    """Whatever its exit status says."""
    with pytest.raises(error) as raised:
        snapshot_answers.read_receipt(completed, "/src", tells_counts=True)
    assert "\n" not in str(raised.value)


def test_a_listing_tells_what_the_receipt_has_told() -> None:
    """By the tags it is found whose creation was cut off."""
    (listed,) = snapshot_answers.read_listing(ended(0, [LISTED]), tells_counts=True)
    assert listed == ListedSnapshot(ID, "c1@h", "/dev/shm/rr/src", "T", "1", None, particulars=PARTICULARS)
    (bare,) = snapshot_answers.read_listing(ended(0, [LISTED]), tells_counts=False)
    assert bare.particulars == Particulars(began_us=PARTICULARS.began_us)
    without_tags = {name: value for name, value in LISTED.items() if name not in ("tags", "summary")}
    (foreign,) = snapshot_answers.read_listing(ended(0, [without_tags]), tells_counts=True)
    assert (foreign.testbed, foreign.operation) == (None, None)
    assert snapshot_answers.read_marks(ended(0, [LISTED])) == {ID: SnapshotMarks("c1@h", "T")}
    assert snapshot_answers.read_source(ended(0, LISTED)) == "/dev/shm/rr/src"


@pytest.mark.parametrize(
    ("words", "error"),
    [
        (LOCKED.replace("{}", "15398"), RepositoryLocked),
        (LOCKED_BEFORE.replace("{}", "15398"), RepositoryLocked),
        (UNAUTHORIZED, AccessDenied),
        (FORBIDDEN_BEFORE, AccessDenied),
        (WRONG_PASSWORD, AccessDenied),
        ("Fatal: config version 3 not supported, min..max is 1..2\n", VersionRefused),
        ("Fatal: unable to open config file: dial tcp 127.0.0.1:1: connect: connection refused\n", OperationFailed),
    ],
)
def test_a_failure_says_what_is_known_of_it(words: str, error: type[TargetError]) -> None:
    """In one line that tells the reason."""
    with pytest.raises(error) as raised:
        answers.check(ended(1, b"", words), "snapshots", OperationFailed)
    assert type(raised.value) is error
    assert "\n" not in str(raised.value)
    assert not any(noise in str(raised.value) for noise in ("Is there a repository", "storage ID", "unlock"))


def test_a_lock_is_nobodys_once_its_process_has_ended() -> None:
    """Where restic names no process, that can't be told, and the operator's `unlock` decides."""
    assert not answers.is_locked_by_nobody(ended(11, b"", LOCKED.replace("{}", str(os.getpid()))))
    for words in (LOCKED, LOCKED_BEFORE):
        assert answers.is_locked_by_nobody(ended(11, b"", words.replace("{}", "999999999")))
    assert answers.is_locked_by_nobody(ended(1, b"", "repository is already locked by somebody\n"))
    assert not answers.is_locked_by_nobody(ended(1, b"", UNAUTHORIZED))
    assert not answers.is_locked_by_nobody(ended(0, b"", LOCKED.replace("{}", "999999999")))


@pytest.mark.parametrize("words", [NOT_FOUND, NOT_REMOVED])
def test_forget_that_ends_with_0_has_not_deleted_what_it_names(words: str) -> None:
    """As 0.18.1 does for an id that there is not, and where the server refuses (#5233)."""
    with pytest.raises(OperationFailed, match="did not delete"):
        snapshot_answers.check_deleted(ended(0, b"", words))
    snapshot_answers.check_deleted(ended(0, b"[0:00] 100.00%  1 / 1 files deleted\n"))
    with pytest.raises(OperationUnknown):
        snapshot_answers.check_deleted(ended(-9))


@pytest.mark.parametrize("words", DAMAGED.values(), ids=DAMAGED)
def test_damage_that_a_check_reports_names_the_pack(words: str) -> None:
    """By as many digits as restic prints; a fault excuses by the first eight."""
    with pytest.raises(OperationPartial, match="reports damage") as raised:
        snapshot_answers.check_verified(ended(1, b"", words))
    assert PACK[:8] in raised.value.blobs


def test_a_check_that_could_not_be_run_reports_no_damage() -> None:
    """Nor does one that does not say what it found."""
    with pytest.raises(OperationFailed) as raised:
        snapshot_answers.check_verified(ended(1, b"", "Fatal: unable to open config file: connection refused\n"))
    assert not isinstance(raised.value, OperationPartial)
    with pytest.raises(OperationFailed, match="does not say"):
        snapshot_answers.check_verified(ended(0))
    snapshot_answers.check_verified(ended(0, SOUND.encode()))


def test_a_collection_says_that_it_was_done() -> None:
    """An exit status of 0 alone may be anything's."""
    snapshot_answers.check_pruned(ended(0, b"removing 2 old packs\ndone\n"))
    with pytest.raises(OperationFailed, match="does not say"):
        snapshot_answers.check_pruned(ended(0, b"removing 2 old packs\n"))


def test_a_failed_restore_names_the_pack_that_is_lost() -> None:
    """It is named by ten digits and by all."""
    with pytest.raises(OperationFailed) as raised:
        answers.check(ended(1, b"", LOST), "restore", OperationFailed)
    assert PACK[:8] in raised.value.blobs
    assert "01234567" not in raised.value.blobs


def test_a_repository_is_known_by_its_id() -> None:
    """And there may be one already where one is to be made."""
    config = {"version": 2, "id": ID, "chunker_polynomial": "2ca064546f1721"}
    assert repository_answers.read_config(ended(0, config)) == repository_answers.RepositoryConfig(ID, 2)
    in_use = '{"message_type":"exit_error","code":1,"message":"Fatal: ... config file already exists\\n"}\n'
    assert repository_answers.is_in_use(ended(1, b"", in_use))
    assert not repository_answers.is_in_use(ended(1, b"", WRONG_PASSWORD))


def test_a_stack_is_not_what_it_says() -> None:
    """Of what `prune` says where a pack is missing, the cause and what it has failed (0.18.1)."""
    said = (
        "Load(<data/9fb569764c>, 242, 1019) failed: The specified key does not exist.\n"
        "The specified key does not exist.\nReadFull(<data/9fb569764c>)\n"
        "github.com/restic/restic/internal/backend.ReadAt\n"
        "\tgithub.com/restic/restic@v0.18.1/internal/backend/readerat.go:38\n"
        "runtime.goexit\n\truntime/asm_amd64.s:1771\n"
    )
    assert answers.last_words(said) == "ReadFull(<data/9fb569764c>): The specified key does not exist."


def test_a_partial_backup_says_what_it_could_not_do() -> None:
    """It may be a directory of the snapshot before, of which the pack is missing. 0.16.5 does not say what."""
    why = r"tree 96977f48 could not be loaded: ReadFull(\u003cdata/9fb569764c\u003e): The specified key does not exist."
    said = (
        '{"message_type":"error","error":%s,"during":"archival","item":"/"}\n'
        '{"message_type":"exit_error","code":3,"message":"Warning: at least one source file could not be read"}\n'
    )
    for error, words in (
        (
            f'{{"message":"{why}"}}',
            "left something out: tree 96977f48 could not be loaded: ReadFull",
        ),
        ("{}", "left something out: Warning: at least one source file could not be read"),
    ):
        with pytest.raises(OperationPartial, match=words):
            snapshot_answers.read_receipt(ended(3, b"", said % error), "/src", tells_counts=True)
