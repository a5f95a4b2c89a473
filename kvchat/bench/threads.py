"""`kvchat bench threads`: decoding with two threads while another process takes one core.

Threads that compute a step together wait for each other at the end of every product. Where a
process keeps one core busy, the slower thread holds up the other: two threads must then not be
slower than one. Measured by the wall, with and without such a process, for kvchat and for the peers
that are installed; all computing the same weights in one process, in turns. Wants a machine with
nothing else to do: its load is told. The last line is one JSON object.
"""

import argparse
import random
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from statistics import median

from kvchat.bench.agreement import BOUNDS, check_contestant
from kvchat.bench.busy_core import BusyCore
from kvchat.bench.figure import Figure
from kvchat.bench.lineup import FILE_TYPES, Lineup, open_lineup
from kvchat.bench.result import Result, Table, add_output_options
from kvchat.bench.samples import Samples, Turn, in_turns
from kvchat.cli_options import Parser
from kvchat.errors import InvalidArgument

CONTEXT = 64
ROWS = (1, 8)
NUM_STEPS = 4


def main(arguments: Sequence[str]) -> int:
    """Run the benchmark, print a table and a line of JSON, and return the exit status."""
    parser = Parser(prog="kvchat bench threads", description=__doc__)
    parser.add_argument("--shape", default="125m", help="random weights of this shape")
    parser.add_argument("--weights", default="fp32", help="fp32, bf16, int8 or int4")
    parser.add_argument("--rounds", type=int, default=4, help="counted rounds; one goes before")
    parser.add_argument("--alone", action="store_true", help="without transformers and llama.cpp")
    parser.add_argument("--kernel", default="torch,native", metavar="LIST", help="torch,native")
    parser.add_argument("--models", type=Path, metavar="DIR", help="keep the weights made there")
    add_output_options(parser)
    options = parser.parse_args(arguments)
    if options.rounds < 1 or options.weights not in FILE_TYPES:
        raise InvalidArgument(
            f"--rounds must be at least 1, and --weights one of {', '.join(FILE_TYPES)}."
        )
    result = Result("threads", f"two threads and a busy core, shape {options.shape}")
    result.options = {"shape": options.shape, "weights": options.weights, "rounds": options.rounds}
    with (
        tempfile.TemporaryDirectory(prefix="kvchat-bench-") as temporary,
        open_lineup(
            options.models or Path(temporary),
            options.shape,
            options.weights,
            kernels=options.kernel.split(","),
            pool_tokens=max(ROWS) * (CONTEXT + 160),
            with_peers=not options.alone,
        ) as lineup,
    ):
        result.notes += lineup.notes
        _race(lineup, options, result)
    return result.tell(options)


def _race(lineup: Lineup, options: argparse.Namespace, result: Result) -> None:
    dice = random.Random(5)
    rows: dict[str, list[str]] = {}
    heads: list[str] = []
    for num_rows in ROWS:
        prompts = [[dice.randrange(5, 3000) for _ in range(CONTEXT)] for _ in range(num_rows)]
        for each in lineup.all:
            each.set_threads(1)
            if num_rows == ROWS[0]:
                bound = BOUNDS[lineup.precision]
                check_contestant(each, lineup.dense, prompts, bound, num_known=3000)
            each.begin(prompts)
        found = {
            (1, False): _timed(lineup, 1, options.rounds),
            (2, False): _timed(lineup, 2, options.rounds),
        }
        with BusyCore():
            found[1, True] = _timed(lineup, 1, options.rounds)
            found[2, True] = _timed(lineup, 2, options.rounds)
        for each in lineup.all:
            each.end()
        streams = f"{num_rows} stream{'s' if num_rows > 1 else ''}"
        heads += [
            f"{streams}: {threads} thread{'s' if threads > 1 else ''}{', busy' if busy else ''}"
            for threads, busy in found
        ]
        for each in lineup.all:
            seconds = {
                how: median(sample.wall_seconds for sample in samples[each.name].all)
                for how, samples in found.items()
            }
            for (threads, busy), samples in found.items():
                key = f"{each.name} | {streams} | {threads} | {'busy' if busy else 'quiet'}"
                result.samples[key] = {
                    **samples[each.name].document(),
                    "median_wall_seconds": seconds[threads, busy],
                }
            rows.setdefault(each.name, []).extend(
                f"{num_rows / value:.4g}" for value in seconds.values()
            )
            is_ours = each in lineup.own
            result.figures.append(
                Figure(
                    f"{each.name}, {streams}: two threads with one core busy ÷ one thread",
                    seconds[1, True] / seconds[2, True],
                    "x",
                    must=1.0 if is_ours else None,
                )
            )
    table = [[name, *cells] for name, cells in rows.items()]
    result.tables.append(Table("tokens per second by the wall", ["", *heads], table))


def _timed(lineup: Lineup, num_threads: int, num_rounds: int) -> dict[str, Samples]:
    """Let everybody take turns; what others do is the subject here, so no sample is rejected."""
    for each in lineup.all:
        each.set_threads(num_threads)
    turns = {each.name: Turn(each.restart, each.step, NUM_STEPS) for each in lineup.all}
    return in_turns(turns, num_threads=num_threads, num_rounds=num_rounds, max_extra=0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
