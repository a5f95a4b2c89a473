"""Our logits against those of transformers, for every kind of attention and rope, in every cache.

All oracle tests are in this file: importing the oracle takes seconds, and one worker pays them.
"""

import json
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from kvchat.kv.cache import KVCache
from kvchat.kv.contiguous import DynamicCache, NoCache, StaticCache
from kvchat.kv.paged_cache import PagedKVCache
from kvchat.kv.spec import KVCacheSpec
from kvchat.model.checkpoint import load_transformer
from kvchat.model.folder import ModelFolder
from kvchat.model.transformer import Transformer

pytestmark = pytest.mark.xdist_group("oracle")

TOLERANCE = 2e-4
"""Largest difference of a float32 logit, in standard deviations of the oracle's logits."""
NUM_TOKENS = 512
UNEVEN_CHUNKS = (1, 7, 32, 33, 100, 1, 2, 63, 128, 145)

CACHES: dict[str, Callable[[KVCacheSpec], KVCache]] = {
    "dynamic": DynamicCache,
    "static": lambda spec: StaticCache(spec, NUM_TOKENS + 32),
    "paged": lambda spec: PagedKVCache(spec, 40, block_size=16),
}

LLAMA3 = {
    "rope_type": "llama3",
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 64,
}
VARIANTS: dict[str, dict[str, object]] = {
    "mha": {"num_key_value_heads": 4},
    "gqa": {},
    "mqa": {"num_key_value_heads": 1},
    "tied": {"tie_word_embeddings": True},
    "attention bias": {"attention_bias": True},
    "mlp bias": {"mlp_bias": True},
    "linear rope": {"rope_parameters": {"rope_type": "linear", "factor": 4.0, "rope_theta": 5e5}},
    "llama3 rope": {"rope_parameters": {**LLAMA3, "rope_theta": 5e5}},
}


@dataclass
class Case:
    folder: Path
    oracle: Any  # a transformers model: the library has no types
    model: Transformer
    token_ids: Tensor
    expected: Tensor

    def assert_close(self, logits: Tensor, start: int = 0) -> None:
        expected = self.expected[start : start + logits.shape[0]]
        assert logits.shape == expected.shape
        assert (logits - expected).abs().max() <= TOLERANCE * self.expected.std()


@pytest.fixture(scope="module")
def transformers() -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import transformers
    transformers.utils.logging.disable_progress_bar()
    transformers.utils.logging.set_verbosity_error()
    return transformers


def make_oracle(transformers: Any, **overrides: object) -> Any:
    """Return a random model whose logits have a standard deviation of about 1."""
    config = transformers.LlamaConfig(
        **{
            "vocab_size": 211,
            "hidden_size": 64,
            "intermediate_size": 96,
            "num_hidden_layers": 3,
            "num_attention_heads": 4,
            "num_key_value_heads": 2,
            "head_dim": 24,
            "max_position_embeddings": 1024,
            "rms_norm_eps": 1e-5,
            **overrides,
        }
    )
    config._attn_implementation = "eager"
    oracle = transformers.LlamaForCausalLM(config).eval()
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, parameter in oracle.named_parameters():
            # The library starts norms at 1 and biases at 0, which would hide their absence.
            center = 1.0 if "norm" in name else 0.0
            scale = 0.3 if parameter.ndim < 2 else 1.2 / parameter.shape[1] ** 0.5
            parameter.normal_(center, scale, generator=generator)
    return oracle


def oracle_logits(oracle: Any, token_ids: Tensor) -> Tensor:
    with torch.no_grad():
        logits: Tensor = oracle(token_ids[None]).logits[0]
    return logits


def load(folder: Path) -> Transformer:
    return load_transformer(ModelFolder.open(folder), dtype=torch.float32, device="cpu")


@pytest.fixture(scope="module", params=list(VARIANTS))
def case(
    request: pytest.FixtureRequest, transformers: Any, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Case]:
    folder = tmp_path_factory.mktemp("model")
    oracle = make_oracle(transformers, **VARIANTS[request.param])
    oracle.save_pretrained(folder)
    token_ids = torch.randint(0, 211, (NUM_TOKENS,), generator=torch.Generator().manual_seed(1))
    expected = oracle_logits(oracle, token_ids)
    assert 0.3 < expected.std() < 3
    yield Case(folder, oracle, load(folder), token_ids, expected)


@torch.no_grad()
def run(model: Transformer, cache: KVCache, token_ids: Tensor, chunks: Sequence[int]) -> Tensor:
    """Return the logits of all tokens, computed in chunks of the given sizes."""
    sequence = cache.open()
    logits = []
    for part in torch.split(token_ids, list(chunks)):
        step = cache.reserve([(sequence, part.shape[0])])
        logits.append(model(part, torch.tensor(step.positions), cache))
        step.commit()
    return torch.cat(logits)


@torch.no_grad()
def greedy(model: Transformer, cache: KVCache, prompt: Tensor, num_tokens: int) -> list[int]:
    sequence = cache.open()
    new, chosen = prompt, list[int]()
    while len(chosen) < num_tokens:
        step = cache.reserve([(sequence, new.shape[0])])
        last = torch.tensor([new.shape[0] - 1])
        logits = model(new, torch.tensor(step.positions), cache, last)
        step.commit()
        new = logits.argmax(-1)
        chosen.append(int(new))
    return chosen


@pytest.mark.parametrize("fused", [False, True])
def test_a_whole_prompt_without_cache_gives_the_oracles_logits(case: Case, fused: bool) -> None:
    cache = NoCache(case.model.config.kv_spec(), fused=fused)
    case.assert_close(run(case.model, cache, case.token_ids, [NUM_TOKENS]))


@pytest.mark.parametrize("cache_name", CACHES)
def test_a_whole_prompt_gives_the_oracles_logits(case: Case, cache_name: str) -> None:
    cache = CACHES[cache_name](case.model.config.kv_spec())
    case.assert_close(run(case.model, cache, case.token_ids, [NUM_TOKENS]))


@pytest.mark.parametrize("cache_name", CACHES)
def test_uneven_chunks_give_the_oracles_logits(case: Case, cache_name: str) -> None:
    cache = CACHES[cache_name](case.model.config.kv_spec())
    case.assert_close(run(case.model, cache, case.token_ids, UNEVEN_CHUNKS))


@pytest.mark.parametrize("cache_name", CACHES)
def test_single_tokens_give_the_oracles_logits(case: Case, cache_name: str) -> None:
    cache = CACHES[cache_name](case.model.config.kv_spec())
    chunks = [*[1] * 20, NUM_TOKENS - 40, *[1] * 20]
    case.assert_close(run(case.model, cache, case.token_ids, chunks))


def test_greedy_tokens_are_the_oracles(case: Case) -> None:
    prompt = case.token_ids[200:230]
    generated = case.oracle.generate(
        prompt[None],
        attention_mask=torch.ones(1, 30, dtype=torch.int64),
        do_sample=False,
        max_new_tokens=24,
        eos_token_id=None,
        pad_token_id=0,
    )[0, 30:].tolist()
    logits = oracle_logits(case.oracle, torch.cat((prompt, torch.tensor(generated))))[29:-1]
    best = logits.topk(2).values
    is_close = best[:, 0] - best[:, 1] <= 1e-3 * case.expected.std()
    num_clear = int(is_close.int().argmax()) if is_close.any() else len(generated)
    assert num_clear >= 8, "choose another seed"
    found = {
        name: greedy(case.model, make(case.model.config.kv_spec()), prompt, num_clear)
        for name, make in CACHES.items()
    }
    assert found == dict.fromkeys(CACHES, generated[:num_clear])


def test_shards_give_the_same_weights_as_one_file(case: Case, tmp_path: Path) -> None:
    case.oracle.save_pretrained(tmp_path, max_shard_size="30KB")
    assert not (tmp_path / "model.safetensors").exists()
    assert len(ModelFolder.open(tmp_path).weight_files) > 3
    sharded = load(tmp_path).state_dict()
    whole = case.model.state_dict()
    assert sharded.keys() == whole.keys()
    assert all(torch.equal(sharded[name], whole[name]) for name in whole)


def test_the_older_spelling_of_rope_is_the_same_model(case: Case, tmp_path: Path) -> None:
    document = json.loads((case.folder / "config.json").read_text())
    rope = document.pop("rope_parameters")
    document["rope_theta"] = rope.pop("rope_theta")
    kind = rope.pop("rope_type")
    document["rope_scaling"] = None if kind == "default" else {"type": kind, **rope}
    document["torch_dtype"] = document.pop("dtype")
    (tmp_path / "config.json").write_text(json.dumps(document))
    (tmp_path / "model.safetensors").symlink_to(tmp_path / "weights")
    (tmp_path / "weights").write_bytes((case.folder / "model.safetensors").read_bytes())
    older = ModelFolder.open(tmp_path)
    newer = ModelFolder.open(case.folder)
    assert older.config == newer.config
    assert older.digest("fp32") == newer.digest("fp32")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("rms_norm_eps", 1e-3),
        ("rope_theta", 20_000.0),
        ("factor", 7.0),
        ("low_freq_factor", 2.0),
        ("high_freq_factor", 8.0),
        ("original_max_position_embeddings", 256),
    ],
)
def test_each_number_of_the_config_moves_the_logits(
    transformers: Any, tmp_path: Path, field: str, value: float
) -> None:
    oracle = make_oracle(transformers, rope_parameters={**LLAMA3, "rope_theta": 10_000.0})
    oracle.save_pretrained(tmp_path)
    token_ids = torch.arange(200)
    expected = oracle_logits(oracle, token_ids)
    document = json.loads((tmp_path / "config.json").read_text())
    place = document if field in document else document["rope_parameters"]
    assert place[field] != value
    place[field] = value
    (tmp_path / "config.json").write_text(json.dumps(document))
    model = load(tmp_path)
    logits = run(model, NoCache(model.config.kv_spec()), token_ids, [200])
    assert (logits - expected).abs().max() > 5 * TOLERANCE * expected.std()


def test_bfloat16_is_about_as_exact_as_the_oracles_bfloat16(
    transformers: Any, tmp_path: Path
) -> None:
    oracle = make_oracle(transformers).to(torch.bfloat16)
    oracle.save_pretrained(tmp_path)
    token_ids = torch.randint(0, 211, (256,), generator=torch.Generator().manual_seed(2))
    rounded = oracle_logits(oracle, token_ids).float()
    exact = oracle_logits(oracle.float(), token_ids)
    model = load_transformer(ModelFolder.open(tmp_path), dtype=torch.bfloat16, device="cpu")
    logits = run(model, NoCache(model.config.kv_spec()), token_ids, [256]).float()
    ours, theirs = (logits - exact).abs(), (rounded - exact).abs()
    assert ours.median() <= 2 * theirs.median()
    assert ours.quantile(0.95) <= 2.5 * theirs.quantile(0.95)
