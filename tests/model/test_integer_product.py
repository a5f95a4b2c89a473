import pytest
import torch

from kvchat.model import integer_product
from kvchat.model.row_codes import LARGEST_CODE


@pytest.fixture(params=["operator", "doubles"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """The operator of this CPU, and what replaces it where it is not exact."""
    if request.param == "doubles":
        monkeypatch.setattr(integer_product, "cpu_product_is_exact", lambda: False)
    elif not integer_product.cpu_product_is_exact():
        pytest.skip("the operator of this CPU is not exact")


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize("num_rows", [0, 1, 2, 3, 4, 16, 65])
@pytest.mark.parametrize(("num_outputs", "size"), [(1, 1), (7, 33), (48, 64), (65, 130)])
def test_the_product_is_exact(num_rows: int, num_outputs: int, size: int) -> None:
    generator = torch.Generator().manual_seed(num_rows)
    codes = torch.randint(-127, 128, (num_rows, size), generator=generator).to(torch.int8)
    weights = torch.randint(-127, 128, (num_outputs, size), generator=generator).to(torch.int8)
    found = integer_product.integer_product(codes, weights)
    assert found.dtype == torch.int32
    assert torch.equal(found.long(), codes.long() @ weights.long().t())


@pytest.mark.usefixtures("way")
def test_the_largest_sums_do_not_saturate() -> None:
    size = integer_product.MAX_SIZE
    codes = torch.full((1, size), LARGEST_CODE, dtype=torch.int8)
    weights = torch.cat([codes, -codes])
    exact = LARGEST_CODE * LARGEST_CODE * size
    assert exact < 1 << 31
    assert integer_product.integer_product(codes, weights).tolist() == [[exact, -exact]]
