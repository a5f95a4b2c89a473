"""TokenTensors: queries, keys and values that are a pure function of the tokens before them.

Each token's tensors depend on all tokens up to it, as in a model, so a block shared with the wrong
prefix shows. `run()` drives a step of any cache; `dense()` is the truth, which shares no code with
the paged path.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from kvchat.kv.block_table import HOLE
from kvchat.kv.cache import KVCache, SequenceId
from kvchat.kv.contiguous import dense_attention
from kvchat.kv.paged_cache import PagedKVCache
from kvchat.kv.rotary import rotate, rotation
from kvchat.kv.spec import KVCacheSpec, KVDtype, LayerSpec, RotarySpec, VisibleSet

HEAD_DIM = 16
ROTARY = RotarySpec(tuple(100.0 ** (-i / 8) for i in range(8)), attention_factor=1.1)
GQA = LayerSpec(4, 2, HEAD_DIM, HEAD_DIM, scale=0.3, rotary=ROTARY)
MHA = replace(GQA, num_kv_heads=4)
MQA = replace(GQA, num_kv_heads=1)
MLA = LayerSpec(
    4,
    1,
    HEAD_DIM,
    0,
    scale=0.3,
    rotary=replace(ROTARY, inverse_frequencies=ROTARY.inverse_frequencies[::3]),
    latent_value_dim=10,
)

MAX_POSITION = 512
NUM_STATES = 997  # a prime; states of different prefixes seldom meet

Layer = tuple[Tensor, Tensor, Tensor | None]


def int8(vectors: Tensor) -> tuple[Tensor, Tensor]:
    """Return codes and scales of [..., D] as the scheme says, by arithmetic of another library."""
    exact = vectors.numpy()
    peaks = np.maximum(np.abs(exact).max(-1), np.float32(1e-6))
    scales = peaks / np.float32(127)
    codes = np.rint(exact / scales[..., None]).astype(np.int8)
    return torch.from_numpy(codes), torch.from_numpy(scales)


def rounded(vectors: Tensor, *sizes: int) -> Tensor:
    """Return vectors as they are read back from int8, each part of these sizes with a scale."""
    parts = [int8(part) for part in torch.split(vectors, list(sizes), -1)]
    return torch.cat([codes.float() * scales[..., None] for codes, scales in parts], -1)


def sizes_of_parts(layer: LayerSpec) -> tuple[int, ...]:
    """Return the sizes of the parts of a key that have a scale each."""
    if layer.value_dim:
        return (layer.key_dim,)
    return layer.latent_value_dim, layer.key_dim - layer.latent_value_dim


def int8_arrays(layer: LayerSpec, key: Tensor, value: Tensor | None) -> tuple[Tensor, Tensor]:
    """Return the codes [R, T, D] and scales [R, T] that a pool should hold of [T, K, D] each."""
    if value is not None:
        return int8(torch.cat((key, value), 1).transpose(0, 1))
    parts = [int8(part) for part in torch.split(key[:, 0], list(sizes_of_parts(layer)), -1)]
    return torch.cat([codes for codes, _ in parts], -1)[None], torch.stack([s for _, s in parts])


class TokenTensors:
    """The tensors of every token sequence, for one spec."""

    def __init__(self, spec: KVCacheSpec, seed: int = 0) -> None:
        self.spec = spec
        self._known: dict[tuple[int, tuple[int, ...]], Layer] = {}
        generator = torch.Generator().manual_seed(seed)
        self._vectors = [
            tuple(
                torch.randn(NUM_STATES, heads, dim, generator=generator)
                for heads, dim in (
                    (layer.num_heads, layer.key_dim),
                    (layer.num_kv_heads, layer.key_dim),
                    (layer.num_kv_heads, layer.value_dim),
                )
            )
            for layer in spec.layers
        ]
        positions = torch.arange(MAX_POSITION)
        self._turns = [
            None if layer.rotary is None else rotation(positions, layer.rotary, torch.float32)
            for layer in spec.layers
        ]

    def layer(self, layer_index: int, token_ids: Sequence[int]) -> Layer:
        """Return query, key and value [T, heads, D] of a sequence from its first token on.

        The value of MLA is None.
        """
        found = self._known.get((layer_index, tuple(token_ids)))
        if found is not None:
            return found
        states, state = [], 1
        for token_id in token_ids:
            state = (state * 31 + token_id * 7 + 3) % NUM_STATES
            states.append(state)
        query, key, value = (vectors[states] for vectors in self._vectors[layer_index])
        turn = self._turns[layer_index]
        if turn is not None:
            first = self.spec.layers[layer_index].first_rotary_channel
            cosine, sine = (part[: len(states)] for part in turn)
            query, key = rotate(query, cosine, sine, first), rotate(key, cosine, sine, first)
        layer = query, key, value if value.shape[-1] else None
        self._known[layer_index, tuple(token_ids)] = layer
        return layer

    def attend(
        self,
        cache: KVCache,
        rows: Sequence[tuple[SequenceId, Sequence[int], int]],
        num_layers: int | None = None,
    ) -> list[list[Tensor]]:
        """Attend the reserved rows (sequence, all its token ids, start); outputs [layer][row]."""
        outputs = []
        for layer_index in range(len(self.spec.layers))[:num_layers]:
            layers = [self.layer(layer_index, token_ids) for _, token_ids, _ in rows]
            starts = [start for _, _, start in rows]
            new = [
                [each[start:] for each in layer if each is not None]
                for layer, start in zip(layers, starts, strict=True)
            ]
            packed = [torch.cat(tensors) for tensors in zip(*new, strict=True)]
            query, key, *values = packed
            output = cache.attend(layer_index, query, key, values[0] if values else None)
            sizes = [len(token_ids) - start for _, token_ids, start in rows]
            outputs.append(list(torch.split(output, sizes)))
        return outputs

    def dense(
        self,
        layer_index: int,
        token_ids: Sequence[int],
        visible: VisibleSet,
        kv_dtype: KVDtype = "auto",
    ) -> Tensor:
        """Return what every token of a sequence should get, [T, H, D]."""
        layer = self.spec.layers[layer_index]
        query, key, value = self.layer(layer_index, token_ids)
        if kv_dtype == "int8":
            key = rounded(key, *sizes_of_parts(layer))
            value = None if value is None else rounded(value, layer.value_dim)
        if value is None:
            value = key[..., : layer.latent_value_dim]
        return dense_attention(query, key, value, layer, window=visible.window, sinks=visible.sinks)


class PagedRun:
    """A paged cache with the token lists it should hold, every step compared with the truth."""

    def __init__(self, cache: PagedKVCache, tensors: TokenTensors) -> None:
        self.cache = cache
        self.tensors = tensors
        self.kv_dtype = cache.storages[0].kv_dtype

    def step(
        self,
        rows: Sequence[tuple[SequenceId, Sequence[int]]],
        *,
        before_commit: Callable[[], None] | None = None,
    ) -> None:
        """Give each sequence its new token ids in one step; compare all outputs; commit."""
        cache = self.cache
        packed = []
        for sequence, new in rows:
            token_ids = [*cache.token_ids(sequence), *new]
            packed.append((sequence, token_ids, cache.length(sequence)))
        step = cache.reserve(
            [(sequence, len(new)) for sequence, new in rows], [list(new) for _, new in rows]
        )
        outputs = self.tensors.attend(cache, packed)
        for layer_index, of_rows in enumerate(outputs):
            for (sequence, token_ids, start), output in zip(packed, of_rows, strict=True):
                visible = cache.visible_set(sequence)
                expected = self.tensors.dense(layer_index, token_ids, visible, self.kv_dtype)
                expected = expected[start:]
                torch.testing.assert_close(output, expected, rtol=1e-4, atol=2e-5)
        if before_commit is not None:
            before_commit()
        step.commit()
        cache.check_integrity()

    def feed(self, sequence: SequenceId, token_ids: Sequence[int]) -> None:
        """Bring tokens in chunks as large as the window allows."""
        rest = list(token_ids)
        while rest:
            count = self.cache.chunk_limit(sequence, len(rest))
            self.step([(sequence, rest[:count])])
            del rest[:count]

    def check_rows(self, sequence: SequenceId, token_ids: Sequence[int]) -> None:
        """Compare every stored key and value that a table names with what its token should have."""
        cache = self.cache
        assert cache.length(sequence) == len(token_ids)
        assert cache.token_ids(sequence) == list(token_ids)
        size = cache.block_size
        for group_index, group in enumerate(cache.spec.groups):
            blocks = table_of(cache, sequence, group_index)
            held = [position for position in range(len(token_ids)) if blocks[position // size] >= 0]
            if not held:
                continue
            slots = [blocks[position // size] * size + position % size for position in held]
            for place, layer_index in enumerate(group.layer_indexes):
                _, key, value = self.tensors.layer(layer_index, token_ids)
                expected: tuple[Tensor, ...]
                if self.kv_dtype == "int8":
                    layer = cache.spec.layers[layer_index]
                    expected = int8_arrays(layer, key, value)
                else:
                    both = key if value is None else torch.cat((key, value), 1)
                    expected = (both.transpose(0, 1),)
                found = cache.storages[group_index].arrays[place]
                for stored, wanted in zip(found, expected, strict=True):
                    assert torch.equal(stored[:, slots], wanted[:, held])


def table_of(cache: PagedKVCache, sequence: SequenceId, group_index: int = 0) -> tuple[int, ...]:
    """Return the block ids of a sequence."""
    return tuple(cache._sequences[sequence].tables[group_index].blocks)


def num_held_blocks(cache: PagedKVCache, sequence: SequenceId, group_index: int = 0) -> int:
    """Return how many blocks a sequence names."""
    return sum(block != HOLE for block in table_of(cache, sequence, group_index))
