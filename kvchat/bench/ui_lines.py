"""What the transcript costs: appending to a long fence, opening a long chat, switching chats.

CPU seconds of the screen's thread, so that a busy machine changes little.
"""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from kvchat.bench.ui_streams import open_app, until
from kvchat.runtime import ChatRuntime
from kvchat.tui.app import KVChatApp
from kvchat.tui.glyphs import UNICODE
from kvchat.tui.message_lines import MessageHead, MessageLines

SIZE = (100, 40)
FENCE_KILOBYTES = (1, 5, 10, 20, 50)
PIECE = "total = total + weights[index] * values[index]  # the sum so far\n".rjust(120)
"""The 120 characters that are appended: a line of code."""
NUM_APPENDS = 9
NUM_MESSAGES = 10_000
NUM_SWITCHES = 12


@dataclass(frozen=True, slots=True)
class LineCosts:
    """CPU seconds: per append by size of the fence in KB, to open a chat, to switch between two."""

    appends: dict[int, float]
    open_seconds: float
    switch_seconds: tuple[float, ...]


async def line_costs() -> LineCosts:
    """Measure all three in one app without a model."""
    app, _driver, ended = await open_app(_none, SIZE, begins=False)
    appends = {size: await _append_seconds(app, size) for size in FENCE_KILOBYTES}
    messages = [_message(f"m{number}", number) for number in range(NUM_MESSAGES)]
    opened = await _cpu_of(app, messages)
    short = [_message(f"s{number}", number) for number in range(40)]
    await _cpu_of(app, short)
    switches = []
    for number in range(NUM_SWITCHES):
        switches.append(await _cpu_of(app, messages if number % 2 else short))
    app.exit()
    await ended
    return LineCosts(appends, opened, tuple(switches))


def _none() -> ChatRuntime:
    """Stand for a runtime that is never used: the app's start is left out."""
    raise AssertionError


def _message(message_id: str, number: int) -> MessageLines:
    role = "assistant" if number % 2 else "user"
    text = f"Message {number}: " + "words that wrap over a line or two of the screen. " * 5
    return MessageLines(message_id, MessageHead(role, "A", 0, 1_700_000_000.0), text, UNICODE)


async def _append_seconds(app: KVChatApp, kilobytes: int) -> float:
    source = "Here it is:\n\n```python\n"
    while len(source) < 1024 * kilobytes:
        source += PIECE
    entry = MessageLines("fence", MessageHead("assistant", "A"), source, UNICODE)
    entry.is_streaming = True
    await _cpu_of(app, [entry])
    seconds = []
    for _ in range(NUM_APPENDS):
        before = time.thread_time()
        app.chat.transcript.append(entry, PIECE)
        await _drawn(app)
        seconds.append(time.thread_time() - before)
    return median(seconds)


async def _cpu_of(app: KVChatApp, entries: Sequence[MessageLines]) -> float:
    """Show a conversation, and return the CPU seconds until it stands on the screen."""
    before = time.thread_time()
    app.chat.transcript.show(list(entries), lambda _width: (), None)
    await _drawn(app)
    return time.thread_time() - before


async def _drawn(app: KVChatApp) -> None:
    """Wait until everything that was asked for is drawn."""
    is_drawn = asyncio.Event()
    app.chat.call_after_refresh(is_drawn.set)
    await is_drawn.wait()
    await until(lambda: not app.chat._dirty_widgets)
