"""path_windows(): under which window each token of a path is read, as its messages recorded it.

A message is read under the window its session had when it was said, for ever: what a token saw is
part of its keys and values, so another window later counts only for what comes later. The window of
a message begins one token before it, with the token whose answer is the message's first.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from kvchat.engine.request import WindowChange
from kvchat.session.kept_tokens import path_spans
from kvchat.session.message import MessageNode
from kvchat.session.prompt import path_token_ids
from kvchat.store.rows import SessionRow

AUTO_SINKS = -1
"""Stored number of sinks of a session that keeps its system prompt, whatever its length."""
MIN_SINKS = 4


@dataclass(frozen=True, slots=True)
class Reading:
    """What the engine is to read of a path, and under which windows; sinks are as stored."""

    token_ids: list[int]
    windows: tuple[WindowChange, ...]

    @classmethod
    def of(cls, path: Sequence[MessageNode], row: SessionRow) -> "Reading":
        """Return the tokens of a path, behind which a session goes on with its present window."""
        return cls(path_token_ids(path), path_windows(path, row))


def path_windows(path: Sequence[MessageNode], row: SessionRow) -> tuple[WindowChange, ...]:
    """Return from which position on the tokens of a path are read under which window.

    The last is the session's own, for what follows the path. It stands in for messages of which no
    window is recorded.
    """
    spans = path_spans(path)
    said = [
        (start, node.window, node.sinks) if node.sinks is not None else (start, *own_window(row))
        for node, (start, _) in zip(path, spans, strict=True)
    ]
    changes: list[WindowChange] = []
    for start, window, sinks in (*said, (spans[-1][1] if spans else 0, *own_window(row))):
        change = WindowChange(max(0, start - 1), window, sinks)
        while changes and changes[-1].start >= change.start:
            changes.pop()  # rewritten from there on, or of a message without tokens
        if not changes or changes[-1][1:] != change[1:]:
            changes.append(change)
    return tuple(changes)


def own_window(row: SessionRow) -> tuple[int | None, int]:
    """Return window and sinks of a session, as a message of it records them."""
    return row.window, 0 if row.window is None else row.sinks


def need_system(windows: Sequence[WindowChange]) -> bool:
    """Say whether it has to be known how long the system prompt is."""
    return any(window is not None and sinks == AUTO_SINKS for _, window, sinks in windows)


def with_sinks(windows: Sequence[WindowChange], num_fixed: int) -> tuple[WindowChange, ...]:
    """Return windows whose sinks are numbers, where a prompt begins with `num_fixed` fixed ids."""
    return tuple(
        WindowChange(start, window, max(MIN_SINKS, num_fixed if sinks == AUTO_SINKS else sinks))
        for start, window, sinks in windows
    )
