"""`kvchat bench attention`: one step of attention in all layers, our ways beside those of others.

Of others: one preallocated tensor a sequence with the query group folded, which is the fastest
there is and the bar; the same with torch's enable_gqa; keys repeated for each query head; blocks
gathered before each call. Of ours: views of runs with torch's operator, and the native kernel.
Contestants take turns in one process, order reversed every round; outputs are compared before
anything is timed. One thread is judged by CPU time, more by the wall. The last line is one JSON
object.
"""

import argparse
import sys
import time
from collections.abc import Sequence
from functools import partial
from math import exp, log

import torch

from kvchat.bench.attention_cells import Cell, cells, tiny_cells
from kvchat.bench.attention_variants import Variant, differences, variants
from kvchat.bench.figure import Figure
from kvchat.bench.result import Result, Table, add_output_options
from kvchat.bench.samples import Samples, Turn, in_turns, ratio
from kvchat.cli_options import Parser
from kvchat.errors import InvalidArgument, KVChatError
from kvchat.native.kernels import KERNEL_NAMES, Kernels, choose_kernels

OURS = ("views", "kernel")
TOLERANCES = {torch.float32: 1e-4, torch.bfloat16: 5e-2}
INT8_TOLERANCE = 0.1
NUM_WARM = 1
REST_SECONDS = 0.01
"""Until threads that wait for the next operator of the last contestant have gone to sleep."""

Measured = dict[str, Samples]


def main(arguments: Sequence[str]) -> int:
    """Run the benchmark, print tables and a line of JSON, and return the exit status."""
    parser = Parser(prog="kvchat bench attention", description=__doc__)
    parser.add_argument("--threads", default="1,2", help="numbers of threads, as in 1,2")
    parser.add_argument("--rounds", type=int, default=9, help="counted rounds; one goes before")
    parser.add_argument("--kernel", choices=KERNEL_NAMES, default="native")
    parser.add_argument("--topics", help="some of: one run, runs, shared, chunk, int8")
    parser.add_argument("--full", action="store_true", help="with the largest cells")
    parser.add_argument("--tiny", action="store_true", help="only to try the benchmark out")
    add_output_options(parser)
    options = parser.parse_args(arguments)
    chosen = list(tiny_cells() if options.tiny else cells(is_full=options.full))
    known = {cell.topic for cell in chosen}
    topics = known
    if options.topics is not None:
        topics = {each.strip() for each in options.topics.split(",")}
        chosen = [cell for cell in chosen if cell.topic in topics]
    counts = options.threads.split(",")
    are_known = topics <= known and all(each in ("1", "2", "4", "8") for each in counts)
    if options.tiny and options.full:
        raise InvalidArgument("--tiny and --full exclude each other; choose one.")
    if options.rounds < 1 or not are_known:
        raise InvalidArgument(
            "--rounds must be at least 1, --threads some of 1,2,4,8, and --topics some of: one run,"
            " runs, shared, chunk, int8."
        )
    result = Result("attention", "attention of one step in all layers")
    result.options = {"threads": options.threads, "rounds": options.rounds, "full": options.full}
    kernels = choose_kernels(options.kernel, result.notes.append)
    before = torch.get_num_threads()
    try:
        _measure_all(chosen, kernels, [int(each) for each in counts], options, result)
    finally:
        torch.set_num_threads(before)
    return result.tell(options)


def _measure_all(
    chosen: Sequence[Cell],
    kernels: Kernels | None,
    thread_counts: Sequence[int],
    options: argparse.Namespace,
    result: Result,
) -> None:
    found: dict[tuple[int, Cell], Measured] = {}
    for cell in chosen:
        contestants = dict(variants(cell, kernels))
        outputs = {}
        for name, variant in contestants.items():
            variant.prepare()
            outputs[name] = variant.attend()
        for name, difference in differences(outputs).items():
            limit = TOLERANCES[cell.dtype] if cell.kv_dtype == "auto" else INT8_TOLERANCE
            if not difference <= limit:
                raise KVChatError(
                    f"{cell.name}: {name} differs by {difference:.1e} from the first; nothing of"
                    " it is timed."
                )
        for num_threads in thread_counts:
            torch.set_num_threads(num_threads)
            if kernels is not None:
                kernels.set_threads(num_threads)
            turns = {
                name: Turn(partial(_prepare, each, num_threads), each.attend)
                for name, each in contestants.items()
            }
            measured = in_turns(
                turns, num_threads=num_threads, num_rounds=options.rounds, num_warm=NUM_WARM
            )
            found[num_threads, cell] = measured
            if not options.json:
                print(f"{num_threads} | {cell.topic} | {cell.name}", file=sys.stderr)
    for num_threads in thread_counts:
        _tell(num_threads, {cell: found[num_threads, cell] for cell in chosen}, result)


def _prepare(variant: Variant, num_threads: int) -> None:
    """Get ready for a step, with its own threads awake and nobody else's."""
    variant.prepare()
    if num_threads > 1:
        time.sleep(REST_SECONDS)
        variant.attend()


def _tell(num_threads: int, found: dict[Cell, Measured], result: Result) -> None:
    threads = f"{num_threads} thread{'s' if num_threads > 1 else ''}"
    for topic in dict.fromkeys(cell.topic for cell in found):
        of_topic = {cell: each for cell, each in found.items() if cell.topic == topic}
        names = list(dict.fromkeys(name for each in of_topic.values() for name in each))
        bar = names[0]
        rows = []
        for cell, measured in of_topic.items():
            for name, samples in measured.items():
                result.samples[f"{topic} | {cell.name} | {threads} | {name}"] = samples.document()
            milliseconds = measured[bar].median_seconds * 1000
            others = [_shown(measured, name, bar) for name in names[1:]]
            rows.append([cell.name, f"{milliseconds:.2f}", *others])
            result.figures += _figures(cell, measured, threads)
        columns = [f"{topic}, {threads}", f"{bar}, ms", *(f"{name}, x" for name in names[1:])]
        title = f"{topic}, {threads}: times as fast as {bar}"
        result.tables.append(Table(title, columns, rows))
    runs = [
        speed
        for cell, measured in found.items()
        if cell.topic == "one run" and (speed := _best(measured, "folded")) is not None
    ]
    if runs:
        mean = exp(sum(map(log, runs)) / len(runs))
        must = 0.97 if num_threads == 1 else 0.90
        name = f"one run, geometric mean ÷ folded, {threads}"
        result.figures.append(Figure(name, mean, "x", must=must))


def _figures(cell: Cell, measured: Measured, threads: str) -> list[Figure]:
    figures = []
    for target in cell.targets:
        against = target.against
        if target.is_kernel_alone:
            speed = _speed(measured, "kernel", against)
            who = "kernel"
        else:
            speed, who = _best(measured, against), "ours"
        note = "" if target.is_kernel_alone else _which(measured)
        if speed is None:
            note = "too few clean samples, or no such way here"
        name = f"{cell.topic}: {cell.name}: {who} ÷ {against}, {threads}"
        figures.append(Figure(name, speed, "x", must=target.must, note=note))
    return figures


def _speed(measured: Measured, name: str, against: str) -> float | None:
    if name not in measured or against not in measured:
        return None
    return ratio(measured[name], measured[against])


def _best(measured: Measured, against: str) -> float | None:
    speeds = [_speed(measured, name, against) for name in OURS]
    known = [each for each in speeds if each is not None]
    return max(known) if known else None


def _which(measured: Measured) -> str:
    ours = [name for name in OURS if name in measured]
    return min(ours, key=lambda name: measured[name].median_seconds)


def _shown(measured: Measured, name: str, bar: str) -> str:
    speed = _speed(measured, name, bar)
    return "" if speed is None else f"{speed:.2f}"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
