"""What can go wrong, and who is to blame.

Every error that snapstorm raises on purpose is one of three kinds, because a verdict depends on whose fault it was:

* `ConfigError`: *you* asked for something that can't be. Nothing was started (exit status 2).
* `HarnessError`: *we*, or the machine, could not do our part: no Kopia, no space, no permission (exit status 3).
* `TargetError`: the *backup system under test* did not do what it was asked to. Never a traceback to a user, always
  an outcome that the guarantees judge.
"""

from __future__ import annotations

import difflib
from collections.abc import Container, Iterable, Sequence


class SnapstormError(Exception):
    """Base of all errors raised on purpose. `str(error)` is one line that says what is wrong and what to do."""


class ConfigError(SnapstormError):
    """The user typed or wrote something that can't be run.

    `problems` holds one line for each thing that is wrong, so that all can be mended at once.
    """

    def __init__(self, *problems: str) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


class HarnessError(SnapstormError):
    """The machine or snapstorm itself could not do its part; says nothing about the target."""


class FaultNotPossible(HarnessError):
    """A fault that was asked for by name is not possible here. `why` says why not."""

    def __init__(self, key: str, why: str) -> None:
        super().__init__(f"the fault {key} is not possible here: {why}")
        self.why = why


class NoSpaceError(HarnessError):
    """A disk that holds clients' files or the testbed is full. Unlike other harness errors, it can be recovered from
    by deleting some of a client's own files."""


class TestbedError(HarnessError):
    """A testbed can't be used: in use by another run, of a newer version, damaged, or belonging to something else."""

    __test__ = False  # pytest would otherwise take the name for a test class.


class _AnyBlob(Container[str]):
    def __contains__(self, _: object) -> bool:
        return True


ANY_BLOB: Container[str] = _AnyBlob()
"""Holds every blob."""


class TargetError(SnapstormError):
    """The backup system under test did not do what it was asked to.

    Raised as one of its subclasses, which say what is known about the effect.

    `evidence` is what the target printed, for the report; it never holds a secret. `blobs` are the stored blobs that
    this failure may be about, by their `Blob.id`: those that the target names, or `ANY_BLOB` where it says that
    something stored is damaged or missing and can't say what.
    """

    def __init__(self, message: str, *, evidence: str = "", blobs: Container[str] = ()) -> None:
        super().__init__(message)
        self.evidence = evidence
        self.blobs = blobs


class OperationFailed(TargetError):
    """The target says that the operation did not happen, and its effect, if any, is known to be none."""


class AccessDenied(OperationFailed):
    """The target refused this client: wrong password, unknown or removed user, missing permission."""


class RepositoryLocked(OperationFailed):
    """The target refused the operation because another one holds a lock on the repository. It is asked again once
    others have ended, and counts against the target only if it comes again while nobody else is at work."""


class VersionRefused(OperationFailed):
    """The target refused the version that asked, by design: the repository needs a newer one. No violation."""


class NotSaved(OperationFailed):
    """The target says that a tree equals its latest snapshot, and that it has been set to save none then."""


class OperationUnknown(TargetError):
    """The operation may or may not have happened: its process failed, was killed, or its answer made no sense."""


class OperationTimedOut(OperationUnknown):
    """The operation was still running when its time was up, and was killed. Unlike a plain `OperationUnknown`, a
    slow machine can be the reason, so it counts against the target only if it happens again on an idle one."""


class MachineLost(OperationUnknown):
    """The machine that performed the operation is gone, stopped or cut off, so nobody knows what became of it. Unlike
    other kinds, it says nothing about the target."""


class OperationPartial(OperationUnknown):
    """The target itself says that it left something out: the operation ended, but its result is not the whole."""


COUNTS_IF_REPEATED = (OperationTimedOut, RepositoryLocked)
"""Failures of which a slow machine, or others at work, can be the reason."""


class GuaranteeViolated(SnapstormError):
    """A guarantee did not hold in a step of a test that was written with the library.

    `violations` are the findings themselves (`snapstorm.model.guarantees.Violation`).
    """

    def __init__(self, message: str, violations: Sequence[object]) -> None:
        super().__init__(message)
        self.violations = tuple(violations)


class ActionNotDone(SnapstormError):
    """An action of a test did not end `Ok` where the test needs its result: nothing to do, failed, or unknown."""


def reading_failure(error: OSError | UnicodeDecodeError) -> str:
    """Why a text file can't be read, without its path, which the message names anyway."""
    if isinstance(error, UnicodeDecodeError):
        return f"it is not UTF-8 text (byte {error.start:,})"
    return error.strerror or str(error)


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """A question for the message that refuses a name, with the nearest known one. Empty if none is near."""
    near = difflib.get_close_matches(name, list(known), n=1)
    return f"did you mean {near[0]!r}? " if near else ""
