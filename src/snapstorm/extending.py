"""What actions, faults and targets of your own are made of. See docs/extending.md."""

from snapstorm.actions.operations import Operations
from snapstorm.actions.performer import Performer, performs
from snapstorm.actions.step import Step
from snapstorm.errors import AccessDenied, OperationFailed, OperationPartial, OperationTimedOut, OperationUnknown
from snapstorm.faults.fault import Fault, FaultKind, NothingToBreak, Record, Scene
from snapstorm.model.action_results import ListedSnapshot, Particulars, SnapshotReceipt
from snapstorm.model.actions import Action, Inspection, Upkeep
from snapstorm.model.capabilities import Capabilities
from snapstorm.model.outcomes import Failed, NoOp, Ok, Outcome, Unknown
from snapstorm.model.protocols import (
    Auditor,
    ClientSnapshotter,
    Program,
    Server,
    Target,
    TargetDescription,
    TargetPlace,
)
from snapstorm.runtime.process import ProcessRunner
from snapstorm.targets.plugin import ExternalServer, MakeTarget, TargetOptions, TargetPlugin

__all__ = [
    "AccessDenied",
    "Action",
    "Auditor",
    "Capabilities",
    "ClientSnapshotter",
    "ExternalServer",
    "Failed",
    "Fault",
    "FaultKind",
    "Inspection",
    "ListedSnapshot",
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
    "ProcessRunner",
    "Program",
    "Record",
    "Scene",
    "Server",
    "SnapshotReceipt",
    "Step",
    "Target",
    "TargetDescription",
    "TargetOptions",
    "TargetPlace",
    "TargetPlugin",
    "Unknown",
    "Upkeep",
    "performs",
]
