"""ModelConfig: the numbers that define a decoder-only model, and the KVCacheSpec they imply.

`ModelConfig.from_json` is the only reader of config.json. It honours or refuses every field that
changes the maths, and checks every range before anything is built, so that a file from anywhere
can cost neither memory nor silence.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field

from kvchat.errors import ModelError
from kvchat.kv.spec import KVCacheSpec, LayerSpec, RotarySpec
from kvchat.model.config_fields import LARGEST_SIZES, MAX_POSITION, FieldReader
from kvchat.model.config_fields import shown as shown  # for sentences about other files, too
from kvchat.model.experts_config import ExpertsConfig, read_experts
from kvchat.model.families import FAMILIES, Activation, Family
from kvchat.model.foreign_fields import FOREIGN_MATHS, INERT_FIELDS, NOT_DECODERS
from kvchat.model.latent_config import LatentConfig, read_latent
from kvchat.model.layer_windows import LayerWindows, read_layer_windows
from kvchat.model.rope_fields import read_rope
from kvchat.model.rope_scaling import RopeConfig, rotary_spec
from kvchat.model.scale_fields import (
    read_activation,
    read_attention_scale,
    read_embedding_scale,
    read_logit_scale,
    read_residual_scale,
    read_soft_cap,
)
from kvchat.untrusted import JsonValue

MAX_PARAMETERS = 1 << 40
"""No model larger than this is built: a damaged config must not allocate before it is found."""
_READ_FIELDS = frozenset(LARGEST_SIZES) | {
    "model_type",
    "max_position_embeddings",
    "original_max_position_embeddings",
    "rms_norm_eps",
    "tie_word_embeddings",
    "hidden_act",
    "hidden_activation",
    "rope_theta",
    "rope_scaling",
    "rope_parameters",
    "n_group",
    "topk_group",
    "quantization_config",
}


@dataclass(frozen=True, slots=True)
class ModelConfig:
    """Shape and arithmetic of a decoder-only transformer, whatever dialect config.json spoke.

    max_position      most tokens of a session without a window
    windows           which layers see only a window, and which do not rotate
    rope, local_rope  rotation of all layers; that of windowed layers where it is another
    attention_scale   what multiplies scores; None is head_dim ** -0.5
    *_soft_cap        scores or logits become cap * tanh(x / cap)
    *_scale           multiply embeddings, what attention and MLP add, and what the head sees
    latent, experts   None for ordinary attention, for one dense MLP in every layer
    """

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
    activation: Activation = "silu"
    windows: LayerWindows = field(default_factory=LayerWindows)
    local_rope: RopeConfig | None = None
    attention_scale: float | None = None
    attention_soft_cap: float | None = None
    logit_soft_cap: float | None = None
    embedding_scale: float = 1.0
    residual_scale: float = 1.0
    logit_scale: float = 1.0
    latent: LatentConfig | None = None
    experts: ExpertsConfig | None = None

    @classmethod
    def from_json(cls, document: Mapping[str, JsonValue]) -> "ModelConfig":
        """Return the config that a parsed config.json states, in either dialect of its keys.

        Missing keys mean the family's defaults. Raises ModelError, naming field and value, for
        whatever is out of range or would change the maths in a way that is not implemented.
        """
        family = _family(document)
        _refuse_quantized(document)
        document = _language_model(document, family)
        _refuse_foreign(document, family)
        reader = FieldReader(document, family.defaults)
        config = _read(reader, family)
        if config.num_parameters > MAX_PARAMETERS:
            raise ModelError(
                f"config.json: its sizes make {config.num_parameters} parameters, "
                f"at most {MAX_PARAMETERS} are supported."
            )
        return config

    @property
    def family(self) -> Family:
        """The row of maths and names that the model type stands for."""
        return FAMILIES[self.model_type]

    @property
    def has_qkv_bias(self) -> bool:
        """Whether queries, keys and values have a bias; the output has one by `attention_bias`."""
        return self.attention_bias or self.family.has_qkv_bias

    @property
    def num_parameters(self) -> int:
        """Numbers in all weights, a tied head counted once."""
        family = self.family
        names = family.norms
        norms = (names.before_attention, names.after_attention, names.before_mlp, names.after_mlp)
        per_layer = sum(name is not None for name in norms) * self.hidden_size
        per_layer += self._attention_parameters()
        mlp = 3 * self.hidden_size * self.intermediate_size
        if self.mlp_bias:
            mlp += 2 * self.intermediate_size + self.hidden_size
        total = self.num_layers * per_layer
        for layer_index in range(self.num_layers):
            if self.experts is not None and layer_index >= self.experts.first_layer:
                total += self.experts.num_parameters(self.hidden_size, has_bias=self.mlp_bias)
            else:
                total += mlp
        embeddings = self.vocab_size * self.hidden_size * (1 if self.tie_word_embeddings else 2)
        return total + embeddings + self.hidden_size

    def _attention_parameters(self) -> int:
        if self.latent is not None:
            return self.latent.num_parameters(
                self.hidden_size, self.num_heads, has_bias=self.attention_bias
            )
        query_size, kv_size = self.num_heads * self.head_dim, self.num_kv_heads * self.head_dim
        count = self.hidden_size * 2 * (query_size + kv_size)
        if self.has_qkv_bias:
            count += query_size + 2 * kv_size
        if self.attention_bias:
            count += self.hidden_size
        if self.family.qk_norm == "head":
            count += 2 * self.head_dim
        elif self.family.qk_norm == "projection":
            count += query_size + kv_size
        return count

    def maths(self) -> dict[str, JsonValue]:
        """Return the fields that the logits depend on, for the model digest."""
        fields = asdict(self)
        del fields["max_position"]  # a limit of sessions; kinds of rope that use it copy it
        return fields

    def kv_spec(self) -> KVCacheSpec:
        """Return what a token of this model stores in every layer."""
        rotary_head_dim = self.head_dim if self.latent is None else self.latent.rotary_dim
        rotary = rotary_spec(self.rope, rotary_head_dim)
        local = rotary
        if self.local_rope is not None:
            local = rotary_spec(self.local_rope, rotary_head_dim)
        windowed = set(self.windows.windowed_layers)
        unrotated = set(self.windows.unrotated_layers)
        window = self.windows.window
        if window is not None and window >= self.max_position:
            window = None  # it never hides anything
        kinds: dict[tuple[bool, bool], LayerSpec] = {}
        layers = []
        for index in range(self.num_layers):
            kind = index in windowed, index in unrotated
            if kind not in kinds:
                turns = local if kind[0] else rotary
                kinds[kind] = self._layer_spec(
                    window if kind[0] else None, None if kind[1] else turns
                )
            layers.append(kinds[kind])
        return KVCacheSpec(tuple(layers))

    def _layer_spec(self, window: int | None, rotary: RotarySpec | None) -> LayerSpec:
        scale = self.attention_scale
        latent = self.latent
        if latent is None:
            return LayerSpec(
                num_heads=self.num_heads,
                num_kv_heads=self.num_kv_heads,
                key_dim=self.head_dim,
                value_dim=self.head_dim,
                scale=self.head_dim**-0.5 if scale is None else scale,
                window=window,
                soft_cap=self.attention_soft_cap,
                rotary=rotary,
            )
        assert scale is not None
        return LayerSpec(
            num_heads=self.num_heads,
            num_kv_heads=1,
            key_dim=latent.key_dim,
            value_dim=0,
            scale=scale,
            window=window,
            rotary=rotary,
            latent_value_dim=latent.kv_rank,
        )


def unknown_fields(document: Mapping[str, JsonValue]) -> tuple[str, ...]:
    """Return the fields of a config.json that nobody knows: worth one warning, not a refusal."""
    model_type = document.get("model_type")
    family = FAMILIES.get(model_type) if isinstance(model_type, str) else None
    inner = None
    known = set(_READ_FIELDS)
    if family is not None:
        known |= family.honours
        if family.text_config is not None:
            known.add(family.text_config)
            inner = document.get(family.text_config)
    names = {*document, *(inner if isinstance(inner, dict) else ())}
    return tuple(
        name
        for name in sorted(names)
        if name not in known and name not in FOREIGN_MATHS and not INERT_FIELDS.fullmatch(name)
    )


def _family(document: Mapping[str, JsonValue]) -> Family:
    model_type = document.get("model_type")
    if not isinstance(model_type, str):
        raise ModelError(f"config.json: model_type is {shown(model_type)}, expected text.")
    if model_type in NOT_DECODERS:
        raise ModelError(f"'{model_type}' is not a decoder with a key/value cache.")
    family = FAMILIES.get(model_type)
    if family is not None:
        return family
    if document.get("auto_map"):
        raise ModelError(
            "it needs Python code from its folder (auto_map), which kvchat never runs."
        )
    raise ModelError(
        f"model_type {shown(model_type)} is not supported; supported: {', '.join(FAMILIES)}."
    )


def _refuse_quantized(document: Mapping[str, JsonValue]) -> None:
    quantization = document.get("quantization_config")
    if quantization is not None:
        method = quantization.get("quant_method") if isinstance(quantization, dict) else None
        raise ModelError(
            f"its weights are quantised with {shown(method)}; use the full-precision folder."
        )


def _language_model(document: Mapping[str, JsonValue], family: Family) -> Mapping[str, JsonValue]:
    """Return the part of a config that is about the language model."""
    if family.text_config is None:
        return document
    inner = document.get(family.text_config, {})
    if not isinstance(inner, dict):
        raise ModelError(
            f"config.json: {family.text_config} is {shown(inner)}, expected an object."
        )
    _refuse_quantized(inner)
    merged = dict(inner)
    if "tie_word_embeddings" in document:
        merged["tie_word_embeddings"] = document["tie_word_embeddings"]
    return merged


def _refuse_foreign(document: Mapping[str, JsonValue], family: Family) -> None:
    for name, neutral in FOREIGN_MATHS.items():
        value = document.get(name)
        if name in family.honours or value is None or any(value == item for item in neutral):
            continue
        if name == "layer_types" and _all_full_attention(value, document):
            continue
        raise ModelError(
            f"config.json: {name}={shown(value)} changes the maths and is not supported "
            f"for {family.model_type}."
        )


def _all_full_attention(value: JsonValue, document: Mapping[str, JsonValue]) -> bool:
    """Whether a layer_types list names plain attention for every layer."""
    if not isinstance(value, list) or len(value) != document.get("num_hidden_layers"):
        return False
    return all(kind == "full_attention" for kind in value)


def _read(reader: FieldReader, family: Family) -> ModelConfig:
    hidden_size = reader.size("hidden_size")
    num_heads = reader.size("num_attention_heads")
    num_layers = reader.size("num_hidden_layers")
    intermediate_size = reader.size("intermediate_size")
    max_position = reader.integer("max_position_embeddings", 1, MAX_POSITION)
    latent = None
    if family.is_latent:
        latent = read_latent(reader, hidden_size, num_heads)
        num_kv_heads, head_dim = num_heads, latent.query_dim
    else:
        num_kv_heads, head_dim = _heads(reader, hidden_size, num_heads)
    rope, local_rope = read_rope(
        reader, family, head_dim if latent is None else latent.rotary_dim, max_position
    )
    if rope.kind == "dynamic":
        # Its fields say how far it was trained, not how far it reaches.
        max_position = min(MAX_POSITION, int(max_position * rope.factor))
    experts = None
    if family.experts is not None:
        experts = read_experts(reader, family.experts, intermediate_size)
    return ModelConfig(
        vocab_size=reader.size("vocab_size"),
        hidden_size=hidden_size,
        intermediate_size=intermediate_size,
        num_layers=num_layers,
        num_heads=num_heads,
        num_kv_heads=num_kv_heads,
        head_dim=head_dim,
        max_position=max_position,
        rms_norm_eps=reader.number("rms_norm_eps", 1e-12, 0.1),
        tie_word_embeddings=reader.flag("tie_word_embeddings"),
        attention_bias=reader.flag("attention_bias"),
        mlp_bias=reader.flag("mlp_bias"),
        rope=rope,
        model_type=family.model_type,
        activation=read_activation(reader, family),
        windows=read_layer_windows(reader, family, num_layers),
        local_rope=local_rope,
        attention_scale=read_attention_scale(reader, family, latent, rope),
        attention_soft_cap=read_soft_cap(reader, family, "attn_logit_softcapping"),
        logit_soft_cap=read_soft_cap(reader, family, "final_logit_softcapping"),
        embedding_scale=read_embedding_scale(reader, family, hidden_size),
        residual_scale=read_residual_scale(reader, family, num_layers),
        logit_scale=read_logit_scale(reader, family, hidden_size),
        latent=latent,
        experts=experts,
    )


def _heads(reader: FieldReader, hidden_size: int, num_heads: int) -> tuple[int, int]:
    """Return the number of key/value heads and the channels of a head."""
    num_kv_heads = reader.derived_size("num_key_value_heads", num_heads)
    if num_heads % num_kv_heads:
        raise ModelError(
            f"config.json: {num_heads} attention heads do not divide by {num_kv_heads} "
            "key/value heads."
        )
    is_derived = reader.is_null("head_dim") or reader.value("head_dim") is None
    if is_derived and hidden_size % num_heads:
        raise ModelError(
            f"config.json: hidden_size {hidden_size} does not divide by {num_heads} "
            "attention heads, and head_dim is missing."
        )
    head_dim = reader.derived_size("head_dim", hidden_size // num_heads)
    if head_dim % 2:
        raise ModelError(f"config.json: head_dim is {head_dim}, expected an even number.")
    return num_kv_heads, head_dim
