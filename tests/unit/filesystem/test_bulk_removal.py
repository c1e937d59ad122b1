"""Many files go by a program of the system, and go all the same where that can't do it."""

from __future__ import annotations

import os
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from snapstorm.errors import HarnessError
from snapstorm.filesystem.bulk_removal import remove_many_files_below, remove_many_trees, set_aside
from snapstorm.runtime.process import CompletedCommand, ProcessRunner

pytestmark = pytest.mark.anyio


@pytest.fixture
def heard() -> list[CompletedCommand]:
    return []


@pytest.fixture
async def runner(heard: list[CompletedCommand]) -> AsyncIterator[ProcessRunner]:
    async with ProcessRunner("bulk-removal", on_command=heard.append) as runner:
        yield runner


def put_first_on_path(monkeypatch: pytest.MonkeyPatch, directory: Path, script: str) -> None:
    """Have this script stand for `rm`."""
    directory.mkdir()
    (directory / "rm").write_text(f"#!/bin/sh\n{script}\n")
    (directory / "rm").chmod(0o755)
    monkeypatch.setenv("PATH", f"{directory}:{os.environ['PATH']}")


def grow(tree: Path) -> Path:
    """A tree with odd names, an empty directory, a closed one, and a link out of it."""
    (tree / "empty").mkdir(parents=True)
    (tree / "-rf").write_bytes(b"x")
    (tree / "sub" / "\n odd").mkdir(parents=True)
    (tree / "sub" / "\n odd" / "file").write_bytes(b"y")
    (tree / "closed").mkdir()
    (tree / "closed" / "file").write_bytes(b"z")
    (tree / "closed").chmod(0)
    (tree / "out").symlink_to(tree.parent / "elsewhere")
    return tree


@pytest.mark.parametrize("has_program", [True, False])
async def test_trees_go_and_nothing_else_does(
    scratch: Path,
    tmp_path: Path,
    runner: ProcessRunner,
    heard: list[CompletedCommand],
    monkeypatch: pytest.MonkeyPatch,
    has_program: bool,
) -> None:
    """Also where there is no such program; names that look like options are names. It is no command of the target's."""
    left_by_program = tmp_path / "left"
    if has_program:
        script = f'{shutil.which("rm")} "$@"\nls {scratch} > {left_by_program}'
        put_first_on_path(monkeypatch, tmp_path / "bin", script)
    else:
        monkeypatch.setenv("PATH", "/nonexistent")
    (scratch / "elsewhere").mkdir()
    (scratch / "elsewhere" / "file").write_bytes(b"stays")
    trees = [grow(scratch / "-one"), scratch / "never there", grow(scratch / "two")]
    (scratch / "link").symlink_to(scratch / "elsewhere")
    await remove_many_trees(runner, [*trees, scratch / "link"])
    assert [path.name for path in scratch.iterdir()] == ["elsewhere"]
    assert (scratch / "elsewhere" / "file").read_bytes() == b"stays"
    assert not has_program or left_by_program.read_text() == "elsewhere\n"
    assert heard == []


async def test_what_a_program_leaves_is_removed_by_ourselves(
    scratch: Path, tmp_path: Path, runner: ProcessRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that does nothing, and says that all is well."""
    put_first_on_path(monkeypatch, tmp_path / "bin", f"touch {tmp_path / 'called'}")
    tree = grow(scratch / "tree")
    await remove_many_trees(runner, [tree])
    assert (tmp_path / "called").exists()
    assert not tree.exists()


@pytest.mark.parametrize("path", [None, "/nonexistent"])
async def test_files_go_and_their_directories_stay(
    scratch: Path, runner: ProcessRunner, monkeypatch: pytest.MonkeyPatch, path: str | None
) -> None:
    """For a tree whose owner is at work in it; one that is not there is none."""
    if path is not None:
        monkeypatch.setenv("PATH", path)
    tree = grow(scratch / "tree")
    await remove_many_files_below(runner, [tree, scratch / "never there"])
    assert {str(path.relative_to(tree)) for path in tree.rglob("*")} == {"empty", "sub", "sub/\n odd", "closed"}


async def test_what_can_not_be_removed_is_an_error_of_ours(runner: ProcessRunner) -> None:
    """In one line, which names it. Nobody can remove a file of /proc, not even root."""
    with pytest.raises(HarnessError, match="comm: Operation not permitted"):
        await remove_many_trees(runner, [Path("/proc/self/comm")])


def test_what_is_set_aside_is_out_of_the_way(scratch: Path) -> None:
    """At once; what a killed run had set aside is found again. Where nothing is, nothing is set aside."""
    cache = scratch / "cache"
    assert set_aside(cache) == []
    for number in (1, 2):
        cache.mkdir()
        (cache / "file").write_bytes(b"x")
        found = set_aside(cache)
        assert not cache.exists()
        assert len(found) == number
        assert all((path / "file").exists() for path in found)
    assert len(set_aside(cache)) == 2
