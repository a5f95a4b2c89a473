"""What one token stores in every layer of a model: LayerSpec, LayerGroup, KVCacheSpec.

Plain numbers, no tensors. A model describes itself with a KVCacheSpec, and every cache is built
from one, so `attend` needs no argument besides query, key and value.
"""

from dataclasses import dataclass
from functools import cached_property


@dataclass(frozen=True, slots=True)
class RotarySpec:
    """Rotary position embedding of a layer (Su et al. 2021, RoFormer), half-split layout.

    `inverse_frequencies` has one number per rotated channel pair, in radians per position; the
    first `2 * len(inverse_frequencies)` channels of a head turn. `attention_factor` scales cosine
    and sine once, when the model rotates; the second rotation of sink queries must not apply it.
    """

    inverse_frequencies: tuple[float, ...]
    attention_factor: float = 1.0

    @property
    def rotary_dim(self) -> int:
        """Number of channels of a head that turn."""
        return 2 * len(self.inverse_frequencies)


@dataclass(frozen=True, slots=True)
class LayerSpec:
    """Shape and score arithmetic of one attention layer.

    `value_dim` is 0 for MLA, whose values are the first lanes of the stored latent. `window` is the
    number of keys a query of this layer sees, itself included; None sees all. Scores are
    `scale * q.k`, then `soft_cap * tanh(scores / soft_cap)` when a cap is set.
    """

    num_heads: int
    num_kv_heads: int
    key_dim: int
    value_dim: int
    scale: float
    window: int | None = None
    soft_cap: float | None = None
    rotary: RotarySpec | None = None


@dataclass(frozen=True, slots=True)
class VisibleSet:
    """Which keys a query at position t sees: all 0..t, or the sinks and a window of the last.

    `window` None sees all. Else, while t < sinks + window, all are seen; from then on positions
    0 .. sinks - 1 and t - window + 1 .. t. A pure function of the position, never of when a block
    was released.
    """

    window: int | None = None
    sinks: int = 0

    def has_slid(self, position: int) -> bool:
        """Say whether the query at `position` no longer sees everything."""
        return self.window is not None and position >= self.sinks + self.window

    def first_recent(self, position: int) -> int:
        """Return the lowest position outside the sinks that the query at `position` sees."""
        if self.window is None or not self.has_slid(position):
            return 0
        return position - self.window + 1

    def hidden_blocks(self, length: int, block_size: int) -> range:
        """Return the indexes of blocks that no query at position `length` or behind sees.

        Blocks wholly between the sinks and the lowest recent position; empty until the window slid.
        """
        if not self.has_slid(length):
            return range(0)
        return range(-(-self.sinks // block_size), self.first_recent(length) // block_size)

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

    @property
    def elements_per_token(self) -> int:
        """Numbers stored per token in all layers of the group."""
        return len(self.layer_indexes) * self.num_kv_heads * (self.key_dim + self.value_dim)


@dataclass(frozen=True)
class KVCacheSpec:
    """All layers of a model, in order, and the groups they fall into."""

    layers: tuple[LayerSpec, ...]

    @cached_property
    def groups(self) -> tuple[LayerGroup, ...]:
        """Layer groups in the order of their first layer."""
        members: dict[tuple[int, int, int, int | None], list[int]] = {}
        for index, layer in enumerate(self.layers):
            shape = (layer.num_kv_heads, layer.key_dim, layer.value_dim, layer.window)
            members.setdefault(shape, []).append(index)
        return tuple(LayerGroup(*shape, tuple(indexes)) for shape, indexes in members.items())

    @cached_property
    def group_index_of_layer(self) -> tuple[int, ...]:
        """For each layer, the index of its group in `groups`."""
        found = {
            layer_index: group_index
            for group_index, group in enumerate(self.groups)
            for layer_index in group.layer_indexes
        }
        return tuple(found[index] for index in range(len(self.layers)))

    def bytes_per_token(self, itemsize: int) -> int:
        """Bytes one token takes in all layers, for elements of `itemsize` bytes."""
        return itemsize * sum(group.elements_per_token for group in self.groups)
