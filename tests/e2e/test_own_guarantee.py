"""A guarantee of another package is judged, reported, counted and judged again like ours."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from tests.e2e.commandline import Ran, snapstorm

MODULE = """
from collections.abc import Iterator

from snapstorm.guarantees.judged_guarantee import JudgedGuarantee, judges
from snapstorm.model.guarantees import Finding
from snapstorm.model.seen import ListingSeen, ReceiptSeen


class AtMostTwo(JudgedGuarantee):
    id = "at-most-two"
    sentence = "A client keeps at most two snapshots."

    def __init__(self) -> None:
        self._taken = 0

    @judges(ReceiptSeen)
    def judge_receipt(self, seen: ReceiptSeen) -> Iterator[Finding]:
        self._taken += 1
        if self._taken == 3:
            yield Finding(f"{seen.client} has taken the third one", seen.receipt.id, seen.operation)

    @judges(ListingSeen)
    def judge_listing(self, seen: ListingSeen) -> Iterator[Finding]:
        if len(seen.listing.entries) > 2:
            yield Finding(f"{len(seen.listing.entries)} of {self._taken} snapshots are listed")
"""

SCENARIO = 'name = "three"\nclients = 1\n' + "".join(
    f'[[steps]]\naction = "{action}"\n' for action in ("write-random-files", *["snapshot-root"] * 3)
)


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """A directory with an installed package that has a guarantee."""
    directory = tmp_path / "site"
    information = directory / "atmosttwo-1.0.dist-info"
    information.mkdir(parents=True)
    (directory / "atmosttwo.py").write_text(MODULE)
    (information / "METADATA").write_text("Metadata-Version: 2.1\nName: atmosttwo\nVersion: 1.0\n")
    (information / "entry_points.txt").write_text("[snapstorm.guarantees]\nat-most-two = atmosttwo:AtMostTwo\n")
    return directory


def run(testbed: Path, package: Path) -> Ran:
    scenario = testbed.with_suffix(".toml")
    scenario.write_text(SCENARIO)
    return snapstorm(
        "run", "--target", "memory", "--testbed", testbed, "--config", scenario, "--json",
        env={"PYTHONPATH": str(package)},
    )  # fmt: skip


def test_it_is_judged_and_judged_again(scratch: Path, package: Path) -> None:
    """In the run's own report, in those that are written later, and by its rules of today."""
    bed, own = scratch / "bed", {"PYTHONPATH": str(package)}
    ran = run(bed, package)
    assert ran.status == 1, ran.stderr
    violations = ran.json["violations"]
    assert {violation["guarantee"] for violation in violations} == {"at-most-two"}
    assert "client-1@snapstorm has taken the third one" in [violation["detail"] for violation in violations]
    assert "> A client keeps at most two snapshots." in (Path(violations[0]["evidence"]) / "README.md").read_text()
    again = snapstorm("recheck", bed, "--json", env=own)
    assert again.status == 1, again.stderr
    assert [one["today"] for one in again.json["violations"]] == ["still"] * len(violations)
    assert snapstorm("report", bed, "--html", scratch / "page", "--junit", scratch / "junit", env=own).status == 0
    assert "A client keeps at most two snapshots." in (scratch / "page").read_text()
    assert 'name="at-most-two"' in (scratch / "junit").read_text()


def test_without_the_package_what_it_has_found_stands(scratch: Path, package: Path) -> None:
    """It is shown under its id, and judged by nothing."""
    run(scratch / "bed", package)
    again = snapstorm("recheck", scratch / "bed", "--json")
    assert again.status == 1, again.stderr
    assert {(one["today"], one["guarantee"]) for one in again.json["violations"]} == {("stands", "at-most-two")}
    assert snapstorm("report", scratch / "bed", "--junit", scratch / "junit").status == 0
    assert 'name="at-most-two"' in (scratch / "junit").read_text()


def test_after_its_rules_have_changed_it_finds_something_else(scratch: Path, package: Path) -> None:
    """What is none any more is told, and what is new."""
    run(scratch / "bed", package)
    (package / "atmosttwo.py").write_text(re.sub("== 3", "== 2", MODULE).replace("> 2", "> 99"))
    again = snapstorm("recheck", scratch / "bed", "--json", env={"PYTHONPATH": str(package)})
    assert {one["today"] for one in again.json["violations"]} == {"new", "no longer"}


@pytest.mark.parametrize(
    ("module", "words"),
    [
        ("raise OSError('not today')", "can't be loaded (OSError: not today)"),
        ("AtMostTwo = 2", "is no subclass of JudgedGuarantee"),
        (MODULE.replace('"at-most-two"', '"no-leak"'), "two guarantees have the id no-leak"),
        (MODULE.replace("@judges", "# @judges"), "has no method that judges"),
    ],
)
def test_one_that_can_not_be_used_is_one_line(module: str, words: str, scratch: Path, package: Path) -> None:
    """Before anything is made."""
    (package / "atmosttwo.py").write_text(module)
    ran = run(scratch / "bed", package)
    assert ran.status == 3
    assert ran.stderr.count("\n") == 1
    assert words in ran.stderr
    assert not (scratch / "bed").exists()
