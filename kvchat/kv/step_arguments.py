"""What callers bring to a step, refused before anything is taken or written.

A block that a step took is filled by whoever runs the model. Keys of another shape could fill it
with something that is no error and no key either, and ids that cannot be hashed would be noticed
only while the step commits; so both are looked at first.
"""

from array import array
from collections.abc import Sequence

from torch import Tensor

from kvchat.errors import InvalidArgument
from kvchat.kv.paged_sequence import PagedSequence
from kvchat.kv.spec import LayerSpec
from kvchat.kv.step import Step


def check_row(step: Step, sequence: PagedSequence, count: int) -> None:
    """Raise InvalidArgument unless `count` tokens can follow a sequence as a row of the step."""
    if not isinstance(count, int) or count < 1:
        raise InvalidArgument(f"A row of a step has at least one token, not {count}.")
    if any(row.sequence is sequence for row in step.rows):
        raise InvalidArgument("A sequence can be in a step only once; add up its tokens.")
    schedule, start = sequence.schedule, sequence.length
    visible, behind = schedule.at(start), start + count
    starts_to_turn = visible.sinks and not visible.has_slid(start) and visible.has_slid(behind - 1)
    if starts_to_turn or any(start < change.start < behind for change in schedule.parts):
        what = "begins to slide" if starts_to_turn else "changes"
        raise InvalidArgument(
            f"{count} tokens would go past the position where the window {what};"
            f" {schedule.chunk_limit(start, count)} may follow in this step."
        )


def checked_token_ids(token_ids: Sequence[int], count: int) -> list[int]:
    """Return the ids of a row as a list of integers.

    Raises InvalidArgument unless there are `count`, each from 0 to 2**31 - 1, as they are saved.
    """
    try:
        checked = array("i", token_ids).tolist()
    except (TypeError, OverflowError, ValueError):
        checked = [-1]
    if checked and min(checked) < 0:
        raise InvalidArgument("Token ids are integers from 0 to 2147483647.")
    if len(checked) != count:
        raise InvalidArgument(f"{len(checked)} token ids do not name {count} tokens.")
    return checked


def check_key_value(
    layer: LayerSpec, like: Tensor, count: int, key: Tensor, value: Tensor | None
) -> None:
    """Raise InvalidArgument unless keys and values are those of `count` tokens in a layer.

    like  a tensor of the model's dtype on the device of the pool
    """
    _check("keys", key, (count, layer.num_kv_heads, layer.key_dim), like)
    if (value is None) != (layer.value_dim == 0):
        raise InvalidArgument("Every layer but one of MLA has values, and that one has none.")
    if value is not None:
        _check("values", value, (count, layer.num_kv_heads, layer.value_dim), like)


def check_query(layer: LayerSpec, like: Tensor, count: int, query: Tensor) -> None:
    """Raise InvalidArgument unless queries are those of `count` tokens in a layer."""
    _check("queries", query, (count, layer.num_heads, layer.key_dim), like)


def _check(name: str, given: Tensor, shape: tuple[int, ...], like: Tensor) -> None:
    if not isinstance(given, Tensor):
        raise InvalidArgument(f"{name} are a tensor, not a {type(given).__name__}.".capitalize())
    if given.shape != shape or given.dtype != like.dtype or given.device != like.device:
        raise InvalidArgument(
            f"The {name} are {list(given.shape)} {given.dtype} on {given.device}; this layer of the"
            f" cache takes {list(shape)} {like.dtype} on {like.device}."
        )
