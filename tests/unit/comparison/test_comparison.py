"""Targets side by side: what is found out of each, and what of a target that breaks something."""

from __future__ import annotations

from pathlib import Path

import pytest

from snapstorm.comparison.comparison import Contender, describe, fault_command, time_it, weather
from snapstorm.errors import ConfigError
from snapstorm.model.verdict import Verdict

pytestmark = pytest.mark.anyio


async def test_times_are_the_targets_for_the_same_files(scratch: Path) -> None:
    """Equal for equal seeds, and told apart otherwise."""
    seeds = {"first": 1, "same": 1, "other": 2}
    found = [await time_it(Contender("memory"), "one-large-file", seed, scratch / name) for name, seed in seeds.items()]
    assert [(one.files, one.size_bytes, one.verdict) for one in found] == [(1, 40 << 20, Verdict.PASS)] * 3
    assert found[0].trees == found[1].trees != found[2].trees
    assert all(one.snapshot_median_seconds and one.restore_median_seconds for one in found)


async def test_a_violation_while_it_is_timed_is_told(scratch: Path) -> None:
    found = await time_it(Contender("memory:restore-flips-a-byte"), "one-large-file", 1, scratch / "bed")
    assert found.verdict is Verdict.VIOLATED
    assert "restored-exactly" in found.reason


async def test_what_comes_of_a_fault_is_told(scratch: Path) -> None:
    """Operations fail of a server that is killed, all recovers; and the reason is the target's."""
    found = await weather(Contender("memory"), "kill-server", 1, scratch / "bed")
    assert (found.verdict, found.violated) == (Verdict.PASS, [])
    assert found.struck >= 1
    assert found.failed >= 1
    assert "the server has ended" in found.first_failure


async def test_a_target_that_breaks_something_is_not_good(scratch: Path) -> None:
    found = await weather(Contender("memory:old-password-still-good"), "change-password", 1, scratch / "bed")
    assert found.verdict is Verdict.VIOLATED
    assert found.violated == ["clients-isolated"]


async def test_what_is_not_possible_has_a_reason(scratch: Path) -> None:
    found = await weather(Contender("memory"), "network-reset", 1, scratch / "bed")
    assert found.verdict is None
    assert found.reason == "clients don't reach the server over a network of ours"


async def test_a_fault_of_storage_strikes_behind_the_gateway(scratch: Path) -> None:
    found = await weather(Contender("memory"), "storage-drop", 1, scratch / "bed")
    assert found.verdict is Verdict.PASS
    assert found.struck >= 1


def test_settings_of_the_target_are_in_the_command() -> None:
    command = fault_command(Contender("borg", {"transport": "ssh"}), "kill-server", 1)
    assert "--target borg --parameter transport=ssh --clients 2" in command


def test_storage_of_a_target_without_a_server_for_it_is_used_directly() -> None:
    """One client; all other faults strike two, behind the server."""
    assert "--clients 1 --actions 16 --mode direct" in fault_command(Contender("restic"), "storage-drop", 1)
    assert "--clients 2 --actions 16 --option" in fault_command(Contender("restic"), "kill-server", 1)
    assert "--clients 2 --actions 16 --option" in fault_command(Contender("kopia"), "storage-drop", 1)


async def test_a_target_is_described_before_anything_runs() -> None:
    found = await describe(Contender("memory"))
    assert (found.contender, found.programs, found.timings) == (Contender("memory"), (), ())
    with pytest.raises(ConfigError, match="there are: trees"):
        await describe(Contender("memory", {"client": "x"}))
    with pytest.raises(ConfigError):
        await describe(Contender("memry"))
