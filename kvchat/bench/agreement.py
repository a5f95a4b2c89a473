"""Whether contestants compute the same model: asked before any of them is timed.

The truth is our model in float32 over `NoCache`, which is one matrix product, one mask and one
softmax. Likeness of logits is their correlation. A greedy choice is judged by its regret: how far
below the truth's best logit it lies, in standard deviations of the logits; whoever computes another
model chooses at random, which costs several of them.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from kvchat.bench.contestant import Contestant
from kvchat.errors import KVChatError
from kvchat.kv.contiguous import NoCache
from kvchat.model.transformer import Transformer


@dataclass(frozen=True, slots=True)
class Bound:
    """How alike logits must be, and how much a choice may be regretted, at a precision."""

    least_correlation: float
    most_regret: float


BOUNDS = {
    "fp32": Bound(0.99999, 0.02),
    "bf16": Bound(0.998, 0.5),
    "int8": Bound(0.99, 0.8),
    "int4": Bound(0.80, math.inf),
}
"""By the precision of the weights; both peers are held to the same.

With four bits a model of random weights, whose likeliest words stand far out, often says another
one: of it only the logits are judged.
"""


@dataclass(frozen=True, slots=True)
class Agreement:
    """What was found of one contestant."""

    name: str
    correlation: float
    regret: float


def check_contestant(
    contestant: Contestant,
    dense: Transformer,
    prompts: Sequence[Sequence[int]],
    bound: Bound,
    *,
    num_known: int,
    num_steps: int = 4,
) -> Agreement:
    """Compare a contestant with the truth, alone and in a batch.

    num_known  so many tokens have words; the others' logits are 0 everywhere

    Raises KVChatError, and nothing may be timed then, where it is further off than `bound`.
    """
    expected = dense_logits(dense, prompts[0])[-1, :num_known]
    found = torch.tensor(contestant.logits(prompts[0]))[:num_known]
    correlation = torch.corrcoef(torch.stack((expected, found)))[0, 1].item()
    contestant.begin(prompts)
    for _ in range(num_steps):
        contestant.step()
    said = contestant.said()
    contestant.end()
    agreement = Agreement(contestant.name, correlation, regret(dense, prompts, said))
    is_like = correlation >= bound.least_correlation and agreement.regret <= bound.most_regret
    if not is_like:  # also where one of them is no number
        raise KVChatError(
            f"{contestant.name} computes something else, so nothing is timed: correlation of logits"
            f" {correlation:.6f} (at least {bound.least_correlation}), greatest regret"
            f" {agreement.regret:.3f} (at most {bound.most_regret})."
        )
    return agreement


def regret(
    dense: Transformer, prompts: Sequence[Sequence[int]], said: Sequence[Sequence[int]]
) -> float:
    """Return the greatest regret of what streams said behind their prompts."""
    worst = 0.0
    for prompt, words in zip(prompts, said, strict=True):
        logits = dense_logits(dense, [*prompt, *words[:-1]])[len(prompt) - 1 :]  # [words, V]
        chosen = logits.gather(1, torch.tensor(words)[:, None])[:, 0]
        regrets = (logits.amax(-1) - chosen) / logits.std(-1)
        worst = max(worst, regrets.max().item())
    return worst


def dense_logits(dense: Transformer, tokens: Sequence[int]) -> Tensor:
    """Return the logits that follow each token, [tokens, vocab_size] in float32."""
    cache = NoCache(dense.config.kv_spec())
    step = cache.reserve([(cache.open(), len(tokens))])
    with torch.inference_mode():
        found = dense(torch.tensor(tokens), torch.tensor(step.positions), cache)
    step.rollback()
    return found.float()  # type: ignore[no-any-return]
