"""What one token stores in every layer of a model: LayerSpec, LayerGroup, KVCacheSpec.

Plain numbers, no tensors. A model describes itself with a KVCacheSpec, and every cache is built
from one, so `attend` needs no argument besides query, key and value.
"""

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal, NewType, Protocol, get_args

from kvchat.errors import InvalidArgument

SequenceId = NewType("SequenceId", int)
"""Names a sequence of one cache; never used again there."""

KVDtype = Literal["auto", "int8"]
"""How keys and values are stored: as the model computes them, or as codes (`quantization.py`)."""
KV_DTYPES: tuple[KVDtype, ...] = get_args(KVDtype)


def check_whole(**numbers: object) -> None:
    """Raise InvalidArgument, with its name, for a number that is no whole one."""
    for name, number in numbers.items():
        if not hasattr(number, "__index__"):
            raise InvalidArgument(f"{name} is {number!r}, but it must be a whole number.")


def check_window(window: int | None, sinks: int) -> None:
    """Raise InvalidArgument for a window below 1, negative sinks, or a part of a token."""
    if window is not None and (not isinstance(window, int) or window < 1):
        raise InvalidArgument(f"window is {window}, but it must be at least 1.")
    if not isinstance(sinks, int) or sinks < 0:
        raise InvalidArgument(f"sinks is {sinks}, but it cannot be negative.")


@dataclass(frozen=True, slots=True)
class RotarySpec:
    """Rotary position embedding of a layer (Su et al. 2021, RoFormer), half-split layout.

    `inverse_frequencies` has one number per rotated channel pair, in radians per position, so
    `2 * len(inverse_frequencies)` channels of a head turn: the first ones, or for MLA the last.
    `attention_factor` scales cosine and sine once, when the model rotates; the second rotation of
    sink queries must not apply it.

    Two kinds depend on a length (`VisibleSet.rotated_length`), and are plain up to
    `trained_length`. Beyond it LongRoPE has `long_inverse_frequencies`, and dynamic NTK scaling,
    where `dynamic_factor` is above 1, stretches the base the more the greater the length is.
    """

    inverse_frequencies: tuple[float, ...]
    attention_factor: float = 1.0
    trained_length: int = 0
    long_inverse_frequencies: tuple[float, ...] = ()
    dynamic_factor: float = 1.0

    @property
    def rotary_dim(self) -> int:
        """Number of channels of a head that turn."""
        return 2 * len(self.inverse_frequencies)

    @property
    def depends_on_length(self) -> bool:
        """Say whether keys rotate otherwise in long sessions."""
        return bool(self.long_inverse_frequencies) or self.dynamic_factor > 1.0

    def scheme_length(self, length: int) -> int:
        """Return the `scheme_length` that a session of so many tokens is to have.

        With LongRoPE all keys of a session are rotated for its length, so crossing the trained one
        changes every key. With dynamic scaling a token's length is its position's, so none changes.
        """
        is_long = bool(self.long_inverse_frequencies) and length > self.trained_length
        return self.trained_length + 1 if is_long else 0


@dataclass(frozen=True, slots=True)
class LayerSpec:
    """Shape and score arithmetic of one attention layer.

    `window` is the number of keys a query of this layer sees, itself included; None sees all.
    Scores are `scale * q.k`, then `soft_cap * tanh(scores / soft_cap)` when a cap is set.

    MLA (DeepSeek-AI 2024, DeepSeek-V2) in its absorbed form has one key/value head and `value_dim`
    0: the key is a latent, `latent_value_dim` compressed channels and then those that rotate, and
    the value is its compressed part. `rotary`, if set, turns exactly the channels behind it.
    """

    num_heads: int
    num_kv_heads: int
    key_dim: int
    value_dim: int
    scale: float
    window: int | None = None
    soft_cap: float | None = None
    rotary: RotarySpec | None = None
    latent_value_dim: int = 0

    def __post_init__(self) -> None:
        if self.num_kv_heads < 1 or self.num_heads < 1 or self.num_heads % self.num_kv_heads:
            raise InvalidArgument(
                f"{self.num_heads} query heads do not share {self.num_kv_heads} key/value heads."
            )
        if self.key_dim < 1 or self.value_dim < 0:
            raise InvalidArgument(f"A head of {self.key_dim} and {self.value_dim} holds nothing.")
        check_window(self.window, 0)
        assert (self.value_dim == 0) == (self.latent_value_dim > 0), "either values or a latent"
        if self.value_dim == 0:
            rotary_dim = self.key_dim - self.latent_value_dim
            assert self.num_kv_heads == 1 and rotary_dim > 0, "one latent of two parts"
            assert self.rotary is None or self.rotary.rotary_dim == rotary_dim

    @property
    def output_dim(self) -> int:
        """Size of a head of what `attend` returns."""
        return self.value_dim or self.latent_value_dim

    @property
    def first_rotary_channel(self) -> int:
        """Where in a head the channels begin that `rotary` turns."""
        return self.latent_value_dim


@dataclass(frozen=True, slots=True)
class VisibleSet:
    """Which keys a query at position t sees: all 0..t, or the sinks and a window of the last.

    `window` None sees all. Else, while t < sinks + window, all are seen; from then on positions
    0 .. sinks - 1 and t - window + 1 .. t. A pure function of the position, never of when a block
    was released.

    `scheme_length` is the least length for which keys are rotated, in models where that depends on
    a length; 0 in all others.
    """

    window: int | None = None
    sinks: int = 0
    scheme_length: int = 0

    def has_slid(self, position: int) -> bool:
        """Say whether the query at `position` no longer sees everything."""
        return self.window is not None and position >= self.sinks + self.window

    def first_recent(self, position: int) -> int:
        """Return the lowest position outside the sinks that the query at `position` sees."""
        if self.window is None or not self.has_slid(position):
            return 0
        return position - self.window + 1

    def rotated_length(self, position: int) -> int:
        """Return the length for which the token at `position` is rotated.

        Relative distances never exceed what a window holds, so it counts as no longer.
        """
        length = position + 1
        if self.window is not None:
            length = min(length, self.sinks + self.window)
        return max(length, self.scheme_length)

    def hidden_blocks(self, length: int, block_size: int) -> range:
        """Return the indexes of blocks that no query at position `length` or behind sees.

        Blocks wholly between the sinks and the lowest recent position; empty until the window slid.
        """
        if not self.has_slid(length):
            return range(0)
        return range(-(-self.sinks // block_size), self.first_recent(length) // block_size)

    def most_blocks(self, block_size: int) -> int | None:
        """Return the most blocks a sequence holds while tokens come singly; None: no limit.

        The sinks, and the blocks over which a window can lie, the next token's own included.
        """
        if self.window is None:
            return None
        return -(-self.sinks // block_size) + (self.window + block_size - 2) // block_size + 1

    def chunk_limit(self, length: int, wanted: int) -> int:
        """Return how many of `wanted` tokens may follow `length` others in one step.

        A chunk is no longer than the window, and none straddles the position where it slides first.
        """
        if self.window is None:
            return wanted
        border = self.window + self.sinks - length
        return min(wanted, border if border > 0 else self.window)

    def within(self, layer_window: int | None) -> "VisibleSet":
        """Return what a layer with a window of its own sees: the smaller of the two windows."""
        if layer_window is None:
            return self
        if self.window is not None and layer_window > self.sinks + self.window:
            return self
        return VisibleSet(layer_window)


@dataclass(frozen=True, slots=True)
class LayerGroup:
    """Layers whose tokens have equal shape and window, so that one block table serves all."""

    num_kv_heads: int
    key_dim: int
    value_dim: int
    window: int | None
    layer_indexes: tuple[int, ...]
    latent_value_dim: int = 0

    @property
    def elements_per_token(self) -> int:
        """Numbers stored per token in all layers of the group."""
        return len(self.layer_indexes) * self.num_kv_heads * (self.key_dim + self.value_dim)

    @property
    def scales_per_token(self) -> int:
        """Scales that int8 adds per token in all layers: for K and V, or a latent's two parts."""
        return len(self.layer_indexes) * self.num_kv_heads * 2

    def bytes_per_token(self, itemsize: int, kv_dtype: KVDtype = "auto") -> int:
        """Bytes one token takes in all layers of the group; see KVCacheSpec.bytes_per_token."""
        if kv_dtype == "auto":
            return itemsize * self.elements_per_token
        return self.elements_per_token + 4 * self.scales_per_token


@dataclass(frozen=True)
class KVCacheSpec:
    """All layers of a model, in order, and the groups they fall into."""

    layers: tuple[LayerSpec, ...]

    @cached_property
    def groups(self) -> tuple[LayerGroup, ...]:
        """Layer groups in the order of their first layer."""
        members: dict[LayerGroup, list[int]] = {}
        for index, layer in enumerate(self.layers):
            shape = (layer.num_kv_heads, layer.key_dim, layer.value_dim, layer.window)
            group = LayerGroup(*shape, (), layer.latent_value_dim)
            members.setdefault(group, []).append(index)
        return tuple(
            replace(group, layer_indexes=tuple(indexes)) for group, indexes in members.items()
        )

    @cached_property
    def group_index_of_layer(self) -> tuple[int, ...]:
        """For each layer, the index of its group in `groups`."""
        found = {
            layer_index: group_index
            for group_index, group in enumerate(self.groups)
            for layer_index in group.layer_indexes
        }
        return tuple(found[index] for index in range(len(self.layers)))

    @cached_property
    def places(self) -> tuple[tuple[int, int], ...]:
        """For each layer, the index of its group, and its own index in that group."""
        return tuple(
            (group_index, self.groups[group_index].layer_indexes.index(layer_index))
            for layer_index, group_index in enumerate(self.group_index_of_layer)
        )

    @cached_property
    def depends_on_length(self) -> bool:
        """Whether some layer rotates otherwise in long sessions."""
        rotaries = {layer.rotary for layer in self.layers if layer.rotary is not None}
        return any(rotary.depends_on_length for rotary in rotaries)

    def scheme_length(self, length: int) -> int:
        """Return the `scheme_length` of a session of so many tokens; see RotarySpec."""
        if not self.depends_on_length:
            return 0
        return max(
            layer.rotary.scheme_length(length) for layer in self.layers if layer.rotary is not None
        )

    def bytes_per_token(self, itemsize: int, kv_dtype: KVDtype = "auto") -> int:
        """Bytes one token takes in all layers, for a model whose numbers have `itemsize` bytes.

        In int8 each number has one byte, and each scale four.
        """
        return sum(group.bytes_per_token(itemsize, kv_dtype) for group in self.groups)


class DescribesCache(Protocol):
    """What `PagedKVCache.create` takes besides a spec: the configuration of a model."""

    def kv_spec(self) -> KVCacheSpec:
        """Return what one token stores in every layer."""
