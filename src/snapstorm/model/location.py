"""Where a repository is stored: a directory, a prefix in a bucket of S3, or a bucket of snapstorm's own."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias
from urllib.parse import parse_qsl, urlencode, urlsplit

_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
_ENDPOINT_DEFAULT = "https://s3.amazonaws.com"
GATEWAY = "gateway"
_S3_EXAMPLE = "s3://BUCKET/PREFIX?endpoint=https://HOST:PORT"


@dataclass(frozen=True)
class FileStorage:
    """A directory."""

    path: Path

    def __str__(self) -> str:
        return str(self.path)


@dataclass(frozen=True)
class S3Storage:
    """A prefix in a bucket. Never holds credentials: they come from the environment or the usual files."""

    bucket: str
    prefix: str = ""
    """Empty, or ends with a slash."""
    endpoint: str = _ENDPOINT_DEFAULT
    """`https://HOST[:PORT]`, or `http://` where nothing is encrypted on the way."""
    region: str | None = None

    @property
    def host(self) -> str:
        """The endpoint's host, with its port if one was given."""
        return urlsplit(self.endpoint).netloc

    @property
    def is_encrypted(self) -> bool:
        """Whether the way to it is."""
        return self.endpoint.startswith("https://")

    def __str__(self) -> str:
        given = {"endpoint": self.endpoint if self.endpoint != _ENDPOINT_DEFAULT else None, "region": self.region}
        query = urlencode({name: value for name, value in given.items() if value}, safe=":/")
        return f"s3://{self.bucket}/{self.prefix}" + (f"?{query}" if query else "")


Storage: TypeAlias = FileStorage | S3Storage
"""Where a target finds its repository."""


@dataclass(frozen=True)
class GatewayStorage:
    """A bucket of S3 that snapstorm keeps in the testbed, and serves while a run goes on."""

    def __str__(self) -> str:
        return GATEWAY


NamedStorage: TypeAlias = Storage | GatewayStorage
"""What people name."""


def read_storage(text: str) -> NamedStorage:
    """A directory's path, `s3://BUCKET/PREFIX?endpoint=https://HOST:PORT&region=REGION`, or `gateway`.

    Raises ValueError with what is allowed; credentials in it are refused.
    """
    if not text.strip():
        raise ValueError(f"names nothing; write a directory, or {_S3_EXAMPLE}")
    if text == GATEWAY:
        return GatewayStorage()
    if not text.startswith("s3:"):
        if "://" in text:
            raise ValueError(f"{text!r} is neither a directory nor {_S3_EXAMPLE}")
        return FileStorage(Path(text))
    parts = urlsplit(text)
    if "@" in parts.netloc:
        raise ValueError("credentials are never part of it: they come from the environment or the usual AWS files")
    if not text.startswith("s3://") or _BUCKET.fullmatch(parts.netloc) is None:
        raise ValueError(f"{text!r} names no bucket; write {_S3_EXAMPLE}")
    options = dict(parse_qsl(parts.query, keep_blank_values=True))
    unknown = sorted(options.keys() - {"endpoint", "region"})
    if unknown:
        raise ValueError(f"{unknown[0]!r} is no option of S3 storage; known are: endpoint, region")
    prefix = parts.path.strip("/")
    return S3Storage(
        parts.netloc,
        f"{prefix}/" if prefix else "",
        _endpoint(options.get("endpoint", _ENDPOINT_DEFAULT)),
        options.get("region") or None,
    )


def _endpoint(text: str) -> str:
    parts = urlsplit(text if "://" in text else f"https://{text}")
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.path not in ("", "/") or parts.username:
        raise ValueError(f"endpoint must be https://HOST:PORT, or http:// without encryption, not {text!r}")
    return f"{parts.scheme}://{parts.netloc}"
