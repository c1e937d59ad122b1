"""The command that makes a ledger smaller: `snapstorm compact`."""

from __future__ import annotations

from snapstorm.cli.words import TypedPath
from snapstorm.errors import ConfigError
from snapstorm.testbed.testbed import LEDGER_NAME, open_testbed


def compact(*, testbed: TypedPath, keep_runs: int = 20) -> int:
    """Make a testbed's ledger smaller: drop the steps of old runs. What was promised, proven or violated stays.

    Parameters
    ----------
    testbed
        The testbed, which must exist and not be in use.
    keep_runs
        So many of the latest runs keep every step, and so does each run that found a violation.
    """
    if keep_runs < 1:
        raise ConfigError(f"--keep-runs must be at least 1, not {keep_runs}")
    with open_testbed(testbed, must_exist=True) as opened:
        opened.is_new = False
        ledger_file = opened.directory / LEDGER_NAME
        bytes_before = ledger_file.stat().st_size
        dropped = opened.ledger.compact(keep_runs)
        bytes_after = ledger_file.stat().st_size
    print(
        f"dropped {dropped.operations:,} operation(s), {dropped.commands:,} command(s) and {dropped.verifications:,} "
        f"superseded verification(s); the ledger went from {bytes_before:,} to {bytes_after:,} bytes"
    )
    return 0
