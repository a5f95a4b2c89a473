"""ModelConfig: the numbers that define a Llama-family model, and the KVCacheSpec they imply."""

from dataclasses import dataclass, field

from kvchat.kv.spec import KVCacheSpec, LayerSpec
from kvchat.model.rope_scaling import RopeConfig, rotary_spec


@dataclass(frozen=True, slots=True)
class ModelConfig:
    """Shape and arithmetic of a decoder-only transformer, whatever dialect config.json spoke."""

    vocab_size: int
    hidden_size: int
    intermediate_size: int
    num_layers: int
    num_heads: int
    num_kv_heads: int
    head_dim: int
    max_position: int = 2048
    rms_norm_eps: float = 1e-6
    tie_word_embeddings: bool = False
    attention_bias: bool = False
    mlp_bias: bool = False
    rope: RopeConfig = field(default_factory=RopeConfig)
    model_type: str = "llama"

    def kv_spec(self) -> KVCacheSpec:
        """Return what a token of this model stores in every layer."""
        layer = LayerSpec(
            num_heads=self.num_heads,
            num_kv_heads=self.num_kv_heads,
            key_dim=self.head_dim,
            value_dim=self.head_dim,
            scale=self.head_dim**-0.5,
            rotary=rotary_spec(self.rope, self.head_dim),
        )
        return KVCacheSpec((layer,) * self.num_layers)
