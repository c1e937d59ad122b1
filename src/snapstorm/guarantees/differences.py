"""Differences, explained: what differs between a restored tree and what was promised, and in content which bytes.

As `differences.json` in the evidence:

    {
      "schema": 1,
      "snapshot": "...", "client": "...", "operation": "...",
      "part": "",                     the directory or file of the snapshot that was restored; empty for all of it
      "differences_total": 3,         how many there are; so many are listed:
      "differences": [
        {
          "path": "a/b",              relative to `part`; bytes that are not UTF-8 stand as \\xNN
          "kind": "content",          a `DifferenceKind`: missing, extra, type, size, content, link target, mode, ...
          "expected": "...", "actual": "...",        in words; empty for what is missing or extra
          "expected_bytes": 9000, "actual_bytes": 9000,      sizes of files; null where there is none
          "blocks": [                 what is wrong in the content, in order; of a whole difference only
            {"offset_bytes": 4500, "length_bytes": 1, "kind": "changed bytes", "words": "..."}
          ]
        }
      ]
    }

Each `kind` of a block is a `BlockDifferenceKind`. Fields are only ever added.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from snapstorm.filesystem.explain import BlockDifference, ContentExplained
from snapstorm.model.manifest import Entry, EntryType, Manifest
from snapstorm.model.seen import RestoreSeen
from snapstorm.model.tree_differences import Difference, DifferenceKind

SCHEMA = 1
EXPLAINED_MAX = 1000
"""So many differences are explained; more are counted."""
_IN_CONTENT = frozenset({DifferenceKind.CONTENT, DifferenceKind.SIZE})


@dataclass(frozen=True)
class ExplainedDifference:
    """One difference, and in content the stretches that are wrong."""

    difference: Difference
    blocks: tuple[BlockDifference, ...] = ()
    expected_bytes: int | None = None
    """The size of the file that was promised; None for what is none."""
    actual_bytes: int | None = None
    problem: str = ""
    """Why the content could not be explained."""

    def __str__(self) -> str:
        more = ", ".join(map(str, self.blocks)) or self.problem
        return f"{self.difference}: {more}" if more else str(self.difference)

    def as_json(self) -> dict[str, Any]:
        """As it stands in `differences.json`."""
        return {
            "path": _as_text(self.difference.path),
            "kind": self.difference.kind.value,
            "expected": self.difference.expected,
            "actual": self.difference.actual,
            "expected_bytes": self.expected_bytes,
            "actual_bytes": self.actual_bytes,
            "blocks": [
                {
                    "offset_bytes": block.offset_bytes,
                    "length_bytes": block.length_bytes,
                    "kind": block.kind.value,
                    "words": block.words,
                }
                for block in self.blocks
            ],
        }


def files_to_explain(found: Sequence[Difference], wanted: Manifest) -> list[Entry]:
    """Those of the promised files whose content is to be explained, each once."""
    differing = [one.path for one in found[:EXPLAINED_MAX] if one.kind in _IN_CONTENT]
    expected = [wanted.by_path.get(path) for path in dict.fromkeys(differing)]
    return [entry for entry in expected if entry is not None and entry.type is EntryType.FILE]


def explain(
    found: Sequence[Difference], wanted: Manifest, restored: Manifest, contents: Mapping[bytes, ContentExplained]
) -> tuple[ExplainedDifference, ...]:
    """The differences between `wanted` and `restored`. `contents` explains those of files, by their paths."""
    return tuple(_explain(difference, wanted, restored, contents) for difference in found[:EXPLAINED_MAX])


def _explain(
    difference: Difference, wanted: Manifest, restored: Manifest, contents: Mapping[bytes, ContentExplained]
) -> ExplainedDifference:
    expected, actual = wanted.by_path.get(difference.path), restored.by_path.get(difference.path)
    content = contents.get(difference.path) if difference.kind in _IN_CONTENT else None
    content = content or ContentExplained()
    return ExplainedDifference(
        difference, content.blocks, _file_bytes(expected), _file_bytes(actual), problem=content.problem
    )


def as_document(explained: Sequence[ExplainedDifference], seen: RestoreSeen) -> str:
    """`differences.json`."""
    document = {
        "schema": SCHEMA,
        "snapshot": seen.snapshot,
        "client": seen.client,
        "operation": seen.operation,
        "part": _as_text(seen.sub_path),
        "differences_total": seen.differences,
        "differences": [one.as_json() for one in explained],
    }
    return json.dumps(document, indent=1)


def _file_bytes(entry: Entry | None) -> int | None:
    return entry.size if entry is not None and entry.type is EntryType.FILE else None


def _as_text(path: bytes) -> str:
    return path.decode("utf-8", "backslashreplace")
