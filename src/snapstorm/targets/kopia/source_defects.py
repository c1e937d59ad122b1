"""The defects of wrappers that touch what is not a target's own: the files of its clients."""

from __future__ import annotations

from snapstorm.model.guarantees import Guarantee
from snapstorm.model.work import Work
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

TOUCHING_SOURCES: dict[str, WrapperDefect] = {
    "create-eats-a-file": WrapperDefect(
        "A creation deletes one of the client's files after it has read it.",
        Guarantee.SOURCE_UNTOUCHED,
        Work.CREATE,
        _EATS,
    ),
    "create-leaves-a-file": WrapperDefect(
        "A creation leaves a file of its own among the client's.", Guarantee.SOURCE_UNTOUCHED, Work.CREATE, _LITTERS
    ),
    "restore-overwrites-the-source": WrapperDefect(
        "A restore also writes over one of the client's files.", Guarantee.SOURCE_UNTOUCHED, Work.RESTORE, _OVERWRITES
    ),
}
