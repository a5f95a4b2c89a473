"""Sampler: logits of a step to one token per row, and what else it could have been.

A draw depends on (seed, position) alone: neither neighbours nor retries shift random numbers.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b

import torch
from torch import Tensor

from kvchat.sampling_params import SamplingParams
from kvchat.token_records import NUM_ALTERNATIVES, TokenRecord


@dataclass(frozen=True, slots=True)
class SamplerRow:
    """How to pick the token at `position` of one sequence; `context` feeds the penalty."""

    params: SamplingParams
    seed: int
    position: int
    context: Sequence[int]


def uniform(seed: int, position: int) -> float:
    """Return a number in [0, 1) that depends on seed and position alone.

    A multiple of 2**-24, so that float32 holds it exactly and never rounds it up to 1.
    """
    digest = blake2b(b"%d|%d" % (seed, position), digest_size=8).digest()
    return (int.from_bytes(digest, "little") >> 40) * 2.0**-24


@dataclass(frozen=True, slots=True)
class Choice:
    """One token that was picked, and the packed TokenRecord of its place."""

    token_id: int
    record: bytes


def sample(logits: Tensor, rows: Sequence[SamplerRow]) -> list[int]:
    """Pick one token per row; see `choose`."""
    return [choice.token_id for choice in choose(logits, rows)]


def choose(logits: Tensor, rows: Sequence[SamplerRow]) -> list[Choice]:
    """Pick one token per row, and keep what else it could have been.

    logits  [R, vocab_size] in any float dtype; NaN and -inf are never chosen where another is not
    return  R choices

    Order: repetition penalty (Keskar et al. 2019), temperature, top-k, top-p (Holtzman et al.
    2020), min-p (Nguyen et al. 2024), inverse of the cumulative distribution. Each filter sees
    the probabilities that the one before left; equal logits are ordered by token id. Records have
    the probabilities before all of these, and those after them, which the draw was made with.
    """
    logits = logits.float()
    raw = logits = logits.masked_fill(logits.isnan(), float("-inf"))  # [R, V]
    penalized = [index for index, row in enumerate(rows) if row.params.repetition_penalty != 1.0]
    if penalized:
        logits = raw.clone()
    for index in penalized:
        _penalize(logits[index], rows[index])
    chosen = logits.argmax(-1, keepdim=True)  # [R, 1]
    top_logits, top_ids = raw.topk(min(NUM_ALTERNATIVES, raw.shape[1]))  # [R, A]
    drawn = (top_ids == chosen).float()  # [R, A]
    drawing = [index for index, row in enumerate(rows) if row.params.temperature > 0]
    if drawing:
        places = torch.tensor(drawing, device=logits.device)
        picked, odds = _draw(
            logits.index_select(0, places),
            [rows[index] for index in drawing],
            top_ids.index_select(0, places),
        )
        chosen[places], drawn[places] = picked, odds
    values = torch.cat([raw.gather(1, chosen), top_logits], dim=1)
    values -= raw.logsumexp(-1, keepdim=True)  # [R, 1 + A], logarithms of probabilities
    return [
        Choice(token_id, TokenRecord(logprob, tuple(ids), tuple(logprobs), tuple(odds)).pack())
        for (token_id,), ids, (logprob, *logprobs), odds in zip(
            chosen.tolist(), top_ids.tolist(), values.tolist(), drawn.tolist(), strict=True
        )
    ]


def _penalize(logits: Tensor, row: SamplerRow) -> None:
    seen = torch.tensor(list(set(row.context)), dtype=torch.int64, device=logits.device)
    if seen.numel() == 0:
        return
    values, penalty = logits[seen], row.params.repetition_penalty
    weighed = torch.where(values > 0, values / penalty, values * penalty)
    logits[seen] = weighed.clamp(max=torch.finfo(weighed.dtype).max)


def _draw(logits: Tensor, rows: Sequence[SamplerRow], some_ids: Tensor) -> tuple[Tensor, Tensor]:
    """Draw a token per row.

    logits    [R, V], penalized
    some_ids  [R, A], tokens to tell the chances of
    return    tokens [R, 1], and the probability each of `some_ids` was drawn with [R, A]
    """

    def column(values: list[float]) -> Tensor:
        return torch.tensor(values, dtype=torch.float32, device=logits.device)[:, None]

    vocab_size = logits.shape[1]
    # The largest becomes 0 first: a small temperature must not overflow.
    logits = logits - logits.amax(-1, keepdim=True)
    logits = logits / column([row.params.temperature for row in rows])
    # Stable, so that a tie at the edge of a filter does not depend on the shape of the batch.
    ordered, token_ids = logits.sort(stable=True, dim=-1, descending=True)
    rank = torch.arange(vocab_size, device=logits.device)
    keep = rank < column([float(row.params.top_k or vocab_size) for row in rows])
    probabilities = ordered.masked_fill(~keep, float("-inf")).softmax(-1)  # [R, V], likeliest first
    before = probabilities.cumsum(-1) - probabilities
    # A rounded sum may reach 1 early, so 1 is no limit at all.
    limits = [row.params.top_p if row.params.top_p < 1 else 2.0 for row in rows]
    keep &= before < column(limits)
    keep &= probabilities >= probabilities[:, :1] * column([row.params.min_p for row in rows])
    keep[:, 0] = True
    cumulative = torch.where(keep, probabilities, 0.0).cumsum(-1)  # [R, V]
    totals = cumulative[:, -1:]  # [R, 1]
    draws = column([uniform(row.seed, row.position) for row in rows])
    places = torch.searchsorted(cumulative, draws * totals, right=True)
    last_kept = keep.sum(-1, keepdim=True) - 1
    places = torch.minimum(places, last_kept)
    # Of the likeliest, whose logit is 0 here, everything else is a multiple.
    some = logits.gather(1, some_ids)  # [R, A]
    odds = some.exp() * (probabilities[:, :1] / totals)
    odds = odds.masked_fill(some < ordered.gather(1, last_kept), 0.0)
    return token_ids.gather(1, places), odds
