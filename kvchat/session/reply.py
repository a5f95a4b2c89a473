"""Reply: one answer while it streams, for readers of any thread, sync and async."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Generator, Iterator
from contextlib import suppress
from time import monotonic

from kvchat.engine.request import FinishReason, Timing, TokenEvent
from kvchat.errors import KVChatError, ReplyFailed
from kvchat.session.message import Message, MessageNode, MessageState

_END_STATES = {
    FinishReason.CANCELLED: MessageState.INTERRUPTED,
    FinishReason.FAILED: MessageState.FAILED,
}


class Reply:
    """An answer that grows; any number of readers, none of which delays it.

        reply = chat.send("Tell me a story.")
        for piece in reply:                 # or: async for piece in reply
            print(piece, end="", flush=True)
        message = reply.wait()              # or: await reply
        print(message.num_tokens, reply.decode_tokens_per_second)

    Pieces are appended by the engine thread and never change, so a reader is a position in them.
    A reply that goes on behind kept tokens begins with their text as its first piece.
    """

    def __init__(
        self, session_id: str, node: MessageNode, seed: int, cancel: Callable[["Reply"], None]
    ) -> None:
        self.session_id = session_id
        self.seed = seed
        self.finish_reason: str | None = None
        self.error: str | None = None
        self.cause: KVChatError | None = None
        """What ended it, where that was no fault of this reply: the cause of its ReplyFailed."""
        self.error_code: str | None = None
        """Stable code of `error`: 'turn_failed', or what it was, such as 'context_full'."""
        self.is_cancelled = False
        """Whether somebody asked for its end."""
        self.is_detached = False
        """Whether its session stands elsewhere now, so that it must not move there."""
        self.notice: str | None = None
        """What made it slower than it should have been, as one sentence; it changed no word."""
        self._node = node
        self._pieces: list[str] = []
        self._timing = Timing()
        self._cancel = cancel
        self._condition = threading.Condition()
        self._listeners: list[Callable[[], None]] = []
        self._watchers: list[Callable[[], None]] = []

    @property
    def message_id(self) -> str:
        """Id of the message this reply becomes."""
        return self._node.id

    @property
    def text(self) -> str:
        """The text so far."""
        return "".join(self._pieces)

    @property
    def is_finished(self) -> bool:
        """Whether nothing more will come."""
        return self.finish_reason is not None

    @property
    def num_prompt_tokens(self) -> int:
        """Tokens of the whole prompt."""
        return self._timing.num_prompt_tokens

    @property
    def num_cached_tokens(self) -> int:
        """Tokens of the prompt that were in the cache and not computed again."""
        return self._timing.num_cached_tokens

    @property
    def num_generated_tokens(self) -> int:
        """Tokens generated so far."""
        return self._timing.num_generated_tokens

    @property
    def prefill_tokens_per_second(self) -> float:
        """Speed at which the rest of the prompt was computed; 0 before that is known."""
        timing = self._timing
        num_tokens = timing.num_prompt_tokens - timing.num_cached_tokens
        return num_tokens / timing.prefill_seconds if timing.prefill_seconds else 0.0

    @property
    def decode_tokens_per_second(self) -> float:
        """Speed of generation after the first token; 0 before that is known."""
        timing = self._timing
        num_tokens = timing.num_generated_tokens - 1
        return num_tokens / timing.decode_seconds if timing.decode_seconds else 0.0

    def read(self, position: int) -> tuple[str, int]:
        """Return the text behind `position`, a number of pieces, and the new position."""
        end = len(self._pieces)
        return "".join(self._pieces[position:end]), end

    def add_listener(self, callback: Callable[[], None]) -> None:
        """Call back from the engine thread on the first text and at the end; at once if ended."""
        with self._condition:
            if not self.is_finished:
                self._listeners.append(callback)
                return
        callback()

    def cancel(self) -> None:
        """Stop generating; the text so far is kept. Harmless when the reply has ended."""
        if not self.is_finished:
            self.is_cancelled = True
            self._cancel(self)

    def wait(self, timeout: float | None = None) -> Message:
        """Wait for the end and return the message; raises ReplyFailed or TimeoutError."""
        deadline = None if timeout is None else monotonic() + timeout
        with self._condition:
            while not self.is_finished:
                left = None if deadline is None else deadline - monotonic()
                if left is not None and left <= 0:
                    raise TimeoutError("The reply has not ended in time; it goes on.")
                self._condition.wait(left)
        self._raise_if_failed()
        return self._node.message()

    def __await__(self) -> Generator[object, None, Message]:
        return self._ended().__await__()

    async def _ended(self) -> Message:
        async for _ in self:
            pass
        return self._node.message()

    def __iter__(self) -> Iterator[str]:
        position = 0
        while True:
            with self._condition:
                while len(self._pieces) == position and not self.is_finished:
                    self._condition.wait()
                has_ended = self.is_finished
            text, position = self.read(position)
            if text:
                yield text
            if has_ended:
                break
        self._raise_if_failed()

    async def __aiter__(self) -> AsyncIterator[str]:
        loop = asyncio.get_running_loop()
        changed = asyncio.Event()

        def watcher() -> None:
            # A loop that was closed while the reply goes on has no reader any more.
            with suppress(RuntimeError):
                loop.call_soon_threadsafe(changed.set)

        self._watchers.append(watcher)
        try:
            position = 0
            while True:
                changed.clear()
                has_ended = self.is_finished
                text, position = self.read(position)
                if text:
                    yield text
                elif has_ended:
                    break
                else:
                    await changed.wait()
        finally:
            self._watchers.remove(watcher)
        self._raise_if_failed()

    def begin(self, text: str, notice: str | None) -> None:
        """Begin with the text of kept tokens. For whoever writes its prompt, before `take`."""
        self.notice = self._node.notice = notice
        if not text:
            return
        self._node.pieces.append(text)
        with self._condition:
            self._pieces.append(text)
            self._condition.notify_all()
            listeners = list(self._listeners)
        for callback in (*listeners, *self._watchers):
            callback()

    def note(self, event: TokenEvent) -> None:
        """Take the ids and figures of what the engine made; readers see it when `tell` is called.

        Engine thread only, or whoever ends a reply without it.
        """
        self._timing = event.timing
        node = self._node
        if event.token_id is not None:
            node.token_ids.append(event.token_id)
        if event.notice is not None:
            self.notice = node.notice = _joined(self.notice, event.notice)

    def tell(self, event: TokenEvent) -> None:
        """Show readers what was noted, and wake them; whoever noted it calls this."""
        node = self._node
        is_first = bool(event.text) and not self._pieces
        if event.text:
            node.pieces.append(event.text)
        with self._condition:
            if event.text:
                self._pieces.append(event.text)
            listeners = list(self._listeners) if is_first else []
            if event.finish_reason is not None:
                node.num_cached_tokens = self.num_cached_tokens
                node.decode_tokens_per_second = self.decode_tokens_per_second
                node.error = self.error = event.error
                if event.error is not None:
                    self.error_code = event.code or ReplyFailed.code
                node.state = _END_STATES.get(event.finish_reason, MessageState.DONE)
                self.finish_reason = node.finish_reason = event.finish_reason.value
                listeners = self._listeners
                self._listeners = []
            self._condition.notify_all()
        for callback in (*listeners, *self._watchers):
            callback()

    def _raise_if_failed(self) -> None:
        if self.finish_reason == FinishReason.FAILED:
            sentence = self.error or "The reply stopped; its text so far is saved."
            raise ReplyFailed(sentence, code=self.error_code) from self.cause


def _joined(first: str | None, second: str) -> str:
    return second if first is None else f"{first} {second}"
