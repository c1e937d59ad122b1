"""Changes of a tree: what each file action does to it, and why it could do nothing now."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias, TypeVar

from snapstorm.filesystem.tree_step import Result, TreeStep, TreeView
from snapstorm.model.actions import (
    ChangeMetadata,
    DeleteFiles,
    DeleteRandomSubdirectory,
    FileAction,
    ModifyFiles,
    WriteRandomFiles,
)

Changing = TypeVar("Changing", bound=FileAction)
Make: TypeAlias = Callable[[TreeStep, Changing], Result]


WhyNot: TypeAlias = Callable[[TreeView], str]
"""Why an action of a kind, with its default options, could do nothing; empty if it can do something."""


@dataclass(frozen=True)
class TreeChange:
    """What one kind of file action does."""

    make: Make[Any]
    why_not: WhyNot


TREE_CHANGES: dict[type[FileAction], TreeChange] = {}
"""By kind of action."""


def why_not_in_an_empty_tree(view: TreeView) -> str:
    """For an action that needs anything at all to act on."""
    return "the tree is empty" if view.tree.is_empty else ""


def changes_tree(
    action: type[Changing], why_not: WhyNot = why_not_in_an_empty_tree
) -> Callable[[Make[Changing]], Make[Changing]]:
    """Registers a function as what a kind of file action does."""

    def register(make: Make[Changing]) -> Make[Changing]:
        TREE_CHANGES[action] = TreeChange(make, why_not)
        return make

    return register


def _why_not_write(view: TreeView) -> str:
    return "" if view.bytes_left else f"the tree is at its limit of {view.total_bytes_max:,} bytes"


def _why_not_modify(view: TreeView) -> str:
    return "" if view.tree.file_paths else "there is no file"


def _why_not_change_metadata(view: TreeView) -> str:
    return "" if view.has_metadata_to_change else "there is nothing whose metadata can be changed here"


def _why_not_delete_subdirectory(view: TreeView) -> str:
    return "" if view.tree.directory_paths else "there is no directory"


changes_tree(WriteRandomFiles, _why_not_write)(TreeStep.write_files)
changes_tree(ModifyFiles, _why_not_modify)(TreeStep.modify_files)
changes_tree(ChangeMetadata, _why_not_change_metadata)(TreeStep.change_metadata)
changes_tree(DeleteFiles)(TreeStep.delete_files)
changes_tree(DeleteRandomSubdirectory, _why_not_delete_subdirectory)(TreeStep.delete_subdirectory)
