"""The weather: which faults are active, and which failures they excuse."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from snapstorm.errors import TargetError
from snapstorm.faults.fault import Fault


@dataclass(eq=False)
class Injury:
    """One fault, from the moment at which it breaks something."""

    number: int
    """Its number in the ledger."""
    fault: Fault
    began_seconds: float
    ended_seconds: float | None = None

    def touches(self, client: str, since_seconds: float, pace: float) -> bool:
        """Whether an operation of this client, begun then and still going on or just ended, has felt it."""
        clients, aftermath_seconds = self.fault.clients, self.fault.aftermath_seconds / pace
        is_over = self.ended_seconds is not None and self.ended_seconds + aftermath_seconds < since_seconds
        return not is_over and (clients is None or client in clients)


class Weather:
    """All injuries of one run. Moments are seconds on the run's clock."""

    def __init__(self, now_seconds: Callable[[], float], pace: float = 1.0) -> None:
        self._pace = pace
        self._now_seconds = now_seconds
        self._injuries: list[Injury] = []
        self._is_recovering = False
        self._calm_since_seconds: float | None = None

    def begin_recovery(self) -> None:
        """Everything has healed, and clients have a bounded time to get on their feet again: until then, failures are
        still the faults'."""
        self._is_recovering = True

    def end_recovery(self) -> None:
        """From now on nothing that begins is excused."""
        self._is_recovering, self._calm_since_seconds = False, self._now_seconds()

    def begin(self, number: int, fault: Fault) -> Injury:
        """From now on this fault is active."""
        injury = Injury(number, fault, self._now_seconds())
        self._calm_since_seconds = None
        self._injuries.append(injury)
        return injury

    def end(self, injury: Injury) -> None:
        """It has healed."""
        injury.ended_seconds = self._now_seconds()

    def excuses(self, client: str, since_seconds: float, error: TargetError) -> bool:
        """Whether a fault, or recovering from the last one, is the reason why this operation of this client failed."""
        if self._is_recovering:
            return True
        if self._calm_since_seconds is not None and since_seconds >= self._calm_since_seconds:
            return False
        felt = (injury.fault for injury in self._injuries if injury.touches(client, since_seconds, self._pace))
        return any(fault.excuses(error) for fault in felt)

    def damage(self, since_seconds: float) -> Injury | None:
        """The damage that has stood at some time since then, if any."""
        found = (
            injury
            for injury in self._injuries
            if injury.fault.is_damage and (injury.ended_seconds is None or injury.ended_seconds >= since_seconds)
        )
        return next(found, None)

    def damage_behind(self, error: TargetError) -> Injury | None:
        """The damage that stands now and that this failure names, if any."""
        found = (
            injury
            for injury in self._injuries
            if injury.fault.is_damage and injury.ended_seconds is None and injury.fault.excuses(error)
        )
        return next(found, None)

    @property
    def has_disturbed_process(self) -> bool:
        """Whether what the server's process holds open may be the work of a fault."""
        return any(injury.fault.disturbs_process for injury in self._injuries)
