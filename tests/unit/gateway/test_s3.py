"""Requests of S3 clients are understood as they are meant, and what is not supported is refused by name."""

from __future__ import annotations

import pytest

from snapstorm.gateway.bucket import Page, StoredObject
from snapstorm.gateway.contents import Content
from snapstorm.gateway.s3 import (
    Asked,
    AskForSettings,
    DeleteObject,
    GetObject,
    ListObjects,
    PutObject,
    PutRetention,
    S3Error,
    actor_of,
    listing_answer,
    read_request,
    retention_ns,
    span_of,
    without_chunks,
)

LOCK = {b"x-amz-object-lock-retain-until-date": b"1970-01-02T00:00:00Z"}
CHUNKED = {b"x-amz-content-sha256": b"STREAMING-AWS4-HMAC-SHA256-PAYLOAD"}


@pytest.mark.parametrize(
    ("method", "path", "query", "headers", "asked"),
    [
        ("GET", "/b/", "location", {}, AskForSettings("LocationConstraint")),
        ("HEAD", "/b", "", {}, AskForSettings("")),
        ("GET", "/b/", "list-type=2&prefix=p%2F&max-keys=7", {}, ListObjects("p/", "", "", 7, is_url_encoded=False)),
        (
            *("GET", "/b", "list-type=2&delimiter=%2F&continuation-token=a%2520b&encoding-type=url", {}),
            ListObjects("", "/", "a b", 1000, is_url_encoded=True),
        ),
        ("PUT", "/b/p/a%20b", "", {}, PutObject("p/a b", 0, is_only_if_absent=False, is_chunked=False)),
        (
            *("PUT", "/b/k", "x-id=PutObject", {**LOCK, **CHUNKED, b"if-none-match": b"*"}),
            PutObject("k", 86_400 * 10**9, is_only_if_absent=True, is_chunked=True),
        ),
        ("GET", "/b/k", "", {b"range": b"bytes=1-2"}, GetObject("k", "bytes=1-2", has_body=True)),
        ("HEAD", "/b/k", "", {}, GetObject("k", None, has_body=False)),
        ("DELETE", "/b/k", "", {}, DeleteObject("k")),
        ("PUT", "/b/k", "retention", {}, PutRetention("k")),
    ],
)
def test_requests(method: str, path: str, query: str, headers: dict[bytes, bytes], asked: Asked) -> None:
    assert read_request(method, path.encode(), query.encode(), headers, "b") == asked


@pytest.mark.parametrize(
    ("method", "path", "query", "headers", "status"),
    [
        ("GET", "/other/k", "", {}, 404),
        ("POST", "/b/k", "uploads", {}, 501),
        ("POST", "/b/", "delete", {}, 501),
        ("GET", "/b/", "", {}, 501),
        ("PUT", "/b/k", "acl", {}, 501),
        ("PUT", "/b/k", "", {b"x-amz-copy-source": b"/b/other"}, 501),
        ("GET", "/b/", "list-type=2&max-keys=many", {}, 400),
        ("PUT", "/b/k", "", {b"x-amz-object-lock-retain-until-date": b"tomorrow"}, 400),
    ],
)
def test_what_is_not_supported_is_refused(
    method: str, path: str, query: str, headers: dict[bytes, bytes], status: int
) -> None:
    with pytest.raises(S3Error) as refused:
        read_request(method, path.encode(), query.encode(), headers, "b")
    assert refused.value.status == status


def test_who_asks_is_the_access_key() -> None:
    signed = b"AWS4-HMAC-SHA256 Credential=abc123/20260101/us-east-1/s3/aws4_request, SignedHeaders=host, Signature=f"
    assert actor_of({b"authorization": signed}) == "abc123"
    assert actor_of({}) is None


@pytest.mark.parametrize(
    ("body", "bytes_in_it"),
    [
        (b"3;chunk-signature=aa\r\nabc\r\n2;chunk-signature=bb\r\nde\r\n0;chunk-signature=cc\r\n\r\n", b"abcde"),
        (b"3\r\nabc\r\n0\r\nx-amz-checksum-crc32c:AAAA\r\n\r\n", b"abc"),
        (b"0\r\n\r\n", b""),
    ],
)
def test_chunks_are_put_together(body: bytes, bytes_in_it: bytes) -> None:
    assert without_chunks(body) == bytes_in_it


@pytest.mark.parametrize("body", [b"", b"3\r\nab", b"zz\r\nabc\r\n0\r\n\r\n", b"3\r\nabc\r\n", b"-1\r\nabc\r\n"])
def test_chunks_that_end_too_soon_are_refused(body: bytes) -> None:
    with pytest.raises(S3Error):
        without_chunks(body)


@pytest.mark.parametrize(
    ("asked", "span"),
    [
        (None, (0, 10)),
        ("bytes=0-0", (0, 1)),
        ("bytes=3-", (3, 7)),
        ("bytes=3-99", (3, 7)),
        ("bytes=-4", (6, 4)),
        ("bytes=-99", (0, 10)),
        ("bytes=-", (0, 10)),
        ("lines=1-2", (0, 10)),
    ],
)
def test_parts_of_an_object(asked: str | None, span: tuple[int, int]) -> None:
    assert span_of(GetObject("k", asked, has_body=True), 10) == span


def test_a_part_behind_the_end_is_refused() -> None:
    with pytest.raises(S3Error):
        span_of(GetObject("k", "bytes=10-", has_body=True), 10)


def test_a_lock_needs_a_time() -> None:
    with pytest.raises(S3Error):
        retention_ns(b"<Retention><Mode>COMPLIANCE</Mode></Retention>")


def test_names_that_xml_has_a_meaning_for_are_escaped() -> None:
    page = Page({"a<&b": StoredObject(Content(b"d", 0, 3), 1_000_000)}, ("f\x01/",), next_after="a<&b")
    plain = listing_answer(ListObjects("", "/", "", 2, is_url_encoded=False), page, "b").body
    assert b"<Key>a&lt;&amp;b</Key><LastModified>1970-01-01T00:00:00.001Z<" in plain
    in_urls = listing_answer(ListObjects("", "/", "", 2, is_url_encoded=True), page, "b").body
    assert b"<Key>a%3C%26b</Key>" in in_urls
    assert b"<Prefix>f%01/</Prefix>" in in_urls
    assert b"<NextContinuationToken>a%3C%26b<" in in_urls
