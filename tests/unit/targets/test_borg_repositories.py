"""What lies in the repositories of a testbed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from snapstorm.errors import HarnessError
from snapstorm.model.location import FileStorage
from snapstorm.model.protocols import Mode, TargetPlace
from snapstorm.runtime.process import ProcessRunner
from snapstorm.runtime.secrets import FileSecretStore
from snapstorm.targets.borg.command import Borg
from snapstorm.targets.borg.repositories import Repositories
from snapstorm.targets.programs import Programs


def repositories_in(directory: Path, mode: Mode = Mode.SERVER, **parameters: str) -> Repositories:
    place = TargetPlace(
        "bed", directory, FileSecretStore(directory / "secrets.toml"), mode, parameters=parameters or {}
    )
    return Repositories(place, Borg(Programs([Path("/bin/true")]), ProcessRunner("bed"), 1.0))


def write(path: Path, size_bytes: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(bytes(size_bytes))


def test_each_client_has_a_repository_unless_there_is_one_for_all(tmp_path: Path) -> None:
    """By the layout; without a server there is one."""
    assert repositories_in(tmp_path).name_for("c1@h") == "c1@h"
    assert repositories_in(tmp_path, layout="shared").name_for("c1@h") == "shared"
    assert repositories_in(tmp_path, Mode.DIRECT).name_for("c1@h") == "shared"


def test_segments_are_those_that_can_be_damaged(tmp_path: Path) -> None:
    """Neither a bare commit, nor what is not committed yet, nor what is no segment; in the order of their numbers."""
    found = repositories_in(tmp_path)
    data = found.directory / "c1@h" / "data" / "0"
    for name, size_bytes in {"2": 500, "10": 60, "11": 17, "12": 900, "3.tmp": 5}.items():
        write(data / name, size_bytes)
    write(data.parents[1] / "index.11", 1)
    write(found.directory / "c2@h.new" / "data" / "0" / "1", 900)
    assert [(blob.id, blob.size_bytes) for blob in found.segments()] == [("c1@h.2", 500), ("c1@h.10", 60)]


def test_what_lies_where_it_must_not_is_told(tmp_path: Path) -> None:
    """A file that is no segment, and a segment in the directory of others."""
    found = repositories_in(tmp_path)
    repository = found.directory / "c1@h"
    for name in ("0/1", "0/999", "1/1000"):
        write(repository / "data" / name, 20)
    (repository / "config").write_text("[repository]\nsegments_per_dir = 1000\nkey = a%b\n")
    assert list(found.strays()) == []
    write(repository / "data" / "1" / "7", 20)
    write(repository / "data" / "1" / "x", 20)
    assert list(found.strays()) == [
        "segment c1@h/data/1/7 lies in the wrong directory",
        "c1@h/data/1/x is no segment",
    ]


def test_who_is_at_work_is_told_by_locks(tmp_path: Path) -> None:
    """Each repository has one."""
    found = repositories_in(tmp_path)
    (found.directory / "c1@h" / "lock.exclusive").mkdir(parents=True)
    (found.directory / "c2@h").mkdir()
    assert found.locked() == ["c1@h"]


def test_the_repositories_are_known_again(tmp_path: Path) -> None:
    """By what stands beside them."""
    first = repositories_in(tmp_path).open()
    assert first
    assert repositories_in(tmp_path).open() == first


def test_a_path_that_borg_can_not_read_is_refused(tmp_path: Path) -> None:
    """Two colons end the path of a repository."""
    with pytest.raises(HarnessError, match="can't have :: in the path"):
        repositories_in(tmp_path / "a::b").open()


def test_a_new_testbed_takes_no_directory_of_somebody_else(tmp_path: Path) -> None:
    """Neither foreign files nor the repositories of another testbed; what its own killed run has begun it does."""
    mine, other = repositories_in(tmp_path / "mine"), repositories_in(tmp_path / "other")
    marker = mine.open()
    (mine.directory / "c1@h").mkdir()
    assert mine.open() == marker
    write(other.directory / "file", 1)
    with pytest.raises(HarnessError, match="is not empty"):
        other.open()
    foreign = replace(other, place=replace(other.place, testbed="another", named_storage=FileStorage(mine.directory)))
    with pytest.raises(HarnessError, match="is not empty"):
        foreign.open()
    assert [path.name for path in other.directory.iterdir()] == ["file"]
