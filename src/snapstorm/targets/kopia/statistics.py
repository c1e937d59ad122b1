"""What Kopia has counted while it took a snapshot (`stats`), held against the summary of the same snapshot."""

from __future__ import annotations

from typing import Annotated, TypeAlias

import msgspec

COUNT_MAX = 2**63 - 1
"""The most that the ledger can store, and that Kopia can count."""

Count: TypeAlias = Annotated[int, msgspec.Meta(ge=0, le=COUNT_MAX)]


class Statistics(msgspec.Struct, frozen=True, rename="camel"):
    """The counters of one upload. Listings show them, receipts don't.

    Measured on 0.19.0, 0.22.3 and 0.23.1:

    - `dirCount` is `dirs` of the summary, the root included.
    - A file that was read counts in `fileCount`, one that was taken over from an earlier snapshot in `cachedFiles`, and
      so does a link that was taken over. A link that was read counts nowhere. A hard link counts as a file.
    - `totalSize` has the bytes of all files, and the lengths of the targets of links that were taken over.
    - FIFOs, sockets and devices count in `ignoredErrorCount` in 0.19.0 (and in `numIgnoredErrors` of the summary), and
      nowhere in 0.22.3 and 0.23.1.
    - `excludedFileCount`, `excludedDirCount` and `excludedTotalSize` count what ignore rules leave out. 0.22.3 counts
      it twice. What is left out as too large counts nowhere. So only 0 is exact.
    """

    total_size: Count = 0
    excluded_total_size: Count = 0
    file_count: Count = 0
    cached_files: Count = 0
    dir_count: Count = 0
    excluded_file_count: Count = 0
    excluded_dir_count: Count = 0
    ignored_error_count: Count = 0
    error_count: Count = 0

    @property
    def excluded_entries(self) -> int:
        """How many entries were left out because rules say so."""
        return self.excluded_file_count + self.excluded_dir_count

    def disagreement(self, *, directories: int | None, files: int | None, size_bytes: int | None) -> str:
        """In what the summary of the same snapshot, which has these counts and no failed entries, says something else,
        in words; empty if in nothing."""
        files_or_links = self.file_count + self.cached_files
        for what, told, counted, agree in (
            ("directories", directories, self.dir_count, directories == self.dir_count),
            ("files", files, files_or_links, (files or 0) <= files_or_links),
            ("bytes", size_bytes, self.total_size, (size_bytes or 0) <= self.total_size),
            ("entries that failed", 0, self.error_count, self.error_count == 0),
            ("ignored errors", 0, self.ignored_error_count, self.ignored_error_count == 0),
        ):
            if told is not None and not agree:
                return f"{told:,} {what} in its summary and {counted:,} in its statistics"
        if self.excluded_total_size and not self.excluded_entries:
            return f"{self.excluded_total_size:,} bytes that were left out of 0 entries"
        return ""
