"""`kvchat bench overhead`: the cost of everything around the maths.

The share of Python and dispatch in a step is that of a model with as many layers and next to no
maths in them, in the same engine, in turns with the real one; it is an upper bound, since its small
products are counted as overhead. Further: sampling 16 rows in one call, fork and rewind by length,
memory of forks, and memory beside a cache that is allocated ahead. One thread, CPU time. The last
line is one JSON object.
"""

import argparse
import random
import sys
import tempfile
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import torch

from kvchat.bench.bookkeeping import bookkeeping_figures
from kvchat.bench.figure import Figure
from kvchat.bench.lineup import FILE_TYPES, open_lineup
from kvchat.bench.result import Result, Table, add_output_options
from kvchat.bench.samples import Turn, in_turns
from kvchat.cli_options import Parser
from kvchat.engine.logit_reader import LogitReader
from kvchat.engine.sampler import SamplerRow, choose
from kvchat.errors import InvalidArgument, KVChatError
from kvchat.native.kernels import choose_kernels
from kvchat.sampling_params import SamplingParams

ROWS = (1, 8, 16)
CONTEXT = 64
NUM_SAMPLED = 16


def main(arguments: Sequence[str]) -> int:
    """Run the benchmark, print a table and a line of JSON, and return the exit status."""
    parser = Parser(prog="kvchat bench overhead", description=__doc__)
    parser.add_argument("--shape", default="125m", help="the model whose steps are looked at")
    parser.add_argument("--weights", default="fp32", help="its precision: fp32, bf16, int8, int4")
    parser.add_argument("--rounds", type=int, default=5, help="counted rounds; one goes before")
    parser.add_argument("--tokens", type=int, default=8192, help="longest chat forked and rewound")
    parser.add_argument("--kernel", default="torch,native", metavar="LIST", help="torch,native")
    parser.add_argument("--models", type=Path, metavar="DIR", help="keep the weights made there")
    add_output_options(parser)
    options = parser.parse_args(arguments)
    if options.rounds < 1 or options.tokens < 512:
        raise InvalidArgument("--rounds must be at least 1, and --tokens at least 512.")
    if options.weights not in FILE_TYPES:
        raise InvalidArgument(f"--weights is {options.weights!r}, not of {', '.join(FILE_TYPES)}.")
    torch.set_num_threads(1)
    result = Result("overhead", f"what surrounds the maths of the shape {options.shape}")
    result.options = {"shape": options.shape, "weights": options.weights, "rounds": options.rounds}
    with tempfile.TemporaryDirectory(prefix="kvchat-bench-") as temporary:
        _shares(options.models or Path(temporary), options, result)
    _sampling(options, result)
    result.figures += bookkeeping_figures(options.tokens)
    return result.tell(options)


def _shares(directory: Path, options: argparse.Namespace, result: Result) -> None:
    """Compare steps of the shape with steps of a model that has only its layers."""
    dice = random.Random(3)
    pool_tokens = max(ROWS) * (CONTEXT + 160)
    rows = []
    both = partial(
        open_lineup,
        directory,
        precision=options.weights,
        kernels=options.kernel.split(","),
        pool_tokens=pool_tokens,
        with_peers=False,
    )
    with both(shape=options.shape) as real, both(shape="null") as null:
        result.notes += real.notes
        for ours, empty in zip(real.own, null.own, strict=True):
            for num_rows in ROWS:
                prompts = [
                    [dice.randrange(5, 3000) for _ in range(CONTEXT)] for _ in range(num_rows)
                ]
                turns = {}
                for name, each in (("step", ours), ("null", empty)):
                    each.set_threads(1)
                    each.begin(prompts)
                    turns[name] = Turn(each.restart, each.step, 4)
                found = in_turns(turns, num_threads=1, num_rounds=options.rounds)
                for each in (ours, empty):
                    each.end()
                step, around = found["step"].median_seconds, found["null"].median_seconds
                key = f"{ours.name}, {num_rows} row{'s' if num_rows > 1 else ''}"
                for name, samples in found.items():
                    result.samples[f"{key} | {name}"] = samples.document()
                rows.append([key, f"{1000 * step:.2f}", f"{1000 * around:.2f}"])
                result.figures.append(
                    Figure(
                        f"Python and dispatch in a step, {key}",
                        100 * around / step,
                        " %",
                        must=5.0,
                        at_least=False,
                    )
                )
    columns = ["CPU milliseconds of a step", "whole", "without maths"]
    result.tables.append(Table("steps of the engine", columns, rows))


def _sampling(options: argparse.Namespace, result: Result) -> None:
    """Compare one call for 16 rows with 16 calls; both must choose the same, to the bit."""
    generator = torch.Generator().manual_seed(5)
    logits = 3 * torch.randn(NUM_SAMPLED, 32000, generator=generator)
    params = SamplingParams(temperature=0.8, top_k=40, top_p=0.95)
    rows = [SamplerRow(params, 7 + index, 100, [1, 2, 3]) for index in range(NUM_SAMPLED)]

    for kernel in options.kernel.split(","):
        kernels = choose_kernels(kernel, result.notes.append)
        if kernels is None and kernel == "native":
            continue
        reader = LogitReader.of(kernels)

        def together(reader: LogitReader = reader) -> list[object]:
            return list(choose(logits, rows, reader))

        def alone(reader: LogitReader = reader) -> list[object]:
            return [choose(logits[i : i + 1], [row], reader)[0] for i, row in enumerate(rows)]

        if together() != alone():
            raise KVChatError("Rows sampled together differ from rows sampled alone.")
        if kernels is not None:
            kernels.set_threads(1)
        turns = {"together": Turn(_nothing, together, 3), "alone": Turn(_nothing, alone, 3)}
        found = in_turns(turns, num_threads=1, num_rounds=options.rounds)
        for name, samples in found.items():
            result.samples[f"sampling {NUM_SAMPLED} rows {name}, {kernel}"] = samples.document()
        together_seconds = found["together"].median_seconds
        result.figures += [
            Figure(
                f"sampling {NUM_SAMPLED} rows of 32000 in one call, {kernel}",
                1000 * together_seconds,
                " ms",
                note="the same bits as one call a row",
            ),
            Figure(
                f"{NUM_SAMPLED} calls ÷ one call, {kernel}",
                found["alone"].median_seconds / together_seconds,
                "x",
                must=1.0,
            ),
        ]


def _nothing() -> None:
    """Prepare nothing."""


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
