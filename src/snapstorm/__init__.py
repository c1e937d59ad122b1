"""snapstorm finds out whether backups come back.

Many concurrent clients write files, snapshot, restore and delete against one real backup server; every restored byte is
held against what the client had written. Start with `snapstorm.run.harness.open_harness`, or with the fixture
`harness` of the pytest plugin.
"""

from snapstorm.version import __version__

__all__ = ["__version__"]
