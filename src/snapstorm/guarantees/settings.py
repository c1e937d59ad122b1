"""Settings of the target that somebody else decides: read before a run, when something looks wrong, and at the end.

What is promised rests on them. Where two readings differ, it is not known which of them held in between. So of the
snapshots that were begun between the two, what differs from its promise is not judged. What equals it needs no excuse.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from snapstorm.errors import AccessDenied, OperationPartial, OperationTimedOut, TargetError
from snapstorm.model.abilities import RETENTION, SetByOthers
from snapstorm.model.expectations import Expectation
from snapstorm.model.manifest import Manifest
from snapstorm.model.protocols import Server
from snapstorm.model.tree_differences import Difference, DifferenceKind
from snapstorm.runtime.tasks import together
from snapstorm.testbed.context import RunContext

_FACT = "settings "
"""Begins the name of the ledger's fact that holds a client's settings, and when they were read last."""

_BY_SETTINGS = frozenset({DifferenceKind.MISSING, DifferenceKind.EXTRA})
"""How what is kept differs under other settings. None changes what is in a file, or what is kept with it."""


class SettingsWatch:
    """Watches the settings of all clients of one run. Without somebody else who decides, it costs nothing."""

    def __init__(self, run: RunContext, server: Server | None) -> None:
        self._run = run
        self._server = server if isinstance(server, SetByOthers) else None
        self.are_set_by_others = self._server is not None
        self._changed: dict[str, set[str]] = {}
        """The names of the settings that have changed since the run began, by client."""
        self._told_unknown: set[str] = set()

    async def kept_of(self, client: str, source: Path, tree: Manifest) -> Manifest:
        """The part of this client's tree that the target keeps."""
        return tree if self._server is None else await self._server.kept_of(client, source, tree)

    def begin(self, client: str) -> None:
        """Begin a run with a client's settings as they were just read. They may have changed since the last one; what a
        run that was killed has taken since it had read them is in doubt then."""
        if self._server is None:
            return
        self._compare(client, self._server.settings(client))
        unknown = [name for name in self._server.unknown_settings(client) if name not in self._told_unknown]
        self._told_unknown.update(unknown)
        if unknown:
            self._run.note(
                f"policies have settings of which snapstorm does not know what they do: {', '.join(unknown)}"
            )

    async def have_changed(self, client: str, name: str | None = None) -> bool:
        """Read a client's settings again. Whether they, or the one of this name, have changed since the run began.

        Raises HarnessError where they have become such that no run can be judged.
        """
        if self._server is None:
            return False
        changed = self._changed.get(client, set())
        try:
            await self._server.read_settings(client)
        except TargetError:
            pass  # Not to be found out now; then the change is no reason.
        else:
            changes = self._compare(client, self._server.settings(client))
            if changes:
                changed = self._changed.setdefault(client, set())
                changed.update(changes)
                self._run.note(f"settings of {client} were changed during the run: {'; '.join(changes.values())}")
        return bool(changed) if name is None else name in changed

    async def may_have_expired(self, client: str) -> bool:
        """Whether snapshots of this client may be gone because its retention was changed during the run."""
        return await self.have_changed(client, RETENTION)

    async def end(self, clients: Sequence[str]) -> None:
        """Read the settings of all these clients once more, at the end of a run, and say what has changed."""
        await together([functools.partial(self.have_changed, client) for client in clients])

    async def explain(self, found: Sequence[Difference], expectation: Expectation) -> bool:
        """Whether all in which a restore of this snapshot differs may be due to a change of settings."""
        return all(one.kind in _BY_SETTINGS for one in found) and await self.leaves_unjudged(expectation)

    async def leaves_unjudged(self, expectation: Expectation) -> bool:
        """Whether how much was kept in a snapshot may be due to a change of settings."""
        if self._server is None:
            return False
        await self.have_changed(expectation.client)
        is_in_doubt = self._run.ledger.expectations_of_operations([expectation.operation])[0].is_promise_in_doubt
        if is_in_doubt and expectation.client in self._changed:
            self.count_unjudged(f"snapshot {expectation.snapshot} of {expectation.client}")
        elif is_in_doubt:
            self._run.note(
                f"snapshot {expectation.snapshot} of {expectation.client} is not judged: settings were changed when an "
                "earlier run took it"
            )
        return is_in_doubt

    async def may_explain(
        self, client: str, what: str, error: TargetError | None = None, *, is_restore: bool = False
    ) -> bool:
        """Whether a change of a client's settings during the run may be why something failed, which is then not judged.

        None makes anything hang or be damaged. A restore may be refused, or its snapshot have expired.
        """
        if isinstance(error, (OperationTimedOut, OperationPartial)):
            return False
        needs_expiry = is_restore and not isinstance(error, AccessDenied)
        has_changed = await self.have_changed(client, RETENTION if needs_expiry else None)
        if has_changed:
            self.count_unjudged(what)
        return has_changed

    def count_unjudged(self, what: str) -> None:
        """Count something that differs and is not judged, and name the first."""
        self._run.tally.settings_unjudged += 1
        if self._run.tally.settings_unjudged == 1:
            self._run.note(f"not judged, because settings were changed meanwhile: {what}")

    def _compare(self, client: str, settings: Mapping[str, str]) -> Mapping[str, str]:
        """Hold a reading against the one before it, and remember it. What has changed, by name and in words."""
        ledger = self._run.ledger
        stored, changes = ledger.fact(_FACT + client), dict[str, str]()
        if stored is not None:
            known = json.loads(stored)
            before = known["settings"]
            changes = {
                name: f"{name} was {before.get(name)}, is {value}"
                for name, value in settings.items()
                if before.get(name) != value
            }
            if changes:
                ledger.doubt_promises(client, known["tick"])
        ledger.set_fact(_FACT + client, json.dumps({"tick": ledger.next_tick(), "settings": dict(settings)}))
        return changes
