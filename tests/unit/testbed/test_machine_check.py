"""What the machine did is not held against the target."""

from __future__ import annotations

from pathlib import Path

import pytest

from snapstorm.errors import HarnessError, OperationFailed
from snapstorm.testbed.machine_check import MachineCheck


def test_a_machine_out_of_memory_is_an_error_of_the_harness(scratch: Path) -> None:
    """A failure after the kernel has killed for lack of memory says nothing about the target."""
    kills = 3
    machine = MachineCheck(scratch, count_kills=lambda: kills)
    machine.check(OperationFailed("the target's own"))
    kills += 1
    with pytest.raises(HarnessError, match="out of memory"):
        machine.check(OperationFailed("killed"))
