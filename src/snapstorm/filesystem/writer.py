"""The writer: changes one client's tree as actions request, and knows at any time what must be in it.

`TreeFileWriter` decides from the tree's state (`tree_state`) and the draws that it is given, in a worker thread, one
call for each action. Every time, mode and byte follows from the draws: two writers with the same draws make the
same tree. To follow one action, begin at `tree_changes`.
"""

from __future__ import annotations

import contextlib
import os
import random
from collections.abc import Callable, Collection
from pathlib import Path

from snapstorm.errors import HarnessError, NoSpaceError
from snapstorm.filesystem.allowances import allowances, probe_platform
from snapstorm.filesystem.change_detection import TreeLooks, changes_between, looks_of_tree
from snapstorm.filesystem.descriptors import explain_os_error, opened_tree
from snapstorm.filesystem.file_memory import FileMemory
from snapstorm.filesystem.planning import MTIME_MIN_NS
from snapstorm.filesystem.removal import remove_tree
from snapstorm.filesystem.scanner import TreeScan, look_at_tree, scan_changes, scan_tree_and_looks
from snapstorm.filesystem.tree_changes import TREE_CHANGES, TreeChange
from snapstorm.filesystem.tree_state import tree_state_of
from snapstorm.filesystem.tree_step import Result, TreeStep, TreeView
from snapstorm.model.action_results import WriteReport
from snapstorm.model.actions import FileAction, WriteRandomFiles
from snapstorm.model.capabilities import Capabilities
from snapstorm.model.change_kinds import Oddity
from snapstorm.model.manifest import Manifest
from snapstorm.model.outcomes import NoOp, Ok
from snapstorm.runtime.threads import Urgency, run_file_work

TOTAL_BYTES_MAX = 4 << 30
_ROOT_MODE = 0o755
_DISCARDED_SUFFIX = ".discarded"


class TreeFileWriter:
    """The `FileWriter` of one client: owns the tree at `data_directory`.

    `total_bytes_max` bounds the content of the whole tree, holes included. `oddities` replaces the kinds of entries
    that are made by default, which are those that the target's `capabilities` keep.

    An existing tree is looked at, not read, when the writer is constructed, which belongs into a thread. The content of
    files that look as in `remembered`, a manifest of the same tree, is assumed to be known. That of other files becomes
    known at the next scan.
    """

    def __init__(
        self,
        *,
        data_directory: Path,
        capabilities: Capabilities,
        total_bytes_max: int = TOTAL_BYTES_MAX,
        oddities: Collection[Oddity] | None = None,
        remembered: Manifest | None = None,
        memory: FileMemory | None = None,
    ) -> None:
        self.data_directory = data_directory
        self._memory = memory or FileMemory()
        self._left: TreeLooks | None = None
        """How this writer has left the tree, as far as it was looked at since."""
        self._seen: list[str] = []
        """Changes by others that scans have found and that were not reported yet."""
        self._is_just_scanned = False
        """Nobody was asked for anything since the tree was scanned."""
        self._discarded = data_directory.with_name(data_directory.name + _DISCARDED_SUFFIX)
        try:
            self._prepare_directory()
            allowed = allowances(capabilities, probe_platform(data_directory), oddities)
        except OSError as error:
            raise explain_os_error(os.fsencode(data_directory), error) from error
        tree = tree_state_of(look_at_tree(data_directory, remembered.by_path if remembered else {}))
        self._view = TreeView(tree, allowed, total_bytes_max)

    @property
    def bytes_total(self) -> int:
        """Bytes of content in the tree, holes included."""
        return self._view.tree.bytes_total

    def can_apply(self, action: type[FileAction]) -> bool:
        """Whether an action of this kind, with its default options, finds something to act on."""
        return not _change_of(action).why_not(self._view)

    async def apply(self, action: FileAction, draws: random.Random) -> Result:
        """Perform an action. Raises NoSpaceError when the disk is full; the content of the disk is known even then."""
        change = _change_of(type(action))
        if reason := change.why_not(self._view):
            return NoOp(reason)
        if not isinstance(action, WriteRandomFiles):
            self._memory.forget_expected()
        return await run_file_work(self._run, lambda step: change.make(step, action), draws)

    async def scan(self) -> Manifest:
        """The content of the data directory, with what is known of it. Reads what has changed since the last scan; from
        time to time everything."""
        return await run_file_work(self._scan, urgency=Urgency.TARGET_WAITS, is_small=self._view.tree.is_small)

    async def watch(self) -> None:
        """From now on until the writer's next change, the tree must stay as it is: see `changes_by_others`."""
        self._is_just_scanned = False
        if self._left is None:
            self._left = await self._look()

    async def changes_by_others(self) -> list[str]:
        """What somebody else has changed since `watch`, one line for each entry; reported once. The tree as it is then
        is the new state."""
        changes, self._seen = self._seen, []
        if self._left is not None and not self._is_just_scanned:
            before, self._left = self._left, await self._look()
            changes += changes_between(before, self._left)
        self._is_just_scanned = False
        if changes:
            with contextlib.suppress(HarnessError):  # The next action will report what can't be read any more.
                await run_file_work(self._go_on_with_what_is_there)
                self._left = await self._look()
        return changes

    async def _look(self) -> TreeLooks:
        return await run_file_work(
            looks_of_tree, self.data_directory, urgency=Urgency.TARGET_WAITS, is_small=self._view.tree.is_small
        )

    async def adopt(self, tree: Path) -> Manifest:
        """Make `tree`, on the same file system, the data directory. The old content is deleted."""
        return await run_file_work(self._adopt, tree)

    async def pick_directory(self, draws: random.Random) -> bytes | None:
        """A random directory below the root; None if there is none."""
        directories = self._view.tree.directory_paths
        return draws.choice(directories) if directories else None

    async def free_space(self, draws: random.Random) -> WriteReport:
        """Delete about half of the files."""
        result = await run_file_work(self._run, TreeStep.delete_half, draws)
        return result.value if isinstance(result, Ok) else WriteReport()

    # --- around every action

    def _run(self, perform: Callable[[TreeStep], Result], draws: random.Random) -> Result:
        """Perform a step with the root open, and set the times of the directories that it touched."""
        self._left, self._is_just_scanned = None, False
        try:
            with opened_tree(self.data_directory) as root_fd:
                step = TreeStep(self._view, root_fd, draws, self._memory)
                try:
                    return perform(step)
                finally:
                    step.set_touched_times()
        except NoSpaceError:
            raise
        except (OSError, HarnessError) as error:
            failure = explain_os_error(_named_in(error), error) if isinstance(error, OSError) else error
            if not isinstance(failure, NoSpaceError):
                # The tree is not as expected, so look again. For a full disk the state was kept right.
                self._load()
            raise failure from error

    # --- the tree as a whole

    def _prepare_directory(self) -> None:
        if self._discarded.exists() and not self.data_directory.exists():
            # An adoption was interrupted between its two renames.
            os.rename(self._discarded, self.data_directory)
        remove_tree(self._discarded)
        if not self.data_directory.exists():
            self.data_directory.mkdir(parents=True)
            self.data_directory.chmod(_ROOT_MODE)
            os.utime(self.data_directory, ns=(MTIME_MIN_NS, MTIME_MIN_NS))

    def _load(self) -> TreeScan:
        """Read the tree's state from the disk again."""
        self._memory.forget_all()
        scan = scan_tree_and_looks(self.data_directory)
        self._view.tree = tree_state_of(scan.manifest)
        return scan

    def _go_on_with_what_is_there(self) -> None:
        try:
            self._prepare_directory()
        except OSError as error:
            raise explain_os_error(os.fsencode(self.data_directory), error) from error
        self._load()

    def _scan(self) -> Manifest:
        scan = scan_changes(self.data_directory, self._view.tree.segments_of, self._memory)
        self._view.tree.learn(scan.manifest)
        changes = [] if self._left is None else changes_between(self._left, scan.looks)
        if changes:
            # What is known of these files describes their state before.
            self._seen += changes
            scan = self._load()
        self._left, self._is_just_scanned = scan.looks, True
        return scan.manifest

    def _adopt(self, tree: Path) -> Manifest:
        self._left, self._is_just_scanned = None, False
        try:
            os.rename(self.data_directory, self._discarded)
            os.rename(tree, self.data_directory)
        except OSError as error:
            if not self.data_directory.exists():
                os.rename(self._discarded, self.data_directory)
            raise explain_os_error(os.fsencode(tree), error) from error
        remove_tree(self._discarded)
        return self._load().manifest


def _change_of(action: type[FileAction]) -> TreeChange:
    try:
        return TREE_CHANGES[action]
    except KeyError:
        raise HarnessError(f"{action.__name__} is an action that this writer does not know") from None


def _named_in(error: OSError) -> bytes:
    """The file that a system error is about, if it says so."""
    return os.fsencode(error.filename) if isinstance(error.filename, str | bytes) else b"data directory"
