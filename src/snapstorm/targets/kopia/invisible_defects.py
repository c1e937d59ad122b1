"""The defects of wrappers that touch what nobody shows: clients' files, and what stands beside their snapshots."""

from __future__ import annotations

from snapstorm.model.guarantees import Guarantee
from snapstorm.model.work import WorkKind
from snapstorm.targets.kopia.wrappers import WrapperDefect

_EATS = """
if asks_for("snapshot", "create"):
    done, victims = run(argv), full_files(pathlib.Path(argv[-1]))
    if victims and every(2, "create"):
        victims[0].unlink()
    end(done)
"""

_LITTERS = """
if asks_for("snapshot", "create") and every(2, "create"):
    done = run(argv)
    (pathlib.Path(argv[-1]) / ".cache-of-the-backup").write_bytes(b"left behind")
    end(done)
"""

_OVERWRITES = """
if asks_for("restore"):
    done, tree = run(argv), pathlib.Path(argv[-1])
    victims = full_files(tree.parents[2] / "data")
    if victims and every(2, "restore"):
        victims[0].write_bytes(b"restored to where it came from")
    end(done)
"""

_REWRITES = """
if asks_for("snapshot", "create"):
    done, victims = run(argv), full_files(pathlib.Path(argv[-1]))
    if victims and every(2, "create"):
        with times_kept(victims[0]), open(victims[0], "r+b") as file:
            first = file.read(1)[0]
            file.seek(0)
            file.write(bytes([first ^ 0x20]))
    end(done)
"""

TOUCHING_SOURCES: dict[str, WrapperDefect] = {
    "create-eats-a-file": WrapperDefect(
        "A creation deletes one of the client's files after it has read it.",
        Guarantee.SOURCE_UNTOUCHED,
        WorkKind.CREATE,
        _EATS,
    ),
    "create-leaves-a-file": WrapperDefect(
        "A creation leaves a file of its own among the client's.", Guarantee.SOURCE_UNTOUCHED, WorkKind.CREATE, _LITTERS
    ),
    "create-rewrites-a-file": WrapperDefect(
        "A creation changes a byte of one of the client's files, and sets its times back.",
        Guarantee.SOURCE_UNTOUCHED,
        WorkKind.CREATE,
        _REWRITES,
    ),
    "restore-overwrites-the-source": WrapperDefect(
        "A restore also writes over one of the client's files.",
        Guarantee.SOURCE_UNTOUCHED,
        WorkKind.RESTORE,
        _OVERWRITES,
    ),
}

TAKES_STALE_CONTENT = """
if asks_for("snapshot", "create"):
    import hashlib

    def copy_of(path):
        return state / ("copy-" + hashlib.sha256(os.fsencode(path)).hexdigest())

    source = pathlib.Path(argv[-1])
    now = {path: path.read_bytes() for path in full_files(source)}
    before = {path: copy_of(path).read_bytes() for path in now if copy_of(path).exists()}
    stale = [path for path in before if before[path] != now[path] and len(before[path]) == len(now[path])]

    def put_back(copy):
        victim = copy / stale[0].relative_to(source)
        with times_kept(victim):
            victim.write_bytes(before[stale[0]])

    if stale:
        strike()
    done = take_copy(put_back) if stale else run(argv)
    for path, content in now.items():
        copy_of(path).write_bytes(content)
    end(done)
"""

_COPIES_ELSEWHERE = """
if asks_for("snapshot", "create") and every(2, "create"):
    done = run(argv)
    run(
        ["snapshot", "create", argv[-1], "--override-source=root@elsewhere:/x", "--no-auto-maintenance"],
        KOPIA_CONFIG_PATH=str(bed() / "server" / "repository.config"),
        KOPIA_PASSWORD=secret("repository"),
    )
    end(done)
"""

_TAKES_TWO_MARKED = """
if asks_for("snapshot", "create") and every(2, "create"):
    run(["snapshot", "create", argv[-1], "--tags=testbed:somebody-elses", "--no-auto-maintenance"])
"""

OUT_OF_SIGHT: dict[str, WrapperDefect] = {
    "create-copies-elsewhere": WrapperDefect(
        "A snapshot is stored a second time, where no client is shown it.",
        Guarantee.NOTHING_UNREQUESTED,
        WorkKind.CREATE,
        _COPIES_ELSEWHERE,
    ),
    "create-takes-two-for-another": WrapperDefect(
        "A creation takes another snapshot under the mark of another testbed.",
        Guarantee.NOTHING_UNREQUESTED,
        WorkKind.CREATE,
        _TAKES_TWO_MARKED,
    ),
}
