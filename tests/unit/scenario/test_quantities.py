"""Sizes as people write them."""

from __future__ import annotations

import pytest

from snapstorm.scenario.quantities import read_bytes


@pytest.mark.parametrize(
    ("text", "size_bytes"),
    [
        ("0", 0),
        ("1048576", 1 << 20),
        ("500MB", 500_000_000),
        ("8GiB", 8 << 30),
        ("1.5 K", 1500),
        ("1KiB", 1024),
        ("3T", 3 * 10**12),
        *((text, None) for text in ("", "-1", "5 parsecs", "1e9", "2kib", "lots")),
    ],
)
def test_sizes_are_read_or_refused(text: str, size_bytes: int | None) -> None:
    """Decimal and binary units, with or without the B; all else is refused in one line."""
    if size_bytes is not None:
        assert read_bytes(text) == size_bytes
        return
    with pytest.raises(ValueError, match="is no size"):
        read_bytes(text)
