"""Which tensors the weight files of a folder hold, and whether they are those its config asks for.

Reads headers only and needs no torch. The config alone says which tensors there must be, of which
shape: one more, one less or another shape is refused, so that nothing is skipped in silence.
"""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from kvchat.errors import ModelError
from kvchat.model.config import ModelConfig, shown
from kvchat.model.folder import INDEX, index_of_shards
from kvchat.model.tensor_names import CheckpointPlan
from kvchat.untrusted import TensorEntry, read_safetensors_header

FLOAT_DTYPES = ("F32", "F16", "BF16", "F64")


@dataclass(frozen=True, slots=True)
class StoredTensor:
    """A tensor, and the file it is in."""

    path: Path
    entry: TensorEntry

    @property
    def num_bytes(self) -> int:
        """What it takes in the file."""
        return self.entry.end - self.entry.begin


def read_stored_tensors(files: Sequence[Path]) -> dict[str, StoredTensor]:
    """Check the headers of all weight files of a folder; return their tensors by name.

    Raises UntrustedFile, or ModelError where two files have a tensor, or another one than the
    index says.
    """
    stored: dict[str, StoredTensor] = {}
    for path in files:
        for name, entry in read_safetensors_header(path).tensors.items():
            if name in stored:
                raise ModelError(
                    f"tensor {shown(name)} is in {stored[name].path.name} and in {path.name}."
                )
            stored[name] = StoredTensor(path, entry)
    _check_index(files, stored)
    return stored


def _check_index(files: Sequence[Path], stored: Mapping[str, StoredTensor]) -> None:
    """Raise ModelError where the index names another file than the one a tensor is in.

    Programs that believe the index would find nothing, or something else.
    """
    folder = files[0].parent if files else None
    is_single = [path.name for path in files] == ["model.safetensors"]
    if folder is None or is_single or not os.path.lexists(folder / INDEX):
        return
    for name, shard in index_of_shards(folder).items():
        if name in stored and stored[name].path.name != shard:
            raise ModelError(
                f"{INDEX} says that tensor {shown(name)} is in {shown(shard)}, but it is in "
                f"{shown(stored[name].path.name)}; download both again."
            )


def check_tensors(
    stored: Mapping[str, StoredTensor], plan: CheckpointPlan, config: ModelConfig
) -> None:
    """Raise ModelError for a tensor that is missing, unexpected, or of another shape or type."""
    for name, shape in plan.shapes.items():
        if name not in stored:
            untied = " and tie_word_embeddings is false" if name == plan.head else ""
            raise ModelError(f"tensor {name} is missing{untied}.")
        entry = stored[name].entry
        if entry.shape != shape:
            raise ModelError(
                f"tensor {name} has shape {list(entry.shape)}, expected {list(shape)}."
            )
        if entry.dtype not in FLOAT_DTYPES:
            raise ModelError(
                f"tensor {name} is stored as {entry.dtype}; use the full-precision folder."
            )
    for name in stored:
        if name not in plan.shapes and not _is_ignorable(name, plan, config):
            raise ModelError(f"tensor {shown(name)} is unexpected.")


def _is_ignorable(name: str, plan: CheckpointPlan, config: ModelConfig) -> bool:
    if name in (plan.head, "lm_head.weight"):
        return config.tie_word_embeddings  # the embedding is the head, whatever the file repeats
    return config.family.ignorable.fullmatch(name) is not None
