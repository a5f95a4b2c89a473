"""FieldReader: typed, range-checked fields of one object of a config.json.

It knows what a number must look like and what a family says where a field is missing; it does not
know what any field means.
"""

import json
from collections.abc import Mapping

from kvchat.errors import ModelError
from kvchat.untrusted import JsonValue

MAX_POSITION = 1 << 24
MAX_SCALE = 1e6
"""Scales, caps and factors beyond this are mistakes."""
LARGEST_SIZES = {
    "vocab_size": 1 << 22,
    "hidden_size": 1 << 16,
    "intermediate_size": 1 << 18,
    "num_hidden_layers": 512,
    "num_attention_heads": 1024,
    "num_key_value_heads": 1024,
    "head_dim": 1024,
    "kv_lora_rank": 1 << 14,
    "q_lora_rank": 1 << 14,
    "qk_nope_head_dim": 1024,
    "qk_rope_head_dim": 1024,
    "v_head_dim": 1024,
    "moe_intermediate_size": 1 << 18,
    "num_local_experts": 1024,
    "n_routed_experts": 1024,
    "n_shared_experts": 64,
    "num_experts_per_tok": 64,
}
"""The largest value of each field that is a dimension or a count of parts."""


def shown(value: JsonValue) -> str:
    """Return a value from a file as it may stand in a sentence: escaped and short."""
    text = ascii(value) if isinstance(value, str) else json.dumps(value)
    return text if len(text) <= 60 else text[:57] + "..."


class FieldReader:
    """Reads fields of `document`; one that is missing, or null, has its value in `defaults`.

    place  what stands before a field's name in a sentence, as 'rope_scaling.'

    Whatever has another type than asked for, or is out of range, raises ModelError with its name,
    its value and what was expected.
    """

    def __init__(
        self,
        document: Mapping[str, JsonValue],
        defaults: Mapping[str, JsonValue] | None = None,
        place: str = "",
    ) -> None:
        self.document = document
        self.defaults = defaults or {}
        self.place = place

    def value(self, name: str) -> JsonValue:
        """Return a field as it is, or its default."""
        value = self.document.get(name)
        return self.defaults.get(name) if value is None else value

    def is_null(self, name: str) -> bool:
        """Say whether a field is there and null, which some fields tell from missing."""
        return name in self.document and self.document[name] is None

    def size(self, name: str, fallback: int | None = None) -> int:
        """Return a dimension from 1 to its largest."""
        return self.integer(name, 1, LARGEST_SIZES[name], fallback)

    def derived_size(self, name: str, derived: int) -> int:
        """Return a dimension that is derived for null, and where it is missing without default."""
        return derived if self.is_null(name) else self.size(name, derived)

    def optional_size(self, name: str) -> int | None:
        """Return a dimension, or None where the field is null or has no default."""
        if self.is_null(name) or self.value(name) is None:
            return None
        return self.size(name)

    def integer(self, name: str, low: int, high: int, fallback: int | None = None) -> int:
        """Return a whole number; a field with neither default nor fallback is required."""
        value = self.value(name)
        if value is None and fallback is not None:
            value = fallback
        if isinstance(value, int) and not isinstance(value, bool) and low <= value <= high:
            return value
        raise self.unexpected(name, f"a whole number from {low} to {high}")

    def number(self, name: str, low: float, high: float, fallback: float | None = None) -> float:
        """Return a finite number."""
        value = self.value(name)
        if value is None and fallback is not None:
            value = fallback
        if isinstance(value, int | float) and not isinstance(value, bool) and low <= value <= high:
            return float(value)
        raise self.unexpected(name, f"a number from {low:g} to {high:g}")

    def optional_number(self, name: str, low: float, high: float) -> float | None:
        """Return a finite number, or None where the field is null or has no default."""
        if self.is_null(name) or self.value(name) is None:
            return None
        return self.number(name, low, high)

    def flag(self, name: str) -> bool:
        """Return true or false; a field without a default is false."""
        value = self.value(name)
        if value is None:
            return False
        if isinstance(value, bool):
            return value
        raise self.unexpected(name, "true or false")

    def numbers(self, name: str, count: int, low: float, high: float) -> tuple[float, ...]:
        """Return a list of exactly `count` finite numbers."""
        values = self.value(name)
        if not isinstance(values, list):
            raise self.unexpected(name, f"a list of {count} numbers")
        if len(values) != count:
            raise ModelError(
                f"config.json: {self.place}{name} has {len(values)} numbers, expected {count}."
            )
        numbers: list[float] = []
        for index, value in enumerate(values):
            is_number = isinstance(value, int | float) and not isinstance(value, bool)
            if not is_number or not low <= value <= high:  # type: ignore[operator]
                raise ModelError(
                    f"config.json: {self.place}{name}[{index}] is {shown(value)}, expected a "
                    f"number from {low:g} to {high:g}."
                )
            numbers.append(float(value))  # type: ignore[arg-type]
        return tuple(numbers)

    def unexpected(self, name: str, kind: str) -> ModelError:
        """Return the error that says what a field is and what it should be."""
        found = shown(self.document[name]) if name in self.document else "missing"
        return ModelError(f"config.json: {self.place}{name} is {found}, expected {kind}.")
