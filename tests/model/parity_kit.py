"""Tiny random models of transformers, saved as folders, and our logits beside theirs."""

import json
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from kvchat.kv.cache import KVCache, SequenceId
from kvchat.kv.contiguous import NoCache
from kvchat.kv.spec import KVCacheSpec
from kvchat.model.checkpoint import load_transformer
from kvchat.model.folder import ModelFolder
from kvchat.model.transformer import Transformer

TOLERANCE = 2e-4
"""Largest difference of a float32 logit, in standard deviations of the oracle's logits."""
VOCAB_SIZE = 211
BASE: dict[str, object] = {
    "vocab_size": VOCAB_SIZE,
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 24,
    "max_position_embeddings": 1024,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}


def import_transformers() -> Any:  # the library has no types
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import transformers
    transformers.utils.logging.disable_progress_bar()
    transformers.utils.logging.set_verbosity_error()
    return transformers


def make_oracle(
    transformers: Any, model_type: str, overrides: Mapping[str, object], seed: int = 0
) -> Any:  # a model of a library without types
    """Return a random model whose logits have a standard deviation of about 1."""
    fields = {name: value for name, value in ({**BASE, **overrides}).items() if value is not ...}
    config = transformers.AutoConfig.for_model(model_type, **fields)
    config._attn_implementation = "eager"
    oracle = transformers.AutoModelForCausalLM.from_config(config).eval()
    randomize(oracle, seed, norm_center=0.0 if "gemma" in model_type else 1.0)
    return oracle


@torch.no_grad()
def randomize(oracle: Any, seed: int, norm_center: float) -> None:
    """Fill every parameter; the library starts norms at 1 and biases at 0, hiding their absence."""
    generator = torch.Generator().manual_seed(seed)
    for name, parameter in oracle.named_parameters():
        center = norm_center if "norm" in name else 0.0
        scale = 0.3 if parameter.ndim < 2 else 1.2 / parameter.shape[-1] ** 0.5
        if "embed_tokens" in name:
            scale = 0.3
        parameter.normal_(center, scale, generator=generator)


@torch.no_grad()
def oracle_logits(oracle: Any, token_ids: Tensor) -> Tensor:
    logits: Tensor = oracle(token_ids[None]).logits[0]
    return logits


def load(folder: Path, dtype: torch.dtype = torch.float32) -> Transformer:
    return load_transformer(ModelFolder.open(folder), dtype=dtype, device="cpu")


def some_tokens(count: int, seed: int = 1) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(3, VOCAB_SIZE, (count,), generator=generator)


@dataclass
class Case:
    """An oracle, its folder, our model of it, and what the oracle says of some tokens."""

    folder: Path
    oracle: Any
    model: Transformer
    token_ids: Tensor
    expected: Tensor

    @classmethod
    def of(cls, oracle: Any, folder: Path, num_tokens: int) -> "Case":
        oracle.save_pretrained(folder)
        token_ids = some_tokens(num_tokens)
        expected = oracle_logits(oracle, token_ids)
        assert 0.2 < expected.std() < 5, "logits of no use for comparing"
        return cls(folder, oracle, load(folder), token_ids, expected)

    @property
    def spec(self) -> KVCacheSpec:
        return self.model.config.kv_spec()

    def error(self, logits: Tensor, expected: Tensor) -> float:
        """Return the largest difference in standard deviations of the oracle's logits."""
        assert logits.shape == expected.shape
        return float((logits - expected).abs().max() / self.expected.std())

    def assert_close(self, logits: Tensor, expected: Tensor | None = None, start: int = 0) -> None:
        if expected is None:
            expected = self.expected[start : start + logits.shape[0]]
        assert self.error(logits, expected) <= TOLERANCE

    def with_config(self, change: Callable[[dict[str, Any]], object], folder: Path) -> Transformer:
        """Return our model of the same weights after `change` had its way with the config."""
        document = json.loads((self.folder / "config.json").read_text())
        change(document)
        folder.mkdir(exist_ok=True)
        (folder / "config.json").write_text(json.dumps(document))
        (folder / "weights").write_bytes((self.folder / "model.safetensors").read_bytes())
        link = folder / "model.safetensors"
        link.unlink(missing_ok=True)
        link.symlink_to("weights")
        return load(folder)


@torch.no_grad()
def feed(
    model: Transformer, cache: KVCache, sequence: SequenceId, token_ids: Tensor, *chunks: int
) -> Tensor:
    """Bring tokens to a sequence in chunks, one of all by default; return the logits of each."""
    logits = []
    for part in torch.split(token_ids, list(chunks or (token_ids.shape[0],))):
        step = cache.reserve([(sequence, part.shape[0])])
        logits.append(model(part, torch.tensor(step.positions), cache))
        step.commit()
    return torch.cat(logits)


def run(model: Transformer, cache: KVCache, token_ids: Tensor, *chunks: int) -> Tensor:
    """Return the logits of all tokens of a new sequence, computed in chunks."""
    return feed(model, cache, cache.open(), token_ids, *chunks)


@torch.no_grad()
def run_batch(model: Transformer, cache: KVCache, prompts: Sequence[Tensor]) -> list[Tensor]:
    """Return the logits of prompts that are computed in one step."""
    rows = [(cache.open(), prompt.shape[0]) for prompt in prompts]
    step = cache.reserve(rows)
    logits = model(torch.cat(list(prompts)), torch.tensor(step.positions), cache)
    step.commit()
    return list(torch.split(logits, [prompt.shape[0] for prompt in prompts]))


def plain(model: Transformer, token_ids: Tensor) -> Tensor:
    """Return the logits of all tokens without any cache."""
    return run(model, NoCache(model.config.kv_spec()), token_ids)


@torch.no_grad()
def greedy(model: Transformer, cache: KVCache, prompt: Tensor, num_tokens: int) -> list[int]:
    sequence, new, chosen = cache.open(), prompt, list[int]()
    while len(chosen) < num_tokens:
        new = feed(model, cache, sequence, new)[-1:].argmax(-1)
        chosen.append(int(new))
    return chosen


def oracle_greedy(case: Case, prompt: Tensor, num_tokens: int) -> list[int]:
    """Return what the oracle generates, up to the first choice that is almost a tie."""
    ids = case.oracle.generate(
        prompt[None],
        attention_mask=torch.ones_like(prompt[None]),
        do_sample=False,
        max_new_tokens=num_tokens,
        eos_token_id=None,
        pad_token_id=0,
    )[0, prompt.shape[0] :]
    logits = oracle_logits(case.oracle, torch.cat((prompt, ids)))[prompt.shape[0] - 1 : -1]
    best = logits.topk(2).values
    is_close = best[:, 0] - best[:, 1] <= 1e-3 * case.expected.std()
    num_clear = int(is_close.int().argmax()) if is_close.any() else num_tokens
    assert num_clear >= 4, "choose another seed"
    return [int(each) for each in ids[:num_clear]]
