"""KVRun: the keys and values that a query attends to in one call, whatever they are stored as.

A layer's storage is a few arrays with rows of heads and columns of slots; a KVRun is views of them,
so narrowing one copies nothing. It knows the layout of the arrays, and nothing of blocks.
"""

from typing import NamedTuple

from torch import Tensor

from kvchat.kv.spec import LayerGroup, LayerSpec

Arrays = tuple[Tensor, ...]
"""Numbers [R, S, D]; in int8 also scales [R, S] float32. R is K key heads, then K value heads; for
MLA numbers have one row, of latents, and scales two: of the compressed and of the rotary part."""


class KVRun(NamedTuple):
    """Keys [1, K, S, D] and values [1, K, S, Dv], floats or int8 codes with their scales.

    Scales are [1, K, S] float32, and None for floats. For MLA the value is the first lanes of the
    key, `key_scale` and `value_scale` belong to these, and `rotary_scale` to the other lanes.
    """

    key: Tensor
    value: Tensor
    key_scale: Tensor | None = None
    value_scale: Tensor | None = None
    rotary_scale: Tensor | None = None

    @classmethod
    def of(cls, arrays: Arrays, layer: LayerSpec | LayerGroup) -> "KVRun":
        """Return views of all slots of one layer's arrays."""
        numbers, heads = arrays[0], layer.num_kv_heads
        if layer.value_dim == 0:
            key = numbers[None]
            value = key.narrow(-1, 0, layer.latent_value_dim)
            if len(arrays) == 1:
                return cls(key, value)
            compressed, rotary = arrays[1][:1][None], arrays[1][1:][None]
            return cls(key, value, compressed, compressed, rotary)
        key, value = numbers[:heads][None], numbers[heads:][None]
        if len(arrays) == 1:
            return cls(key, value)
        return cls(key, value, arrays[1][:heads][None], arrays[1][heads:][None])

    def narrow(self, first: int, count: int) -> "KVRun":
        """Return `count` slots from `first` on, copying nothing."""
        key, value, key_scale, value_scale, rotary_scale = self
        key, value = key.narrow(2, first, count), value.narrow(2, first, count)
        if key_scale is None or value_scale is None:
            return KVRun(key, value, None, None, None)
        key_scale = key_scale.narrow(2, first, count)
        value_scale = value_scale.narrow(2, first, count)
        if rotary_scale is not None:
            rotary_scale = rotary_scale.narrow(2, first, count)
        return KVRun(key, value, key_scale, value_scale, rotary_scale)

    def select(self, slots: Tensor) -> "KVRun":
        """Return a copy of the slots [S] int64."""
        key, value, *scales = self
        return KVRun(
            key.index_select(2, slots),
            value.index_select(2, slots),
            *(scale if scale is None else scale.index_select(2, slots) for scale in scales),
        )
