"""What `kvchat bench attention` measures: a Cell for each question, and what the answer must be."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch

from kvchat.kv.spec import KVDtype, LayerSpec


@dataclass(frozen=True, slots=True)
class Shape:
    """Layers of a model, all alike: how many, and their heads."""

    name: str
    num_layers: int
    num_heads: int
    num_kv_heads: int
    head_dim: int = 64

    @property
    def layer(self) -> LayerSpec:
        """One of them."""
        dim = self.head_dim
        return LayerSpec(self.num_heads, self.num_kv_heads, dim, dim, dim**-0.5)


SMALL = Shape("small", 8, 8, 4)
MIDDLE = Shape("125m", 12, 12, 12)
LARGE = Shape("1.1B", 22, 32, 4)
TINY = Shape("tiny", 2, 4, 2, 16)


@dataclass(frozen=True, slots=True)
class Target:
    """The better of our ways must be so many times as fast as another one; by name of the other."""

    against: str
    must: float
    is_kernel_alone: bool = False


@dataclass(frozen=True, slots=True)
class Cell:
    """One step of `lengths` tokens in each of several sequences, in all layers.

    topic       under which heading it is told
    num_runs    runs that a sequence lies in; 0 for blocks at random
    num_shared  tokens at the beginning that all sequences share
    count       new tokens of each
    """

    topic: str
    shape: Shape
    lengths: tuple[int, ...]
    num_runs: int = 1
    num_shared: int = 0
    count: int = 1
    dtype: torch.dtype = torch.float32
    kv_dtype: KVDtype = "auto"
    targets: tuple[Target, ...] = ()

    @property
    def name(self) -> str:
        """What tells it from all others."""
        words = [self.shape.name, f"{len(self.lengths)}x{max(self.lengths)}"]
        if self.num_runs != 1:
            words.append(f"{self.num_runs} runs" if self.num_runs else "scattered")
        if self.num_shared:
            words.append(f"{self.num_shared} shared")
        if self.count > 1:
            words.append(f"chunk of {self.count}")
        if self.dtype == torch.bfloat16:
            words.append("bf16")
        if self.kv_dtype == "int8":
            words.append("int8")
        return " ".join(words)


def uneven(num_rows: int, longest: int) -> tuple[int, ...]:
    """Return lengths from half to all of the longest, evenly spread; one row is the longest."""
    if num_rows == 1:
        return (longest,)
    return tuple(longest - longest // 2 * place // (num_rows - 1) for place in range(num_rows))


def cells(*, is_full: bool) -> Iterator[Cell]:
    """Yield all cells; the largest ones only where asked for."""
    yield from _one_run(is_full)
    yield from _fragmented(is_full)
    yield from _shared(is_full)
    yield from _chunks(is_full)
    yield from _int8(is_full)


def _one_run(is_full: bool) -> Iterator[Cell]:
    sizes = [(SMALL, 1, 128), (SMALL, 1, 512), (SMALL, 1, 2048), (SMALL, 8, 128), (SMALL, 8, 512)]
    sizes += [(SMALL, 16, 1024), (LARGE, 1, 512), (LARGE, 1, 2048), (LARGE, 4, 1024)]
    sizes += [(SMALL, 16, 2048), (LARGE, 16, 1024)] if is_full else []
    for shape, num_rows, longest in sizes:
        static = 1.0 if shape is SMALL else 1.8
        targets = Target("folded", 0.90), Target("enable_gqa", static), Target("gather", 1.4)
        yield Cell("one run", shape, uneven(num_rows, longest), targets=targets)
    targets = Target("folded", 0.90), Target("enable_gqa", 10.0), Target("gather", 1.4)
    yield Cell("one run", LARGE, (1024,), dtype=torch.bfloat16, targets=targets)


def _fragmented(is_full: bool) -> Iterator[Cell]:
    sizes = [(SMALL, 1, 1024), (SMALL, 8, 512), (LARGE, 1, 2048)]
    sizes += [(LARGE, 4, 1024)] if is_full else []
    for shape, num_rows, longest in sizes:
        for num_runs in (1, 2, 4, 8, 0):
            targets = (Target("folded", 1.0, is_kernel_alone=True),)
            lengths = uneven(num_rows, longest)
            yield Cell("runs", shape, lengths, num_runs=num_runs, targets=targets)


def _shared(is_full: bool) -> Iterator[Cell]:
    sizes = [(SMALL, 512), (SMALL, 2048), (LARGE, 2048)]
    for shape, length in sizes:
        for num_rows in (4, 8, 16):
            if shape is LARGE and num_rows == 16 and not is_full:
                continue
            must = (Target("folded", 1.6),) if num_rows == 8 else ()
            lengths = (length,) * num_rows
            yield Cell("shared", shape, lengths, num_shared=length * 3 // 4, targets=must)
    yield Cell("shared", MIDDLE, (520,) * 8, num_shared=512, targets=(Target("unshared", 1.3),))


def _chunks(is_full: bool) -> Iterator[Cell]:
    sizes = [(SMALL, 256), (SMALL, 1792), (LARGE, 1024)] + ([(LARGE, 4096)] if is_full else [])
    for shape, past in sizes:
        targets = (Target("masked", 1.05 if past >= 1000 else 0.92),)
        yield Cell("chunk", shape, (past,), count=256, targets=targets)
    for count in (4, 16, 32):
        yield Cell("chunk", SMALL, (512,), count=count)


def _int8(is_full: bool) -> Iterator[Cell]:
    sizes = [(SMALL, 1, 2048), (SMALL, 8, 512), (LARGE, 1, 1024), (LARGE, 4, 1024)]
    for shape, num_rows, longest in sizes + ([(LARGE, 16, 1024)] if is_full else []):
        targets = tuple(Target(each, 1.0, True) for each in ("folded", "kernel fp32"))
        lengths = uneven(num_rows, longest)
        yield Cell("int8", shape, lengths, kv_dtype="int8", targets=targets)


def tiny_cells() -> Sequence[Cell]:
    """Return cells that take next to no time, to try the benchmark itself."""
    return (
        Cell("one run", TINY, (40, 33), targets=(Target("folded", 0.9),)),
        Cell("runs", TINY, (64,), num_runs=0, targets=(Target("folded", 1.0, True),)),
        Cell("shared", TINY, (64,) * 3, num_shared=48, targets=(Target("folded", 1.6),)),
        Cell("chunk", TINY, (40,), count=20, targets=(Target("masked", 0.9),)),
        Cell("int8", TINY, (64,), kv_dtype="int8", targets=(Target("kernel fp32", 1.0, True),)),
    )
