"""Readers of logits: the plain one beside sorting, the native one beside the plain one."""

import math
import random
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from kvchat.engine import logit_reader
from kvchat.engine.logit_reader import LogitReader, NativeLogitReader, top
from kvchat.native.kernels import Kernels, load


@pytest.fixture(params=["plain", "native"])
def reader(request: pytest.FixtureRequest) -> LogitReader:
    if request.param == "plain":
        return LogitReader()
    found = LogitReader.of(request.getfixturevalue("kernels"))
    assert isinstance(found, NativeLogitReader)
    return found


def by_sorting(row: list[float]) -> list[int]:
    return sorted(range(len(row)), key=lambda token_id: (-row[token_id], token_id))


def hostile_rows(rng: random.Random, width: int) -> Tensor:
    """Rows with equals, infinities and the largest beside each other."""
    rows = torch.randn(6, width, generator=torch.Generator().manual_seed(rng.randrange(999))) * 5
    rows[1] = rows[1].round()
    rows[2] = rows[2].sort().values
    rows[3] = 0.25
    rows[4, rng.randrange(width) :] = float("-inf")
    rows[4, 0] = -3.0
    rows[5] *= 1e30
    return rows


@pytest.mark.parametrize("width", [1, 2, 15, 16, 63, 64, 65, 130, 700, 4096, 5003])
def test_the_likeliest_are_those_of_sorting_everything(reader: LogitReader, width: int) -> None:
    rows = hostile_rows(random.Random(width), width)
    for count in sorted({1, min(3, width), min(10, width), min(256, width), width}):
        found = reader.read(rows, count)
        for row, ids, values, likeliest in zip(
            rows.tolist(),
            found.top_ids.tolist(),
            found.top_logits.tolist(),
            found.likeliest[:, 0].tolist(),
            strict=True,
        ):
            order = by_sorting(row)
            assert likeliest == order[0]
            assert values == [row[token_id] for token_id in order[:count]]
            assert len(set(ids)) == count and [row[token_id] for token_id in ids] == values
            if isinstance(reader, NativeLogitReader):
                assert ids == order[:count]


@pytest.mark.parametrize("width", [1, 17, 64, 1000, 4097])
def test_sums_are_those_of_double_precision(reader: LogitReader, width: int) -> None:
    rows = hostile_rows(random.Random(width), width)
    sums = reader.read(rows, 1).sums[:, 0].tolist()
    for row, found in zip(rows.tolist(), sums, strict=True):
        expected = math.fsum(math.exp(each - max(row)) for each in row)
        assert found == pytest.approx(expected, rel=1e-5)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.floats(width=32, allow_nan=True, allow_infinity=True), min_size=1, max_size=90),
    st.integers(1, 20),
)
def test_whatever_the_numbers_are_both_readers_see_the_same(
    kernel_reader: NativeLogitReader, numbers: list[float], count: int
) -> None:
    logits = torch.tensor([numbers])
    count = min(count, len(numbers))
    plain, native = LogitReader().read(logits, count), kernel_reader.read(logits, count)
    assert torch.equal(native.likeliest, plain.likeliest)
    assert torch.equal(native.top_logits, plain.top_logits)
    assert torch.equal(native.logits, plain.logits)
    assert torch.allclose(native.sums, plain.sums, rtol=1e-5)
    assert kernel_reader.are_finite(logits) == LogitReader().are_finite(logits)


@pytest.fixture(scope="module")
def kernel_reader(kernel_library: Path) -> NativeLogitReader:
    return NativeLogitReader(load(kernel_library))


def test_a_row_is_read_alike_in_any_batch_by_any_number_of_threads(kernels: Kernels) -> None:
    reader = NativeLogitReader(kernels)
    logits = torch.randn(40, 9000, generator=torch.Generator().manual_seed(3))[:, 5:8000]
    before = kernels.num_threads
    try:
        kernels.set_threads(1)
        alone = [reader.read(logits[i : i + 1], 30) for i in range(40)]
        kernels.set_threads(3)
        together = reader.read(logits, 30)
        assert reader.are_finite(logits) == [True] * 40
    finally:
        kernels.set_threads(before)
    for i, each in enumerate(alone):
        assert torch.equal(together.top_ids[i], each.top_ids[0])
        assert torch.equal(together.top_logits[i], each.top_logits[0])
        assert torch.equal(together.sums[i], each.sums[0])


def test_a_library_that_reads_nonsense_is_not_used(
    kernels: Kernels, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logit_reader, "_PROBED", {})
    right = NativeLogitReader.read

    def wrong(self: NativeLogitReader, logits: Tensor, count: int) -> logit_reader.LogitReading:
        found = right(self, logits, count)
        found.sums.mul_(1.01)
        return found

    monkeypatch.setattr(NativeLogitReader, "read", wrong)
    assert type(LogitReader.of(kernels)) is LogitReader


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), float("-inf")])
def test_a_row_with_one_number_that_is_not_finite_is_told_apart(
    reader: LogitReader, bad: float
) -> None:
    logits = torch.zeros(4, 300)
    logits[2, 17] = bad
    assert reader.are_finite(logits) == [True, True, False, True]


def test_infinities_that_cancel_each_other_are_found(reader: LogitReader) -> None:
    logits = torch.zeros(2, 300)
    logits[0, 3], logits[0, 4] = float("inf"), float("-inf")
    assert reader.are_finite(logits) == [False, True]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_a_sum_that_overflows_is_no_reason_to_end_a_reply(
    reader: LogitReader, dtype: torch.dtype
) -> None:
    logits = torch.full((2, 300), torch.finfo(dtype).max, dtype=dtype)
    assert reader.are_finite(logits) == [True, True]


@pytest.mark.parametrize("width", [3, 700, 1344, 1345, 4096, 5003])
def test_the_top_of_groups_is_the_top_of_all(width: int) -> None:
    generator = torch.Generator().manual_seed(width)
    values = torch.randn(5, width, generator=generator)
    values[1] = values[1].sort().values  # all of the largest beside each other
    values[2, : width // 2] = float("-inf")
    count = min(10, width)
    found, places = top(values, count)
    expected = values.topk(count)
    assert torch.equal(found, expected.values)
    assert torch.equal(places, expected.indices)
    for row in range(5):  # the same alone, to the bit
        alone = top(values[row : row + 1], count)
        assert torch.equal(alone[0][0], found[row]) and torch.equal(alone[1][0], places[row])


def test_the_top_of_a_part_of_a_tensor_is_that_of_its_copy() -> None:
    whole = torch.randn(3, 5000, generator=torch.Generator().manual_seed(1))
    part = whole[:, :4100]
    assert torch.equal(top(part, 10)[1], part.clone().topk(10).indices)
