"""How the simulated backup system behaves at each point where a real one could go wrong: here, honestly.

`Behaviour` is the null case. A defect overrides one method of it (see `defects`), and the server, which calls them,
holds no trace of any defect.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from snapstorm.model.action_results import ListedSnapshot, SnapshotReceipt
from snapstorm.targets.memory.store import Store, Stored
from snapstorm.targets.memory.trees import Tree


class Behaviour:
    """Does everything right."""

    async def before(self, operation: str, seconds_max: float) -> None:
        """Called as `create`, `restore`, `delete`, `list`, `expire`, `verify` or `gc` begins; may fail or hang."""

    def taken(self, snapshot: Stored, store: Store) -> Stored:
        """What is kept of a tree that was read."""
        return snapshot

    def is_kept(self, snapshot: Stored) -> bool:
        """Whether a snapshot that will be acknowledged is kept at all."""
        return True

    def acknowledged(self, receipt: SnapshotReceipt, store: Store) -> SnapshotReceipt:
        """What the client is told about its new snapshot."""
        return receipt

    def restored(self, tree: Tree, snapshot: Stored, store: Store) -> Tree:
        """What is given back of a snapshot."""
        return tree

    def wrote(self, destination: Path) -> None:
        """What a restore does besides writing its tree to `destination`."""

    def deleted(self, snapshot: Stored, store: Store) -> Sequence[Stored]:
        """Which snapshots go when this one is to be deleted."""
        return [snapshot]

    def expired(self, doomed: Sequence[Stored], kept: Sequence[Stored]) -> Sequence[Stored]:
        """Which snapshots of a source retention takes away."""
        return doomed

    def frees_storage(self) -> bool:
        """Whether a full collection takes what no snapshot refers to."""
        return True

    def collected(self, store: Store) -> None:
        """What a full collection does besides collecting."""

    def listed(self, own: Sequence[ListedSnapshot], others: Iterable[ListedSnapshot]) -> Sequence[ListedSnapshot]:
        """What a client is shown."""
        return own

    def lets_in(self, *, is_known: bool, is_password_right: bool) -> bool:
        """Who may do anything."""
        return is_known and is_password_right

    def served_again(self, store: Store) -> None:
        """What happens when a repository that exists is served again."""

    def restarted(self, store: Store, *, was_asked: bool) -> None:
        """What happens when the server starts again after it was ended, asked to or killed."""

    def checks_blobs(self) -> bool:
        """Whether what is read is held against its digest."""
        return True

    def complains(self) -> bool:
        """Whether the target's own check says what it has found."""
        return True

    def irregularities(self) -> Sequence[str]:
        """What of the layout breaks its rules."""
        return ()

    def narrows(self) -> bool:
        """Whether rights that were narrowed count."""
        return True

    def password_changes(self) -> bool:
        """Whether a changed password counts."""
        return True
