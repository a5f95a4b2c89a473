"""Layers without state: RMSNorm and GatedMLP."""

import torch
from torch import Tensor, nn
from torch.nn import functional


class RMSNorm(nn.Module):
    """Root mean square norm (Zhang and Sennrich 2019), computed in float32.

    Input and output are [T, size] in the model's dtype.
    """

    def __init__(self, size: int, eps: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(size))
        self.eps = eps

    def forward(self, hidden: Tensor) -> Tensor:
        """Normalise each row and scale its channels."""
        if hidden.dtype == self.weight.dtype == torch.float32:
            return functional.rms_norm(hidden, self.weight.shape, self.weight, self.eps)
        normed = functional.rms_norm(hidden.float(), self.weight.shape, eps=self.eps)
        return normed.to(self.weight.dtype) * self.weight


class GatedMLP(nn.Module):
    """SwiGLU feed-forward layer (Shazeer 2020): down(silu(gate(x)) * up(x))."""

    def __init__(self, hidden_size: int, intermediate_size: int, *, bias: bool) -> None:
        super().__init__()
        self.gate_proj = nn.Linear(hidden_size, intermediate_size, bias=bias)
        self.up_proj = nn.Linear(hidden_size, intermediate_size, bias=bias)
        self.down_proj = nn.Linear(intermediate_size, hidden_size, bias=bias)

    def forward(self, hidden: Tensor) -> Tensor:
        """Map [T, hidden_size] to [T, hidden_size]."""
        return self.down_proj(functional.silu(self.gate_proj(hidden)) * self.up_proj(hidden))  # type: ignore[no-any-return]
