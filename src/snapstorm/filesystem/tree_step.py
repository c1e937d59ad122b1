"""One action on a tree, performed on the disk and in the tree's state at the same time."""

from __future__ import annotations

import os
import random
import stat
from dataclasses import dataclass
from typing import TypeAlias

from snapstorm.filesystem import file_changes
from snapstorm.filesystem.allowances import Allowances
from snapstorm.filesystem.descriptors import explain_os_error, joined, open_below, opened_below, split
from snapstorm.filesystem.file_memory import FileMemory, WrittenFile
from snapstorm.filesystem.metadata_changes import change_metadata, kinds_for_links
from snapstorm.filesystem.names import odd_name, plain_name
from snapstorm.filesystem.planning import (
    EntryPlanner,
    NewDirectory,
    NewEntry,
    NewFile,
    NewHardLink,
    NewLink,
    NewSpecial,
    draw_mtime_ns,
    plan_place,
)
from snapstorm.filesystem.removal import remove_entry
from snapstorm.filesystem.specimens import plan_specimens
from snapstorm.filesystem.tree_state import FileState, TreeState
from snapstorm.model.action_results import WriteReport
from snapstorm.model.actions import ChangeMetadata, DeleteFiles, DeleteRandomSubdirectory, ModifyFiles, WriteRandomFiles
from snapstorm.model.amounts import draw
from snapstorm.model.change_kinds import ModifyKind, Oddity
from snapstorm.model.content import draw_stream, whole_file
from snapstorm.model.manifest import ROOT
from snapstorm.model.outcomes import NoOp, Ok

Result: TypeAlias = Ok[WriteReport] | NoOp

_MOVED_SHARE = 0.5
"""How often a renamed file also moves to a directory drawn from all."""

_ODD_NAME_SHARE = 0.3
_REPLACEMENT_BYTES_MAX = 64 << 10


@dataclass
class TreeView:
    """What a writer knows of its tree, and what it may make in it."""

    tree: TreeState
    allowed: Allowances
    total_bytes_max: int

    @property
    def bytes_left(self) -> int:
        """How much more may be written."""
        return max(0, self.total_bytes_max - self.tree.bytes_total)

    @property
    def has_metadata_to_change(self) -> bool:
        if self.tree.file_paths or self.tree.directory_paths:
            return bool(self.allowed.metadata)
        return bool(self.tree.other_paths and kinds_for_links(self.allowed.metadata))


class TreeStep:
    """One action in progress. Changes the tree below the open root and its state together, entry by entry, so that they
    agree wherever it stops. Counts what it does."""

    def __init__(self, view: TreeView, root_fd: int, draws: random.Random, memory: FileMemory) -> None:
        """`memory` is told about new files, so that a scan need not read them."""
        self._view = view
        self._tree = view.tree
        self._allowed = view.allowed
        self._root_fd = root_fd
        self._draws = draws
        self._memory = memory
        self._touched: set[bytes] = set()
        self._entries_written = 0
        self._bytes_written = 0
        self._entries_deleted = 0
        self._entries_changed = 0

    @property
    def result(self) -> Ok[WriteReport]:
        """What was done so far."""
        return Ok(WriteReport(self._entries_written, self._bytes_written, self._entries_deleted, self._entries_changed))

    def set_touched_times(self) -> None:
        """Give each directory in which a name was added or removed a drawn time instead of "now"."""
        for path in sorted(self._touched):
            if path in self._tree.directories:
                mtime_ns = draw_mtime_ns(self._draws)
                with opened_below(self._root_fd, path) as fd:
                    os.utime(fd, ns=(mtime_ns, mtime_ns))

    # --- writing

    def write_files(self, action: WriteRandomFiles) -> Result:
        allowed = self._allowed if action.links else self._allowed.without_links()
        place = plan_place(action, self._tree, allowed, self._draws)
        for directory in place.missing:
            self._make_directory(directory)
        if action.one_of_each:
            self._write_specimens(place.path, allowed, min(action.total_bytes_max, self._view.bytes_left))
        bytes_max = min(action.total_bytes_max, self._view.bytes_left)
        with opened_below(self._root_fd, place.path) as fd:
            self._touched.add(place.path)
            for entry in EntryPlanner(action, place.path, self._tree, allowed, bytes_max, self._draws):
                self._make_entry(entry, place.path, fd)
        return self.result

    def _write_specimens(self, directory: bytes, allowed: Allowances, bytes_max: int) -> None:
        for home, entry in plan_specimens(directory, allowed, self._draws):
            size_bytes = entry.size_bytes if isinstance(entry, NewFile) else 0
            if size_bytes <= bytes_max:
                bytes_max -= size_bytes
                with opened_below(self._root_fd, home) as fd:
                    self._touched.add(home)
                    self._make_entry(entry, home, fd)

    def _make_entry(self, entry: NewEntry, directory: bytes, dir_fd: int) -> None:
        if isinstance(entry, NewFile):
            written, path = file_changes.create_file(dir_fd, entry), joined(directory, entry.name)
            version = max((segment.version for segment in entry.segments), default=0)
            state = FileState(entry.size_bytes, entry.segments, entry.mode, version)
            self._tree.add_file(path, state)
            self._entries_written += 1
            self._bytes_written += written.bytes_written
            if written.digest is not None:
                file = WrittenFile(entry.size_bytes, entry.mode, entry.mtime_ns, written.digest, written.xattrs)
                self._memory.expect(path, file)
        elif isinstance(entry, NewDirectory):
            self._make_directory(entry)
        elif isinstance(entry, NewLink):
            os.symlink(entry.target, entry.name, dir_fd=dir_fd)
            self._tree.add_other(joined(directory, entry.name))
            self._entries_written += 1
            os.utime(entry.name, ns=(entry.mtime_ns, entry.mtime_ns), dir_fd=dir_fd, follow_symlinks=False)
        elif isinstance(entry, NewSpecial):
            os.mknod(entry.name, entry.mode, entry.device, dir_fd=dir_fd)
            self._tree.add_other(joined(directory, entry.name))
            self._entries_written += 1
            os.chmod(entry.name, stat.S_IMODE(entry.mode), dir_fd=dir_fd)
            os.utime(entry.name, ns=(entry.mtime_ns, entry.mtime_ns), dir_fd=dir_fd)
        else:
            self._make_hard_link(entry, directory, dir_fd)

    def _make_directory(self, directory: NewDirectory) -> None:
        parent, name = split(directory.path)
        with opened_below(self._root_fd, parent) as parent_fd:
            os.mkdir(name, 0o700, dir_fd=parent_fd)
            self._tree.add_directory(directory.path, directory.mode)
            self._entries_written += 1
            self._touched.add(parent)
            with opened_below(parent_fd, name) as fd:
                os.fchmod(fd, directory.mode)
                os.utime(fd, ns=(directory.mtime_ns, directory.mtime_ns))

    def _make_hard_link(self, link: NewHardLink, directory: bytes, dir_fd: int) -> None:
        existing_directory, existing_name = split(link.existing)
        with opened_below(self._root_fd, existing_directory) as existing_fd:
            os.link(existing_name, link.name, src_dir_fd=existing_fd, dst_dir_fd=dir_fd, follow_symlinks=False)
        self._tree.add_hard_link(joined(directory, link.name), link.existing)
        self._entries_written += 1

    # --- changing content

    def modify_files(self, action: ModifyFiles) -> Result:
        kinds = sorted(action.kinds)
        if "kinds" not in action.model_fields_set and not self._allowed.replaces:
            kinds.remove(ModifyKind.REPLACE)
        candidates = self._modifiable(kinds)
        count = min(draw(action.count, self._draws), len(candidates))
        for path in self._draws.sample(candidates, count):
            possible = [kind for kind in kinds if self._can_modify(path, kind)]
            # A file before this one may have used the remaining space, or may have been the same file.
            if possible:
                self._modify_file(path, self._draws.choice(possible))
        return self.result if self._entries_changed else NoOp("no file can be changed in this way")

    def _modifiable(self, kinds: list[ModifyKind]) -> list[bytes]:
        paths = self._tree.file_paths[:]
        others = self._tree.other_paths[:] if ModifyKind.REPLACE in kinds else []
        if ModifyKind.RENAME in kinds:
            return paths + others
        return others + [path for path in paths if any(self._can_modify(path, kind) for kind in kinds)]

    def _can_modify(self, path: bytes, kind: ModifyKind) -> bool:
        state = self._tree.files.get(path)
        if kind is ModifyKind.REPLACE or state is None:
            return kind is ModifyKind.REPLACE
        if kind is ModifyKind.RENAME:
            return True
        return self._view.bytes_left > 0 if kind is ModifyKind.APPEND else state.size_bytes > 0

    def _modify_file(self, path: bytes, kind: ModifyKind) -> None:
        if kind is ModifyKind.RENAME or kind is ModifyKind.REPLACE:
            (self._rename_file if kind is ModifyKind.RENAME else self._replace)(path)
            self._entries_changed += 1
            return
        state = self._tree.files[path]
        match kind:
            case ModifyKind.IN_PLACE:
                change = file_changes.plan_overwrite(state, self._draws)
            case ModifyKind.APPEND:
                change = file_changes.plan_append(state, self._view.bytes_left, self._draws)
            case ModifyKind.TRUNCATE:
                change = file_changes.plan_truncate(state, self._draws)
        self._change_content(path, state, change)
        self._entries_changed += 1
        self._bytes_written += change.bytes_written

    def _change_content(self, path: bytes, state: FileState, change: file_changes.ContentChange) -> None:
        directory, name = split(path)
        mtime_ns = draw_mtime_ns(self._draws)
        with opened_below(self._root_fd, directory) as fd:
            try:
                file_changes.change_content(fd, name, change, state.mode, mtime_ns)
            except OSError as error:
                # If a change stopped half-way, the content is what the file's headers prove, or unknown.
                size_bytes, content = file_changes.read_back(fd, name, state.mode, mtime_ns)
                self._tree.resize(state, size_bytes)
                state.segments = content.segments
                state.version = file_changes.next_version(state)
                raise explain_os_error(path, error) from error
        self._tree.resize(state, change.size_bytes)
        state.segments = change.segments
        state.version = max((state.version, *(segment.version for segment in change.segments)))

    def _rename_file(self, path: bytes) -> None:
        """Give a file a new name, in half of the cases in another directory."""
        directory, name = split(path)
        new_directory = directory
        if self._draws.random() < _MOVED_SHARE:
            new_directory = self._draws.choice([ROOT, *self._tree.directory_paths])
        is_odd = Oddity.ODD_NAME in self._allowed.oddities and self._draws.random() < _ODD_NAME_SHARE
        make_name = odd_name if is_odd else plain_name
        new_name = make_name(self._tree.directories[new_directory].names, self._allowed.names, self._draws)
        with opened_below(self._root_fd, directory) as fd, opened_below(self._root_fd, new_directory) as new_fd:
            os.rename(name, new_name, src_dir_fd=fd, dst_dir_fd=new_fd)
        self._tree.rename_file(path, joined(new_directory, new_name))
        self._touched |= {directory, new_directory}

    def _replace(self, path: bytes) -> None:
        """Put a new file in the place of an entry, as programs do that write beside a file and rename."""
        draws = self._draws
        directory, name = split(path)
        size_bytes = draws.randint(0, min(_REPLACEMENT_BYTES_MAX, self._view.bytes_left))
        segments = whole_file(draw_stream(draws, compressible=bool(draws.getrandbits(1))), 1, size_bytes)
        new_name = plain_name(self._tree.directories[directory].names, self._allowed.names, draws)
        file = NewFile(new_name, size_bytes, segments, draws.choice(self._allowed.file_modes), draw_mtime_ns(draws))
        with opened_below(self._root_fd, directory) as fd:
            self._bytes_written += file_changes.create_file(fd, file).bytes_written
            os.rename(new_name, name, src_dir_fd=fd, dst_dir_fd=fd)
        self._tree.remove(path)
        self._tree.add_file(path, FileState(size_bytes, segments, file.mode, 1))
        self._touched.add(directory)

    # --- changing metadata

    def change_metadata(self, action: ChangeMetadata) -> Result:
        kinds = tuple(kind for kind in self._allowed.metadata if kind in action.kinds)
        candidates = self._tree.file_paths[:] + self._tree.directory_paths[:] if kinds else []
        if kinds_for_links(kinds):
            candidates += self._tree.other_paths
        count = min(draw(action.count, self._draws), len(candidates))
        for path in self._draws.sample(candidates, count):
            is_other = path not in self._tree.files and path not in self._tree.directories
            kind = self._draws.choice(kinds_for_links(kinds) if is_other else kinds)
            directory, name = split(path)
            with opened_below(self._root_fd, directory) as fd:
                change_metadata(self._tree, path, kind, fd, name, self._allowed, self._draws)
            self._entries_changed += 1
        return self.result if count else NoOp("there is nothing whose metadata can be changed in this way")

    # --- deleting

    def delete_files(self, action: DeleteFiles) -> Result:
        directory = self._draws.choice(self._tree.directories_with_entries())
        entries = self._tree.entries_in(directory)
        count = max(1, len(entries) * action.percent // 100)
        self._delete(sorted(self._draws.sample(entries, count)))
        return self.result

    def delete_subdirectory(self, _action: DeleteRandomSubdirectory) -> Result:
        self._delete([self._draws.choice(self._tree.directory_paths)])
        return self.result

    def delete_half(self) -> Result:
        paths = self._tree.file_paths
        self._delete(sorted(self._draws.sample(paths, (len(paths) + 1) // 2)))
        return self.result

    def _delete(self, paths: list[bytes]) -> None:
        """Delete entries, given in order, with everything below them."""
        fd, fd_path = os.dup(self._root_fd), ROOT
        try:
            for path in paths:
                directory, name = split(path)
                if directory != fd_path:
                    os.close(fd)
                    fd, fd_path = open_below(self._root_fd, directory), directory
                remove_entry(fd, name)
                self._touched.add(directory)
                self._entries_deleted += self._tree.remove(path)
        finally:
            os.close(fd)
