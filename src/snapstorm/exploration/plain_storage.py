"""A view of the past as a plain directory, in the layout that the target has for its repositories in directories.

Going from one view to the next changes only the files that differ. Programs read files four times faster than objects
of a bucket over HTTP (CPU time of a verification of 600 small files, measured), so views that are only read are shown
this way.
"""

from __future__ import annotations

import os
from pathlib import Path, PurePosixPath

from snapstorm.errors import TestbedError
from snapstorm.filesystem.descriptors import explain_os_error
from snapstorm.filesystem.removal import remove_tree
from snapstorm.gateway.bucket import Bucket, StoredObject
from snapstorm.gateway.contents import Contents
from snapstorm.model.abilities import OpensStored


class PlainStorage:
    """A directory that shows one state of a bucket after the other. Raises HarnessError and its kinds."""

    def __init__(self, directory: Path, contents: Contents, layout: OpensStored) -> None:
        self.directory = directory
        self._contents = contents
        self._layout = layout
        self._shown: dict[str, StoredObject] = {}
        self._paths: dict[str, PurePosixPath] = {}
        remove_tree(directory)
        directory.mkdir(mode=0o700, parents=True)
        for name, data in layout.directory_files.items():
            (directory / name).write_bytes(data)

    def show(self, bucket: Bucket) -> None:
        """Let the directory hold just this."""
        wanted = bucket.objects
        self._remove_strangers()
        try:
            for key in self._shown.keys() - wanted.keys():
                (self.directory / self._path(key)).unlink()
                del self._shown[key]
            for key, found in wanted.items():
                if self._shown.get(key) != found:
                    self._write(key, found)
                    self._shown[key] = found
        except OSError as error:
            raise explain_os_error(os.fsencode(self.directory), error) from error

    def _remove_strangers(self) -> None:
        """Remove what somebody else has put there: files that a program which was ended has left."""
        ours = {self._path(key).parts[0] for key in self._shown} | self._layout.directory_files.keys()
        for name in os.listdir(self.directory):
            if name not in ours:
                remove_tree(self.directory / name)

    def _write(self, key: str, found: StoredObject) -> None:
        path = self.directory / self._path(key)
        try:
            data = self._contents.read(found.content, 0, found.content.size_bytes)
        except OSError as error:
            raise TestbedError(f"the history has a gap: {key} can't be read: {error.strerror}") from error
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        path.write_bytes(data)
        os.utime(path, ns=(found.at_ns, found.at_ns))

    def _path(self, key: str) -> PurePosixPath:
        known = self._paths.get(key)
        if known is None:
            known = self._paths[key] = self._layout.path_in_directory(key)
        return known
