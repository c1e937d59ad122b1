"""What makes a client elsewhere travels whole, and is shown to nobody."""

from __future__ import annotations

import msgspec
import pytest

from snapstorm.errors import HarnessError
from snapstorm.model.client_access import ClientAccess, HidesFields, decode_details, encode_details


class Details(HidesFields, frozen=True):
    password: str
    seed: int = 7


class OtherDetails(HidesFields, frozen=True):
    url: str


class Envelope(msgspec.Struct):
    access: ClientAccess


ACCESS = ClientAccess("tar", "client-1@storm", "10.0.0.1:99", encode_details(Details("s3cret-password")))


def test_it_comes_back_as_it_went() -> None:
    """By MessagePack and by JSON, alone and in another value."""
    for encode, decode in (
        (msgspec.msgpack.encode, msgspec.msgpack.decode),
        (msgspec.json.encode, msgspec.json.decode),
    ):
        assert decode(encode(ACCESS), type=ClientAccess) == ACCESS
        assert decode(encode(Envelope(ACCESS)), type=Envelope).access == ACCESS
    assert decode_details(ACCESS, "tar", Details) == Details("s3cret-password")


def test_nothing_that_is_printed_shows_a_secret() -> None:
    """Neither the value, nor what holds it, nor the fields in it, nor what is wrong with them."""
    details = decode_details(ACCESS, "tar", Details)
    with pytest.raises(HarnessError, match="client-1@storm can't be read") as unreadable:
        decode_details(ACCESS, "tar", OtherDetails)
    shown = [repr(ACCESS), str(ACCESS), repr(Envelope(ACCESS)), repr(details), f"{details}", repr([details])]
    shown += [str(unreadable.value), repr(unreadable.value.__cause__)]
    assert [text for text in shown if "s3cret" in text] == []
    assert list(details.__rich_repr__()) == list(ACCESS.__rich_repr__()) == []
    assert repr(ACCESS) == "ClientAccess(target='tar', client='client-1@storm', server='10.0.0.1:99')"


def test_one_of_another_target_is_refused() -> None:
    """In words that name both."""
    with pytest.raises(HarnessError, match="is one of the target tar, not of kopia"):
        decode_details(ACCESS, "kopia", Details)
