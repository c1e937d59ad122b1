"""The versions on which known bugs were looked for."""

from __future__ import annotations

MEASURED = ("0.19.0", "0.22.3", "0.23.1")
