"""Bundles: one file with the evidence of a run, without secrets, ready to attach to an issue.

Files that contain a secret of the testbed are scrubbed, or left out if scrubbing would falsify them. When everything is
packed, the whole file is read again. If it still contains a secret, nothing is written.
"""

from __future__ import annotations

import io
import json
import os
import re
import secrets
import tarfile
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from snapstorm.errors import ConfigError, HarnessError, TestbedError
from snapstorm.guarantees.evidence import history_of
from snapstorm.ledger.ledger import Ledger
from snapstorm.model.guarantees import Violation
from snapstorm.persistence.persistence import PERSISTED_TO_FACT, REPOSITORY_FACT
from snapstorm.report.summary import show_bytes
from snapstorm.report.text import dump_json
from snapstorm.runtime.aws import read_credentials
from snapstorm.runtime.redaction import Redaction, secrets_among
from snapstorm.runtime.secrets import FileSecretStore
from snapstorm.testbed.identity import OUR_HOST
from snapstorm.testbed.testbed import read_testbed, run_directory_of
from snapstorm.version import __version__

HISTORY_OPERATIONS_MAX = 5000
RESTORED_BYTES_MAX = 8 << 20
"""At most so much of each restored tree is packed, the files that differ first."""


class Bundled(NamedTuple):
    """What has been packed."""

    summary: str
    notes: Sequence[str]
    """What is missing, and what was left out."""


@dataclass
class _Packing:
    """A bundle while it is being packed."""

    archive: tarfile.TarFile
    top: str
    redaction: Redaction
    files: int = 0
    left_out: list[str] = field(default_factory=list)

    def add(self, name: str, content: bytes, *, is_verbatim: bool = False) -> None:
        """Add a file. A file that is wanted verbatim and contains a secret is left out, and so is one whose name
        contains a secret."""
        if self.redaction.find(os.fsencode(name)):
            self.left_out.append("left out: a file whose name holds a secret")
            return
        if is_verbatim and (secret := self.redaction.find(content)):
            self.left_out.append(f"left out: {name}: it holds a secret ({secret})")
            return
        member = tarfile.TarInfo(f"{self.top}/{name}")
        clean = content if is_verbatim else self.redaction.scrub(content)
        member.size, member.mode = len(clean), 0o600
        self.archive.addfile(member, io.BytesIO(clean))
        self.files += 1


def bundle_name(testbed: Path, number: int) -> str:
    """The file name of a bundle, without its ending."""
    return f"snapstorm-{re.sub(r'[^A-Za-z0-9._-]', '_', testbed.name)}-run-{number}"


def make_bundle(testbed: Path, number: int, output: Path, users_file: Path | None = None) -> Bundled:
    """Pack the evidence of a run into a new file.

    Raises ConfigError if the output exists already. Raises HarnessError or TestbedError, one line, if the file can't be
    written, if the secrets can't be known, or if one would remain in it. Then no partial file is left.
    """
    if os.path.lexists(output):
        raise ConfigError(f"{output} exists already; choose another name with --output")
    with read_testbed(testbed) as ledger:
        redaction = _redaction_for(testbed, ledger, users_file)
        new = output.with_name(f".{output.name}.{secrets.token_hex(8)}")
        try:
            with open(os.open(new, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), "w+b") as file:
                with tarfile.open(fileobj=file, mode="w:gz", format=tarfile.GNU_FORMAT) as archive:
                    packing = _Packing(archive, bundle_name(testbed, number), redaction)
                    violations, notes = _pack(packing, ledger, testbed, number)
                file.flush()
                os.fsync(file.fileno())
                _refuse_secrets(file, redaction)
                size = file.seek(0, os.SEEK_END)
            os.link(new, output)  # Unlike a rename, this replaces nothing.
        except FileExistsError:
            raise ConfigError(f"{output} exists already; choose another name with --output") from None
        except OSError as error:
            raise HarnessError(f"{output} can't be written: {error.strerror or error}") from error
        finally:
            with suppress(OSError):
                new.unlink()
    return Bundled(f"{output}: {violations} violation(s), {packing.files} files, {show_bytes(size)}", notes)


def _redaction_for(testbed: Path, ledger: Ledger, users_file: Path | None) -> Redaction:
    """All secrets of a testbed. Raises TestbedError if they can't be known, because then nothing could be checked."""
    is_operated = any(not client.endswith(OUR_HOST) for client in ledger.clients_with_expectations())
    own = testbed / "secrets.toml"
    if is_operated and users_file is None:
        raise TestbedError(
            "the passwords of this testbed's users are not kept in it, so the bundle can't be checked for them; "
            "name their file with --clients-file"
        )
    if not own.exists() and not is_operated:
        raise TestbedError(f"{own} is missing, so the bundle can't be checked for secrets")
    found = FileSecretStore(own).all()
    if users_file is not None:
        if not users_file.is_file():
            raise ConfigError(f"there is no file {users_file}; --clients-file names the users' passwords")
        found |= {f"password of {user}": word for user, word in FileSecretStore(users_file).all().items()}
    found |= secrets_among(os.environ)
    try:
        found |= read_credentials()
    except HarnessError as error:
        places = (ledger.fact(REPOSITORY_FACT), ledger.fact(PERSISTED_TO_FACT))
        if any(place is not None and place.startswith("s3://") for place in places):
            raise TestbedError(f"the bundle can't be checked for secrets: {error}") from error
    return Redaction(found, _private_keys(testbed))


def _private_keys(testbed: Path) -> list[bytes]:
    try:
        return [path.read_bytes() for path in (testbed / "server").glob("*.pem") if b"PRIVATE KEY" in path.read_bytes()]
    except OSError as error:
        raise TestbedError(f"the server's private key can't be read: {error}") from error


def _pack(packing: _Packing, ledger: Ledger, testbed: Path, number: int) -> tuple[int, list[str]]:
    """Add everything. Returns how many violations the run has found, and the notes."""
    violations = [(found, violation) for found, run, violation, _ in ledger.violations() if run == number]
    kept = run_directory_of(testbed, number) / "evidence"
    directories = sorted(path for path in kept.iterdir() if path.is_dir()) if kept.is_dir() else []
    wanted = {Path(violation.evidence).name for _, violation in violations if violation.evidence}
    missing = sorted(wanted - {path.name for path in directories})
    if missing and not directories:
        raise TestbedError(f"the evidence of run {number} does not exist any more: {kept} is empty or gone")
    for directory in directories:
        _add_evidence(packing, directory)
    row = ledger.record.run(number) or {}
    packing.add("run.json", dump_json(row, indent=1).encode())
    packing.add("history.json", dump_json(history_of(ledger, number, HISTORY_OPERATIONS_MAX), indent=1).encode())
    notes = [] if violations else [f"run {number} has found no violation; the bundle holds its summary and history"]
    notes += [f"removed since the run, so not in the bundle: {name}" for name in missing]
    packing.add("README.md", "\n".join(_readme(row, violations, notes + packing.left_out)).encode())
    return len(violations), notes + packing.left_out


def _add_evidence(packing: _Packing, directory: Path) -> None:
    restored_bytes = too_many = no_files = 0
    first = _differing(directory)
    for path in sorted(_files_below(directory), key=lambda path: (path.relative_to(directory) not in first, path)):
        name = f"evidence/{directory.name}/{path.relative_to(directory)}"
        is_restored = path.relative_to(directory).parts[0] == "restored"
        if path.is_symlink() or not path.is_file():
            no_files += 1  # A link could point anywhere when it is unpacked.
            continue
        if is_restored and restored_bytes + path.stat().st_size > RESTORED_BYTES_MAX:
            too_many += 1
            continue
        restored_bytes += path.stat().st_size if is_restored else 0
        packing.add(name, path.read_bytes(), is_verbatim=is_restored)
    if no_files:
        packing.left_out.append(f"left out: {no_files} link(s) and the like of {directory.name}/restored")
    if too_many:
        limit = show_bytes(RESTORED_BYTES_MAX)
        packing.left_out.append(f"left out: {too_many} file(s) of {directory.name}/restored, beyond its first {limit}")


def _files_below(directory: Path) -> Iterator[Path]:
    """Everything except directories, links to them included."""
    for place, directories, files in os.walk(directory):
        links = [name for name in directories if os.path.islink(os.path.join(place, name))]
        yield from (Path(place, name) for name in (*files, *links))


def _differing(directory: Path) -> set[Path]:
    """The files of the restored tree that differ, according to `differences.json`."""
    try:
        document = json.loads((directory / "differences.json").read_bytes())
        return {Path("restored", one["path"]) for one in document["differences"]}
    except (OSError, ValueError, LookupError, TypeError):
        return set()  # There is none, or a run was killed while it wrote it. Then the order differs.


def _readme(row: dict[str, Any], violations: Sequence[tuple[int, Violation]], missing: Sequence[str]) -> Iterator[str]:
    summary, target = row.get("summary") or {}, row.get("target") or {}
    verdict = row.get("verdict") or "none: it was killed, or was still going on"
    reason = f" ({summary['reason']})" if summary.get("reason") else ""
    yield f"# Run {row.get('number')} of a testbed of snapstorm {__version__}\n"
    yield f"- verdict: {verdict}{reason}"
    yield f"- target: {target.get('name')} {' '.join(target.get('versions', ()))}"
    yield f"- seed: {row.get('seed')}"
    yield f"- began {row.get('began_utc')}, ended {row.get('ended_utc')}\n"
    if violations:
        yield "## Violations\n"
    for number, violation in violations:
        place = f", `evidence/{Path(violation.evidence).name}/README.md`" if violation.evidence else ""
        yield f"- {number}: {violation.guarantee}: {violation.detail.splitlines()[0]}{place}"
    yield "\n`run.json` has the scenario, the target and the summary, `history.json` the operations and the faults."
    yield "Passwords and keys of the testbed are replaced by `(secret)`."
    if missing:
        yield "\n## What is missing\n"
        yield from (f"- {one}" for one in missing)


def _refuse_secrets(file: Any, redaction: Redaction) -> None:
    """Read what was packed as its recipient would. Raises HarnessError if it contains a secret."""
    file.seek(0)
    with tarfile.open(fileobj=file, mode="r:gz") as archive:
        for member in archive:
            opened = archive.extractfile(member)
            content = b"" if opened is None else opened.read()
            secret = redaction.find(os.fsencode(member.name)) or redaction.find(content)
            if secret is not None:
                raise HarnessError(
                    f"nothing was written: a secret of the testbed ({secret}) would be in {member.name} of the bundle"
                )
