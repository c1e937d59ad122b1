"""The command that accepts a known loss: `snapstorm accept`."""

from __future__ import annotations

from snapstorm.cli.option_groups import ExistingTestbed
from snapstorm.errors import ConfigError
from snapstorm.testbed.testbed import open_testbed


def accept(violation: int, /, *, testbed: ExistingTestbed, reason: str) -> int:
    """Accept a loss that is known, so that it is listed, and not counted again in later runs.

    Parameters
    ----------
    violation
        Its number, as `snapstorm status` shows it.
    reason
        Why, for those who read the history.
    """
    if not reason.strip():
        raise ConfigError("--reason must say why the loss is accepted")
    with open_testbed(testbed, must_exist=True) as opened:
        opened.is_new = False
        if not opened.ledger.accept(violation, reason.strip()):
            raise ConfigError(f"this testbed has no violation {violation}; `snapstorm status` lists them")
    print(f"violation {violation} is accepted: {reason.strip()}")
    return 0
