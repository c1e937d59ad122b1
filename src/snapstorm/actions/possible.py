"""What a client can do now: which actions could be more than a no-op, and which need the target."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from snapstorm.ledger.ledger import Ledger
from snapstorm.model import actions
from snapstorm.model.actions import Action, FileAction
from snapstorm.model.manifest import path_as_text
from snapstorm.model.protocols import FileWriter

_NEEDS_A_SNAPSHOT = (
    actions.RestoreSnapshot,
    actions.RestoreRandomSnapshot,
    actions.RestoreSubpath,
    actions.RestoreIntoDataDirectory,
    actions.DeleteSnapshot,
    actions.DeleteRandomSnapshot,
)

DELETIONS = frozenset(
    action.key
    for action in (actions.DeleteSnapshot, actions.DeleteRandomSnapshot, actions.DeleteSnapshots, actions.Expire)
)
"""The actions that need the right to delete."""


class Refusals:
    """Which actions are not possible on this server: for anybody, or for one client."""

    def __init__(self, refused_actions: Collection[str]) -> None:
        """`refused_actions`: the keys of those that are possible for nobody."""
        self._for_all = frozenset(refused_actions)
        self._by_client: dict[str, tuple[frozenset[str], str]] = {}

    def add(self, client: str, keys: frozenset[str], why: str) -> None:
        """From now on this client does none of these actions."""
        self._by_client[client] = (keys, why)

    def why(self, client: str, action: Action[Any]) -> str:
        """Why a client can't do this here; empty if it can."""
        if action.key in self._for_all:
            return "it is not possible on this server"
        keys, why = self._by_client.get(client, (frozenset[str](), ""))
        return why if action.key in keys else ""


def asks_target(action: Action[Any], client: str, ledger: Ledger) -> bool:
    """Whether this action, done by this client now, may ask the target for something. Otherwise it changes the client's
    own files at most, and does not need the client to be connected."""
    if isinstance(action, FileAction):
        return False
    return not isinstance(action, _NEEDS_A_SNAPSHOT) or ledger.count_live(client) > 0


def can_act(action: Action[Any], client: str, writer: FileWriter, ledger: Ledger) -> bool:
    """Whether this action, done by this client now, could be more than a no-op."""
    if isinstance(action, FileAction):
        return writer.can_apply(type(action))
    if isinstance(action, actions.SnapshotSubpath):
        return writer.can_apply(actions.DeleteRandomSubdirectory)
    if isinstance(action, actions.SnapshotRoot):
        # An empty tree is worth a snapshot, but not as the first thing.
        return writer.can_apply(actions.DeleteFiles) or ledger.count_live(client) > 0
    if isinstance(action, actions.Expire):
        return ledger.count_live(client, path_as_text(writer.data_directory)) > action.keep_latest
    if isinstance(action, actions.DeleteSnapshots):
        return ledger.count_live(client) > action.keep_count
    if isinstance(action, _NEEDS_A_SNAPSHOT):
        return ledger.count_live(client) > 0
    return True


def leaves_a_snapshot(action: Action[Any], client: str, ledger: Ledger) -> bool:
    """Whether the client still has a snapshot to verify once this action is done, if it has any."""
    deletes = isinstance(action, actions.DeleteSnapshot | actions.DeleteRandomSnapshot)
    return not deletes or ledger.count_live(client) > 1
