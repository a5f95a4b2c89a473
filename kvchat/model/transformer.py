"""Transformer: packed token ids and positions in, logits out.

One decoder for all families: which norms, which scales, which attention and which feed-forward
layers it has is read from its ModelConfig. Submodules carry the tensor names of Hugging Face
checkpoints (without the `model.` prefix); `tensor_names.py` knows the exceptions.
"""

from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from kvchat.kv.cache import KVCache
from kvchat.kv.rotary import rotation
from kvchat.kv.spec import RotarySpec
from kvchat.model.attention import GroupedQueryAttention, Rotation
from kvchat.model.config import ModelConfig
from kvchat.model.experts import Experts
from kvchat.model.latent_attention import LatentAttention
from kvchat.model.layers import GatedMLP, RMSNorm


class DecoderLayer(nn.Module):
    """One residual layer: attention, then feed-forward, with norms before or behind each."""

    def __init__(self, config: ModelConfig, layer_index: int) -> None:
        super().__init__()
        names = config.family.norms
        self.norm_names = names
        self.residual_scale = config.residual_scale
        self._add_norm(names.before_attention, config)
        attention = GroupedQueryAttention if config.latent is None else LatentAttention
        self.self_attn = attention(config, layer_index)
        self._add_norm(names.after_attention, config)
        self._add_norm(names.before_mlp, config)
        self.mlp = _feed_forward(config, layer_index)
        self._add_norm(names.after_mlp, config)

    def forward(self, hidden: Tensor, rotation: Rotation | None, cache: KVCache) -> Tensor:
        """Map [T, hidden_size] to [T, hidden_size]."""
        names = self.norm_names
        branch = self.self_attn(self._normed(names.before_attention, hidden), rotation, cache)
        hidden = self._added(hidden, self._normed(names.after_attention, branch))
        branch = self.mlp(self._normed(names.before_mlp, hidden))
        return self._added(hidden, self._normed(names.after_mlp, branch))

    def _add_norm(self, name: str | None, config: ModelConfig) -> None:
        if name is not None:
            self.add_module(name, norm_of(config))

    def _normed(self, name: str | None, hidden: Tensor) -> Tensor:
        return hidden if name is None else cast(Tensor, getattr(self, name)(hidden))

    def _added(self, hidden: Tensor, branch: Tensor) -> Tensor:
        return hidden + (branch if self.residual_scale == 1.0 else branch * self.residual_scale)


class Transformer(nn.Module):
    """A decoder-only language model (Vaswani et al. 2017; Touvron et al. 2023).

    The cache is an argument of every call, never state of the model, so one model serves any
    number of caches and sequences.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        spec = config.kv_spec()
        self.depends_on_length = spec.depends_on_length
        self.rotaries: list[RotarySpec | None] = []
        """The rotations there are among the layers; None is that of layers that do not rotate."""
        self.rotary_indexes: list[int] = []
        """For each layer, which of them it has."""
        for layer in spec.layers:
            if layer.rotary not in self.rotaries:
                self.rotaries.append(layer.rotary)
            self.rotary_indexes.append(self.rotaries.index(layer.rotary))
        self.embed_tokens = nn.Embedding(config.vocab_size, config.hidden_size)
        self.layers = nn.ModuleList(
            DecoderLayer(config, index) for index in range(config.num_layers)
        )
        self.norm = norm_of(config)
        self.lm_head: nn.Module | None = (
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
        hidden = self.embedded(token_ids)  # [T, hidden_size]
        lengths = cache.rotary_lengths() if self.depends_on_length else None
        rotations = [
            None if rotary is None else rotation(positions, rotary, hidden.dtype, lengths=lengths)
            for rotary in self.rotaries
        ]
        for layer, rotary_index in zip(self.layers, self.rotary_indexes, strict=True):
            hidden = layer(hidden, rotations[rotary_index], cache)
        if rows is not None:
            hidden = hidden.index_select(0, rows)
        return self.logits(hidden)

    def logits(self, hidden: Tensor) -> Tensor:
        """Map hidden states [R, hidden_size] of the last layer to logits [R, vocab_size]."""
        normed = self.norm(hidden)
        if self.config.logit_scale != 1.0:
            normed = normed * self.config.logit_scale
        logits: Tensor = (
            functional.linear(normed, self.embed_tokens.weight)
            if self.lm_head is None
            else self.lm_head(normed)
        )
        cap = self.config.logit_soft_cap
        return logits if cap is None else cap * torch.tanh(logits / cap)

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

    def embedded(self, token_ids: Tensor) -> Tensor:
        """Map token ids [T] to fresh hidden states [T, hidden_size]."""
        hidden = self.embed_tokens(token_ids)
        scale = self.config.embedding_scale
        if scale != 1.0:
            # Rounded to the dtype first, as in training.
            hidden = hidden * torch.tensor(scale, dtype=hidden.dtype, device=hidden.device)
        return cast(Tensor, hidden)


def _feed_forward(config: ModelConfig, layer_index: int) -> nn.Module:
    """Return the dense MLP of a layer, or its experts."""
    if config.experts is not None and layer_index >= config.experts.first_layer:
        return Experts(config)
    return GatedMLP(
        config.hidden_size,
        config.intermediate_size,
        bias=config.mlp_bias,
        activation=config.activation,
    )


def norm_of(config: ModelConfig) -> RMSNorm:
    """Return a norm over hidden states."""
    return RMSNorm(
        config.hidden_size, config.rms_norm_eps, is_unit_offset=config.family.is_unit_offset
    )
