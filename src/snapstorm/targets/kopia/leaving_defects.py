"""Defects that leave something behind: files where a command was to clean up, and a process that hides."""

from __future__ import annotations

from snapstorm.model.guarantees import Guarantee
from snapstorm.model.work import WorkKind
from snapstorm.targets.kopia.wrappers import WrapperDefect

_TEMPORARY_FILE = """
if asks_for("snapshot", "create") and every(2, "create"):
    import tempfile

    os.close(tempfile.mkstemp(prefix="upload-")[0])
"""

_IN_ITS_DIRECTORY = """
if asks_for("snapshot", "list") and every(2, "list"):
    pathlib.Path("listing.json").write_bytes(b"[]")
"""

_BESIDE = """
if asks_for("restore"):
    done, tree = run(argv), pathlib.Path(argv[-1])
    if done.returncode == 0 and every(2, "restore"):
        tree.with_name(".restore-journal").write_bytes(b"")
    end(done)
"""

_PROCESS = """
if asks_for("snapshot", "create") and every(2, "create"):
    import subprocess

    subprocess.Popen(
        ["/bin/sleep", "100"], env={}, cwd="/", start_new_session=True,
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )
"""

LEAVING_BEHIND = {
    "create-leaves-a-temporary-file": WrapperDefect(
        "A file stays in the temporary directory.", Guarantee.NO_LEAK, WorkKind.CREATE, _TEMPORARY_FILE
    ),
    "create-leaves-a-process": WrapperDefect(
        "A process stays that has left its group and cleared its environment.",
        Guarantee.NO_LEAK,
        WorkKind.CREATE,
        _PROCESS,
    ),
    "list-leaves-a-file": WrapperDefect(
        "A file stays in the directory in which the command ran.", Guarantee.NO_LEAK, WorkKind.LIST, _IN_ITS_DIRECTORY
    ),
    "restore-leaves-a-file-beside": WrapperDefect(
        "A restore leaves a file beside the restored tree.", Guarantee.NO_LEAK, WorkKind.RESTORE, _BESIDE
    ),
}
