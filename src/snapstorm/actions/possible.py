"""Which actions are not possible: for anybody on this server, or for one client."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from snapstorm.model.actions import Action


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
