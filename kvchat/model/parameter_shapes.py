"""parameter_shapes(): every parameter of a Transformer and its shape, from the config alone.

The same names and shapes as `Transformer(config).named_parameters()` has, without torch, so that a
folder can be judged where no model is made; a test compares the two for every family.
"""

from kvchat.model.config import ModelConfig
from kvchat.model.tensor_names import Shape

Shapes = dict[str, Shape]


def parameter_shapes(config: ModelConfig) -> Shapes:
    """Return the shape of each parameter by its name."""
    shapes: Shapes = {"embed_tokens.weight": (config.vocab_size, config.hidden_size)}
    for index in range(config.num_layers):
        for name, shape in _layer(config, index).items():
            shapes[f"layers.{index}.{name}"] = shape
    shapes["norm.weight"] = (config.hidden_size,)
    if not config.tie_word_embeddings:
        shapes["lm_head.weight"] = (config.vocab_size, config.hidden_size)
    return shapes


def _layer(config: ModelConfig, index: int) -> Shapes:
    norms = config.family.norms
    names = (norms.before_attention, norms.after_attention, norms.before_mlp, norms.after_mlp)
    shapes: Shapes = {f"{name}.weight": (config.hidden_size,) for name in names if name is not None}
    shapes |= _heads(config) if config.latent is None else _latent(config)
    return shapes | _feed_forward(config, index)


def _heads(config: ModelConfig) -> Shapes:
    query_size = config.num_heads * config.head_dim
    kv_size = config.num_kv_heads * config.head_dim
    shapes = _linear("self_attn.o_proj", config.hidden_size, query_size, config.attention_bias)
    for name, size in (("q", query_size), ("k", kv_size), ("v", kv_size)):
        shapes |= _linear(f"self_attn.{name}_proj", size, config.hidden_size, config.has_qkv_bias)
    if config.family.qk_norm is not None:
        is_head = config.family.qk_norm == "head"
        shapes["self_attn.q_norm.weight"] = (config.head_dim if is_head else query_size,)
        shapes["self_attn.k_norm.weight"] = (config.head_dim if is_head else kv_size,)
    return shapes


def _latent(config: ModelConfig) -> Shapes:
    latent = config.latent
    assert latent is not None
    hidden_size, bias = config.hidden_size, config.attention_bias
    query_size = config.num_heads * latent.query_dim
    expanded = config.num_heads * (latent.resting_dim + latent.value_dim)
    shapes = _linear("self_attn.o_proj", hidden_size, config.num_heads * latent.value_dim, bias)
    shapes |= _linear("self_attn.kv_a_proj_with_mqa", latent.key_dim, hidden_size, bias)
    shapes |= _linear("self_attn.kv_b_proj", expanded, latent.kv_rank, False)
    shapes["self_attn.kv_a_layernorm.weight"] = (latent.kv_rank,)
    if latent.query_rank is None:
        return shapes | _linear("self_attn.q_proj", query_size, hidden_size, False)
    shapes |= _linear("self_attn.q_a_proj", latent.query_rank, hidden_size, bias)
    shapes["self_attn.q_a_layernorm.weight"] = (latent.query_rank,)
    return shapes | _linear("self_attn.q_b_proj", query_size, latent.query_rank, False)


def _feed_forward(config: ModelConfig, index: int) -> Shapes:
    experts, hidden_size = config.experts, config.hidden_size
    if experts is None or index < experts.first_layer:
        return _gated("mlp", hidden_size, config.intermediate_size, config.mlp_bias)
    shapes: Shapes = {"mlp.gate.weight": (experts.num_experts, hidden_size)}
    for number in range(experts.num_experts):
        shapes |= _gated(f"mlp.experts.{number}", hidden_size, experts.intermediate_size, False)
    if experts.shared_size:
        shapes |= _gated("mlp.shared_experts", hidden_size, experts.shared_size, config.mlp_bias)
    return shapes


def _gated(name: str, hidden_size: int, intermediate_size: int, has_bias: bool) -> Shapes:
    shapes = _linear(f"{name}.down_proj", hidden_size, intermediate_size, has_bias)
    for part in ("gate_proj", "up_proj"):
        shapes |= _linear(f"{name}.{part}", intermediate_size, hidden_size, has_bias)
    return shapes


def _linear(name: str, num_outputs: int, num_inputs: int, has_bias: bool) -> Shapes:
    shapes: Shapes = {f"{name}.weight": (num_outputs, num_inputs)}
    if has_bias:
        shapes[f"{name}.bias"] = (num_outputs,)
    return shapes
