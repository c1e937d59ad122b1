"""The option of the example tests. Copy this folder, and start your own tests from it."""

from __future__ import annotations

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--original-sizes", action="store_true", help="write as much as Kopia's own robustness tests do")
