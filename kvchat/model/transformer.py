"""Transformer: packed token ids and positions in, logits out.

Submodules carry the tensor names of Hugging Face checkpoints (without the `model.` prefix), so a
checkpoint maps to parameters by name.
"""

from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from kvchat.kv.cache import KVCache
from kvchat.kv.rotary import rotation
from kvchat.model.attention import GroupedQueryAttention
from kvchat.model.config import ModelConfig
from kvchat.model.layers import GatedMLP, RMSNorm


class DecoderLayer(nn.Module):
    """One pre-norm residual layer: attention, then feed-forward."""

    def __init__(self, config: ModelConfig, layer_index: int) -> None:
        super().__init__()
        self.input_layernorm = RMSNorm(config.hidden_size, config.rms_norm_eps)
        self.self_attn = GroupedQueryAttention(config, layer_index)
        self.post_attention_layernorm = RMSNorm(config.hidden_size, config.rms_norm_eps)
        self.mlp = GatedMLP(config.hidden_size, config.intermediate_size, bias=config.mlp_bias)

    def forward(self, hidden: Tensor, cosine: Tensor, sine: Tensor, cache: KVCache) -> Tensor:
        """Map [T, hidden_size] to [T, hidden_size]."""
        hidden = hidden + self.self_attn(self.input_layernorm(hidden), cosine, sine, cache)
        return cast(Tensor, hidden + self.mlp(self.post_attention_layernorm(hidden)))


class Transformer(nn.Module):
    """A decoder-only language model of the Llama family (Touvron et al. 2023).

    The cache is an argument of every call, never state of the model, so one model serves any
    number of caches and sequences.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        spec = config.kv_spec().layers[0].rotary
        assert spec is not None
        self.rotary = spec
        self.embed_tokens = nn.Embedding(config.vocab_size, config.hidden_size)
        self.layers = nn.ModuleList(
            DecoderLayer(config, index) for index in range(config.num_layers)
        )
        self.norm = RMSNorm(config.hidden_size, config.rms_norm_eps)
        self.lm_head = (
            None
            if config.tie_word_embeddings
            else nn.Linear(config.hidden_size, config.vocab_size, bias=False)
        )

    def forward(
        self, token_ids: Tensor, positions: Tensor, cache: KVCache, rows: Tensor | None = None
    ) -> Tensor:
        """Compute logits for packed tokens of one reserved step.

        token_ids  [T] int64, sequences packed in the order of the step that `cache` reserved
        positions  [T] int64, absolute position of each token in its sequence
        rows       [R] int64, which tokens need logits; None means all
        return     [R, vocab_size] in the dtype of the weights

        Writes keys and values through `cache.attend`; touches nothing else.
        """
        hidden = self.embed_tokens(token_ids)  # [T, hidden_size]
        cosine, sine = rotation(positions, self.rotary, hidden.dtype)
        for layer in self.layers:
            hidden = layer(hidden, cosine, sine, cache)
        if rows is not None:
            hidden = hidden.index_select(0, rows)
        return self.logits(hidden)

    def logits(self, hidden: Tensor) -> Tensor:
        """Map hidden states [R, hidden_size] of the last layer to logits [R, vocab_size]."""
        head = self.embed_tokens.weight if self.lm_head is None else self.lm_head.weight
        return functional.linear(self.norm(hidden), head)

    @torch.no_grad()
    def initialize(self, generator: torch.Generator) -> None:
        """Fill all weights with the usual random start of training; norms become one."""
        for name, parameter in self.named_parameters():
            if parameter.ndim < 2:
                parameter.fill_(0.0 if name.endswith("bias") else 1.0)
                continue
            residual = name.endswith(("o_proj.weight", "down_proj.weight"))
            scale = 0.02 / (2 * self.config.num_layers) ** 0.5 if residual else 0.02
            parameter.normal_(0.0, scale, generator=generator)
