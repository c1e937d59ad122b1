"""The version of this package, for people and for evidence."""

__version__ = "0.1.0"
"""Written here, and read from here by the build: asking the installed package costs each command a fiftieth second."""
