"""Random programs over an engine, checked against a run without cache after every step.

A program opens, asks, steps, forks, rewinds, cancels and closes in an order that its seed decides.
Lengths like to lie at the edges of blocks, and pools like to be full.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from kvchat.engine.engine import Engine
from kvchat.engine.request import FinishReason
from kvchat.kv.prefix_index import num_equal
from kvchat.kv.window_schedule import WindowChange, WindowSchedule
from kvchat.sampling_params import SamplingParams
from tests.engine.engine_kit import (
    VOCAB_SIZE,
    Reader,
    ask,
    assert_all_blocks_come_back,
    random_tokens,
    run,
)


class Oracle(Protocol):
    """Knows the right tokens without a cache."""

    def wrong_tokens(
        self, reader: Reader, generated: Sequence[int], windows: Sequence[WindowChange]
    ) -> list[int]: ...


@dataclass
class Chat:
    """One open sequence as the program knows it; the last window is for what follows."""

    windows: list[WindowChange]
    text: list[int]
    reader: Reader | None = None

    def cut(self, length: int) -> None:
        """Keep the first tokens; what follows is read under the last window."""
        current = self.windows[-1]
        self.windows = [each for each in self.windows if each.start < length or not each.start]
        if self.windows[-1][1:] != current[1:]:
            self.change_window(current._replace(start=max(0, length)))

    def change_window(self, change: WindowChange) -> None:
        """Read what comes from a position on under another window."""
        self.windows = [each for each in self.windows if each.start < change.start] + [change]


class Program:
    """Runs random commands; raises AssertionError on the first wrong token or count."""

    def __init__(
        self,
        rng: random.Random,
        engine: Engine,
        oracle: Oracle,
        *,
        max_chats: int = 12,
        max_tokens: int = 150,
        is_greedy: bool = False,
    ) -> None:
        self.rng = rng
        self.engine = engine
        self.oracle = oracle
        self.max_chats = max_chats
        self.max_tokens = max_tokens
        self.is_greedy = is_greedy
        self.chats: dict[str, Chat] = {}
        self.num_opened = 0
        self.num_checked_tokens = 0
        self.reasons: list[FinishReason] = []

    def run(self, num_commands: int) -> None:
        """Run commands, then everything that still generates, and close all."""
        for _ in range(num_commands):
            command = self.rng.choices(
                (
                    self.open,
                    self.ask,
                    self.step,
                    self.fork,
                    self.rewind,
                    self.cancel,
                    self.close,
                    self.change_window,
                ),
                (3, 10, 22, 4, 4, 2, 1, 4),
            )[0]
            command()
            self.engine.cache.check_integrity()
            self.collect()
        run(self.engine)
        self.collect()
        assert all(chat.reader is None for chat in self.chats.values())
        assert_all_blocks_come_back(self.engine)

    def open(self) -> None:
        if len(self.chats) >= self.max_chats:
            return
        change = self._any_window(0)
        self.num_opened += 1
        name = f"chat {self.num_opened}"
        self.engine.open(name, window=change.window, sinks=change.sinks)
        self.chats[name] = Chat([change], [])

    def change_window(self) -> None:
        """Read what follows, or now and then what is there already, under another window."""
        name = self._any_idle()
        if name is None:
            return
        chat = self.chats[name]
        # As sessions do: the last token of a reply is not computed yet.
        start = max(0, len(chat.text) - self.rng.choice([0, 1, 1, 1]))
        if self.rng.random() < 0.2:
            start = self._length_within(chat.text)
        chat.change_window(self._any_window(start))
        if self.rng.random() < 0.7:
            self.engine.set_windows(name, chat.windows)

    def ask(self) -> None:
        name = self._any_idle()
        if name is None:
            return
        chat = self.chats[name]
        kind = self.rng.randrange(6)
        prompt = list(chat.text)
        if kind == 0 and self.chats:
            # Starts like somebody else's text, perhaps all of it.
            other = self.rng.choice(list(self.chats.values())).text
            prompt = other[: self._length_within(other)]
        elif kind == 1:
            # Another branch of its own text.
            prompt = prompt[: self._length_within(prompt)]
        if kind != 2 or not prompt:
            prompt += random_tokens(self.rng, self.rng.choice([1, 2, 9, self._to_edge(prompt)]))
        if len(prompt) > self.max_tokens:
            prompt = prompt[: self.rng.randint(1, self.max_tokens)]
        num_kept = num_equal(chat.text, prompt)
        chat.cut(num_kept)
        reader = ask(
            self.engine,
            name,
            prompt,
            self._sampling(),
            windows=chat.windows,
            seed=self.rng.randrange(100),
            stop_ids=frozenset([self.rng.randrange(VOCAB_SIZE)]),
        )
        chat.text, chat.reader = prompt, reader

    def step(self) -> None:
        for _ in range(self.rng.choice([1, 1, 2, 5])):
            self.engine.step()
            self.engine.cache.check_integrity()
            self.collect()

    def fork(self) -> None:
        if len(self.chats) >= self.max_chats or not self.chats:
            return
        parent = self.rng.choice(list(self.chats))
        chat = self.chats[parent]
        text = chat.text if chat.reader is None else [*chat.text, *chat.reader.tokens]
        length = self.rng.choice([None, self._length_within(text)])
        self.num_opened += 1
        child = f"chat {self.num_opened}"
        num_computed = self.engine.fork(parent, child, length)
        assert num_computed <= len(text)
        self.chats[child] = Chat(list(chat.windows), text[:length])
        self.chats[child].cut(len(self.chats[child].text))

    def rewind(self) -> None:
        name = self._any_idle()
        if name is None:
            return
        chat = self.chats[name]
        length = self._length_within(chat.text)
        chat.cut(length)
        assert self.engine.rewind(name, length, chat.windows) <= length
        del chat.text[length:]

    def cancel(self) -> None:
        running = [chat.reader for chat in self.chats.values() if chat.reader is not None]
        if not running:
            return
        request = self.rng.choice(running).request
        if self.rng.random() < 0.5:
            self.engine.cancel(request)
        request.is_cancelled = True

    def close(self) -> None:
        if self.chats:
            name = self.rng.choice(list(self.chats))
            chat = self.chats[name]
            self.engine.close(name)
            self.engine.close(name)
            assert chat.reader is None or chat.reader.reason is FinishReason.CANCELLED
            del self.chats[name]

    def collect(self) -> None:
        """Check every reply that has ended."""
        for chat in self.chats.values():
            reader = chat.reader
            if reader is None or reader.reason is None:
                continue
            self.check(chat, reader)
            chat.text = [*reader.request.token_ids, *reader.tokens]
            chat.reader = None

    def check(self, chat: Chat, reader: Reader) -> None:
        generated = reader.tokens
        assert [event.finish_reason for event in reader.events[:-1]] == [None] * (
            len(reader.events) - 1
        )
        wrong = self.oracle.wrong_tokens(reader, generated, chat.windows)
        assert not wrong, f"wrong tokens at {wrong} of {len(generated)}"
        self.num_checked_tokens += len(generated)
        assert reader.reason is not None
        self.reasons.append(reader.reason)
        limit = reader.request.sampling.max_tokens
        match reader.reason:
            case FinishReason.LENGTH:
                assert len(generated) == limit
            case FinishReason.STOP:
                assert generated[-1] in reader.request.stop_ids
            case FinishReason.CANCELLED:
                assert reader.request.is_cancelled
            case FinishReason.FAILED:
                self.check_failed_for_want_of_room(chat, reader)
            case FinishReason.CONTEXT:
                assert len(reader.request.token_ids) + len(generated) == self.engine.context_tokens

    def check_failed_for_want_of_room(self, chat: Chat, reader: Reader) -> None:
        """A reply may end early only where not even the empty pool could hold it."""
        assert reader.error is not None and " pool " in reader.error
        cache = self.engine.cache
        size = cache.block_size
        num_tokens = len(reader.request.token_ids) + len(reader.tokens)
        needed = num_tokens // size + 1 if not reader.tokens else (num_tokens - 1) // size + 1
        is_too_large = False
        schedule = WindowSchedule.of(chat.windows, size)
        for group, pool in zip(cache.spec.groups, cache.pools, strict=True):
            most = schedule.within(group.window).most_blocks(size)
            is_too_large |= min(needed, needed if most is None else most) > pool.num_blocks
        assert is_too_large

    def _any_window(self, start: int) -> WindowChange:
        window = self.rng.choice([None, None, None, 1, 7, 16, 33])
        sinks = 0 if window is None else self.rng.choice([0, 0, 1, 5])
        size = self.engine.cache.block_size
        return WindowChange(start, window, -(-sinks // size) * size)

    def _any_idle(self) -> str | None:
        idle = [name for name, chat in self.chats.items() if chat.reader is None]
        return self.rng.choice(idle) if idle else None

    def _length_within(self, text: Sequence[int]) -> int:
        """Return a length up to that of the text, often next to the edge of a block."""
        size = self.engine.cache.block_size
        length = self.rng.randint(0, len(text))
        if self.rng.random() < 0.6:
            length = length // size * size + self.rng.choice([-1, 0, 1])
        return min(max(length, 0), len(text))

    def _to_edge(self, text: Sequence[int]) -> int:
        size = self.engine.cache.block_size
        wanted = self.rng.randint(1, 3) * size + self.rng.choice([-1, 0, 1])
        return max(1, wanted - len(text) % size)

    def _sampling(self) -> SamplingParams:
        max_tokens = self.rng.choice([1, 2, 5, 12, 30])
        if self.is_greedy or self.rng.random() < 0.5:
            return SamplingParams(temperature=0.0, max_tokens=max_tokens)
        return SamplingParams(
            temperature=self.rng.choice([0.5, 1.0, 3.0]),
            top_k=self.rng.choice([0, 5]),
            top_p=self.rng.choice([1.0, 0.9]),
            min_p=self.rng.choice([0.0, 0.05]),
            repetition_penalty=self.rng.choice([1.0, 1.3]),
            max_tokens=max_tokens,
        )
