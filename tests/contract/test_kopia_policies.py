"""What the real Kopia leaves out under its policies, held against what we expect of it."""

from __future__ import annotations

import os
import random
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.contract.bench import Bench, Client, open_bench

from snapstorm.filesystem.scanner import scan_tree
from snapstorm.model.manifest import ROOT, Manifest
from snapstorm.model.protocols import Mode
from snapstorm.targets.kopia.ignore_rules import read_rule
from snapstorm.targets.kopia.policies import read_policies
from snapstorm.targets.kopia.selection import TreeOnDisk
from snapstorm.targets.kopia.snapshotter import KopiaClient

pytestmark = pytest.mark.anyio

RULE_SETS = 150
"""Each in a directory of its own, so that one snapshot tries them all."""
NAMES = ("a", "b", "ab", "a.tmp", "b.tmp", "xa", "Ab", "a b", "[a]", "#a", "!a", "ä", "a-b", "1a", "é.é")
PARTS = (
    *("a", "b", "ab", "x", "tmp", ".", "*", "**", "?", "/", "/", "**/", "/**", "*.tmp", "[ab]", "[!a]", "[a-b]"),
    *("[[:alpha:]]", "[[:digit:]]", "\\*", "\\!", " ", "!", "#", "ä", "[^a]", "[]a]", "[a", "[a-]", "\\ ", "A"),
)
CACHE_TAG = b"Signature: 8a477f597d28d172789f06886806bc55\n"


@pytest.fixture
async def kopia(tmp_path: Path) -> AsyncIterator[Bench]:
    async with open_bench("kopia", tmp_path, Mode.DIRECT) as opened:
        yield opened


def make_tree(root: Path, draws: random.Random, depth: int = 3) -> None:
    """A small tree of names that rules of a few characters match."""
    root.mkdir(exist_ok=True)
    for name in draws.sample(NAMES, 5):
        if depth > 1 and draws.random() < 0.5:
            make_tree(root / name, draws, depth - 1)
        else:
            (root / name).write_bytes(b"x" * draws.choice((0, 1, 100)))
    if draws.random() < 0.3:
        (root / "link").symlink_to("a" * draws.choice((1, 150)))


def make_rule(draws: random.Random) -> str:
    """A rule that Kopia can read: it refuses a whole directory with one that it can't."""
    while True:
        rule = draws.choice(("", "", "!", "/")) + "".join(draws.choices(PARTS, k=draws.randint(1, 4)))
        try:
            read_rule(rule, "")
        except ValueError:
            continue
        return rule


async def expected_and_kept(client: Client, source: Path) -> tuple[set[bytes], set[bytes]]:
    """The paths that ought to be kept under the policies as they are, and those that a restore brings back."""
    snapshotter = client.snapshotter
    assert isinstance(snapshotter, KopiaClient)
    listed = await snapshotter.kopia.list_policies(snapshotter.actor)
    policies = read_policies(listed.stdout, snapshotter.identity)
    assert not policies.unknown
    tree = scan_tree(source)
    wanted = policies.of(str(source)).selection.keep(tree, TreeOnDisk(os.fsencode(source)))
    snapshot, _ = await client.snapshot(source)
    destination = client.free_path()
    await client.snapshotter.restore_snapshot(snapshot, destination)
    return paths(wanted), paths(scan_tree(destination))


def paths(tree: Manifest) -> set[bytes]:
    return {entry.path for entry in tree if entry.path != ROOT}


async def set_policy(client: Client, target: str, *options: str) -> None:
    snapshotter = client.snapshotter
    assert isinstance(snapshotter, KopiaClient)
    completed = await snapshotter.kopia.run(snapshotter.actor, "policy", "set", target, *options)
    assert completed.exit_code == 0, completed.stderr


async def test_rules_in_files_leave_out_what_we_expect(kopia: Bench) -> None:
    """A hundred and fifty drawn sets of rules, some with more rules below: just what we expect is left out."""
    client, draws = await kopia.client(), random.Random(18)
    for number in range(RULE_SETS):
        case = client.data / f"case-{number}"
        make_tree(case, draws)
        directories = [case, *(path for path in case.rglob("*") if path.is_dir())]
        for directory in {case, draws.choice(directories)}:
            rules = [make_rule(draws) for _ in range(draws.randint(1, 4))]
            (directory / ".kopiaignore").write_text("# a comment\r\n\n" + "\n".join(rules))
    wanted, found = await expected_and_kept(client, client.data)
    assert len(wanted) < len(paths(scan_tree(client.data))) * 0.9
    wrong = sorted({path.split(b"/")[0] for path in wanted ^ found})
    shown = [
        (
            (client.data / os.fsdecode(case) / ".kopiaignore").read_text(),
            sorted(wanted - found)[:3],
            sorted(found - wanted)[:3],
        )
        for case in wrong[:3]
    ]
    assert not wrong, shown


async def test_policies_leave_out_what_we_expect(kopia: Bench) -> None:
    """Size, rules, other names of rule files, cache directories, and policies of directories below: at each level."""
    client, draws = await kopia.client(), random.Random(18)
    for name in ("top", "below", "cache", "fake", "linked"):
        make_tree(client.data / name, draws)
    (client.data / "cache" / "CACHEDIR.TAG").write_bytes(CACHE_TAG)
    (client.data / "below" / "cache").mkdir()
    (client.data / "below" / "cache" / "CACHEDIR.TAG").write_bytes(CACHE_TAG + b"and more")
    (client.data / "below" / "cache" / "kept?").write_bytes(b"x")
    (client.data / "fake" / "CACHEDIR.TAG").write_bytes(b"Signature: of something else, as long as the real one")
    (client.data / "below" / ".kopiaignore").write_text("ab\n")
    (client.data / "below" / ".other").write_text("*.tmp\n")
    (client.data / "rules").write_text("xa\n/b\n")
    (client.data / "linked" / ".other").symlink_to("../rules")
    source = f"{client.name}:{client.data}"
    steps: list[tuple[str, tuple[str, ...]]] = [
        ("--global", ("--ignore-cache-dirs=true",)),
        ("--global", ("--max-file-size=50", "--add-ignore=*.tmp", "--add-ignore=/top/a*", "--add-ignore=!a.tmp")),
        (client.name, ("--add-ignore=é*", "--ignore-cache-dirs=false")),
        (source, ("--add-dot-ignore=.other", "--one-file-system=true")),
        (f"{source}/below", ("--add-ignore=/a*", "--max-file-size=10")),
        (f"{source}/top", ("--keep-latest=5",)),
        (source, ("--inherit=false", "--remove-dot-ignore=.other")),
    ]
    for target, options in steps:
        await set_policy(client, target, *options)
        wanted, found = await expected_and_kept(client, client.data)
        assert found == wanted, (target, options)
