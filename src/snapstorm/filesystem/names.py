"""Names as in real trees: mostly plain, sometimes such that careless code fails."""

from __future__ import annotations

import random
from collections.abc import Container, Iterator
from dataclasses import dataclass

PLAIN_STEMS = ("report", "photo", "notes", "index", "backup", "main", "invoice", "track", "chunk", "draft")
PLAIN_ENDINGS = ("", ".txt", ".jpg", ".bin", ".log", ".json", ".tar.gz", ".c", ".db", ".md")

ODD_SHAPES = (
    "-{}",
    "--{}=x",
    " {}",
    "{} ",
    "two  spaces {}",
    ".{}",
    "..{}",
    "{}.",
    "{}...",
    "{}~",
    "#{}#",
    "line\n{}",
    "{}\n",
    "tab\t{}",
    "bell\x07{}\x7f",
    "\x1b[31m{}\x1b[0m",
    "carriage\r{}",
    "back\\slash\\{}",
    "{}\\",
    "'{}'",
    '"{}"',
    "`{}`",
    "$({})",
    "*{}?",
    "[{}]",
    "%s%n{}%",
    "a:{}",
    "a|b;{}&",
    "<{}>",
    "CON.{}",
    "{}.tmp",
    "{}.lock",
    "UPPER{}",
    "upper{}",
    "na\u00efve-{}",
    "nai\u0308ve-{}",
    "e\u0301\u0323-{}",
    "\u65e5\u672c\u8a9e-{}",
    "\U0001f419-{}",
    "\u202e{}-right-to-left",
    "zero\u200bwidth-{}",
    "\ufeff{}",
    "\u212b-{}",
    "\ufffd-{}",
)
"""Odd names. The digits that make a name unique replace `{}`."""

_LONG_SHARE = 0.15
_LONG_FILLERS = ("x", "\u00e9", "\u65e5", "\U0001f419", " ")

_NON_UTF8_SHAPES = (b"\xff\xfe%s", b"caf\xe9-%s", b"%s\x80", b"\xed\xa0\x80%s", b"%s\xc0\xaf")


@dataclass(frozen=True)
class NameRules:
    """Which names a target accepts."""

    bytes_max: int = 255
    forbidden_suffixes: tuple[bytes, ...] = ()

    def allow(self, name: bytes) -> bool:
        return len(name) <= self.bytes_max and not name.endswith(self.forbidden_suffixes)


def plain_name(taken: Container[bytes], rules: NameRules, draws: random.Random) -> bytes:
    """A short ASCII name that no entry of the directory has."""
    while True:
        name = f"{_unique(draws)}-{draws.choice(PLAIN_STEMS)}{draws.choice(PLAIN_ENDINGS)}".encode()[: rules.bytes_max]
        if name not in taken and rules.allow(name):
            return name


def odd_name(taken: Container[bytes], rules: NameRules, draws: random.Random) -> bytes:
    """An odd but valid UTF-8 name that no entry of the directory has; a plain one if the target accepts no odd one."""
    if draws.random() < _LONG_SHARE:
        name = _long_name(rules.bytes_max, draws.choice(_LONG_FILLERS), draws)
    else:
        name = draws.choice(ODD_SHAPES).format(_unique(draws)).encode()
    return name if name not in taken and rules.allow(name) else plain_name(taken, rules, draws)


def non_utf8_name(taken: Container[bytes], rules: NameRules, draws: random.Random) -> bytes:
    """A name that is not valid UTF-8."""
    name = draws.choice(_NON_UTF8_SHAPES) % _unique(draws).encode()
    return name if name not in taken and rules.allow(name) else plain_name(taken, rules, draws)


def odd_names(rules: NameRules, draws: random.Random) -> Iterator[bytes]:
    """One name of each odd shape that the target accepts."""
    names = [shape.format(_unique(draws)).encode() for shape in ODD_SHAPES]
    names += [_long_name(rules.bytes_max, filler, draws) for filler in _LONG_FILLERS]
    return filter(rules.allow, names)


def non_utf8_names(rules: NameRules, draws: random.Random) -> Iterator[bytes]:
    """One name of each shape that is not valid UTF-8."""
    return filter(rules.allow, [shape % _unique(draws).encode() for shape in _NON_UTF8_SHAPES])


def _unique(draws: random.Random) -> str:
    return f"{draws.getrandbits(32):08x}"


def _long_name(bytes_max: int, filler: str, draws: random.Random) -> bytes:
    """A name of exactly the maximum length, filled with this character."""
    start, fill = _unique(draws).encode(), filler.encode()
    name = start + fill * ((bytes_max - len(start)) // len(fill))
    return name + b"z" * (bytes_max - len(name))
