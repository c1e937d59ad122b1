"""Evidence of a real Kopia: what it stores of a damaged file, logs cut to the time, and a bundle without secrets."""

from __future__ import annotations

import base64
import json
import re
import tarfile
import tomllib
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import pytest
from tests.e2e.commandline import snapstorm
from tests.e2e.test_misbehaving_kopia import FLIPS_A_BYTE, SCENARIO

LARGE = SCENARIO.replace("count = 20", "count = 2").replace("5000..30000", "12000000")
"""A file of so many bytes is one of several contents."""

LEAKS_SECRETS = """
if argv[:1] == ["restore"] and "/clients/" in os.environ["KOPIA_CONFIG_PATH"]:
    log = pathlib.Path(os.environ["KOPIA_LOG_DIR"]) / "cli-logs"
    log.mkdir(parents=True, exist_ok=True)
    bed = pathlib.Path(os.environ["KOPIA_CONFIG_PATH"].partition("/clients/")[0])
    import time
    stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime())
    for number, path in enumerate([bed / "secrets.toml", *(bed / "server").glob("*.pem")]):
        leaked = path.read_text(errors="replace").replace("\\n", "\\n" + stamp + "Z DEBUG ")
        (log / f"leak-{number}.log").write_text(stamp + "Z DEBUG " + leaked)
    users = next((bed / "server" / "logs" / "cli-logs").glob("*users-add*.log"))
    (log / "users.log").write_bytes(users.read_bytes())
"""


def ran_with_evidence(scenario: str, wrapper: Path, scratch: Path, mode: str) -> Path:
    """Run against a Kopia that flips a byte of what it restores; the evidence of that."""
    (scratch / "scenario.toml").write_text(scenario)
    ran = snapstorm(
        "run", "--config", scratch / "scenario.toml", "--kopia", wrapper, "--testbed", scratch / "bed", "--json",
        "--seed", "5", "--progress", "none", "--mode", mode,
    )  # fmt: skip
    assert ran.status == 1, ran.stderr
    (found,) = [one for one in ran.json["violations"] if one["guarantee"] == "restored-exactly"]
    return Path(found["evidence"])


def secrets_of(bed: Path) -> list[str]:
    """Every secret of the testbed, in the forms that programs write down."""
    passwords = tomllib.loads((bed / "secrets.toml").read_text()).values()
    encoded = [base64.b64encode(word.encode()).decode() for word in passwords]
    key = (bed / "server" / "key.pem").read_text().splitlines()[1:-1]
    return [*passwords, *encoded, *key]


@pytest.mark.usefixtures("nothing_left")
def test_what_kopia_stores_of_a_damaged_file_is_named(wrapper: Callable[..., Path], scratch: Path) -> None:
    """Its objects, each of its contents with its offset, and the packs that hold them, which are there."""
    evidence = ran_with_evidence(LARGE, wrapper(FLIPS_A_BYTE), scratch, "direct")
    objects = (evidence / "objects.txt").read_text()
    assert "not found out" not in objects
    assert re.search(r"file '.*': object I?x?[0-9a-f]+, 12000000 bytes", objects)
    offsets = [int(match[1].replace(",", "")) for match in re.finditer(r"from byte ([\d,]+), ", objects)]
    assert offsets == sorted(offsets)
    assert len(offsets) > 1
    packs = set(re.findall(r"in pack blob ([pq]\w+)", objects))
    assert packs
    repository = scratch / "bed" / "repository"
    # A blob's first characters are the names of directories.
    stored = {"".join(path.relative_to(repository).parts).removesuffix(".f") for path in repository.rglob("*.f")}
    assert {pack for pack in packs if any(name.startswith(pack) for name in stored)} == packs


@pytest.mark.usefixtures("nothing_left")
def test_logs_are_of_the_time_and_the_bundle_holds_no_secret(wrapper: Callable[..., Path], scratch: Path) -> None:
    """A Kopia that writes every secret into its logs: they are in the evidence, and not in the bundle."""
    evidence = ran_with_evidence(SCENARIO, wrapper(LEAKS_SECRETS + FLIPS_A_BYTE), scratch, "server")
    logs = [*(evidence / "client-logs").iterdir(), *(evidence / "server-logs").iterdir()]
    assert any("restore" in path.name for path in logs)
    assert any("server-start" in path.name for path in logs)
    check_stamps(evidence, logs)
    secrets = secrets_of(scratch / "bed")
    leaked = b"".join(path.read_bytes() for path in logs)
    assert any(secret.encode() in leaked for secret in secrets), "the wrapper has planted none"

    bundle = scratch / "bundle.tar.gz"
    ran = snapstorm("bundle", scratch / "bed", "--output", bundle)
    assert ran.status == 0, ran.stderr
    with tarfile.open(bundle) as archive:
        files = {member.name: archive.extractfile(member) for member in archive if member.isfile()}
        everything = b"\n".join(
            part for name, file in files.items() if file for part in (name.encode(errors="replace"), file.read())
        )
    assert b"(secret)" in everything
    for secret in secrets:
        assert secret.encode() not in everything
    assert b"PRIVATE KEY" not in everything
    again = snapstorm("bundle", scratch / "bed", "--output", bundle)
    assert again.status == 2
    assert again.stderr.count("\n") == 1


def check_stamps(evidence: Path, logs: list[Path]) -> None:
    """Each line with a time is of the time around the operation."""
    history = json.loads((evidence / "history.json").read_text())
    assert history["operations"]
    found = re.findall(
        rb"^\D{0,8}(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)", b"\n".join(path.read_bytes() for path in logs), re.MULTILINE
    )
    moments = [datetime.fromisoformat(stamp.decode()) for stamp in found]
    assert moments
    assert (max(moments) - min(moments)).total_seconds() <= 20
