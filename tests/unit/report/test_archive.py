"""A bundle holds the evidence of a run and none of its secrets, or it is not made."""

from __future__ import annotations

import base64
import json
import os
import shutil
import tarfile
from pathlib import Path

import pytest
from tests.power.test_memory_defects import run_once

from snapstorm.errors import ConfigError, HarnessError, TestbedError
from snapstorm.report.archive import RESTORED_BYTES_MAX, bundle_name, make_bundle
from snapstorm.runtime.redaction import REPLACEMENT
from snapstorm.runtime.secrets import FileSecretStore
from snapstorm.targets.kopia.repository import password_hash

DEFECT = "memory:restore-flips-a-byte"


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A testbed whose one run has found violations."""
    bed = tmp_path_factory.mktemp("recorded") / "bed"
    assert run_once(bed, DEFECT, 1).tally.violations
    return bed


@pytest.fixture
def bed(recorded: Path, scratch: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of that testbed for each test, on a machine with keys for S3."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDexampleexample00")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "aws/secret+example0123456789abcdef")
    shutil.copytree(recorded, scratch / "bed", symlinks=True)
    return scratch / "bed"


def contents(bundle: Path) -> dict[str, bytes]:
    """What is in a bundle, by the names below its top."""
    with tarfile.open(bundle) as archive:
        files = {member.name: archive.extractfile(member) for member in archive}
        return {name.partition("/")[2]: file.read() for name, file in files.items() if file is not None}


def evidence_of(bed: Path) -> Path:
    return min((bed / "runs" / "0001" / "evidence").iterdir())


def secrets_of(bed: Path) -> list[str]:
    keys = [os.environ[name] for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")]
    return [*FileSecretStore(bed / "secrets.toml").values(), *keys]


def test_it_holds_all_the_evidence_and_the_run(bed: Path, scratch: Path) -> None:
    """Every file of every violation, and the run's own summary and history."""
    made = make_bundle(bed, 1, scratch / "b.tar.gz")
    found = contents(scratch / "b.tar.gz")
    for path in (bed / "runs" / "0001" / "evidence").rglob("*"):
        if path.is_file() and not path.is_symlink():
            assert found[f"evidence/{path.relative_to(bed / 'runs' / '0001' / 'evidence')}"] == path.read_bytes()
    assert json.loads(found["run.json"])["summary"]["verdict"] == "violated"
    assert json.loads(found["history.json"])["operations"]
    assert b"restored-exactly" in found["README.md"]
    violations = len(list((bed / "runs" / "0001" / "evidence").iterdir()))
    assert f"b.tar.gz: {violations} violation(s), {len(found)} files, " in made.summary


def test_planted_secrets_are_not_in_it(bed: Path, scratch: Path) -> None:
    """In texts they are scrubbed, what was restored is left out, and so is a file whose name is one."""
    pem = "-----BEGIN PRIVATE KEY-----\n" + base64.b64encode(os.urandom(600)).decode() + "\n-----END PRIVATE KEY-----"
    (bed / "server").mkdir()
    (bed / "server" / "key.pem").write_text(pem)
    evidence, secrets = evidence_of(bed), secrets_of(bed)
    assert len(secrets) >= 4
    hashed = password_hash("password")
    planted = [*secrets, *(base64.b64encode(f"u@h:{one}".encode()).decode() for one in secrets), pem, hashed]
    (evidence / "client-logs").mkdir()
    (evidence / "client-logs" / "a.log").write_text("\n".join(planted))
    (evidence / "restored" / "planted").write_text(secrets[0])
    (evidence / f"log-{secrets[1]}").write_text("x")
    with (evidence / "README.md").open("a") as readme:
        readme.write(secrets[2])
    made = make_bundle(bed, 1, scratch / "b.tar.gz")
    found = contents(scratch / "b.tar.gz")
    everything = b"\n".join(part for name, content in found.items() for part in (os.fsencode(name), content))
    for one in planted:
        assert one.encode() not in everything
    assert f"evidence/{evidence.name}/restored/planted" not in found
    assert b"(secret)" in found[f"evidence/{evidence.name}/client-logs/a.log"]
    assert any("restored/planted: it holds a secret" in note for note in made.notes)
    assert any("a file whose name holds a secret" in note for note in made.notes)
    assert b"left out" in found["README.md"]


def test_a_secret_that_would_remain_stops_it(bed: Path, scratch: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """If scrubbing can't remove it, as where it is the replacement itself, nothing is left, and a line names where."""
    (evidence_of(bed) / "output.txt").write_text(secrets_of(bed)[0])
    monkeypatch.setenv("DEPLOY_PASSWORD", REPLACEMENT.decode())
    with pytest.raises(HarnessError, match=r"nothing was written: a secret .* would be in .*output\.txt"):
        make_bundle(bed, 1, scratch / "b.tar.gz")
    assert [path.name for path in scratch.iterdir()] == ["bed"]


def test_a_run_without_violations_says_so(scratch: Path) -> None:
    """Its summary and its history are still worth a bundle."""
    run_once(scratch / "bed", "memory", 1)
    made = make_bundle(scratch / "bed", 1, scratch / "b.tar.gz")
    assert ": 0 violation(s), 3 files, " in made.summary
    assert any("found no violation" in note for note in made.notes)
    assert set(contents(scratch / "b.tar.gz")) == {"run.json", "history.json", "README.md"}


def test_nothing_is_overwritten(bed: Path, scratch: Path) -> None:
    """A file of that name stays what it is."""
    (scratch / "b.tar.gz").write_text("mine")
    with pytest.raises(ConfigError, match="exists already"):
        make_bundle(bed, 1, scratch / "b.tar.gz")
    assert (scratch / "b.tar.gz").read_text() == "mine"


def test_an_output_that_can_not_be_written_is_one_line(bed: Path) -> None:
    """As root, who may write anywhere, a place where nobody can make a file."""
    with pytest.raises(HarnessError, match="can't be written"):
        make_bundle(bed, 1, Path("/proc/bundle.tar.gz"))


def test_evidence_that_is_gone_is_told(bed: Path, scratch: Path) -> None:
    """All of it: one line. Some of it: the rest is packed, and what is missing is named."""
    evidence = evidence_of(bed)
    (bed / "kept").mkdir()
    evidence.rename(bed / "kept" / evidence.name)
    others = list((bed / "runs" / "0001" / "evidence").iterdir())
    if others:
        made = make_bundle(bed, 1, scratch / "b.tar.gz")
        assert any(evidence.name in note for note in made.notes)
    for other in others:
        other.rename(bed / "kept" / other.name)
    with pytest.raises(TestbedError, match="does not exist any more"):
        make_bundle(bed, 1, scratch / "c.tar.gz")


def test_without_the_secrets_nothing_can_be_checked(bed: Path, scratch: Path) -> None:
    """So nothing is packed."""
    (bed / "secrets.toml").unlink()
    with pytest.raises(TestbedError, match="secrets.toml is missing"):
        make_bundle(bed, 1, scratch / "b.tar.gz")


def test_links_and_large_trees_are_left_out(bed: Path, scratch: Path) -> None:
    """Links could point anywhere when they are unpacked; of a large tree what differs comes first."""
    evidence = evidence_of(bed)
    differing = json.loads((evidence / "differences.json").read_text())["differences"][0]["path"]
    (evidence / "restored" / "0-first").touch()
    os.truncate(evidence / "restored" / "0-first", RESTORED_BYTES_MAX)
    (evidence / "restored" / "link").symlink_to("/etc/passwd")
    made = make_bundle(bed, 1, scratch / "b.tar.gz")
    found = contents(scratch / "b.tar.gz")
    assert f"evidence/{evidence.name}/restored/{differing}" in found
    assert f"evidence/{evidence.name}/restored/0-first" not in found
    assert f"evidence/{evidence.name}/restored/link" not in found
    assert any("beyond its first" in note for note in made.notes)
    assert any("link(s)" in note for note in made.notes)


def test_a_run_that_was_killed_has_what_it_had(bed: Path, scratch: Path) -> None:
    """Half-written evidence, and no verdict."""
    evidence = evidence_of(bed)
    (evidence / "differences.json").write_text('{"schema": 1, "differences": [')
    (evidence / "README.md").unlink()
    make_bundle(bed, 1, scratch / "b.tar.gz")
    assert f"evidence/{evidence.name}/differences.txt" in contents(scratch / "b.tar.gz")


def test_names_are_tame() -> None:
    """Whatever the testbed is called, the file's name can be typed."""
    assert bundle_name(Path("/x/my bed:ü"), 3) == "snapstorm-my_bed__-run-3"
