"""NativeDecoder: a whole step of a Transformer over a paged cache in one native call.

What the modules of `transformer.py` compute one by one, for the models most people have: dense
layers whose matrices the native kernels multiply, in float32, on a CPU. The modules stay the slow
truth; `of` compares with them before anything is trusted, and other models keep to them.
"""

import logging
from dataclasses import replace

import torch
from torch import Tensor, nn

from kvchat.kv.attention_metadata import AttentionMetadata
from kvchat.kv.paged_cache import PagedKVCache
from kvchat.kv.rotary import rotation
from kvchat.model.config import ModelConfig
from kvchat.model.decoder_description import DecoderDescription, is_known
from kvchat.model.int8_linear import Int8Weights
from kvchat.model.layer_windows import LayerWindows
from kvchat.model.linear import Float32Linear
from kvchat.model.packed_linear import PackedLinear
from kvchat.model.rope_scaling import RopeConfig
from kvchat.model.rotation_table import RotationTable
from kvchat.model.transformer import Transformer
from kvchat.native.decoder import DecoderProgram, DecoderStep, StepKind
from kvchat.native.float_linear import MAX_ROWS, FloatLinearFunction
from kvchat.native.int_linear import IntLinearFunctions
from kvchat.native.kernels import Kernels

MAX_UNASKED = 16
"""Steps of up to so many tokens are one call; of longer ones each layer is, so they can stop."""
TOLERANCE = 1e-2
"""By how much of the largest logit a probe may be off: a code of int8 that rounds to the next one
changes that much, and what is wrong changes more."""

log = logging.getLogger(__name__)


class NativeDecoder:
    """One model over one cache; made by `of`. For the thread that owns the cache."""

    def __init__(self, model: Transformer, cache: PagedKVCache, kernels: Kernels) -> None:
        self._model, self._cache = model, cache
        self._description = DecoderDescription(model, cache)
        self._program = DecoderProgram(
            kernels, self._description.decoder, (model, cache, self._description)
        )
        self._kinds = self._description.kinds
        self._step_kinds = (StepKind * len(self._kinds))()
        self._num_outputs = int(self._description.decoder.head.num_outputs)
        self._tables = {
            rotary: RotationTable(rotary)
            for _, rotary in self._kinds
            if rotary is not None and not rotary.depends_on_length
        }

    @classmethod
    def of(cls, model: object, cache: object) -> "NativeDecoder | None":
        """Return it for a model and a cache that are fit for it, or None for the modules' way."""
        if not isinstance(model, Transformer) or not isinstance(cache, PagedKVCache):
            return None
        if cache.kernels is None or not is_known(model, cache):
            return None
        if not _agrees(cache.kernels, model):
            log.warning("The native decoder computes nonsense here; layers are run one by one.")
            return None
        return cls(model, cache, cache.kernels)

    def logits(self, token_ids: Tensor, positions: Tensor, rows: Tensor) -> Tensor | None:
        """Compute what `Transformer.forward` does for the reserved step; see there.

        None leaves the step to that: where torch attends to some row, or multiplies so many rows
        quicker. A step of few tokens is over before anybody could want to stop it; longer ones ask
        before each layer. Raises StepStopped.
        """
        num_tokens, num_layers = len(token_ids), len(self._model.layers)
        metadata = self._cache.kernel_plans()
        if metadata is None or (self._description.is_float and num_tokens > MAX_ROWS):
            return None
        self._cache.check_wanted()
        hidden = self._model.embedded(token_ids)  # [T, hidden_size]
        logits = torch.empty(len(rows), self._num_outputs)
        alive = self._fill_kinds(metadata, positions)
        step = DecoderStep(
            num_tokens,
            hidden.data_ptr(),
            self._step_kinds,
            len(rows),
            rows.data_ptr(),
            logits.data_ptr(),
        )
        layers_at_once = num_layers if num_tokens <= MAX_UNASKED else 1
        for first in range(0, num_layers, layers_at_once):
            if first > 0:
                self._cache.check_wanted()
            self._program.run(step, first, first + layers_at_once)
        del alive
        cap = self._model.config.logit_soft_cap
        return logits if cap is None else cap * torch.tanh(logits / cap)

    def _fill_kinds(self, metadata: list[AttentionMetadata], positions: Tensor) -> list[Tensor]:
        """Write down what each kind of layer has in this step; return the tensors it is in."""
        alive = [positions]
        lengths = self._cache.rotary_lengths() if self._model.depends_on_length else None
        num_positions = int(positions.max()) + 1
        for (group_index, rotary), kind in zip(self._kinds, self._step_kinds, strict=True):
            attention, planned = self._cache.kernel_attention[group_index], metadata[group_index]
            assert attention is not None and planned.kernel is not None
            kind.plan, kind.slots = attention.plan_address, planned.slots.data_ptr()
            if rotary is None:
                continue
            kind.rotary_dim = rotary.rotary_dim
            table = self._tables.get(rotary)
            if table is None:
                cosine, sine = rotation(positions, rotary, torch.float32, lengths=lengths)
            else:
                cosine, sine = table.tables(num_positions)
                kind.places = positions.data_ptr()
            kind.cosines, kind.sines = cosine.data_ptr(), sine.data_ptr()
            alive += (cosine, sine)
            kind.turned_cosines = kind.turned_sines = None
            if planned.kernel.turn is not None:
                cosine, sine = planned.kernel.turn.rotation(rotary, torch.float32, "cpu")
                kind.turned_cosines, kind.turned_sines = cosine.data_ptr(), sine.data_ptr()
                alive += (cosine, sine)
        return alive


_PROBED: dict[tuple[object, ...], bool] = {}


def _agrees(kernels: Kernels, model: Transformer) -> bool:
    """Compare a small model of the same family with its modules, once per library and family."""
    is_rounded = any(isinstance(module, PackedLinear) for module in model.modules())
    question = (kernels.path, model.config.model_type, model.config.activation, is_rounded)
    if question not in _PROBED:
        _PROBED[question] = _probe(kernels, _small(model.config), is_rounded=is_rounded)
    return _PROBED[question]


def _small(config: ModelConfig) -> ModelConfig:
    return replace(
        config,
        vocab_size=40,
        hidden_size=24,
        intermediate_size=40,
        num_layers=2,
        num_heads=4,
        num_kv_heads=2,
        head_dim=8,
        windows=LayerWindows(),
        rope=RopeConfig(),
        local_rope=None,
        attention_scale=None,
        tie_word_embeddings=False,
    )


def _probe(kernels: Kernels, config: ModelConfig, *, is_rounded: bool) -> bool:
    """Whether native logits of a model with random weights are those of its modules."""
    model = Transformer(config)
    model.initialize(torch.Generator().manual_seed(0))
    floats, integers = FloatLinearFunction(kernels), IntLinearFunctions(kernels)
    for name, module in list(model.named_modules()):
        if type(module) is nn.Linear:
            weight = module.weight.detach() * 10.0
            bias = module.bias
            layer: nn.Module = Float32Linear(weight, bias, floats)
            if is_rounded:
                layer = PackedLinear(integers, Int8Weights.of(weight), bias)
            model.set_submodule(name, layer)
    token_ids, rows = torch.arange(5), torch.tensor([1, 4])

    def cache() -> PagedKVCache:
        return PagedKVCache(config.kv_spec(), 4, block_size=8, kernels=kernels)

    with torch.inference_mode():
        of_modules, of_native = cache(), cache()
        with of_modules.reserve([(of_modules.open(), 5)]):
            expected = model(token_ids, torch.arange(5), of_modules, rows)
        with of_native.reserve([(of_native.open(), 5)]):
            decoder = NativeDecoder(model, of_native, kernels)
            found = decoder.logits(token_ids, torch.arange(5), rows)
    if found is None:
        return False
    return torch.allclose(found, expected, atol=TOLERANCE * float(expected.abs().max()), rtol=0.0)
