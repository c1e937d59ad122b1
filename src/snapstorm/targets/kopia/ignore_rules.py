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
    if len(line.encode("utf-8", "surrogateescape")) > 2 and line.encode("utf-8", "surrogateescape")[-2:-1] != b"\\":
        line = line.strip("".join(_SPACES))
    reader = _Reader(line)
    while reader.peek() in _SPACES:
        reader.read()
    is_negated = reader.peek() == "!"
    if is_negated:
        reader.read()
    tokens = _beginning(line, reader, base)
    is_for_directories = line.endswith("/")
    if is_for_directories:
        reader.cut_last()
    tokens += _Parser(line, reader).tokens()
    return IgnoreRule(tuple(tokens), is_negated, is_for_directories, _literal(tokens), _literal(tokens[::-1])[::-1])


def _beginning(line: str, reader: _Reader, base: str) -> list[_Token]:
    """What ties a rule to its directory, or lets it match in all below."""
    is_rooted = reader.peek() == "/"
    tokens: list[_Token] = list(base) if line else []
    if tokens and not is_rooted:
        tokens.append("/")
    if is_rooted or line in ("", "**"):
        return tokens
    slash = reader.index("/")
    if slash in (-1, reader.left - 1):
        return [*tokens, _Wild.STARS, "/"]
    return tokens if base else ["/"]


def _literal(tokens: Sequence[_Token]) -> str:
    """The characters before the first token that stands for more than itself."""
    found = ""
    for token in tokens:
        if not isinstance(token, str):
            break
        found += token
    return found


class _Reader:
    """Reads a rule's characters. An empty string stands for what is beyond either end."""

    def __init__(self, text: str) -> None:
        self._text = text
        self.position = 0

    @property
    def left(self) -> int:
        return len(self._text) - self.position

    def peek(self, ahead: int = 0) -> str:
        position = self.position + ahead
        return self._text[position] if 0 <= position < len(self._text) else ""

    def read(self) -> str:
        char = self.peek()
        self.position += bool(char)
        return char

    def index(self, char: str) -> int:
        """How far ahead the next such character is; -1 without one."""
        found = self._text.find(char, self.position)
        return found if found < 0 else found - self.position

    def take(self, count: int) -> str:
        taken = self._text[self.position : self.position + count]
        self.position += count
        return taken

    def cut_last(self) -> None:
        self._text = self._text[:-1]


class _Parser:
    def __init__(self, line: str, reader: _Reader) -> None:
        self._line = line
        self._reader = reader

    def tokens(self) -> list[_Token]:
        found: list[_Token] = []
        while char := self._reader.read():
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
        char = self._reader.read()
        if not char:
            raise ValueError(f"the rule {self._line!r} ends after a backslash")
        return char

    def _stars(self) -> _Wild:
        reader = self._reader
        if reader.peek() != "*":
            return _Wild.STAR
        before = reader.peek(-2)
        while reader.peek() == "*":
            reader.read()
        is_alone = before == "/" and reader.peek() in ("/", "")
        return _Wild.STARS if not before or is_alone else _Wild.STAR

    def _set(self) -> _Set:
        reader = self._reader
        tests: list[Callable[[str], bool]] = []
        char = reader.read()
        is_negated = char == "!"
        if is_negated:
            char = reader.read()
        while char and char != "]":
            if char == "\\":
                char = self._escaped()
            if reader.peek() == "-" and reader.peek(1) not in ("]", ""):
                reader.read()
                tests.append(_range(char, self._end_of_range()))
            elif char == "[" and reader.peek() == ":":
                tests.append(self._class())
            else:
                tests.append(_equals(char))
            char = reader.read()
        if not char:
            raise ValueError(f"the rule {self._line!r} has a `[` without its `]`")
        return _Set(tuple(tests), is_negated)

    def _end_of_range(self) -> str:
        char = self._reader.read()
        return self._escaped() if char == "\\" else char

    def _class(self) -> Callable[[str], bool]:
        """A named class. Kopia takes it for one only if it is nearer to the beginning of the rule than it is long."""
        reader = self._reader
        end = reader.index("]")
        if end < 0:
            raise ValueError(f"the rule {self._line!r} has a `[` without its `]`")
        if end - 1 <= reader.position or reader.peek(end - 1) != ":":
            return _equals("[")
        name = reader.take(end + 1)[1 : end - 1].lower()
        if name not in _CLASSES:
            raise ValueError(f"the rule {self._line!r} names the class {name!r}, which Kopia does not know")
        return _CLASSES[name]


def _equals(wanted: str) -> Callable[[str], bool]:
    return lambda char: char == wanted


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
