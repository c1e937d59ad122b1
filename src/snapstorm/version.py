"""The version of this package, for people and for evidence."""

from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("snapstorm")
except PackageNotFoundError:  # Run from a checkout that was not installed.
    __version__ = "0+unknown"
