"""Streams that never raise: what can't be encoded is escaped, what can't be written is remembered."""

from __future__ import annotations

import errno
import os
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from snapstorm.cli.standard_streams import StandardStream


def stream_on(number: int, encoding: str = "utf-8", *, is_closed: bool = False) -> StandardStream:
    return StandardStream(number, encoding, is_closed=is_closed, is_line_buffered=True)


@given(st.text(st.characters(), max_size=200), st.sampled_from(["ascii", "utf-8", "latin-1"]))
def test_every_text_can_be_written(text: str, encoding: str) -> None:
    """In every encoding; what the encoding has is written as it is."""
    reading, writing = os.pipe()
    stream = stream_on(writing, encoding)
    stream.write(text)
    stream.flush()
    os.close(writing)
    with open(reading, "rb") as file:
        shown = file.read().decode(encoding)
    assert stream.descriptor.lost is None
    try:
        text.encode(encoding)
    except UnicodeEncodeError:
        assert "\\" in shown or shown in (text.replace("·", "-").replace("…", "..."), text)
    else:
        assert shown == text


@pytest.mark.parametrize(("place", "number"), [("/dev/full", errno.ENOSPC), ("/dev/null", None)])
def test_what_can_not_be_written_is_remembered(place: str, number: int | None) -> None:
    """A full disk raises nothing, however often and however much is written."""
    descriptor = os.open(place, os.O_WRONLY)
    stream = stream_on(descriptor)
    for _ in range(100):
        assert stream.write("x" * 10_000 + "\n") == 10_001
        stream.flush()
    os.close(descriptor)
    lost = stream.descriptor.lost
    assert (lost.errno if lost else None) == number
    assert stream.descriptor.was_used


def test_what_was_closed_is_lost_only_if_something_is_written() -> None:
    """A command that has nothing to say there has lost nothing."""
    descriptor = os.open(os.devnull, os.O_WRONLY)
    stream = stream_on(descriptor, is_closed=True)
    stream.flush()
    assert stream.descriptor.lost is None
    print("words", file=stream)
    assert stream.descriptor.lost is not None
    os.close(descriptor)


def test_a_reader_that_is_slow_is_waited_for() -> None:
    """Whoever shares the descriptor may have made it one that does not wait."""
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    text = "x" * 1_000_000
    read = bytearray()

    def read_all() -> None:
        while part := os.read(reading, 65_536):
            read.extend(part)

    reader = threading.Thread(target=read_all)
    stream = stream_on(writing)
    reader.start()
    stream.write(text)
    stream.flush()
    os.close(writing)
    reader.join()
    os.close(reading)
    assert stream.descriptor.lost is None
    assert len(read) == len(text)
