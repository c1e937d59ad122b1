"""snapstorm finds out whether backups come back.

Many concurrent clients write files, snapshot, restore and delete against one real backup server; every restored byte is
held against what the client had written. Start with `open_harness`, or with the fixture `harness` of the pytest plugin.

The public API is what stands in `__all__`, and what `snapstorm.extending` holds for actions, faults and targets of your
own. All other modules are private and may change at any time. See docs/api.md.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from snapstorm.version import __version__

if TYPE_CHECKING:
    from snapstorm.api import *  # noqa: F403 - each name of it is re-exported there
else:

    def __getattr__(name: str) -> object:
        """Load the API when its first name is used: the command line and the pytest plugin begin without it."""
        if name not in __all__:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        import snapstorm.api  # noqa: PLC0415

        return getattr(snapstorm.api, name)


__all__ = [
    "ActionNotDone",
    "ChangeMetadata",
    "CheckStorage",
    "Client",
    "Comparison",
    "ConfigError",
    "DeleteFiles",
    "DeleteRandomSnapshot",
    "DeleteRandomSubdirectory",
    "DeleteSnapshot",
    "DeleteSnapshots",
    "Expire",
    "FileAction",
    "GuaranteeViolated",
    "Harness",
    "HarnessError",
    "HarnessOptions",
    "ListSnapshots",
    "MarkStorage",
    "Mode",
    "ModifyFiles",
    "RestoreIntoDataDirectory",
    "RestoreRandomSnapshot",
    "RestoreSnapshot",
    "RestoreSubpath",
    "RunGc",
    "RunResult",
    "Scenario",
    "SnapshotRoot",
    "SnapshotSubpath",
    "Span",
    "TakenSnapshot",
    "Verdict",
    "VerifyRepository",
    "WriteRandomFiles",
    "__version__",
    "open_harness",
    "parse_scenario",
    "shipped",
]
