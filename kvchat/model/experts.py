"""Experts: a feed-forward layer of which each token uses a few parts (Shazeer et al. 2017).

The experts are ordinary MLPs, computed one after the other for the tokens that chose them, so that
what a token gets never depends on its neighbors' choices.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

from kvchat.model.config import ModelConfig
from kvchat.model.experts_config import ExpertsConfig
from kvchat.model.layers import GatedMLP


class Router(nn.Module):
    """Chooses experts for each token; its weight [num_experts, hidden_size] is never quantised."""

    def __init__(self, experts: ExpertsConfig, hidden_size: int) -> None:
        super().__init__()
        self.experts = experts
        self.weight = nn.Parameter(torch.empty(experts.num_experts, hidden_size))

    def forward(self, hidden: Tensor) -> tuple[Tensor, Tensor]:
        """Return weights in float32 and indexes of the chosen experts, [T, num_chosen] each."""
        experts = self.experts
        if experts.is_normalized:
            logits = functional.linear(hidden, self.weight).float()
        else:
            logits = functional.linear(hidden.float(), self.weight.float())
        scores = logits.softmax(-1)  # [T, num_experts]
        if experts.num_groups > 1:
            scores = self._in_best_groups(scores)
        weights, chosen = scores.topk(experts.num_chosen, -1)
        if experts.is_normalized:
            weights = weights / weights.sum(-1, keepdim=True)
        return weights * experts.scale, chosen

    def _in_best_groups(self, scores: Tensor) -> Tensor:
        """Zero the scores of experts outside the groups with the best expert of all."""
        grouped = scores.view(len(scores), self.experts.num_groups, -1)  # [T, groups, experts]
        best = grouped.amax(-1).topk(self.experts.num_chosen_groups, -1).indices
        is_best = torch.zeros_like(grouped[..., 0], dtype=torch.bool).scatter_(-1, best, True)
        return grouped.masked_fill(~is_best[..., None], 0.0).flatten(-2)


class Experts(nn.Module):
    """A router, the experts it chooses from, and one that every token has, if the model has it."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        experts = config.experts
        assert experts is not None
        self.gate = Router(experts, config.hidden_size)
        self.experts = nn.ModuleList(
            GatedMLP(
                config.hidden_size,
                experts.intermediate_size,
                bias=False,
                activation=config.activation,
            )
            for _ in range(experts.num_experts)
        )
        self.shared_experts = None
        if experts.shared_size:
            self.shared_experts = GatedMLP(
                config.hidden_size,
                experts.shared_size,
                bias=config.mlp_bias,
                activation=config.activation,
            )

    def forward(self, hidden: Tensor) -> Tensor:
        """Map [T, hidden_size] to [T, hidden_size]."""
        weights, chosen = self.gate(hidden)
        output = torch.zeros_like(hidden)
        for index in chosen.unique().tolist():
            tokens, places = (chosen == index).nonzero(as_tuple=True)
            found = self.experts[index](hidden[tokens]) * weights[tokens, places, None]
            output.index_add_(0, tokens, found.to(output.dtype))
        return output if self.shared_experts is None else output + self.shared_experts(hidden)
