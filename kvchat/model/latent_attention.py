"""LatentAttention: multi-head latent attention, MLA (DeepSeek-AI 2024, DeepSeek-V2), absorbed.

A token stores one latent that serves all heads: compressed channels, and a key that rotates. The
weights that would expand a latent into keys are folded into the query, and those that would expand
it into values are applied behind attention, so the cache stays small and is read as it is.
"""

import torch
from torch import Tensor, nn

from kvchat.kv.cache import KVCache
from kvchat.kv.rotary import rotate
from kvchat.model.attention import Rotation
from kvchat.model.config import ModelConfig
from kvchat.model.latent_config import LatentConfig
from kvchat.model.layers import RMSNorm

_NORM_EPS = 1e-6
"""Of the norms inside, whatever the config says of the others."""


class LatentExpansion(nn.Module):
    """What makes keys and values of latents; its weight is used in halves and never quantised.

    weight  [num_heads * (resting_dim + value_dim), kv_rank]
    """

    def __init__(self, latent: LatentConfig, num_heads: int) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.resting_dim = latent.resting_dim
        rows = num_heads * (latent.resting_dim + latent.value_dim)
        self.weight = nn.Parameter(torch.empty(rows, latent.kv_rank))

    def halves(self) -> tuple[Tensor, Tensor]:
        """Return what makes keys [H, resting_dim, kv_rank], and values [H, value_dim, kv_rank]."""
        by_head = self.weight.view(self.num_heads, -1, self.weight.shape[-1])
        return by_head[:, : self.resting_dim], by_head[:, self.resting_dim :]


class LatentAttention(nn.Module):
    """MLA over a cache of one latent head; like every attention here, it keeps nothing itself."""

    def __init__(self, config: ModelConfig, layer_index: int) -> None:
        super().__init__()
        latent = config.latent
        assert latent is not None
        self.layer_index = layer_index
        self.num_heads = config.num_heads
        self.latent = latent
        hidden_size, bias = config.hidden_size, config.attention_bias
        query_size = config.num_heads * latent.query_dim
        if latent.query_rank is None:
            self.q_proj = nn.Linear(hidden_size, query_size, bias=False)
        else:
            self.q_a_proj = nn.Linear(hidden_size, latent.query_rank, bias=bias)
            self.q_a_layernorm = RMSNorm(latent.query_rank, _NORM_EPS)
            self.q_b_proj = nn.Linear(latent.query_rank, query_size, bias=False)
        self.kv_a_proj_with_mqa = nn.Linear(hidden_size, latent.key_dim, bias=bias)
        self.kv_a_layernorm = RMSNorm(latent.kv_rank, _NORM_EPS)
        self.kv_b_proj = LatentExpansion(latent, config.num_heads)
        self.o_proj = nn.Linear(config.num_heads * latent.value_dim, hidden_size, bias=bias)

    def forward(self, hidden: Tensor, rotation: Rotation | None, cache: KVCache) -> Tensor:
        """Map [T, hidden_size] to [T, hidden_size]."""
        assert rotation is not None, "a latent has channels that rotate"
        num_tokens, latent = hidden.shape[0], self.latent
        query = self._query(hidden).view(num_tokens, self.num_heads, latent.query_dim)
        resting, turning = torch.split(query, [latent.resting_dim, latent.rotary_dim], -1)
        stored = self.kv_a_proj_with_mqa(hidden)[:, None]  # [T, 1, kv_rank + rotary_dim]
        compressed, shared = torch.split(stored, [latent.kv_rank, latent.rotary_dim], -1)
        key = torch.cat((self.kv_a_layernorm(compressed), rotate(shared, *rotation)), -1)
        of_keys, of_values = self.kv_b_proj.halves()
        folded = torch.einsum("thn,hnr->thr", resting, of_keys)
        query = torch.cat((folded, rotate(turning, *rotation)), -1)  # [T, H, kv_rank + rotary_dim]
        output = cache.attend(self.layer_index, query, key, None)  # [T, H, kv_rank]
        value = torch.einsum("thr,hvr->thv", output, of_values)
        return self.o_proj(value.reshape(num_tokens, -1))  # type: ignore[no-any-return]

    def _query(self, hidden: Tensor) -> Tensor:
        if self.latent.query_rank is None:
            return self.q_proj(hidden)  # type: ignore[no-any-return]
        return self.q_b_proj(self.q_a_layernorm(self.q_a_proj(hidden)))  # type: ignore[no-any-return]
