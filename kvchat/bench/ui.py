"""`kvchat bench ui`: what the terminal app costs, and how soon it answers.

Four chats stream with the block map open: with the bundled model, and with a script in its place
at 40 tokens a second each. The screen's thread is measured in CPU time; tokens per second with and
without a screen in turns, as a ratio of medians; keys from the driver's side. Then the transcript
alone, and the start of the real program in a pseudo terminal. Times need an idle machine, shares
and ratios little less so. The last line is one JSON object.
"""

import argparse
import asyncio
import dataclasses
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from statistics import median
from typing import Any

from kvchat.bench.measure import machine
from kvchat.bench.result import add_output_options, tell_document
from kvchat.bench.ui_lines import LineCosts, line_costs
from kvchat.bench.ui_start import Start, measure_start
from kvchat.bench.ui_streams import StreamRun, open_runtime, with_screen, without_screen
from kvchat.cli_options import Parser
from kvchat.errors import InvalidArgument

KEYS_PER_RUN = 40
VIEWS_PER_SECOND = 5


@dataclass(frozen=True, slots=True)
class Figure:
    """One measured figure beside what it is to be; `is_good` is None where nothing is asked."""

    name: str
    measured: float
    budget: float | None = None
    unit: str = ""
    at_least: bool = False

    @property
    def is_good(self) -> bool | None:
        """Whether the budget is kept."""
        if self.budget is None:
            return None
        return self.measured >= self.budget if self.at_least else self.measured <= self.budget

    def line(self) -> str:
        """Return the figure as a row of the table."""
        scale = {"%": 100.0, " ms": 1000.0}.get(self.unit, 1.0)
        value = f"{scale * self.measured:.3g}{self.unit}"
        budget = ""
        if self.budget is not None:
            sign = ">=" if self.at_least else "<="
            budget = f"{sign} {scale * self.budget:.3g}{self.unit}"
        verdict = {None: "", True: "ok", False: "MISSED"}[self.is_good]
        return f"{self.name:52} {value:>10}  {budget:>10}  {verdict}"


def main(arguments: Sequence[str]) -> int:
    """Run the benchmark, print a table and a line of JSON, and return the exit status."""
    parser = Parser(prog="kvchat bench ui", description=__doc__)
    parser.add_argument("-m", "--model", metavar="DIR", help="a model folder; default: bundled")
    parser.add_argument("--rounds", type=int, default=5, help="pairs of runs of each kind")
    parser.add_argument("--tokens", type=int, default=120, help="tokens of each stream in a run")
    parser.add_argument("--starts", type=int, default=3, help="starts of the program")
    parser.add_argument("--threads", type=int, help="CPU threads of the model")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument(
        "--switch-interval", type=float, help="seconds after which Python's threads take turns"
    )
    add_output_options(parser)
    options = parser.parse_args(arguments)
    if min(options.rounds, options.starts) < 0 or options.tokens < 1:
        raise InvalidArgument("--tokens must be at least 1, --rounds and --starts 0.")
    if options.switch_interval:
        sys.setswitchinterval(options.switch_interval)
    say = (lambda _line: None) if options.json else print
    figures: list[Figure] = []
    runs: dict[str, list[tuple[StreamRun, StreamRun]]] = {}
    for kind, is_scripted in (("script", True), ("model", False)):
        runs[kind] = _streams(options, is_scripted)
        figures += stream_figures(kind, runs[kind])
    costs = asyncio.run(line_costs()) if options.rounds else None
    if costs is not None:
        figures += line_figures(costs)
    starts = _starts(options)
    figures += start_figures(starts)
    for figure in figures:
        say(figure.line())
    document: dict[str, object] = {
        "bench": "ui",
        "switch_interval": sys.getswitchinterval(),
        "figures": {
            figure.name: {
                "measured": figure.measured,
                "budget": figure.budget,
                "is_good": figure.is_good,
            }
            for figure in figures
        },
        "rounds": {kind: [_round(one, other) for one, other in runs[kind]] for kind in runs},
        "appends": {} if costs is None else costs.appends,
        "starts": [dataclasses.asdict(start) for start in starts],
        "machine": machine(),
    }
    return tell_document(document, options)


def _streams(options: argparse.Namespace, is_scripted: bool) -> list[tuple[StreamRun, StreamRun]]:
    """Return pairs of runs, without a screen and with one, in turns; the first pair warms up."""
    random = Random(options.seed)
    pairs = []
    with open_runtime(options.model, options.threads, is_scripted) as runtime:
        for number in range(options.rounds + 1):
            seed = options.seed + 10 * number
            alone = without_screen(runtime, options.tokens, seed)
            below = asyncio.run(with_screen(runtime, options.tokens, seed, random, KEYS_PER_RUN))
            if number or not options.rounds:
                pairs.append((alone, below))
    return pairs


def _starts(options: argparse.Namespace) -> list[Start]:
    starts = []
    for _ in range(options.starts):
        with tempfile.TemporaryDirectory(prefix="kvchat-bench-") as directory:
            arguments = ["--data-dir", directory]
            if options.model:
                arguments += ["--model", options.model]
            starts.append(measure_start(arguments))
    return starts


def stream_figures(kind: str, pairs: Sequence[tuple[StreamRun, StreamRun]]) -> list[Figure]:
    """Return what pairs of runs say."""
    below = [other for _, other in pairs]
    echoes = [seconds for run in below for seconds in run.echo_seconds]
    gaps = [seconds for run in below for seconds in run.loop_gaps]
    ratio = median(run.tokens_per_second for run in below) / median(
        alone.tokens_per_second for alone, _ in pairs
    )
    by_pair = median(run.tokens_per_second / alone.tokens_per_second for alone, run in pairs)
    return [
        Figure(f"{kind}: screen's thread, part of a core", _middle(below), 0.10, "%"),
        Figure(f"{kind}: tokens/s with screen / without", ratio, 0.95, at_least=True),
        Figure(f"{kind}: the same, median of the pairs", by_pair),
        Figure(f"{kind}: key echo, 95 of 100", percentile(echoes, 0.95), 0.050, " ms"),
        Figure(f"{kind}: gap of the screen's loop, 99 of 100", percentile(gaps, 0.99), 0.1, " ms"),
        Figure(
            f"{kind}: copying the pool's tables, part of the engine",
            VIEWS_PER_SECOND * median(run.view_seconds for run in below),
            0.02,
            "%",
        ),
        Figure(f"{kind}: tokens/s below the screen", median(r.tokens_per_second for r in below)),
    ]


def line_figures(costs: LineCosts) -> list[Figure]:
    """Return what the transcript alone says."""
    least, most = min(costs.appends), max(costs.appends)
    figures = [
        Figure(f"append of 120 characters to {size} KB of fence", seconds, 0.020, " ms")
        for size, seconds in costs.appends.items()
    ]
    growth = costs.appends[most] / costs.appends[least]
    figures.append(Figure(f"append to {most} KB / to {least} KB", growth, 1.5))
    figures.append(Figure("open 10 000 messages", costs.open_seconds, 0.2, " ms"))
    figures.append(Figure("switch to another chat", median(costs.switch_seconds), 0.05, " ms"))
    return figures


def start_figures(starts: Sequence[Start]) -> list[Figure]:
    """Return what starts in a terminal say."""
    if not starts:
        return []
    first = median(start.first_frame_seconds for start in starts)
    echoes = [seconds for start in starts for seconds in start.echo_seconds]
    ready = median(start.ready_seconds for start in starts)
    cpu = median(start.first_frame_cpu_seconds for start in starts)
    return [
        Figure("first frame from the start of the process", first, 0.5, " ms"),
        Figure("CPU time until the first frame", cpu, None, " ms"),
        Figure("key echo while the model loads, 95 of 100", percentile(echoes, 0.95), 0.05, " ms"),
        Figure("key echo while the model loads, the longest", max(echoes), None, " ms"),
        Figure("model ready after the start", ready, None, " s"),
    ]


def percentile(values: Sequence[float], part: float) -> float:
    """Return the value below which so large a part of the values lies; 0 without any."""
    ordered = sorted(values)
    return ordered[min(int(part * len(ordered)), len(ordered) - 1)] if ordered else 0.0


def _middle(runs: Sequence[StreamRun]) -> float:
    return median(run.ui_share for run in runs)


def _round(alone: StreamRun, below: StreamRun) -> dict[str, Any]:  # figures of several kinds
    return {
        "without_screen": alone.tokens_per_second,
        "with_screen": below.tokens_per_second,
        "ui_share": below.ui_share,
        "echo_p95": percentile(below.echo_seconds, 0.95),
        "characters_per_second": below.num_characters / below.seconds,
    }


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
