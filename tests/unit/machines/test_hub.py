"""A call happens once and is answered, refused or in doubt; who is admitted is checked before."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import anyio
import msgspec
import pytest
from tests.unit.machines.one_hub import ECHO, SLEEP, a_hub, machine_services
from tests.waiting import until

from snapstorm.errors import ConfigError, HarnessError, MachineLost, OperationTimedOut, OperationUnknown
from snapstorm.machines.handshake import own_hello
from snapstorm.machines.host import End, NotAdmitted, host
from snapstorm.machines.hub import HubSettings, Joined, open_hub
from snapstorm.machines.join_file import make_credentials
from snapstorm.machines.services import Method
from snapstorm.machines.wire import PART_BYTES

pytestmark = pytest.mark.anyio
SECONDS = 900.0


async def test_a_call_is_answered_and_the_run_ends_in_order(scratch: Path) -> None:
    """Whatever the length of the payload; the machine knows that the run is over."""
    async with a_hub(scratch) as scene:
        async with scene.host_beside("b") as endings:
            for length in (0, 1, PART_BYTES + 1, 5_000_000):
                payload = os.urandom(length)
                assert await scene.hub.ask("b", ECHO, payload, SECONDS) == payload
            (joined,) = scene.changes
            assert isinstance(joined, Joined)
            assert scene.hub.machines == {"b": joined.machine}
            assert joined.machine.clock.uncertain_ns > 0
            assert abs(joined.machine.clock.ahead_ns) <= joined.machine.clock.uncertain_ns + 50_000_000
        assert [ending.end for ending in endings] == [End.DISMISSED]
        assert (scene.changes, scene.hub.late_answers) == ([joined], 0)


async def test_a_hub_knows_that_a_dismissed_machine_has_ended_what_it_used(scratch: Path) -> None:
    """The connection ends after that, so the run does not go on before."""
    services = machine_services()
    was_connected: list[bool] = []

    async def close() -> None:
        await anyio.sleep(0.1)
        was_connected.append("b" in scene.hub.machines)

    services.on_close(close)
    async with a_hub(scratch) as scene, scene.host_beside("b", services):
        await scene.hub.dismiss()
        assert was_connected == [True]


async def test_the_transport_leaves_no_file_and_no_place_to_import_from(scratch: Path) -> None:
    """The library makes directories, by default one for all users of the system, and puts them on Python's path."""
    before = list(sys.path)
    async with a_hub(scratch) as scene, scene.host_beside("b"):
        assert all(Path(place).is_relative_to(scratch) for place in set(sys.path) - set(before))
        assert (scratch / "hosts" / "b").exists()
    assert sys.path == before
    assert {str(path.relative_to(scratch)) for path in scratch.rglob("*") if not path.is_dir()} == {
        "machines/coordinator.pem",
        "machines/join.pem",
    }
    assert not [*(scratch / "hosts").iterdir()]


async def test_many_calls_at_once_each_get_their_own_answer(scratch: Path) -> None:
    """Long ones among short ones."""
    async with a_hub(scratch) as scene, scene.host_beside("b"):
        answers: dict[int, bytes] = {}

        async def one(number: int) -> None:
            payload = bytes([number % 251]) * (2_000_000 if number % 50 == 0 else number)
            answers[number] = await scene.hub.ask("b", ECHO, payload, SECONDS)
            assert answers[number] == payload

        async with anyio.create_task_group() as group:
            for number in range(200):
                group.start_soon(one, number)
        assert len(answers) == 200


async def test_an_error_of_a_method_is_raised_as_the_same_error(scratch: Path) -> None:
    """With its evidence; the machine stays."""
    services = machine_services()

    async def fail(_: str) -> str:
        raise OperationTimedOut("too slow", evidence="it said nothing", blobs=("p1",))

    failing = Method("fail", str, str)
    services.offer(failing, fail)
    async with a_hub(scratch) as scene, scene.host_beside("b", services):
        with pytest.raises(OperationTimedOut, match="too slow") as caught:
            await scene.hub.ask("b", failing, "", SECONDS)
        assert (caught.value.evidence, caught.value.blobs) == ("it said nothing", ("p1",))
        with pytest.raises(HarnessError, match="this machine has no method nothing"):
            await scene.hub.call("b", "nothing", b"", SECONDS)
        assert await scene.hub.ask("b", ECHO, b"still there", SECONDS) == b"still there"


async def test_a_call_to_a_machine_that_is_not_there_is_in_doubt(scratch: Path) -> None:
    """As everything is that a lost machine was asked for; it is no failure of the target."""
    async with a_hub(scratch) as scene:
        with pytest.raises(MachineLost, match="the machine b is not there") as caught:
            await scene.hub.ask("b", ECHO, b"", SECONDS)
    assert isinstance(caught.value, OperationUnknown)


async def test_a_cancelled_call_is_ended_at_the_machine_before_its_caller_goes_on(scratch: Path) -> None:
    """As a command on this machine is; others go on."""
    begun = scratch / "begun"
    async with a_hub(scratch) as scene, scene.host_beside("b"):
        async with anyio.create_task_group() as group:
            group.start_soon(scene.hub.ask, "b", SLEEP, str(begun), SECONDS)
            await until(begun.exists)
            assert not Path(f"{begun}.ended").exists()
            group.cancel_scope.cancel()
        assert Path(f"{begun}.ended").exists()
        assert await scene.hub.ask("b", ECHO, b"on", SECONDS) == b"on"
        assert (scene.lost(), scene.hub.late_answers) == ([], 0)


async def test_a_machine_that_misses_a_deadline_is_given_up_with_all_that_waits_for_it(scratch: Path) -> None:
    """It can't be known what became of any of them. It is told, and ends what it does."""
    begun, other = scratch / "begun", scratch / "other"
    lost: list[str] = []

    async def waiting(path: Path, seconds: float) -> None:
        try:
            await scene.hub.ask("b", SLEEP, str(path), seconds)
        except MachineLost as error:
            lost.append(str(error))

    async with a_hub(scratch) as scene, scene.host_beside("b") as endings:
        async with anyio.create_task_group() as group:
            group.start_soon(waiting, other, SECONDS)
            await until(other.exists)
            await waiting(begun, 0.3)
        assert lost == ["the machine b was lost: it did not answer sleep within 0.3 s"] * 2
        assert scene.lost() == [("b", "it did not answer sleep within 0.3 s")]
        await until(lambda: endings)
        assert Path(f"{other}.ended").exists()
        assert (endings[0].end, scene.hub.machines) == (End.GIVEN_UP, {})


async def test_a_machine_that_is_given_up_can_come_back_as_another_incarnation(scratch: Path) -> None:
    """Under the same name."""
    async with a_hub(scratch) as scene:
        async with scene.host_beside("b") as endings:
            before = scene.hub.machines["b"].incarnation
            scene.hub.give_up("b", "a test wants it")
            await until(lambda: endings)
            assert str(endings[0]) == "the coordinator has given this machine up: a test wants it"
        assert scene.hub.machines == {}
    async with a_hub(scratch) as scene, scene.host_beside("b"):
        assert scene.hub.machines["b"].incarnation != before


async def test_the_loss_of_one_machine_is_nothing_to_the_others(scratch: Path) -> None:
    """The library tells each worker of it."""
    async with a_hub(scratch) as scene, scene.host_beside("a") as endings, scene.host_beside("b") as kept:
        scene.hub.give_up("a", "a test wants it")
        await until(lambda: endings)
        assert await scene.hub.ask("b", ECHO, b"here", SECONDS) == b"here"
        assert (kept, list(scene.hub.machines)) == ([], ["b"])


async def test_a_name_can_be_used_once(scratch: Path) -> None:
    """One line on both sides, and the first machine stays."""
    async with a_hub(scratch) as scene, scene.host_beside("b"):
        line = "a machine named b has joined already: choose another --name"
        with pytest.raises(NotAdmitted, match=line) as caught:
            await host(scene.settings("b"), machine_services())
        assert caught.value.is_taken
        assert [(one.name, one.problems) for one in scene.refused()] == [("b", (line,))]
        assert await scene.hub.ask("b", ECHO, b"here", SECONDS) == b"here"


@pytest.mark.parametrize(
    ("change", "line"),
    [
        ({"protocol": 99}, "the protocol of machines is 99 there and 1 at the coordinator"),
        ({"python": "2.7"}, "Python is 2.7 there and 3."),
        ({"facts": {"program": "b"}}, "program is b there and a at the coordinator"),
    ],
)
async def test_a_machine_that_differs_is_not_admitted(scratch: Path, change: Mapping[str, object], line: str) -> None:
    """One line on both sides, and its services are closed."""
    services = machine_services()
    closed: list[bool] = []

    async def close() -> None:
        closed.append(True)

    services.on_close(close)
    hello = msgspec.structs.replace(own_hello("b", "", {"program": "a"}), **change)
    async with a_hub(scratch, program="a") as scene:
        with pytest.raises(NotAdmitted, match=line) as caught:
            await host(replace(scene.settings("b"), hello=hello), services)
        assert str(caught.value).count("\n") == 0
        (refused,) = scene.refused()
        assert refused.problems[0].startswith(line)
        assert (scene.hub.machines, closed) == ({}, [True])


async def test_a_join_file_of_another_run_lets_nobody_in(scratch: Path) -> None:
    """One line on both sides."""
    async with a_hub(scratch / "one") as scene:
        make_credentials(scratch / "one" / "machines")
        with pytest.raises(HarnessError, match="belongs to another run: copy machines/join.pem") as caught:
            await host(scene.settings("b"), machine_services())
        assert str(caught.value).count("\n") == 0
        await until(scene.refused)
        assert {one.problems for one in scene.refused()} == {("it has no join file of this run",)}
        assert not scene.hub.machines


async def test_fewer_machines_than_asked_for_are_told_with_their_names(scratch: Path) -> None:
    """Once the time is up."""
    async with a_hub(scratch) as scene, scene.host_beside("b"):
        await scene.hub.wait_for(1, SECONDS)
        with pytest.raises(HarnessError, match=r"1 of 3 machines joined within 0\.1 s: b"):
            await scene.hub.wait_for(3, 0.1)


async def test_a_hub_listens_with_tls_or_not_at_all(scratch: Path) -> None:
    """And says why it can't listen."""
    credentials = make_credentials(scratch)
    with pytest.raises(ConfigError, match="tls://HOST:PORT, not 'tcp://127.0.0.1:0'"):
        async with open_hub(credentials, HubSettings(listen="tcp://127.0.0.1:0")):
            pass
    async with a_hub(scratch / "first") as scene:
        with pytest.raises(HarnessError, match=f"can't listen on {scene.hub.address}: Address already in use"):
            async with open_hub(credentials, HubSettings(listen=scene.hub.address)):
                pass
