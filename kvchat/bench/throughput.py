"""`kvchat bench throughput`: tokens per second, beside transformers and llama.cpp.

A model of a known shape with random weights says tokens greedily in 1, 8 and 16 streams, and reads
a prompt of 512. At each precision kvchat's whole engine, transformers and llama.cpp compute the
same weights in one process, in turns; logits and greedy choices are compared first, and a mismatch
is a failure. One thread is judged by tokens per CPU-second; two by tokens per second, without the
samples whose threads had to wait for a processor. The last line is one JSON object.
"""

import argparse
import random
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from kvchat.bench.agreement import BOUNDS, Agreement, check_contestant, regret
from kvchat.bench.contestant import Contestant
from kvchat.bench.figure import Figure
from kvchat.bench.lineup import FILE_TYPES, KERNELS, Lineup, open_lineup
from kvchat.bench.result import Result, Table, add_output_options
from kvchat.bench.samples import Samples, Turn, in_turns
from kvchat.bench.throughput_targets import throughput_figures
from kvchat.cli_options import Parser
from kvchat.errors import InvalidArgument, KVChatError

STREAMS = (1, 8, 16)
NUM_FORKS = 8
NUM_STEPS = {1: 8, 8: 4, 16: 3}
"""Timed steps of a turn, by the number of streams."""
NUM_KNOWN = 3000
"""Prompts are made of token ids below this, which every shape has words for."""


@dataclass(frozen=True, slots=True)
class Task:
    """What is timed: steps of so many streams, or, without streams, one prompt."""

    num_streams: int
    num_tokens: int

    @property
    def name(self) -> str:
        """For people and for keys."""
        if not self.num_streams:
            return f"prefill {self.num_tokens}"
        return f"{self.num_streams} stream{'s' if self.num_streams > 1 else ''}"


@dataclass(frozen=True, slots=True)
class Cell:
    """One contestant at one task on so many threads."""

    precision: str
    contestant: str
    task: Task
    num_threads: int
    samples: Samples

    @property
    def task_name(self) -> str:
        """Name of the task."""
        return self.task.name

    @property
    def tokens_per_second(self) -> float:
        """Per CPU-second on one thread."""
        tokens = self.task.num_streams or self.task.num_tokens
        return tokens / self.samples.median_seconds

    @property
    def key(self) -> str:
        """What it is saved under."""
        return f"{self.contestant} | {self.task.name} | {self.num_threads}"


def main(arguments: Sequence[str]) -> int:
    """Run the benchmark, print tables and a line of JSON, and return the exit status."""
    options = _parser().parse_args(arguments)
    precisions = _chosen(options.precision, list(FILE_TYPES), "--precision")
    threads = [int(each) for each in _chosen(options.threads, ["1", "2"], "--threads")]
    kernels = _chosen(options.kernel, list(KERNELS), "--kernel")
    if min(options.rounds, options.context, options.prefill) < 1:
        raise InvalidArgument("--rounds, --context and --prefill must be at least 1.")
    title = f"throughput of the shape {options.shape}"
    result = Result("throughput", title)
    result.options = {
        "shape": options.shape,
        "precisions": precisions,
        "threads": threads,
        "rounds": options.rounds,
        "context": options.context,
        "prefill": options.prefill,
    }
    cells: list[Cell] = []
    agreements: list[Agreement] = []
    with _directory(options.models) as directory:
        for precision in precisions:
            with open_lineup(
                directory,
                options.shape,
                precision,
                kernels=kernels,
                pool_tokens=_pool_tokens(options),
                with_peers=not options.alone,
            ) as lineup:
                result.notes += [note for note in lineup.notes if note not in result.notes]
                agreements += _check(lineup, options)
                cells += _race(lineup, threads, options)
                if precision in ("fp32", "int8"):
                    _race_forks(lineup, threads, options, result)
    _tell_cells(result, cells)
    result.figures = [*throughput_figures(cells), *result.figures]
    rows = [[each.name, f"{each.correlation:.6f}", f"{each.regret:.3f}"] for each in agreements]
    result.tables.append(
        Table("agreement with dense attention in fp32", ["", "correlation", "regret"], rows)
    )
    return result.tell(options)


def _parser() -> Parser:
    parser = Parser(prog="kvchat bench throughput", description=__doc__)
    parser.add_argument(
        "--shape", default="125m", help="125m, or 1b, which takes 15 GB of disk and 14 of memory"
    )
    parser.add_argument("--precision", default="all", metavar="LIST", help="fp32,bf16,int8,int4")
    parser.add_argument("--threads", default="all", metavar="LIST", help="1,2")
    parser.add_argument("--kernel", default="all", metavar="LIST", help="torch,native")
    parser.add_argument("--rounds", type=int, default=3, help="counted rounds; one goes before")
    parser.add_argument("--context", type=int, default=64, help="tokens of each stream's prompt")
    parser.add_argument("--prefill", type=int, default=512, help="tokens of the prompt read")
    parser.add_argument("--alone", action="store_true", help="without transformers and llama.cpp")
    parser.add_argument("--models", type=Path, metavar="DIR", help="keep the weights made there")
    add_output_options(parser)
    return parser


def _chosen(words: str, known: list[str], option: str) -> list[str]:
    """Return the parts of a list, all there are for 'all'; raises InvalidArgument."""
    chosen = known if words == "all" else words.split(",")
    for each in chosen:
        if each not in known:
            raise InvalidArgument(f"{option} has {each!r}, but there is only {', '.join(known)}.")
    return chosen


@contextmanager
def _directory(wanted: Path | None) -> Iterator[Path]:
    if wanted is not None:
        yield wanted
        return
    with tempfile.TemporaryDirectory(prefix="kvchat-bench-") as directory:
        yield Path(directory)


def _pool_tokens(options: argparse.Namespace) -> int:
    """Return room for all streams, and for the forks beside the strangers."""
    context, prefill = int(options.context), int(options.prefill)
    return max(max(STREAMS) * (context + 160), (NUM_FORKS + 1) * (prefill + 160)) + 2 * prefill


def _prompts(seed: int, count: int, length: int) -> list[list[int]]:
    dice = random.Random(seed)
    return [[dice.randrange(5, NUM_KNOWN) for _ in range(length)] for _ in range(count)]


def _check(lineup: Lineup, options: argparse.Namespace) -> list[Agreement]:
    prompts = _prompts(1, 3, min(40, options.context))
    bound = BOUNDS[lineup.precision]
    return [
        check_contestant(each, lineup.dense, prompts, bound, num_known=NUM_KNOWN)
        for each in lineup.all
    ]


def _race(lineup: Lineup, threads: Sequence[int], options: argparse.Namespace) -> list[Cell]:
    """Time all tasks of one precision."""
    cells: list[Cell] = []
    for num_streams in STREAMS:
        task = Task(num_streams, 1)
        prompts = _prompts(100 + num_streams, num_streams, options.context)
        for each in lineup.all:
            each.set_threads(max(threads))
            each.begin(prompts)
        steps = NUM_STEPS[num_streams]
        turns = {each.name: Turn(each.restart, each.step, steps) for each in lineup.all}
        cells += _cells(lineup, task, turns, threads, options)
        for each in lineup.all:
            each.end()
    # No prompt is read twice, or we would find it in the cache.
    fresh = iter(_prompts(7, 64 * len(lineup.all), options.prefill))

    def read(contestant: Contestant) -> None:
        contestant.prefill(next(fresh))

    turns = {each.name: Turn(_nothing, partial(read, each)) for each in lineup.all}
    cells += _cells(lineup, Task(0, options.prefill), turns, threads, options)
    return cells


def _cells(
    lineup: Lineup,
    task: Task,
    turns: dict[str, Turn],
    threads: Sequence[int],
    options: argparse.Namespace,
) -> Iterator[Cell]:
    for num_threads in threads:
        for each in lineup.all:
            each.set_threads(num_threads)
        found = in_turns(turns, num_threads=num_threads, num_rounds=options.rounds)
        for name, samples in found.items():
            cell = Cell(lineup.precision, name, task, num_threads, samples)
            _say(options, f"{cell.key}: {cell.tokens_per_second:.1f} tokens/s")
            yield cell


def _race_forks(
    lineup: Lineup, threads: Sequence[int], options: argparse.Namespace, result: Result
) -> None:
    """Time eight forks of one prompt against eight strangers of the same length."""
    bound = BOUNDS[lineup.precision]
    for ours in lineup.own:
        (prompt, *others) = _prompts(9, NUM_FORKS, options.prefill)
        words = list(range(5, 5 + NUM_FORKS))
        twin = ours.twin()
        ours.begin_forks(prompt, words)
        twin.begin([[*each, word] for each, word in zip([prompt, *others], words, strict=True)])
        for num_threads in threads:
            ours.set_threads(num_threads)
            turns = {
                "forks": Turn(ours.restart, ours.step, 4),
                "strangers": Turn(twin.restart, twin.step, 4),
            }
            found = in_turns(turns, num_threads=num_threads, num_rounds=options.rounds)
            forked = [[*prompt, word] for word in words[:2]]
            worst = regret(lineup.dense, forked, ours.said()[:2])
            if not worst <= bound.most_regret:
                raise KVChatError(f"Forks of {ours.name} say something else (regret {worst:.3f}).")
            ratio = found["strangers"].median_seconds / found["forks"].median_seconds
            enough = all(each.is_enough for each in found.values())
            for name, samples in found.items():
                key = f"{ours.name} | {NUM_FORKS} {name} of {options.prefill} | {num_threads}"
                result.samples[key] = samples.document()
            result.figures.append(
                Figure(
                    f"{NUM_FORKS} forks of {options.prefill} tokens ÷ {NUM_FORKS} strangers,"
                    f" {ours.name}, {_threads(num_threads)}",
                    ratio if enough else None,
                    "x",
                    must=1.3 if options.shape == "125m" else None,
                    note="" if enough else "too few clean samples",
                )
            )
            _say(options, f"{ours.name}: forks {ratio:.2f} times strangers, {num_threads} threads")
        ours.end()
        twin.close()


def _tell_cells(result: Result, cells: Sequence[Cell]) -> None:
    """Add a table for each number of threads, and the samples of all cells."""
    for cell in cells:
        result.samples[cell.key] = cell.samples.document()
    for num_threads in dict.fromkeys(cell.num_threads for cell in cells):
        chosen = [cell for cell in cells if cell.num_threads == num_threads]
        tasks = list(dict.fromkeys(cell.task.name for cell in chosen))
        rows: dict[tuple[str, str], list[str]] = {}
        for cell in chosen:
            row = rows.setdefault((cell.precision, cell.contestant), [])
            row.append(_shown(cell))
        if num_threads > 1:
            num_all = sum(len(cell.samples.all) for cell in chosen)
            num_clean = sum(len(cell.samples.seconds) for cell in chosen)
            result.notes.append(
                f"{_threads(num_threads)}: {num_clean} of {num_all} samples are clean."
            )
        unit = "CPU-second" if num_threads == 1 else "second"
        result.tables.append(
            Table(
                f"tokens per {unit}, {_threads(num_threads)}: median (least to most)",
                ["", *tasks],
                [[f"{name} [{precision}]", *row] for (precision, name), row in rows.items()],
            )
        )


def _shown(cell: Cell) -> str:
    tokens = cell.task.num_streams or cell.task.num_tokens
    seconds = cell.samples.seconds
    if not cell.samples.is_enough:
        return f"{cell.tokens_per_second:.3g} (disturbed)"
    least, most = tokens / max(seconds), tokens / min(seconds)
    return f"{cell.tokens_per_second:.3g} ({least:.3g}–{most:.3g})"


def _threads(count: int) -> str:
    return f"{count} thread{'s' if count > 1 else ''}"


def _nothing() -> None:
    """Prepare nothing."""


def _say(options: argparse.Namespace, line: str) -> None:
    """Tell what goes on to whoever waits, apart from the result."""
    if not options.json:
        print(line, file=sys.stderr, flush=True)
