"""The command that packs the evidence of a run into one file."""

from __future__ import annotations

import sys

from snapstorm.cli.which import find_run
from snapstorm.cli.words import TypedPath
from snapstorm.errors import ConfigError
from snapstorm.report.archive import bundle_name, make_bundle
from snapstorm.runtime.paths import clean_path


def bundle(run: str, /, *, output: TypedPath | None = None, clients_file: TypedPath | None = None) -> int:
    """Pack the evidence of a run into one file, without secrets, ready to attach to an issue. Changes nothing else.

    What holds a password or a key of the testbed is scrubbed or left out. If one would be in the bundle all the same,
    none is made (exit status 3).

    Parameters
    ----------
    run
        TESTBED, for its latest run that found a violation, or TESTBED:NUMBER.
    output
        The file, which must not exist, or the directory that it is made in. Default: a name that tells the testbed and
        the run, in the current directory.
    clients_file
        The users of a server of your own, as for `snapstorm run`, so that their passwords are looked for, too.
    """
    testbed, number = find_run(run)
    name = f"{bundle_name(testbed, number)}.tar.gz"
    path = clean_path(name) if output is None else output / name if output.is_dir() else output
    if not path.parent.is_dir():
        raise ConfigError(f"there is no directory {path.parent} for the bundle")
    bundled = make_bundle(testbed, number, path, clients_file)
    for note in bundled.notes:
        print(f"snapstorm: {note}", file=sys.stderr)
    print(bundled.summary)
    return 0
