"""The part of S3 that backup programs use: from an HTTP request to what is asked, and from what was found to an answer.

Pure. What is not understood is answered with 501 and its name, so that a program which needs more shows it at once.
Signatures are not checked: the gateway listens on loopback only, and lets in whoever names a random access key.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import formatdate
from typing import TypeAlias
from urllib.parse import parse_qsl, quote, unquote
from xml.sax.saxutils import escape

from snapstorm.gateway.bucket import Page, StoredObject

Headers: TypeAlias = Mapping[bytes, bytes]
"""By lower-case names, as ASGI gives them."""

_NS = "http://s3.amazonaws.com/doc/2006-03-01/"
_XML = b"application/xml"
_SECOND_NS = 1_000_000_000
_CREDENTIAL = re.compile(rb"Credential=([^/,\s]+)/")
_RANGE = re.compile(r"bytes=(\d*)-(\d*)")
_RETAIN_UNTIL = re.compile(rb"<RetainUntilDate>([^<]+)</RetainUntilDate>")
_LOCK_UNTIL_HEADER = b"x-amz-object-lock-retain-until-date"
_ENTRIES_MAX = 1000
_ANSWERED_EMPTY = {"versioning": "VersioningConfiguration", "location": "LocationConstraint"}
_IGNORED = frozenset({"x-id"})
"""Parameters of requests that change nothing in what is answered."""


@dataclass(frozen=True)
class S3Error(Exception):
    """A refusal, as S3 words it."""

    status: int
    code: str
    message: str


NO_SUCH_KEY = S3Error(404, "NoSuchKey", "The specified key does not exist.")
LOCKED = S3Error(403, "AccessDenied", "Access Denied because object protected by object lock.")


@dataclass(frozen=True)
class AskForSettings:
    """A question about the bucket itself, answered with an empty element of this name."""

    element: str


@dataclass(frozen=True)
class ListObjects:
    """List what begins with `prefix`."""

    prefix: str
    delimiter: str
    after: str
    entries_max: int
    is_url_encoded: bool
    """Whether keys are wanted as they stand in URLs, so that XML can hold all of them."""


@dataclass(frozen=True)
class PutObject:
    """Store an object. The bytes come in the request's body."""

    key: str
    locked_until_ns: int
    is_only_if_absent: bool
    is_chunked: bool
    """Whether the body is in chunks of `aws-chunked`."""


@dataclass(frozen=True)
class GetObject:
    """Read an object, or a part of it, or only what is known about it."""

    key: str
    span: str | None
    """The header `range`."""
    has_body: bool


@dataclass(frozen=True)
class DeleteObject:
    """Delete an object. One that is not there is deleted as well."""

    key: str


@dataclass(frozen=True)
class PutRetention:
    """Lock an object. Until when comes in the request's body."""

    key: str


Asked: TypeAlias = AskForSettings | ListObjects | PutObject | GetObject | DeleteObject | PutRetention


@dataclass(frozen=True)
class Answer:
    """An HTTP response."""

    status: int = 200
    headers: tuple[tuple[bytes, bytes], ...] = ()
    body: bytes = b""
    content_type: bytes = field(default=_XML, repr=False)


def actor_of(headers: Headers) -> str | None:
    """The access key that a request names; None if it names none."""
    found = _CREDENTIAL.search(headers.get(b"authorization", b""))
    return None if found is None else found[1].decode("ascii", "replace")


def read_request(method: str, raw_path: bytes, query_string: bytes, headers: Headers, bucket: str) -> Asked:
    """What a request asks of the bucket. Raises S3Error for what is not supported."""
    name, _, key = unquote(raw_path.decode("ascii", "replace"), errors="surrogateescape")[1:].partition("/")
    query = dict(parse_qsl(query_string.decode("ascii", "replace"), keep_blank_values=True))
    if name != bucket:
        raise S3Error(404, "NoSuchBucket", f"The specified bucket does not exist: {name}")
    asked = _of_object(method, key, query, headers) if key else _of_bucket(method, query)
    if asked is None:
        wanted = "&".join(query) or "nothing more"
        raise S3Error(501, "NotImplemented", f"{method} with {wanted} on {'an object' if key else 'a bucket'}")
    return asked


def _of_bucket(method: str, query: dict[str, str]) -> Asked | None:
    if method == "HEAD":
        return AskForSettings("")
    if method != "GET":
        return None
    for name, element in _ANSWERED_EMPTY.items():
        if name in query:
            return AskForSettings(element)
    if query.get("list-type") != "2":
        return None
    token = query.get("continuation-token")
    after = query.get("start-after", "") if token is None else unquote(token, errors="surrogateescape")
    entries_max = min(_whole_number(query.get("max-keys", str(_ENTRIES_MAX))), _ENTRIES_MAX)
    is_url_encoded = query.get("encoding-type") == "url"
    return ListObjects(query.get("prefix", ""), query.get("delimiter", ""), after, entries_max, is_url_encoded)


def _of_object(method: str, key: str, query: dict[str, str], headers: Headers) -> Asked | None:
    match method, sorted(query.keys() - _IGNORED):
        case "PUT", []:
            if b"x-amz-copy-source" in headers:
                return None
            lock = headers.get(_LOCK_UNTIL_HEADER)
            return PutObject(
                key,
                locked_until_ns=0 if lock is None else _time_ns(lock),
                is_only_if_absent=headers.get(b"if-none-match") == b"*",
                is_chunked=headers.get(b"x-amz-content-sha256", b"").startswith(b"STREAMING-"),
            )
        case "GET" | "HEAD", []:
            return GetObject(key, headers.get(b"range", b"").decode("ascii", "replace") or None, method == "GET")
        case "DELETE", []:
            return DeleteObject(key)
        case "PUT", ["retention"]:
            return PutRetention(key)
    return None


def without_chunks(body: bytes) -> bytes:
    """The bytes of a body in `aws-chunked` encoding. Signatures of chunks and trailers are left out.

    Raises S3Error if the body ends too soon.
    """
    parts: list[bytes] = []
    position = 0
    while True:
        end = body.find(b"\r\n", position)
        size_text = body[position:end].partition(b";")[0].strip()
        try:
            size_bytes = int(size_text, 16)
        except ValueError:
            size_bytes = -1
        if end < 0 or size_bytes < 0 or end + 2 + size_bytes > len(body):
            raise S3Error(400, "IncompleteBody", "The body is not in chunks as its headers say.")
        if size_bytes == 0:
            return b"".join(parts)
        parts.append(body[end + 2 : end + 2 + size_bytes])
        position = end + 4 + size_bytes


def retention_ns(body: bytes) -> int:
    """Until when the body of `PUT ?retention` locks an object. Raises S3Error."""
    found = _RETAIN_UNTIL.search(body)
    if found is None:
        raise S3Error(400, "MalformedXML", "There is no RetainUntilDate.")
    return _time_ns(found[1])


def span_of(asked: GetObject, size_bytes: int) -> tuple[int, int]:
    """The first byte asked for, and how many. Raises S3Error if there is nothing there."""
    if asked.span is None:
        return 0, size_bytes
    found = _RANGE.fullmatch(asked.span)
    if found is None or found[1] == found[2] == "":
        return 0, size_bytes
    if found[1] == "":
        count = min(int(found[2]), size_bytes)
        return size_bytes - count, count
    first = int(found[1])
    if first >= size_bytes:
        raise S3Error(416, "InvalidRange", "The requested range is not satisfiable")
    last = int(found[2]) if found[2] else size_bytes - 1
    return first, min(last, size_bytes - 1) - first + 1


def object_answer(found: StoredObject, span: tuple[int, int], body: bytes) -> Answer:
    """An object, or the part of it that was asked for."""
    first, count = span
    size_bytes = found.content.size_bytes
    headers = [
        (b"last-modified", formatdate(found.at_ns // _SECOND_NS, usegmt=True).encode()),
        (b"etag", _etag(found.content.digest).encode()),
        (b"accept-ranges", b"bytes"),
        (b"content-length", b"%d" % count),
    ]
    if found.locked_until_ns:
        headers.append((_LOCK_UNTIL_HEADER, _timestamp(found.locked_until_ns).encode()))
    is_part = count != size_bytes
    if is_part:
        headers.append((b"content-range", b"bytes %d-%d/%d" % (first, first + count - 1, size_bytes)))
    return Answer(206 if is_part else 200, tuple(headers), body, content_type=b"application/octet-stream")


def put_answer(digest: bytes) -> Answer:
    """What is said of an object that was stored."""
    return Answer(headers=((b"etag", _etag(digest).encode()),))


def listing_answer(asked: ListObjects, page: Page, bucket: str) -> Answer:
    """A page of a listing."""
    text = _in_url if asked.is_url_encoded else _in_xml
    parts = [
        f"<Name>{bucket}</Name><Prefix>{text(asked.prefix)}</Prefix><KeyCount>{len(page.objects) + len(page.folders)}"
        f"</KeyCount><MaxKeys>{asked.entries_max}</MaxKeys><Delimiter>{text(asked.delimiter)}</Delimiter>"
        f"<IsTruncated>{'false' if page.next_after is None else 'true'}</IsTruncated>"
    ]
    if asked.is_url_encoded:
        parts.append("<EncodingType>url</EncodingType>")
    if page.next_after is not None:
        parts.append(f"<NextContinuationToken>{_in_url(page.next_after)}</NextContinuationToken>")
    parts += [
        f"<Contents><Key>{text(key)}</Key><LastModified>{_timestamp(found.at_ns)}</LastModified><ETag>"
        f"{_etag(found.content.digest)}</ETag><Size>{found.content.size_bytes}</Size><StorageClass>STANDARD</StorageClass>"
        "</Contents>"
        for key, found in page.objects.items()
    ]
    parts += [f"<CommonPrefixes><Prefix>{text(folder)}</Prefix></CommonPrefixes>" for folder in page.folders]
    return Answer(body=_document("ListBucketResult", "".join(parts)))


def settings_answer(asked: AskForSettings) -> Answer:
    """An empty setting of the bucket: what S3 says of a plain one in its first region."""
    return Answer(body=_document(asked.element, "")) if asked.element else Answer()


def error_answer(error: S3Error) -> Answer:
    """A refusal."""
    inner = f"<Code>{error.code}</Code><Message>{escape(error.message)}</Message>"
    return Answer(error.status, body=f"<?xml version='1.0' encoding='UTF-8'?><Error>{inner}</Error>".encode())


def _document(element: str, inner: str) -> bytes:
    return f"<?xml version='1.0' encoding='UTF-8'?><{element} xmlns='{_NS}'>{inner}</{element}>".encode()


def _in_xml(text: str) -> str:
    return escape(text.encode("utf-8", "replace").decode())


def _in_url(text: str) -> str:
    return quote(text.encode("utf-8", "surrogateescape"))


def _etag(digest: bytes) -> str:
    return f'"{digest.hex()}"'


def _timestamp(at_ns: int) -> str:
    seconds, rest_ns = divmod(at_ns, _SECOND_NS)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{rest_ns // 1_000_000:03}Z"


def _time_ns(text: bytes) -> int:
    try:
        return round(datetime.fromisoformat(text.decode("ascii").strip()).timestamp()) * _SECOND_NS
    except ValueError:
        raise S3Error(400, "InvalidArgument", "The retain until date is not a time.") from None


def _whole_number(text: str) -> int:
    if not text.isdecimal():
        raise S3Error(400, "InvalidArgument", "Provided max-keys not an integer or within integer range")
    return int(text)
