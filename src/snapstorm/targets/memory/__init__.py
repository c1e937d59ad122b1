"""A simulated backup system, honest or with a planted defect, for testing the tester."""

from snapstorm.targets.memory.defects import DEFECTS
from snapstorm.targets.memory.target import MemoryTarget

__all__ = ["DEFECTS", "MemoryTarget"]
