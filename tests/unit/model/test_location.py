"""Where a repository is stored, as people write it."""

from __future__ import annotations

from pathlib import Path

import pytest

from snapstorm.model.location import FileStorage, S3Storage, read_storage


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("/data/repository", FileStorage(Path("/data/repository"))),
        ("s3://bucket", S3Storage("bucket")),
        ("s3://bucket/a/b/", S3Storage("bucket", "a/b/")),
        ("s3://bucket/a?endpoint=http://127.0.0.1:7070", S3Storage("bucket", "a/", "http://127.0.0.1:7070")),
        ("s3://bucket/a?endpoint=host:9000&region=eu-1", S3Storage("bucket", "a/", "https://host:9000", "eu-1")),
    ],
)
def test_reading(text: str, expected: FileStorage | S3Storage) -> None:
    """And what is read can be written and read again."""
    assert read_storage(text) == expected
    assert read_storage(str(expected)) == expected


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "names nothing"),
        ("ftp://host/a", "neither a directory"),
        ("s3:bucket", "names no bucket"),
        ("s3:///a", "names no bucket"),
        ("s3://B/a", "names no bucket"),
        ("s3://key:secret@bucket/a", "credentials are never part of it"),
        ("s3://bucket/a?endpont=x", "'endpont' is no option"),
        ("s3://bucket/a?endpoint=ftp://x", "endpoint must be"),
        ("s3://bucket/a?endpoint=https://x/y", "endpoint must be"),
        ("s3://bucket/a?endpoint=https://user:secret@x", "endpoint must be"),
    ],
)
def test_what_can_not_be(text: str, complaint: str) -> None:
    """One line that says what to write."""
    with pytest.raises(ValueError, match=complaint):
        read_storage(text)


def test_the_way_to_s3() -> None:
    """Kopia takes the host apart from whether the way to it is encrypted."""
    plain, encrypted = S3Storage("b", endpoint="http://h:1"), S3Storage("b", endpoint="https://h")
    assert (plain.host, plain.is_encrypted) == ("h:1", False)
    assert (encrypted.host, encrypted.is_encrypted) == ("h", True)
