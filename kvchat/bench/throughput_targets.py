"""What tokens per second must be and should be, beside the peers, as ratios on one machine."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from kvchat.bench.figure import Figure
from kvchat.bench.samples import Samples, ratio


class Timed(Protocol):
    """What is needed of a cell: who did what at which precision, and its samples."""

    @property
    def precision(self) -> str:
        """Ours, or that which a peer stands beside."""

    @property
    def contestant(self) -> str:
        """Its name."""

    @property
    def task_name(self) -> str:
        """Its task."""

    @property
    def num_threads(self) -> int:
        """On so many threads."""

    @property
    def samples(self) -> Samples:
        """What its steps cost."""


@dataclass(frozen=True, slots=True)
class Target:
    """Ours at a precision must be so many times as fast as a peer beside it."""

    must: float | None = None
    aim: float | None = None


TARGETS: Mapping[tuple[str, str, str], Target] = {
    ("fp32", "transformers fp32", "1 stream"): Target(0.95),
    ("fp32", "transformers fp32", "prefill"): Target(0.95),
    ("int8", "llama.cpp Q8_0", "1 stream"): Target(1.0),
    ("int8", "llama.cpp Q8_0", "8 streams"): Target(1.0, 1.5),
    ("int8", "llama.cpp Q8_0", "16 streams"): Target(1.0, 1.5),
    ("int8", "llama.cpp Q8_0", "prefill"): Target(1.5),
    ("int8", "transformers fp32", "8 streams"): Target(2.0),
    ("int8", "transformers fp32", "16 streams"): Target(2.0),
    ("int4", "llama.cpp Q4_0", "1 stream"): Target(1.0),
}
"""By our precision, the peer and the task; pairs without a line are told without a verdict."""


def throughput_figures(cells: Sequence[Timed]) -> Iterator[Figure]:
    """Yield for each peer and task how many times as fast our best kernel is."""
    ours = [cell for cell in cells if cell.contestant.startswith("kvchat")]
    for peer in cells:
        if peer.contestant.startswith("kvchat"):
            continue
        rivals = [
            cell
            for cell in ours
            if (cell.precision, cell.task_name, cell.num_threads)
            == (peer.precision, peer.task_name, peer.num_threads)
        ]
        if not rivals:
            continue
        best = min(rivals, key=lambda cell: cell.samples.median_seconds)
        task = peer.task_name.split()[0] if "prefill" in peer.task_name else peer.task_name
        target = TARGETS.get((peer.precision, peer.contestant, task), Target())
        found = ratio(best.samples, peer.samples)
        threads = f"{peer.num_threads} thread{'s' if peer.num_threads > 1 else ''}"
        yield Figure(
            f"{best.contestant} ÷ {peer.contestant}, {peer.task_name}, {threads}",
            found,
            "x",
            target.must,
            target.aim,
            note="" if found is not None else "too few clean samples",
        )
