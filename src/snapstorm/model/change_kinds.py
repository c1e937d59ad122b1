"""Kinds of entries and of changes that the actions on files choose from."""

from __future__ import annotations

from enum import StrEnum


class Oddity(StrEnum):
    """Kinds of entries and names that real trees have and simple generators forget."""

    EMPTY_FILE = "empty-file"
    EMPTY_DIRECTORY = "empty-directory"
    SYMLINK = "symlink"
    DANGLING_SYMLINK = "dangling-symlink"
    SPARSE_FILE = "sparse-file"
    ODD_NAME = "odd-name"
    ODD_MODE = "odd-mode"
    OLD_MTIME = "old-mtime"
    NON_UTF8_NAME = "non-utf8-name"
    HARD_LINK = "hard-link"
    XATTR = "xattr"
    FIFO = "fifo"
    DEVICE = "device"
    SOCKET = "socket"


class ModifyKind(StrEnum):
    IN_PLACE = "in-place"
    APPEND = "append"
    TRUNCATE = "truncate"
    RENAME = "rename"
    REPLACE = "replace"


class MetadataKind(StrEnum):
    MODE = "mode"
    MTIME = "mtime"
    OWNER = "owner"
    XATTR = "xattr"
