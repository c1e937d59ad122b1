"""What actions, faults, guarantees and targets of your own are made of. See docs/extending.md."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from snapstorm.actions.inspections import Inspections as Inspections
    from snapstorm.actions.operations import Operations as Operations
    from snapstorm.actions.performer import Performer as Performer
    from snapstorm.actions.performer import performs as performs
    from snapstorm.actions.step import Step as Step
    from snapstorm.errors import ANY_BLOB as ANY_BLOB
    from snapstorm.errors import AccessDenied as AccessDenied
    from snapstorm.errors import OperationFailed as OperationFailed
    from snapstorm.errors import OperationPartial as OperationPartial
    from snapstorm.errors import OperationTimedOut as OperationTimedOut
    from snapstorm.errors import OperationUnknown as OperationUnknown
    from snapstorm.errors import RepositoryLocked as RepositoryLocked
    from snapstorm.faults.fault import Fault as Fault
    from snapstorm.faults.fault import FaultKind as FaultKind
    from snapstorm.faults.fault import NothingToBreak as NothingToBreak
    from snapstorm.faults.fault import Record as Record
    from snapstorm.faults.fault import Scene as Scene
    from snapstorm.guarantees.judged_guarantee import JudgedGuarantee as JudgedGuarantee
    from snapstorm.guarantees.judged_guarantee import judges as judges
    from snapstorm.model.action_results import ListedSnapshot as ListedSnapshot
    from snapstorm.model.action_results import Particulars as Particulars
    from snapstorm.model.action_results import SnapshotReceipt as SnapshotReceipt
    from snapstorm.model.actions import Inspection as Inspection
    from snapstorm.model.actions import Upkeep as Upkeep
    from snapstorm.model.capabilities import Capabilities as Capabilities
    from snapstorm.model.client_access import ClientAccess as ClientAccess
    from snapstorm.model.client_access import ClientPlace as ClientPlace
    from snapstorm.model.client_access import HidesFields as HidesFields
    from snapstorm.model.client_access import decode_details as decode_details
    from snapstorm.model.client_access import encode_details as encode_details
    from snapstorm.model.guarantees import Finding as Finding
    from snapstorm.model.manifest import path_as_text as path_as_text
    from snapstorm.model.outcomes import Failed as Failed
    from snapstorm.model.outcomes import Locked as Locked
    from snapstorm.model.outcomes import NoOp as NoOp
    from snapstorm.model.outcomes import Ok as Ok
    from snapstorm.model.outcomes import Outcome as Outcome
    from snapstorm.model.outcomes import Unknown as Unknown
    from snapstorm.model.protocols import Auditor as Auditor
    from snapstorm.model.protocols import ClientSnapshotter as ClientSnapshotter
    from snapstorm.model.protocols import Program as Program
    from snapstorm.model.protocols import Server as Server
    from snapstorm.model.protocols import TargetDescription as TargetDescription
    from snapstorm.model.protocols import TargetPlace as TargetPlace
    from snapstorm.model.seen import ListingSeen as ListingSeen
    from snapstorm.model.seen import ReceiptSeen as ReceiptSeen
    from snapstorm.model.seen import RestoreSeen as RestoreSeen
    from snapstorm.model.seen import UnsavedSeen as UnsavedSeen
    from snapstorm.runtime.process import ProcessRunner as ProcessRunner
    from snapstorm.targets.plain import PlainServer as PlainServer
    from snapstorm.targets.plain import PlainTarget as PlainTarget
    from snapstorm.targets.plugin import ExternalServer as ExternalServer
    from snapstorm.targets.plugin import MakeTarget as MakeTarget
    from snapstorm.targets.plugin import TargetOptions as TargetOptions
    from snapstorm.targets.plugin import TargetPlugin as TargetPlugin
else:
    from importlib import import_module

    _HOMES = {
        "actions.inspections": "Inspections",
        "actions.operations": "Operations",
        "actions.performer": "Performer performs",
        "actions.step": "Step",
        "errors": "ANY_BLOB AccessDenied OperationFailed OperationPartial OperationTimedOut "
        "OperationUnknown RepositoryLocked",
        "faults.fault": "Fault FaultKind NothingToBreak Record Scene",
        "guarantees.judged_guarantee": "JudgedGuarantee judges",
        "model.action_results": "ListedSnapshot Particulars SnapshotReceipt",
        "model.actions": "Inspection Upkeep",
        "model.capabilities": "Capabilities",
        "model.client_access": "ClientAccess ClientPlace HidesFields decode_details encode_details",
        "model.guarantees": "Finding",
        "model.manifest": "path_as_text",
        "model.outcomes": "Failed Locked NoOp Ok Outcome Unknown",
        "model.protocols": "Auditor ClientSnapshotter Program Server TargetDescription TargetPlace",
        "model.seen": "ListingSeen ReceiptSeen RestoreSeen UnsavedSeen",
        "runtime.process": "ProcessRunner",
        "targets.plain": "PlainServer PlainTarget",
        "targets.plugin": "ExternalServer MakeTarget TargetOptions TargetPlugin",
    }
    """The exported names by the module that each is loaded from when it is first used."""

    __all__ = tuple(sorted(" ".join(_HOMES.values()).split()))

    def __getattr__(name: str) -> object:
        """Load an exported name: the command line, the pytest plugin and extensions begin without the others."""
        for module, names in _HOMES.items():
            if name in names.split():
                return getattr(import_module(f"snapstorm.{module}"), name)
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
