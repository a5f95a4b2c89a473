"""Safetensors files -> weights of a Transformer, after every header was checked against its config.

The config alone says which tensors there must be, of which shape. A file that has one more, one
less or another shape is refused before any of it is read: nothing is skipped in silence.
"""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch.overrides import TorchFunctionMode

from kvchat.errors import ModelError, fault
from kvchat.model.folder import ModelFolder, cannot_load
from kvchat.model.stored_tensors import StoredTensor, check_tensors, read_stored_tensors
from kvchat.model.tensor_names import CheckpointPlan, StoredRows, plan_checkpoint
from kvchat.model.transformer import Transformer
from kvchat.model.weight_intake import WeightIntake
from kvchat.native.kernels import Kernels

_MAPPED_BYTES = 64 << 20
"""How much of a file is read before it is mapped anew."""
_CHECKED_BYTES = 2 << 30
"""Up to here weights are looked through for numbers that are not finite, at gigabytes a second."""
_ALIGNMENT = 64
"""Bytes; mapped weights off this boundary are copied, since vector code reads them slower."""


def load_transformer(
    folder: ModelFolder,
    *,
    dtype: torch.dtype,
    device: str,
    weights: str = "float",
    kernels: Kernels | None = None,
    progress: Callable[[float], None] | None = None,
    tell: Callable[[str], None] | None = None,
) -> Transformer:
    """Read the weights of `folder` into a Transformer of `dtype` on `device`, ready to answer.

    Takes the memory of the weights plus that of one tensor and of some of the file. On the CPU,
    weights stored in `dtype` stay mapped views of their file, where it has them aligned; a file
    therefore must be replaced by rename, never in place.
    With `weights` "int8" or "int4" each matrix of a linear layer is rounded as it is read, for
    the native `kernels` if there are any, which change no bit of such a layer.
    `progress` is called with the part that is read, from above 0 to 1; `tell` with a sentence
    where numbers are not finite, which is not looked for in many weights that would not be read.
    Raises ModelError.
    """
    with cannot_load(folder.path):
        stored = read_stored_tensors(folder.weight_files)
        with torch.device("meta"), _WithoutInitialValues():
            model = Transformer(folder.config)
        shapes = {name: tuple(parameter.shape) for name, parameter in model.named_parameters()}
        plan = plan_checkpoint(folder.config, shapes, stored)
        check_tensors(stored, plan, folder.config)
        _check_repeated_head(stored, plan)
        total_bytes = sum(stored[name].num_bytes for name in plan.shapes)
        done_bytes = 0.0
        is_checked = tell is not None and (weights != "float" or total_bytes <= _CHECKED_BYTES)
        spoilt: list[str] = []
        read: dict[str, torch.Tensor] = {}
        intake = WeightIntake(model, weights, dtype=dtype, device=device, kernels=kernels)
        for path in folder.weight_files:
            inside = {
                name: rows
                for name, rows in plan.parameters.items()
                if stored[rows.tensor].path == path
            }
            for name, tensor in _read(path, inside, stored):
                if is_checked and not _is_finite(tensor):
                    spoilt.append(inside[name].tensor)
                if not intake.take(name, tensor):
                    read[name] = _converted(tensor, dtype, device)
                del tensor  # the last name of what it is mapped from
                rows = inside[name]
                whole = stored[rows.tensor]
                done_bytes += whole.num_bytes * rows.num_rows / whole.entry.shape[0]
                if progress is not None:
                    progress(min(1.0, done_bytes / total_bytes))
        model.load_state_dict(read, strict=True, assign=True)
        intake.finish()
    if tell is not None and spoilt:
        more = f" and {len(spoilt) - 1} more" if len(spoilt) > 1 else ""
        tell(
            f"{folder.name} is damaged: tensor {spoilt[0]}{more} holds numbers that are not "
            "finite, so replies may fail; download it again."
        )
    return model.requires_grad_(False).eval()


def _read(
    path: Path, inside: Mapping[str, StoredRows], stored: Mapping[str, StoredTensor]
) -> Iterator[tuple[str, torch.Tensor]]:
    """Yield parameters as they are stored, in the order of the file; views of its mapping.

    Pages that were read stay in memory as long as the mapping, so the file is mapped anew after
    some of it, and with it goes what was converted or copied. Raises ModelError.
    """
    names = sorted(inside, key=lambda name: stored[inside[name].tensor].entry.begin)
    try:
        while names:
            num_bytes = 0
            with safe_open(path, framework="pt", device="cpu") as file:
                while names and num_bytes < _MAPPED_BYTES:
                    fault("checkpoint.tensor")
                    rows = inside[names[0]]
                    num_bytes += stored[rows.tensor].num_bytes
                    yield names.pop(0), _rows_of(file.get_tensor(rows.tensor), rows)
    except SafetensorError as error:
        raise ModelError(f"{path.name} is damaged: {error}.") from error


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


def _check_repeated_head(stored: Mapping[str, StoredTensor], plan: CheckpointPlan) -> None:
    """Raise ModelError where a tied model's file has a head that is not its embedding.

    Some libraries compute with that head and some with the embedding; the words would differ.
    """
    embedding = plan.parameters["embed_tokens.weight"].tensor
    for head in {plan.head, "lm_head.weight"} & (stored.keys() - plan.shapes.keys()):
        if stored[head].entry.shape != stored[embedding].entry.shape:
            is_same = False
        else:
            is_same = _are_equal(head, stored[head], embedding, stored[embedding])
        if not is_same:
            raise ModelError(
                f"tensor {head} differs from the embedding, but tie_word_embeddings is true; "
                "set it to false in config.json if this head is meant."
            )


def _are_equal(
    first: str, stored_first: StoredTensor, second: str, stored_second: StoredTensor
) -> bool:
    """Compare two stored matrices of one shape, some rows at a time."""
    num_rows, num_columns = stored_first.entry.shape
    step = max(1, _MAPPED_BYTES // (8 * max(1, num_columns)))
    try:
        with (
            safe_open(stored_first.path, framework="pt", device="cpu") as file,
            safe_open(stored_second.path, framework="pt", device="cpu") as other,
        ):
            rows, other_rows = file.get_slice(first), other.get_slice(second)
            return all(
                torch.equal(
                    rows[start : start + step].double(), other_rows[start : start + step].double()
                )
                for start in range(0, num_rows, step)
            )
    except SafetensorError as error:
        raise ModelError(f"{stored_first.path.name} is damaged: {error}.") from error


def _rows_of(tensor: torch.Tensor, rows: StoredRows) -> torch.Tensor:
    """Return the rows of a stored tensor that are a parameter: a view, unless reordered."""
    part = tensor.narrow(0, rows.first_row, rows.num_rows)
    return part[rows.row_order()] if rows.pair_heads else part


def _is_finite(tensor: torch.Tensor) -> bool:
    """Say whether all numbers are finite; looks at each only where their sum is not."""
    return bool(tensor.sum().isfinite()) or bool(tensor.isfinite().all())


def _converted(tensor: torch.Tensor, dtype: torch.dtype, device: str) -> torch.Tensor:
    converted = tensor.to(device, dtype)
    if converted.device.type == "cpu" and converted.data_ptr() % _ALIGNMENT:
        return converted.clone()
    return converted
