"""Records of virtual time: when it began, each jump, and the skews of clients' clocks.

Each is durable before the target is told of it, so that virtual time never goes back, whatever run is killed when.
"""

from __future__ import annotations

from collections.abc import Mapping

from snapstorm.ledger.run_rows import RunRows
from snapstorm.model.lived_time import ClockJump, LivedTime

OFFSET_FACT = "virtual_offset_ns"
"""The fact that only a testbed in virtual time has: by how much that is ahead, besides the jumps."""


class ClockRecords(RunRows):
    """The part of the ledger that holds virtual time."""

    @property
    def is_virtual(self) -> bool:
        """Whether the testbed lives in virtual time, which it then does for good."""
        return self.fact(OFFSET_FACT) is not None

    def begin_virtual_time(self, offset_ns: int) -> None:
        """From now on the testbed lives in virtual time, which is ahead of the machine's clock by so much (negative:
        behind), besides the jumps."""
        self.set_fact(OFFSET_FACT, str(offset_ns))

    def virtual_offset_ns(self) -> int:
        """By how much virtual time is ahead of the machine's clock, with all jumps that were recorded; 0 in a testbed
        in real time."""
        jumped = self._one("SELECT coalesce(sum(by_ns), 0) FROM clock_jumps")
        return int(self.fact(OFFSET_FACT) or 0) + int(jumped[0])

    def begin_virtual_run(self, run_number: int, began_ns: int, ahead_ns_by_client: Mapping[str, int]) -> None:
        """The run begins at this moment of virtual time, with clocks that are ahead by so much (negative: behind)."""
        with self._transaction() as run:
            run("UPDATE runs SET virtual_began_ns = ? WHERE number = ?", (began_ns, run_number))
            for client, ahead_ns in ahead_ns_by_client.items():
                run("INSERT INTO clock_skews VALUES (?, ?, ?)", (run_number, client, ahead_ns))

    def jump_clock(self, run_number: int, jump: ClockJump) -> None:
        """Virtual time is about to jump. From now on it has."""
        with self._transaction() as run:
            run("INSERT INTO clock_jumps (run, at_seconds, by_ns) VALUES (?, ?, ?)", (run_number, *jump))

    def last_virtual_ns(self) -> int:
        """The latest virtual time of which there is a record; 0 if there is none."""
        row = self._one("SELECT coalesce(max(number), 0) FROM runs WHERE virtual_began_ns IS NOT NULL")
        number = int(row[0])
        lived = self.lived_time(number)
        if lived is None:
            return 0
        jumped = max((jump.at_seconds for jump in lived.jumps), default=0.0)
        return lived.at_ns(max(jumped, self.latest_seconds(number)))

    def count_jumps(self, run_number: int) -> int:
        """How often virtual time has jumped in a run."""
        return int(self._one("SELECT count(*) FROM clock_jumps WHERE run = ?", (run_number,))[0])

    def lived_times(self, last_run: int) -> dict[int, LivedTime]:
        """The virtual time of each run that was in it, up to this one, by the number of the run."""
        rows = self._connection.execute(
            "SELECT number, virtual_began_ns FROM runs WHERE virtual_began_ns IS NOT NULL AND number <= ?", (last_run,)
        ).fetchall()
        return {number: self._lived_time(number, began_ns) for number, began_ns in rows}

    def lived_time(self, run_number: int) -> LivedTime | None:
        """The virtual time of a run; None for one in real time."""
        row = self._connection.execute("SELECT virtual_began_ns FROM runs WHERE number = ?", (run_number,)).fetchone()
        return None if row is None or row[0] is None else self._lived_time(run_number, row[0])

    def _lived_time(self, run_number: int, began_ns: int) -> LivedTime:
        jumps = self._connection.execute(
            "SELECT at_seconds, by_ns FROM clock_jumps WHERE run = ? ORDER BY at_seconds, number", (run_number,)
        )
        skews = self._connection.execute("SELECT client, ahead_ns FROM clock_skews WHERE run = ?", (run_number,))
        return LivedTime(began_ns, tuple(ClockJump(*jump) for jump in jumps), dict(skews.fetchall()))
