"""Layers without state: what is computed in place is what torch and training compute."""

import pytest
import torch

from kvchat.model.layers import GatedMLP, RMSNorm

SHAPES = pytest.mark.parametrize("shape", [(1, 96), (7, 64), (130, 768)])


@SHAPES
def test_a_norm_gives_the_bits_of_torch_and_to_a_row_those_it_has_alone(
    shape: tuple[int, int],
) -> None:
    generator = torch.Generator().manual_seed(0)
    norm = RMSNorm(shape[1], 1e-5)
    norm.weight.data = torch.randn(shape[1], generator=generator)
    hidden = 3 * torch.randn(shape, generator=generator)
    before = hidden.clone()
    with torch.no_grad():
        found = norm(hidden)
        expected = torch.nn.functional.rms_norm(hidden, shape[1:], norm.weight, 1e-5)
        assert torch.equal(found[-1:], norm(hidden[-1:]))
    assert torch.equal(found, expected) and torch.equal(hidden, before)
    assert torch.equal(found, norm(hidden).detach())
    exact = hidden.double() / (hidden.double().square().mean(-1, keepdim=True) + 1e-5).sqrt()
    torch.testing.assert_close(found, (exact * norm.weight).float().detach())


@SHAPES
def test_a_gated_layer_gives_the_same_bits_with_and_without_gradients(
    shape: tuple[int, int],
) -> None:
    torch.manual_seed(0)
    layer = GatedMLP(shape[1], 40, bias=True)
    hidden = torch.randn(shape)
    before = hidden.clone()
    with torch.no_grad():
        found = layer(hidden)
    assert torch.equal(found, layer(hidden)) and torch.equal(hidden, before)


def test_training_goes_through_both() -> None:
    norm, layer = RMSNorm(8, 1e-5), GatedMLP(8, 16, bias=False)
    layer(norm(torch.randn(3, 8))).sum().backward()
    for parameter in (*norm.parameters(), *layer.parameters()):
        assert parameter.grad is not None and parameter.grad.abs().sum() > 0
