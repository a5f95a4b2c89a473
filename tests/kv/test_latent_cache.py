"""MLA: attention over cached latents equals attention over the keys and values they stand for.

The truth is the expanded form of DeepSeek-V2 and MiniCPM3: every head's keys and values are made
from the latents, and `dense_attention` attends to them as to any other heads.
"""

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from kvchat.kv.cache import KVCache, SequenceId
from kvchat.kv.contiguous import DynamicCache, NoCache, StaticCache, dense_attention
from kvchat.kv.paged_cache import PagedKVCache
from kvchat.kv.rotary import rotate, rotation
from kvchat.kv.spec import KVCacheSpec, LayerSpec, RotarySpec

NUM_HEADS, PLAIN_DIM, ROTARY_DIM, VALUE_DIM, RANK, HIDDEN = 4, 12, 8, 10, 20, 48
ROTARY = RotarySpec(tuple(100.0 ** (-i / 4) for i in range(4)), attention_factor=1.2)
SCALE = (PLAIN_DIM + ROTARY_DIM) ** -0.5
LATENT = LayerSpec(NUM_HEADS, 1, RANK + ROTARY_DIM, 0, SCALE, rotary=ROTARY, latent_value_dim=RANK)
EXPANDED = LayerSpec(NUM_HEADS, NUM_HEADS, ROTARY_DIM + PLAIN_DIM, VALUE_DIM, SCALE, rotary=ROTARY)
SPEC = KVCacheSpec((LATENT,))
WINDOW, SINKS = 9, 8

CACHES: dict[str, Callable[[], KVCache]] = {
    "NoCache": lambda: NoCache(SPEC),
    "fused NoCache": lambda: NoCache(SPEC, fused=True),
    "DynamicCache": lambda: DynamicCache(SPEC),
    "StaticCache": lambda: StaticCache(SPEC, 64),
    "PagedKVCache": lambda: PagedKVCache(SPEC, 24, block_size=4),
}


class LatentLayer:
    """An MLA layer with random weights, in both forms, over random hidden states."""

    def __init__(self) -> None:
        generator = torch.Generator().manual_seed(0)

        def weight(*shape: int) -> Tensor:
            return torch.randn(*shape, generator=generator) / math.sqrt(shape[-1])

        self.embedding = torch.randn(50, HIDDEN, generator=generator) * 2
        self.query = weight(NUM_HEADS, PLAIN_DIM + ROTARY_DIM, HIDDEN)
        self.down = weight(RANK + ROTARY_DIM, HIDDEN)
        self.up_key = weight(NUM_HEADS, PLAIN_DIM, RANK)
        self.up_value = weight(NUM_HEADS, VALUE_DIM, RANK)

    def project(self, token_ids: list[int], start: int = 0) -> tuple[Tensor, ...]:
        """Return queries without and with rotation, compressed latents, and rotary keys."""
        hidden = self.embedding[token_ids]  # [T, hidden]
        query = torch.einsum("hdx,tx->thd", self.query, hidden)
        latent = hidden @ self.down.T
        compressed = latent[:, :RANK] / latent[:, :RANK].square().mean(-1, keepdim=True).sqrt()
        turn = rotation(torch.arange(start, start + len(token_ids)), ROTARY, torch.float32)
        plain, turning = query[..., :PLAIN_DIM], rotate(query[..., PLAIN_DIM:], *turn)
        return plain, turning, compressed, rotate(latent[:, None, RANK:], *turn)

    def expanded(self, token_ids: list[int], window: int | None = None, sinks: int = 0) -> Tensor:
        """Return what every token gets, [T, H, VALUE_DIM], by heads of keys and values."""
        plain, turning, compressed, rotary_key = self.project(token_ids)
        key = torch.einsum("hdr,tr->thd", self.up_key, compressed)
        key = torch.cat((rotary_key.expand(-1, NUM_HEADS, -1), key), -1)
        value = torch.einsum("hdr,tr->thd", self.up_value, compressed)
        query = torch.cat((turning, plain), -1)
        return dense_attention(query, key, value, EXPANDED, window=window, sinks=sinks)

    def absorbed(self, cache: KVCache, rows: list[tuple[SequenceId, list[int]]]) -> list[Tensor]:
        """Take one step of a cache in absorbed form; [n, H, VALUE_DIM] of each row's new tokens."""
        queries, keys = [], []
        step = cache.reserve([(sequence, len(new)) for sequence, new in rows])
        for sequence, new in rows:
            plain, turning, compressed, rotary_key = self.project(new, cache.length(sequence))
            folded = torch.einsum("hdr,thd->thr", self.up_key, plain)
            queries.append(torch.cat((folded, turning), -1))
            keys.append(torch.cat((compressed[:, None], rotary_key), -1))
        output = cache.attend(0, torch.cat(queries), torch.cat(keys), None)  # [T, H, RANK]
        assert output.shape[-1] == RANK
        step.commit()
        values = torch.einsum("hdr,thr->thd", self.up_value, output)
        return list(torch.split(values, [len(new) for _, new in rows]))

    def feed(
        self, cache: KVCache, sequence: SequenceId, token_ids: list[int], chunk: int
    ) -> Tensor:
        """Bring tokens in chunks, as far as a window allows; return what all of them got."""
        outputs, rest = [], list(token_ids)
        while rest:
            count = min(chunk, len(rest))
            if isinstance(cache, PagedKVCache):
                count = cache.chunk_limit(sequence, count)
            outputs += self.absorbed(cache, [(sequence, rest[:count])])
            del rest[:count]
        return torch.cat(outputs)


@pytest.fixture
def layer() -> LatentLayer:
    return LatentLayer()


def tokens(count: int, seed: int = 0) -> list[int]:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 50, (count,), generator=generator).tolist()


def assert_close(found: Tensor, expected: Tensor, tolerance: float = 2e-5) -> None:
    torch.testing.assert_close(found, expected, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("new_cache", CACHES.values(), ids=CACHES)
def test_a_whole_prompt_over_latents_equals_the_expanded_form(
    layer: LatentLayer, new_cache: Callable[[], KVCache]
) -> None:
    cache, token_ids = new_cache(), tokens(29)
    assert_close(layer.feed(cache, cache.open(), token_ids, 29), layer.expanded(token_ids))


@pytest.mark.parametrize("chunk", [1, 3, 7])
@pytest.mark.parametrize("name", ["DynamicCache", "StaticCache", "PagedKVCache"])
def test_latents_of_earlier_steps_are_attended_to(
    layer: LatentLayer, name: str, chunk: int
) -> None:
    cache, token_ids = CACHES[name](), tokens(29)
    assert_close(layer.feed(cache, cache.open(), token_ids, chunk), layer.expanded(token_ids))


@pytest.mark.parametrize("chunk", [1, 4, 9])
@pytest.mark.parametrize("sinks", [0, SINKS])
@pytest.mark.parametrize("name", ["DynamicCache", "StaticCache", "PagedKVCache"])
def test_a_sliding_window_turns_only_the_rotary_part(
    layer: LatentLayer, name: str, sinks: int, chunk: int
) -> None:
    cache, token_ids = CACHES[name](), tokens(50)
    found = layer.feed(cache, cache.open(window=WINDOW, sinks=sinks), token_ids, chunk)
    assert_close(found, layer.expanded(token_ids, WINDOW, sinks))


@pytest.mark.parametrize("length", [7, 8, 9])
def test_forks_of_latents_part_at_any_token(layer: LatentLayer, length: int) -> None:
    cache = PagedKVCache(SPEC, 24, block_size=4)
    parent, token_ids = cache.open(), tokens(13)
    layer.feed(cache, parent, token_ids, 13)
    child = cache.fork(parent, length)
    ours, theirs = tokens(6, seed=1), tokens(6, seed=2)
    for one, other in zip(ours, theirs, strict=True):
        of_parent, of_child = layer.absorbed(cache, [(parent, [one]), (child, [other])])
    assert_close(of_parent, layer.expanded([*token_ids, *ours])[-1:])
    assert_close(of_child, layer.expanded([*token_ids[:length], *theirs])[-1:])
    cache.check_integrity()


@pytest.mark.parametrize("window", [None, WINDOW])
def test_int8_latents_are_about_as_good(layer: LatentLayer, window: int | None) -> None:
    cache, token_ids = PagedKVCache(SPEC, 24, block_size=4, kv_dtype="int8"), tokens(50)
    found = layer.feed(cache, cache.open(window=window, sinks=SINKS), token_ids, 5)
    expected = layer.expanded(token_ids, window, SINKS)
    error = (found - expected).norm() / expected.norm()
    assert 1e-4 < error < 0.02


def test_the_parts_of_a_latent_are_rounded_apart(layer: LatentLayer) -> None:
    """A compressed part a hundred times as large does not swallow the rotary part."""
    layer.down[RANK:] /= 100
    layer.query[:, PLAIN_DIM:] *= 300
    cache, token_ids = PagedKVCache(SPEC, 24, block_size=4, kv_dtype="int8"), tokens(40)
    found, expected = layer.feed(cache, cache.open(), token_ids, 7), layer.expanded(token_ids)
    assert (found - expected).norm() / expected.norm() < 0.03


def test_a_latent_takes_one_row_a_token() -> None:
    num_tokens = 24 * 4
    plain = PagedKVCache(SPEC, 24, block_size=4)
    assert plain.nbytes == num_tokens * (RANK + ROTARY_DIM) * 4
    assert plain.nbytes == num_tokens * SPEC.bytes_per_token(4)
    small = PagedKVCache(SPEC, 24, block_size=4, kv_dtype="int8")
    assert small.nbytes == num_tokens * (RANK + ROTARY_DIM + 2 * 4)
    assert small.nbytes == num_tokens * SPEC.bytes_per_token(4, "int8")


def test_bfloat16_latents_stay_bfloat16(layer: LatentLayer) -> None:
    cache = PagedKVCache(SPEC, 24, block_size=4, dtype=torch.bfloat16)
    sequence = cache.open()
    query = torch.randn(9, NUM_HEADS, RANK + ROTARY_DIM).bfloat16()
    key = torch.randn(9, 1, RANK + ROTARY_DIM).bfloat16()
    step = cache.reserve([(sequence, 9)])
    output = cache.attend(0, query, key, None)
    step.commit()
    expected = dense_attention(query.float(), key.float(), key[..., :0].float(), LATENT)
    assert output.dtype == torch.bfloat16
    assert_close(output.float(), expected, 0.05)


@pytest.mark.parametrize(
    "fields",
    [
        {"latent_value_dim": 0},
        {"latent_value_dim": RANK + ROTARY_DIM},
        {"latent_value_dim": RANK - 2},
        {"num_kv_heads": 2},
        {"value_dim": RANK},
    ],
    ids=str,
)
def test_a_latent_that_does_not_add_up_is_a_bug(fields: dict[str, int]) -> None:
    numbers = {
        "num_heads": 4,
        "num_kv_heads": 1,
        "key_dim": RANK + ROTARY_DIM,
        "value_dim": 0,
        "latent_value_dim": RANK,
    }
    with pytest.raises(AssertionError):
        LayerSpec(**{**numbers, **fields}, scale=SCALE, rotary=ROTARY)
