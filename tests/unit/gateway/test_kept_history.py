"""The history that the gateway has kept, as it is read."""

from __future__ import annotations

import http.client
from pathlib import Path

import pytest
from tests.unit.gateway.asking import CLOCKS, KEY, ask

from snapstorm.gateway.app import serving
from snapstorm.gateway.kept_history import opened_history
from snapstorm.gateway.rules import Operation, Rule, RuleEffect


def test_no_half_object_is_in_the_past(tmp_path: Path) -> None:
    """No storage that keeps to S3 shows a crash one. What is stored in its place later is there from then on."""
    with serving(tmp_path, CLOCKS) as gateway:
        gateway.admit("a client", KEY)
        ask(gateway, "PUT", "/a", b"old")
        with gateway.misbehaving(Rule(RuleEffect.TORN, frozenset({Operation.PUT}))):
            for key in "ab":
                with pytest.raises((http.client.HTTPException, ConnectionError)):
                    ask(gateway, "PUT", f"/{key}", b"hello")
        assert gateway.ask(lambda storage: storage.put_right("who heals")) == 2
    with opened_history(tmp_path) as history:
        sizes = [
            {key: found.content.size_bytes for key, found in history.past.bucket_after(count).objects.items()}
            for count in range(1, len(history.past) + 1)
        ]
    assert sizes == [{"a": 3}, {"a": 5}, {"a": 5, "b": 5}]


def test_it_is_known_since_when_the_storage_has_misled_and_lied(tmp_path: Path) -> None:
    """A refusal does neither."""
    with serving(tmp_path, CLOCKS) as gateway:
        gateway.admit("a client", KEY)
        rules = [
            Rule(RuleEffect.ERROR, frozenset({Operation.LIST})),
            Rule(RuleEffect.STALE, frozenset({Operation.LIST})),
            Rule(RuleEffect.NOT_STORED, frozenset({Operation.PUT})),
        ]
        events: list[int] = []
        for rule in rules:
            events.append(gateway.last_event)
            with gateway.misbehaving(rule):
                ask(gateway, "PUT", "/a", b"a")
                ask(gateway, "GET", "/?list-type=2")
    with opened_history(tmp_path) as history:
        assert history.misled_from is not None
        assert history.lied_from is not None
        assert events[1] < history.misled_from <= events[2] < history.lied_from
