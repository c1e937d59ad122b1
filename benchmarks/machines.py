"""What calls between machines cost the coordinator, by calls in flight and machines, and how soon a loss is seen.

    python benchmarks/machines.py [--quick]

Machines are processes on this machine, over loopback with TLS. They share its cores with the coordinator, so calls per
second are pessimistic; the coordinator's own CPU time per call is not.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import anyio
import psutil
from common import machine, scratch_directory

from snapstorm.errors import MachineLost
from snapstorm.machines.host import HostSettings, host
from snapstorm.machines.hub import Hub, HubSettings, open_hub
from snapstorm.machines.join_file import make_credentials, read_join_file
from snapstorm.machines.services import Method, Services

SMALL = Method("small", bytes, bytes)
LARGE = Method("large", int, bytes)
HANG = Method("hang", int, int)
PAYLOAD = bytes(200)
MANIFEST_BYTES = 4_600_000
"""As long as a manifest of 50,000 entries."""
SECONDS_MAX = 600.0
LOST_AFTER_SECONDS = 4.0

GOALS = {"cpu_ms": 0.1, "in_flight": 256, "killed_seconds": 0.2, "stopped_seconds_more": 5.0}


async def serve(address: str, join_file: str, name: str) -> None:
    """Be a machine."""
    services = Services()

    async def small(payload: bytes) -> bytes:
        return payload

    async def large(length: int) -> bytes:
        return bytes(length)

    async def hang(_: int) -> int:
        await anyio.sleep_forever()
        return 0

    services.offer(SMALL, small)
    services.offer(LARGE, large)
    services.offer(HANG, hang)
    await host(HostSettings(address, read_join_file(Path(join_file)), name, Path(join_file).parent / name), services)


@contextmanager
def machine_process(hub: Hub, join_file: Path, name: str) -> Iterator[subprocess.Popen[bytes]]:
    """A machine in a process of its own."""
    with subprocess.Popen([sys.executable, __file__, "--host", hub.address, str(join_file), name]) as process:
        try:
            yield process
        finally:
            process.kill()


async def calls(hub: Hub, names: list[str], in_flight: int, count: int) -> tuple[float, float]:
    """Calls per second, and milliseconds of the coordinator's CPU time per call."""
    each = max(1, count // in_flight)

    async def caller(number: int) -> None:
        for _ in range(each):
            await hub.ask(names[number % len(names)], SMALL, PAYLOAD, SECONDS_MAX)

    began, cpu = time.perf_counter(), time.process_time()
    async with anyio.create_task_group() as group:
        for number in range(in_flight):
            group.start_soon(caller, number)
    done = each * in_flight
    return done / (time.perf_counter() - began), (time.process_time() - cpu) * 1000 / done


async def seen_after(hub: Hub, process: subprocess.Popen[bytes], number: signal.Signals) -> float:
    """Seconds from a signal to a machine until a call that waits for it fails."""
    failed: list[float] = []
    began = 0.0

    async def wait() -> None:
        try:
            await hub.ask("a", HANG, 0, SECONDS_MAX)
        except MachineLost:
            failed.append(time.perf_counter())

    async with anyio.create_task_group() as group:
        group.start_soon(wait)
        await anyio.sleep(0.5)
        began = time.perf_counter()
        process.send_signal(number)
    return failed[0] - began


def memory_mib(pid: int) -> float:
    """What a process takes now."""
    return float(psutil.Process(pid).memory_info().rss) / 2**20


async def measure(directory: Path, *, is_quick: bool) -> None:
    """Print all figures."""
    count = 5_000 if is_quick else 20_000
    before = memory_mib(os.getpid())
    credentials, join_file = make_credentials(directory), directory / "join.pem"
    async with open_hub(credentials, HubSettings(lost_after_seconds=LOST_AFTER_SECONDS)) as hub:
        print(f"memory of the coordinator: {before:.0f} MiB, with a hub {memory_mib(os.getpid()):.0f} MiB")
        print("machines  in flight   calls/s   CPU ms/call of the coordinator")
        for machines in (1, 2) if is_quick else (1, 2, 4, 8):
            names = [f"m{machines}-{number}" for number in range(machines)]
            with ExitStack() as stack:
                processes = [stack.enter_context(machine_process(hub, join_file, name)) for name in names]
                await hub.wait_for(machines, SECONDS_MAX)
                for in_flight in (1, 16, 256, 2048):
                    rate, cpu_ms = await calls(hub, names, in_flight, count if in_flight > 1 else 200)
                    print(f"{machines:8}  {in_flight:9}  {rate:8,.0f}   {cpu_ms:.3f}")
                if machines == 1:
                    await print_large(hub, names[0])
                    print(f"memory of a machine: {memory_mib(processes[0].pid):.0f} MiB")
            while hub.machines:  # noqa: ASYNC110 - nothing else tells of it
                await anyio.sleep(0.01)
        print(f"goal: at most {GOALS['cpu_ms']} ms at {GOALS['in_flight']} in flight")
        with machine_process(hub, join_file, "a") as process:
            await hub.wait_for(1, SECONDS_MAX)
            seconds = await seen_after(hub, process, signal.SIGKILL)
        print(f"a killed machine is seen after {seconds:.3f} s (goal: {GOALS['killed_seconds']} s)")
        with machine_process(hub, join_file, "a") as process:
            await hub.wait_for(1, SECONDS_MAX)
            seconds = await seen_after(hub, process, signal.SIGSTOP)
        goal = LOST_AFTER_SECONDS + GOALS["stopped_seconds_more"]
        print(f"a stopped machine is seen after {seconds:.1f} s of {LOST_AFTER_SECONDS:g} (goal: {goal:g} s)")


async def print_large(hub: Hub, name: str) -> None:
    """What an answer of several megabytes costs, and what it does to a small call beside it."""
    await hub.ask(name, LARGE, MANIFEST_BYTES, SECONDS_MAX)
    began, cpu = time.perf_counter(), time.process_time()
    for _ in range(10):
        await hub.ask(name, LARGE, MANIFEST_BYTES, SECONDS_MAX)
    seconds, cpu_seconds = (time.perf_counter() - began) / 10, (time.process_time() - cpu) / 10
    print(f"an answer of {MANIFEST_BYTES:,} bytes: {cpu_seconds * 1000:.1f} ms of CPU, {seconds * 1000:.0f} ms")


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--host", nargs=3, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.host:
        anyio.run(serve, *arguments.host)
        return
    print(machine())
    with scratch_directory() as directory:

        async def work() -> None:
            await measure(directory, is_quick=arguments.quick)

        anyio.run(work)


if __name__ == "__main__":
    main()
