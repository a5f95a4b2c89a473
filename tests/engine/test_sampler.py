"""The sampler against a slow reference in plain Python, and its edges."""

import math
import random
from collections import Counter
from collections.abc import Sequence

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from kvchat.engine import sampler
from kvchat.engine.logit_reader import LogitReader
from kvchat.engine.sampler import SamplerRow, choose, sample, uniform
from kvchat.native.kernels import Kernels
from kvchat.sampling_params import SamplingParams
from kvchat.token_records import unpack_records

GREEDY = SamplingParams(temperature=0.0)


def pick(logits: Sequence[float], params: SamplingParams, position: int = 0, seed: int = 0) -> int:
    return sample(torch.tensor([logits]), [SamplerRow(params, seed, position, ())])[0]


def drawn(logits: Sequence[float], params: SamplingParams, count: int = 400) -> Counter[int]:
    """Return how often each token is drawn at `count` positions."""
    rows = [SamplerRow(params, 7, position, ()) for position in range(count)]
    return Counter(sample(torch.tensor([logits]).repeat(count, 1), rows))


# The reference


def penalized(logits: Sequence[float], context: Sequence[int], penalty: float) -> list[float]:
    found = list(logits)
    for token_id in set(context):
        value = found[token_id]
        found[token_id] = value / penalty if value > 0 else value * penalty
    return found


def kept_tokens(logits: Sequence[float], params: SamplingParams) -> dict[int, float]:
    """Return the tokens that may be drawn, likeliest first, and their probabilities."""
    order = sorted(range(len(logits)), key=lambda token_id: (-logits[token_id], token_id))
    if params.top_k:
        order = order[: params.top_k]
    largest = logits[order[0]]
    weights = [math.exp((logits[token_id] - largest) / params.temperature) for token_id in order]
    total = sum(weights)
    kept: dict[int, float] = {}
    for token_id, weight in zip(order, weights, strict=True):
        if kept and params.top_p < 1 and sum(kept.values()) >= params.top_p:
            break
        kept[token_id] = weight / total
    least = params.min_p * kept[order[0]]
    return {token_id: chance for token_id, chance in kept.items() if chance >= least}


def reference_is_near(logits: Sequence[float], row: SamplerRow, token_id: int) -> bool:
    """Say whether a plain computation draws this token, allowing for float32 at the edges."""
    logits = penalized(logits, row.context, row.params.repetition_penalty)
    if row.params.temperature == 0:
        return logits[token_id] >= max(logits) - 1e-5
    for nudge in (0.0, 1e-5, -1e-5):
        params = row.params.with_values(
            {
                "top_p": min(1.0, max(1e-6, row.params.top_p + nudge)),
                "min_p": min(1.0, max(0.0, row.params.min_p + nudge)),
            }
        )
        kept = kept_tokens(logits, params)
        number = uniform(row.seed, row.position) * sum(kept.values())
        before = 0.0
        for kept_id, chance in kept.items():
            is_equal = abs(logits[kept_id] - logits[token_id]) < 1e-5
            if is_equal and before - 1e-4 <= number <= before + chance + 1e-4:
                return True
            before += chance
    return False


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_every_row_is_drawn_as_a_plain_computation_draws_it(data: st.DataObject) -> None:
    vocab_size = data.draw(st.integers(1, 12))
    count = data.draw(st.integers(1, 4))
    # Multiples of a quarter, so that equal logits are common.
    number = st.integers(-40, 40).map(lambda quarters: quarters / 4)
    rows = [
        SamplerRow(
            SamplingParams(
                temperature=data.draw(st.sampled_from([0.0, 0.3, 1.0, 5.0])),
                top_k=data.draw(st.sampled_from([0, 1, 2, 5, 50])),
                top_p=data.draw(st.sampled_from([1.0, 0.9, 0.5, 1e-6])),
                min_p=data.draw(st.sampled_from([0.0, 0.1, 1.0])),
                repetition_penalty=data.draw(st.sampled_from([1.0, 1.3, 0.5])),
            ),
            data.draw(st.integers(0, 2**64 - 1)),
            data.draw(st.integers(0, 10**6)),
            data.draw(st.lists(st.integers(0, vocab_size - 1), max_size=5)),
        )
        for _ in range(count)
    ]
    logits = [[data.draw(number) for _ in range(vocab_size)] for _ in range(count)]
    for row, values, token_id in zip(rows, logits, sample(torch.tensor(logits), rows), strict=True):
        assert reference_is_near(values, row, token_id)


# Greedy


def test_temperature_zero_takes_the_largest_and_of_equal_ones_the_first() -> None:
    assert pick([0.5, 3.0, 3.0, -1.0], GREEDY) == 1


def test_greedy_and_drawing_rows_go_in_one_call() -> None:
    logits = torch.tensor([[0.0, 9.0], [9.0, 0.0], [0.0, 9.0]])
    params = [GREEDY, SamplingParams(temperature=0.1), GREEDY]
    rows = [SamplerRow(setting, 0, 0, ()) for setting in params]
    assert sample(logits, rows) == [1, 0, 1]


def test_half_precision_is_enough() -> None:
    logits = torch.tensor([[1.0, 2.0, 4.0]], dtype=torch.bfloat16)
    assert sample(logits, [SamplerRow(GREEDY, 0, 0, ())]) == [2]


# Filters


def test_top_k_of_one_is_greedy_even_where_logits_are_equal() -> None:
    assert drawn([1.0, 2.0, 2.0, 2.0], SamplingParams(temperature=5.0, top_k=1)) == {1: 400}


def test_top_k_keeps_the_k_likeliest_and_of_equal_ones_the_first() -> None:
    found = drawn([1.0, 0.0, 1.0, 1.0, 2.0], SamplingParams(temperature=5.0, top_k=3))
    assert set(found) == {4, 0, 2}


def test_top_k_larger_than_the_vocabulary_keeps_all() -> None:
    assert set(drawn([0.0, 0.0], SamplingParams(temperature=1.0, top_k=2**31 - 1))) == {0, 1}


def test_a_tiny_top_p_is_greedy() -> None:
    assert drawn([0.0, 0.1, 0.2], SamplingParams(temperature=9.0, top_p=1e-6)) == {2: 400}


def test_top_p_keeps_the_smallest_set_that_reaches_it() -> None:
    logits = [math.log(chance) for chance in (0.5, 0.3, 0.15, 0.05)]
    assert set(drawn(logits, SamplingParams(temperature=1.0, top_p=0.7))) == {0, 1}
    assert set(drawn(logits, SamplingParams(temperature=1.0, top_p=0.9))) == {0, 1, 2}


def test_top_p_sees_what_top_k_left() -> None:
    # Of 0.3, 0.25 and the rest, two are left: 0.545 and 0.455.
    logits = [math.log(chance) for chance in (0.3, 0.25, 0.24, 0.21)]
    assert drawn(logits, SamplingParams(temperature=1.0, top_k=2, top_p=0.5)) == {0: 400}


def test_top_p_of_one_keeps_the_least_likely_token() -> None:
    logits = torch.full((40_000,), 0.0)
    logits[:-1] = 0.001
    row = SamplerRow(SamplingParams(temperature=1.0), 0, 0, ())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("kvchat.engine.sampler.uniform", lambda seed, position: 1 - 2.0**-24)
        assert sample(logits[None], [row]) == [39_999]


def test_min_p_drops_what_is_less_likely_than_a_part_of_the_likeliest() -> None:
    logits = [math.log(chance) for chance in (0.5, 0.26, 0.24)]
    assert set(drawn(logits, SamplingParams(temperature=1.0, min_p=0.5))) == {0, 1}
    assert set(drawn([1.0, 1.0, 0.9], SamplingParams(temperature=1.0, min_p=1.0))) == {0, 1}


def test_temperature_flattens_and_sharpens() -> None:
    logits = [0.0, 1.0]
    cold = drawn(logits, SamplingParams(temperature=0.1))
    warm = drawn(logits, SamplingParams(temperature=1.0))
    hot = drawn(logits, SamplingParams(temperature=100.0))
    assert cold[0] < warm[0] < hot[0]


# The penalty


def test_the_penalty_divides_positive_logits_and_multiplies_others() -> None:
    params = SamplingParams(temperature=0.0, repetition_penalty=2.0)
    logits = torch.tensor([[4.0, 2.5, -1.0], [4.0, 1.5, -1.0], [-2.0, -1.5, -3.5]])
    rows = [SamplerRow(params, 0, 0, context) for context in ([0, 0], [0], [1])]
    assert sample(logits, rows) == [1, 0, 0]


def test_the_penalty_changes_its_own_row_and_not_the_callers_tensor() -> None:
    logits = torch.tensor([[4.0, 3.0], [4.0, 3.0]])
    before = logits.clone()
    punished = SamplingParams(temperature=0.0, repetition_penalty=10.0)
    rows = [SamplerRow(punished, 0, 0, [0]), SamplerRow(GREEDY, 0, 0, [0])]
    assert sample(logits, rows) == [1, 0]
    assert torch.equal(logits, before)


def test_an_empty_context_has_nothing_to_punish() -> None:
    params = SamplingParams(temperature=0.0, repetition_penalty=1.5)
    assert pick([1.0, 2.0], params) == 1


# Numbers that are none, and too large


@pytest.mark.parametrize("temperature", [0.0, 1e-4, 1.0, 100.0])
def test_nan_is_never_chosen(temperature: float) -> None:
    logits = [math.nan, 1.0, -math.inf, 2.0, math.nan]
    assert set(drawn(logits, SamplingParams(temperature=temperature))) <= {1, 3}


@pytest.mark.parametrize("temperature", [1e-4, 0.7, 100.0])
def test_the_largest_numbers_and_the_smallest_temperature_do_not_overflow(
    temperature: float,
) -> None:
    params = SamplingParams(temperature=temperature, repetition_penalty=0.1)
    logits = torch.tensor([[-3e38, 3e38, 1.0, 3e38]])
    rows = [SamplerRow(params, 0, 0, [0, 2])]
    assert sample(logits, rows)[0] in (1, 3)


def test_a_draw_never_falls_off_the_end() -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("kvchat.engine.sampler.uniform", lambda seed, position: 1 - 2.0**-24)
        # The last tokens have probability 0 in float32 and must not be drawn.
        assert pick([0.0, 0.0, -200.0, -300.0], SamplingParams(temperature=1.0)) == 1
        assert pick([5.0, 4.0, 3.0], SamplingParams(temperature=1.0, top_k=2)) == 1
        patch.setattr("kvchat.engine.sampler.uniform", lambda seed, position: 0.0)
        assert pick([3.0, 5.0, 4.0], SamplingParams(temperature=1.0)) == 1


# Draws


def test_a_uniform_number_depends_on_seed_and_position_and_fits_float32() -> None:
    numbers = {(seed, at): uniform(seed, at) for seed in range(30) for at in range(30)}
    assert len(set(numbers.values())) == 900
    assert all(0 <= number < 1 for number in numbers.values())
    assert all(float(torch.tensor(number)) == number for number in numbers.values())
    assert uniform(1, 11) != uniform(11, 1) and uniform(3, 4) == uniform(3, 4)
    assert 0.45 < sum(numbers.values()) / 900 < 0.55


def test_neighbors_and_their_order_change_no_draw() -> None:
    rng = random.Random(5)
    generator = torch.Generator().manual_seed(5)
    logits = torch.randn(12, 300, generator=generator)
    rows = [
        SamplerRow(
            SamplingParams(
                temperature=rng.choice([0.0, 0.7, 2.0]),
                top_k=rng.choice([0, 7]),
                top_p=rng.choice([1.0, 0.8]),
                min_p=rng.choice([0.0, 0.02]),
                repetition_penalty=rng.choice([1.0, 1.2]),
            ),
            rng.randrange(100),
            rng.randrange(1000),
            [rng.randrange(300) for _ in range(50)],
        )
        for _ in range(12)
    ]
    together = sample(logits, rows)
    alone = [sample(logits[place : place + 1], [rows[place]])[0] for place in range(12)]
    order = rng.sample(range(12), 12)
    shuffled = sample(logits[order], [rows[place] for place in order])
    assert together == alone == [shuffled[order.index(place)] for place in range(12)]


def test_draws_follow_the_distribution() -> None:
    chances = (0.4, 0.3, 0.2, 0.07, 0.03)
    count = 4000
    found = drawn([math.log(chance) for chance in chances], SamplingParams(temperature=1.0), count)
    distance = sum(
        (found[token_id] - count * chance) ** 2 / (count * chance)
        for token_id, chance in enumerate(chances)
    )
    # The 0.999 quantile of chi-square with four degrees of freedom; the seed is fixed.
    assert distance < 18.5


# The alternatives


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.floats(-8, 8, width=32), min_size=3, max_size=24),
    st.sampled_from([0.0, 0.3, 1.0, 2.5]),
    st.sampled_from([0, 1, 3]),
    st.sampled_from([1.0, 0.9, 0.4]),
    st.sampled_from([0.0, 0.1]),
    st.sampled_from([1.0, 1.3]),
)
def test_records_tell_the_models_chances_and_those_of_the_draw(
    logits: list[float],
    temperature: float,
    top_k: int,
    top_p: float,
    min_p: float,
    repetition_penalty: float,
) -> None:
    params = SamplingParams(
        temperature=temperature,
        top_k=top_k,
        top_p=top_p,
        min_p=min_p,
        repetition_penalty=repetition_penalty,
    )
    (choice,) = choose(torch.tensor([logits]), [SamplerRow(params, 3, 5, (0, 1))])
    (record,) = unpack_records(choice.record)
    total = math.log(sum(math.exp(logit) for logit in logits))
    best = sorted(logits, reverse=True)[:10]
    assert list(record.logprobs) == pytest.approx([x - total for x in best], abs=0.01)
    assert record.logprob == pytest.approx(logits[choice.token_id] - total, abs=0.01)
    assert [logits[token_id] for token_id in record.token_ids] == best
    drawn_from = penalized(logits, (0, 1), repetition_penalty)
    if temperature == 0:
        odds = {choice.token_id: 1.0}
    else:
        kept = kept_tokens(drawn_from, params)
        for nudge in (1e-4, -1e-4):
            limits = {"top_p": min(1.0, top_p + nudge), "min_p": max(0.0, min_p + nudge)}
            # Where rounding decides what a filter keeps, there is nothing to compare.
            assume(top_p == 1 or kept_tokens(drawn_from, params.with_values(limits)) == kept)
        odds = {token_id: chance / sum(kept.values()) for token_id, chance in kept.items()}
    # Where two tokens are equal at the edge of a filter, both are told as drawn from.
    edge = min(drawn_from[token_id] for token_id in odds)
    for token_id, found in zip(record.token_ids, record.drawn, strict=True):
        if abs(drawn_from[token_id] - edge) > 1e-3:
            assert found == pytest.approx(odds.get(token_id, 0.0), abs=0.01)


def test_neighbors_of_other_settings_change_no_record() -> None:
    generator = torch.Generator().manual_seed(1)
    logits = torch.randn(4, 50, generator=generator)
    rows = [
        SamplerRow(SamplingParams(temperature=0.0), 1, 2, ()),
        SamplerRow(SamplingParams(temperature=0.7, repetition_penalty=1.2), 1, 2, (3, 4)),
        SamplerRow(SamplingParams(temperature=1.0, top_k=3), 1, 2, ()),
        SamplerRow(SamplingParams(temperature=0.0, repetition_penalty=1.5), 1, 2, (9,)),
    ]
    alone = [choose(logits[place : place + 1], [row])[0] for place, row in enumerate(rows)]
    assert choose(logits, rows) == alone


@pytest.mark.parametrize(
    "params",
    [
        SamplingParams(temperature=0.5, top_p=0.9),
        SamplingParams(temperature=0.5, top_k=40),
        SamplingParams(temperature=3.0, top_p=0.97),
        SamplingParams(temperature=1.0),
        SamplingParams(temperature=1.0, top_k=256),
        SamplingParams(temperature=5.0, top_k=257),
        SamplingParams(temperature=5.0, top_k=1000, top_p=0.5),
        SamplingParams(temperature=1.0, min_p=0.01),
        SamplingParams(temperature=50.0, min_p=0.9, repetition_penalty=1.2),
    ],
    ids=str,
)
@pytest.mark.parametrize("step", [0.0, 0.25])
def test_looking_at_some_candidates_first_draws_what_sorting_everything_draws(
    params: SamplingParams, step: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    logits = torch.randn(40, 2000, generator=torch.Generator().manual_seed(5)) * 3
    if step:  # many equal logits, also at the edges of filters
        logits = (logits / step).round() * step
    rows = [SamplerRow(params, 11, position, (1, 2, 3)) for position in range(40)]
    some = choose(logits, rows)
    monkeypatch.setattr(sampler, "NUM_CANDIDATES", 2000)
    whole = choose(logits, rows)
    assert [choice.token_id for choice in some] == [choice.token_id for choice in whole]
    for first, second in zip(some, whole, strict=True):
        (found,), (expected,) = unpack_records(first.record), unpack_records(second.record)
        assert found.drawn == pytest.approx(expected.drawn, rel=1e-2)
        assert found.token_ids == expected.token_ids


def test_a_nan_beside_infinities_is_never_in_a_record() -> None:
    logits = torch.randn(2, 4096, generator=torch.Generator().manual_seed(2))
    logits[0, 7], logits[0, 8], logits[1, 9] = float("nan"), float("-inf"), float("-inf")
    rows = [SamplerRow(SamplingParams(temperature=0.0), 1, 5, [])] * 2
    for choice in choose(logits, rows):
        (record,) = unpack_records(choice.record)
        assert not {7, 8, 9} & set(record.token_ids)
        assert all(math.isfinite(each) for each in record.logprobs)


@pytest.mark.parametrize("temperature", [0.0, 0.6, 1.5])
@pytest.mark.parametrize("penalty", [1.0, 1.3])
def test_a_native_reader_changes_no_token_and_no_chance(
    kernels: Kernels, temperature: float, penalty: float
) -> None:
    logits = torch.randn(24, 3000, generator=torch.Generator().manual_seed(6)) * 4
    logits[12:] = logits[12:].round()  # with equals, also at the edges of filters
    params = SamplingParams(temperature=temperature, top_p=0.9, repetition_penalty=penalty)
    rows = [SamplerRow(params, 3, position, (5, 6, 7)) for position in range(24)]
    plain, native = choose(logits, rows), choose(logits, rows, LogitReader.of(kernels))
    assert [each.token_id for each in native] == [each.token_id for each in plain]
    for one, other in zip(native, plain, strict=True):
        (found,), (expected,) = unpack_records(one.record), unpack_records(other.record)
        assert found.logprobs == pytest.approx(expected.logprobs, abs=0.02)
        assert found.logprob == pytest.approx(expected.logprob, abs=0.02)
        chances = dict(zip(expected.token_ids, expected.drawn, strict=True))
        for token_id, chance in zip(found.token_ids, found.drawn, strict=True):
            # Of equals at the end of the alternatives, any is told.
            assert chance == pytest.approx(chances.get(token_id, chance), abs=0.01)
