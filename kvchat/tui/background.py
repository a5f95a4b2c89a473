"""Work that the screen does not wait for, on the event loop, tied to a widget."""

from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, cast

from textual.dom import DOMNode

if TYPE_CHECKING:
    from textual.worker import WorkType


def run_in_background(
    node: DOMNode,
    work: Callable[[], Coroutine[Any, Any, None]],
    *,
    group: str = "default",
    exclusive: bool = False,
) -> None:
    """Start an async function; it is cancelled with its node, or by an exclusive one of its group.

    A function and not its coroutine: work that has not begun when the app ends would leave one that
    nobody awaits, and Python says so on the user's terminal.
    """
    node.run_worker(cast("WorkType[None]", work), group=group, exclusive=exclusive)
