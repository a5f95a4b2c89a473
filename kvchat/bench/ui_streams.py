"""Four streams with the map open: what the screen takes from them, and how soon a key shows.

The same four chats are spoken with the same seeds, in turns without a screen and below one; so
both compute the same tokens on the same machine. The scripted kind needs no model: a step takes a
fixed time, as on a fast device, and says a text that was written before.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from random import Random
from typing import Any

import torch
from torch import Tensor

from kvchat.runtime import ChatRuntime
from kvchat.sampling_params import SamplingParams
from kvchat.settings import Settings
from kvchat.tui.app import KVChatApp
from kvchat.tui.meter_driver import MeterDriver

NUM_STREAMS = 4
SIZE = (140, 40)
PROMPTS = (
    "Tell me a long story about a river.",
    "Tell me a long story about two friends.",
    "Tell me a long story about a lighthouse.",
    "Tell me a long story about a fox in winter.",
)
STEP_SECONDS = 0.025
HEARTBEAT_SECONDS = 0.02
KEYS = "жшюфцыэядлбпитзкгв"
SCRIPT = """\
Rewinding only **moves the end** of the session. Blocks before the cut keep their reference:

- still used by another branch: nothing happens
- used by nobody: they stay as cached memory

```python
def rewind(table, length):
    keep = -(-length // 32)
    for block in reversed(table[keep:]):
        pool.release(block)
    del table[keep:]
```

| block | state |
| --- | --- |
| 12 | shared |
| 13 | private |

"""


@dataclass(frozen=True, slots=True)
class StreamRun:
    """One time the four chats were spoken; without a screen only the first two are known.

    ui_share      CPU time of the screen's thread per second
    echo_seconds  from each key to its character in the output
    loop_gaps     how much later than wanted each beat of the screen's loop came
    view_seconds  what the last copy of the pool's tables cost the engine
    """

    seconds: float
    num_tokens: int
    ui_share: float = 0.0
    echo_seconds: tuple[float, ...] = ()
    loop_gaps: tuple[float, ...] = ()
    num_characters: int = 0
    view_seconds: float = 0.0

    @property
    def tokens_per_second(self) -> float:
        """Speed of all four together."""
        return self.num_tokens / self.seconds


class ScriptedRunner:
    """Says a text, a token a step, each step as long as the last; stands in for a model."""

    def __init__(self, token_ids: Sequence[int], vocab_size: int) -> None:
        self._token_ids = token_ids
        self._vocab_size = vocab_size

    def run(self, rows: list[list[int]], positions: list[int], cache: object) -> Tensor:
        """Return logits [rows, vocab_size] that leave no choice."""
        started = time.perf_counter()
        logits = torch.zeros(len(rows), self._vocab_size)
        at = -1
        for number, row in enumerate(rows):
            at += len(row)
            logits[number, self._token_ids[positions[at] % len(self._token_ids)]] = 100.0
        time.sleep(max(0.0, STEP_SECONDS - (time.perf_counter() - started)))
        return logits


@contextmanager
def open_runtime(model: str | None, threads: int | None, scripted: bool) -> Iterator[ChatRuntime]:
    """Open a runtime that stores nothing, with the model or with the script in its place."""
    with ChatRuntime(model, save=False, threads=threads) as runtime:
        runtime.stats()  # waits for the model
        if scripted:
            tokenizer = runtime._prompts.voice().writer.tokenizer
            token_ids = tokenizer.encode(SCRIPT)
            runtime._engine.call(lambda engine: _say(engine, token_ids)).result()
        yield runtime


def _say(engine: Any, token_ids: Sequence[int]) -> None:  # whatever the engine is made of
    # No engine but a measured one has its model exchanged, so there is no public way.
    forward = engine._forward_pass
    forward._runner = ScriptedRunner(token_ids, forward._vocab_size)


def speak(runtime: ChatRuntime, num_tokens: int, seed: int) -> list[Any]:
    """Start the four replies, of so many tokens at most; the same ones for the same seed."""
    replies = []
    for number, prompt in enumerate(PROMPTS[:NUM_STREAMS]):
        sampling = SamplingParams(temperature=0.8, max_tokens=num_tokens, seed=seed + number)
        session = runtime.new_session(f"stream {number + 1}", sampling=sampling)
        replies.append(session.send(prompt))
    return replies


def without_screen(runtime: ChatRuntime, num_tokens: int, seed: int) -> StreamRun:
    """Speak the four chats with nobody looking."""
    started = time.perf_counter()
    replies = speak(runtime, num_tokens, seed)
    for reply in replies:
        reply.wait()
    seconds = time.perf_counter() - started
    run = StreamRun(seconds, sum(reply.num_generated_tokens for reply in replies))
    _forget(runtime)
    return run


async def with_screen(
    runtime: ChatRuntime, num_tokens: int, seed: int, random: Random, num_keys: int
) -> StreamRun:
    """Speak the four chats below the app, the map open, while somebody types."""
    app, driver, ended = await open_app(runtime)
    await until(lambda: app.chat.view is not None)
    await asyncio.sleep(0.5)  # what a start leaves to do is not part of it
    loop = asyncio.get_running_loop()
    gaps: list[float] = []
    echoes: list[float] = []
    is_over = False

    async def beat() -> None:
        while not is_over:
            before = loop.time()
            await asyncio.sleep(HEARTBEAT_SECONDS)
            gaps.append(loop.time() - before - HEARTBEAT_SECONDS)

    def type_keys() -> None:
        for number in range(num_keys):
            if is_over:
                return
            time.sleep(random.uniform(0.03, 0.13))
            echoes.append(driver.echo_seconds(KEYS[number % len(KEYS)]))
            if number % len(KEYS) == len(KEYS) - 1:
                driver.press("ctrl+u")

    written = driver.num_characters
    cpu, started = time.thread_time(), time.perf_counter()
    replies = speak(runtime, num_tokens, seed)
    session = runtime.open_session(replies[0].session_id)
    app.call_later(lambda: app.chat.show_session(app.chat.view_of(session)))
    beating = asyncio.create_task(beat())
    typing = asyncio.create_task(asyncio.to_thread(type_keys))
    while not all(reply.is_finished for reply in replies):
        await asyncio.sleep(0.05)
    seconds, cpu = time.perf_counter() - started, time.thread_time() - cpu
    is_over = True
    await typing
    await beating
    app.exit()
    await ended
    run = StreamRun(
        seconds,
        sum(reply.num_generated_tokens for reply in replies),
        cpu / seconds,
        tuple(echoes),
        tuple(gaps),
        driver.num_characters - written,
        runtime._engine.view_seconds,
    )
    _forget(runtime)
    return run


async def open_app(
    runtime: "ChatRuntime | Callable[[], ChatRuntime]",
    size: tuple[int, int] = SIZE,
    *,
    begins: bool = True,
) -> tuple[KVChatApp, MeterDriver, "Awaitable[object]"]:
    """Start the app on a measuring driver; the last is done when it has ended.

    With `begins` False it stays as in its first frame, before there is a runtime.
    """
    app = KVChatApp(runtime, Settings(block_panel=True))
    if not begins:
        app._begin = lambda: None  # type: ignore[method-assign]  # nothing else leaves it there
    app.driver_class = MeterDriver
    ended = asyncio.create_task(app.run_async(size=size))
    await until(lambda: app.is_running and app.chat.is_mounted)
    driver = app._driver
    assert isinstance(driver, MeterDriver)
    return app, driver, ended


async def until(is_true: Callable[[], bool], timeout: float = 60.0) -> None:
    """Wait until something is so; raises TimeoutError."""
    async with asyncio.timeout(timeout):
        while not is_true():
            await asyncio.sleep(0.01)


def _forget(runtime: ChatRuntime) -> None:
    for session in runtime.sessions():
        session.delete()
