"""A disk in trouble: a program that shows a directory through FUSE, slower than it is or with input and output errors.

It speaks the kernel's own protocol (`linux/fuse.h`, version 7.31) on /dev/fuse, because the libraries for it need
libfuse, which few servers and containers have. It is mounted over the very directory that it shows, which it has
opened before; everything goes through to that at once, so that nothing is lost when it ends, however it ends. Run as a
script of its own by the standard library alone, in a process that the rest of snapstorm never waits for.

A SIGUSR1 heals it: from then on it is as fast and as right as the directory is.
"""

from __future__ import annotations

import argparse
import ctypes
import errno
import os
import random
import re
import signal
import stat
import struct
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

READY = re.compile("^mounted$", re.MULTILINE)
"""The line that it prints once it is there."""

_WORKERS = 8
_WRITE_BYTES_MAX = 128 << 10
_REQUEST_BYTES_MAX = _WRITE_BYTES_MAX + 4096
_ROOT_NODE = 1
_MOUNT_NOSUID, _MOUNT_NODEV = 2, 4

_HEADER = struct.Struct("<IIQQIIII")
_REPLY = struct.Struct("<IiQ")
_ATTRIBUTES = struct.Struct("<6Q10I")
_ENTRY = struct.Struct("<4Q2I")
_INIT_REPLY = struct.Struct("<4IHHIIHH8I")
_BIG_WRITES = 1 << 5
_SET_MODE, _SET_UID, _SET_GID, _SET_SIZE, _SET_ATIME, _SET_MTIME = 1, 2, 4, 8, 16, 32
_SET_ATIME_NOW, _SET_MTIME_NOW = 128, 256
_LOOKUP, _FORGET, _BATCH_FORGET, _INIT, _INTERRUPT = 1, 2, 42, 26, 36
_OPEN, _READ, _WRITE, _FSYNC, _CREATE, _UNLINK, _RENAME, _RENAME_2 = 14, 15, 16, 20, 35, 10, 12, 45
_TROUBLED = frozenset({_OPEN, _READ, _WRITE, _FSYNC, _CREATE, _UNLINK, _RENAME, _RENAME_2})
"""What is done to contents and names; looking goes by itself."""


@dataclass
class Trouble:
    """What is wrong with the disk."""

    delay_seconds_max: float
    failing_share: float
    """How many of the operations fail with an input/output error, 0 to 1."""
    draws: random.Random
    is_healed: bool = False

    def strike(self, opcode: int) -> None:
        """Wait, or raise OSError, as it is drawn."""
        if self.is_healed or opcode not in _TROUBLED:
            return
        time.sleep(self.draws.uniform(0.0, self.delay_seconds_max))
        if self.draws.random() < self.failing_share:
            raise OSError(errno.EIO, "drawn")


@dataclass(frozen=True)
class _Request:
    opcode: int
    node: int
    uid: int
    gid: int
    body: bytes

    def names(self, offset: int) -> list[bytes]:
        """The names that stand in the request from an offset on, each ended by a zero byte."""
        return self.body[offset:].split(b"\0")[:-1]


class TroubledDisk:
    """The directory below, shown as nodes and handles."""

    def __init__(self, root: int, trouble: Trouble) -> None:
        """`root`: a descriptor of the directory."""
        self.root, self.trouble = root, trouble
        self._lock = threading.Lock()
        self._paths: dict[int, bytes] = {_ROOT_NODE: b"."}
        self._nodes: dict[bytes, int] = {b".": _ROOT_NODE}
        self._lookups: dict[int, int] = {}
        # By node: the descriptors that are open, by which a file is reached that has no name any more.
        self._handles: dict[int, list[int]] = {}
        self._last_node = _ROOT_NODE
        # By handle: what an open directory held when it was opened.
        self._directories: dict[int, list[tuple[bytes, int, int]]] = {}
        self._last_directory = 0

    def answer(self, request: _Request) -> bytes:
        """Do what is asked. Raises OSError."""
        handler = _HANDLERS.get(request.opcode)
        if handler is None:
            raise OSError(errno.ENOSYS, "not known")
        self.trouble.strike(request.opcode)
        return handler(self, request)

    def forget(self, request: _Request) -> None:
        """The kernel has dropped nodes. There is no answer."""
        if request.opcode == _FORGET:
            dropped = [(request.node, struct.unpack_from("<Q", request.body)[0])]
        else:
            (count,) = struct.unpack_from("<I", request.body)
            dropped = [struct.unpack_from("<QQ", request.body, 8 + 16 * index) for index in range(count)]
        with self._lock:
            for node, lookups in dropped:
                self._lookups[node] = self._lookups.get(node, 0) - lookups
                if self._lookups[node] <= 0 and node != _ROOT_NODE:
                    del self._lookups[node]
                    path = self._paths.pop(node, None)
                    if path is not None and self._nodes.get(path) == node:
                        del self._nodes[path]

    def _path(self, node: int) -> bytes:
        with self._lock:
            if node not in self._paths:
                raise OSError(errno.ESTALE, "no such node")
            return self._paths[node]

    def _child(self, request: _Request, offset: int = 0) -> bytes:
        return self._path(request.node) + b"/" + request.names(offset)[0]

    def _entry(self, path: bytes) -> bytes:
        """The node at a path, looked up once more, as the kernel wants to be told of it."""
        found = os.stat(path, dir_fd=self.root, follow_symlinks=False)
        with self._lock:
            node = self._nodes.get(path)
            if node is None:
                self._last_node += 1
                node = self._nodes[path] = self._last_node
                self._paths[node] = path
            self._lookups[node] = self._lookups.get(node, 0) + 1
        return _ENTRY.pack(node, 0, 0, 0, 0, 0) + _attributes(found)

    def _place(self, node: int) -> bytes:
        """Where the system finds the node's file, of which there are no links: a repository holds none."""
        with self._lock:
            path, handles = self._paths.get(node), self._handles.get(node)
        if path is None and handles:
            return b"/proc/self/fd/%d" % handles[0]
        return b"/proc/self/fd/%d/" % self.root + self._path(node)

    def _opened(self, node: int, handle: int) -> bytes:
        with self._lock:
            self._handles.setdefault(node, []).append(handle)
        return struct.pack("<QII", handle, 0, 0)

    def look_up(self, request: _Request) -> bytes:
        return self._entry(self._child(request))

    def get_attributes(self, request: _Request) -> bytes:
        return bytes(16) + _attributes(os.stat(self._place(request.node)))

    def set_attributes(self, request: _Request) -> bytes:
        valid, _, _, size, _, atime, mtime, _, atime_ns, mtime_ns, _, mode, _, uid, gid, _ = struct.unpack_from(
            "<IIQQQQQQIIIIIIII", request.body
        )
        place = self._place(request.node)
        if valid & _SET_MODE:
            os.chmod(place, stat.S_IMODE(mode))
        if valid & (_SET_UID | _SET_GID):
            os.chown(place, uid if valid & _SET_UID else -1, gid if valid & _SET_GID else -1)
        if valid & _SET_SIZE:
            os.truncate(place, size)
        if valid & (_SET_ATIME | _SET_MTIME):
            found = os.stat(place)
            os.utime(place)
            now = os.stat(place)
            atime_ns = atime * 10**9 + atime_ns if valid & _SET_ATIME else found.st_atime_ns
            mtime_ns = mtime * 10**9 + mtime_ns if valid & _SET_MTIME else found.st_mtime_ns
            atime_ns = now.st_atime_ns if valid & _SET_ATIME_NOW else atime_ns
            os.utime(place, ns=(atime_ns, now.st_mtime_ns if valid & _SET_MTIME_NOW else mtime_ns))
        return bytes(16) + _attributes(os.stat(place))

    def make_directory(self, request: _Request) -> bytes:
        (mode, umask) = struct.unpack_from("<II", request.body)
        path = self._child(request, 8)
        os.mkdir(path, mode & ~umask, dir_fd=self.root)
        os.chown(path, request.uid, request.gid, dir_fd=self.root)
        return self._entry(path)

    def remove(self, request: _Request) -> bytes:
        path = self._child(request)
        (os.unlink if request.opcode == _UNLINK else os.rmdir)(path, dir_fd=self.root)
        self._moved(path, None)
        return b""

    def rename(self, request: _Request) -> bytes:
        offset = 8
        if request.opcode == _RENAME_2:
            offset = 16
            if struct.unpack_from("<QI", request.body)[1]:
                raise OSError(errno.EINVAL, "flags are not known")  # Then the caller does without.
        old, new = request.names(offset)
        source = self._path(request.node) + b"/" + old
        target = self._path(struct.unpack_from("<Q", request.body)[0]) + b"/" + new
        os.rename(source, target, src_dir_fd=self.root, dst_dir_fd=self.root)
        self._moved(target, None)
        self._moved(source, target)
        return b""

    def _moved(self, old: bytes, new: bytes | None) -> None:
        """What was at a path, and below it, is at another one now, or nowhere."""
        with self._lock:
            below = [path for path in self._nodes if path == old or path.startswith(old + b"/")]
            for path in below:
                node = self._nodes.pop(path)
                del self._paths[node]
                if new is not None:
                    moved = new + path[len(old) :]
                    self._nodes[moved], self._paths[node] = node, moved

    def open(self, request: _Request) -> bytes:
        (flags,) = struct.unpack_from("<I", request.body)
        # The kernel says at each write where it goes, also when it appends.
        handle = os.open(self._path(request.node), flags & ~(os.O_CREAT | os.O_EXCL | os.O_APPEND), dir_fd=self.root)
        return self._opened(request.node, handle)

    def create(self, request: _Request) -> bytes:
        flags, mode, umask, _ = struct.unpack_from("<IIII", request.body)
        path = self._child(request, 16)
        handle = os.open(path, (flags & ~os.O_APPEND) | os.O_CREAT, stat.S_IMODE(mode) & ~umask, dir_fd=self.root)
        os.fchown(handle, request.uid, request.gid)
        entry = self._entry(path)
        return entry + self._opened(struct.unpack_from("<Q", entry)[0], handle)

    def read(self, request: _Request) -> bytes:
        handle, offset, size = struct.unpack_from("<QQI", request.body)
        return os.pread(handle, size, offset)

    def write(self, request: _Request) -> bytes:
        handle, offset, size = struct.unpack_from("<QQI", request.body)
        return struct.pack("<II", os.pwrite(handle, request.body[40 : 40 + size], offset), 0)

    def release(self, request: _Request) -> bytes:
        (handle,) = struct.unpack_from("<Q", request.body)
        with self._lock:
            self._handles[request.node].remove(handle)
            if not self._handles[request.node]:
                del self._handles[request.node]
        os.close(handle)
        return b""

    def flush(self, request: _Request) -> bytes:
        return b""

    def sync(self, request: _Request) -> bytes:
        os.fsync(struct.unpack_from("<Q", request.body)[0])
        return b""

    def open_directory(self, request: _Request) -> bytes:
        descriptor = os.open(self._path(request.node), os.O_RDONLY | os.O_DIRECTORY, dir_fd=self.root)
        try:
            found = list(os.scandir(descriptor))
            entries = [(os.fsencode(one.name), one.inode(), one.stat(follow_symlinks=False).st_mode) for one in found]
        finally:
            os.close(descriptor)
        with self._lock:
            self._last_directory += 1
            self._directories[self._last_directory] = entries
            return struct.pack("<QII", self._last_directory, 0, 0)

    def read_directory(self, request: _Request) -> bytes:
        handle, offset, size = struct.unpack_from("<QQI", request.body)
        found = bytearray()
        for index, (name, inode, mode) in enumerate(self._directories[handle][offset:], offset + 1):
            entry = struct.pack("<QQII", inode, index, len(name), stat.S_IFMT(mode) >> 12) + name
            entry += bytes(-len(entry) % 8)
            if len(found) + len(entry) > size:
                break
            found += entry
        return bytes(found)

    def release_directory(self, request: _Request) -> bytes:
        self._directories.pop(struct.unpack_from("<Q", request.body)[0], None)
        return b""

    def statistics(self, request: _Request) -> bytes:
        found = os.fstatvfs(self.root)
        counts = found.f_blocks, found.f_bfree, found.f_bavail, found.f_files, found.f_ffree
        return struct.pack("<5Q4I24x", *counts, found.f_bsize, found.f_namemax, found.f_frsize, 0)


_HANDLERS: dict[int, Callable[[TroubledDisk, _Request], bytes]] = {
    _LOOKUP: TroubledDisk.look_up,
    3: TroubledDisk.get_attributes,
    4: TroubledDisk.set_attributes,
    9: TroubledDisk.make_directory,
    _UNLINK: TroubledDisk.remove,
    11: TroubledDisk.remove,
    _RENAME: TroubledDisk.rename,
    _RENAME_2: TroubledDisk.rename,
    _OPEN: TroubledDisk.open,
    _READ: TroubledDisk.read,
    _WRITE: TroubledDisk.write,
    17: TroubledDisk.statistics,
    18: TroubledDisk.release,
    _FSYNC: TroubledDisk.sync,
    25: TroubledDisk.flush,
    27: TroubledDisk.open_directory,
    28: TroubledDisk.read_directory,
    29: TroubledDisk.release_directory,
    30: TroubledDisk.flush,
    _CREATE: TroubledDisk.create,
}


def _attributes(found: os.stat_result) -> bytes:
    seconds_and_rest = [divmod(moment, 10**9) for moment in (found.st_atime_ns, found.st_mtime_ns, found.st_ctime_ns)]
    times = (part for parts in zip(*seconds_and_rest, strict=True) for part in parts)
    amounts = found.st_ino, found.st_size, found.st_blocks
    kind = found.st_mode, found.st_nlink, found.st_uid, found.st_gid, found.st_rdev & 0xFFFFFFFF
    return _ATTRIBUTES.pack(*amounts, *times, *kind, found.st_blksize, 0)


def _serve(device: int, disk: TroubledDisk) -> None:
    """Answer requests until the directory is unmounted and nobody uses it any more."""
    while True:
        try:
            message = os.read(device, _REQUEST_BYTES_MAX)
        except OSError as error:
            if error.errno == errno.ENODEV:
                return
            if error.errno in {errno.EINTR, errno.ENOENT, errno.EAGAIN}:
                continue  # The request was taken back.
            raise
        length, opcode, unique, node, uid, gid, _, _ = _HEADER.unpack_from(message)
        request = _Request(opcode, node, uid, gid, message[_HEADER.size : length])
        if opcode in {_FORGET, _BATCH_FORGET}:
            disk.forget(request)
            continue
        if opcode == _INTERRUPT:
            continue
        try:
            code, body = 0, _initial(request) if opcode == _INIT else disk.answer(request)
        except OSError as error:
            code, body = -(error.errno or errno.EIO), b""
        try:
            os.write(device, _REPLY.pack(_REPLY.size + len(body), code, unique) + body)
        except OSError as error:
            if error.errno not in {errno.ENOENT, errno.ENODEV}:  # Whoever asked has gone.
                raise


def _initial(request: _Request) -> bytes:
    _, _, read_ahead_bytes, flags = struct.unpack_from("<IIII", request.body)
    return _INIT_REPLY.pack(
        7, 31, read_ahead_bytes, flags & _BIG_WRITES, _WORKERS, _WORKERS, _WRITE_BYTES_MAX, 1, 0, 0, *(8 * (0,))
    )


def _mount(directory: bytes, device: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    options = f"fd={device},rootmode=40000,user_id=0,group_id=0,allow_other,default_permissions".encode()
    if libc.mount(b"snapstorm-disk", directory, b"fuse", _MOUNT_NOSUID | _MOUNT_NODEV, options):
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def main() -> None:
    """Mount, say so, and serve until it is unmounted."""
    parser = argparse.ArgumentParser()
    parser.add_argument("directory", type=os.fsencode)
    parser.add_argument("--delay-seconds-max", type=float, required=True)
    parser.add_argument("--failing-share", type=float, required=True)
    parser.add_argument("--seed", type=int, required=True)
    given = parser.parse_args()
    trouble = Trouble(given.delay_seconds_max, given.failing_share, random.Random(given.seed))

    def heal(*_: object) -> None:
        trouble.is_healed = True

    signal.signal(signal.SIGUSR1, heal)
    os.umask(0)
    try:
        disk = TroubledDisk(os.open(given.directory, os.O_RDONLY | os.O_DIRECTORY), trouble)
        device = os.open("/dev/fuse", os.O_RDWR)
        _mount(given.directory, device)
    except OSError as error:
        sys.exit(str(error))
    workers = [threading.Thread(target=_serve, args=(device, disk), daemon=True) for _ in range(_WORKERS)]
    for worker in workers:
        worker.start()
    print("mounted", flush=True)
    for worker in workers:
        worker.join()


if __name__ == "__main__":
    main()
