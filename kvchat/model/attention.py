"""GroupedQueryAttention: projections and rotation around `cache.attend` (MHA, GQA, MQA)."""

from torch import Tensor, nn

from kvchat.kv.cache import KVCache
from kvchat.kv.rotary import rotate
from kvchat.model.config import ModelConfig
from kvchat.model.layers import RMSNorm

Rotation = tuple[Tensor, Tensor]
"""Cosine and signed sine of the step's positions, [T, 1, rotary_dim] each."""


class GroupedQueryAttention(nn.Module):
    """Attention with `num_kv_heads` shared by groups of query heads (Ainslie et al. 2023, GQA).

    As many key/value heads as query heads is MHA, a single one is MQA. The layer keeps nothing:
    keys and values go to the cache it is handed.
    """

    def __init__(self, config: ModelConfig, layer_index: int) -> None:
        super().__init__()
        self.layer_index = layer_index
        self.num_heads = config.num_heads
        self.num_kv_heads = config.num_kv_heads
        self.head_dim = config.head_dim
        self.qk_norm = config.family.qk_norm
        query_size, kv_size = self.num_heads * self.head_dim, self.num_kv_heads * self.head_dim
        bias = config.has_qkv_bias
        self.q_proj = nn.Linear(config.hidden_size, query_size, bias=bias)
        self.k_proj = nn.Linear(config.hidden_size, kv_size, bias=bias)
        self.v_proj = nn.Linear(config.hidden_size, kv_size, bias=bias)
        self.o_proj = nn.Linear(query_size, config.hidden_size, bias=config.attention_bias)
        if self.qk_norm is not None:
            is_head = self.qk_norm == "head"
            sizes = (self.head_dim, self.head_dim) if is_head else (query_size, kv_size)
            self.q_norm, self.k_norm = (
                RMSNorm(size, config.rms_norm_eps, is_unit_offset=config.family.is_unit_offset)
                for size in sizes
            )

    def forward(self, hidden: Tensor, rotation: Rotation | None, cache: KVCache) -> Tensor:
        """Map [T, hidden_size] to [T, hidden_size]; without a rotation heads do not turn."""
        num_tokens = hidden.shape[0]
        query, key = self.q_proj(hidden), self.k_proj(hidden)
        if self.qk_norm == "projection":
            query, key = self.q_norm(query), self.k_norm(key)
        query = query.view(num_tokens, self.num_heads, self.head_dim)  # [T, H, D]
        key = key.view(num_tokens, self.num_kv_heads, self.head_dim)  # [T, K, D]
        if self.qk_norm == "head":
            query, key = self.q_norm(query), self.k_norm(key)
        value = self.v_proj(hidden).view(num_tokens, self.num_kv_heads, self.head_dim)
        if rotation is not None:
            query, key = rotate(query, *rotation), rotate(key, *rotation)
        output = cache.attend(self.layer_index, query, key, value)  # [T, H, D]
        return self.o_proj(output.reshape(num_tokens, -1))  # type: ignore[no-any-return]
