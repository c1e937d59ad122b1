"""What the machine did is not held against the target."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.unit.actions.test_standard_engine import make_run

from snapstorm.errors import HarnessError, OperationFailed
from snapstorm.model.protocols import Mode
from snapstorm.runtime.machine import out_of_memory_kills
from snapstorm.testbed import context as run_module


def test_a_machine_out_of_memory_is_an_error_of_the_harness(scratch: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A failure after the kernel has killed for lack of memory says nothing about the target."""
    run = make_run(scratch, Mode.DIRECT)
    run.workdir.mkdir()
    run.check_machine(OperationFailed("the target's own"))
    kills = out_of_memory_kills()
    monkeypatch.setattr(run_module, "out_of_memory_kills", lambda: kills + 1)
    with pytest.raises(HarnessError, match="out of memory"):
        run.check_machine(OperationFailed("killed"))
    run.ledger.close()
