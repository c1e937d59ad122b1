"""A restored tree that is kept as evidence, and how it comes from another machine."""

from __future__ import annotations

import io
import os
import re
import shutil
import tarfile
import tempfile
from collections.abc import Sequence
from pathlib import Path

KEPT_TREE_BYTES_MAX = 64 << 20
"""If a restored tree is larger, only the entries that differ are kept."""
_NUMBERED_MAX = 100
_PACKED = "restored"


def keep_tree(tree: Path, into: Path, paths: Sequence[bytes], tree_bytes: int) -> None:
    """Keep a restored tree. The whole tree is moved; of a large one, only the entries at `paths` are copied, with
    numbers."""
    if tree_bytes <= KEPT_TREE_BYTES_MAX:
        if os.path.lexists(tree):
            shutil.move(tree, into, copy_function=_copy_file)
        return
    into.mkdir()
    for number, path in enumerate(dict.fromkeys(paths[:_NUMBERED_MAX]), start=1):
        source = os.path.join(os.fsencode(tree), path)
        name = re.sub(r"[^A-Za-z0-9._-]", "_", os.fsdecode(os.path.basename(path)))[:100]
        if os.path.isfile(source) and not os.path.islink(source):
            shutil.copyfile(source, into / f"{number:03}-{name}")


def _copy_file(source: str, destination: str) -> None:
    """Copy a file to another file system. FIFOs and devices are left out, because reading one might never end."""
    if os.path.isfile(source):
        shutil.copy2(source, destination)


def _without_special_files(member: tarfile.TarInfo) -> tarfile.TarInfo | None:
    return member if member.isreg() or member.isdir() or member.issym() or member.islnk() else None


def pack_tree(tree: Path, paths: Sequence[bytes], tree_bytes: int) -> bytes:
    """Pack what `keep_tree` keeps as a tar archive. The tree is moved away. FIFOs and devices are left out."""
    with tempfile.TemporaryDirectory(dir=tree.parent) as directory:
        kept = Path(directory) / _PACKED
        keep_tree(tree, kept, paths, tree_bytes)
        archive = io.BytesIO()
        with tarfile.open(fileobj=archive, mode="w") as tar:
            if os.path.lexists(kept):
                tar.add(kept, arcname=_PACKED, filter=_without_special_files)
        return archive.getvalue()


def unpack_tree(archive: bytes, directory: Path) -> Path:
    """Unpack an archive below a directory. Returns where the tree is then, if there was one."""
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        tar.extractall(directory, filter="tar")  # Nothing gets outside of the directory.
    return directory / _PACKED
