"""Each kind of rope beside transformers, within and beyond the length of training."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from kvchat.kv.cache import KVCache
from kvchat.kv.contiguous import DynamicCache, NoCache, StaticCache
from kvchat.kv.paged_cache import PagedKVCache
from kvchat.kv.spec import KVCacheSpec
from kvchat.model.folder import ModelFolder
from tests.model.parity_kit import (
    TOLERANCE,
    Case,
    feed,
    import_transformers,
    make_oracle,
    oracle_logits,
    plain,
    some_tokens,
)

pytestmark = pytest.mark.xdist_group("oracle")

TRAINED = 48
"""Tokens a stretched context had in training, in these tests."""
YARN: dict[str, object] = {
    "rope_type": "yarn",
    "factor": 6.0,
    "original_max_position_embeddings": TRAINED,
    "rope_theta": 1e4,
}
PLAIN_KINDS: dict[str, dict[str, object]] = {
    "linear": {"rope_type": "linear", "factor": 3.0, "rope_theta": 1e4},
    "yarn": YARN,
    "yarn without factor": {**YARN, "factor": None},
    "yarn with given factor": {**YARN, "attention_factor": 1.3},
    "yarn with mscales": {**YARN, "mscale": 0.8, "mscale_all_dim": 0.4},
    "yarn with one mscale": {**YARN, "mscale": 0.8},
    "yarn not truncated": {**YARN, "truncate": False, "beta_fast": 8, "beta_slow": 2},
}
SHORT = [1.0 + 0.05 * index for index in range(8)]
LONG = [1.0 + 0.9 * index for index in range(8)]
LONGROPE: dict[str, object] = {
    "rope_type": "longrope",
    "short_factor": SHORT,
    "long_factor": LONG,
    "rope_theta": 1e4,
}
LONG_KINDS: dict[str, dict[str, object]] = {
    "longrope": LONGROPE,
    "longrope with given factor": {**LONGROPE, "attention_factor": 1.7},
    "longrope stretched little": {**LONGROPE, "factor": 2.0},
}
CACHES: dict[str, Callable[[KVCacheSpec], KVCache]] = {
    "none": NoCache,
    "dynamic": DynamicCache,
    "static": lambda spec: StaticCache(spec, 256),
    "paged": lambda spec: PagedKVCache(spec, 40, block_size=8),
}


@pytest.fixture(scope="module")
def transformers() -> Any:
    return import_transformers()


@pytest.mark.parametrize("kind", PLAIN_KINDS)
def test_a_kind_gives_the_oracles_logits(transformers: Any, tmp_path: Path, kind: str) -> None:
    overrides = {"max_position_embeddings": 300, "rope_parameters": dict(PLAIN_KINDS[kind])}
    case = Case.of(make_oracle(transformers, "llama", overrides), tmp_path, 200)
    case.assert_close(plain(case.model, case.token_ids))


@pytest.fixture(scope="module", params=list(LONG_KINDS))
def long_case(
    request: pytest.FixtureRequest, transformers: Any, tmp_path_factory: pytest.TempPathFactory
) -> Case:
    overrides = {
        "head_dim": ...,
        "max_position_embeddings": 8 * TRAINED,
        "original_max_position_embeddings": TRAINED,
        "rope_parameters": dict(LONG_KINDS[request.param]),
    }
    oracle = make_oracle(transformers, "phi3", overrides)
    return Case.of(oracle, tmp_path_factory.mktemp("model"), 130)


@pytest.mark.parametrize("cache_name", CACHES)
@pytest.mark.parametrize("length", [TRAINED - 1, TRAINED, TRAINED + 1, 130])
def test_longrope_rotates_all_of_a_session_for_its_length(
    long_case: Case, cache_name: str, length: int
) -> None:
    cache = CACHES[cache_name](long_case.spec)
    token_ids = long_case.token_ids[:length]
    sequence = cache.open(scheme_length=cache.spec.scheme_length(length))
    chunks = [length] if cache_name == "none" else [7, 1, 20, length - 30, 1, 1]
    logits = feed(long_case.model, cache, sequence, token_ids, *chunks)
    long_case.assert_close(logits, oracle_logits(long_case.oracle, token_ids))


def test_sessions_of_both_lengths_share_a_step_but_no_block(long_case: Case) -> None:
    cache = PagedKVCache(long_case.spec, 60, block_size=8)
    prompts = [long_case.token_ids[:TRAINED], long_case.token_ids]
    for _ in range(2):  # the second time from blocks of the first
        rows, start = [], []
        for prompt in prompts:
            length = cache.spec.scheme_length(prompt.shape[0])
            sequence = cache.open(scheme_length=length)
            start.append(cache.adopt(sequence, prompt.tolist()))
            rows.append((sequence, prompt.shape[0] - start[-1]))
        parts = [prompt[at:] for prompt, at in zip(prompts, start, strict=True)]
        step = cache.reserve(rows, [part.tolist() for part in parts])
        with torch.no_grad():
            logits = long_case.model(torch.cat(parts), torch.tensor(step.positions), cache)
        step.commit()
        cache.check_integrity()
        found = torch.split(logits, [part.shape[0] for part in parts])
        for prompt, at, own in zip(prompts, start, found, strict=True):
            long_case.assert_close(own, oracle_logits(long_case.oracle, prompt)[at:])
    assert start == [TRAINED - 1, 128]


@pytest.mark.parametrize("alias", ["su", "yarn"])
def test_older_names_of_longrope_are_understood_in_phi3(
    long_case: Case, tmp_path: Path, alias: str
) -> None:
    document = json.loads((long_case.folder / "config.json").read_text())
    rope = document.pop("rope_parameters")
    document["rope_theta"] = rope.pop("rope_theta")
    del rope["rope_type"], rope["partial_rotary_factor"]
    rope.pop("original_max_position_embeddings")
    document["rope_scaling"] = {"type": alias, **rope}
    (tmp_path / "config.json").write_text(json.dumps(document))
    (tmp_path / "model.safetensors").write_bytes(b"\0")
    assert ModelFolder.open(tmp_path).config == long_case.model.config


@pytest.mark.parametrize("name", ["short_factor", "long_factor"])
def test_each_list_of_longrope_moves_the_logits_of_its_length(
    long_case: Case, tmp_path: Path, name: str
) -> None:
    length = TRAINED if name == "short_factor" else 130
    changed = [value * 1.1 for value in (SHORT if name == "short_factor" else LONG)]
    model = long_case.with_config(lambda d: d["rope_parameters"].update({name: changed}), tmp_path)
    token_ids = long_case.token_ids[:length]
    cache = NoCache(model.config.kv_spec())
    sequence = cache.open(scheme_length=cache.spec.scheme_length(length))
    logits = feed(model, cache, sequence, token_ids)
    error = long_case.error(logits, oracle_logits(long_case.oracle, token_ids))
    assert error > 5 * TOLERANCE


@pytest.fixture(scope="module")
def dynamic_case(transformers: Any, tmp_path_factory: pytest.TempPathFactory) -> Case:
    overrides = {
        "max_position_embeddings": TRAINED,
        "rope_parameters": {"rope_type": "dynamic", "factor": 4.0, "rope_theta": 1e4},
    }
    oracle = make_oracle(transformers, "llama", overrides)
    return Case.of(oracle, tmp_path_factory.mktemp("model"), TRAINED)


@pytest.mark.parametrize("cache_name", CACHES)
def test_dynamic_rope_rotates_a_long_first_prompt_for_its_length(
    dynamic_case: Case, cache_name: str
) -> None:
    token_ids = some_tokens(150, seed=4)
    expected = oracle_logits(dynamic_case.oracle, token_ids)
    cache = CACHES[cache_name](dynamic_case.spec)
    sequence = cache.open(scheme_length=150)
    chunks = [150] if cache_name == "none" else [100, 1, 49]
    dynamic_case.assert_close(
        feed(dynamic_case.model, cache, sequence, token_ids, *chunks), expected
    )


@pytest.mark.parametrize("cache_name", ["dynamic", "static", "paged"])
def test_dynamic_rope_rotates_later_tokens_for_their_positions(
    dynamic_case: Case, cache_name: str
) -> None:
    token_ids = some_tokens(90, seed=5)
    expected = one_by_one(dynamic_case, token_ids, first=20)
    cache = CACHES[cache_name](dynamic_case.spec)
    logits = feed(dynamic_case.model, cache, cache.open(), token_ids, 20, 13, 1, 1, 50, 5)
    dynamic_case.assert_close(logits, expected)


def test_without_cache_dynamic_rope_is_the_same(dynamic_case: Case) -> None:
    token_ids = some_tokens(90, seed=5)
    expected = one_by_one(dynamic_case, token_ids, first=20)
    dynamic_case.assert_close(plain(dynamic_case.model, token_ids), expected)


def test_the_context_of_dynamic_rope_reaches_beyond_training(dynamic_case: Case) -> None:
    config = dynamic_case.model.config
    assert config.max_position == 4 * TRAINED
    assert config.rope.original_max_position == TRAINED


@torch.no_grad()
def one_by_one(case: Case, token_ids: Tensor, first: int) -> Tensor:
    """Return the oracle's logits where it reads `first` tokens, and then one after the other."""
    oracle_logits(case.oracle, token_ids[:first])  # lets it forget how long its last text was
    past, found = None, []
    for part in torch.split(token_ids, [first] + [1] * (token_ids.shape[0] - first)):
        output = case.oracle(part[None], past_key_values=past, use_cache=True)
        past = output.past_key_values
        found.append(output.logits[0])
    return torch.cat(found)


@pytest.mark.parametrize("window", [20, 60])  # the second is longer than training
@pytest.mark.parametrize("kind", ["longrope", "dynamic"])
def test_sinks_of_a_windowed_session_are_rotated_alike_in_every_cache(
    long_case: Case, dynamic_case: Case, kind: str, window: int
) -> None:
    case = long_case if kind == "longrope" else dynamic_case
    token_ids = some_tokens(150, seed=6)
    length = case.spec.scheme_length(8 + window)
    truth, pages = NoCache(case.spec), PagedKVCache(case.spec, 40, block_size=8)
    expected = feed(
        case.model, truth, truth.open(window=window, sinks=8, scheme_length=length), token_ids
    )
    sequence = pages.open(window=window, sinks=8, scheme_length=length)
    found, start = [], 0
    while start < 150:
        count = pages.chunk_limit(sequence, min(17, 150 - start))
        found.append(feed(case.model, pages, sequence, token_ids[start : start + count]))
        start += count
    assert case.error(torch.cat(found), expected) <= 1e-4
