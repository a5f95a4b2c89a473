"""Random programs over a session family: prompts and words never depend on what is cached.

A twin is believed: it holds message texts and ids by itself, renders and encodes every prompt again
from its texts, and asks a dense run without cache for every word.
"""

import os
import random
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from kvchat.engine.sampler import SamplerRow, sample
from kvchat.runtime import ChatRuntime
from kvchat.sampling_params import SamplingParams
from kvchat.session.session import Session
from tests.session.session_kit import dense_logits, ids, nodes, texts

MakeRuntime = Callable[..., ChatRuntime]
WORDS = ["river", "and", "Anna", "héllo", "🌍", "one two", "<|end|>", "  so\n", "42", "window"]
END = 7
BLOCK_SIZE = SINKS = 8


@dataclass(frozen=True)
class Said:
    """One message as the twin knows it: what was said, and the ids it added to its parent's."""

    text: str
    token_ids: tuple[int, ...]
    window: int | None = None


@dataclass
class Twin:
    """A session as a list of what was said, the places it can go back to, and its window."""

    path: list[Said] = field(default_factory=list)
    undo: list[list[Said]] = field(default_factory=list)
    window: int | None = None

    def move(self, path: list[Said]) -> None:
        self.undo.append(self.path)
        self.path = path


class Program:
    """Runs moves on real sessions and on twins, and compares them after each."""

    def __init__(self, runtime: ChatRuntime, rng: random.Random) -> None:
        self.runtime = runtime
        self.rng = rng
        self.pairs: list[tuple[Session, Twin]] = [(runtime.new_session(window=None), Twin())]
        self.is_warm = True
        self.has_windows = False

    def sampling(self) -> SamplingParams:
        return SamplingParams(
            temperature=self.rng.choice([0.0, 0.8]),
            top_p=self.rng.choice([1.0, 0.9]),
            repetition_penalty=self.rng.choice([1.0, 1.1]),
            seed=self.rng.randrange(1000),
            max_tokens=self.rng.randrange(1, 7),
        )

    def words(self) -> str:
        return " ".join(self.rng.choices(WORDS, k=self.rng.randrange(1, 5))) + "."

    def prompt_ids(self, before: list[Said], text: str) -> tuple[int, ...]:
        """Return what a user message adds: the end of the reply before it, and its own turn.

        The bundled template never rewrites history, so it is the rendered turn alone.
        """
        tokenizer = self.runtime.host._prompts.voice().writer.tokenizer
        turn = f"<|user|>{tokenizer.mask(text)}<|end|><|assistant|>"
        if not before:
            return tuple(tokenizer.encode_rendered("<s>" + turn))
        last = before[-1].token_ids[-1]
        if last == END:
            return tuple(tokenizer.encode_continuation(turn, last))
        return tuple(tokenizer.encode_continuation("<|end|>" + turn, last))

    def windows(self, path: list[Said]) -> list[tuple[int, int | None, int]]:
        """Return from where on which window holds: from the token before each message's first."""
        found: list[tuple[int, int | None, int]] = []
        length = 0
        for said in path:
            change = (max(0, length - 1), said.window, 0 if said.window is None else SINKS)
            found = [each for each in found if each[0] < change[0]] + [change]
            length += len(said.token_ids)
        return found

    def take(
        self, session: Session, before: list[Said], sampling: SamplingParams, num_forced: int = 0
    ) -> list[Said]:
        """Return `before` and the reply that has just ended, whose words a dense run must say."""
        reply = nodes(session)[-1]
        said = Said(reply.text, tuple(reply.token_ids), session.window)
        windows = self.windows([*before, said])
        prompt = [token for said in before for token in said.token_ids]
        assert sampling.seed is not None
        for place in range(num_forced, len(reply.token_ids)):
            so_far = prompt + reply.token_ids[:place]
            row = SamplerRow(sampling, sampling.seed, len(so_far), so_far)
            logits = dense_logits(self.runtime, so_far, windows)[-1:]
            assert sample(logits, [row]) == [reply.token_ids[place]]
        return [*before, said]

    def step(self) -> None:
        place = self.rng.randrange(len(self.pairs))
        session, twin = self.pairs[place]
        moves = [self.send, self.send, self.undo]
        if self.has_windows:
            moves += [self.change_window]
        if twin.path:
            moves += [self.regenerate, self.edit, self.rewind, self.fork, self.hide, self.visit]
            moves += [self.token, self.token, self.release]
        move = self.rng.choice(moves)
        move(session, twin)
        self.compare()

    def compare(self) -> None:
        for session, twin in self.pairs:
            assert texts(session) == [said.text for said in twin.path]
            flat = [token for said in twin.path for token in said.token_ids]
            assert ids(session) == flat

    # Moves

    def send(self, session: Session, twin: Twin) -> None:
        text = self.words()
        asked = Said(text, self.prompt_ids(twin.path, text), twin.window)
        sampling = self.sampling()
        session.send(text, sampling).wait(60)
        twin.path = self.take(session, [*twin.path, asked], sampling)

    def edit(self, session: Session, twin: Twin) -> None:
        place = self.rng.randrange(len(twin.path) // 2) * 2
        text = self.words()
        before = twin.path[:place]
        asked = Said(text, self.prompt_ids(before, text), twin.window)
        sampling = self.sampling()
        reply = session.edit(session.messages[place].id, text, sampling)
        assert reply is not None
        reply.wait(60)
        twin.move(self.take(session, [*before, asked], sampling))

    def regenerate(self, session: Session, twin: Twin) -> None:
        sampling = self.sampling()
        session.regenerate(sampling).wait(60)
        twin.move(self.take(session, twin.path[:-1], sampling))

    def token(self, session: Session, twin: Twin) -> None:
        old = twin.path[-1].token_ids
        keep = self.rng.randrange(len(old) + (old[-1] != END))
        token = self.rng.choice([300, 2000, END, 230])
        sampling = self.sampling()
        if self.rng.random() < 0.5:
            reply = session.regenerate(sampling, keep_tokens=keep, token=token)
            reply.wait(60)
            twin.move(self.take(session, twin.path[:-1], sampling, keep + 1))
        else:
            session.set_sampling(sampling)
            start = sum(len(said.token_ids) for said in twin.path[:-1])
            child = session.fork(at=start + keep, token=token)
            assert child.reply is not None
            child.reply.wait(60)
            path = self.take(child, twin.path[:-1], sampling, keep + 1)
            self.pairs.append((child, Twin(path, window=twin.window)))
            session, reply = child, child.reply
        new = nodes(session)[-1].token_ids
        assert new[: keep + 1] == [*old[:keep], token]
        # The forced token, the last one kept where it was drawn and never computed, and a last
        # block that other moves have cut open: full blocks are found again.
        if reply.num_generated_tokens and self.is_warm and not self.has_windows:
            assert reply.num_prompt_tokens - reply.num_cached_tokens <= 2 + BLOCK_SIZE

    def rewind(self, session: Session, twin: Twin) -> None:
        turns = self.rng.randrange(1, len(twin.path) // 2 + 1)
        session.rewind(turns=turns)
        twin.move(twin.path[: -2 * turns])

    def undo(self, session: Session, twin: Twin) -> None:
        assert session.undo() == bool(twin.undo)
        if twin.undo:
            twin.path = twin.undo.pop()

    def hide(self, session: Session, twin: Twin) -> None:
        place = self.rng.randrange(len(twin.path) // 2) * 2
        session.hide(session.messages[place].id)
        twin.move(twin.path[:place])

    def visit(self, session: Session, twin: Twin) -> None:
        tree = session.tree()
        replies = [each for each in tree.nodes if tree.nodes[each].message.role == "assistant"]
        session.visit(self.rng.choice(replies))
        path = [Said(node.text, tuple(node.token_ids), node.window) for node in nodes(session)]
        if path != twin.path:
            twin.move(path)
        # Nodes never change, so the ids above it are those that were compared when it was made.
        if len(path) % 2:
            self.rewind_to_even(session, twin)

    def rewind_to_even(self, session: Session, twin: Twin) -> None:
        session.rewind(turns=1)
        twin.move(twin.path[:-1])

    def fork(self, session: Session, twin: Twin) -> None:
        place = self.rng.randrange(1, len(twin.path) // 2 + 1) * 2
        child = session.fork(at=session.messages[place - 1].id)
        self.pairs.append((child, Twin(twin.path[:place], window=twin.window)))

    def change_window(self, session: Session, twin: Twin) -> None:
        """Read what follows under another window, at no cost where nothing larger is seen."""
        window = self.rng.choice([None, None, 16, 24, 40])
        is_smaller = window is not None and (twin.window is None or window <= twin.window)
        before = session.resume_cost().num_prefill_tokens
        plan = session.set_window(window, SINKS)
        if is_smaller and self.is_warm:
            assert plan.num_prefill_tokens <= max(1, before)
        twin.window = window

    def release(self, session: Session, twin: Twin) -> None:
        """Give the blocks of a session back; what they held is found again or computed again."""
        self.runtime.host.release(session.id)


def seeds(count: int) -> list[int]:
    chosen = os.environ.get("KVCHAT_SEED")
    return list(range(count)) if chosen is None else [int(chosen)]


def run(
    make_runtime: MakeRuntime,
    seed: int,
    num_steps: int,
    *,
    has_windows: bool = False,
    **options: object,
) -> None:
    rng = random.Random(seed)
    runtime = make_runtime(save=False, block_size=BLOCK_SIZE, **options)
    program = Program(runtime, rng)
    program.is_warm = "pool_bytes" not in options
    program.has_windows = has_windows
    for _ in range(num_steps):
        program.step()
        while len(program.pairs) > 4:
            program.pairs.pop(0)[0].delete()


@pytest.mark.parametrize("seed", seeds(4))
def test_words_never_depend_on_the_cache(make_runtime: MakeRuntime, seed: int) -> None:
    run(make_runtime, seed, 40)


@pytest.mark.parametrize("seed", seeds(2))
def test_words_never_depend_on_a_pool_that_is_too_small(
    make_runtime: MakeRuntime, seed: int
) -> None:
    run(make_runtime, 100 + seed, 40, pool_bytes=160 << 10)


@pytest.mark.parametrize("seed", seeds(3))
def test_words_never_depend_on_when_a_window_changed(make_runtime: MakeRuntime, seed: int) -> None:
    run(make_runtime, 310 + seed, 40, has_windows=True)


@pytest.mark.parametrize("seed", seeds(2))
def test_words_behind_changed_windows_never_depend_on_a_pool_that_is_too_small(
    make_runtime: MakeRuntime, seed: int
) -> None:
    run(make_runtime, 400 + seed, 40, has_windows=True, pool_bytes=160 << 10)


@pytest.mark.slow
@pytest.mark.parametrize("seed", seeds(20))
def test_words_never_depend_on_the_cache_in_long_programs(
    make_runtime: MakeRuntime, seed: int
) -> None:
    run(make_runtime, 200 + seed, 250, has_windows=seed % 2 == 1)
