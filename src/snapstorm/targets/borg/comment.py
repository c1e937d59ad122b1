"""What is written down with each archive, because borg does not keep it."""

from __future__ import annotations

import msgspec


class Comment(msgspec.Struct, frozen=True):
    """What is written down with each archive: borg keeps no path of the source, and 1.2.4 takes no other names for the
    user and the host than the real ones."""

    client: str
    source: str
    testbed: str
    operation: str

    @property
    def as_option(self) -> str:
        """As a value for `--comment`, in which borg replaces what stands in braces."""
        return msgspec.json.encode(self).decode().replace("{", "{{").replace("}", "}}")
