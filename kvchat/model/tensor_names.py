"""Where in a checkpoint each parameter of a Transformer is: tensor, rows, and their order.

Most parameters have a tensor of their own, under our own name behind a prefix. Some families pack
several linears into one tensor, or name parts of a layer otherwise, or store the channels that
rotate as neighboring pairs where our rotation wants halves of a head.
"""

from collections.abc import Container, Mapping
from dataclasses import dataclass

from kvchat.model.config import ModelConfig

Shape = tuple[int, ...]

_PREFIXES = ("model.", "language_model.model.", "model.language_model.")
_HEAD = "lm_head.weight"


@dataclass(frozen=True, slots=True)
class StoredRows:
    """A parameter in a checkpoint: `num_rows` rows of a tensor, from `first_row` on.

    pair_heads  how many heads its rows are; of each head the last `pair_rows` rows are pairs of
                neighbors, to be reordered into halves. 0 where rows are as they should be.
    """

    tensor: str
    first_row: int
    num_rows: int
    pair_heads: int = 0
    pair_rows: int = 0

    def row_order(self) -> list[int]:
        """Return, for each row of the parameter, which of its stored rows it is."""
        size = self.num_rows // self.pair_heads
        order = []
        for head in range(self.pair_heads):
            first = head * size
            pairs = range(first + size - self.pair_rows, first + size)
            order += [*range(first, pairs.start), *pairs[::2], *pairs[1::2]]
        return order


@dataclass(frozen=True, slots=True)
class CheckpointPlan:
    """Which tensors a checkpoint must have, of which shapes, and what of them each parameter is."""

    shapes: Mapping[str, Shape]
    parameters: Mapping[str, StoredRows]
    head: str
    """Name of the head's tensor, whether or not it is expected."""


def plan_checkpoint(
    config: ModelConfig, parameters: Mapping[str, Shape], stored: Container[str]
) -> CheckpointPlan:
    """Return what a checkpoint holds for parameters of these shapes.

    stored  names of the tensors there are, by which the prefix is found out
    """
    found = [prefix for prefix in _PREFIXES if f"{prefix}embed_tokens.weight" in stored]
    prefix = found[0] if found else _PREFIXES[0]
    head = f"language_model.{_HEAD}" if prefix == "language_model.model." else _HEAD
    shapes: dict[str, Shape] = {}
    rows: dict[str, StoredRows] = {}
    for name, shape in parameters.items():
        if name == _HEAD:
            tensor, first_row, whole = head, 0, shape
        else:
            inner, first_row, whole = _packed(config, name, parameters)
            tensor = prefix + _renamed(config, inner)
        pair_heads, pair_rows = _pairs(config, name)
        shapes[tensor] = whole
        rows[name] = StoredRows(tensor, first_row, shape[0], pair_heads, pair_rows)
    return CheckpointPlan(shapes, rows, head)


def _packed(
    config: ModelConfig, name: str, parameters: Mapping[str, Shape]
) -> tuple[str, int, Shape]:
    """Return the tensor that holds a parameter, its first row there, and the tensor's shape."""
    for packed in config.family.packed:
        for part in packed.parts:
            before, found, kind = name.partition(f"{part}.")
            if not found:
                continue
            names = [f"{before}{each}.{kind}" for each in packed.parts]
            sizes = [parameters[each][0] for each in names]
            first_row = sum(sizes[: names.index(name)])
            return f"{before}{packed.name}.{kind}", first_row, (sum(sizes), *parameters[name][1:])
    return name, 0, parameters[name]


def _renamed(config: ModelConfig, name: str) -> str:
    for ours, theirs in config.family.renamed:
        name = name.replace(ours, theirs)
    return name


def _pairs(config: ModelConfig, name: str) -> tuple[int, int]:
    """Return how many heads the rows of a parameter are, and how many rows of each are pairs."""
    latent = config.latent
    if latent is None or not config.family.is_interleaved:
        return 0, 0
    module = name.rpartition(".")[0]
    if module.endswith(("self_attn.q_proj", "self_attn.q_b_proj")):
        return config.num_heads, latent.rotary_dim
    if module.endswith("self_attn.kv_a_proj_with_mqa"):
        return 1, latent.rotary_dim
    return 0, 0
