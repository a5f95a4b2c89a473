"""DecoderDescription: a Transformer and its cache as the native decoder wants them."""

import torch
from torch import Tensor, nn

from kvchat.kv.kernel_attention import describe
from kvchat.kv.paged_cache import PagedKVCache
from kvchat.kv.spec import RotarySpec
from kvchat.model.attention import GroupedQueryAttention
from kvchat.model.layers import GatedMLP, RMSNorm
from kvchat.model.linear import Float32Linear
from kvchat.model.packed_linear import PackedLinear
from kvchat.model.transformer import DecoderLayer as LayerModule
from kvchat.model.transformer import Transformer
from kvchat.native.decoder import GELU_TANH, SILU, Decoder, DecoderLayer
from kvchat.native.int_linear import IntWeights

ACTIVATIONS = {"silu": SILU, "gelu_tanh": GELU_TANH}

Kind = tuple[int, RotarySpec | None]
"""A layer group, and how its heads rotate: what layers have in common in a step."""


class DecoderDescription:
    """The addresses of all that the decoder reads, and the tensors that have to live for that.

    kinds     what kinds of layers there are, as the layers number them
    is_float  whether some matrix is in float32, which few rows only are multiplied with natively
    """

    def __init__(self, model: Transformer, cache: PagedKVCache) -> None:
        config, spec = model.config, cache.spec
        self._kept: list[Tensor] = []
        self.is_float = False
        self.kinds: list[Kind] = []
        layers = (DecoderLayer * config.num_layers)()
        for index, module in enumerate(model.layers):
            assert isinstance(module, LayerModule)
            group_index, place = spec.places[index]
            layer = spec.layers[index]
            kind = group_index, layer.rotary
            if kind not in self.kinds:
                self.kinds.append(kind)
            layers[index] = self._layer(module)
            layers[index].kind = self.kinds.index(kind)
            layers[index].attention = describe(layer, cache.storages[group_index].views[place])
        assert model.lm_head is not None
        self.decoder = Decoder(
            num_layers=config.num_layers,
            hidden_size=config.hidden_size,
            intermediate_size=config.intermediate_size,
            num_heads=config.num_heads,
            num_kv_heads=config.num_kv_heads,
            head_dim=config.head_dim,
            has_head_norms=config.family.qk_norm == "head",
            activation=ACTIVATIONS[config.activation],
            eps=config.rms_norm_eps,
            residual_scale=config.residual_scale,
            logit_scale=config.logit_scale,
            layers=layers,
            norm=self._norm(model.norm),
            head=self._matrix(model.lm_head),
        )

    def _layer(self, module: LayerModule) -> DecoderLayer:
        names, attention, mlp = module.norm_names, module.self_attn, module.mlp
        assert isinstance(attention, GroupedQueryAttention) and isinstance(mlp, GatedMLP)
        layer = DecoderLayer(
            query=self._matrix(attention.q_proj),
            key=self._matrix(attention.k_proj),
            value=self._matrix(attention.v_proj),
            output=self._matrix(attention.o_proj),
            gate=self._matrix(mlp.gate_proj),
            up=self._matrix(mlp.up_proj),
            down=self._matrix(mlp.down_proj),
        )
        for place in ("before_attention", "after_attention", "before_mlp", "after_mlp"):
            name = getattr(names, place)
            if name is not None:
                setattr(layer, place, self._norm(getattr(module, name)))
        if attention.qk_norm is not None:
            layer.query_norm = self._norm(attention.q_norm)
            layer.key_norm = self._norm(attention.k_norm)
        return layer

    def _norm(self, norm: RMSNorm) -> int:
        weight = norm.weight.detach()
        return self._address(1.0 + weight if norm.is_unit_offset else weight)

    def _matrix(self, linear: nn.Module) -> IntWeights:
        if isinstance(linear, PackedLinear):
            return linear.bound()
        assert isinstance(linear, Float32Linear)
        self.is_float = True
        num_outputs, num_inputs = linear.weight.shape
        matrix = IntWeights(num_inputs, num_outputs, self._address(linear.weight))
        if linear.bias is not None:
            matrix.bias = self._address(linear.bias)
        return matrix

    def _address(self, tensor: Tensor) -> int:
        """Return where a tensor lies, which is kept from now on: addresses hold nothing."""
        tensor = tensor.detach().contiguous()
        self._kept.append(tensor)
        return tensor.data_ptr()


def is_known(model: Transformer, cache: PagedKVCache) -> bool:
    """Whether the decoder knows all that a model does, and the cache is one for it."""
    config = model.config
    if config.latent is not None or config.experts is not None:
        return False
    if config.activation not in ACTIVATIONS or cache.spec != config.kv_spec():
        return False
    has_kernel = all(each is not None for each in cache.kernel_attention)
    if not has_kernel or any(each.dtype != torch.float32 for each in cache.storages):
        return False
    norms = [module for module in model.modules() if isinstance(module, RMSNorm)]
    if any(norm.weight.dtype != torch.float32 for norm in norms):
        return False
    if model.lm_head is None or not _is_one_kind([model.lm_head]):
        return False
    for module in model.layers:
        assert isinstance(module, LayerModule)
        attention, mlp = module.self_attn, module.mlp
        for parent, names in (
            (attention, ("q_proj", "k_proj", "v_proj")),
            (attention, ("o_proj",)),
            (mlp, ("gate_proj", "up_proj")),
            (mlp, ("down_proj",)),
        ):
            if not _is_one_kind([parent.get_submodule(name) for name in names]):
                return False
    return True


def _is_one_kind(linears: list[nn.Module]) -> bool:
    """Whether layers with the same inputs are all rounded, or all in float32."""
    if all(type(each) is PackedLinear for each in linears):
        return True
    return all(
        type(each) is Float32Linear and each.weight.dtype == torch.float32 for each in linears
    )
