"""A gateway that is being served."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.unit.gateway.asking import CLOCKS, KEY

from snapstorm.gateway.app import Served, serving


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[Served]:
    with serving(tmp_path / "gateway", CLOCKS) as served:
        served.admit("a client", KEY)
        yield served
