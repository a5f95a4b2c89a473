"""GroupedQueryAttention: projections and rotation around `cache.attend` (MHA, GQA, MQA)."""

from torch import Tensor, nn

from kvchat.kv.cache import KVCache
from kvchat.kv.rotary import rotate
from kvchat.model.config import ModelConfig


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
        query_size, kv_size = self.num_heads * self.head_dim, self.num_kv_heads * self.head_dim
        bias = config.attention_bias
        self.q_proj = nn.Linear(config.hidden_size, query_size, bias=bias)
        self.k_proj = nn.Linear(config.hidden_size, kv_size, bias=bias)
        self.v_proj = nn.Linear(config.hidden_size, kv_size, bias=bias)
        self.o_proj = nn.Linear(query_size, config.hidden_size, bias=bias)

    def forward(self, hidden: Tensor, cosine: Tensor, sine: Tensor, cache: KVCache) -> Tensor:
        """Map [T, hidden_size] to [T, hidden_size]; cosine and sine are [T, 1, head_dim]."""
        num_tokens = hidden.shape[0]
        query = self.q_proj(hidden).view(num_tokens, self.num_heads, self.head_dim)  # [T, H, D]
        key = self.k_proj(hidden).view(num_tokens, self.num_kv_heads, self.head_dim)  # [T, K, D]
        value = self.v_proj(hidden).view(num_tokens, self.num_kv_heads, self.head_dim)
        query, key = rotate(query, cosine, sine), rotate(key, cosine, sine)
        output = cache.attend(self.layer_index, query, key, value)  # [T, H, D]
        return self.o_proj(output.reshape(num_tokens, -1))  # type: ignore[no-any-return]
