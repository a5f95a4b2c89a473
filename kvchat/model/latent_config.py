"""LatentConfig: sizes of multi-head latent attention (DeepSeek-AI 2024, DeepSeek-V2)."""

from dataclasses import dataclass

from kvchat.errors import ModelError
from kvchat.model.config_fields import FieldReader


@dataclass(frozen=True, slots=True)
class LatentConfig:
    """What MLA stores and projects.

    kv_rank       compressed channels of a token, of which keys and values of all heads are made
    query_rank    compressed channels of queries; None projects them directly
    resting_dim   channels of a query or key head that do not rotate
    rotary_dim    channels that do; keys of all heads share them
    value_dim     channels of a value head
    """

    kv_rank: int
    query_rank: int | None
    resting_dim: int
    rotary_dim: int
    value_dim: int

    @property
    def query_dim(self) -> int:
        """Channels of a query head before its resting part is folded into the latent."""
        return self.resting_dim + self.rotary_dim

    @property
    def key_dim(self) -> int:
        """Numbers stored per token: the latent, and the rotated key of all heads."""
        return self.kv_rank + self.rotary_dim

    def num_parameters(self, hidden_size: int, num_heads: int, *, has_bias: bool) -> int:
        """Return how many numbers the attention of a layer has."""
        count = num_heads * self.value_dim * hidden_size  # o_proj
        if self.query_rank is None:
            count += hidden_size * num_heads * self.query_dim
        else:
            count += hidden_size * self.query_rank + self.query_rank  # and its norm
            count += self.query_rank * num_heads * self.query_dim
        count += hidden_size * self.key_dim + self.kv_rank  # and its norm
        count += self.kv_rank * num_heads * (self.resting_dim + self.value_dim)
        if has_bias:
            count += self.key_dim + hidden_size + (self.query_rank or 0)
        return count


def read_latent(reader: FieldReader, hidden_size: int, num_heads: int) -> LatentConfig:
    """Return the sizes that a config states; raises ModelError."""
    num_kv_heads = reader.derived_size("num_key_value_heads", num_heads)
    if num_kv_heads != num_heads:
        raise ModelError(
            f"config.json: num_key_value_heads is {num_kv_heads}, expected {num_heads} like "
            "num_attention_heads: a latent serves all heads."
        )
    latent = LatentConfig(
        kv_rank=reader.size("kv_lora_rank"),
        query_rank=reader.optional_size("q_lora_rank"),
        resting_dim=reader.size("qk_nope_head_dim"),
        rotary_dim=reader.size("qk_rope_head_dim"),
        value_dim=reader.derived_size("v_head_dim", hidden_size // num_heads),
    )
    if latent.rotary_dim % 2:
        raise ModelError(
            f"config.json: qk_rope_head_dim is {latent.rotary_dim}, expected an even number."
        )
    return latent
