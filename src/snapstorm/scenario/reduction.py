"""Reduction: from a recording that shows a violation to a small one that shows it, too.

Delta debugging (Zeller and Hildebrandt, 2002) in stages, from what takes most away to what only makes simpler. Each
candidate is tried; whatever shows the violation becomes the best so far, and nothing else is ever believed. Pure: how a
candidate is tried is the caller's.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias, TypeVar

from snapstorm.model.actions import ACTIONS, LATEST, RestoreSnapshot, SnapshotRoot, WriteRandomFiles
from snapstorm.scenario.recording import RecordedStep, Recording

Item = TypeVar("Item")
Shows: TypeAlias = Callable[[Recording], Awaitable[bool]]
"""Whether a candidate shows the violation."""

_PLAIN = {"odd_percent": 0, "duplicate_percent": 0, "compressible_percent": 0}
SEEDS_TRIED = 10
"""Other draws, too, may show it; some seed does nearly always."""
_SIZES = (1, 100, 4096, 65_536)


class OutOfTime(Exception):
    """There is no time left for another candidate."""


@dataclass
class Reduction:
    """One reduction. `best` is always a recording that shows the violation, once `start` has returned True."""

    best: Recording
    shows: Shows
    """Asked again of a candidate that it has tried before, it need not try again."""
    on_stage: Callable[[str], None] = lambda _: None

    async def run(self, cut: str | None = None, restores: int = 0) -> None:
        """Reduce as far as it goes. `cut` is the last step that may matter; `restores` says how many restores the
        whole run made, snapstorm's own included."""
        stages: list[tuple[str, Callable[[], Awaitable[object]]]] = [
            ("what came after", lambda: self._cut(cut)),
            ("a plain history", lambda: self._plain_history(restores)),
            ("clients", self._clients),
            ("faults", self._faults),
            ("overlap", self._overlap),
            ("actions", self._actions),
            ("repetitions", self._repetitions),
            ("size of the tree", lambda: self._simplify(simpler_trees)),
            ("sizes of files", lambda: self._simplify(smaller_files)),
            ("numbering", self._numbering),
        ]
        for name, stage in stages:
            self.on_stage(name)
            await stage()

    async def _try(self, candidate: Recording) -> bool:
        """Whether it shows the violation; if so it is the best from now on."""
        if not candidate.steps:
            return False
        shows = await self.shows(candidate)
        if shows:
            self.best = candidate
        return shows

    async def _cut(self, last: str | None) -> None:
        names = [step.name for step in self.best.steps]
        if last in names:
            await self._try(self.best.keeping(names[: names.index(last) + 1]))

    async def _plain_history(self, restores: int) -> None:
        """Much goes wrong in a plain history: a file, a snapshot, and one restore or many."""
        first = next((step for step in self.best.steps if step.action == WriteRandomFiles.key), None)
        if first is None:
            return
        write = first.model_copy(update={"client": 1, "after": ()})
        taken = RecordedStep(name="plain-snapshot", client=1, action=SnapshotRoot.key)
        for times in sorted({1, max(1, restores)}):
            back = RecordedStep(
                name="plain-restore", client=1, action=RestoreSnapshot.key, of=taken.name, repeat=times
            ).with_options(id=LATEST)
            if await self._try(self.best.model_copy(update={"steps": (write, taken, back)})):
                return

    async def _clients(self) -> None:
        async def try_clients(clients: Sequence[int]) -> bool:
            return await self._try(self.best.keeping([one.name for one in steps if one.client in clients]))

        steps = self.best.steps
        await minimize(sorted({step.client for step in steps}), try_clients)

    async def _faults(self) -> None:
        async def try_faults(numbers: Sequence[int]) -> bool:
            kept = tuple(fault for fault in faults if fault.number in numbers)
            return await self._try(self.best.model_copy(update={"faults": kept}))

        faults = self.best.faults
        if faults and not await try_faults(()):
            await minimize([fault.number for fault in faults], try_faults)

    async def _overlap(self) -> None:
        if any(step.after for step in self.best.steps) or self.best.clients > 1:
            await self._try(self.best.sequential())

    async def _actions(self) -> None:
        async def try_steps(names: Sequence[str]) -> bool:
            kept = whole.keeping(names)
            return await self._try(kept.sequential() if is_sequence else kept)

        whole = self.best
        is_sequence = whole.is_sequence and len(whole.steps) > 1
        await minimize([step.name for step in whole.steps], try_steps)

    async def _repetitions(self) -> None:
        await self._try(joined(self.best))
        for index in range(len(self.best.steps)):
            await self._fewer_repetitions(index)

    async def _fewer_repetitions(self, index: int) -> None:
        """The least number of times, found by halving."""
        low, high = 1, self.best.steps[index].repeat
        while low < high:
            middle = (low + high) // 2
            if await self._try(
                replaced(self.best, index, self.best.steps[index].model_copy(update={"repeat": middle}))
            ):
                high = middle
            else:
                low = middle + 1

    async def _simplify(self, simpler: Callable[[RecordedStep], Iterator[RecordedStep]]) -> None:
        for index in range(len(self.best.steps)):
            for candidate in simpler(self.best.steps[index]):
                if await self._try(replaced(self.best, index, candidate)):
                    break

    async def _numbering(self) -> None:
        """Steps that draw what a run of just these steps draws: then a program needs to say nothing of draws."""
        plain = naturally_numbered(self.best)
        for seed in (plain.seed, *range(1, SEEDS_TRIED)):
            if await self._try(plain.model_copy(update={"seed": seed})):
                return


async def minimize(items: Sequence[Item], is_enough: Callable[[Sequence[Item]], Awaitable[bool]]) -> list[Item]:
    """The items without those that are not needed: no single one of what is left can be left out.

    Chunks of half of them are left out first, then ever smaller ones, the last first, since what comes late depends on
    what comes early and not the other way round.
    """
    left, size = list(items), max(1, len(items) // 2)
    while left:
        is_smaller = False
        end = len(left)
        while end > 0 and len(left) > 1:
            begin = max(0, end - size)
            candidate = left[:begin] + left[end:]
            if candidate and await is_enough(candidate):
                left, is_smaller = candidate, True
            end = begin
        if size == 1 and not is_smaller:
            break
        size = max(1, min(size // 2, len(left) // 2))
    return left


def replaced(recording: Recording, index: int, step: RecordedStep) -> Recording:
    """The recording with another step in that place."""
    steps = list(recording.steps)
    steps[index] = step
    return recording.model_copy(update={"steps": tuple(steps)})


def joined(recording: Recording) -> Recording:
    """Steps in a row that do the same and change nothing are one step, repeated."""
    steps: list[RecordedStep] = []
    gone: dict[str, str] = {}
    for step in recording.steps:
        last = steps[-1] if steps else None
        if last is not None and ACTIONS[step.action].is_repeatable and _is_same(last, step):
            steps[-1] = last.model_copy(update={"repeat": last.repeat + step.repeat})
            gone[step.name] = last.name
        else:
            after = tuple(dict.fromkeys(gone.get(name, name) for name in step.after))
            steps.append(step.model_copy(update={"after": after}))
    return recording.model_copy(update={"steps": tuple(steps)})


def _is_same(one: RecordedStep, other: RecordedStep) -> bool:
    mine, theirs = one.model_dump(), other.model_dump()
    for name in ("name", "after", "draws", "repeat"):
        mine.pop(name)
        theirs.pop(name)
    return mine == theirs


def naturally_numbered(recording: Recording) -> Recording:
    """The steps named and drawing as those of a first run that does just these."""
    counts: dict[int, int] = {}
    names: dict[str, str] = {}
    steps: list[RecordedStep] = []
    for step in recording.steps:
        number = counts.get(step.client, 0) + 1
        counts[step.client] = number + step.repeat - 1
        names[step.name] = f"client-{step.client}-{number}"
        update: dict[str, Any] = {
            "name": names[step.name],
            "draws": None,
            "after": tuple(names[other] for other in step.after),
            "of": names[step.of] if step.of is not None else None,
        }
        steps.append(step.model_copy(update=update))
    faults = tuple(
        fault.model_copy(update={"after": tuple(names[other] for other in fault.after)}) for fault in recording.faults
    )
    return recording.model_copy(update={"run": 1, "steps": tuple(steps), "faults": faults})


def simpler_trees(step: RecordedStep) -> Iterator[RecordedStep]:
    """The same step with a simpler tree, the simplest first."""
    if step.action == WriteRandomFiles.key:
        plain = _PLAIN | ({"one_of_each": False} if "one_of_each" in step.options else {})
        yield from _different(step, {"count": 1, "depth": 0, **plain})
        yield from _different(step, {"depth": 0, **plain})
        yield from _different(step, {"count": 1})
        yield from _different(step, {"count": 4})
        yield from _different(step, plain)
    elif "count" in ACTIONS[step.action].model_fields:
        yield from _different(step, {"count": 1})


def smaller_files(step: RecordedStep) -> Iterator[RecordedStep]:
    """The same step with smaller files, the smallest first."""
    if step.action == WriteRandomFiles.key:
        for size_bytes in _SIZES:
            yield from _different(step, {"size_bytes": size_bytes})


def _different(step: RecordedStep, options: dict[str, Any]) -> Iterator[RecordedStep]:
    changed = step.with_options(**options)
    if changed != step:
        yield changed
