"""Inverse frequencies of rotary embeddings by kind: default, linear, llama3."""

import math
from dataclasses import dataclass

from kvchat.kv.spec import RotarySpec


@dataclass(frozen=True, slots=True)
class RopeConfig:
    """Rotary settings of a model, as its config.json states them.

    `kind` is 'default', 'linear' (Chen et al. 2023, position interpolation) or 'llama3' (Llama 3.1,
    which stretches long wavelengths only). `original_max_position` is used by 'llama3'.
    """

    theta: float = 10_000.0
    kind: str = "default"
    factor: float = 1.0
    low_freq_factor: float = 1.0
    high_freq_factor: float = 4.0
    original_max_position: int = 8192


def rotary_spec(rope: RopeConfig, rotary_dim: int) -> RotarySpec:
    """Return the inverse frequencies that `rope` gives to heads of `rotary_dim` channels."""
    base = [rope.theta ** (-index / rotary_dim) for index in range(0, rotary_dim, 2)]
    if rope.kind == "default":
        return RotarySpec(tuple(base))
    if rope.kind == "linear":
        return RotarySpec(tuple(frequency / rope.factor for frequency in base))
    assert rope.kind == "llama3", rope.kind
    return RotarySpec(tuple(_llama3_frequency(frequency, rope) for frequency in base))


def _llama3_frequency(frequency: float, rope: RopeConfig) -> float:
    wavelength = 2 * math.pi / frequency
    if wavelength < rope.original_max_position / rope.high_freq_factor:
        return frequency
    if wavelength > rope.original_max_position / rope.low_freq_factor:
        return frequency / rope.factor
    smooth = (rope.original_max_position / wavelength - rope.low_freq_factor) / (
        rope.high_freq_factor - rope.low_freq_factor
    )
    return (1 - smooth) * frequency / rope.factor + smooth * frequency
