"""The C interface of a whole decoder's step: Decoder and DecoderStep, as the library wants them.

Addresses and numbers only; what they mean in tensors is said in `model/native_decoder.py`.
"""

import ctypes
from collections.abc import Callable
from weakref import finalize

from kvchat.native.attention import Layer
from kvchat.native.int_linear import IntWeights
from kvchat.native.kernels import Kernels

SILU, GELU_TANH = range(2)
"""How the library calls activations."""


class DecoderLayer(ctypes.Structure):
    """One layer's weights: see `struct DecoderLayer` in decoder.h, which this mirrors."""

    _fields_ = (
        *((name, ctypes.c_void_p) for name in ("before_attention", "after_attention")),
        *((name, ctypes.c_void_p) for name in ("before_mlp", "after_mlp")),
        *((name, ctypes.c_void_p) for name in ("query_norm", "key_norm")),
        *((name, IntWeights) for name in ("query", "key", "value", "output")),
        *((name, IntWeights) for name in ("gate", "up", "down")),
        ("kind", ctypes.c_int64),
        ("attention", Layer),
    )


class Decoder(ctypes.Structure):
    """All layers: see `struct Decoder` in decoder.h, which this mirrors."""

    _fields_ = (
        *((name, ctypes.c_int64) for name in ("num_layers", "hidden_size", "intermediate_size")),
        *((name, ctypes.c_int64) for name in ("num_heads", "num_kv_heads", "head_dim")),
        *((name, ctypes.c_int64) for name in ("has_head_norms", "activation")),
        *((name, ctypes.c_double) for name in ("eps", "residual_scale", "logit_scale")),
        ("layers", ctypes.POINTER(DecoderLayer)),
        ("norm", ctypes.c_void_p),
        ("head", IntWeights),
    )


class StepKind(ctypes.Structure):
    """What layers of one kind have in a step: see `struct StepKind` in decoder.h."""

    _fields_ = (
        ("plan", ctypes.c_void_p),
        ("slots", ctypes.c_void_p),
        ("rotary_dim", ctypes.c_int64),
        *((name, ctypes.c_void_p) for name in ("cosines", "sines", "places")),
        *((name, ctypes.c_void_p) for name in ("turned_cosines", "turned_sines")),
    )


class DecoderStep(ctypes.Structure):
    """One step: see `struct DecoderStep` in decoder.h, which this mirrors."""

    _fields_ = (
        ("num_tokens", ctypes.c_int64),
        ("hidden", ctypes.c_void_p),
        ("kinds", ctypes.POINTER(StepKind)),
        ("num_asked", ctypes.c_int64),
        *((name, ctypes.c_void_p) for name in ("asked", "logits")),
    )


class DecoderProgram:
    """A decoder in the library, with memory that its steps share; for one thread.

    `kept` owns what the decoder names. It lives until the library has let go of that, which may be
    a moment after a step: a thread that was held up reads on.
    """

    def __init__(self, kernels: Kernels, decoder: Decoder, kept: object) -> None:
        library = kernels.library
        new = library.kvchat_decoder_new
        new.argtypes, new.restype = [ctypes.c_void_p], ctypes.c_void_p
        free = library.kvchat_decoder_free
        free.argtypes, free.restype = [ctypes.c_void_p], None
        self._run = library.kvchat_decoder_run
        self._run.argtypes = [ctypes.c_void_p, ctypes.c_void_p, *(ctypes.c_int64,) * 2]
        self._run.restype = None
        self._address = new(ctypes.addressof(decoder))
        finalize(self, _free, free, self._address, kept)

    def run(self, step: DecoderStep, first_layer: int, end_layer: int) -> None:
        """Run some layers of a step, and its logits behind the last; what it names is alive."""
        self._run(self._address, ctypes.addressof(step), first_layer, end_layer)


def _free(free: Callable[[int], None], address: int, kept: object) -> None:
    free(address)
    del kept  # not before
