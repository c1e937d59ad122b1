"""snapstorm finds out whether backups come back.

Many concurrent clients write files, snapshot, restore and delete against one real backup server; every restored byte is
compared with what the client wrote. Start with `open_harness`, or with the fixture `harness` of the pytest plugin.

The public API is what stands in `__all__`, and what `snapstorm.extending` holds for actions, faults, guarantees and
targets of your own. All other modules are private and may change at any time. See docs/api.md.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from snapstorm.version import __version__ as __version__

if TYPE_CHECKING:
    from snapstorm.actions.client import Client as Client
    from snapstorm.errors import ActionNotDone as ActionNotDone
    from snapstorm.errors import ConfigError as ConfigError
    from snapstorm.errors import GuaranteeViolated as GuaranteeViolated
    from snapstorm.errors import HarnessError as HarnessError
    from snapstorm.model.action_results import Comparison as Comparison
    from snapstorm.model.action_results import TakenSnapshot as TakenSnapshot
    from snapstorm.model.actions import ChangeMetadata as ChangeMetadata
    from snapstorm.model.actions import CheckStorage as CheckStorage
    from snapstorm.model.actions import DeleteFiles as DeleteFiles
    from snapstorm.model.actions import DeleteRandomSnapshot as DeleteRandomSnapshot
    from snapstorm.model.actions import DeleteRandomSubdirectory as DeleteRandomSubdirectory
    from snapstorm.model.actions import DeleteSnapshot as DeleteSnapshot
    from snapstorm.model.actions import DeleteSnapshots as DeleteSnapshots
    from snapstorm.model.actions import Expire as Expire
    from snapstorm.model.actions import FileAction as FileAction
    from snapstorm.model.actions import ListSnapshots as ListSnapshots
    from snapstorm.model.actions import MarkStorage as MarkStorage
    from snapstorm.model.actions import ModifyFiles as ModifyFiles
    from snapstorm.model.actions import RestoreIntoDataDirectory as RestoreIntoDataDirectory
    from snapstorm.model.actions import RestoreRandomSnapshot as RestoreRandomSnapshot
    from snapstorm.model.actions import RestoreSnapshot as RestoreSnapshot
    from snapstorm.model.actions import RestoreSubpath as RestoreSubpath
    from snapstorm.model.actions import RunGc as RunGc
    from snapstorm.model.actions import SnapshotRoot as SnapshotRoot
    from snapstorm.model.actions import SnapshotSubpath as SnapshotSubpath
    from snapstorm.model.actions import VerifyRepository as VerifyRepository
    from snapstorm.model.actions import WriteRandomFiles as WriteRandomFiles
    from snapstorm.model.amounts import Span as Span
    from snapstorm.model.protocols import Mode as Mode
    from snapstorm.model.verdict import Verdict as Verdict
    from snapstorm.run.harness import Harness as Harness
    from snapstorm.run.harness import HarnessOptions as HarnessOptions
    from snapstorm.run.harness import open_harness as open_harness
    from snapstorm.run.result import RunResult as RunResult
    from snapstorm.scenario.scenarios import Scenario as Scenario
    from snapstorm.scenario.scenarios import parse_scenario as parse_scenario
    from snapstorm.scenario.shipped_scenarios import shipped as shipped
else:
    from importlib import import_module

    _HOMES = {
        "actions.client": "Client",
        "errors": "ActionNotDone ConfigError GuaranteeViolated HarnessError",
        "model.action_results": "Comparison TakenSnapshot",
        "model.actions": (
            "ChangeMetadata CheckStorage DeleteFiles DeleteRandomSnapshot DeleteRandomSubdirectory DeleteSnapshot "
            "DeleteSnapshots Expire FileAction ListSnapshots MarkStorage ModifyFiles RestoreIntoDataDirectory "
            "RestoreRandomSnapshot RestoreSnapshot RestoreSubpath RunGc SnapshotRoot SnapshotSubpath VerifyRepository "
            "WriteRandomFiles"
        ),
        "model.amounts": "Span",
        "model.protocols": "Mode",
        "model.verdict": "Verdict",
        "run.harness": "Harness HarnessOptions open_harness",
        "run.result": "RunResult",
        "scenario.scenarios": "Scenario parse_scenario",
        "scenario.shipped_scenarios": "shipped",
    }
    """The exported names by the module that each is loaded from when it is first used."""

    __all__ = tuple(sorted(["__version__", *" ".join(_HOMES.values()).split()]))

    def __getattr__(name: str) -> object:
        """Load an exported name: the command line, the pytest plugin and extensions begin without the others."""
        for module, names in _HOMES.items():
            if name in names.split():
                return getattr(import_module(f"snapstorm.{module}"), name)
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
