"""What depends on the device computes on each the same as plain attention on the CPU.

`pytest -m cuda` runs this file on a GPU. Without one the same tests run on the CPU, once more over
a pool that lies in memory as on CUDA: tokens first, heads seen through a transposed view.
"""

import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import cast

import pytest
import torch
from torch import Tensor

from kvchat.engine.engine import Engine
from kvchat.engine.model_runner import ModelRunner
from kvchat.kv import storage
from kvchat.kv.cache import KVCache, SequenceId
from kvchat.kv.contiguous import DynamicCache, NoCache, StaticCache, dense_attention
from kvchat.kv.paged_cache import PagedKVCache
from kvchat.kv.spec import KVCacheSpec, KVDtype, LayerSpec, VisibleSet
from kvchat.model.folder import ModelFolder
from kvchat.runtime import ChatRuntime
from kvchat.sampling_params import SamplingParams
from tests.engine.engine_kit import ask, run
from tests.kv.token_tensors import GQA, MHA, MLA, MQA, PagedRun, TokenTensors

GREEDY = SamplingParams(temperature=0.0, max_tokens=12)
WINDOWED = replace(GQA, window=9)
TOKEN_MAJOR = "cpu, tokens first"
CUDA = pytest.param("cuda", marks=pytest.mark.cuda)


@pytest.fixture(params=["cpu", TOKEN_MAJOR, CUDA])
def device(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """A device to compute on, or the CPU with the pool of CUDA."""
    name: str = request.param
    if name != TOKEN_MAJOR:
        return name

    def token_major(shape: tuple[int, ...], dtype: torch.dtype, device: str) -> Tensor:
        rows, num_slots, *rest = shape
        return torch.empty(num_slots, rows, *rest, dtype=dtype, device=device).transpose(0, 1)

    monkeypatch.setattr(storage, "_new_array", token_major)
    return "cpu"


class DeviceTensors(TokenTensors):
    """Tensors that go to a device before they are attended, and come back to be compared."""

    def __init__(self, spec: KVCacheSpec, device: str) -> None:
        super().__init__(spec)
        self._device = device

    def attend(
        self,
        cache: KVCache,
        rows: Sequence[tuple[SequenceId, Sequence[int], int]],
        num_layers: int | None = None,
    ) -> list[list[Tensor]]:
        class There:
            """The cache as its tensors see it, which are on the CPU."""

            @staticmethod
            def attend(index: int, query: Tensor, key: Tensor, value: Tensor | None) -> Tensor:
                value = None if value is None else value.to(self._device)
                found = cache.attend(index, query.to(self._device), key.to(self._device), value)
                assert found.device.type == self._device
                return found.cpu()

        return super().attend(cast(KVCache, There), rows, num_layers)


LAYERS = {"MHA": MHA, "GQA": GQA, "MQA": MQA, "MLA": MLA, "window": WINDOWED}


@pytest.mark.parametrize("kv_dtype", ["auto", "int8"])
@pytest.mark.parametrize("layer", LAYERS.values(), ids=LAYERS)
def test_paged_attention_is_dense_attention(
    device: str, layer: LayerSpec, kv_dtype: KVDtype
) -> None:
    """Prompts, single tokens, forks, rewinds, shared prefixes, copies of cut blocks, compaction."""
    spec = KVCacheSpec((layer, layer))
    cache = PagedKVCache(spec, 40, block_size=4, device=device, kv_dtype=kv_dtype)
    assert cache.storages[0].arrays[0][0].device.type == device
    paged = PagedRun(cache, DeviceTensors(spec, device))
    first, second = cache.open(), cache.open()
    paged.step([(first, range(10, 31)), (second, [5])])
    fork = cache.fork(first)
    for token in (40, 41, 42):
        paged.step([(first, [token]), (second, [token + 9, 3]), (fork, [token + 1])])
    assert cache.num_copied_blocks > 0
    kept = cache.truncate(first, 22)
    paged.step([(first, [7, 8, 9][: 3 if kept else 1]), (fork, [1])])
    cache.compact(fork)
    paged.step([(fork, [2]), (second, range(60, 70))])
    adopted = cache.open()
    token_ids = cache.token_ids(second)
    assert cache.adopt(adopted, [*token_ids, 4]) > 0
    paged.step([(adopted, [*token_ids, 4][cache.length(adopted) :]), (second, [5])])


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("block_size", [16, 32, 256])
def test_half_precision_is_dense_attention_in_scattered_blocks(
    device: str, dtype: torch.dtype, block_size: int
) -> None:
    """Rows of one and of several tokens, forked and not, as `TableAttention` takes them."""
    layer = LayerSpec(4, 2, 64, 64, 0.125)
    cache = PagedKVCache(
        KVCacheSpec((layer,)), 24, block_size=block_size, dtype=dtype, device=device
    )
    generator = torch.Generator().manual_seed(block_size)

    def drawn(count: int, num_heads: int) -> Tensor:
        return torch.randn(count, num_heads, 64, generator=generator).to(device, dtype)

    first, second = cache.open(), cache.open()
    for _ in range(3):
        for each in (first, second):
            cache.append(each, drawn(block_size // 2 + 5, 2), drawn(block_size // 2 + 5, 2))
    rows = [
        (first, 1),
        (second, 3),
        (cache.fork(first, block_size + 2), 1),
        (cache.fork(second), 2),
    ]
    query, key, value = drawn(7, 4), drawn(7, 2), drawn(7, 2)
    with cache.reserve(rows) as step:
        found = cache.attend(0, query, key, value).float().cpu()
        place = 0
        for sequence, count in rows:
            keys, values = (each.float().cpu() for each in cache.keys_values(sequence, 0))
            asking = query[place : place + count].float().cpu()
            expected = dense_attention(asking, keys, values, layer)
            torch.testing.assert_close(found[place : place + count], expected, rtol=2e-2, atol=2e-2)
            place += count
        step.rollback()


@pytest.mark.parametrize("layer", [GQA, MLA, WINDOWED], ids=["GQA", "MLA", "window"])
@pytest.mark.parametrize("kind", ["none", "dynamic", "grown", "static"])
def test_the_classic_caches_compute_on_any_device(device: str, kind: str, layer: LayerSpec) -> None:
    spec = KVCacheSpec((layer,))
    makers: dict[str, Callable[[], KVCache]] = {
        "none": lambda: NoCache(spec),
        "dynamic": lambda: DynamicCache(spec),
        "grown": lambda: DynamicCache(spec, growth_factor=1.5),
        "static": lambda: StaticCache(spec, 40, device=device),
    }
    cache = makers[kind]()
    tensors = DeviceTensors(spec, device)
    sequence = cache.open()
    token_ids = list(range(20, 45))
    rows = [0, 11, 12, 25] if kind != "none" else [0, 25]
    found = []
    for start, behind in pairwise(rows):
        step = cache.reserve([(sequence, behind - start)])
        found += tensors.attend(cache, [(sequence, token_ids[:behind], start)])[0]
        step.commit()
    expected = tensors.dense(0, token_ids, VisibleSet())
    torch.testing.assert_close(torch.cat(found), expected, rtol=1e-4, atol=2e-5)


@pytest.mark.parametrize("kv_dtype", ["auto", "int8"])
def test_an_engine_says_greedily_what_it_says_on_the_cpu(
    device: str, tiny_model: Path, kv_dtype: KVDtype
) -> None:
    folder = ModelFolder.open(tiny_model)

    def said(on: str) -> list[list[int]]:
        model = folder.load(dtype=torch.float32, device=on)
        cache = PagedKVCache(
            folder.kv_spec(), 60, block_size=8, device=on, kv_dtype=kv_dtype, salt=on.encode()
        )
        engine = Engine(
            ModelRunner(model, on),
            cache,
            context_tokens=folder.config.max_position,
            vocab_size=folder.config.vocab_size,
        )
        prompts = {"a": range(10, 60), "b": range(200, 207)}
        for owner in prompts:
            engine.open(owner)
        readers = [ask(engine, owner, list(prompt), GREEDY) for owner, prompt in prompts.items()]
        run(engine)
        engine.fork("a", "c", 33)
        engine.rewind("b", 5)
        readers.append(ask(engine, "c", [*range(10, 43), 7], GREEDY))
        readers.append(ask(engine, "b", [*range(200, 205), 9, 9], GREEDY))
        run(engine)
        engine.cache.check_integrity()
        return [reader.tokens for reader in readers]

    on_cpu, there = said("cpu"), said(device)
    assert there == on_cpu
    assert all(len(tokens) == 12 for tokens in there)


@pytest.mark.parametrize("kv_dtype", ["auto", "int8"])
def test_a_saved_chat_comes_back_to_its_device(
    device: str, tiny_model: Path, tmp_path: Path, kv_dtype: KVDtype
) -> None:
    def open_runtime() -> ChatRuntime:
        return ChatRuntime(
            tiny_model,
            data_dir=tmp_path / "data",
            device=device,
            weights="fp32",
            kv_dtype=kv_dtype,
            pool_bytes=4 << 20,
            threads=1,
        )

    with open_runtime() as runtime:
        chat = runtime.new_session()
        chat.send("the river and the window were far away from the garden " * 8, GREEDY).wait(60)
        expected = chat.send("and then?", GREEDY).wait(60).text
        assert runtime.status().device == device
        chat.rewind(turns=1)
    with open_runtime() as runtime:
        (chat,) = runtime.sessions()
        reply = chat.send("and then?", GREEDY)
        assert reply.wait(60).text == expected
        assert reply.num_cached_tokens > 100


@pytest.mark.parametrize("name", ["cpu", CUDA])
def test_the_command_line_answers_on_the_device_it_is_told(
    name: str, tiny_model: Path, tmp_path: Path
) -> None:
    words = ["-p", "Hi", "-m", str(tiny_model), "--device", name, "--data-dir", str(tmp_path)]
    ended = subprocess.run(
        [sys.executable, "-m", "kvchat", *words, "--max-tokens", "4"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr


@pytest.mark.cuda
@pytest.mark.parametrize("weights", ["bf16", "fp16", "int8"])
def test_every_precision_of_weights_speaks_on_cuda(
    weights: str, tiny_model: Path, tmp_path: Path
) -> None:
    with ChatRuntime(
        tiny_model, data_dir=tmp_path, device="cuda", weights=weights, pool_bytes=4 << 20
    ) as runtime:
        reply = runtime.new_session().send("Hi", GREEDY)
        assert reply.wait(60).num_tokens > 0
        assert runtime.status().weights == weights


@pytest.mark.cuda
def test_memory_of_the_pool_is_on_the_gpu_and_comes_back() -> None:
    before = torch.cuda.memory_allocated()
    cache = PagedKVCache(KVCacheSpec((GQA,) * 4), 1000, device="cuda")
    assert torch.cuda.memory_allocated() - before >= cache.nbytes
    assert cache.storages[0].arrays[0][0].stride(1) > cache.storages[0].arrays[0][0].stride(0)
    del cache
    assert torch.cuda.memory_allocated() == before
