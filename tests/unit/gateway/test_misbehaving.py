"""A storage does wrong what a rule says, as long as the rule is on, and nothing else."""

from __future__ import annotations

import http.client
from collections.abc import Callable

import pytest
from tests.unit.gateway.asking import ask, send
from tests.waiting import wait_until

from snapstorm.gateway.app import Served
from snapstorm.gateway.rules import CAN_HAVE, Misbehaviour, Operation, Rule, RuleBook, RuleEffect
from snapstorm.gateway.s3 import DeleteObject, GetObject, ListObjects

PUT, GET, DELETE, LIST = (
    frozenset({operation}) for operation in (Operation.PUT, Operation.GET, Operation.DELETE, Operation.LIST)
)


def has_no_answer(do: Callable[[], object]) -> bool:
    try:
        do()
    except (http.client.HTTPException, ConnectionError):
        return True
    return False


def test_an_error_is_answered_and_nothing_is_done(gateway: Served) -> None:
    with gateway.misbehaving(Rule(RuleEffect.ERROR, PUT, status=429)):
        assert ask(gateway, "PUT", "/a", b"one")[0] == 429
        assert ask(gateway, "GET", "/a")[0] == 404
    assert ask(gateway, "PUT", "/a", b"one")[0] == 200


@pytest.mark.parametrize(
    ("effect", "kept", "kept_at_the_end"),
    [
        (RuleEffect.DROP, None, None),
        (RuleEffect.LOST_ANSWER, b"hello", b"hello"),
        (RuleEffect.TORN, b"he", b"he"),
        (RuleEffect.LATE, None, b"hello"),
    ],
)
def test_a_connection_that_breaks(
    gateway: Served,
    effect: RuleEffect,
    kept: bytes | None,
    kept_at_the_end: bytes | None,
) -> None:
    with gateway.misbehaving(Rule(effect, PUT, seconds=0.2)):
        assert has_no_answer(lambda: ask(gateway, "PUT", "/a", b"hello"))
        if effect is not RuleEffect.LATE:
            assert read(gateway) == kept
    assert read(gateway) == kept_at_the_end
    assert gateway.ask(lambda storage: [write.acknowledged for write in storage.log.writes()]) in ([], [None])


@pytest.mark.parametrize(
    ("effect", "kept"), [(RuleEffect.NOT_STORED, None), (RuleEffect.HALF_STORED, b"he"), (RuleEffect.FLIPPED, b"hemlo")]
)
def test_lies(gateway: Served, effect: RuleEffect, kept: bytes | None) -> None:
    honest = ask(gateway, "PUT", "/honest", b"hello")
    with gateway.misbehaving(Rule(effect, PUT)):
        status, body, headers = ask(gateway, "PUT", "/a", b"hello")
    assert (status, body, headers["etag"]) == (honest[0], honest[1], honest[2]["etag"])
    assert read(gateway) == kept


def test_a_slow_or_doubled_request_is_done(gateway: Served) -> None:
    for effect in (RuleEffect.SLOW, RuleEffect.DOUBLED):
        with gateway.misbehaving(Rule(effect, PUT, seconds=0.05)):
            assert ask(gateway, "PUT", "/a", b"hello")[0] == 200
        assert read(gateway) == b"hello"
    assert gateway.ask(lambda storage: len(list(storage.log.writes()))) == 3


def test_a_slow_request_is_done_before_the_rule_is_gone(gateway: Served) -> None:
    """Also if its sender does not wait for the answer."""
    with gateway.misbehaving(Rule(RuleEffect.SLOW, PUT, seconds=0.3)):
        connection = send(gateway, "PUT", "/a", b"hello")
        wait_until(lambda: gateway.ask(lambda storage: any(storage.log.strikes())))
        connection.close()
    assert read(gateway) == b"hello"


def test_an_object_is_cut_while_it_is_read(gateway: Served) -> None:
    ask(gateway, "PUT", "/a", b"x" * 100_000)
    with gateway.misbehaving(Rule(RuleEffect.TORN, GET)), pytest.raises(http.client.IncompleteRead) as cut:
        ask(gateway, "GET", "/a")
    assert cut.value.partial == b"x" * 50_000


def test_what_was_a_while_ago_is_shown(gateway: Served) -> None:
    for key in "abcdefgh":
        ask(gateway, "PUT", f"/{key}", b"one")
    ask(gateway, "PUT", "/a", b"two")
    ask(gateway, "DELETE", "/b")
    with gateway.misbehaving(Rule(RuleEffect.STALE, LIST | GET, seconds=60)):
        assert ask(gateway, "GET", "/a")[0] == 404
        assert b"<KeyCount>0<" in ask(gateway, "GET", "?list-type=2")[1]
    with gateway.misbehaving(Rule(RuleEffect.PARTIAL_LIST, LIST, seconds=60)):
        shown = ask(gateway, "GET", "?list-type=2")[1].count(b"<Key>")
        assert 0 < shown < 7
    with gateway.misbehaving(Rule(RuleEffect.OLD_BYTES, GET)):
        assert ask(gateway, "GET", "/a")[1] == b"one"
        assert ask(gateway, "GET", "/c")[1] == b"one"
    assert ask(gateway, "GET", "/a")[1] == b"two"
    assert b"<KeyCount>7<" in ask(gateway, "GET", "?list-type=2")[1]


def test_a_rule_that_makes_no_difference_does_not_strike(gateway: Served) -> None:
    """What is shown is as it is: nobody was misled, and the rule is not used up."""
    for path, body in (("/a", b"one"), ("/b", b"one"), ("/a", b"two")):
        ask(gateway, "PUT", path, body)
    event = gateway.last_event
    with gateway.misbehaving(Rule(RuleEffect.OLD_BYTES, GET, requests_max=1)):
        assert ask(gateway, "GET", "/b")[1] == b"one"
        assert ask(gateway, "GET", "/a")[1] == b"one"
        assert ask(gateway, "GET", "/a")[1] == b"two"
    for effect in (RuleEffect.STALE, RuleEffect.PARTIAL_LIST):
        with gateway.misbehaving(Rule(effect, LIST, seconds=60, since_event=event)):
            assert b"<KeyCount>2<" in ask(gateway, "GET", "?list-type=2")[1]
    with gateway.misbehaving(Rule(RuleEffect.STALE, GET | LIST, seconds=60, requests_max=2, since_event=event)):
        assert ask(gateway, "GET", "/a")[1] == b"two"
        ask(gateway, "PUT", "/c", b"new")
        assert b"<KeyCount>0<" in ask(gateway, "GET", "?list-type=2&prefix=x")[1]
        assert b"<KeyCount>2<" in ask(gateway, "GET", "?list-type=2")[1]
        assert ask(gateway, "GET", "/c")[0] == 404
        assert ask(gateway, "GET", "/c")[1] == b"new"
    strikes = gateway.ask(lambda storage: list(storage.log.strikes()))
    assert [(strike.effect, strike.key) for strike in strikes] == [("old-bytes", "a"), ("stale", ""), ("stale", "c")]


def test_each_strike_is_recorded(gateway: Served) -> None:
    with gateway.misbehaving(Rule(RuleEffect.ERROR, DELETE | PUT, key_pattern="p", requests_max=2)):
        statuses = [ask(gateway, "PUT", path, b"")[0] for path in ("/a", "/p1", "/p2", "/p3")]
    assert statuses == [200, 503, 503, 200]
    strikes = gateway.ask(lambda storage: list(storage.log.strikes()))
    assert [(strike.effect, strike.actor, strike.key) for strike in strikes] == [
        ("error", "a client", "p1"),
        ("error", "a client", "p2"),
    ]


def test_a_rule_can_be_for_some_requests_only() -> None:
    book = RuleBook()
    number = book.add(Rule(RuleEffect.ERROR, GET, actors=frozenset({"one"}), every=3))
    get, others = (
        GetObject("a", None, has_body=True),
        (DeleteObject("a"), ListObjects("", "", "", 9, is_url_encoded=False)),
    )
    drawn = [book.draw(get, "one") is not None for _ in range(7)]
    assert drawn == [False, False, True, False, False, True, False]
    assert all(book.draw(other, "one") is None for other in others)
    assert all(book.draw(get, "two") is None for _ in range(3))
    assert book.struck == {number: 2}
    book.remove(number)
    assert all(book.draw(get, "one") is None for _ in range(3))


def test_what_was_asked_for_is_told_for_a_while() -> None:
    seconds = 100.0
    book = RuleBook(lambda: seconds)
    assert book.asked_lately(10.0) == {}
    book.draw(DeleteObject("a"), "one")
    seconds = 106.0
    for key in ("p1", "q1", "q2"):
        book.draw(GetObject(key, None, has_body=True), "one")
    assert book.asked_lately(10.0) == {Operation.DELETE: {"a"}, Operation.GET: {"p", "q"}}
    seconds = 111.0
    assert book.asked_lately(10.0) == {Operation.GET: {"p", "q"}}


def test_effects_fit_their_operations() -> None:
    assert {misbehaviour for misbehaviour, _ in CAN_HAVE.values()} == set(Misbehaviour)
    assert CAN_HAVE.keys() == set(RuleEffect)
    with pytest.raises(ValueError, match="does not fit"):
        Rule(RuleEffect.NOT_STORED, LIST)


def read(gateway: Served) -> bytes | None:
    status, body, _ = ask(gateway, "GET", "/a")
    return body if status == 200 else None
