"""A run's commands as a bash script that needs no snapstorm: to be attached to a bug report."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

from snapstorm.ledger.record import RecordedCommand
from snapstorm.model.content import run_bytes, runs
from snapstorm.model.manifest import ROOT, Entry, EntryType, Manifest, show_path

EMBEDDED_BYTES_MAX = 256 << 10
"""Contents of more than this are not in the script: random bytes of the same number are written instead."""

_HEAD = r"""
set -u
PROGRAM=${1:-kopia}
case $PROGRAM in */*) PROGRAM=$(cd "$(dirname "$PROGRAM")" && pwd)/$(basename "$PROGRAM") ;; esac
BED=$(mktemp -d)
shown=0
server=

finish() {
    [ -z "$server" ] || kill -- "-$server" 2>/dev/null
    rm -rf "$BED"
}
trap finish EXIT

# Run a command with the configuration, the cache and the logs of one identity: DIRECTORY PASSWORD WORDS...
run() {
    local directory=$1 password=$2
    shift 2
    mkdir -p "$directory"
    (
        cd "$directory" && export HOME=$directory KOPIA_PASSWORD=$password
        export KOPIA_CONFIG_PATH=$directory/repository.config KOPIA_LOG_DIR=$directory/logs
        export KOPIA_CHECK_FOR_UPDATES=false KOPIA_PERSIST_CREDENTIALS_ON_CONNECT=false
        case $directory in */auditor) ;; *) export KOPIA_CACHE_DIRECTORY=$directory/cache ;; esac
        export KOPIA_SERVER_CONTROL_PASSWORD=control KOPIA_SERVER_PASSWORD=control
        exec "$PROGRAM" "$@"
    )
}

# The same, where it must succeed, or must not: EXPECTED_STATUS DIRECTORY PASSWORD WORDS...
must() {
    local expected=$1 status=0
    shift
    run "$@" >"$BED/output" 2>&1 || status=$?
    if [ "$expected" = 0 ] && [ "$status" != 0 ] || [ "$expected" != 0 ] && [ "$status" = 0 ]; then
        echo "SHOWN: exit status $status, in the recorded run $expected: ${*:3}"
        cat "$BED/output"
        shown=1
    fi
}

# Names, types, modes, sizes and links, and when files were changed.
facts() {
    (cd "$1" && find . -mindepth 1 \( -type d -printf '%P %y %m\n' \
        -o -type l -printf '%P %y %l\n' -o -printf '%P %y %m %s %T@\n' \) | sort)
}

# Hold what was restored against what was there: EXPECTED RESTORED
compare() {
    if ! diff -r --no-dereference "$1" "$2" || ! diff <(facts "$1") <(facts "$2"); then
        echo "SHOWN: $2 is not what was written"
        shown=1
    fi
}
"""

_ADDRESS = re.compile(r"^--(url|address)=https://.*")
_HASH = re.compile(r"^--user-password-hash=.*")
_PIN = re.compile(r"^--server-cert-fingerprint=.*")


class Script:
    """Writes a run's commands as a bash script."""

    def __init__(self, manifest_of: Callable[[str], Manifest | None]) -> None:
        self._bed = ""
        self._manifest_of = manifest_of
        self._numbers: dict[str, int] = {}
        self._embedded_bytes = 0

    def lines(self, commands: Sequence[RecordedCommand], shows: str, last_operations: Iterable[str]) -> Iterator[str]:
        """The script. It ends with the commands of the operations that have shown the violation, if they are known."""
        commands = list(_up_to(commands, frozenset(last_operations)))
        # The first command makes the repository, in the server's directory on the testbed.
        self._bed = str(Path(commands[0].directory or "/").parent)
        yield "#!/usr/bin/env bash"
        yield f"# Shows a violation of {shows}, with bare commands. Usage: bash FILE [PROGRAM]"
        yield "# Exit status: 1 if it shows it, 0 if not."
        yield _HEAD
        for command in commands:
            yield from self._command(command)
        yield ""
        yield '[ "$shown" = 1 ] || echo "not shown"'
        yield 'exit "$shown"'

    def _command(self, command: RecordedCommand) -> Iterator[str]:
        words = command.argv[1:]
        where = self._quoted(command.directory or self._bed)
        password = _password(command.directory or "")
        if words[:2] == ["server", "start"]:
            yield from self._start_server(where, words)
        elif words[:2] == ["snapshot", "create"] and command.manifest and command.source and command.snapshot:
            yield from self._snapshot(command, where, password, words)
        elif words[:1] == ["restore"] and command.exit_code == 0:
            yield from self._restore(where, password, words)
        else:
            yield f"must {int(bool(command.exit_code))} {where} {password} {self._line(words)}"

    def _start_server(self, where: str, words: Sequence[str]) -> Iterator[str]:
        yield ""
        yield "set -m  # In a process group of its own, to be ended with all that it starts."
        yield f'run {where} repository {self._line(words)} >"$BED/server.log" 2>&1 &'
        yield "server=$!"
        yield "set +m"
        yield 'for _ in $(seq 300); do grep -q "^SERVER ADDRESS" "$BED/server.log" && break; sleep 0.1; done'
        yield 'URL=$(sed -n "s/^SERVER ADDRESS: //p" "$BED/server.log" | head -n 1)'
        yield 'PIN=$(sed -n "s/^SERVER CERT SHA256: //p" "$BED/server.log" | head -n 1)'

    def _snapshot(self, command: RecordedCommand, where: str, password: str, words: Sequence[str]) -> Iterator[str]:
        source, manifest = command.source or "", self._manifest_of(command.manifest or "")
        number = self._numbers[command.snapshot or ""] = len(self._numbers) + 1
        yield ""
        yield f"# What snapshot {number} is taken of."
        if manifest is None:
            yield "# It is not known any more, since the snapshot was deleted. Some file stands for it."
            yield f"mkdir -p {self._quoted(source)}; echo {number} >{self._quoted(source)}/file"
        else:
            yield from self._tree(source, manifest)
        yield f'mkdir -p "$BED/expected" && cp -a {self._quoted(source)} "$BED/expected/{number}"'
        yield f'run {where} {password} {self._line(words)} >"$BED/output" 2>"$BED/errors" || cat "$BED/errors"'
        yield f'S{number}=$(sed -n \'s/^{{"id":"\\([0-9a-f]*\\)".*/\\1/p\' "$BED/output")'

    def _restore(self, where: str, password: str, words: Sequence[str]) -> Iterator[str]:
        snapshot, _, part = words[1].partition("/")
        number = self._numbers.get(snapshot)
        target = self._quoted(words[-1])
        yield f"mkdir -p {self._quoted(str(Path(words[-1]).parent))}"
        yield f"must 0 {where} {password} {self._line(words)}"
        if number is not None:
            expected = f'"$BED/expected/{number}"' + (
                f"/{_bash(part.encode('utf-8', 'surrogateescape'))}" if part else ""
            )
            yield f"compare {expected} {target}"

    def _tree(self, source: str, manifest: Manifest) -> Iterator[str]:
        root = self._quoted(source)
        yield f"rm -rf {root}; mkdir -p {root}"
        entries = [entry for entry in manifest.entries if entry.path != ROOT]
        for entry in entries:
            yield from self._entry(f"{root}/{_bash(entry.path)}", entry)
        # Last and the deepest first: making what is in a directory changes its time.
        for entry in (*reversed(entries), *(entry for entry in manifest.entries if entry.path == ROOT)):
            place = root if entry.path == ROOT else f"{root}/{_bash(entry.path)}"
            if entry.type in (EntryType.DIRECTORY, EntryType.FILE):
                seconds = f"{entry.mtime_ns // 10**9}.{entry.mtime_ns % 10**9:09}"
                yield f"chmod {entry.mode:o} {place}; touch -d @{seconds} {place}"

    def _entry(self, place: str, entry: Entry) -> Iterator[str]:
        if entry.type is EntryType.DIRECTORY:
            yield f"mkdir -p {place}"
        elif entry.type is EntryType.SYMLINK:
            yield f"ln -s -- {_bash(entry.target)} {place}"
        elif entry.type is EntryType.SPECIAL:
            yield f"# {show_path(entry.path)}: a FIFO, a socket or a device, left out"
        else:
            yield self._content(place, entry)

    def _content(self, place: str, entry: Entry) -> str:
        if entry.size == 0:
            return f": >{place}"
        self._embedded_bytes += entry.size
        if not entry.segments or self._embedded_bytes > EMBEDDED_BYTES_MAX:
            return f"head -c {entry.size} /dev/urandom >{place}"
        content = b"".join(bytes(run_bytes(run)) for run in runs(entry.segments, entry.size))
        return f"base64 -d >{place} <<<{base64.b64encode(content).decode()}"

    def _line(self, words: Sequence[str]) -> str:
        return " ".join(self._word(word, is_server=list(words[:2]) == ["server", "start"]) for word in words)

    def _word(self, word: str, *, is_server: bool) -> str:
        if not is_server and (found := _ADDRESS.match(word)):
            return f'--{found[1]}="$URL"'
        if _PIN.match(word):
            return '--server-cert-fingerprint="$PIN"'
        if _HASH.match(word):
            return "--user-password=client"
        snapshot, slash, part = word.partition("/")
        if snapshot in self._numbers:
            return f'"$S{self._numbers[snapshot]}"' + (slash and f"/{_bash(part.encode('utf-8', 'surrogateescape'))}")
        return self._quoted(word)

    def _quoted(self, word: str) -> str:
        """A word for bash, the testbed's path in it replaced."""
        before, found, after = word.partition(self._bed)
        if not found:
            return _bash(word.encode("utf-8", "surrogateescape"))
        parts = (_bash(text.encode("utf-8", "surrogateescape")) if text else "" for text in (before, after))
        return '"$BED"/bed'.join(parts)


def _up_to(commands: Sequence[RecordedCommand], operations: frozenset[str]) -> Iterator[RecordedCommand]:
    """The commands up to the last one of these operations; all of them if none is known."""
    last = max((index for index, command in enumerate(commands) if command.operation in operations), default=None)
    yield from commands if last is None else commands[: last + 1]


def _password(directory: str) -> str:
    path = Path(directory)
    if path.parent.name == "impostors":
        return "wrong"
    return "client" if path.parent.parent.name == "clients" else "repository"


_PLAIN = re.compile(rb"[A-Za-z0-9_./=:@%+,-]+")


def _bash(word: bytes) -> str:
    """A word as bash reads it, whatever bytes it has."""
    if _PLAIN.fullmatch(word):
        return word.decode()
    if word.isascii() and word.decode().isprintable():
        return "'" + word.decode().replace("'", "'\\''") + "'"
    return "$'" + "".join(_escaped(byte) for byte in word) + "'"


def _escaped(byte: int) -> str:
    char = chr(byte)
    return char if char.isascii() and char.isprintable() and char not in "'\\" else f"\\x{byte:02x}"
