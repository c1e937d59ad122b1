"""`python -m snapstorm`: the command line without an installed script."""

from __future__ import annotations

from snapstorm.cli import main

main()
