"""`kvchat bench linear`: the products of weights and rows, by shape, number of rows and precision.

Every way is compared with the product in float64 first, and the native ways of rounded weights with
the plain ones, bit for bit. Then all take turns. Each has more copies of its weights than caches
hold, as a model of many layers has. One thread, CPU time; the last line is one JSON object.
"""

import argparse
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional

from kvchat.bench.figure import Figure
from kvchat.bench.result import Result, Table, add_output_options
from kvchat.bench.samples import Turn, in_turns
from kvchat.cli_options import Parser
from kvchat.errors import InvalidArgument, KVChatError
from kvchat.model.int4_linear import GROUP_SIZE, Int4Linear, Int4Weights
from kvchat.model.int8_linear import Int8Linear, Int8Weights
from kvchat.model.linear import Float32Linear
from kvchat.model.packed_linear import PackedLinear
from kvchat.native.float_linear import FloatLinearFunction
from kvchat.native.int_linear import IntLinearFunctions
from kvchat.native.kernels import Kernels, choose_kernels

SHAPES: dict[str, list[tuple[int, int]]] = {
    "1b": [(5632, 2048), (2048, 5632), (2048, 2048), (256, 2048)],
    "125m": [(3072, 768), (768, 3072), (768, 768)],
    "tiny": [(64, 96)],
}
"""Outputs and inputs of the matrices in models of these sizes; tiny is for trying it out."""
ROWS = (1, 2, 4, 8, 16, 64, 512)
LIBRARY = "fp32, torch"
MAX_ERRORS = {"fp32": 1e-5, "bf16": 0.02, "int8": 0.02, "int4": 0.15}
"""Root of the mean square of the error, in that of the product, by precision."""


@dataclass(frozen=True, slots=True)
class Way:
    """One way to multiply: a layer for a weight matrix, and what its weights take."""

    make: Callable[[Tensor], nn.Module]
    bytes_per_weight: float
    dtype: torch.dtype = torch.float32
    same_as: str | None = None
    """The way that gives the same bits."""


def main(arguments: Sequence[str]) -> int:
    """Run the benchmark, print tables and a line of JSON, and return the exit status."""
    parser = Parser(prog="kvchat bench linear", description=__doc__)
    parser.add_argument("--shape", choices=SHAPES, default="1b", help="a model's matrices")
    parser.add_argument("--rows", type=int, nargs="+", default=list(ROWS), metavar="N")
    parser.add_argument("--rounds", type=int, default=7, help="counted rounds; one goes before")
    parser.add_argument("--cache-mib", type=int, default=96, help="weights of each way, at least")
    add_output_options(parser)
    options = parser.parse_args(arguments)
    if options.rounds < 1 or min(options.rows) < 1 or options.cache_mib < 0:
        raise InvalidArgument("--rounds and --rows must be at least 1.")
    torch.set_num_threads(1)
    result = Result("linear", f"linear layers of shape {options.shape}, one thread")
    result.options = {
        name: getattr(options, name) for name in ("shape", "rows", "rounds", "cache_mib")
    }
    kernels = choose_kernels("native", result.notes.append)
    if kernels is not None:
        kernels.set_threads(1)
    with torch.inference_mode():
        for shape in SHAPES[options.shape]:
            _measure(shape, _ways(kernels), options, result)
    return result.tell(options)


def _ways(kernels: Kernels | None) -> dict[str, Way]:
    ways = {
        LIBRARY: Way(_library_layer, 4),
        "fp32, kvchat": Way(lambda weight: Float32Linear(weight, None), 4),
        "bf16, torch": Way(lambda weight: _library_layer(weight.bfloat16()), 2, torch.bfloat16),
        "int8, torch": Way(lambda weight: Int8Linear(Int8Weights.of(weight)), 1),
        "int4, torch": Way(lambda weight: Int4Linear(Int4Weights.of(weight)), 17 / 32),
    }
    if kernels is None:
        return ways
    floats, integers = FloatLinearFunction(kernels), IntLinearFunctions(kernels)
    return ways | {
        "fp32, native": Way(lambda weight: Float32Linear(weight, None, floats), 4),
        "int8, native": Way(
            lambda weight: PackedLinear(integers, Int8Weights.of(weight)), 1, same_as="int8, torch"
        ),
        "int4, native": Way(
            lambda weight: PackedLinear(integers, Int4Weights.of(weight)),
            17 / 32,
            same_as="int4, torch",
        ),
    }


class _LibraryLinear(nn.Module):
    """What a model without any of this computes."""

    def __init__(self, weight: Tensor) -> None:
        super().__init__()
        self.weight = weight

    def forward(self, rows: Tensor) -> Tensor:
        return functional.linear(rows, self.weight)


def _library_layer(weight: Tensor) -> nn.Module:
    return _LibraryLinear(weight)


def _measure(
    shape: tuple[int, int], ways: dict[str, Way], options: argparse.Namespace, result: Result
) -> None:
    num_outputs, num_inputs = shape
    assert num_inputs % GROUP_SIZE == 0
    name = f"{num_outputs} x {num_inputs}"
    generator = torch.Generator().manual_seed(0)
    weight = torch.randn(shape, generator=generator) / num_inputs**0.5
    _check(name, weight, ways, options.rows, generator)
    layers = {}
    for way_name, way in ways.items():
        num_bytes = way.bytes_per_weight * weight.numel()
        count = max(1, min(64, round(options.cache_mib * 2**20 / num_bytes)))
        layers[way_name] = [way.make(weight.clone()) for _ in range(count)]
    cells: dict[str, list[str]] = {way: [way] for way in ways}
    for num_rows in options.rows:
        rows = torch.randn(num_rows, num_inputs, generator=generator)
        turns = {
            way_name: Turn(
                lambda: None, partial(_pass, layers[way_name], rows.to(ways[way_name].dtype))
            )
            for way_name in ways
        }
        found = in_turns(turns, num_threads=1, num_rounds=options.rounds, num_warm=1)
        seconds = {way: samples.median_seconds / len(layers[way]) for way, samples in found.items()}
        for way_name, way in ways.items():
            speed = way.bytes_per_weight * weight.numel() / seconds[way_name] / 1e9
            milliseconds = seconds[way_name] * 1e3
            result.samples[f"{name} | {num_rows} rows | {way_name}"] = {
                **found[way_name].document(),
                "num_layers": len(layers[way_name]),
                "milliseconds": milliseconds,
                "gigabytes_per_second": speed,
                "times_library": seconds[LIBRARY] / seconds[way_name],
            }
            cells[way_name].append(f"{milliseconds:.3f} ({speed:.1f})")
        for precision in ("fp32", "int8", "int4"):
            native, plain = f"{precision}, native", f"{precision}, torch"
            if native in seconds:
                speedup = seconds[plain] / seconds[native]
                words = f"{name}, {num_rows} rows: {native} ÷ {plain}"
                result.figures.append(Figure(words, speedup, "x"))
    columns = ["", *(f"{num_rows} rows" for num_rows in options.rows)]
    title = f"{name}: milliseconds (GB of weights per second)"
    result.tables.append(Table(title, columns, list(cells.values())))


def _pass(layers: Sequence[nn.Module], rows: Tensor) -> None:
    """Multiply rows with every copy, the way a step goes through the layers of a model."""
    for layer in layers:
        layer(rows)


def _check(
    name: str,
    weight: Tensor,
    ways: dict[str, Way],
    numbers: Sequence[int],
    generator: torch.Generator,
) -> None:
    """Compare every way with float64, and with the way whose bits it must have."""
    layers = {way_name: way.make(weight.clone()) for way_name, way in ways.items()}
    for num_rows in sorted(set(numbers)):
        rows = torch.randn(num_rows, weight.shape[1], generator=generator)
        exact = rows.double() @ weight.double().t()
        for way_name, way in ways.items():
            found = layers[way_name](rows.to(way.dtype))
            error = (found - exact).square().mean().sqrt() / exact.square().mean().sqrt()
            if not float(error) <= MAX_ERRORS[way_name.split(",")[0]]:
                raise KVChatError(
                    f"{way_name} is wrong for {name} and {num_rows} rows: its error is "
                    f"{float(error):.2g} of the product; run kvchat doctor."
                )
            if way.same_as is not None and not torch.equal(found, layers[way.same_as](rows)):
                raise KVChatError(
                    f"{way_name} and {way.same_as} differ for {name} and {num_rows} rows; use "
                    "--kernel torch."
                )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
