"""A step in one native call beside the same step by the model's modules."""

import random
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from kvchat.engine.model_runner import ModelRunner
from kvchat.errors import StepStopped
from kvchat.kv.cache import SequenceId
from kvchat.kv.paged_cache import PagedKVCache
from kvchat.kv.spec import KVDtype
from kvchat.model import native_decoder
from kvchat.model.config import ModelConfig
from kvchat.model.native_decoder import NativeDecoder
from kvchat.model.transformer import Transformer
from kvchat.model.weight_intake import WeightIntake
from kvchat.native.decoder import DecoderProgram, DecoderStep
from kvchat.native.kernels import Kernels

BASE: dict[str, Any] = {  # values of JSON
    "model_type": "llama",
    "vocab_size": 90,
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 16,
    "max_position_embeddings": 600,
    "tie_word_embeddings": False,
}
GEMMA2: dict[str, Any] = {"model_type": "gemma2", "sliding_window": 11, "query_pre_attn_scalar": 16}
KINDS: dict[str, dict[str, Any]] = {
    "grouped": {},
    "every head its own, tied": {"num_key_value_heads": 4, "tie_word_embeddings": True},
    "one key head, odd sizes": {
        "num_key_value_heads": 1,
        "hidden_size": 40,
        "intermediate_size": 70,
        "head_dim": 10,
        "vocab_size": 61,
    },
    "biases": {"attention_bias": True, "mlp_bias": True},
    "qwen2, windowed above": {
        "model_type": "qwen2",
        "use_sliding_window": True,
        "sliding_window": 9,
        "max_window_layers": 1,
    },
    "qwen3": {"model_type": "qwen3"},
    "mistral": {"model_type": "mistral", "sliding_window": 13},
    "phi3, partly rotated": {"model_type": "phi3", "partial_rotary_factor": 0.5, "pad_token_id": 0},
    "smollm3, some unrotated": {"model_type": "smollm3", "no_rope_layer_interval": 2},
    "granite": {
        "model_type": "granite",
        "embedding_multiplier": 3.0,
        "residual_multiplier": 0.3,
        "attention_multiplier": 0.2,
        "logits_scaling": 2.0,
    },
    "olmo2": {"model_type": "olmo2"},
    "gemma": {"model_type": "gemma"},
    "gemma2": GEMMA2,
    "gemma3": {**GEMMA2, "model_type": "gemma3_text", "sliding_window_pattern": 2},
    "dynamic rope": {"rope_scaling": {"rope_type": "dynamic", "factor": 4.0}},
    "yarn": {
        "rope_scaling": {
            "rope_type": "yarn",
            "factor": 4.0,
            "original_max_position_embeddings": 64,
        }
    },
}
TOLERANCES = {"float": 1e-4, "int8": 0.1, "int4": 0.1}
"""Of the root mean square. Floats differ in their last bits; a code that such a bit rounds to its
neighbor changes what follows by about a hundredth, and what is computed otherwise by far more."""


@pytest.fixture(autouse=True, params=[1, 3], ids=["one-thread", "three-threads"])
def threads(request: pytest.FixtureRequest, kernels: Kernels) -> Iterator[None]:
    before = kernels.num_threads
    kernels.set_threads(request.param)
    yield
    kernels.set_threads(before)


def make_model(kernels: Kernels, kind: str, rounding: str = "float") -> Transformer:
    """Return a model with random weights that its layers amplify, biases and norms included."""
    config = ModelConfig.from_json(BASE | KINDS[kind])
    random_model, model = Transformer(config), Transformer(config)
    generator = torch.Generator().manual_seed(len(kind))
    intake = WeightIntake(model, rounding, dtype=torch.float32, device="cpu", kernels=kernels)
    with torch.no_grad():
        for name, parameter in random_model.named_parameters():
            noise = torch.randn(parameter.shape, generator=generator)
            scale = 0.2 if parameter.ndim < 2 else 1.5 * parameter.shape[1] ** -0.5
            value = noise * scale + (1.0 if name.endswith("norm.weight") else 0.0)
            if not intake.take(name, value):
                model.get_parameter(name).copy_(value)
    intake.finish()
    return model.eval()


class Twins:
    """One model, and two caches with the same sequences: one native, one of its modules."""

    def __init__(
        self,
        kernels: Kernels,
        kind: str,
        rounding: str = "float",
        kv_dtype: KVDtype = "auto",
        block_size: int = 8,
    ) -> None:
        self.model = make_model(kernels, kind, rounding)
        self.native, self.modules = (
            PagedKVCache(
                self.model.config.kv_spec(),
                120 * 8 // block_size,
                block_size=block_size,
                kv_dtype=kv_dtype,
                kernels=kernels,
            )
            for _ in range(2)
        )
        decoder = NativeDecoder.of(self.model, self.native)
        assert decoder is not None, "the model is one that it knows"
        self.decoder = decoder
        self.tolerance = TOLERANCES[rounding] if kv_dtype == "auto" else 0.1

    def open(self, window: int | None = None, sinks: int = 0) -> SequenceId:
        first = self.native.open(window=window, sinks=sinks)
        assert self.modules.open(window=window, sinks=sinks) == first
        return first

    def fork(self, parent: SequenceId, length: int) -> SequenceId:
        child = self.native.fork(parent, length)
        assert self.modules.fork(parent, length) == child
        return child

    @torch.inference_mode()
    def step(
        self, rows: Sequence[tuple[SequenceId, Sequence[int]]], *, is_compared: bool = True
    ) -> Tensor:
        """Compute a step both ways, compare its logits, and return the native ones."""
        sizes = [(sequence, len(new)) for sequence, new in rows]
        token_ids = torch.tensor([token for _, new in rows for token in new])
        lasts = torch.tensor([len(new) for _, new in rows]).cumsum(0) - 1
        with self.native.reserve(sizes) as step:
            positions = torch.tensor(step.positions)
            native = self.decoder.logits(token_ids, positions, lasts)
        assert native is not None and native.shape == (len(rows), self.model.config.vocab_size)
        if is_compared:
            with self.modules.reserve(sizes):
                self.compare(native, self.model(token_ids, positions, self.modules, lasts))
        return native

    def compare(self, native: Tensor, expected: Tensor) -> None:
        error = (native - expected).square().mean().sqrt()
        assert float(error) <= self.tolerance * float(expected.square().mean().sqrt())

    def compare_stored(self, sequence: SequenceId) -> None:
        for index in range(len(self.native.spec.layers)):
            for found, expected in zip(
                self.native.keys_values(sequence, index, released=0.0),
                self.modules.keys_values(sequence, index, released=0.0),
                strict=True,
            ):
                self.compare(found, expected)


def tokens(rng: random.Random, count: int) -> list[int]:
    return [rng.randrange(60) for _ in range(count)]


@pytest.mark.parametrize("rounding", ["float", "int8", "int4"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_chat_of_any_model_is_computed_as_by_its_modules(
    kernels: Kernels, kind: str, rounding: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(native_decoder, "_PROBED", {})
    rng = random.Random(kind)
    twins = Twins(kernels, kind, rounding)
    sequence = twins.open()
    for count in (7, 1, 1, 16, 1, 5):
        twins.step([(sequence, tokens(rng, count))])
    twins.compare_stored(sequence)


@settings(
    max_examples=12,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    seed=st.integers(0, 1 << 30),
    kind=st.sampled_from(["grouped", "one key head, odd sizes", "qwen3", "gemma2", "yarn"]),
    rounding=st.sampled_from(["float", "int8", "int4"]),
    kv_dtype=st.sampled_from(["auto", "int8"]),
    block_size=st.sampled_from([1, 4, 8]),
)
def test_any_batch_of_forks_windows_and_sinks_is_computed_as_by_the_modules(
    kernels: Kernels, seed: int, kind: str, rounding: str, kv_dtype: KVDtype, block_size: int
) -> None:
    rng = random.Random(seed)
    twins = Twins(kernels, kind, rounding, kv_dtype, block_size)
    sequences: list[SequenceId] = []
    for _ in range(rng.randint(1, 6)):
        if sequences and rng.random() < 0.5:
            parent = rng.choice(sequences)
            length = twins.native.length(parent)
            if twins.native.visible_set(parent).window is None:
                length = rng.randint(min(1, length), length)  # 0 where a fork kept nothing
            sequences.append(twins.fork(parent, length))
            continue
        window = rng.choice([None, 6, 9])
        sequence = twins.open(window, 0 if window is None else rng.choice([0, 3]))
        left = rng.randint(1, 30)
        while left > 0:
            count = min(16, twins.native.chunk_limit(sequence, left))
            twins.step([(sequence, tokens(rng, count))])
            left -= count
        sequences.append(sequence)
    for _ in range(3):
        rng.shuffle(sequences)
        twins.step([(each, tokens(rng, 1)) for each in sequences])
    for each in sequences:
        twins.compare_stored(each)


@pytest.mark.parametrize("rounding", ["float", "int8", "int4"])
def test_the_bits_of_a_row_depend_on_no_neighbor_and_no_thread(
    kernels: Kernels, rounding: str
) -> None:
    rng = random.Random(1)
    twins = Twins(kernels, "grouped", rounding)
    sequences = [twins.open() for _ in range(16)]
    for each in sequences:
        twins.step([(each, tokens(rng, rng.randint(1, 12)))])
    alone = []
    for num_threads, each in zip([1, 2, 5, 3] * 4, sequences, strict=True):
        kernels.set_threads(num_threads)
        twin = twins.fork(each, twins.native.length(each))
        alone.append(twins.step([(twin, [7])])[0])
    kernels.set_threads(4)
    for count in (16, 15, 9, 8, 2):
        forks = [twins.fork(each, twins.native.length(each)) for each in sequences[:count]]
        together = twins.step([(each, [7]) for each in forks])
        assert torch.equal(together, torch.stack(alone[:count])), count


@pytest.mark.parametrize("kv_dtype", ["auto", "int8"])
def test_attention_shared_by_threads_that_come_late_has_the_bits_of_one_thread(
    kernels: Kernels, kv_dtype: KVDtype
) -> None:
    # Long enough to be shared, with more threads than processors, and a new plan for every step.
    rng = random.Random(2)
    twins = Twins(kernels, "every head its own, tied", "int8", kv_dtype)
    sequences = [twins.open() for _ in range(6)]
    for each, count in zip(sequences, (150, 200, 40, 50, 60, 70), strict=True):
        twins.step([(each, tokens(rng, count))])
    # Alone, in threes, and a batch in which some are forks of the same chat.
    batches = [[each] for each in sequences[:2]] + [sequences[:3], sequences[3:], sequences * 2]
    expected: list[Tensor] = []
    for number in range(60):
        choice = number if number < len(batches) else rng.randrange(len(batches))
        kernels.set_threads(1 if number < len(batches) else rng.choice([2, 3, 6]))
        forks = [twins.fork(each, twins.native.length(each)) for each in batches[choice]]
        found = twins.step([(each, [7]) for each in forks], is_compared=False)
        for each in forks:
            twins.native.free(each)
            twins.modules.free(each)
        if number < len(batches):
            expected.append(found)
        assert torch.equal(found, expected[choice]), number


@pytest.mark.parametrize("rounding", ["int8", "int4"])
def test_a_long_chunk_of_rounded_weights_has_the_bits_of_short_ones(
    kernels: Kernels, rounding: str
) -> None:
    if not kernels.is_wide:
        pytest.skip("long chunks are torch's on this processor")
    rng = random.Random(2)
    twins = Twins(kernels, "grouped", rounding)
    prompt = tokens(rng, 300)
    whole, parts = twins.open(), twins.open()
    twins.step([(whole, prompt)])
    for start in range(0, 300, 7):
        twins.step([(parts, prompt[start : start + 7])], is_compared=False)
    found = [twins.step([(each, [1])], is_compared=False) for each in (whole, parts)]
    assert torch.equal(*found)
    for index in range(3):
        for one, other in zip(
            twins.native.keys_values(whole, index),
            twins.native.keys_values(parts, index),
            strict=True,
        ):
            assert torch.equal(one, other)


def test_a_runner_computes_in_one_call_and_by_modules_what_is_not_for_it(
    kernels: Kernels, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = []
    run = DecoderProgram.run

    def count(self: DecoderProgram, step: DecoderStep, first: int, end: int) -> None:
        calls.append((first, end))
        run(self, step, first, end)

    monkeypatch.setattr(DecoderProgram, "run", count)
    model = make_model(kernels, "grouped")
    runner = ModelRunner(model, "cpu")
    caches = [
        PagedKVCache(model.config.kv_spec(), 20, block_size=8, kernels=each)
        for each in (kernels, None)
    ]
    found = []
    for cache in caches:
        sequence = cache.open()
        with cache.reserve([(sequence, 17)]) as step:
            runner.run([range(17)], step.positions, cache)
        assert calls == []
        with cache.reserve([(sequence, 1)]) as step:
            found.append(runner.run([[3]], step.positions, cache))
        assert calls == ([(0, 3)] if cache.kernels is not None else [])
        calls.clear()
    torch.testing.assert_close(*found, rtol=0.0, atol=1e-4)


@pytest.mark.parametrize("count", [1, 40])
def test_a_step_that_nobody_wants_stops_before_its_next_layer(kernels: Kernels, count: int) -> None:
    if count > 16 and not kernels.is_wide:
        pytest.skip("long chunks are torch's on this processor")
    twins = Twins(kernels, "grouped", "int8")
    sequence, asked = twins.open(), 0

    def stop() -> bool:
        nonlocal asked
        asked += 1
        return asked > (1 if count == 40 else 0)

    twins.native.should_stop = stop
    with torch.inference_mode(), twins.native.reserve([(sequence, count)]) as step:
        positions = torch.tensor(step.positions)
        with pytest.raises(StepStopped):
            twins.decoder.logits(torch.arange(count), positions, torch.tensor([0]))
        step.rollback()
    assert twins.native.length(sequence) == 0
    twins.native.should_stop = None
    twins.step([(sequence, list(range(count)))])


@pytest.mark.parametrize(
    "change",
    [
        {"model_type": "mixtral", "num_local_experts": 2, "num_experts_per_tok": 1},
        {"model_type": "gemma", "hidden_activation": "gelu_new", "hidden_act": "silu"},
        {"hidden_act": "gelu"},
    ],
)
def test_only_models_that_it_knows_have_one(kernels: Kernels, change: dict[str, Any]) -> None:
    config = ModelConfig.from_json(BASE | change)
    model = Transformer(config)
    cache = PagedKVCache(config.kv_spec(), 4, kernels=kernels)
    assert NativeDecoder.of(model, cache) is None


def test_caches_and_layers_that_it_does_not_know_have_none(kernels: Kernels) -> None:
    model = make_model(kernels, "grouped")
    spec = model.config.kv_spec()
    assert NativeDecoder.of(model, PagedKVCache(spec, 4, kernels=kernels)) is not None
    assert NativeDecoder.of(model, PagedKVCache(spec, 4)) is None
    half = PagedKVCache(spec, 4, dtype=torch.bfloat16, kernels=kernels)
    assert NativeDecoder.of(model, half) is None
    other = make_model(kernels, "every head its own, tied").config.kv_spec()
    assert NativeDecoder.of(model, PagedKVCache(other, 4, kernels=kernels)) is None
    assert NativeDecoder.of(object(), PagedKVCache(spec, 4, kernels=kernels)) is None
    model.set_submodule("layers.1.mlp.up_proj", nn.Linear(64, 96, bias=False))
    assert NativeDecoder.of(model, PagedKVCache(spec, 4, kernels=kernels)) is None


def test_a_library_that_computes_nonsense_is_not_used(
    kernels: Kernels, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(native_decoder, "_PROBED", {})
    model = make_model(kernels, "grouped")
    cache = PagedKVCache(model.config.kv_spec(), 4, kernels=kernels)
    monkeypatch.setattr(DecoderProgram, "run", lambda *arguments: None)
    assert NativeDecoder.of(model, cache) is None
    assert "nonsense" in caplog.text
