"""Limits on actions: which are refused here, which need the target, which leave the client a snapshot."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from snapstorm.ledger.ledger import Ledger
from snapstorm.model.actions import Action, FileAction


class Refusals:
    """Which actions are not possible on this server: for anybody, or for one client."""

    def __init__(self, refused_actions: Collection[str]) -> None:
        """`refused_actions`: the keys of those that are possible for nobody."""
        self._for_all = frozenset(refused_actions)
        self._why_no_deletions: dict[str, str] = {}

    def forbid_deletions(self, client: str, why: str) -> None:
        """From now on this client does nothing that needs the right to delete."""
        self._why_no_deletions[client] = why

    def why(self, client: str, action: Action[Any]) -> str:
        """Why a client can't do this here; empty if it can."""
        if action.key in self._for_all:
            return "it is not possible on this server"
        return self._why_no_deletions.get(client, "") if action.needs_right_to_delete else ""


def asks_target(action: Action[Any], client: str, ledger: Ledger) -> bool:
    """Whether this action, done by this client now, may ask the target for something. Otherwise it changes the client's
    own files at most, and does not need the client to be connected."""
    if isinstance(action, FileAction):
        return False
    return not action.needs_snapshot or ledger.count_live(client) > 0


def leaves_a_snapshot(action: Action[Any], client: str, ledger: Ledger) -> bool:
    """Whether the client still has a snapshot to verify once this action is done, if it has any."""
    return not action.needs_right_to_delete or ledger.count_live(client) > 1
