"""The weather: which faults are active, and which failures they excuse."""

from __future__ import annotations

from collections.abc import Callable, Iterator
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
    began_tick: int = 0
    """A moment of the ledger, before it broke anything."""
    ended_seconds: float | None = None

    def lasts_at(self, seconds: float, aftermath_seconds: float = 0.0) -> bool:
        """Whether it was active then or later, or had just healed."""
        return self.ended_seconds is None or self.ended_seconds + aftermath_seconds >= seconds


class Weather:
    """All injuries of one run. Moments are seconds on the run's clock."""

    def __init__(self, now_seconds: Callable[[], float], pace: float = 1.0) -> None:
        """`pace`: how many times faster than by default faults follow each other and heal."""
        self._pace = pace
        self._now_seconds = now_seconds
        self._injuries: list[Injury] = []
        self.is_calm_awaited = False
        """Somebody waits for the end of faults that delay something."""
        self._is_recovering = False
        self._calm_since_seconds: float | None = None

    def begin_recovery(self) -> None:
        """All faults have healed, and clients have a bounded time to recover: until it ends, failures are excused."""
        self._is_recovering = True

    def end_recovery(self) -> None:
        """From now on nothing that begins is excused."""
        self._is_recovering, self._calm_since_seconds = False, self._now_seconds()

    def begin(self, number: int, fault: Fault, began_tick: int = 0) -> Injury:
        """From now on this fault is active. `began_tick`: a moment of the ledger before that."""
        injury = Injury(number, fault, self._now_seconds(), began_tick)
        self._calm_since_seconds = None
        self._injuries.append(injury)
        return injury

    def end(self, injury: Injury) -> None:
        """It has healed."""
        injury.ended_seconds = self._now_seconds()

    def excuses(self, client: str, since_seconds: float, error: TargetError) -> bool:
        """Whether a fault, or recovering from the last one, is the reason for this failure of a client's operation,
        which began at `since_seconds` and has just ended."""
        if self._is_recovering:
            return True
        if self._calm_since_seconds is not None and since_seconds >= self._calm_since_seconds:
            return False
        return any(
            injury.lasts_at(since_seconds, injury.fault.aftermath_seconds / self._pace)
            and (injury.fault.clients is None or client in injury.fault.clients)
            and injury.fault.touches(self._now_seconds() - since_seconds)
            and injury.fault.excuses(error)
            for injury in self._injuries
        )

    def damage(self, since_seconds: float) -> Injury | None:
        """The damage that has stood at some time since then, if any."""
        return next((one for one in self._met(since_seconds) if one.fault.is_damage), None)

    def veil(self, since_seconds: float) -> Injury | None:
        """The first fault since then because of which storage may have shown less than there was, if any."""
        return next(
            (
                one
                for one in self._injuries
                if one.fault.is_veil and one.lasts_at(since_seconds, one.fault.veil_seconds) and one.fault.has_struck
            ),
            None,
        )

    @property
    def delays_something(self) -> bool:
        """Whether a fault is active because of which something may come late."""
        return any(one.ended_seconds is None and one.fault.delays for one in self._injuries)

    def spoiler(self, since_seconds: float, *, is_safe: bool) -> Injury | None:
        """The first fault since then because of which a collection of garbage may have taken what is needed, if any.
        One that is not `is_safe` relies on what storage shows."""
        return next(
            (
                one
                for one in self._met(since_seconds)
                if one.fault.spoils_collections or (one.fault.is_veil and not is_safe)
            ),
            None,
        )

    def _met(self, since_seconds: float) -> Iterator[Injury]:
        return (one for one in self._injuries if one.lasts_at(since_seconds) and one.fault.has_struck)

    def damage_behind(self, error: TargetError) -> Injury | None:
        """The damage that stands now and that this failure names, if any."""
        standing = (one for one in self._injuries if one.fault.is_damage and one.ended_seconds is None)
        return next((one for one in standing if one.fault.excuses(error)), None)

    @property
    def has_left_unfinished_files(self) -> bool:
        """Whether an unfinished file in the storage may be the work of a fault."""
        return any(injury.fault.leaves_unfinished_files for injury in self._injuries)

    @property
    def has_disturbed_process(self) -> bool:
        """Whether what the server's process holds open may be the work of a fault."""
        return any(injury.fault.disturbs_process for injury in self._injuries)
