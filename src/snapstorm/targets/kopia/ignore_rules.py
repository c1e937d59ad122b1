"""Kopia's ignore rules: how one line is read, and which paths it matches. Pure.

They look like those of Git and differ in details, which are kept here on purpose, because what Kopia leaves out is what
counts (`internal/wcmatch`, the same from 0.19.0 to 0.23.1; `tests/contract/test_kopia_policies.py` holds this module
against the program):

* A set such as `[!a]` matches `/` as well.
* A single star stops at `/`, but may take one as its last character: `x*b` matches `xa/b`.
* A named class such as `[:digit:]` is read as one only near the beginning of a rule.
* Two stars at the beginning of a rule cross directories even when no `/` follows.
"""

from __future__ import annotations

import itertools
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum, auto

_SPACES = frozenset("\t\n\v\f\r \x85\xa0\u1680\u2028\u2029\u202f\u205f\u3000") | {
    chr(code) for code in range(0x2000, 0x200B)
}
"""What Go calls white space; Python's `isspace` takes more."""


class _Wild(Enum):
    """What stands for more than itself."""

    ANY = auto()
    """`?`: one character that is not `/`."""
    STAR = auto()
    """`*`: any, within a directory."""
    STARS = auto()
    """`**`: any, across directories."""


@dataclass(frozen=True)
class _Set:
    """`[...]`: one character of those that a test accepts."""

    tests: tuple[Callable[[str], bool], ...]
    is_negated: bool

    def accepts(self, char: str) -> bool:
        return any(test(char) for test in self.tests) is not self.is_negated


_Token = str | _Wild | _Set
"""A string is one character that stands for itself."""


class _Match(Enum):
    """How matching the rest of a path ended. The last two say that other lengths of a star need not be tried."""

    YES = auto()
    NO = auto()
    PATH_TOO_SHORT = auto()
    """Characters ran out: no star, wherever it is, can help by taking more."""
    DIRECTORY_ENDED = auto()
    """A single star met a `/`: only two stars before it can help."""


@dataclass(frozen=True)
class IgnoreRule:
    """One rule, read."""

    tokens: tuple[_Token, ...]
    is_negated: bool
    """It brings back what a rule before it left out."""
    is_for_directories: bool
    head: str
    """Every path that matches begins with this ..."""
    tail: str
    """... and ends with this: quicker told than whether it matches."""

    def decides(self, path: str, *, is_directory: bool, is_ignored: bool) -> bool:
        """Whether the path, which begins with `/` at the root of the tree, is left out once this rule was looked at.

        A rule is looked at only where it could change something.
        """
        if is_ignored is not self.is_negated or (self.is_for_directories and not is_directory):
            return is_ignored
        return is_ignored is not self._matches(path)

    def _matches(self, path: str) -> bool:
        if not (path.startswith(self.head) and path.endswith(self.tail)):
            return False
        return _match(self.tokens, 0, path, 0) is _Match.YES


def read_rule(line: str, base: str) -> IgnoreRule:
    """Read a rule that stands in the directory `base` (`/a/b`; empty for the root of the tree).

    Raises ValueError for one that Kopia refuses.
    """
    encoded = line.encode("utf-8", "surrogateescape")
    if len(encoded) > 2 and encoded[-2:-1] != b"\\":
        line = line.strip("".join(_SPACES))
    parser = _Parser(line)
    while parser.peek() in _SPACES:
        parser.read()
    is_negated = parser.peek() == "!"
    parser.position += is_negated
    tokens = _beginning(parser, base)
    is_for_directories = line.endswith("/")
    if is_for_directories:
        parser.text = parser.text[:-1]
    tokens += parser.tokens()
    return IgnoreRule(tuple(tokens), is_negated, is_for_directories, _literal(tokens), _literal(tokens[::-1])[::-1])


def _beginning(parser: _Parser, base: str) -> list[_Token]:
    """What ties a rule to its directory, or lets it match in all below."""
    is_rooted = parser.peek() == "/"
    tokens: list[_Token] = list(base) if parser.line else []
    if tokens and not is_rooted:
        tokens.append("/")
    if is_rooted or parser.line in ("", "**"):
        return tokens
    slash = parser.text.find("/", parser.position)
    if slash in (-1, len(parser.text) - 1):
        return [*tokens, _Wild.STARS, "/"]
    return tokens if base else ["/"]


def _literal(tokens: Sequence[_Token]) -> str:
    """The characters before the first token that stands for more than itself."""
    return "".join(itertools.takewhile(lambda token: isinstance(token, str), tokens))  # type: ignore[arg-type]


class _Parser:
    """Reads a rule's characters. An empty string stands for what is beyond either end."""

    def __init__(self, line: str) -> None:
        self.line = self.text = line
        self.position = 0

    def peek(self, ahead: int = 0) -> str:
        position = self.position + ahead
        return self.text[position : position + 1] if position >= 0 else ""

    def read(self) -> str:
        char = self.peek()
        self.position += len(char)
        return char

    def tokens(self) -> list[_Token]:
        found: list[_Token] = []
        while char := self.read():
            match char:
                case "\\":
                    found.append(self._escaped())
                case "?":
                    found.append(_Wild.ANY)
                case "*":
                    found.append(self._stars())
                case "[":
                    found.append(self._set())
                case _:
                    found.append(char)
        return found

    def _escaped(self) -> str:
        if char := self.read():
            return char
        raise ValueError(f"the rule {self.line!r} ends after a backslash")

    def _stars(self) -> _Wild:
        if self.peek() != "*":
            return _Wild.STAR
        before = self.peek(-2)
        while self.peek() == "*":
            self.read()
        is_alone = before == "/" and self.peek() in ("/", "")
        return _Wild.STARS if not before or is_alone else _Wild.STAR

    def _set(self) -> _Set:
        tests: list[Callable[[str], bool]] = []
        is_negated = self.peek() == "!"
        self.position += is_negated
        while (char := self.read()) and char != "]":
            if char == "\\":
                char = self._escaped()
            if self.peek() == "-" and self.peek(1) not in ("]", ""):
                self.read()
                last = self.read()
                tests.append(_range(char, self._escaped() if last == "\\" else last))
            elif char == "[" and self.peek() == ":":
                tests.append(self._class())
            else:
                tests.append(_range(char, char))
        if not char:
            raise ValueError(f"the rule {self.line!r} has a `[` without its `]`")
        return _Set(tuple(tests), is_negated)

    def _class(self) -> Callable[[str], bool]:
        """A named class. Kopia takes it for one only if it is nearer to the beginning of the rule than it is long."""
        end = self.text.find("]", self.position) - self.position
        if end < 0:
            raise ValueError(f"the rule {self.line!r} has a `[` without its `]`")
        if end - 1 <= self.position or self.peek(end - 1) != ":":
            return _range("[", "[")
        name = self.text[self.position + 1 : self.position + end - 1].lower()
        self.position += end + 1
        if name not in _CLASSES:
            raise ValueError(f"the rule {self.line!r} names the class {name!r}, which Kopia does not know")
        return _CLASSES[name]


def _range(first: str, last: str) -> Callable[[str], bool]:
    return lambda char: first <= char <= last


def _of_categories(*prefixes: str, more: str = "") -> Callable[[str], bool]:
    return lambda char: unicodedata.category(char).startswith(prefixes) or char in more


_CLASSES: dict[str, Callable[[str], bool]] = {
    "alnum": _of_categories("L", "Nd"),
    "alpha": _of_categories("L"),
    "ascii": lambda char: ord(char) <= 127,
    "blank": _of_categories("Zs", more="\t"),
    "cntrl": _of_categories("Cc"),
    "digit": _of_categories("Nd"),
    "graph": _of_categories("L", "M", "N", "P", "S", "Zs"),
    "lower": _of_categories("Ll"),
    "print": _of_categories("L", "M", "N", "P", "S", more=" "),
    "punct": _of_categories("P", "S"),
    "space": lambda char: char in _SPACES,
    "upper": _of_categories("Lu"),
    "xdigit": _of_categories("Nd", more="abcdefABCDEF"),
}


def _match(tokens: Sequence[_Token], at: int, path: str, position: int) -> _Match:
    """Match the tokens from `at` on against the path from `position` on, to its end."""
    while at < len(tokens):
        token = tokens[at]
        if token is _Wild.STAR or token is _Wild.STARS:
            if token is _Wild.STAR and at + 1 < len(tokens) and tokens[at + 1] == "/":
                position = path.find("/", position)  # It takes all of a directory's name.
                if position < 0:
                    return _Match.NO
                at += 1
                continue
            return _match_star(tokens, at, path, position)
        if position >= len(path):
            return _Match.PATH_TOO_SHORT
        if not _accepts(token, path[position]):
            return _Match.NO
        at, position = at + 1, position + 1
    return _Match.YES if position >= len(path) else _Match.NO


def _accepts(token: _Token, char: str) -> bool:
    if isinstance(token, _Set):
        return token.accepts(char)
    return char != "/" if token is _Wild.ANY else char == token


def _match_star(tokens: Sequence[_Token], at: int, path: str, position: int) -> _Match:
    """Match from a star on, trying for it one length after the other."""
    crosses = tokens[at] is _Wild.STARS
    if at == len(tokens) - 1:
        return _Match.YES if crosses or "/" not in path[position:] else _Match.NO
    is_before_slash = crosses and at + 2 < len(tokens) and tokens[at + 1] == "/"
    if is_before_slash and _match(tokens, at + 2, path, position) is _Match.YES:
        return _Match.YES  # `**/` may stand for nothing.
    last_taken = path[position : position + 1]
    for end in range(position, len(path)):
        found = _match(tokens, at + 1, path, end)
        if found is not _Match.NO and not (crosses and found is _Match.DIRECTORY_ENDED):
            return found
        if found is _Match.NO and not crosses and last_taken == "/":
            return _Match.DIRECTORY_ENDED
        last_taken = path[end]
    return _Match.PATH_TOO_SHORT
