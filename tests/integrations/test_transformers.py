"""PagedTransformersCache against DynamicCache: the same tokens, whatever is done between."""

import copy
import functools
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

pytest.importorskip("transformers", reason="the adapter needs the extra hf")

import transformers
from transformers import DynamicCache, PreTrainedModel

from kvchat.errors import InvalidArgument, PoolTooSmall
from kvchat.integrations.transformers import PagedTransformersCache, kv_spec_of

WINDOW = 12
FAMILIES: dict[str, tuple[str, dict[str, Any]]] = {  # keyword arguments of configurations
    "llama": ("LlamaConfig", {}),
    "mistral": ("MistralConfig", {"sliding_window": WINDOW}),
    "qwen2": ("Qwen2Config", {}),
    "qwen2 with windows": (
        "Qwen2Config",
        {"use_sliding_window": True, "sliding_window": WINDOW, "max_window_layers": 1},
    ),
    "qwen3": ("Qwen3Config", {"head_dim": 16}),
    "gemma": ("GemmaConfig", {"num_key_value_heads": 1}),
    "gemma2": ("Gemma2Config", {"sliding_window": WINDOW}),
    "gemma3_text": ("Gemma3TextConfig", {"sliding_window": WINDOW, "num_hidden_layers": 6}),
    "phi3": ("Phi3Config", {"sliding_window": WINDOW}),
}
NEW = 18
"""Tokens generated, so that windows are crossed."""


@functools.cache
def model_of(family: str) -> Any:  # PreTrainedModel, whose types are not read
    """Return a random model with strong weights, so that its words depend on what it sees."""
    name, changes = FAMILIES[family]
    numbers: dict[str, Any] = {
        "vocab_size": 97,
        "hidden_size": 32,
        "intermediate_size": 48,
        "num_hidden_layers": 3,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": 8,
        "max_position_embeddings": 256,
        "bos_token_id": 1,
        "eos_token_id": None,
        "pad_token_id": 0,
        "tie_word_embeddings": False,  # a tied head likes to say the last word again
    }
    config = getattr(transformers, name)(**numbers | changes)
    model = transformers.AutoModelForCausalLM.from_config(config).eval()
    generator = torch.Generator().manual_seed(1)
    for parameter in model.parameters():
        if parameter.dim() == 2:
            parameter.data.normal_(0.0, 2.0 / parameter.shape[1] ** 0.5, generator=generator)
        else:
            parameter.data.uniform_(0.5, 1.5, generator=generator)
    return model


@pytest.fixture(params=FAMILIES)
def model(request: pytest.FixtureRequest) -> PreTrainedModel:
    return model_of(request.param)


@pytest.fixture
def llama() -> PreTrainedModel:
    return model_of("llama")


def paged(model: PreTrainedModel, num_blocks: int = 96) -> PagedTransformersCache:
    return PagedTransformersCache.create(model, num_blocks=num_blocks, block_size=4)


def prompt(num_rows: int, length: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(3, 97, (num_rows, length), generator=generator)


def answer(model: PreTrainedModel, ids: Tensor, cache: object, **options: Any) -> Tensor:
    """Return prompt and greedy tokens; without a mask of its own nothing is padding."""
    options = {"max_new_tokens": NEW, "do_sample": False} | options
    options.setdefault("attention_mask", torch.ones_like(ids))
    found = model.generate(ids, past_key_values=cache, **options)
    if isinstance(cache, PagedTransformersCache):
        cache.pool.check_integrity()
    assert isinstance(found, Tensor)
    return found


def plain_answer(model: PreTrainedModel, ids: Tensor, **options: Any) -> Tensor:
    """Return what DynamicCache gives; rows must not only repeat one word."""
    found = answer(model, ids, DynamicCache(config=model.config), **options)
    assert len(set(found[:, ids.shape[1] :].flatten().tolist())) > 3
    return found


class NumComputed:
    """Counts the tokens a model computes."""

    def __init__(self, model: PreTrainedModel) -> None:
        self.count = 0
        self._hook = model.get_input_embeddings().register_forward_hook(self._add)

    def _add(self, module: object, ids: tuple[Tensor], output: object) -> None:
        self.count += ids[0].shape[1]

    def __enter__(self) -> "NumComputed":
        return self

    def __exit__(self, *_: object) -> None:
        self._hook.remove()


def test_greedy_tokens_of_a_padded_batch_are_those_of_the_dynamic_cache(
    model: PreTrainedModel,
) -> None:
    ids = prompt(3, 15)
    mask = torch.ones_like(ids)
    mask[0, :6] = 0
    ids[0, :6] = 0
    cache = paged(model)
    found = answer(model, ids, cache, attention_mask=mask)
    assert torch.equal(found, plain_answer(model, ids, attention_mask=mask))
    assert cache.get_seq_length() == ids.shape[1] + NEW - 1
    assert cache.batch_size == 3


def test_forks_and_rewinds_between_calls_give_the_tokens_of_a_run_without_them(
    model: PreTrainedModel,
) -> None:
    ids = prompt(1, 15)
    cache = paged(model)
    once = answer(model, ids, cache)
    available = cache.pool.available
    child = cache.fork()
    assert cache.pool.available == available
    with NumComputed(model) as computed:
        for branch, seed in ((child, 1), (cache, 2)):
            longer = torch.cat((once, prompt(1, 5, seed)), 1)
            assert torch.equal(answer(model, longer, branch), plain_answer(model, longer))
        # Of each: the last token of the first answer, the five, all but the last of the new ones.
        assert computed.count == 2 * (1 + 5 + NEW - 1) + 2 * (longer.shape[1] + NEW - 1)
    kept = cache.rewind(10)
    assert kept == (0 if any(cache.is_sliding) else 10)
    other = torch.cat((ids[:, :10], prompt(1, 9, seed=3)), 1)
    assert torch.equal(answer(model, other, cache), plain_answer(model, other))


def test_recording_makes_every_rewind_possible(model: PreTrainedModel) -> None:
    ids = prompt(2, 15)
    cache = paged(model)
    cache.activate_past_recording()
    answer(model, ids, cache)
    assert cache.rewind(10) == 10
    other = torch.cat((ids[:, :10], prompt(2, 9, seed=3)), 1)
    with NumComputed(model) as computed:
        found = answer(model, other, cache)
        assert computed.count == 9 + NEW - 1
    assert torch.equal(found, plain_answer(model, other))


@pytest.mark.parametrize("family", ["llama", "gemma3_text"])
def test_beams_are_reordered_by_block_tables(family: str) -> None:
    model, ids = model_of(family), prompt(2, 15)
    cache = paged(model)
    with pytest.MonkeyPatch.context() as patch:
        orders = []
        reorder = PagedTransformersCache.reorder_cache

        def noted(self: PagedTransformersCache, beam_idx: Tensor) -> None:
            orders.append(beam_idx.tolist())
            reorder(self, beam_idx)

        patch.setattr(PagedTransformersCache, "reorder_cache", noted)
        found = answer(model, ids, cache, num_beams=3)
    assert torch.equal(found, plain_answer(model, ids, num_beams=3))
    assert any(len(set(order)) < len(order) for order in orders)


@pytest.mark.parametrize("family", ["llama", "mistral", "gemma2"])
def test_candidates_of_assisted_generation_are_cropped(family: str) -> None:
    model = model_of(family)
    ids = torch.cat((prompt(1, 8), prompt(1, 8), prompt(1, 5)), 1)
    cache = paged(model)
    crops = []
    with pytest.MonkeyPatch.context() as patch:
        crop = PagedTransformersCache.crop

        def noted(self: PagedTransformersCache, tokens_to_remove: int) -> None:
            crops.append(tokens_to_remove)
            crop(self, tokens_to_remove)

        patch.setattr(PagedTransformersCache, "crop", noted)
        found = answer(model, ids, cache, prompt_lookup_num_tokens=3)
    assert torch.equal(found, plain_answer(model, ids))
    assert min(crops) < 0


def test_a_smaller_model_assists_over_a_paged_cache() -> None:
    model, ids = model_of("mistral"), prompt(1, 15)
    found = answer(model, ids, paged(model), assistant_model=model_of("llama"))
    assert torch.equal(found, plain_answer(model, ids))


def test_one_prompt_is_repeated_for_many_answers_without_a_copy(llama: PreTrainedModel) -> None:
    ids = prompt(1, 15)
    cache = paged(llama)
    llama(ids[:, :-1], past_key_values=cache)
    available = cache.pool.available
    cache.batch_repeat_interleave(3)
    assert cache.pool.available == available
    rows = torch.cat([ids[:, :-1].repeat(3, 1), torch.tensor([[5], [6], [7]])], 1)
    assert torch.equal(answer(llama, rows, cache), plain_answer(llama, rows))
    cache.batch_select_indices(torch.tensor([True, False, True]))
    assert cache.batch_size == 2


def test_caches_of_one_pool_take_turns(llama: PreTrainedModel) -> None:
    caches = [paged(llama)]
    caches.append(PagedTransformersCache(caches[0].pool))
    texts = [prompt(1, 15, seed=1), prompt(2, 11, seed=2)]
    for _ in range(2):
        for index, cache in enumerate(caches):
            found = answer(llama, texts[index], cache, max_new_tokens=6)
            assert torch.equal(found, plain_answer(llama, texts[index], max_new_tokens=6))
            texts[index] = found


def test_a_prompt_may_come_in_chunks() -> None:
    model, ids = model_of("gemma3_text"), prompt(2, 30)
    found = answer(model, ids, paged(model), prefill_chunk_size=7)
    assert torch.equal(found, plain_answer(model, ids))


def test_a_copy_is_a_fork(llama: PreTrainedModel) -> None:
    ids = prompt(1, 15)
    cache = paged(llama)
    once = answer(llama, ids, cache)
    for copied in (copy.deepcopy(cache), copy.copy(cache)):
        assert copied.pool is cache.pool and copied.get_seq_length() == once.shape[1] - 1
        assert torch.equal(answer(llama, once, copied), plain_answer(llama, once))
    assert cache.get_seq_length() == ids.shape[1] + NEW - 1


def test_a_full_pool_is_one_sentence_and_the_cache_can_go_on(llama: PreTrainedModel) -> None:
    cache = paged(llama, num_blocks=6)
    ids = prompt(1, 15)
    with pytest.raises(PoolTooSmall, match="need more than the 0 blocks of 4 tokens"):
        answer(llama, ids, cache)
    cache.pool.check_integrity()
    assert cache.get_seq_length() == 24
    cache.reset()
    assert cache.pool.available == cache.pool.size and cache.batch_size == -1
    assert torch.equal(
        answer(llama, ids, cache, max_new_tokens=8), plain_answer(llama, ids, max_new_tokens=8)
    )


def test_an_error_inside_the_model_leaves_the_cache_as_it_was(llama: PreTrainedModel) -> None:
    cache = paged(llama)
    ids = prompt(1, 15)
    llama(ids[:, :10], past_key_values=cache)

    def fail(*_: object) -> None:
        raise RuntimeError("planted")

    hook = llama.model.layers[1].mlp.register_forward_hook(fail)
    with pytest.raises(RuntimeError, match="planted"):
        llama(ids[:, 10:], past_key_values=cache)
    hook.remove()
    assert cache.get_seq_length() == 10
    assert torch.equal(answer(llama, ids, cache), plain_answer(llama, ids))


def test_layers_show_what_they_hold(llama: PreTrainedModel) -> None:
    cache, dynamic = paged(llama), DynamicCache(config=llama.config)
    assert [key for key, _, _ in cache] == [None] * 3
    for each in (cache, dynamic):
        llama(prompt(2, 9), past_key_values=each)
    for found, expected in zip(cache, dynamic, strict=True):
        assert found[0] is not None and torch.equal(found[0], expected[0])
        assert found[1] is not None and torch.equal(found[1], expected[1])
    assert not cache.is_compileable and len(cache) == 3


def test_cropping_behind_a_window_is_refused_and_changes_nothing() -> None:
    model, ids = model_of("mistral"), prompt(1, 40)
    cache = paged(model)
    model(ids, past_key_values=cache)
    with pytest.raises(InvalidArgument, match=r"call activate_past_recording\(\) before"):
        cache.crop(-30)
    assert cache.get_seq_length() == 40
    cache.crop(0)
    cache.crop(-1)
    assert cache.get_seq_length() == 39


def test_a_crop_gives_back_what_was_recorded_for_it() -> None:
    model = model_of("mistral")
    cache = paged(model)
    cache.activate_past_recording()
    model(prompt(1, 40), past_key_values=cache)
    recorded = cache.pool.num_available
    cache.crop(-5)
    assert cache.pool.num_available > recorded
    model(prompt(1, 20), past_key_values=cache)
    cache.crop(-20)
    assert cache.get_seq_length() == 35
    cache.pool.check_integrity()


def test_the_calls_of_older_transformers_are_understood() -> None:
    model = model_of("mistral")
    cache = paged(model)
    model(prompt(1, 15), past_key_values=cache)
    layer = cache.layers[0]
    assert layer.get_mask_sizes(torch.arange(15, 17)) == layer.get_mask_sizes(2) == (13, 4)
    assert layer.get_max_cache_shape() == WINDOW
    layer.lazy_initialization(torch.zeros(1))
    cache.crop(15)
    assert cache.get_seq_length() == 15
    key = torch.zeros(1, 2, 1, 8)
    found, _ = layer.update(key, key, {"cache_position": torch.tensor([15])})
    assert found.shape == (1, 2, 12, 8)
    cache.reset()
    model(prompt(1, 9), past_key_values=cache)
    cache.crop(4)
    assert cache.get_seq_length() == 4


def test_ending_a_recording_through_its_layers_lets_go_of_the_past() -> None:
    model = model_of("mistral")
    cache = paged(model)
    cache.activate_past_recording()
    model(prompt(1, 40), past_key_values=cache)
    before = cache.pool.num_available
    for layer in cache.layers:
        assert layer.record_past
    for layer in cache.layers:
        layer.record_past = False
    assert cache.pool.num_available > before
    cache.pool.check_integrity()


@pytest.mark.parametrize(
    ("name", "numbers", "why"),
    [
        ("DeepseekV2Config", {}, "do not keep one key and one value per head"),
        ("Llama4TextConfig", {}, "layers of kind 'chunked_attention'"),
        ("Qwen3NextConfig", {}, "layers of kind 'linear_attention'"),
    ],
)
def test_models_that_keep_something_else_are_refused(
    name: str, numbers: dict[str, Any], why: str
) -> None:
    with pytest.raises(InvalidArgument, match=why):
        kv_spec_of(getattr(transformers, name)(**numbers))


def test_without_transformers_the_import_is_one_sentence() -> None:
    program = (
        "import sys; sys.modules['transformers'] = None\nimport kvchat.integrations.transformers"
    )
    result = subprocess.run(
        [sys.executable, "-c", program],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.stderr.splitlines()[-1] == (
        "ModuleNotFoundError: kvchat.integrations.transformers needs transformers 4.57 or later;"
        " install it with: pip install 'kvchat[hf]'."
    )
