"""Outputs that can't be written to, modules that can't be loaded, and paths and locales that are not UTF-8."""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Collection, Mapping
from pathlib import Path

import pytest
from tests.e2e.commandline import (
    SMALL,
    Ran,
    command,
    lines_of,
    owned_processes,
    snapstorm,
    snapstorm_from_the_start,
)
from tests.e2e.preloaded import CLOSED
from tests.waiting import GIVE_UP_SECONDS

PASS, VIOLATED, BAD_USAGE, NOT_TOLD = 0, 1, 2, 3
OUT, ERR = "stdout", "stderr"
REDIRECTIONS = {
    ">&-": {OUT: CLOSED},
    "2>&-": {ERR: CLOSED},
    ">/dev/full": {OUT: "/dev/full"},
    "2>/dev/full": {ERR: "/dev/full"},
    "<&- >&- 2>&-": {OUT: CLOSED, ERR: CLOSED},
}
"""What the shell does with a command's outputs, and where those that are lost then go."""

QUICK = ("--clients", "2", "--actions", "12", "--seed", "7", *SMALL)


def redirected(redirection: str, *arguments: str | Path) -> Ran:
    """Run the command line as a shell starts it with an output that can't be written to."""
    done = subprocess.run(
        ["/bin/sh", "-c", f'exec "$@" {redirection}', "sh", *command(*arguments)],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=GIVE_UP_SECONDS,
        check=False,
    )
    return checked(Ran(done.returncode, done.stdout, done.stderr))


def without(lost: Mapping[str, str], *arguments: str | Path) -> Ran:
    """Run the command line with each of these outputs going to its place instead."""
    return checked(snapstorm(*arguments, stdout=lost.get(OUT), stderr=lost.get(ERR)))


def checked(ran: Ran) -> Ran:
    assert "Traceback" not in ran.stderr + ran.stdout
    assert "Exception ignored" not in ran.stderr
    return ran


def expected(status: int, told_on: str, lost: Collection[str]) -> int:
    """A result that could not be told is status 3, unless the command has found something violated."""
    return NOT_TOLD if told_on in lost and status != VIOLATED else status


@pytest.fixture(scope="module")
def beds(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with the testbeds `passed` and `violated`, of one run each."""
    parent = tmp_path_factory.mktemp("beds")
    made = {"passed": ("memory", PASS), "violated": ("memory:restore-flips-a-byte", VIOLATED)}
    for name, (target, status) in made.items():
        ran = snapstorm("run", "--target", target, *QUICK, "--testbed", parent / name, "--progress", "none")
        assert ran.status == status, ran.stderr
    return parent


COMMANDS: list[tuple[str, int, str]] = [
    ("--help", PASS, OUT),
    ("--version", PASS, OUT),
    ("accept 1 --testbed violated --reason known", PASS, OUT),
    ("accept 9 --testbed violated --reason known", BAD_USAGE, ERR),
    ("actions", PASS, OUT),
    ("bundle violated --output bundle.tar.gz", PASS, OUT),
    ("calibrate --target memory --only create-says-nothing --honest 0", BAD_USAGE, ERR),
    ("calibrate --kind memory --only verify-says-nothing --honest 0 --json", PASS, OUT),
    ("compact --testbed passed", PASS, OUT),
    ("faults --json", PASS, OUT),
    ("history --testbed passed", PASS, OUT),
    ("history --testbed passed --json", PASS, OUT),
    ("known-bugs 0", BAD_USAGE, ERR),
    ("nonsense", BAD_USAGE, ERR),
    ("recheck passed", PASS, OUT),
    ("recheck violated --json", VIOLATED, OUT),
    ("recover --testbed passed --from nowhere", NOT_TOLD, ERR),
    ("replay passed --json --progress plain", PASS, OUT),
    ("replay violated --progress none", VIOLATED, ERR),
    ("report passed --markdown report.md", PASS, OUT),
    ("run --bogus", BAD_USAGE, ERR),
    ("scenarios", PASS, OUT),
    ("shrink passed", BAD_USAGE, ERR),
    ("status --testbed passed", PASS, OUT),
    ("status --testbed missing", BAD_USAGE, ERR),
    ("sweep --testbed passed --progress plain", PASS, ERR),
    ("sweep --testbed passed --progress plain --json", PASS, OUT),
    ("target memory", PASS, OUT),
]


@pytest.mark.parametrize(("words", "status", "told_on"), COMMANDS, ids=[words for words, _, _ in COMMANDS])
def test_a_result_that_could_not_be_told_is_no_success(words: str, status: int, told_on: str, beds: Path) -> None:
    """Every command, with each of its outputs full or closed: the status says whether its result was told."""
    arguments = [str(beds / word) if word in ("passed", "violated", "bundle.tar.gz", "report.md") else word
                 for word in words.split()]  # fmt: skip
    for lost, place in ((OUT, "/dev/full"), (ERR, CLOSED)):
        (beds / "bundle.tar.gz").unlink(missing_ok=True)
        ran = without({lost: place}, *arguments)
        assert ran.status == expected(status, told_on, {lost}), (lost, ran)
        if told_on != lost:
            assert ran.stdout if told_on == OUT else ran.stderr, lost
        elif told_on == OUT:
            assert "could not be written to standard output: No space left" in ran.stderr


@pytest.mark.parametrize("redirection", REDIRECTIONS)
@pytest.mark.parametrize("is_json", [False, True], ids=["summary", "json"])
def test_a_run_goes_on_to_its_end_without_its_outputs(redirection: str, is_json: bool, scratch: Path) -> None:
    """The verdict is recorded, nothing is written into the ledger but by SQLite, and no process is left."""
    bed, lost = scratch / "bed", REDIRECTIONS[redirection]
    kinds = ("rich",) if is_json else ("plain", "github")
    for kind in kinds:
        run = (
            "run",
            "--target",
            "memory",
            *QUICK,
            "--testbed",
            bed,
            "--progress",
            kind,
            *(["--json"] if is_json else []),
        )
        # How a shell begins it is seen once for each redirection; the others begin in a process that is loaded.
        ran = redirected(redirection, *run) if kind == "plain" else without(lost, *run)
        assert ran.status == expected(PASS, OUT if is_json else ERR, lost), ran
        if is_json and OUT not in lost:
            assert ran.json["verdict"] == "pass"
        if not is_json and ERR not in lost:
            assert "PASS: " in ran.stderr
    runs = snapstorm("status", "--testbed", bed, "--json").json["runs"]
    assert [run["verdict"] for run in runs] == ["pass"] * len(kinds)
    assert (bed / "ledger.sqlite3").read_bytes().startswith(b"SQLite format 3")
    assert owned_processes(str(bed)) == []


def test_what_is_violated_stays_so_without_any_output(scratch: Path) -> None:
    """Status 1 needs no words."""
    run = ("run", "--target", "memory:restore-flips-a-byte", *QUICK, "--testbed", scratch / "bed")
    assert redirected("<&- >&- 2>&-", *run).status == VIOLATED


@pytest.mark.parametrize("place", [CLOSED, "/dev/full"], ids=["closed", "full"])
def test_what_prints_between_runs_goes_on(place: str, scratch: Path) -> None:
    """Repeated runs and shrinking come to their ends although none of their lines can be written."""
    bed = scratch / "bed"
    defect = ("run", "--target", "memory:restore-flips-a-byte", *QUICK, "--testbed", bed, "--until-violation")
    ran = checked(snapstorm(*defect, "--json", stderr=place))
    assert ran.status == VIOLATED
    assert ran.json["repeated"]["runs"] >= 1
    ran = checked(snapstorm("shrink", bed, "--json", stderr=place))
    assert ran.status == PASS, ran
    assert ran.json["ending"] == "done"
    assert owned_processes(str(bed)) == []


def test_a_reader_that_has_gone_is_not_told() -> None:
    """As `| head -1` leaves it, when more is written than it has read."""
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run(command("actions"), stdout=writing, stderr=subprocess.PIPE, text=True, check=False)
    os.close(writing)
    assert done.returncode == NOT_TOLD
    assert done.stderr == "snapstorm: the result could not be written to standard output: Broken pipe\n"


@pytest.fixture
def broken(scratch: Path) -> Path:
    """A directory that comes before the installed modules."""
    directory = scratch / "broken"
    directory.mkdir()
    return directory


BODIES = {
    "missing": 'raise ModuleNotFoundError("No module named {name!r}", name={name!r})',
    "a-library-is-missing": 'raise OSError("libnothing.so: cannot open shared object file")',
    "of-another-version": "import os\nos.nothing_of_this_name",
    "cut-off": "x = (",
}


@pytest.mark.parametrize(
    ("name", "body"),
    [("msgspec", body) for body in BODIES]
    + [(name, "missing") for name in ("anyio", "blake3", "cyclopts", "pydantic", "_ssl", "_sqlite3")],
)
def test_a_module_that_can_not_be_loaded_is_named(name: str, body: str, broken: Path) -> None:
    """One line, and a status that means neither violated nor bad usage."""
    (broken / f"{name}.py").write_text(BODIES[body].format(name=name))
    ran = snapstorm_from_the_start("run", "--target", "memory", *QUICK, env={"PYTHONPATH": str(broken)})
    check_not_loaded(ran, name)


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("rich", ["--progress", "rich"]),
        ("starlette", ["--web"]),
        ("uvicorn", ["--web"]),
        ("prometheus_client", ["--metrics", "0"]),
        ("jinja2", ["--report", "reports"]),
    ],
)
def test_a_module_that_is_loaded_later_is_named_as_well(
    name: str, arguments: list[str], broken: Path, scratch: Path
) -> None:
    """What only some commands need is missed before they begin."""
    (broken / f"{name}.py").write_text(BODIES["missing"].format(name=name))
    bed = scratch / "bed"
    run = ("run", "--target", "memory", *QUICK, "--testbed", bed, *arguments)
    check_not_loaded(snapstorm_from_the_start(*run, env={"PYTHONPATH": str(broken)}, cwd=scratch), name)
    assert not bed.exists()


def check_not_loaded(ran: Ran, name: str) -> None:
    assert ran.status == NOT_TOLD, ran
    assert ran.stdout == ""
    (line,) = lines_of(ran.stderr)
    assert line.startswith("snapstorm: the module ")
    assert f"{name} can't be loaded" in line or f"{name}.py can't be loaded" in line
    assert "install snapstorm" in line


def test_where_a_module_failed_is_shown_on_request(broken: Path) -> None:
    """For those who look for the mistake; the status is the same."""
    (broken / "msgspec.py").write_text("1 / 0")
    ran = snapstorm_from_the_start("actions", env={"PYTHONPATH": str(broken), "SNAPSTORM_DEBUG": "1"})
    assert ran.status == NOT_TOLD
    assert "Traceback" in ran.stderr
    assert "snapstorm: the module msgspec can't be loaded (ZeroDivisionError: division by zero)" in ran.stderr


NOT_UTF8 = os.fsdecode(b"n\xc3\x95\xff")
LOCALES = {
    "utf-8": {"LC_ALL": "C.UTF-8"},
    "C": {"LANG": "C", "LC_ALL": "C"},
    "ascii-files-as-well": {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
    "ascii-output": {"PYTHONIOENCODING": "ascii"},
}
PAIR = re.compile(r"\\ud[89ab]\w\w\\ud[c-f]\w\w")
"""How JSON in ASCII writes one character outside the basic plane."""
VIOLATED_RUN = ("run", "--target", "memory:restore-flips-a-byte", *QUICK)


@pytest.mark.parametrize("locale", LOCALES)
def test_a_path_that_is_not_utf8_is_readable_everywhere(locale: str, scratch: Path) -> None:
    """In progress, summary, listings, JSON and reports; and what was found violated there is not lost."""
    env, bed, reports = LOCALES[locale], scratch / NOT_UTF8, scratch / "reports"
    ran = snapstorm_from_the_start(*VIOLATED_RUN, "--testbed", bed, "--report", reports, "--progress", "plain", env=env)
    assert ran.status == VIOLATED, ran.stderr
    readable = rf"{scratch}/n\xc3\x95\xff" if locale == "ascii-output" else rf"{scratch}/nÕ\xff"
    if locale == "ascii-files-as-well":
        readable = rf"{scratch}/n\xc3\x95\xff"
    assert f"testbed    {readable}\n" in ran.stderr
    assert f"evidence: {readable}/runs/0001/" in ran.stderr
    assert all(line.isprintable() for line in ran.stderr.splitlines())
    as_json = rf"{scratch}/nÕ\xff"
    for arguments in (("status", "--testbed", bed), ("history", "--testbed", bed), ("sweep", "--testbed", bed)):
        shown = snapstorm_from_the_start(*arguments, "--json", env=env).json
        assert shown["testbed"] == as_json
        json.dumps(shown, ensure_ascii=False).encode()
    texts = {file.name: file.read_bytes().decode("utf-8") for file in reports.iterdir()}
    assert set(texts) == {"report.html", "junit.xml", "report.json", "report.md"}
    assert all("\\udc" not in PAIR.sub("", text) for text in texts.values())
    assert json.loads(texts["report.json"])["testbed"] == as_json
    assert as_json in texts["report.html"]
    assert as_json in texts["junit.xml"]
    for text in (*bed.rglob("README.md"), *bed.rglob("history.json")):
        text.read_bytes().decode("utf-8")


def test_a_run_goes_on_from_places_that_are_not_utf8(scratch: Path) -> None:
    """The simulated target can have them, for its repository and for copies of the ledger as well."""
    bed, work = scratch / "bed", scratch / NOT_UTF8 / "work"
    places = ("--repository", scratch / NOT_UTF8 / "repository", "--persist", scratch / NOT_UTF8 / "copies")
    (scratch / NOT_UTF8).mkdir()
    ran = snapstorm("run", "--target", "memory", *QUICK, "--testbed", bed, "--workdir", work, *places)
    assert ran.status == PASS, ran.stderr
    ran = snapstorm("sweep", "--testbed", bed, "--workdir", work, "--json")
    assert ran.status == PASS, ran.stderr
    assert ran.json["sweep"]["verified"] > 0
    assert list((scratch / NOT_UTF8 / "copies").iterdir())


@pytest.mark.parametrize(
    ("option", "arguments", "env"),
    [
        ("--testbed", ["--testbed", "PLACE"], {}),
        ("--workdir", ["--testbed", "bed", "--workdir", "PLACE"], {}),
        ("--repository", ["--testbed", "bed", "--repository", "PLACE"], {}),
        ("--persist", ["--testbed", "bed", "--persist", "kopia:PLACE"], {}),
        ("--from", ["--testbed", "bed", "--from", "kopia:PLACE"], {}),
        ("TMPDIR", [], {"TMPDIR": "PLACE"}),
        ("TMPDIR", ["--report", "reports", "--until-violation"], {"TMPDIR": "PLACE"}),
    ],
)
def test_kopia_is_not_given_a_path_that_it_can_not_have(
    option: str, arguments: list[str], env: dict[str, str], scratch: Path
) -> None:
    """Refused by the name of the option before anything is made."""
    place = str(scratch / NOT_UTF8)
    if env:
        Path(place).mkdir()
    before = list(scratch.iterdir())
    ran = snapstorm(
        "run",
        *(argument.replace("PLACE", place) for argument in arguments),
        env={name: value.replace("PLACE", place) for name, value in env.items()},
        cwd=scratch,
    )
    assert ran.status == BAD_USAGE
    (line,) = lines_of(ran.stderr)
    assert line == (
        rf"snapstorm: {option} {scratch}/nÕ\xff: the target kopia can't have a path that is not UTF-8; choose another"
    )
    assert list(scratch.iterdir()) == before
    assert not env or list(Path(place).iterdir()) == []


def test_a_relative_testbed_in_such_a_directory_is_refused(scratch: Path) -> None:
    """What counts is the whole path."""
    (scratch / NOT_UTF8).mkdir()
    ran = snapstorm("run", "--testbed", "bed", cwd=scratch / NOT_UTF8)
    assert ran.status == BAD_USAGE
    assert rf"--testbed {scratch}/nÕ\xff/bed: the target kopia can't have" in ran.stderr
    assert list((scratch / NOT_UTF8).iterdir()) == []
