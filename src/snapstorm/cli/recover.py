"""The command that replaces a lost ledger by a copy of it: `snapstorm recover`."""

from __future__ import annotations

import functools
from typing import Annotated

import anyio
from cyclopts import Parameter

from snapstorm.cli.option_groups import Programs
from snapstorm.cli.words import TypedPath
from snapstorm.persistence.places import recover as recover_copy
from snapstorm.targets.registry import NamedPrograms


def recover(
    *,
    testbed: TypedPath,
    copied_from: Annotated[str, Parameter(name="--from")],
    program: Programs = None,
    take_over: Annotated[bool, Parameter(negative="")] = False,
) -> int:
    """Put the latest copy of a testbed's ledger in the place of its own, which is damaged or lost.

    The ledger that is there is kept under another name. What happened after the copy was made is not known any more:
    snapshots of that time are not judged, and one that the copy promises and that is not listed makes the next run
    inconclusive.

    Parameters
    ----------
    testbed
        The testbed.
    copied_from
        Where the copies are: what was given to --persist.
    program
        The program that reads them, if they are snapshots, such as in a Kopia repository.
    take_over
        Take the copy although another instance of the testbed holds it.
    """
    programs = NamedPrograms(program or ())
    done = anyio.run(functools.partial(recover_copy, copied_from, testbed, programs=programs, take_over=take_over))
    print(f"the ledger is that of {done.state.written_utc}, run {done.state.run}, from {copied_from}")
    if done.damaged is not None:
        print(f"the one that was there is kept as {done.damaged}")
    print(f"now: snapstorm sweep --testbed {testbed}")
    return 0
