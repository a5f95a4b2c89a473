"""TreeRow: the messages of a family as rows: one line each, branches indented, folded ones counted.

A run of messages without siblings stays in one column, so depth costs columns only at branches.
Pure functions of a MessageTree; no recursion, since chats are long.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from kvchat.session.tree import MessageTree

Filter = Literal["all", "mine", "labelled"]
FILTERS: tuple[Filter, ...] = ("all", "mine", "labelled")
MAX_DEPTH = 24
"""Deeper branches share the last column."""


@dataclass(frozen=True, slots=True)
class TreeRow:
    """One message in the tree view."""

    message_id: str
    depth: int
    """Number of branchings above it."""
    is_last_child: bool
    is_branch: bool
    """Whether it has siblings, so that a corner is drawn."""
    num_folded: int
    """Messages below it that are not shown; 0 when nothing is folded."""


def tree_rows(
    tree: "MessageTree",
    path: Collection[str],
    unfolded: Mapping[str, bool],
    shown: Filter = "all",
) -> list[TreeRow]:
    """Return the rows of a tree from its roots on.

    path      the messages from the root to the tip; what is beside it is folded to its first one
    unfolded  what the user folded or unfolded by hand
    """
    if shown == "labelled":
        return [
            TreeRow(key, 0, True, False, 0)
            for key, node in tree.nodes.items()
            if node.label is not None or node.session_ids
        ]
    mine = _with_a_session(tree) if shown == "mine" else None
    counts = _descendants(tree)
    rows: list[TreeRow] = []
    stack: list[tuple[str, int, bool, bool]] = []

    def push(children: Sequence[str], depth: int) -> None:
        kept = [key for key in children if mine is None or key in mine]
        is_branch = len(kept) > 1
        for index in range(len(kept) - 1, -1, -1):
            inner = min(depth + is_branch, MAX_DEPTH)
            stack.append((kept[index], inner, index == len(kept) - 1, is_branch))

    push(tree.roots, 0)
    while stack:
        key, depth, is_last, is_branch = stack.pop()
        is_open = unfolded.get(key, key in path or not is_branch)
        below = 0 if is_open else counts[key]
        rows.append(TreeRow(key, depth, is_last, is_branch, below))
        if is_open:
            push(tree.nodes[key].children, depth)
    return rows


def _descendants(tree: "MessageTree") -> dict[str, int]:
    """Return for each message how many are below it."""
    order: list[str] = []
    stack = list(tree.roots)
    while stack:
        key = stack.pop()
        order.append(key)
        stack += tree.nodes[key].children
    counts: dict[str, int] = {}
    for key in reversed(order):
        counts[key] = sum(counts[child] + 1 for child in tree.nodes[key].children)
    return counts


def _with_a_session(tree: "MessageTree") -> set[str]:
    """Return the messages on which, or below which, a session stands."""
    found: set[str] = set()
    for key, node in tree.nodes.items():
        if node.session_ids:
            step: str | None = key
            while step is not None and step not in found and step in tree.nodes:
                found.add(step)
                step = tree.nodes[step].message.parent_id
    return found
