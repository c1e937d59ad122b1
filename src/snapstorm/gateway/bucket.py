"""What a bucket holds at one event. Pure: the bytes themselves lie in `contents`."""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from snapstorm.gateway.contents import Content
from snapstorm.gateway.write_log import Write

_LAST = "\U0010ffff"


class StoredObject(NamedTuple):
    """An object of the bucket."""

    content: Content
    at_ns: int
    """When it was written, by the bucket's clock."""
    locked_until_ns: int = 0


@dataclass(frozen=True)
class Page:
    """A part of a listing."""

    objects: dict[str, StoredObject]
    """By key, in order."""
    folders: tuple[str, ...]
    """The beginnings of keys up to the delimiter, each once, where a delimiter was asked for."""
    next_after: str | None
    """After which key the listing goes on; None at its end."""


class Bucket:
    """Objects by key, with the keys in order."""

    def __init__(self, writes: Iterable[Write] = ()) -> None:
        self._objects: dict[str, StoredObject] = {}
        for write in writes:
            found = object_of(write)
            if found is None:
                self._objects.pop(write.key, None)
            else:
                self._objects[write.key] = found
        self._keys = sorted(self._objects)

    def __len__(self) -> int:
        return len(self._keys)

    @property
    def keys(self) -> tuple[str, ...]:
        """All keys, in order."""
        return tuple(self._keys)

    def get(self, key: str) -> StoredObject | None:
        """The object of this key; None without one."""
        return self._objects.get(key)

    def put(self, key: str, found: StoredObject | None) -> None:
        """Let the key hold this object, or none."""
        if found is not None:
            if key not in self._objects:
                insort(self._keys, key)
            self._objects[key] = found
        elif self._objects.pop(key, None) is not None:
            del self._keys[bisect_left(self._keys, key)]

    @property
    def objects(self) -> Mapping[str, StoredObject]:
        """All objects by key, in no particular order."""
        return self._objects

    def copy(self) -> Bucket:
        """Another bucket with the same objects."""
        other = Bucket()
        other._objects = self._objects.copy()
        other._keys = self._keys.copy()
        return other

    def page(self, prefix: str, *, delimiter: str = "", after: str = "", entries_max: int = 1000) -> Page:
        """The objects whose keys begin with `prefix` and come after `after`.

        With a delimiter, keys that hold it behind the prefix are put together: their common beginning is one entry.
        """
        position = max(bisect_left(self._keys, prefix), bisect_right(self._keys, after) if after else 0)
        objects: dict[str, StoredObject] = {}
        folders: list[str] = []
        last = ""
        while position < len(self._keys) and (key := self._keys[position]).startswith(prefix):
            if len(objects) + len(folders) == entries_max:
                return Page(objects, tuple(folders), next_after=last)
            end = key.find(delimiter, len(prefix)) if delimiter else -1
            if end < 0:
                objects[key] = self._objects[key]
                last = key
                position += 1
            else:
                folder = key[: end + len(delimiter)]
                folders.append(folder)
                last = folder + _LAST
                position = bisect_left(self._keys, last)
        return Page(objects, tuple(folders), next_after=None)

    @property
    def bytes_total(self) -> int:
        """How much all objects hold together."""
        return sum(found.content.size_bytes for found in self._objects.values())


def object_of(write: Write) -> StoredObject | None:
    """What the key of a write holds since; None where it was deleted."""
    return None if write.content is None else StoredObject(write.content, write.at_ns, write.locked_until_ns)
