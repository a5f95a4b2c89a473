"""LogitReader: what choosing a token asks of logits, by torch's operators or by a native function.

The plain reader makes passes over the logits for each question, and works anywhere; the native one
answers them in a call each, which matters where a step of a small model takes milliseconds.
"""

import logging
from dataclasses import dataclass

import torch
from torch import Tensor

from kvchat.native.kernels import Kernels
from kvchat.native.logits import LogitFunctions

GROUP_SIZE = 64
"""Neighbours whose maximum is looked at before they are; see `top`."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class LogitReading:
    """The likeliest tokens of some rows.

    logits      [R, V], what was read, with -inf for NaN
    top_logits  [R, count], the largest first
    top_ids     [R, count] int64, their tokens; of equals any may come first
    likeliest   [R, 1] int64, the likeliest token, of equals the lowest
    sums        [R, 1], of exp(logit - largest) over the whole row
    """

    logits: Tensor
    top_logits: Tensor
    top_ids: Tensor
    likeliest: Tensor
    sums: Tensor


class LogitReader:
    """Reads logits [R, V] of float32 on any device with torch's operators."""

    @staticmethod
    def of(kernels: Kernels | None) -> "LogitReader":
        """Return a native reader where there are kernels and it agrees with the plain one."""
        if kernels is None:
            return LogitReader()
        reader = NativeLogitReader(kernels)
        if not _agrees(reader):
            log.warning("The native reader of logits computes nonsense here; torch reads them.")
            return LogitReader()
        return reader

    def are_finite(self, logits: Tensor) -> list[bool]:
        """Say of each row whether all its numbers are finite.

        A sum that is finite has finite parts. Looking at each number takes three tensors as large
        as the logits, so that is done only where a sum is not: it may have overflowed.
        """
        are_finite: list[bool] = logits.sum(-1).isfinite().tolist()
        if all(are_finite):
            return are_finite
        return logits.isfinite().all(-1).tolist()

    def read(self, logits: Tensor, count: int) -> LogitReading:
        """Return the `count` <= V likeliest tokens of each row; NaN is never one of them."""
        # A sum finds NaN in one pass, without two tensors as large as the logits.
        if logits.sum(-1).isnan().any():
            logits = logits.masked_fill(logits.isnan(), float("-inf"))
        top_logits, top_ids = top(logits, count)
        largest = top_logits[:, :1]
        # What is infinite is the whole sum, and nothing is infinitely less than itself.
        sums = torch.where(
            largest.isinf(), (largest > 0).float(), (logits - largest).exp().sum(-1, keepdim=True)
        )
        return LogitReading(logits, top_logits, top_ids, logits.argmax(-1, keepdim=True), sums)


class NativeLogitReader(LogitReader):
    """Reads logits of float32 on a CPU with the kernels; others as the plain reader does."""

    def __init__(self, kernels: Kernels) -> None:
        self.path = kernels.path
        """Of the library."""
        self._functions = LogitFunctions(kernels)

    def are_finite(self, logits: Tensor) -> list[bool]:
        """Say of each row whether all its numbers are finite."""
        if not _is_plain(logits):
            return super().are_finite(logits)
        return self._functions.are_finite(
            (logits.shape[0], logits.shape[1]), logits.stride(0), logits.data_ptr()
        )

    def read(self, logits: Tensor, count: int) -> LogitReading:
        """Return the likeliest tokens of each row, equals by their ids."""
        if not _is_plain(logits):
            return super().read(logits, count)
        num_rows, width = logits.shape
        top_logits, sums = torch.empty(num_rows, count), torch.empty(num_rows)
        top_ids = torch.empty(num_rows, count, dtype=torch.int64)
        self._functions.read(
            (num_rows, width),
            logits.stride(0),
            logits.data_ptr(),
            count,
            top_logits.data_ptr(),
            top_ids.data_ptr(),
            sums.data_ptr(),
        )
        if any(each != each for each in sums.tolist()):
            return super().read(logits, count)
        return LogitReading(logits, top_logits, top_ids, top_ids[:, :1], sums[:, None])


def _is_plain(logits: Tensor) -> bool:
    is_cpu_float = logits.dtype == torch.float32 and logits.device.type == "cpu"
    return is_cpu_float and logits.stride(1) == 1 and logits.numel() > 0


_PROBED: dict[str, bool] = {}


def _agrees(reader: NativeLogitReader) -> bool:
    """Compare a native reader with the plain one, once per library."""
    name = str(reader.path)
    if name not in _PROBED:
        logits = torch.randn(4, 1000, generator=torch.Generator().manual_seed(0)) * 4
        logits[1, 70] = logits[2, 999] = float("-inf")
        logits[3, 500] = float("nan")  # a compiler may have been told that there is no such thing
        native, plain = reader.read(logits, 10), LogitReader().read(logits, 10)
        _PROBED[name] = (
            torch.equal(native.top_ids, plain.top_ids)
            and torch.equal(native.top_logits, plain.top_logits)
            and torch.equal(native.logits, plain.logits)
            and torch.allclose(native.sums, plain.sums, rtol=1e-4)
            and reader.are_finite(logits) == [True, False, False, False]
        )
    return _PROBED[name]


def top(values: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Return the largest of each row and their places, as `topk` does, in a third of its time.

    values  [R, V]; of equals at the end any may be taken, as there

    The largest few of a row lie in the groups with the largest maxima, so only these are sorted.
    """
    num_rows, width = values.shape
    num_groups, rest = divmod(width, GROUP_SIZE)
    if num_groups <= 2 * count:
        return values.topk(count)
    whole = values[:, : width - rest].reshape(num_rows, num_groups, GROUP_SIZE)
    groups = whole.amax(-1).topk(count).indices  # [R, count]
    steps = torch.arange(GROUP_SIZE, device=values.device)
    places = (groups[:, :, None] * GROUP_SIZE + steps).flatten(1)  # [R, count * GROUP_SIZE]
    if rest:
        last = torch.arange(width - rest, width, device=values.device)
        places = torch.cat((places, last.expand(num_rows, -1)), 1)
    largest, order = values.gather(1, places).topk(count)
    return largest, places.gather(1, order)
