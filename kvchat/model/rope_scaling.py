"""Inverse frequencies of rotary embeddings by kind, in float64.

Kinds: default; linear (Chen et al. 2023, position interpolation); dynamic (NTK-aware scaling);
llama3 (Llama 3.1, which stretches long wavelengths only); yarn (Peng et al. 2023); longrope (Ding
et al. 2024, LongRoPE). `dynamic` and `longrope` depend on how long a session is; see RotarySpec.
"""

import math
from dataclasses import dataclass

from kvchat.kv.spec import RotarySpec


@dataclass(frozen=True, slots=True)
class RopeConfig:
    """Rotary settings of a model, as its config.json states them; unused ones keep their defaults.

    part                   how much of each head rotates, 1 is all of it
    attention_factor       what multiplies cosine and sine
    original_max_position  the context before it was stretched
    mscale_all_dim         yarn: what multiplies log(factor) in the score scale of MLA; 0 is unset
    """

    theta: float = 10_000.0
    kind: str = "default"
    factor: float = 1.0
    low_freq_factor: float = 1.0
    high_freq_factor: float = 4.0
    original_max_position: int = 8192
    part: float = 1.0
    attention_factor: float = 1.0
    beta_fast: float = 32.0
    beta_slow: float = 1.0
    truncate: bool = True
    mscale_all_dim: float = 0.0
    short_factor: tuple[float, ...] = ()
    long_factor: tuple[float, ...] = ()

    def rotary_dim(self, head_dim: int) -> int:
        """Return how many channels of a head rotate."""
        return int(head_dim * self.part)


def rotary_spec(rope: RopeConfig, head_dim: int) -> RotarySpec:
    """Return the inverse frequencies that `rope` gives to heads of `head_dim` channels."""
    rotary_dim = rope.rotary_dim(head_dim)
    base = [rope.theta ** (-index / rotary_dim) for index in range(0, rotary_dim, 2)]
    if rope.kind == "linear":
        return RotarySpec(tuple(frequency / rope.factor for frequency in base))
    if rope.kind == "dynamic":
        return RotarySpec(
            tuple(base), trained_length=rope.original_max_position, dynamic_factor=rope.factor
        )
    if rope.kind == "llama3":
        return RotarySpec(tuple(_llama3_frequency(frequency, rope) for frequency in base))
    if rope.kind == "yarn":
        return RotarySpec(_yarn_frequencies(base, rope, rotary_dim), rope.attention_factor)
    if rope.kind == "longrope":
        return RotarySpec(
            tuple(frequency / by for frequency, by in zip(base, rope.short_factor, strict=True)),
            rope.attention_factor,
            rope.original_max_position,
            tuple(frequency / by for frequency, by in zip(base, rope.long_factor, strict=True)),
        )
    assert rope.kind == "default", rope.kind
    return RotarySpec(tuple(base))


def mscale(factor: float, weight: float = 1.0) -> float:
    """Return the temperature that yarn derives from a factor of stretching."""
    return 1.0 if factor <= 1 else 0.1 * weight * math.log(factor) + 1.0


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


def _yarn_frequencies(base: list[float], rope: RopeConfig, rotary_dim: int) -> tuple[float, ...]:
    """Stretch channels that turn less than beta_slow times in the old context, not those of more
    than beta_fast turns, and ramp between.
    """

    def channel_of(turns: float) -> float:
        ratio = rope.original_max_position / (turns * 2 * math.pi)
        return rotary_dim * math.log(ratio) / (2 * math.log(rope.theta))

    low, high = channel_of(rope.beta_fast), channel_of(rope.beta_slow)
    if rope.truncate:
        low, high = math.floor(low), math.ceil(high)
    low, high = max(low, 0), min(high, rotary_dim - 1)
    if low == high:
        high += 0.001  # a step instead of a ramp
    found = []
    for index, frequency in enumerate(base):
        stretched = min(max((index - low) / (high - low), 0.0), 1.0)
        found.append(frequency / rope.factor * stretched + frequency * (1 - stretched))
    return tuple(found)
