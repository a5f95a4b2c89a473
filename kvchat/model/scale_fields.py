"""Activation, scales and soft caps from config.json, in the words of whichever family has them."""

from collections.abc import Mapping

from kvchat.errors import ModelError
from kvchat.model.config_fields import MAX_SCALE, FieldReader, shown
from kvchat.model.families import Activation, Family
from kvchat.model.latent_config import LatentConfig
from kvchat.model.rope_scaling import RopeConfig, mscale

_ACTIVATIONS: Mapping[str, Activation] = {
    "silu": "silu",
    "swish": "silu",
    "gelu": "gelu",
    "gelu_new": "gelu_tanh",
    "gelu_pytorch_tanh": "gelu_tanh",
}


def read_activation(reader: FieldReader, family: Family) -> Activation:
    """Return the activation of the feed-forward layers; raises ModelError for another."""
    names = family.activation_fields
    name = next((name for name in names if reader.document.get(name) is not None), names[-1])
    found = reader.document.get(name)
    if name not in reader.document:
        found = next(reader.defaults[each] for each in names if each in reader.defaults)
    known = {**_ACTIVATIONS, **family.activations}
    if not isinstance(found, str) or found not in known:
        raise ModelError(f"config.json: {name} {shown(found)} is not supported.")
    return known[found]


def read_attention_scale(
    reader: FieldReader, family: Family, latent: LatentConfig | None, rope: RopeConfig
) -> float | None:
    """Return what multiplies scores, or None where it is head_dim ** -0.5."""
    if "query_pre_attn_scalar" in family.honours:
        return float(reader.number("query_pre_attn_scalar", 1e-6, MAX_SCALE) ** -0.5)
    if "attention_multiplier" in family.honours:
        return reader.number("attention_multiplier", 1e-6, MAX_SCALE)
    if latent is not None:
        temperature = mscale(rope.factor, rope.mscale_all_dim) if rope.mscale_all_dim else 1.0
        return float(latent.query_dim**-0.5 * temperature**2)
    return None


def read_soft_cap(reader: FieldReader, family: Family, name: str) -> float | None:
    """Return a cap on scores or logits, or None."""
    return reader.optional_number(name, 1e-3, MAX_SCALE) if name in family.honours else None


def read_embedding_scale(reader: FieldReader, family: Family, hidden_size: int) -> float:
    """Return what multiplies embeddings."""
    if family.scales_embedding:
        return float(hidden_size**0.5)
    for name in ("embedding_multiplier", "scale_emb"):
        if name in family.honours:
            return reader.number(name, 1e-6, MAX_SCALE)
    return 1.0


def read_residual_scale(reader: FieldReader, family: Family, num_layers: int) -> float:
    """Return what multiplies the output of attention and of the feed-forward layer."""
    if "residual_multiplier" in family.honours:
        return reader.number("residual_multiplier", 1e-6, MAX_SCALE)
    if "scale_depth" in family.honours:
        depth = reader.optional_number("scale_depth", 1e-6, MAX_SCALE)
        return 1.0 if depth is None else float(depth / num_layers**0.5)
    return 1.0


def read_logit_scale(reader: FieldReader, family: Family, hidden_size: int) -> float:
    """Return what multiplies the hidden states that the head sees."""
    if "logits_scaling" in family.honours:
        return 1 / reader.number("logits_scaling", 1e-6, MAX_SCALE)
    if "dim_model_base" in family.honours:
        base = reader.optional_number("dim_model_base", 1, 1 << 16)
        return 1.0 if base is None else base / hidden_size
    return 1.0
