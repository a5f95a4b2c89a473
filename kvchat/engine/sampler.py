"""Sampler: logits of a step to one token per row, and what else it could have been.

A draw depends on (seed, position) alone: neither neighbours nor retries shift random numbers.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b
from math import log

import torch
from torch import Tensor

from kvchat.engine.logit_reader import LogitReader, LogitReading
from kvchat.sampling_params import SamplingParams
from kvchat.token_records import NUM_ALTERNATIVES, TokenRecord

NUM_CANDIDATES = 256
"""So many of the likeliest tokens are looked at first; a draw that may take others sorts all."""

PLAIN = LogitReader()


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


def choose(logits: Tensor, rows: Sequence[SamplerRow], reader: LogitReader = PLAIN) -> list[Choice]:
    """Pick one token per row, and keep what else it could have been.

    logits  [R, vocab_size] in any float dtype; NaN and -inf are never chosen where another is not
    reader  what finds the likeliest
    return  R choices

    Order: repetition penalty (Keskar et al. 2019), temperature, top-k, top-p (Holtzman et al.
    2020), min-p (Nguyen et al. 2024), inverse of the cumulative distribution. Each filter sees
    the probabilities that the one before left; equal logits are ordered by token id. Records have
    the probabilities before all of these, and those after them, which the draw was made with.
    """
    reading = reader.read(logits.float(), min(NUM_ALTERNATIVES, logits.shape[1]))
    raw = logits = reading.logits  # [R, V]
    chosen, top_ids = reading.likeliest, reading.top_ids  # [R, 1], [R, A]
    penalized = [index for index, row in enumerate(rows) if row.params.repetition_penalty != 1.0]
    if penalized:
        logits = raw.clone()
    for index in penalized:
        _penalize(logits[index], rows[index])
    if penalized:
        chosen = logits.argmax(-1, keepdim=True)
    drawing = [index for index, row in enumerate(rows) if row.params.temperature > 0]
    drawn: Tensor | None = None
    if drawing:
        drawn = (top_ids == chosen).float()  # [R, A]
        if len(drawing) == len(rows):
            chosen, drawn = _draw(logits, rows, top_ids, reader)
        else:
            chosen = chosen.clone()
            places = torch.tensor(drawing, device=logits.device)
            chosen[places], drawn[places] = _draw(
                logits.index_select(0, places),
                [rows[index] for index in drawing],
                top_ids.index_select(0, places),
                reader,
            )
    token_ids = chosen[:, 0].tolist()
    records = _pack(reading, token_ids, None if drawn is None else drawn.tolist())
    return [Choice(*each) for each in zip(token_ids, records, strict=True)]


def records_of(logits: Tensor, token_ids: Sequence[int]) -> list[bytes]:
    """Return packed TokenRecords of tokens that nobody drew.

    logits     [R, vocab_size], before each token
    token_ids  R tokens
    """
    reading = PLAIN.read(logits.float(), min(NUM_ALTERNATIVES, logits.shape[1]))
    return _pack(reading, token_ids, [[0.0] * reading.top_ids.shape[1]] * len(token_ids))


def _pack(
    reading: LogitReading, token_ids: Sequence[int], chances: list[list[float]] | None
) -> list[bytes]:
    """Return a packed record per row.

    token_ids  R tokens that were chosen
    chances    what each of the likeliest was drawn with, [R, A]; None: the chosen ones are certain
    """
    # Numbers of Python: on so few of them each operator of torch takes longer than all of this.
    records = []
    for row, (token_id, ids, logits, total) in enumerate(
        zip(
            token_ids,
            reading.top_ids.tolist(),
            reading.top_logits.tolist(),
            reading.sums[:, 0].tolist(),
            strict=True,
        )
    ):
        log_sum = log(total) + logits[0] if total > 0 else logits[0]
        is_likely = token_id in ids
        logit = logits[ids.index(token_id)] if is_likely else float(reading.logits[row, token_id])
        odds = [float(each == token_id) for each in ids] if chances is None else chances[row]
        record = TokenRecord(
            logit - log_sum, tuple(ids), tuple(each - log_sum for each in logits), tuple(odds)
        )
        records.append(record.pack())
    return records


def _penalize(logits: Tensor, row: SamplerRow) -> None:
    seen = torch.tensor(list(set(row.context)), dtype=torch.int64, device=logits.device)
    if seen.numel() == 0:
        return
    values, penalty = logits[seen], row.params.repetition_penalty
    weighed = torch.where(values > 0, values / penalty, values * penalty)
    logits[seen] = weighed.clamp(max=torch.finfo(weighed.dtype).max)


def _draw(
    logits: Tensor, rows: Sequence[SamplerRow], some_ids: Tensor, reader: LogitReader
) -> tuple[Tensor, Tensor]:
    """Draw a token per row.

    logits    [R, V], penalized
    some_ids  [R, A], tokens to tell the chances of
    return    tokens [R, 1], and the probability each of `some_ids` was drawn with [R, A]
    """

    temperatures = torch.tensor([row.params.temperature for row in rows], device=logits.device)
    # The largest becomes 0 first: a small temperature must not overflow.
    logits = logits - logits.amax(-1, keepdim=True)
    logits = logits / temperatures[:, None]
    reading = reader.read(logits, min(NUM_CANDIDATES, logits.shape[1]))
    weights = reading.sums  # [R, 1]
    some = logits.gather(1, some_ids)  # [R, A]
    if logits.shape[1] <= NUM_CANDIDATES:
        picked, odds, _ = _draw_among(*_by_likelihood(logits), some, weights, rows)
        return picked, odds
    # Sorting everything takes longer than all the rest, and filters seldom leave so many.
    picked, odds, is_enough = _draw_among(*_ordered(reading), some, weights, rows)
    for index in (~is_enough).nonzero()[:, 0].tolist():
        one = slice(index, index + 1)
        ordered, token_ids = _by_likelihood(logits[one])
        picked[one], odds[one], _ = _draw_among(
            ordered, token_ids, some[one], weights[one], rows[one]
        )
    return picked, odds


def _draw_among(
    ordered: Tensor, token_ids: Tensor, some: Tensor, weights: Tensor, rows: Sequence[SamplerRow]
) -> tuple[Tensor, Tensor, Tensor]:
    """Filter and draw among the likeliest tokens of each row.

    ordered    [R, C], their logits divided by the temperature, the largest, 0, first
    token_ids  [R, C]
    some       [R, A], logits of tokens to tell the chances of
    weights    [R, 1], the sum over all tokens of what `ordered` has the logarithms of
    return     tokens [R, 1]; chances [R, A]; whether all that is left was among these [R]
    """

    def column(values: list[float]) -> Tensor:
        return torch.tensor(values, dtype=torch.float32, device=ordered.device)[:, None]

    count = ordered.shape[1]
    top_k = column([float(row.params.top_k or 2**31) for row in rows])
    keep = torch.arange(count, device=ordered.device) < top_k  # [R, C]
    kept_weights = torch.where(keep, ordered.exp(), 0.0)
    # Top-k rows add up what they keep, the others all there is.
    totals = torch.where(top_k <= count, kept_weights.sum(-1, keepdim=True), weights)
    probabilities = kept_weights / totals
    before = probabilities.cumsum(-1) - probabilities
    # A rounded sum may reach 1 early, so 1 is no limit at all.
    keep &= before < column([row.params.top_p if row.params.top_p < 1 else 2.0 for row in rows])
    keep &= probabilities >= probabilities[:, :1] * column([row.params.min_p for row in rows])
    keep[:, 0] = True
    cumulative = torch.where(keep, probabilities, 0.0).cumsum(-1)
    totals = cumulative[:, -1:]
    draws = column([uniform(row.seed, row.position) for row in rows])
    places = torch.searchsorted(cumulative, draws * totals, right=True)
    last_kept = keep.sum(-1, keepdim=True) - 1
    places = torch.minimum(places, last_kept)
    lowest = ordered.gather(1, last_kept)
    # Of the likeliest, whose logit is 0, everything else is a multiple.
    odds = some.exp() * (probabilities[:, :1] / totals)
    odds = odds.masked_fill(some < lowest, 0.0)
    # Equals of the last candidate may be missing, and so may more of the top k.
    is_k_inside = (top_k <= count) | (top_k >= 2**31)
    is_enough = (lowest > ordered[:, -1:]) & is_k_inside
    return token_ids.gather(1, places), odds, is_enough[:, 0]


def _by_likelihood(logits: Tensor) -> tuple[Tensor, Tensor]:
    """Return logits [R, V] with the largest first, and their token ids.

    Stable, so that a tie at the edge of a filter does not depend on the shape of the batch.
    """
    ordered, token_ids = logits.sort(stable=True, dim=-1, descending=True)
    return ordered, token_ids


def _ordered(reading: LogitReading) -> tuple[Tensor, Tensor]:
    """Return the beginning of what `_by_likelihood` returns; of equals at its end, any."""
    ordered, token_ids = reading.top_logits, reading.top_ids
    if not (ordered[:, 1:] == ordered[:, :-1]).any():
        return ordered, token_ids
    token_ids, order = token_ids.sort(-1)
    ordered, order = ordered.gather(1, order).sort(stable=True, dim=-1, descending=True)
    return ordered, token_ids.gather(1, order)
