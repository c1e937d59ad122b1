"""Claims about the scanner and about removal: what is on disk, all of it, and nothing outside."""

from __future__ import annotations

import os
import socket
import stat
from collections.abc import Iterator
from pathlib import Path

import blake3
import pytest

from snapstorm.errors import HarnessError
from snapstorm.filesystem.descriptors import OPEN_DIRECTORIES_MAX, open_below, opened_below, walk_tree
from snapstorm.filesystem.removal import remove_tree
from snapstorm.filesystem.scanner import scan_if_there, scan_tree, scan_tree_and_looks
from snapstorm.model.content import run_bytes, runs, whole_file
from snapstorm.model.manifest import EntryType, Manifest, Segment
from snapstorm.runtime.threads import run_file_work

MTIME_NS = 1_234_567_890_123_456_789


def scanned(root: Path) -> dict[bytes, EntryType]:
    return {entry.path: entry.type for entry in scan_tree(root)}


@pytest.fixture
def deep(tmp_path: Path) -> Iterator[Path]:
    """A tree whose lowest file has an absolute path of over 8,000 bytes, deeper than directories are kept open."""
    root = tmp_path / "deep"
    root.mkdir()
    fd = open_below(None, os.fsencode(root))
    for level in range(2 * OPEN_DIRECTORIES_MAX):
        name = b"%064d" % level
        os.mkdir(name, dir_fd=fd)
        below_fd = open_below(fd, name)
        os.close(fd)
        fd = below_fd
        os.close(os.open(b"file", os.O_CREAT | os.O_WRONLY, dir_fd=fd))
    os.close(fd)
    yield root
    remove_tree(root)


def test_all_properties_of_a_file_are_told(tmp_path: Path) -> None:
    """Type, mode with setuid, owner, time in ns, size and digest of a file are in its entry."""
    file = tmp_path / "f"
    file.write_bytes(b"content")
    file.chmod(0o4640)
    os.utime(file, ns=(0, MTIME_NS))
    entry = scan_tree(tmp_path).by_path[b"f"]
    assert (entry.type, entry.mode, entry.mtime_ns, entry.size) == (EntryType.FILE, 0o4640, MTIME_NS, 7)
    assert (entry.uid, entry.gid) == (file.stat().st_uid, file.stat().st_gid)
    assert entry.digest == blake3.blake3(b"content").digest()


@pytest.mark.parametrize("size_bytes", [0, 1, 4096, (1 << 20) - 1, 1 << 20, (1 << 20) + 1, (2 << 20) + 4096])
def test_digests_are_right_at_every_size(tmp_path: Path, size_bytes: int) -> None:
    """The digest is that of the whole content, however it falls into the buffer."""
    content = bytes(range(256)) * (size_bytes // 256 + 1)
    (tmp_path / "f").write_bytes(content[:size_bytes])
    entry = scan_tree(tmp_path).by_path[b"f"]
    assert (entry.size, entry.digest) == (size_bytes, blake3.blake3(content[:size_bytes]).digest())


def test_every_type_has_its_entry(tmp_path: Path) -> None:
    """The root, empty directories, links, FIFOs and sockets are told; none is opened by mistake."""
    (tmp_path / "d").mkdir()
    (tmp_path / "l").symlink_to("nowhere")
    os.mkfifo(tmp_path / "p")
    with socket.socket(socket.AF_UNIX) as listener:
        # A path relative to a descriptor's directory: addresses of sockets are short.
        fd = open_below(None, os.fsencode(tmp_path))
        listener.bind(f"/proc/self/fd/{fd}/s")
        os.close(fd)
    assert scanned(tmp_path) == {
        b"": EntryType.DIRECTORY,
        b"d": EntryType.DIRECTORY,
        b"l": EntryType.SYMLINK,
        b"p": EntryType.FIFO,
        b"s": EntryType.SOCKET,
    }
    assert scan_tree(tmp_path).by_path[b"l"].target == b"nowhere"


def test_names_are_bytes(tmp_path: Path) -> None:
    """Names come back as the file system has them, not UTF-8, newline and 255 bytes included."""
    names = {b"\xff\xfe", b"caf\xe9", b"new\nline", b" ", b"x" * 255, "e\u0301".encode(), "\u00e9".encode(), b"-rf"}
    for name in names:
        os.close(os.open(os.fsencode(tmp_path) + b"/" + name, os.O_CREAT | os.O_WRONLY))
    assert {entry.path for entry in scan_tree(tmp_path)} == names | {b""}
    assert scan_tree(os.fsencode(tmp_path)) == scan_tree(tmp_path)


def test_links_are_never_followed(tmp_path: Path) -> None:
    """A link to a directory outside shows up as a link, and so does a root that is one."""
    outside, tree = tmp_path / "outside", tmp_path / "tree"
    outside.mkdir()
    (outside / "secret").write_text("secret")
    tree.mkdir()
    (tree / "way-out").symlink_to(outside)
    assert scanned(tree) == {b"": EntryType.DIRECTORY, b"way-out": EntryType.SYMLINK}
    assert scanned(tree / "way-out") == {b"": EntryType.SYMLINK}
    (tmp_path / "alias").symlink_to(tree)
    assert scan_tree(tmp_path / "alias" / "way-out").by_path[b""].type is EntryType.SYMLINK


def test_a_single_file_is_a_tree(tmp_path: Path) -> None:
    """A file that was restored by itself is scanned as a root without children."""
    (tmp_path / "f").write_bytes(b"content")
    (entry,) = scan_tree(tmp_path / "f")
    assert (entry.path, entry.type, entry.size) == (b"", EntryType.FILE, 7)


def set_xattr(path: Path, name: str, value: bytes) -> None:
    """Set an attribute, of a link itself if it is one; the test is skipped where that is not possible."""
    try:
        os.setxattr(path, name, value, follow_symlinks=False)
    except OSError as error:
        pytest.skip(f"{name} can't be set in the temporary directory: {error}")


def test_all_attributes_are_told(tmp_path: Path) -> None:
    """Extended attributes of every namespace are in the entry, sorted."""
    set_xattr(tmp_path, "user.b", b"2")
    set_xattr(tmp_path, "user.a", b"\x00\xff")
    assert scan_tree(tmp_path).by_path[b""].xattrs == ((b"user.a", b"\x00\xff"), (b"user.b", b"2"))
    (tmp_path / "l").symlink_to("nowhere")
    os.mkfifo(tmp_path / "p")
    (tmp_path / "f").touch()
    for name in ("", "l", "p", "f"):
        set_xattr(tmp_path / name, "trusted.t", name.encode())
    set_xattr(tmp_path / "f", "security.s", b"3")
    by_path = scan_tree(tmp_path).by_path
    assert by_path[b""].xattrs == ((b"trusted.t", b""), (b"user.a", b"\x00\xff"), (b"user.b", b"2"))
    assert by_path[b"f"].xattrs == ((b"security.s", b"3"), (b"trusted.t", b"f"))
    assert [by_path[name].xattrs for name in (b"l", b"p")] == [((b"trusted.t", b"l"),), ((b"trusted.t", b"p"),)]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may make devices")
def test_numbers_of_devices_are_told(tmp_path: Path) -> None:
    """Also large ones."""
    os.mknod(tmp_path / "c", stat.S_IFCHR | 0o600, os.makedev(1, 3))
    os.mknod(tmp_path / "b", stat.S_IFBLK | 0o600, os.makedev(254, 1_000_000))
    found = [(entry.type, entry.target) for entry in scan_tree(tmp_path).entries[1:]]
    assert found == [(EntryType.BLOCK_DEVICE, b"254:1000000"), (EntryType.CHARACTER_DEVICE, b"1:3")]


def test_hard_links_are_told_apart_from_copies(tmp_path: Path) -> None:
    """All names of a file name the first of them. Copies, and files with names outside of the tree, don't."""
    tree = tmp_path / "tree"
    (tree / "d").mkdir(parents=True)
    for name in ("a", "c", "d/alone"):
        (tree / name).write_text("x")
    os.link(tree / "c", tree / "b")
    os.link(tree / "c", tree / "d" / "e")
    os.link(tree / "d" / "alone", tmp_path / "outside")
    found = {entry.path: entry.target for entry in scan_tree(tree) if entry.type is EntryType.FILE}
    assert found == {b"a": b"", b"b": b"b", b"c": b"b", b"d/alone": b"", b"d/e": b"b"}
    assert scan_tree(tree / "c").by_path[b""].target == b""


def test_segments_come_from_whom_they_are_asked(tmp_path: Path) -> None:
    """Segments are taken from the caller, or proved from the headers, or left empty."""
    size_bytes = (2 << 20) + 5000
    segments = whole_file(6, 3, size_bytes)
    content = bytearray(b"".join(run_bytes(run) for run in runs(segments, size_bytes)))
    (tmp_path / "own").write_bytes(content)
    content[99] ^= 1
    (tmp_path / "damaged").write_bytes(content)
    by_path = scan_tree_and_looks(tmp_path).manifest.by_path
    assert by_path[b"own"].segments == segments
    assert by_path[b"damaged"].segments == ()
    told = scan_tree(tmp_path, lambda path: (Segment(1, 2, 3, 4),) if path == b"own" else ())
    assert told.by_path[b"own"].segments == (Segment(1, 2, 3, 4),)
    assert scan_tree(tmp_path).by_path[b"own"].segments == ()


def test_trees_deeper_than_paths_reach_are_scanned(deep: Path) -> None:
    """A tree whose absolute paths exceed what the system takes is scanned, with few directories open."""
    manifest = scan_tree(deep)
    assert manifest.counts.files == 2 * OPEN_DIRECTORIES_MAX
    assert max(len(entry.path) for entry in manifest) > 8000


def test_few_directories_are_open_at_once(deep: Path) -> None:
    """However deep the tree, a bounded number of directories is open."""
    before = len(os.listdir("/proc/self/fd"))
    open_counts: list[int] = []

    def enter(fd: int, _: bytes) -> list[bytes]:
        open_counts.append(len(os.listdir("/proc/self/fd")) - before)
        return [name for name in map(os.fsencode, os.listdir(fd)) if name != b"file"]

    with opened_below(None, os.fsencode(deep)) as fd:
        walk_tree(fd, enter)
    assert len(open_counts) == 2 * OPEN_DIRECTORIES_MAX + 1
    assert OPEN_DIRECTORIES_MAX <= max(open_counts) <= OPEN_DIRECTORIES_MAX + 4
    assert len(os.listdir("/proc/self/fd")) == before


@pytest.mark.anyio
async def test_trees_deeper_than_paths_reach_are_removed(deep: Path) -> None:
    """A tree whose absolute paths exceed what the system takes is removed."""
    await run_file_work(remove_tree, deep)
    assert not deep.exists()


def test_removal_spares_what_links_point_to(tmp_path: Path) -> None:
    """Removing a tree with a link to outside, or a link itself, removes the link alone."""
    outside, tree = tmp_path / "outside", tmp_path / "tree"
    outside.mkdir()
    (outside / "kept").write_text("x")
    tree.mkdir()
    (tree / "way-out").symlink_to(outside)
    (tmp_path / "alias").symlink_to(outside)
    remove_tree(tree)
    remove_tree(tmp_path / "alias")
    assert sorted(os.listdir(tmp_path)) == ["outside"]
    assert (outside / "kept").exists()


def test_removal_copes_with_closed_directories(tmp_path: Path) -> None:
    """Directories of mode 0, nested ones too, are removed; and what is not there need not be."""
    inner = tmp_path / "tree" / "closed" / "inner"
    inner.mkdir(parents=True)
    (inner / "f").write_text("x")
    for directory in (inner, inner.parent, tmp_path / "tree"):
        directory.chmod(0)
    remove_tree(tmp_path / "tree")
    remove_tree(tmp_path / "tree")
    remove_tree(tmp_path / "tree" / "gone" / "too")
    assert os.listdir(tmp_path) == []


@pytest.mark.anyio
async def test_a_missing_root_is_our_failure(tmp_path: Path) -> None:
    """A tree that is not there is named in a harness error; only where that was asked for, it is an empty manifest."""
    with pytest.raises(HarnessError, match="gone"):
        scan_tree(tmp_path / "gone")
    assert scan_if_there(tmp_path / "gone") == Manifest.of(())
    assert scan_if_there(tmp_path) == scan_tree(tmp_path)


@pytest.mark.parametrize("size_bytes", [50, 150])
@pytest.mark.parametrize("known", [(), (Segment(1, 1, 0, 1),)])
def test_a_file_that_changes_meanwhile_is_our_failure(
    tmp_path: Path, size_bytes: int, known: tuple[Segment, ...]
) -> None:
    """A file that grows or shrinks while its tree is scanned is named in a harness error."""
    file = tmp_path / "moving"
    file.write_bytes(b"x" * 100)

    def change(path: bytes) -> tuple[Segment, ...]:
        """Asked for once the size is known, before the content is read."""
        os.truncate(file, size_bytes)
        return known

    with pytest.raises(HarnessError, match=r"moving.*changed"):
        scan_tree(tmp_path, change)


def test_a_file_that_vanishes_meanwhile_is_our_failure(tmp_path: Path) -> None:
    """A file that was listed and then is gone is named in a harness error."""
    names = {"moving-1", "moving-2"}
    for name in names:
        (tmp_path / name).write_text("x")

    def remove_the_other(path: bytes) -> tuple[Segment, ...]:
        (other,) = names - {os.fsdecode(path)}
        (tmp_path / other).unlink()
        return ()

    with pytest.raises(HarnessError, match=r"moving-\d: No such file"):
        scan_tree(tmp_path, remove_the_other)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
@pytest.mark.parametrize("name", ["f", "d"])
def test_what_may_not_be_read_is_our_failure(tmp_path: Path, name: str) -> None:
    """A file or directory that we may not read is named in a harness error, never left out."""
    (tmp_path / "f").write_text("x")
    (tmp_path / "d").mkdir()
    (tmp_path / name).chmod(0)
    with pytest.raises(HarnessError, match=f"{name}: Permission denied"):
        scan_tree(tmp_path)
    (tmp_path / name).chmod(0o700)
