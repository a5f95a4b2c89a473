"""How the next token is chosen: SamplingParams, checked when it is made."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace

from kvchat.errors import InvalidArgument

MAX_STOP_STRINGS = 16
MAX_STOP_LENGTH = 1024


def _check_number(name: str, value: object, low: float, high: float) -> None:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if not is_number or not math.isfinite(value) or not low <= value <= high:  # type: ignore[operator,arg-type]
        raise InvalidArgument(
            f"{name} is {value!r}, but it must be a number from {low:g} to {high:g}."
        )


def _check_integer(name: str, value: object, low: int, high: int) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
        raise InvalidArgument(f"{name} is {value!r}, but it must be an integer >= {low}.")


@dataclass(frozen=True, slots=True)
class SamplingParams:
    """Settings of one generation; every field is checked when the object is made.

    Order of use: repetition penalty, temperature, top-k, top-p, min-p, then one draw that depends
    on (seed, position) alone, so neither neighbours nor retries shift anyone's random numbers.

    Raises InvalidArgument, naming the field, when a value is out of range.
    """

    temperature: float = 0.7
    """0 picks the likeliest token; above it, logits are divided by this."""
    top_k: int = 0
    """Keep the k likeliest tokens; 0 keeps all."""
    top_p: float = 1.0
    """Keep the smallest set of likeliest tokens whose probabilities sum to at least this."""
    min_p: float = 0.0
    """Drop tokens less likely than this fraction of the likeliest one."""
    repetition_penalty: float = 1.0
    """Above 1, tokens of the context become less likely (Keskar et al. 2019, CTRL)."""
    seed: int | None = None
    """None draws a fresh seed for each reply; the reply records it."""
    max_tokens: int | None = None
    """At most this many new tokens; None leaves it to the model and its context."""
    stop: tuple[str, ...] = ()
    """Generation ends before the first of these strings; it is not part of the text."""

    def __post_init__(self) -> None:
        _check_number("temperature", self.temperature, 0.0, 100.0)
        if 0.0 < self.temperature < 1e-4:
            raise InvalidArgument(
                f"temperature is {self.temperature!r}; use 0 for greedy decoding, or at least 1e-4."
            )
        _check_integer("top_k", self.top_k, 0, 2**31 - 1)
        _check_number("top_p", self.top_p, 1e-6, 1.0)
        _check_number("min_p", self.min_p, 0.0, 1.0)
        _check_number("repetition_penalty", self.repetition_penalty, 0.1, 10.0)
        if self.seed is not None:
            _check_integer("seed", self.seed, 0, 2**64 - 1)
        if self.max_tokens is not None:
            _check_integer("max_tokens", self.max_tokens, 1, 2**31 - 1)
        if isinstance(self.stop, str):
            object.__setattr__(self, "stop", (self.stop,))
        elif not isinstance(self.stop, tuple):
            object.__setattr__(self, "stop", tuple(self.stop))
        if len(self.stop) > MAX_STOP_STRINGS:
            raise InvalidArgument(
                f"stop has {len(self.stop)} strings, but at most {MAX_STOP_STRINGS} are allowed."
            )
        for text in self.stop:
            if not isinstance(text, str) or not 0 < len(text) <= MAX_STOP_LENGTH:
                raise InvalidArgument(
                    f"every stop string must be text of 1 to {MAX_STOP_LENGTH} characters."
                )

    def with_values(self, values: Mapping[str, object]) -> "SamplingParams":
        """Return a copy with some fields replaced; raises InvalidArgument for unknown names."""
        known = {field.name for field in fields(self)}
        unknown = sorted(set(values) - known)
        if unknown:
            raise InvalidArgument(
                f"'{unknown[0]}' is no sampling parameter; known are {', '.join(sorted(known))}."
            )
        return replace(self, **values)  # type: ignore[arg-type]  # checked in __post_init__

    def to_dict(self) -> dict[str, object]:
        """Return the fields as plain JSON types."""
        return {
            field.name: list(value) if isinstance(value, tuple) else value
            for field in fields(self)
            for value in (getattr(self, field.name),)
        }
