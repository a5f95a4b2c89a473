"""RopeConfig from config.json, in both dialects of its rope keys; both at once must agree.

4.x  rope_theta, partial_rotary_factor, rope_scaling {type or rope_type, ...}; for Gemma 3 also
     rope_local_base_freq, since its windowed layers rotate by a base of their own
5.x  rope_parameters with all of it; for Gemma 3 one such object per type of layer
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

from kvchat.errors import ModelError
from kvchat.model.config_fields import MAX_POSITION, FieldReader, shown
from kvchat.model.families import Family
from kvchat.model.rope_scaling import RopeConfig, mscale
from kvchat.untrusted import JsonValue

_ORIGINAL = "original_max_position_embeddings"
_PART = "partial_rotary_factor"
_FIELDS = {
    "default": frozenset[str](),
    "linear": frozenset({"factor"}),
    "dynamic": frozenset({"factor"}),
    "llama3": frozenset({"factor", "low_freq_factor", "high_freq_factor", _ORIGINAL}),
    "yarn": frozenset(
        {
            "factor",
            "attention_factor",
            "beta_fast",
            "beta_slow",
            "mscale",
            "mscale_all_dim",
            "truncate",
            _ORIGINAL,
        }
    ),
    "longrope": frozenset({"factor", "attention_factor", "short_factor", "long_factor", _ORIGINAL}),
}
"""The fields that each rope type reads, besides its name and its base."""
_LAYER_TYPES = ("full_attention", "sliding_attention")
_LARGEST_FACTOR = 1e6


@dataclass(frozen=True, slots=True)
class _Place:
    """Where rope fields stand: an object, its name in sentences, and the base it defaults to."""

    name: str
    fields: Mapping[str, JsonValue]
    theta: float


def read_rope(
    reader: FieldReader, family: Family, head_dim: int, max_position: int
) -> tuple[RopeConfig, RopeConfig | None]:
    """Return the rope of all layers, and that of windowed layers where they have their own.

    reader    the whole config.json
    head_dim  channels of a head that may rotate

    Raises ModelError for an unknown type, and for fields that its type does not use.
    """
    top, local = _places(reader, family)
    return (
        _read(top, reader, family, head_dim, max_position),
        None if local is None else _read(local, reader, family, head_dim, max_position),
    )


def _places(reader: FieldReader, family: Family) -> tuple[_Place, _Place | None]:
    document = reader.document
    name = "rope_parameters" if document.get("rope_parameters") is not None else "rope_scaling"
    fields = document.get(name)
    if fields is None:
        fields = {}
    if not isinstance(fields, dict):
        raise ModelError(f"config.json: {name} is {shown(fields)}, expected an object.")
    theta = reader.number("rope_theta", 1.0, 1e15)
    older = document.get("rope_scaling")
    if older and name == "rope_parameters" and not _agree(older, fields, document, theta, family):
        raise ModelError(
            "config.json: rope_scaling and rope_parameters contradict each other; write what is "
            "meant into rope_parameters, with its rope_theta, and remove rope_scaling."
        )
    if "rope_local_base_freq" not in family.honours:
        return _Place(name, fields, theta), None
    local_theta = reader.number("rope_local_base_freq", 1.0, 1e15)
    if not any(layer_type in fields for layer_type in _LAYER_TYPES):
        # Stretching is for the layers that see far.
        return _Place(name, fields, theta), _Place(name, {}, local_theta)
    by_type = {}
    for layer_type, own_theta in zip(_LAYER_TYPES, (theta, local_theta), strict=True):
        own = fields.get(layer_type) or {}
        if not isinstance(own, dict):
            raise ModelError(
                f"config.json: {name}.{layer_type} is {shown(own)}, expected an object."
            )
        by_type[layer_type] = _Place(f"{name}.{layer_type}", own, own_theta)
    for other in fields:
        if other not in _LAYER_TYPES:
            raise ModelError(
                f"config.json: {name}.{other}={shown(fields[other])} stands beside types of "
                "layers; it belongs into one of them."
            )
    return by_type["full_attention"], by_type["sliding_attention"]


def _agree(
    older: JsonValue,
    newer: Mapping[str, JsonValue],
    document: Mapping[str, JsonValue],
    theta: float,
    family: Family,
) -> bool:
    """Say whether a config that has both dialects means the same by them.

    People stretch a model by adding rope_scaling, as its card says, to a folder that has
    rope_parameters already. transformers then takes the former, older versions of it the latter.
    """
    shared: dict[str, JsonValue] = {
        "rope_theta": theta,
        _PART: document.get(_PART),
        _ORIGINAL: document.get(_ORIGINAL),
    }

    def meant(fields: Mapping[str, JsonValue]) -> dict[str, JsonValue]:
        whole = shared | {key: value for key, value in fields.items() if value is not None}
        kind = whole.pop("type", "default")
        kind = whole.pop("rope_type", kind)
        return whole | {
            "rope_type": family.rope_aliases.get(kind, kind) if isinstance(kind, str) else kind
        }

    if not isinstance(older, dict):
        return False
    full = newer.get("full_attention", newer)
    return older == newer or (isinstance(full, dict) and meant(older) == meant(full))


def _read(
    place: _Place, top: FieldReader, family: Family, head_dim: int, max_position: int
) -> RopeConfig:
    reader = FieldReader(place.fields, place=f"{place.name}.")
    theta = reader.number("rope_theta", 1.0, 1e15, place.theta)
    kind = place.fields.get("rope_type", place.fields.get("type", "default"))
    if isinstance(kind, str):
        kind = family.rope_aliases.get(kind, kind)
    if not isinstance(kind, str) or kind not in _FIELDS:
        raise ModelError(f"config.json: rope type {shown(kind)} is not supported.")
    _refuse_foreign(place, kind, family)
    part = _part(reader, top, family, head_dim)
    if kind == "default":
        return RopeConfig(theta, part=part)
    is_degenerate = int(head_dim * part) < 4 if kind == "dynamic" else theta <= 1
    if kind in ("dynamic", "yarn") and is_degenerate:
        raise ModelError(
            f"config.json: rope type '{kind}' does not work with rope_theta {theta:g} and "
            f"{int(head_dim * part)} channels that rotate."
        )
    if kind in ("linear", "dynamic"):
        factor = reader.number("factor", 1.0, _LARGEST_FACTOR)
        original = max_position if kind == "dynamic" else RopeConfig().original_max_position
        return RopeConfig(theta, kind, factor, original_max_position=original, part=part)
    fallback = top.integer(_ORIGINAL, 1, MAX_POSITION, max_position)
    original = reader.integer(_ORIGINAL, 1, MAX_POSITION, fallback)
    if top.document.get(_ORIGINAL) is not None:
        original = fallback
    if kind == "llama3":
        return _llama3(theta, original, part, reader)
    if kind == "yarn":
        return _yarn(theta, original, part, reader, max_position)
    return _longrope(theta, original, part, reader, head_dim, max_position)


def _part(reader: FieldReader, top: FieldReader, family: Family, head_dim: int) -> float:
    """Return how much of a head rotates, which must be an even number of channels."""
    if not family.has_partial_rotary:
        return 1.0
    part = top.number("partial_rotary_factor", 0.0, 1.0, 1.0)
    part = reader.number("partial_rotary_factor", 0.0, 1.0, part)
    rotary_dim = int(head_dim * part)
    if rotary_dim < 2 or rotary_dim % 2:
        raise ModelError(
            f"config.json: partial_rotary_factor is {part:g}, which makes {rotary_dim} of "
            f"{head_dim} channels rotate, expected an even number."
        )
    return part


def _llama3(theta: float, original: int, part: float, reader: FieldReader) -> RopeConfig:
    factor = reader.number("factor", 1.0, _LARGEST_FACTOR)
    low = reader.number("low_freq_factor", 1e-6, _LARGEST_FACTOR)
    high = reader.number("high_freq_factor", 1e-6, _LARGEST_FACTOR)
    if not low < high:
        raise ModelError(
            f"config.json: {reader.place}low_freq_factor is {low:g}, expected a number below "
            f"high_freq_factor, which is {high:g}."
        )
    return RopeConfig(theta, "llama3", factor, low, high, original, part)


def _yarn(
    theta: float, original: int, part: float, reader: FieldReader, max_position: int
) -> RopeConfig:
    factor = reader.number("factor", 1.0, _LARGEST_FACTOR, max(1.0, max_position / original))
    weight = reader.number("mscale", 0.0, 1e3, 0.0)
    weight_all_dim = reader.number("mscale_all_dim", 0.0, 1e3, 0.0)
    if reader.value("attention_factor") is not None:
        attention_factor = reader.number("attention_factor", 1e-3, 1e3)
    elif weight and weight_all_dim:
        attention_factor = mscale(factor, weight) / mscale(factor, weight_all_dim)
    else:
        attention_factor = mscale(factor)
    return RopeConfig(
        theta,
        "yarn",
        factor,
        original_max_position=original,
        part=part,
        attention_factor=attention_factor,
        # A zero means the same as no value.
        beta_fast=reader.number("beta_fast", 0.0, 1e6, 32.0) or 32.0,
        beta_slow=reader.number("beta_slow", 0.0, 1e6, 1.0) or 1.0,
        truncate=True if reader.value("truncate") is None else reader.flag("truncate"),
        mscale_all_dim=weight_all_dim,
    )


def _longrope(
    theta: float,
    original: int,
    part: float,
    reader: FieldReader,
    head_dim: int,
    max_position: int,
) -> RopeConfig:
    factor = reader.number("factor", 1e-6, _LARGEST_FACTOR, max_position / original)
    if reader.value("attention_factor") is not None:
        attention_factor = reader.number("attention_factor", 1e-3, 1e3)
    elif factor <= 1 or original == 1:
        attention_factor = 1.0
    else:
        attention_factor = math.sqrt(1 + math.log(factor) / math.log(original))
    count = int(head_dim * part) // 2
    return RopeConfig(
        theta,
        "longrope",
        factor,
        original_max_position=original,
        part=part,
        attention_factor=attention_factor,
        short_factor=reader.numbers("short_factor", count, 1e-3, _LARGEST_FACTOR),
        long_factor=reader.numbers("long_factor", count, 1e-3, _LARGEST_FACTOR),
    )


def _refuse_foreign(place: _Place, kind: str, family: Family) -> None:
    """Refuse rope numbers that `kind` does not use: a misspelt one would be silently lost."""
    for name, value in place.fields.items():
        if name in _FIELDS[kind] or name in ("rope_theta", "rope_type", "type"):
            continue
        if name == "partial_rotary_factor" and family.has_partial_rotary:
            continue
        if value is None or (name in ("factor", "partial_rotary_factor") and value == 1):
            continue
        if name == _ORIGINAL and isinstance(value, int):
            continue  # some writers add it to every kind; only three read it
        raise ModelError(
            f"config.json: {place.name}.{name}={shown(value)} changes the maths and is not "
            f"supported for rope type '{kind}' of {family.model_type}."
        )
