"""Peers of the parts: fio for writing, `sha256sum` for scanning. Each measure gives seconds."""

from __future__ import annotations

import random
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import anyio
from common import run

from snapstorm.filesystem.scanner import scan_tree
from snapstorm.filesystem.writer import TreeFileWriter
from snapstorm.model.actions import WriteRandomFiles
from snapstorm.model.amounts import Span
from snapstorm.model.capabilities import Capabilities

FIO = shutil.which("fio")


def write_with_snapstorm(directory: Path, action: WriteRandomFiles, times: int) -> float:
    """Seconds in which the writer carries out an action so many times, in a run that is under way."""

    async def write() -> float:
        writer = TreeFileWriter(data_directory=directory / "data", capabilities=Capabilities())
        draws = random.Random(1)
        began = time.perf_counter()
        for _ in range(times):
            await writer.apply(action, draws)
        return time.perf_counter() - began

    try:
        return anyio.run(write)
    finally:
        shutil.rmtree(directory / "data")


def write_with_fio(directory: Path, *, files: int, size_bytes: int, times: int, depth: int = 0) -> float:
    """Seconds of as many fio processes, each of which writes so many files of random content below a directory."""
    began = time.perf_counter()
    for number in range(times):
        place = directory / "fio" / str(number) / "/".join("d" * (number * depth // max(times, 1)))
        place.mkdir(parents=True)
        run(
            [
                FIO or "fio",
                "--name=write",
                "--rw=write",
                "--ioengine=sync",
                "--fallocate=none",
                "--refill_buffers",
                "--openfiles=1",
                "--file_service_type=sequential",
                f"--directory={place}",
                f"--nrfiles={files}",
                f"--filesize={size_bytes}",
                f"--size={files * size_bytes}",
                f"--bs={min(size_bytes, 1 << 20)}",
            ]
        )
    seconds = time.perf_counter() - began
    shutil.rmtree(directory / "fio")
    return seconds


def small_files() -> WriteRandomFiles:
    """10,000 files of 4 KiB in one directory."""
    return WriteRandomFiles(count=10_000, size_bytes=4096, depth=0, odd_percent=0, total_bytes_max=1 << 30)


def across_tree() -> WriteRandomFiles:
    """Ten files of 4 KiB somewhere in a tree that is up to 15 deep."""
    return WriteRandomFiles(count=10, size_bytes=4096, depth=Span(low=0, high=15), odd_percent=0)


def large_file(size_bytes: int) -> WriteRandomFiles:
    """One large file."""
    return WriteRandomFiles(count=1, size_bytes=size_bytes, depth=0, odd_percent=0, total_bytes_max=size_bytes)


def scan_with_snapstorm(tree: Path) -> float:
    """Seconds of a whole scan: every entry with its metadata, every byte hashed."""
    began = time.perf_counter()
    scan_tree(tree)
    return time.perf_counter() - began


def scan_with_sha256sum(tree: Path) -> float:
    """Seconds of the contents alone, by one process."""
    return run(["sh", "-c", f"find {tree} -type f -print0 | xargs -0 sha256sum > /dev/null"]).seconds


def make_files(tree: Path, files: int, size_bytes: int) -> None:
    """Files of random content, a thousand in each directory."""
    content = random.Random(1).randbytes(min(size_bytes, 64 << 20))
    for number in range(files):
        directory = tree / f"{number // 1000}"
        directory.mkdir(parents=True, exist_ok=True)
        with (directory / f"{number}").open("wb") as file:
            for _ in range(size_bytes // len(content)):
                file.write(content)


def in_alternation(
    rounds: int, ours: Callable[[], float], peer: Callable[[], float]
) -> tuple[list[float], list[float]]:
    """Both once a round, in turn; the first of several rounds warms the caches and does not count."""
    pairs = [(ours(), peer()) for _ in range(rounds + 1 if rounds > 1 else 1)]
    pairs = pairs[1:] or pairs
    return [pair[0] for pair in pairs], [pair[1] for pair in pairs]
