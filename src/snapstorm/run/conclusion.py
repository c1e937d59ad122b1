"""The conclusion of a run: its verdict, also of one that was cut off, and its last record."""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import dataclass

from snapstorm.errors import GuaranteeViolated, HarnessError, SnapstormError
from snapstorm.model.events import RunEnded
from snapstorm.model.protocols import Mode, Target
from snapstorm.model.verdict import decide
from snapstorm.run.phases import Phases
from snapstorm.run.result import RunResult
from snapstorm.runtime.machine import own_usage
from snapstorm.testbed.command_log import CommandLog
from snapstorm.testbed.context import RunContext
from snapstorm.testbed.testbed import Testbed

_UNACCOUNTED_FACT = "unaccounted_told"
"""How many unaccounted snapshots earlier runs have told of."""


@dataclass
class Conclusion:
    """Concludes one run."""

    run: RunContext
    phases: Phases
    commands: CommandLog
    target: Target
    mode: Mode
    testbed: Testbed
    clients_count: int = 0
    _result: RunResult | None = None

    @property
    def result(self) -> RunResult:
        """What the run has shown; final once it is closed."""
        return self._result or self._make_result()

    def count_unaccounted(self) -> None:
        """Count the snapshots that a copied ledger promised and that are not listed, of which no run has told yet."""
        ledger = self.run.ledger
        self.run.tally.unaccounted = ledger.gaps.count_unlisted() - int(ledger.fact(_UNACCOUNTED_FACT) or 0)

    def note_error(self, error: Exception) -> None:
        """Remember that the harness, the machine or what drove the run failed. A violation is recorded elsewhere."""
        if not isinstance(error, GuaranteeViolated):
            words = str(error) if isinstance(error, SnapstormError) else f"cut off by {type(error).__name__}: {error}"
            self.run.tally.error = self.run.tally.error or words

    def note_interrupted(self) -> None:
        """Remember that a signal ended the run early."""
        self.run.tally.is_interrupted = True

    def close(self) -> None:
        """Record the verdict. Where the ledger can't be written any more, the verdict says so, and is not recorded."""
        run = self.run
        self._result = self._make_result()
        try:
            self.commands.write()
            run.ledger.end_run(
                run.number,
                ended_utc=run.clock.utc(),
                verdict=self._result.verdict,
                summary=json.dumps(self._result.as_json()),
            )
            run.ledger.set_fact(_UNACCOUNTED_FACT, str(run.ledger.gaps.count_unlisted()))
        except HarnessError as error:
            self.note_error(error)
            self._result = self._make_result()
        run.emit(RunEnded(self._result.verdict.value, self._result.reason))
        with suppress(OSError):  # Holds evidence, if it is not empty.
            self.testbed.run_directory(run.number).rmdir()

    def write_last_commands(self) -> None:
        """Record the commands that ended after the verdict: a server's."""
        with suppress(HarnessError):  # No verdict rests on it, and the ledger may have no room left.
            self.commands.write()

    def _make_result(self) -> RunResult:
        run, own = self.run, own_usage()
        verdict, reason = decide(run.tally)
        return RunResult(
            run=run.number,
            seed=run.seed,
            verdict=verdict,
            reason=reason,
            target=self.target.description,
            mode=self.mode,
            clients=self.clients_count,
            seconds=run.now_seconds(),
            seconds_by_part=dict(self.phases.seconds),
            seconds_by_work={work.value: seconds for work, seconds in run.meter.seconds_by_work.items()},
            own_cpu_seconds=own.cpu_seconds,
            own_memory_bytes_max=own.memory_bytes_max,
            tally=run.tally,
            states=run.ledger.count_states(),
            testbed=self.testbed.directory,
            lived=run.ledger.lived_time(run.number),
            expired=run.ledger.expiries.count(),
        )
