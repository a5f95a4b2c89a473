"""What tests of sessions share: short ways to say something and to look at what was said."""

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor

from kvchat.kv.contiguous import DynamicCache
from kvchat.runtime import ChatRuntime
from kvchat.sampling_params import SamplingParams
from kvchat.session.message import MessageNode
from kvchat.session.prompt import path_token_ids
from kvchat.session.session import Session

GREEDY = SamplingParams(temperature=0, max_tokens=6)
LONG = SamplingParams(temperature=0, max_tokens=200)


def drawn(seed: int, max_tokens: int = 8) -> SamplingParams:
    """Return settings that draw, the same for the same seed."""
    return SamplingParams(temperature=1.0, seed=seed, max_tokens=max_tokens)


def say(session: Session, text: str, sampling: SamplingParams = GREEDY) -> str:
    """Send a text and return the whole answer."""
    return session.send(text, sampling).wait(60).text


def texts(session: Session) -> list[str]:
    """Return what was said on the path of a session."""
    return [message.text for message in session.messages]


def nodes(session: Session) -> list[MessageNode]:
    """Return the messages of a path with their token ids."""
    with session._host.lock:
        return list(session._nodes())


def ids(session: Session) -> list[int]:
    """Return the token ids of a session's path."""
    return path_token_ids(nodes(session))


def dense_logits(
    runtime: ChatRuntime,
    token_ids: list[int],
    windows: Sequence[tuple[int, int | None, int]] = (),
) -> Tensor:
    """Return [tokens, vocab_size]: what a plain cache says after each of these tokens.

    windows  from which position on which window and sinks hold, in order; without any all is seen
    """

    def run(engine: object) -> Tensor:
        model = engine._forward_pass._runner._model  # type: ignore[attr-defined]
        cache = DynamicCache(model.config.kv_spec())
        sequence = cache.open()
        logits: list[Tensor] = []
        starts = {start for start, _, _ in windows} | {
            max(start, window + sinks) for start, window, sinks in windows if window is not None
        }
        borders = sorted({0, len(token_ids), *(at for at in starts if at < len(token_ids))})
        for first, behind in pairwise(borders):
            for _, window, sinks in [each for each in windows if each[0] <= first][-1:]:
                cache.set_window(sequence, window, sinks)
            positions = torch.arange(first, behind)
            step = cache.reserve([(sequence, behind - first)])
            with torch.inference_mode():
                ids = torch.tensor(token_ids[first:behind])
                logits.append(model(ids, positions, cache, positions - first))
            step.commit()
        return torch.cat(logits).float()

    return runtime._engine.call(run).result(60)
