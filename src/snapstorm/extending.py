"""What actions, faults, guarantees and targets of your own are made of. See docs/extending.md."""

from snapstorm.actions.inspections import Inspections
from snapstorm.actions.operations import Operations
from snapstorm.actions.performer import Performer, performs
from snapstorm.actions.step import Step
from snapstorm.errors import (
    ANY_BLOB,
    AccessDenied,
    OperationFailed,
    OperationPartial,
    OperationTimedOut,
    OperationUnknown,
    RepositoryLocked,
)
from snapstorm.faults.fault import Fault, FaultKind, NothingToBreak, Record, Scene
from snapstorm.guarantees.judged_guarantee import JudgedGuarantee, judges
from snapstorm.model.action_results import ListedSnapshot, Particulars, SnapshotReceipt
from snapstorm.model.actions import Inspection, Upkeep
from snapstorm.model.capabilities import Capabilities
from snapstorm.model.guarantees import Finding
from snapstorm.model.manifest import path_as_text
from snapstorm.model.outcomes import Failed, Locked, NoOp, Ok, Outcome, Unknown
from snapstorm.model.protocols import (
    Auditor,
    ClientSnapshotter,
    Program,
    Server,
    TargetDescription,
    TargetPlace,
)
from snapstorm.model.seen import ListingSeen, ReceiptSeen, RestoreSeen, UnsavedSeen
from snapstorm.runtime.process import ProcessRunner
from snapstorm.targets.plain import PlainServer, PlainTarget
from snapstorm.targets.plugin import ExternalServer, MakeTarget, TargetOptions, TargetPlugin

__all__ = [
    "ANY_BLOB",
    "AccessDenied",
    "Auditor",
    "Capabilities",
    "ClientSnapshotter",
    "ExternalServer",
    "Failed",
    "Fault",
    "FaultKind",
    "Finding",
    "Inspection",
    "Inspections",
    "JudgedGuarantee",
    "ListedSnapshot",
    "ListingSeen",
    "Locked",
    "MakeTarget",
    "NoOp",
    "NothingToBreak",
    "Ok",
    "OperationFailed",
    "OperationPartial",
    "OperationTimedOut",
    "OperationUnknown",
    "Operations",
    "Outcome",
    "Particulars",
    "Performer",
    "PlainServer",
    "PlainTarget",
    "ProcessRunner",
    "Program",
    "ReceiptSeen",
    "Record",
    "RepositoryLocked",
    "RestoreSeen",
    "Scene",
    "Server",
    "SnapshotReceipt",
    "Step",
    "TargetDescription",
    "TargetOptions",
    "TargetPlace",
    "TargetPlugin",
    "Unknown",
    "UnsavedSeen",
    "Upkeep",
    "judges",
    "path_as_text",
    "performs",
]
