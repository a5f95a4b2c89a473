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
from kvchat.kv.spec import VisibleSet
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
        self, reader: Reader, generated: Sequence[int], window: int | None, sinks: int
    ) -> list[int]: ...


@dataclass
class Chat:
    """One open sequence as the program knows it."""

    window: int | None
    sinks: int
    text: list[int]
    reader: Reader | None = None


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
                (self.open, self.ask, self.step, self.fork, self.rewind, self.cancel, self.close),
                (3, 10, 22, 4, 4, 2, 1),
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
        window = self.rng.choice([None, None, None, 1, 7, 16, 33])
        sinks = 0 if window is None else self.rng.choice([0, 0, 1, 5])
        self.num_opened += 1
        name = f"chat {self.num_opened}"
        self.engine.open(name, window=window, sinks=sinks)
        size = self.engine.cache.block_size
        self.chats[name] = Chat(window, -(-sinks // size) * size, [])

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
        reader = ask(
            self.engine,
            name,
            prompt,
            self._sampling(),
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
        self.chats[child] = Chat(chat.window, chat.sinks, text[:length])

    def rewind(self) -> None:
        name = self._any_idle()
        if name is None:
            return
        chat = self.chats[name]
        length = self._length_within(chat.text)
        assert self.engine.rewind(name, length) <= length
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
        wrong = self.oracle.wrong_tokens(reader, generated, chat.window, chat.sinks)
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
        for group, pool in zip(cache.spec.groups, cache.pools, strict=True):
            seen, most = VisibleSet(chat.window, chat.sinks).within(group.window), needed
            if seen.window is not None:
                most = min(needed, seen.sinks // size + (seen.window + size - 2) // size + 1)
            is_too_large |= most > pool.num_blocks
        assert is_too_large

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
