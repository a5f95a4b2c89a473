"""HashModel: a model of exact integers, whose every answer shows whether the cache is right.

Its keys and values go through the same `attend` as those of a real model, but they are small
integers, so a correct cache gives a correct answer to the last bit, whatever was batched, chunked,
forked or evicted. One wrong, stale, missing or extra slot changes the next token.

Every layer has two heads. The *sum head* asks with a query of zeros: the softmax is uniform, and
output times the number of visible tokens is the exact sum of their values. The *needle head* asks
with the key of one visible position, scaled until the softmax is one-hot: the output is that
token's value, or another one if a key is wrong. Both go into a running state, which decides the
values of the next layer and, after the last, the next token. Nothing is rotated.

`list_states` is the oracle: the same arithmetic on plain lists, without cache, batch or tensors.
"""

from collections.abc import Sequence
from typing import TypeVar

import torch
from torch import Tensor

from kvchat.kv.cache import KVCache
from kvchat.kv.paged_cache import PagedKVCache
from kvchat.kv.spec import KVCacheSpec, LayerSpec, VisibleSet

Number = TypeVar("Number", int, Tensor)

HEAD_SIZE = 32
NEEDLE_SCALE = 60.0
"""Keys differ in at least one sign, so scores differ by 120, and exp(-120) is 0 in float32."""
_MASK = 0xFFFFFFFF
_EVERYTHING = 1 << 40


def _mix(number: Number) -> Number:
    """Map 32 bits to 32 bits, one to one; products stay below 2**63, so int64 does not wrap."""
    number = (number ^ (number >> 16)) * 0x45D9F3B & _MASK
    number = (number ^ (number >> 15)) * 0x119DE1F3 & _MASK
    return number ^ (number >> 16)


def _join(first: Number, second: int | Number) -> Number:
    return _mix((first * 0x2545F491 + second) & _MASK)


_LANE_FACTORS = [_mix(lane) >> 3 | 1 for lane in range(1, HEAD_SIZE + 1)]
_LANE_WEIGHTS = [_mix(lane) >> 3 | 1 for lane in range(101, HEAD_SIZE + 101)]
_FACTORS, _WEIGHTS = torch.tensor(_LANE_FACTORS), torch.tensor(_LANE_WEIGHTS)


class HashModel:
    """Runs where a Transformer does: `ModelRunner(HashModel(), "cpu")`; exact in int8 as well.

    `layer_windows` gives the window of each layer, None for a layer that sees everything; two
    different ones make two layer groups. Exact for contexts up to a few thousand tokens.
    """

    def __init__(
        self, vocab_size: int = 97, layer_windows: Sequence[int | None] = (None, 33, None)
    ) -> None:
        self.vocab_size = vocab_size
        self.layer_windows = tuple(layer_windows)
        self.spec = KVCacheSpec(
            tuple(
                LayerSpec(2, 2, HEAD_SIZE, HEAD_SIZE, 1.0, window) for window in self.layer_windows
            )
        )

    def __call__(
        self, token_ids: Tensor, positions: Tensor, cache: KVCache, rows: Tensor
    ) -> Tensor:
        """Map packed tokens of a reserved step to logits, like `Transformer.forward`.

        Must know what each row may see, to count it and to choose a needle, so it asks the cache.
        """
        assert isinstance(cache, PagedKVCache)
        counts = torch.diff(rows, prepend=rows.new_tensor([-1]))
        seen_by_rows = cache.visible_sets()
        state = _join(_join(torch.zeros_like(token_ids), token_ids), positions)  # [T]
        for index, window in enumerate(self.layer_windows):
            visible = [seen.within(window) for seen in seen_by_rows]
            num_visible, needle = _choose(_join(state, 2 * index + 1), positions, visible, counts)
            keys = torch.stack([_key(index, head, positions) for head in (0, 1)], 1)  # [T, 2, D]
            query = torch.stack(
                (torch.zeros_like(keys[:, 0]), NEEDLE_SCALE * _key(index, 1, needle)), 1
            )
            values = torch.stack([_value(index, head, state) for head in (0, 1)], 1)
            output = cache.attend(index, query, keys, values)  # [T, 2, D]
            total = _digest(output[:, 0].double() * num_visible[:, None])
            state = _join(_join(state, total), _digest(output[:, 1].double()))
        last = state.index_select(0, rows)[:, None]  # [R, 1]
        vocabulary = torch.arange(self.vocab_size, device=state.device)
        return (_join(last, vocabulary) & 1023).float() / 64

    def list_states(
        self,
        token_ids: Sequence[int],
        window: int | None = None,
        sinks: int = 0,
        changes: Sequence[tuple[int, int | None, int]] = (),
    ) -> list[int]:
        """Return the final state after each token, computed on plain lists from nothing.

        changes  other windows: from which position on, window, sinks; in order

        `sinks` is the number the cache keeps, which is rounded up to whole blocks.
        """
        windows: list[tuple[int | None, int]] = []  # of each position
        for at in range(len(token_ids)):
            for start, new_window, new_sinks in changes:
                if start == at:
                    window, sinks = new_window, new_sinks
            windows.append((window, sinks))
        states = [_join(_join(0, token_id), at) for at, token_id in enumerate(token_ids)]
        for index, layer_window in enumerate(self.layer_windows):
            # A digest is linear, so the digest of a sum is the sum of digests.
            digests = [
                [_list_digest(_list_value(index, head, state)) for state in states]
                for head in (0, 1)
            ]
            following = []
            for at, state in enumerate(states):
                own, kept = windows[at]
                if layer_window is not None and (own is None or layer_window <= own + kept):
                    own, kept = layer_window, 0
                visible = list(range(at + 1))
                if own is not None and at >= kept + own:
                    visible = visible[:kept] + visible[at + 1 - own :]
                needle = visible[_join(state, 2 * index + 1) % len(visible)]
                total = sum(digests[0][position] for position in visible) & _MASK
                following.append(_join(_join(state, total), digests[1][needle]))
            states = following
        return states

    def list_logits(self, state: int) -> list[float]:
        """Return the logits that follow a token with this final state."""
        return [(_join(state, token_id) & 1023) / 64 for token_id in range(self.vocab_size)]

    def states(
        self,
        token_ids: Sequence[int],
        window: int | None = None,
        sinks: int = 0,
        changes: Sequence[tuple[int, int | None, int]] = (),
    ) -> Tensor:
        """Return what `list_states` does, [T] int64, by whole columns, for long texts.

        No cache, no attention: sums over visible tokens are differences of running sums.
        """
        at = torch.arange(len(token_ids))
        state = _join(_join(torch.zeros_like(at), torch.tensor(token_ids)), at)  # [T]
        parts = [each for each in ((0, window, sinks), *changes) if each[0] < len(at)]
        ends = torch.tensor([*(start for start, _, _ in parts[1:]), len(at)])
        counts = torch.diff(ends, prepend=ends.new_zeros(1))
        for index, layer_window in enumerate(self.layer_windows):
            seen = [VisibleSet(size, first).within(layer_window) for _, size, first in parts]
            num_visible, needle = _choose(_join(state, 2 * index + 1), at, seen, counts)
            all_sinks = torch.tensor([each.sinks for each in seen]).repeat_interleave(counts)
            sums, needles = (_digest(_value(index, head, state)) for head in (0, 1))
            sums = torch.cat((sums.new_zeros(1), sums.cumsum(0)))  # [T + 1]
            num_hidden, kept = at + 1 - num_visible, all_sinks.clamp(max=len(at))
            total = sums[at + 1] - sums[kept + num_hidden] + sums[kept]
            state = _join(_join(state, total & _MASK), needles[needle])
        return state

    def logits(self, states: Tensor) -> Tensor:
        """Return the logits, [T, vocab_size], that follow tokens with these final states."""
        return (_join(states[:, None], torch.arange(self.vocab_size)) & 1023).float() / 64


def _choose(
    choice: Tensor, positions: Tensor, visible: Sequence[VisibleSet], counts: Tensor
) -> tuple[Tensor, Tensor]:
    """Return how many tokens each query sees, and one visible position for each, [T] twice."""

    def each(numbers: list[int]) -> Tensor:
        return torch.tensor(numbers, device=positions.device).repeat_interleave(counts)

    window = each([_EVERYTHING if seen.window is None else seen.window for seen in visible])
    sinks = each([seen.sinks for seen in visible])
    has_slid = positions >= sinks + window
    num_visible = torch.where(has_slid, sinks + window, positions + 1)
    place = choice % num_visible
    is_recent = has_slid & (place >= sinks)
    return num_visible, torch.where(is_recent, place - sinks + positions - window + 1, place)


def _key(layer_index: int, head: int, positions: Tensor) -> Tensor:
    """Return ±1 codes of positions, [T, D]; no two positions below 2**32 have the same."""
    code = _mix(positions ^ _join(7, 2 * layer_index + head))
    bits = code[:, None] >> torch.arange(HEAD_SIZE, device=positions.device) & 1
    return 1.0 - 2.0 * bits.float()


def _value(layer_index: int, head: int, state: Tensor) -> Tensor:
    """Return values 0..63, [T, D]; lane 0 is 127, which makes a scale of 8 bits exactly 1."""
    seed = _join(state, 1000 + 2 * layer_index + head)[:, None]
    lanes = seed * _FACTORS.to(state.device) >> 20 & 63
    lanes[:, 0] = 127
    return lanes.float()


def _digest(lanes: Tensor) -> Tensor:
    """Return one number for each row of integers, [T]; what is no number counts as -1."""
    exact = lanes.round().nan_to_num(-1.0, -1.0, -1.0).long()
    return (exact * _WEIGHTS.to(lanes.device)).sum(-1) & _MASK


def _list_value(layer_index: int, head: int, state: int) -> list[int]:
    seed = _join(state, 1000 + 2 * layer_index + head)
    return [127] + [seed * factor >> 20 & 63 for factor in _LANE_FACTORS[1:]]


def _list_digest(lanes: Sequence[int]) -> int:
    return sum(lane * weight for lane, weight in zip(lanes, _LANE_WEIGHTS, strict=True)) & _MASK
