"""The C interface of the attention kernel: Layer and KernelPlan, as the library wants them.

Addresses and numbers only; what they mean in tensors is said in `kv/kernel_attention.py`.
"""

import ctypes
from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from weakref import finalize

from kvchat.native.kernels import Kernels

FLOAT32, BFLOAT16, FLOAT16, INT8 = range(4)
"""How the kernel calls types of numbers."""


class Layer(ctypes.Structure):
    """One layer's arrays: see `struct Layer` in attention_layer.h, which this mirrors."""

    _fields_ = (
        *((name, ctypes.c_int64) for name in ("kv_type", "query_type", "num_kv_heads", "group")),
        *((name, ctypes.c_int64) for name in ("key_dim", "value_dim")),
        *((name, ctypes.c_void_p) for name in ("key", "value")),
        *((name, ctypes.c_int64) for name in ("key_head_stride", "key_slot_stride")),
        *((name, ctypes.c_int64) for name in ("value_head_stride", "value_slot_stride")),
        *((name, ctypes.c_void_p) for name in ("key_scale", "value_scale")),
        *((name, ctypes.c_int64) for name in ("scale_head_stride", "scale_slot_stride")),
        *((name, ctypes.c_double) for name in ("scale", "soft_cap")),
        *((name, ctypes.c_void_p) for name in ("query", "turned")),
        *((name, ctypes.c_int64) for name in ("query_token_stride", "query_head_stride")),
        ("out", ctypes.c_void_p),
        *((name, ctypes.c_int64) for name in ("out_token_stride", "out_head_stride", "num_new")),
        *((name, ctypes.c_void_p) for name in ("new_slots", "new_key", "new_value")),
        *((name, ctypes.c_int64) for name in ("new_key_token_stride", "new_key_head_stride")),
        *((name, ctypes.c_int64) for name in ("new_value_token_stride", "new_value_head_stride")),
    )


@dataclass(frozen=True, slots=True)
class Row:
    """One row of a step: see `struct Row` in attention_plan.h, which this mirrors."""

    first_token: int
    count: int
    start: int
    window: int | None
    sinks: int
    blocks: Sequence[int]


class KernelPlan:
    """What the rows of one step attend to, cut into pieces for all layers of a group.

    Blocks have `block_size` tokens. Filled anew for each step; not for two threads at once.
    """

    def __init__(self, kernels: Kernels, block_size: int) -> None:
        library = kernels.library
        self._block_size = block_size
        new = library.kvchat_plan_new
        new.argtypes, new.restype = [], ctypes.c_void_p
        free = library.kvchat_plan_free
        free.argtypes, free.restype = [ctypes.c_void_p], None
        self._fill = library.kvchat_plan_fill
        self._fill.argtypes = [
            ctypes.c_void_p,
            *(ctypes.c_int64,) * 2,
            *(ctypes.c_void_p,) * 2,
            ctypes.c_int64,
        ]
        self._fill.restype = ctypes.c_int64
        self._attend = library.kvchat_attend
        self._attend.argtypes, self._attend.restype = [ctypes.c_void_p, ctypes.c_void_p], None
        self.address: int = new()
        """Where the library has it."""
        finalize(self, free, self.address)

    def fill(self, rows: Sequence[Row]) -> int:
        """Plan a step; return how many keys a head reads in a layer, shared ones counted once."""
        tables, numbers = array("i"), array("q")
        for row in rows:
            window = -1 if row.window is None else row.window
            place = row.first_token, row.count, row.start
            numbers.extend((*place, window, row.sinks, len(tables)))
            tables.extend(row.blocks)
        return int(
            self._fill(
                self.address,
                self._block_size,
                len(rows),
                numbers.buffer_info()[0],
                tables.buffer_info()[0],
                len(tables),
            )
        )

    def attend(self, layer: Layer) -> None:
        """Store and attend in one layer; everything it names must be alive."""
        self._attend(self.address, ctypes.addressof(layer))
