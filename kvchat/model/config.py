"""ModelConfig: the numbers that define a Llama-family model, and the KVCacheSpec they imply.

`ModelConfig.from_json` is the only reader of config.json. It honours or refuses every field that
changes the maths, and checks every range before anything is built, so that a file from anywhere
can cost neither memory nor silence.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field

from kvchat.errors import ModelError
from kvchat.kv.spec import KVCacheSpec, LayerSpec
from kvchat.model.families import FAMILIES, FOREIGN_MATHS, INERT_FIELDS, NOT_DECODERS, Family
from kvchat.model.rope_scaling import RopeConfig, rotary_spec
from kvchat.untrusted import JsonValue

MAX_PARAMETERS = 1 << 40
"""No model larger than this is built: a damaged config must not allocate before it is found."""
MAX_POSITION = 1 << 24
_LARGEST_SIZES = {
    "vocab_size": 1 << 22,
    "hidden_size": 1 << 16,
    "intermediate_size": 1 << 18,
    "num_hidden_layers": 512,
    "num_attention_heads": 1024,
    "num_key_value_heads": 1024,
    "head_dim": 1024,
}
_READ_FIELDS = frozenset(_LARGEST_SIZES) | {
    "model_type",
    "max_position_embeddings",
    "original_max_position_embeddings",
    "rms_norm_eps",
    "tie_word_embeddings",
    "attention_bias",
    "mlp_bias",
    "hidden_act",
    "rope_theta",
    "rope_scaling",
    "rope_parameters",
}


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

    @classmethod
    def from_json(cls, document: Mapping[str, JsonValue]) -> "ModelConfig":
        """Return the config that a parsed config.json states, in either dialect of its rope keys.

        Missing keys mean the family's defaults. Raises ModelError, naming field and value, for
        whatever is out of range or would change the maths in a way that is not implemented.
        """
        family = _family(document)
        _refuse_foreign(document, family)
        reader = _FieldReader(document)
        hidden_size = reader.size("hidden_size")
        num_heads = reader.size("num_attention_heads")
        num_kv_heads = reader.size("num_key_value_heads", num_heads)
        if num_heads % num_kv_heads:
            raise ModelError(
                f"config.json: {num_heads} attention heads do not divide by {num_kv_heads} "
                "key/value heads."
            )
        if document.get("head_dim") is None and hidden_size % num_heads:
            raise ModelError(
                f"config.json: hidden_size {hidden_size} does not divide by {num_heads} "
                "attention heads, and head_dim is missing."
            )
        head_dim = reader.size("head_dim", hidden_size // num_heads)
        if head_dim % 2:
            raise ModelError(f"config.json: head_dim is {head_dim}, expected an even number.")
        activation = document.get("hidden_act", "silu")
        if activation not in ("silu", "swish"):
            raise ModelError(f"config.json: hidden_act {shown(activation)} is not supported.")
        max_position = reader.integer(
            "max_position_embeddings", 1, MAX_POSITION, family.max_position
        )
        config = cls(
            vocab_size=reader.size("vocab_size"),
            hidden_size=hidden_size,
            intermediate_size=reader.size("intermediate_size"),
            num_layers=reader.size("num_hidden_layers"),
            num_heads=num_heads,
            num_kv_heads=num_kv_heads,
            head_dim=head_dim,
            max_position=max_position,
            rms_norm_eps=reader.number("rms_norm_eps", 1e-12, 0.1, family.rms_norm_eps),
            tie_word_embeddings=reader.flag("tie_word_embeddings", family.tie_word_embeddings),
            attention_bias=reader.flag("attention_bias", False),
            mlp_bias=reader.flag("mlp_bias", False),
            rope=_rope(document, family, max_position),
            model_type=family.model_type,
        )
        if config.num_parameters > MAX_PARAMETERS:
            raise ModelError(
                f"config.json: its sizes make {config.num_parameters} parameters, "
                f"at most {MAX_PARAMETERS} are supported."
            )
        return config

    @property
    def num_parameters(self) -> int:
        """Numbers in all weights, a tied head counted once."""
        query_size, kv_size = self.num_heads * self.head_dim, self.num_kv_heads * self.head_dim
        attention = self.hidden_size * 2 * (query_size + kv_size)
        if self.attention_bias:
            attention += query_size + 2 * kv_size + self.hidden_size
        mlp = 3 * self.hidden_size * self.intermediate_size
        if self.mlp_bias:
            mlp += 2 * self.intermediate_size + self.hidden_size
        per_layer = attention + mlp + 2 * self.hidden_size
        embeddings = self.vocab_size * self.hidden_size * (1 if self.tie_word_embeddings else 2)
        return self.num_layers * per_layer + embeddings + self.hidden_size

    def maths(self) -> dict[str, JsonValue]:
        """Return the fields that the logits depend on, for the model digest."""
        fields = asdict(self)
        del fields["max_position"]  # a limit of sessions; kinds of rope that use it copy it
        return fields

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


def unknown_fields(document: Mapping[str, JsonValue]) -> tuple[str, ...]:
    """Return the fields of a config.json that nobody knows: worth one warning, not a refusal."""
    return tuple(
        name
        for name in sorted(document)
        if name not in _READ_FIELDS
        and name not in FOREIGN_MATHS
        and name != "quantization_config"
        and not INERT_FIELDS.fullmatch(name)
    )


def shown(value: JsonValue) -> str:
    """Return a value from a file as it may stand in a sentence: escaped and short."""
    text = ascii(value) if isinstance(value, str) else json.dumps(value)
    return text if len(text) <= 60 else text[:57] + "..."


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


def _refuse_foreign(document: Mapping[str, JsonValue], family: Family) -> None:
    quantization = document.get("quantization_config")
    if quantization is not None:
        method = quantization.get("quant_method") if isinstance(quantization, dict) else None
        raise ModelError(
            f"its weights are quantised with {shown(method)}; use the full-precision folder."
        )
    for name, neutral in FOREIGN_MATHS.items():
        value = document.get(name)
        if value is None or any(value == item for item in neutral):
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


class _FieldReader:
    """Typed, range-checked fields of one JSON object; null and a missing key mean the default."""

    def __init__(self, document: Mapping[str, JsonValue], place: str = "") -> None:
        self.document = document
        self.place = place

    def size(self, name: str, default: int | None = None) -> int:
        """Return a dimension from 1 to its largest."""
        return self.integer(name, 1, _LARGEST_SIZES[name], default)

    def integer(self, name: str, low: int, high: int, default: int | None = None) -> int:
        """Return a whole number; a field without a default is required."""
        value = self.document.get(name)
        if value is None and default is not None:
            value = default
        if isinstance(value, int) and not isinstance(value, bool) and low <= value <= high:
            return value
        raise self._unexpected(name, f"a whole number from {low} to {high}")

    def number(self, name: str, low: float, high: float, default: float | None = None) -> float:
        """Return a finite number."""
        value = self.document.get(name)
        if value is None and default is not None:
            value = default
        if isinstance(value, int | float) and not isinstance(value, bool) and low <= value <= high:
            return float(value)
        raise self._unexpected(name, f"a number from {low:g} to {high:g}")

    def flag(self, name: str, default: bool) -> bool:
        """Return true or false."""
        value = self.document.get(name)
        if value is None:
            return default
        if isinstance(value, bool):
            return value
        raise self._unexpected(name, "true or false")

    def _unexpected(self, name: str, kind: str) -> ModelError:
        found = shown(self.document[name]) if name in self.document else "missing"
        return ModelError(f"config.json: {self.place}{name} is {found}, expected {kind}.")


_ROPE_FIELDS = {
    "default": frozenset[str](),
    "linear": frozenset({"factor"}),
    "llama3": frozenset(
        {
            "factor",
            "low_freq_factor",
            "high_freq_factor",
            "original_max_position_embeddings",
        }
    ),
}


def _rope(document: Mapping[str, JsonValue], family: Family, max_position: int) -> RopeConfig:
    """Read rope settings of both dialects; where both keys stand, the newer one wins."""
    place = "rope_parameters" if document.get("rope_parameters") is not None else "rope_scaling"
    scaling = document.get(place)
    if scaling is None:
        scaling = {}
    if not isinstance(scaling, dict):
        raise ModelError(f"config.json: {place} is {shown(scaling)}, expected an object.")
    reader = _FieldReader(scaling, f"{place}.")
    top = _FieldReader(document)
    theta = top.number("rope_theta", 1.0, 1e15, family.rope_theta)
    theta = reader.number("rope_theta", 1.0, 1e15, theta)
    kind = scaling.get("rope_type", scaling.get("type", "default"))
    if not isinstance(kind, str) or kind not in _ROPE_FIELDS:
        raise ModelError(f"config.json: rope type {shown(kind)} is not supported.")
    _refuse_foreign_rope(scaling, place, kind, family)
    if kind == "default":
        return RopeConfig(theta)
    factor = reader.number("factor", 1.0, 1e6)
    if kind == "linear":
        return RopeConfig(theta, kind, factor)
    low = reader.number("low_freq_factor", 1e-6, 1e6)
    high = reader.number("high_freq_factor", 1e-6, 1e6)
    if not low < high:
        raise ModelError(
            f"config.json: {place}.low_freq_factor is {low:g}, expected a number below "
            f"high_freq_factor, which is {high:g}."
        )
    original = "original_max_position_embeddings"
    original_max = reader.integer(original, 1, MAX_POSITION, max_position)
    original_max = top.integer(original, 1, MAX_POSITION, original_max)
    return RopeConfig(theta, kind, factor, low, high, original_max)


def _refuse_foreign_rope(
    scaling: Mapping[str, JsonValue], place: str, kind: str, family: Family
) -> None:
    """Refuse rope numbers that `kind` does not use: a misspelt one would be silently lost."""
    for name, value in scaling.items():
        if name in _ROPE_FIELDS[kind] or name in ("rope_theta", "rope_type", "type"):
            continue
        if value is None or (name in ("factor", "partial_rotary_factor") and value == 1):
            continue
        if name == "original_max_position_embeddings" and isinstance(value, int):
            continue  # some writers add it to every kind; only llama3 reads it
        raise ModelError(
            f"config.json: {place}.{name}={shown(value)} changes the maths and is not supported "
            f"for rope type '{kind}' of {family.model_type}."
        )
