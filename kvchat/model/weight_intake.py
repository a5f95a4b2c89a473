"""WeightIntake: puts weights into a Transformer as they are read, rounded if that is wanted.

Only layers change that are `nn.Linear`: the transformer's own code knows nothing of precision. What
is small or sensitive (norms, biases, routers) stays in float.
"""

from typing import Literal, TypeAlias, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional

from kvchat.model.int4_linear import GROUP_SIZE, Int4Linear, Int4Weights
from kvchat.model.int8_linear import Int8Linear, Int8Weights
from kvchat.model.integer_product import CUDA_MULTIPLE, MAX_SIZE
from kvchat.model.linear import Float32Linear
from kvchat.model.packed_linear import PackedLinear
from kvchat.model.transformer import Transformer
from kvchat.model.weight_memory import WeightMemory
from kvchat.native.float_linear import FloatLinearFunction
from kvchat.native.int_linear import IntLinearFunctions
from kvchat.native.kernels import Kernels

Rounding: TypeAlias = Literal["float", "int8", "int4"]
"""How the matrices of linear layers are kept: in the dtype of the model, or rounded to so much."""

_HEAD = "lm_head"
_TABLE = "embed_tokens"


class StoredEmbedding(nn.Module):
    """An embedding whose table stays as it is stored; only the rows looked up are converted."""

    table: Tensor

    def __init__(self, table: Tensor, dtype: torch.dtype) -> None:
        super().__init__()
        self.register_buffer("table", table, persistent=False)
        self.dtype = dtype

    def forward(self, token_ids: Tensor) -> Tensor:
        """Map [T] int64 to [T, hidden_size] in the dtype of the model."""
        return functional.embedding(token_ids, self.table).to(self.dtype)


class WeightIntake:
    """Takes the tensors of a checkpoint one by one into a model without weights."""

    def __init__(
        self,
        model: Transformer,
        rounding: str,
        *,
        dtype: torch.dtype,
        device: str,
        kernels: Kernels | None,
    ) -> None:
        assert rounding in get_args(Rounding), rounding
        self._model = model
        self._rounding = rounding
        self._dtype = dtype
        self._device = device
        self._kernels = kernels
        self._memory = WeightMemory()

    def take(self, name: str, tensor: Tensor) -> bool:
        """Keep the tensor of a parameter rounded; False leaves it to the caller, as it is.

        `tensor` is as stored, of any float type. A tied embedding is kept as it is, and its rounded
        copy becomes the head.
        """
        if self._rounding == "float":
            return False
        module_name, _, kind = name.rpartition(".")
        if kind != "weight":
            return False
        if module_name == _TABLE:
            table = tensor.to(self._device)
            if self._model.lm_head is None:
                head = self._rounded(_HEAD, table, None)
                if head is None:
                    return False
                self._model.lm_head = head
            self._model.set_submodule(_TABLE, StoredEmbedding(table, self._dtype))
            return True
        module = self._model.get_submodule(module_name)
        if not isinstance(module, nn.Linear):
            return False
        rounded = self._rounded(module_name, tensor.to(self._device), module.bias)
        if rounded is None:
            return False
        self._model.set_submodule(module_name, rounded)
        return True

    def finish(self) -> None:
        """Let what stayed in float choose its products; all weights are in their places."""
        if self._device != "cpu" or self._dtype != torch.float32:
            return
        function = None if self._kernels is None else FloatLinearFunction(self._kernels)
        for name, module in list(self._model.named_modules()):
            if type(module) is nn.Linear:
                layer = Float32Linear(module.weight, module.bias, function)
                self._model.set_submodule(name, layer)
        if self._model.lm_head is None:
            self._model.lm_head = Float32Linear(self._model.embed_tokens.weight, None, function)

    def _rounded(self, name: str, weight: Tensor, bias: nn.Parameter | None) -> nn.Module | None:
        """Return the layer of a matrix; None if it stays in float.

        The head is rounded to 8 bits at least: it decides each word and is read once a token.
        """
        num_outputs, num_inputs = weight.shape
        if num_inputs > MAX_SIZE:
            return None
        if self._device == "cuda" and (num_inputs % CUDA_MULTIPLE or num_outputs % CUDA_MULTIPLE):
            return None
        if self._rounding == "int8" or name == _HEAD or num_inputs % GROUP_SIZE:
            int8 = Int8Weights.of(weight)
            if self._kernels is not None:
                return PackedLinear(IntLinearFunctions(self._kernels), int8, bias, self._memory)
            return Int8Linear(int8, bias)
        int4 = Int4Weights.of(weight)
        if self._kernels is not None:
            return PackedLinear(IntLinearFunctions(self._kernels), int4, bias, self._memory)
        return Int4Linear(int4, bias)
