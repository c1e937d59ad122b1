"""A bucket lists its objects in order and in pages, as S3 does."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from snapstorm.gateway.bucket import Bucket, StoredObject
from snapstorm.gateway.contents import Content
from snapstorm.gateway.write_log import Write

KEYS = st.text(alphabet="ab/é", min_size=1, max_size=5)


def found(number: int) -> StoredObject:
    return StoredObject(Content(b"%016d" % number, 0, number), number)


def write(key: str, number: int, *, is_there: bool) -> Write:
    return Write(0, number, None, number, "someone", key, found(number).content if is_there else None, 0)


def listed(bucket: Bucket, prefix: str, delimiter: str, entries_max: int) -> tuple[list[str], list[str]]:
    keys: list[str] = []
    folders: list[str] = []
    after: str | None = ""
    while after is not None:
        page = bucket.page(prefix, delimiter=delimiter, after=after, entries_max=entries_max)
        assert len(page.objects) + len(page.folders) <= entries_max
        keys += page.objects
        folders += page.folders
        after = page.next_after
    return keys, folders


@given(st.lists(st.tuples(KEYS, st.booleans())), KEYS | st.just(""), st.sampled_from(["", "/"]), st.integers(1, 3))
def test_pages_hold_what_is_there(
    changes: list[tuple[str, bool]], prefix: str, delimiter: str, entries_max: int
) -> None:
    bucket, there = Bucket(), set[str]()
    for number, (key, is_there) in enumerate(changes):
        bucket.put(key, found(number) if is_there else None)
        (there.add if is_there else there.discard)(key)
    matching = sorted(key for key in there if key.startswith(prefix))
    below = [key for key in matching if delimiter and "/" in key[len(prefix) :]]
    folders = [key[: key.index("/", len(prefix)) + 1] for key in below]
    keys = [key for key in matching if key not in below]
    assert listed(bucket, prefix, delimiter, entries_max) == (keys, sorted(set(folders)))


@given(st.lists(st.tuples(KEYS, st.booleans())))
def test_a_bucket_of_a_history_is_the_one_that_made_it(changes: list[tuple[str, bool]]) -> None:
    writes = [write(key, number, is_there=is_there) for number, (key, is_there) in enumerate(changes)]
    lived = Bucket()
    for number, (key, is_there) in enumerate(changes):
        lived.put(key, found(number) if is_there else None)
    read = Bucket(writes)
    assert read.page("") == lived.page("")
    assert len(read) == len(lived)
    assert read.bytes_total == lived.bytes_total
