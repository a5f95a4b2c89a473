"""Layers without state: RMSNorm and GatedMLP."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from kvchat.model.families import Activation


class RMSNorm(nn.Module):
    """Root mean square norm (Zhang and Sennrich 2019), computed in float32.

    Input and output are [..., size] in the model's dtype. With `is_unit_offset` (Gemma) channels
    are scaled by 1 + weight, in float32 too.
    """

    def __init__(self, size: int, eps: float, *, is_unit_offset: bool = False) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(size))
        self.eps = eps
        self.is_unit_offset = is_unit_offset

    def forward(self, hidden: Tensor) -> Tensor:
        """Normalise each row and scale its channels."""
        shape = self.weight.shape
        if self.is_unit_offset:
            normed = functional.rms_norm(hidden.float(), shape, eps=self.eps)
            return (normed * (1.0 + self.weight.float())).to(self.weight.dtype)
        if hidden.dtype == self.weight.dtype == torch.float32:
            if torch.is_grad_enabled():
                return functional.rms_norm(hidden, shape, self.weight, self.eps)
            # The same bits, with one large new tensor instead of four: on a CPU it is the first
            # touch of fresh memory that a long prompt waits for here, 5 to 14 times.
            scale = hidden.square().mean(-1, keepdim=True).add_(self.eps).rsqrt_()
            return (hidden * scale).mul_(self.weight)
        normed = functional.rms_norm(hidden.float(), shape, eps=self.eps)
        return normed.to(self.weight.dtype) * self.weight


class GatedMLP(nn.Module):
    """Gated feed-forward layer (Shazeer 2020): down(activation(gate(x)) * up(x))."""

    def __init__(
        self,
        hidden_size: int,
        intermediate_size: int,
        *,
        bias: bool,
        activation: Activation = "silu",
    ) -> None:
        super().__init__()
        self.gate_proj = nn.Linear(hidden_size, intermediate_size, bias=bias)
        self.up_proj = nn.Linear(hidden_size, intermediate_size, bias=bias)
        self.down_proj = nn.Linear(intermediate_size, hidden_size, bias=bias)
        self.activation: Activation = activation

    def forward(self, hidden: Tensor) -> Tensor:
        """Map [T, hidden_size] to [T, hidden_size]."""
        gate = self.gate_proj(hidden)
        if torch.is_grad_enabled() or self.activation != "silu":
            gate = activate(gate, self.activation) * self.up_proj(hidden)
        else:
            # In place, since fresh memory for a long prompt costs more than the arithmetic.
            gate = functional.silu(gate, inplace=True).mul_(self.up_proj(hidden))
        return self.down_proj(gate)  # type: ignore[no-any-return]


def activate(gate: Tensor, activation: Activation) -> Tensor:
    """Apply an activation to every number."""
    if activation == "silu":
        return functional.silu(gate)
    return functional.gelu(gate, approximate="tanh" if activation == "gelu_tanh" else "none")
