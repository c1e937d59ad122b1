"""Kopia's policies: which apply to a source, what they make happen, and which a run can't be judged under.

Kopia merges them from the most specific one, that of the source's own path, to the global one; the first that says
something about a setting decides (`snapshot/policy`, the same from 0.19.0 to 0.23.1). A client does this itself, from
the policies that its user may read. So the policies that the server shows a user are those that its snapshots follow.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import Enum, auto
from pathlib import PurePosixPath
from typing import Any

import msgspec

from snapstorm.errors import OperationFailed
from snapstorm.model.abilities import RETENTION
from snapstorm.runtime.process import CompletedCommand
from snapstorm.targets.kopia import answers
from snapstorm.targets.kopia.ignore_rules import read_rule
from snapstorm.targets.kopia.selection import FilesPolicy, Selection

_DEFAULT_RULE_FILES = (".kopiaignore",)
_KEEPS_ALL_FROM = 1_000_000
"""A `--keep-latest` of this or more is never reached."""


class Role(Enum):
    """What a setting means for a run."""

    HARMLESS = auto()
    """It changes nothing that is judged."""
    EXPECTED = auto()
    """What it makes happen is expected."""
    REFUSED = auto()
    """No run can be judged under it."""


def _settings(role: Role, section: str, names: str) -> dict[str, Role]:
    return {f"{section}.{name}": role for name in names.split()}


SETTINGS: Mapping[str, Role] = {
    # Retention of our own sources is set by ourselves, on a path that is more specific than any other policy's.
    **_settings(Role.EXPECTED, "retention", "keepLatest keepHourly keepDaily keepWeekly keepMonthly keepAnnual"),
    **_settings(Role.EXPECTED, "retention", "ignoreIdenticalSnapshots"),
    **_settings(Role.EXPECTED, "files", "ignore ignoreDotFiles ignoreCacheDirs maxFileSize oneFileSystem"),
    # Without effect on what is kept: rules of parents apply all the same (`ignorefs.go`).
    **_settings(Role.HARMLESS, "files", "noParentIgnore noParentDotFiles"),
    # A file that can't be read is left out with exit status 0: a loss could not be told from what was asked for.
    **_settings(Role.REFUSED, "errorHandling", "ignoreFileErrors ignoreDirectoryErrors"),
    # No client has FIFOs, sockets or devices.
    **_settings(Role.HARMLESS, "errorHandling", "ignoreUnknownTypes"),
    # A server takes snapshots of its own machine only; `manual` counts for `snapshot create --all` only.
    **_settings(Role.HARMLESS, "scheduling", "intervalSeconds timeOfDay noParentTimeOfDay manual cron runMissed"),
    # How bytes are stored, not which.
    **_settings(Role.HARMLESS, "compression", "compressorName onlyCompress noParentOnlyCompress neverCompress"),
    **_settings(Role.HARMLESS, "compression", "noParentNeverCompress minSize maxSize"),
    **_settings(Role.HARMLESS, "metadataCompression", "compressorName"),
    **_settings(Role.HARMLESS, "splitter", "algorithm"),
    # Kopia runs actions only for a connection that was made with `--enable-actions`, and ours are not (measured).
    **_settings(Role.HARMLESS, "actions", "beforeFolder afterFolder beforeSnapshotRoot afterSnapshotRoot"),
    # Windows only; elsewhere Kopia passes it over (measured).
    **_settings(Role.HARMLESS, "osSnapshots", "volumeShadowCopy"),
    **_settings(Role.HARMLESS, "logging", "directories entries"),
    **_settings(Role.HARMLESS, "upload", "maxParallelSnapshots maxParallelFileReads parallelUploadAboveSize"),
}
"""Every setting of Kopia 0.19.0 to 0.23.1, by its name in JSON. docs/server-policies.md says what each makes happen."""

_REFUSED_OPTIONS = {"--ignore-file-errors": "ignore_file_errors", "--ignore-dir-errors": "ignore_directory_errors"}


class _Target(msgspec.Struct, frozen=True, rename="camel"):
    host: str = ""
    user_name: str = ""
    path: str = ""

    def __str__(self) -> str:
        if not self.host:
            return "(global)"
        user = f"{self.user_name}@{self.host}"
        return f"{user}:{self.path}" if self.path else user


class _Retention(msgspec.Struct, frozen=True, rename="camel"):
    keep_latest: int | None = None
    ignore_identical_snapshots: bool | None = None


class _ErrorHandling(msgspec.Struct, frozen=True, rename="camel"):
    ignore_file_errors: bool | None = None
    ignore_directory_errors: bool | None = None


class _Policy(msgspec.Struct, frozen=True, rename="camel"):
    target: _Target
    retention: _Retention = _Retention()
    files: FilesPolicy = FilesPolicy()
    error_handling: _ErrorHandling = _ErrorHandling()
    no_parent: bool = False


@dataclass(frozen=True)
class SourcePolicy:
    """What applies to one source."""

    selection: Selection
    ignores_identical: bool
    """A snapshot that equals the latest one is not saved."""
    keeps_all: bool
    """Retention expires nothing."""


@dataclass(frozen=True)
class Policies:
    """All policies that one user is shown."""

    identity: str
    """`user@host`."""
    shown: tuple[_Policy, ...]
    unknown: tuple[str, ...] = ()
    """Settings that are not in the table, such as those of a newer Kopia."""

    def of(self, source: str) -> SourcePolicy:
        """What applies to the source at this absolute path."""
        merged = self._merged(source)
        has_defaults = not any(policy.no_parent for policy in merged)
        files = [policy.files for policy in merged]
        root = FilesPolicy(
            ignore=_first(one.ignore for one in files) or (),
            rule_files=_first(one.rule_files for one in files) or (_DEFAULT_RULE_FILES if has_defaults else ()),
            ignores_caches=_first_said(one.ignores_caches for one in files),
            size_bytes_max=_first(one.size_bytes_max for one in files) or 0,
            one_file_system=_first_said(one.one_file_system for one in files),
        )
        start = len(source.rstrip("/")) + 1
        below = {os.fsencode(policy.target.path[start:]): policy.files for policy in self._below(source)}
        keep_latest = _first_said(policy.retention.keep_latest for policy in merged)
        return SourcePolicy(
            Selection(root, below),
            ignores_identical=bool(_first_said(policy.retention.ignore_identical_snapshots for policy in merged)),
            keeps_all=(keep_latest or 0) >= _KEEPS_ALL_FROM,
        )

    def _merged(self, source: str) -> list[_Policy]:
        """Those that apply to a source, the most specific first, up to one that inherits nothing."""
        user, _, host = self.identity.partition("@")
        paths = [source, *map(str, PurePosixPath(source).parents)]
        found: list[_Policy] = []
        for target in (*(_Target(host, user, path) for path in paths), _Target(host, user), _Target(host), _Target()):
            for policy in self.shown:
                if policy.target == target:
                    found.append(policy)
                    if policy.no_parent:
                        return found
        return found

    def _below(self, source: str) -> list[_Policy]:
        """Those of directories below a source."""
        user, _, host = self.identity.partition("@")
        prefix = source.rstrip("/") + "/"
        return [
            policy
            for policy in self.shown
            if (policy.target.host, policy.target.user_name) == (host, user) and policy.target.path.startswith(prefix)
        ]

    def refusals(self, source: str) -> Iterator[str]:
        """Why snapshots of a source can't be judged under these policies: one line for each setting, with what to
        do."""
        merged, below = self._merged(source), self._below(source)
        for option, name in _REFUSED_OPTIONS.items():
            said = [policy for policy in merged if getattr(policy.error_handling, name) is not None]
            for policy in (*said[:1], *below):
                if getattr(policy.error_handling, name):
                    yield (
                        f"the policy of {policy.target} sets {option}: a file could be left out without an error, so a "
                        f"run can't be judged; set {option}=false there, or for {self.identity}:{source}"
                    )
        for policy in (*[policy for policy in merged if policy.files.ignore][:1], *below):
            for problem in filter(None, map(_problem_of, policy.files.ignore)):
                yield f"the policy of {policy.target} has an ignore rule that Kopia can't read ({problem}); mend it"

    def settings(self, source: str) -> Mapping[str, str]:
        """What applies to a source and is expected, by names for people."""
        now = self.of(source)
        root = now.selection.root
        return {
            "the ignore rules": json.dumps(root.ignore),
            "the names of files with ignore rules": json.dumps(root.rule_files),
            "ignore-cache-dirs": str(root.ignores_caches is not False).lower(),
            "max-file-size": str(root.size_bytes_max),
            "one-file-system": str(bool(root.one_file_system)).lower(),
            "ignore-identical-snapshots": str(now.ignores_identical).lower(),
            RETENTION: "keeps all" if now.keeps_all else "expires snapshots",
            "what policies of directories below it say": repr(sorted(now.selection.below.items())),
        }


def read_policies_of(completed: CompletedCommand, identity: str) -> Policies:
    """The policies that a user is shown."""
    answers.check(completed, "policy list", OperationFailed)
    try:
        return read_policies(completed.stdout, identity)
    except ValueError as error:
        raise answers.unreadable(completed, "policy list", OperationFailed, error) from error


def read_policies(output: bytes, identity: str) -> Policies:
    """The policies that `policy list --json` shows. Raises ValueError for what can't be read."""
    try:
        documents = json.loads(output)
        shown = msgspec.convert(documents, type=tuple[_Policy, ...], strict=True)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    return Policies(identity, shown, tuple(dict.fromkeys(_unknown_settings(documents))))


def _unknown_settings(documents: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    for document in documents:
        for section, settings in document.items():
            if section in ("id", "target", "noParent"):
                continue
            names = [f"{section}.{name}" for name in settings] if isinstance(settings, dict) else [section]
            yield from (name for name in names if name not in SETTINGS)


def _problem_of(rule: str) -> str:
    try:
        read_rule(rule, "")
    except ValueError as error:
        return str(error)
    return ""


def _first(values: Iterable[Any]) -> Any:
    """The first that says something, where nothing is said by what is empty."""
    return next((value for value in values if value), None)


def _first_said(values: Iterable[Any]) -> Any:
    return next((value for value in values if value is not None), None)
