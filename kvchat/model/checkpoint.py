"""Safetensors files -> weights of a Transformer, after every header was checked against its config.

The config alone says which tensors there must be, of which shape. A file that has one more, one
less or another shape is refused before any of it is read: nothing is skipped in silence.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch.overrides import TorchFunctionMode

from kvchat.errors import ModelError, fault
from kvchat.model.config import ModelConfig, shown
from kvchat.model.families import FAMILIES, Family
from kvchat.model.folder import ModelFolder, cannot_load
from kvchat.model.transformer import Transformer
from kvchat.untrusted import TensorEntry, read_safetensors_header

_HEAD = "lm_head.weight"
_FLOAT_DTYPES = ("F32", "F16", "BF16", "F64")
_ALIGNMENT = 64
"""Bytes; mapped weights off this boundary are copied, since vector code reads them slower."""


def load_transformer(
    folder: ModelFolder,
    *,
    dtype: torch.dtype,
    device: str,
    progress: Callable[[float], None] | None = None,
) -> Transformer:
    """Read the weights of `folder` into a Transformer of `dtype` on `device`, ready to answer.

    Takes the memory of the weights plus that of one tensor. On the CPU, weights stored in `dtype`
    stay mapped views of their file, which therefore must be replaced by rename, never in place.
    `progress` is called with the part that is read, from above 0 to 1. Raises ModelError.
    """
    with cannot_load(folder.path):
        stored = _stored_tensors(folder)
        with torch.device("meta"), _WithoutInitialValues():
            model = Transformer(folder.config)
        expected = {
            checkpoint_name(name, folder.config): (name, tuple(parameter.shape))
            for name, parameter in model.named_parameters()
        }
        _check_tensors(
            stored, {name: shape for name, (_, shape) in expected.items()}, folder.config
        )
        total_bytes = sum(stored[name].num_bytes for name in expected)
        done_bytes = 0
        weights: dict[str, torch.Tensor] = {}
        for path in folder.weight_files:
            names = [name for name in expected if stored[name].path == path]
            try:
                with safe_open(path, framework="pt", device="cpu") as file:
                    for name in names:
                        fault("checkpoint.tensor")
                        parameter_name, _ = expected[name]
                        weights[parameter_name] = _converted(file.get_tensor(name), dtype, device)
                        done_bytes += stored[name].num_bytes
                        if progress is not None:
                            progress(done_bytes / total_bytes)
            except SafetensorError as error:
                raise ModelError(f"{path.name} is damaged: {error}.") from error
        model.load_state_dict(weights, strict=True, assign=True)
    return model.requires_grad_(False).eval()


class _WithoutInitialValues(TorchFunctionMode):
    """Makes modules with uninitialised parameters: random numbers would be thrown away.

    On the meta device some of them even import the compiler, a second and a half at every start.
    """

    def __torch_function__(
        self,
        func: Callable[..., object],
        types: object,
        args: tuple[object, ...] = (),
        kwargs: Mapping[str, object] | None = None,
    ) -> object:
        if getattr(func, "__module__", None) == "torch.nn.init":
            return args[0] if args else dict(kwargs or {})["tensor"]
        return func(*args, **(kwargs or {}))


def checkpoint_name(parameter_name: str, config: ModelConfig) -> str:
    """Return the name that a parameter of the Transformer has in checkpoints of its family."""
    if parameter_name == _HEAD:
        return parameter_name
    return FAMILIES[config.model_type].tensor_prefix + parameter_name


@dataclass(frozen=True, slots=True)
class _StoredTensor:
    path: Path
    entry: TensorEntry

    @property
    def num_bytes(self) -> int:
        return self.entry.end - self.entry.begin


def _stored_tensors(folder: ModelFolder) -> dict[str, _StoredTensor]:
    """Check the headers of all weight files; return their tensors by name."""
    stored: dict[str, _StoredTensor] = {}
    for path in folder.weight_files:
        for name, entry in read_safetensors_header(path).tensors.items():
            if name in stored:
                raise ModelError(
                    f"tensor {shown(name)} is in {stored[name].path.name} and in {path.name}."
                )
            stored[name] = _StoredTensor(path, entry)
    return stored


def _check_tensors(
    stored: Mapping[str, _StoredTensor],
    expected: Mapping[str, tuple[int, ...]],
    config: ModelConfig,
) -> None:
    family = FAMILIES[config.model_type]
    for name, shape in expected.items():
        if name not in stored:
            untied = " and tie_word_embeddings is false" if name == _HEAD else ""
            raise ModelError(f"tensor {name} is missing{untied}.")
        entry = stored[name].entry
        if entry.shape != shape:
            raise ModelError(
                f"tensor {name} has shape {list(entry.shape)}, expected {list(shape)}."
            )
        if entry.dtype not in _FLOAT_DTYPES:
            raise ModelError(
                f"tensor {name} is stored as {entry.dtype}; use the full-precision folder."
            )
    for name in stored:
        if name not in expected and not _is_ignorable(name, family, config):
            raise ModelError(f"tensor {shown(name)} is unexpected.")


def _is_ignorable(name: str, family: Family, config: ModelConfig) -> bool:
    if name == _HEAD:
        return config.tie_word_embeddings  # the embedding is the head, whatever the file repeats
    return family.ignorable.fullmatch(name) is not None


def _converted(tensor: torch.Tensor, dtype: torch.dtype, device: str) -> torch.Tensor:
    converted = tensor.to(device, dtype)
    if converted.device.type == "cpu" and converted.data_ptr() % _ALIGNMENT:
        return converted.clone()
    return converted
