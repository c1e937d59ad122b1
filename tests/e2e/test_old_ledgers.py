"""Testbeds of earlier versions: told, judged again, swept and gone on with as if this version had made them."""

from __future__ import annotations

import tarfile
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.e2e.commandline import scenario, snapstorm

DATA = Path(__file__).parent.parent / "data"


@dataclass(frozen=True)
class Old:
    """A testbed in `tests/data`, and what the version that made it found."""

    name: str
    verdicts: tuple[str | None, ...]
    violations: int
    damaged: tuple[str, int]
    """A byte that a live snapshot needs: the file and the offset."""

    @property
    def target(self) -> str:
        return self.name.partition("-")[0]

    @property
    def violated_run(self) -> int:
        return self.verdicts.index("violated") + 1

    def unpack(self, scratch: Path) -> Path:
        """A copy, which lies elsewhere than where it was made."""
        with tarfile.open(DATA / f"{self.name}.tar.xz") as archive:
            archive.extractall(scratch, filter="fully_trusted")
        return scratch / self.name


MEMORY = Old(
    "memory-schema-7",
    ("pass", "violated", "pass", None),
    2,
    ("blobs/52f160530af0b8cc88aabb28ffc1263d6e67b963101db3f270b0cb5bb92d6bf5", 148),
)
OLDER_MEMORY = Old("memory-schema-6", MEMORY.verdicts, 2, MEMORY.damaged)
KOPIA = Old(
    "kopia-schema-7", ("violated", "pass"), 3, ("p/4a4/838f429b5d605243b18f525bf5aff-s254a83c249492ec513d.f", 40)
)

of_any_schema = pytest.mark.parametrize("old", [OLDER_MEMORY, MEMORY, KOPIA], ids=lambda old: old.name)


def check_violation_is_known(old: Old, bed: Path) -> None:
    """The recorded violation is shown, and is one by today's rules, too."""
    status = snapstorm("status", "--testbed", bed, "--json")
    assert status.status == 0, status.stderr
    assert [run["verdict"] for run in status.json["runs"]][: len(old.verdicts)] == list(old.verdicts)
    assert [found["run"] for found in status.json["violations"]] == [old.violated_run] * old.violations
    again = snapstorm("recheck", f"{bed}:{old.violated_run}", "--json")
    assert again.status == 1, again.stderr
    assert [found["today"] for found in again.json["violations"]] == ["still"] * old.violations


@of_any_schema
def test_what_was_recorded_is_told(old: Old, scratch: Path) -> None:
    """Verdicts, violations and history, without a change of anything; each run is judged as it was then."""
    bed = old.unpack(scratch)
    before = (bed / "ledger.sqlite3").read_bytes()
    check_violation_is_known(old, bed)
    for number, verdict in enumerate(old.verdicts, 1):
        again = snapstorm("recheck", f"{bed}:{number}", "--json").json
        assert again["verdict"] == (verdict or "inconclusive")
        assert again["judged"]["restore"] > 0
    history = snapstorm("history", "--testbed", bed, "--json").json
    assert [run["verdict"] for run in history["runs"]] == list(old.verdicts)
    assert history["snapshots"]
    for where, shown in (([f"{bed}:{old.violated_run}"], "restored-exactly"), (["--testbed", bed], "violated")):
        page, figures = scratch / "report.html", scratch / "report.json"
        reported = snapstorm("report", *where, "--html", page, "--json", figures)
        assert reported.status == 0, reported.stderr
        assert shown in page.read_text()
        assert shown in figures.read_text()
    assert (bed / "ledger.sqlite3").read_bytes() == before


@of_any_schema
def test_it_is_swept(old: Old, scratch: Path) -> None:
    """Every snapshot that lives comes back exactly, and what was violated stays known."""
    bed = old.unpack(scratch)
    swept = snapstorm("sweep", "--testbed", bed, "--json")
    assert swept.status == 0, swept.stderr
    assert swept.json["run"] == len(old.verdicts) + 1
    assert swept.json["sweep"] == {"verified": swept.json["snapshots"]["live"], "left": 0}
    assert swept.json["restores_verified_earlier_runs"] > 0
    check_violation_is_known(old, bed)


@of_any_schema
def test_it_is_gone_on_with(old: Old, scratch: Path) -> None:
    """A run restores what earlier versions stored, and hides no old violation. A byte that is changed now is found."""
    bed = old.unpack(scratch)
    config = scratch / "more.toml"
    config.write_text(scenario("write-random-files count = 2", "snapshot-root", "restore-random-snapshot"))
    ran = snapstorm("run", "--config", config, "--target", old.target, "--testbed", bed, "--json")
    assert ran.status == 0, ran.stderr
    assert ran.json["run"] == len(old.verdicts) + 1
    assert ran.json["restores_verified_earlier_runs"] > 0
    assert ran.json["sweep"] == {"verified": ran.json["snapshots"]["live"], "left": 0}
    check_violation_is_known(old, bed)

    name, offset = old.damaged
    stored = bed / "repository" / name
    content = bytearray(stored.read_bytes())
    content[offset] ^= 1
    stored.chmod(0o600)
    stored.write_bytes(content)
    damaged = snapstorm("sweep", "--testbed", bed, "--json")
    assert damaged.status == 1, damaged.stderr
    assert {found["guarantee"] for found in damaged.json["violations"]} == {"restored-exactly"}
