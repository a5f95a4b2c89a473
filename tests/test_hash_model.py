"""HashModel over the paged cache against the same arithmetic on plain lists."""

import random

import pytest
import torch

from kvchat.engine.model_runner import ModelRunner
from kvchat.hash_model import HashModel
from kvchat.kv.cache import SequenceId
from kvchat.kv.paged_cache import PagedKVCache

BLOCK_SIZE = 8


@pytest.fixture(autouse=True)
def poison(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KVCHAT_POISON", "1")


def compute(
    cache: PagedKVCache, model: HashModel, rows: dict[SequenceId, list[int]]
) -> list[list[float]]:
    step = cache.reserve([(sequence, len(new)) for sequence, new in rows.items()])
    logits = ModelRunner(model, "cpu").run(list(rows.values()), step.positions, cache)
    step.commit()
    found: list[list[float]] = logits.tolist()
    return found


def random_tokens(rng: random.Random, count: int) -> list[int]:
    return [rng.randrange(97) for _ in range(count)]


@pytest.mark.parametrize(
    ("window", "sinks"), [(None, 0), (7, 0), (33, 0), (16, 8), (1, 16), (40, 16)]
)
def test_any_chunking_in_any_company_gives_the_logits_of_plain_lists(
    window: int | None, sinks: int
) -> None:
    rng, model = random.Random(f"{window} {sinks}"), HashModel()
    cache = PagedKVCache(model.spec, 60, block_size=BLOCK_SIZE)
    texts = {cache.open(window=window, sinks=sinks): random_tokens(rng, 90) for _ in range(3)}
    expected = {
        sequence: model.list_states(token_ids, window, sinks)
        for sequence, token_ids in texts.items()
    }
    while remaining := [s for s, token_ids in texts.items() if cache.length(s) < len(token_ids)]:
        rows = {}
        for sequence in remaining:
            start = cache.length(sequence)
            wanted = min(rng.choice([1, 1, 2, 7, 30]), len(texts[sequence]) - start)
            count = cache.chunk_limit(sequence, wanted)
            rows[sequence] = texts[sequence][start : start + count]
        for sequence, logits in zip(rows, compute(cache, model, rows), strict=True):
            state = expected[sequence][cache.length(sequence) - 1]
            assert logits == model.list_logits(state)


def test_a_long_context_in_scattered_blocks_stays_exact() -> None:
    rng, model = random.Random(3), HashModel()
    cache = PagedKVCache(model.spec, 400, block_size=BLOCK_SIZE)
    first, second = cache.open(), cache.open()
    texts = {first: random_tokens(rng, 1500), second: random_tokens(rng, 1500)}
    for start in range(0, 1500, 75):
        rows = {sequence: text[start : start + 75] for sequence, text in texts.items()}
        logits = compute(cache, model, rows)
    for sequence, found in zip(texts, logits, strict=True):
        assert found == model.list_logits(model.list_states(texts[sequence])[-1])


@pytest.mark.parametrize("layer", [0, 1, 2])
def test_every_visible_slot_that_is_wrong_changes_the_next_logits(layer: int) -> None:
    rng, model = random.Random(4), HashModel(layer_windows=(None, 9, None))
    text = random_tokens(rng, 21)
    for position in range(20):
        cache = PagedKVCache(model.spec, 4, block_size=BLOCK_SIZE)
        sequence = cache.open()
        compute(cache, model, {sequence: text[:20]})
        group = cache.spec.group_index_of_layer[layer]
        tensor = cache.storages[group].tensors[0 if layer < 2 else 1]
        state = cache.pool_view(group).sequences[0]
        block = state.table[position // BLOCK_SIZE]
        if block >= 0:
            slot = block * BLOCK_SIZE + position % BLOCK_SIZE
            # The sum head alone, in one lane, by the least that can be wrong.
            tensor[2, slot, 5] += 1
        (found,) = compute(cache, model, {sequence: text[20:]})
        is_right = found == model.list_logits(model.list_states(text)[-1])
        is_visible = layer != 1 or position > 20 - 9
        assert is_right == (not is_visible)


def test_a_wrong_key_is_found_by_the_needle() -> None:
    rng, model = random.Random(5), HashModel(layer_windows=(None,))
    text = random_tokens(rng, 41)
    num_found = 0
    for position in range(40):
        cache = PagedKVCache(model.spec, 6, block_size=BLOCK_SIZE)
        sequence = cache.open()
        compute(cache, model, {sequence: text[:40]})
        # Two keys change places: sums stay, only the order is wrong.
        neighbor = (position + 1) % 40
        tensor = cache.storages[0].tensors[0]
        tensor[1, [position, neighbor]] = tensor[1, [neighbor, position]].clone()
        (found,) = compute(cache, model, {sequence: text[40:]})
        num_found += found != model.list_logits(model.list_states(text)[-1])
    # One position is the needle, so it is found with each of its two neighbors.
    assert num_found == 2


def test_a_stale_slot_that_holds_nan_changes_the_answer() -> None:
    rng, model = random.Random(6), HashModel()
    text = random_tokens(rng, 11)
    cache = PagedKVCache(model.spec, 4, block_size=BLOCK_SIZE)
    sequence = cache.open()
    compute(cache, model, {sequence: text[:10]})
    cache.storages[1].tensors[0][:, 3] = torch.nan
    (found,) = compute(cache, model, {sequence: text[10:]})
    assert found != model.list_logits(model.list_states(text)[-1])


def test_the_state_of_a_token_depends_on_everything_it_sees_and_on_nothing_else() -> None:
    model = HashModel(layer_windows=(None,))
    text = random_tokens(random.Random(7), 30)
    last = model.list_states(text, window=5, sinks=2)[-1]
    for position in range(30):
        changed = [*text[:position], (text[position] + 1) % 97, *text[position + 1 :]]
        is_same = model.list_states(changed, window=5, sinks=2)[-1] == last
        assert is_same == (2 <= position < 25)


@pytest.mark.parametrize("layer_windows", [(None, 33, None), (None,), (5, None)])
@pytest.mark.parametrize("window", [None, 1, 7, 33, 60, 200])
@pytest.mark.parametrize("sinks", [0, 8, 40, 150])
def test_the_states_of_whole_columns_are_those_of_plain_lists(
    layer_windows: tuple[int | None, ...], window: int | None, sinks: int
) -> None:
    model = HashModel(layer_windows=layer_windows)
    token_ids = random_tokens(random.Random(f"{window} {sinks}"), 120)
    sinks = 0 if window is None else sinks
    states = model.list_states(token_ids, window, sinks)
    assert model.states(token_ids, window, sinks).tolist() == states
    logits = model.logits(torch.tensor(states[-2:])).tolist()
    assert logits == [model.list_logits(state) for state in states[-2:]]
