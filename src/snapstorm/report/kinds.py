"""Kinds of violations: violations that differ only in clients and snapshots are shown once, and counted."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Protocol, TypeVar

_WITH_A_DIGIT = re.compile(r"\S*\d\S*")


class Told(Protocol):
    """A violation from any source."""

    @property
    def guarantee(self) -> str: ...
    @property
    def detail(self) -> str: ...
    @property
    def client(self) -> str | None: ...
    @property
    def snapshot(self) -> str | None: ...
    @property
    def path(self) -> str | None: ...


SomeTold = TypeVar("SomeTold", bound=Told)


def kind_of(violation: Told) -> tuple[str, str]:
    """Its guarantee and its text, without what identifies this one: client, snapshot, path, ids and numbers."""
    words = violation.detail
    for name in (violation.client, violation.snapshot, violation.path):
        if name:
            words = words.replace(name, "#")
    return violation.guarantee, _WITH_A_DIGIT.sub("#", words)


def by_kind(violations: Iterable[SomeTold]) -> list[list[SomeTold]]:
    """The violations grouped by kind, the kinds in the order of their first violations."""
    kinds: dict[tuple[str, str], list[SomeTold]] = {}
    for violation in violations:
        kinds.setdefault(kind_of(violation), []).append(violation)
    return list(kinds.values())
