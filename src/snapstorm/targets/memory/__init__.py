"""A simulated backup system, for testing the tester."""

from snapstorm.targets.memory.target import MemoryTarget

__all__ = ["MemoryTarget"]
