"""A child never outlives its block, and a command costs no more than itself."""

from __future__ import annotations

import contextlib
import functools
import os
import re
import signal
import sys
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

import anyio
import anyio.to_thread
import pytest
from tests.waiting import GIVE_UP_SECONDS, until

from snapstorm.errors import HarnessError
from snapstorm.filesystem.temporaries import temporaries_in
from snapstorm.runtime.child import Environment
from snapstorm.runtime.process import CompletedCommand, ProcessRunner, end_processes_of, on_behalf_of
from snapstorm.runtime.redaction import Redaction
from snapstorm.runtime.watchdog import owned_processes

pytestmark = pytest.mark.anyio

ENV = Environment({"PATH": os.environ["PATH"]})
TESTBED = "process-test"


@pytest.fixture
async def runner() -> AsyncIterator[ProcessRunner]:
    async with ProcessRunner(TESTBED, grace_seconds=0.5) as runner:
        yield runner


async def test_exit_status_and_output_are_reported_and_never_raised(runner: ProcessRunner) -> None:
    """A command that fails is data: what it wrote and how it ended come back."""
    completed = await runner.run(["sh", "-c", "echo out; echo err >&2; exit 3"], env=ENV, seconds_max=GIVE_UP_SECONDS)
    assert (completed.exit_code, completed.stdout, completed.stderr) == (3, b"out\n", b"err\n")
    assert not completed.timed_out
    assert 0 < completed.seconds < 10


async def test_program_that_is_not_there_is_our_own_error(runner: ProcessRunner) -> None:
    """A program that can't be started says nothing about the target."""
    with pytest.raises(HarnessError, match="can't start /no/such/program: No such file"):
        await runner.run(["/no/such/program"], env=ENV, seconds_max=GIVE_UP_SECONDS)


async def test_child_gets_only_the_environment_it_is_given(runner: ProcessRunner) -> None:
    """What is inherited or secret reaches the child but not the record; our own variables go before inherited ones."""
    completed = await runner.run(
        ["/usr/bin/env"],
        env=Environment(
            {"A": "1"}, inherited={"A": "0", "C": "2", "API_TOKEN": "a token of the user's"}, secret={"B": "secret"}
        ),
        seconds_max=GIVE_UP_SECONDS,
    )
    assert set(completed.stdout.splitlines()) == {
        *(b"A=1", b"B=secret", b"C=2", b"API_TOKEN=(secret)"),
        f"SNAPSTORM_OWNER={runner.owner}".encode(),
    }
    assert completed.env == {"A": "1"}


async def test_each_command_has_a_temporary_directory_of_its_own(tmp_path: Path) -> None:
    """What a command that ended by itself has left there is told; it is empty for the next one."""
    leaves = 'touch "$TMPDIR/left"; echo "$TMPDIR"'
    with temporaries_in(tmp_path / "tmp") as temporaries:
        async with ProcessRunner(TESTBED, temporaries=temporaries, grace_seconds=0.5) as runner:
            clean, failing, ours = [
                await runner.run(["sh", "-c", script], env=ENV, seconds_max=10, is_of_target=is_of_target)
                for script, is_of_target in (
                    ('touch "$TMPDIR/x"; rm "$TMPDIR/x"; echo "$TMPDIR"', True),
                    (f"{leaves}; exit 3", True),
                    ('echo "$TMPDIR"', False),
                )
            ]
            assert (clean.left_files, failing.left_files) == ((), ["left"])
            assert clean.stdout == failing.stdout  # One that is left empty is used again.
            assert str(tmp_path / "tmp").encode() in clean.stdout
            assert str(tmp_path).encode() not in ours.stdout
            assert "TMPDIR" not in clean.env
            assert not Path(failing.stdout.decode().strip()).exists()


@pytest.mark.parametrize("how", ["time", "term", "kill", "by-somebody"])
async def test_what_a_signal_has_ended_may_leave_temporary_files(how: str, tmp_path: Path) -> None:
    """It could not clean up. They go all the same."""
    script = 'touch "$TMPDIR/left"; ' + ("kill -KILL $$" if how == "by-somebody" else "exec sleep 60")
    commands: list[CompletedCommand] = []
    with temporaries_in(tmp_path / "tmp") as temporaries:
        async with ProcessRunner(TESTBED, temporaries=temporaries, on_command=commands.append) as runner:
            token = on_behalf_of.set("operation")
            async with anyio.create_task_group() as group:
                seconds_max = 0.5 if how == "time" else 60.0
                group.start_soon(lambda: runner.run(["sh", "-c", script], env=ENV, seconds_max=seconds_max))
                if how in ("term", "kill"):
                    await until(lambda: list(tmp_path.glob("tmp/*/left")))
                    number = signal.SIGTERM if how == "term" else signal.SIGKILL
                    assert runner.signal_children_of("operation", number) == 1
            on_behalf_of.reset(token)
            assert commands[-1].exit_code < 0
            assert commands[-1].left_files == ()
            assert list(tmp_path.glob("tmp/*/left")) == []


async def test_a_stopped_command_that_goes_on_must_clean_up(tmp_path: Path) -> None:
    """A fault that lets it go on is no excuse. A long-lived process is judged alike."""
    commands: list[CompletedCommand] = []
    with temporaries_in(tmp_path / "tmp") as temporaries:
        async with ProcessRunner(TESTBED, temporaries=temporaries, on_command=commands.append) as runner:
            script = 'touch "$TMPDIR/left"; read line <"$GATE"'
            gate = tmp_path / "gate"
            os.mkfifo(gate)
            env = Environment({**ENV.own, "GATE": str(gate)})
            async with runner.start(["sh", "-c", script], env=env, log=tmp_path / "log") as process:
                assert process.child.temporary is not None
                await until((process.child.temporary / "left").exists)
                process.child.signal(signal.SIGSTOP)
                process.child.signal(signal.SIGCONT)
                await anyio.to_thread.run_sync(gate.write_text, "go on\n")
                await process.child.exited()
    assert [command.left_files for command in commands] == [["left"]]


@pytest.mark.parametrize(
    "shown",
    [
        'printf %s "$B"',
        'printf "user:%s" "$B" | base64 -w0',
        'printf "ab%s." "$B" | base64 -w0 >&2',
        "env | od -An -tx1",
    ],
)
async def test_what_it_was_given_is_not_in_its_output_in_any_form(runner: ProcessRunner, shown: str) -> None:
    """What it prints becomes evidence, and what it says of a failure stands in reports."""
    secret = "kX3vQm9Z-kX3vQm9Z_27"
    completed = await runner.run(
        ["/bin/sh", "-c", f"({shown}) | tr -d ' \\n'" if "od" in shown else shown],
        env=Environment(ENV.own, secret={"B": secret}),
        seconds_max=10,
    )
    output = completed.stdout + completed.stderr
    assert b"(secret)" in output
    assert Redaction({"it": secret}).find(output) is None


async def test_child_reads_what_it_is_given_and_nothing_otherwise(runner: ProcessRunner) -> None:
    """A command that asks a question meets an end of file, not the user's terminal."""
    assert (await runner.run(["cat"], env=ENV, seconds_max=GIVE_UP_SECONDS)).stdout == b""
    with tempfile.TemporaryFile() as given:
        given.write(b"given")
        given.seek(0)
        completed = await runner.run(["cat"], env=ENV, seconds_max=10, stdin=given.fileno())
    assert completed.stdout == b"given"


async def test_large_output_arrives_whole(runner: ProcessRunner) -> None:
    """A listing of many megabytes is not cut."""
    completed = await runner.run(["head", "-c", "30000000", "/dev/zero"], env=ENV, seconds_max=GIVE_UP_SECONDS)
    assert len(completed.stdout) == 30_000_000


async def test_huge_stderr_keeps_its_beginning_and_its_end(runner: ProcessRunner) -> None:
    """A tool that floods its log does not fill our memory, and its last words are kept."""
    script = "echo first; head -c 3000000 /dev/zero; echo last"
    completed = await runner.run(["sh", "-c", f"({script}) >&2"], env=ENV, seconds_max=GIVE_UP_SECONDS)
    assert completed.stderr.startswith(b"first\n")
    assert completed.stderr.endswith(b"last\n")
    assert b"bytes left out]" in completed.stderr
    assert len(completed.stderr) < 1_000_000


async def test_command_over_its_time_is_ended(runner: ProcessRunner) -> None:
    """Time up: TERM ends it, and the record says that it was us."""
    completed = await runner.run(["sleep", "60"], env=ENV, seconds_max=0.2)
    assert completed.timed_out
    assert completed.exit_code == -signal.SIGTERM
    assert owned_processes(runner.owner) == []


async def test_command_that_ignores_term_is_killed_after_the_grace(runner: ProcessRunner) -> None:
    """Kopia's hung clients ignore TERM; nothing may."""
    # Ignored already when the command begins: it inherits that.
    before = signal.signal(signal.SIGTERM, signal.SIG_IGN)
    try:
        completed = await runner.run(["sleep", "infinity"], env=ENV, seconds_max=0.2)
    finally:
        signal.signal(signal.SIGTERM, before)
    assert completed.timed_out
    assert completed.exit_code == -signal.SIGKILL
    assert completed.seconds > 0.6
    await until(lambda: owned_processes(runner.owner) == [])


async def test_stopped_command_follows_the_term(runner: ProcessRunner) -> None:
    """A process stopped by a fault is woken so that it can end in order."""
    completed = await runner.run(["sh", "-c", "kill -STOP $$"], env=ENV, seconds_max=0.2)
    assert completed.exit_code == -signal.SIGTERM


async def test_children_of_a_command_that_ended_are_ended(runner: ProcessRunner) -> None:
    """A child left in the background by a command that ended well is gone when `run` returns."""
    completed = await runner.run(["sh", "-c", "sleep infinity & echo done"], env=ENV, seconds_max=GIVE_UP_SECONDS)
    assert completed.stdout == b"done\n"
    assert not completed.timed_out
    await until(lambda: owned_processes(runner.owner) == [])


async def test_grandchild_that_left_the_group_does_not_hold_the_command_up() -> None:
    """A grandchild in a session of its own may keep the pipe open: `run` returns, and the runner's end is its end."""
    async with ProcessRunner(TESTBED) as runner:
        completed = await runner.run(
            ["sh", "-c", "setsid sleep infinity & echo done"], env=ENV, seconds_max=GIVE_UP_SECONDS
        )
        assert completed.stdout == b"done\n"
        assert not completed.timed_out
    await until(lambda: owned_processes(runner.owner) == [])


async def test_cancelled_command_is_ended_and_still_reported() -> None:
    """A cancelled task leaves no process; the command happened, so it is told."""
    commands: list[CompletedCommand] = []
    async with ProcessRunner(TESTBED, on_command=commands.append) as runner:
        async with anyio.create_task_group() as group:
            group.start_soon(lambda: runner.run(["sleep", "60"], env=ENV, seconds_max=GIVE_UP_SECONDS))
            await until(lambda: owned_processes(runner.owner))
            group.cancel_scope.cancel()
        assert owned_processes(runner.owner) == []
    assert [(command.argv, command.exit_code, command.timed_out) for command in commands] == [
        (("sleep", "60"), -signal.SIGTERM, False)
    ]


async def test_commands_run_at_the_same_time(runner: ProcessRunner, tmp_path: Path) -> None:
    """Ten commands end, each of which waits until all ten have begun."""
    script = 'touch "$0"; while [ "$(ls | wc -l)" != 10 ]; do sleep 0.01; done'
    async with anyio.create_task_group() as group:
        for number in range(10):
            argv = ["sh", "-c", script, str(number)]
            group.start_soon(functools.partial(runner.run, argv, env=ENV, seconds_max=GIVE_UP_SECONDS, cwd=tmp_path))
    assert len(list(tmp_path.iterdir())) == 10


async def test_long_lived_process_ends_with_its_block(runner: ProcessRunner, tmp_path: Path) -> None:
    """A server's lines can be waited for, and its block ends it."""
    log = tmp_path / "logs" / "server.log"
    script = "echo starting >&2; echo port 4711 >&2; exec sleep 60"
    async with runner.start(["sh", "-c", script], env=ENV, log=log) as server:
        match = await server.line_matching(re.compile(r"^port (\d+)$", re.MULTILINE), seconds_max=GIVE_UP_SECONDS)
        assert match is not None
        assert match[1] == "4711"
        assert server.child.exit_code is None
        assert owned_processes(runner.owner) == [server.child.pid]
    assert server.child.exit_code == -signal.SIGTERM
    assert owned_processes(runner.owner) == []
    assert log.stat().st_mode & 0o777 == 0o600


async def test_long_lived_process_that_ends_by_itself_is_noticed(runner: ProcessRunner, tmp_path: Path) -> None:
    """Waiting for a line of a server that died ends at once, with its status and its last words at hand."""
    log = tmp_path / "server.log"
    log.write_text("of an earlier run\n")
    async with runner.start(["sh", "-c", "echo no port left >&2; exit 7"], env=ENV, log=log) as server:
        assert await server.line_matching(re.compile("^port"), seconds_max=GIVE_UP_SECONDS) is None
        assert server.child.exit_code == 7
        assert server.log_tail() == "no port left\n"


async def test_error_in_the_block_comes_out_as_it_is(tmp_path: Path) -> None:
    """Nobody has to unpack an exception group to see what went wrong."""
    runner = ProcessRunner(TESTBED)
    with pytest.raises(ValueError, match="own"):
        async with runner, runner.start(["sleep", "60"], env=ENV, log=tmp_path / "log"):
            raise ValueError("own")
    assert owned_processes(runner.owner) == []


async def test_nothing_starts_outside_the_block() -> None:
    """Without a watchdog no child is started."""
    runner = ProcessRunner(TESTBED)
    with pytest.raises(HarnessError, match="inside its runner's block"):
        await runner.run(["true"], env=ENV, seconds_max=1)


def watchdogs(owner: str) -> list[int]:
    """The processes that have this owner on their command line."""
    found: list[int] = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            if owner.encode() in path.read_bytes():
                found.append(int(path.parent.name))
    return found


async def sleep_in(runner: ProcessRunner) -> None:
    await runner.run(["sleep", "60"], env=ENV, seconds_max=GIVE_UP_SECONDS)


async def test_left_overs_of_an_earlier_run_are_ended_and_counted() -> None:
    """Opening a testbed again ends what its last run left, and nothing of another testbed."""
    mine, other = f"{TESTBED}-again", f"{TESTBED}-again-2"
    async with ProcessRunner(mine) as left, ProcessRunner(other) as neighbour, anyio.create_task_group() as group:
        for runner in (left, left, neighbour):
            group.start_soon(sleep_in, runner)
        await until(lambda: len(owned_processes(mine)) == 2 and len(owned_processes(other)) == 1)
        assert await end_processes_of(mine) == 2
        assert owned_processes(mine) == []
        assert len(owned_processes(other)) == 1
        group.cancel_scope.cancel()


async def test_without_its_watchdog_nothing_is_started() -> None:
    """A runner whose watchdog was killed says so in one line, and the child that it had started is gone."""
    async with ProcessRunner(TESTBED) as runner:
        await until(lambda: len(watchdogs(runner.owner)) == 1)
        (watchdog,) = watchdogs(runner.owner)
        os.kill(watchdog, signal.SIGKILL)
        await anyio.to_thread.run_sync(os.waitid, os.P_PID, watchdog, os.WEXITED | os.WNOWAIT)
        with pytest.raises(HarnessError, match="watchdog process has ended"):
            await runner.run(["sleep", "60"], env=ENV, seconds_max=GIVE_UP_SECONDS)
        await until(lambda: owned_processes(runner.owner) == [])


async def test_watchdog_goes_with_its_runner() -> None:
    """A runner that ends well leaves no watchdog behind, and its watchdog ended nobody."""
    async with ProcessRunner(TESTBED) as runner:
        await until(lambda: len(watchdogs(runner.owner)) == 1)
        await runner.run([sys.executable, "-c", "pass"], env=ENV, seconds_max=GIVE_UP_SECONDS)
    assert watchdogs(runner.owner) == []
