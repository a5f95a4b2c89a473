"""`kvchat bench sessions`: how soon a cold chat answers, with saved keys and values and without.

A chat of about 2,000 tokens is spoken once and saved. Then, in turns: kvchat starts on a copy of
that directory, and on a copy without the saved files. Another chat says a word first, so that the
engine runs; then the time from `send` in the cold chat to its first text is taken. Both must answer
the same, or nothing is reported; with random weights in bf16 rounding alone can change an answer,
since their likeliest tokens are close. Files are in the memory of the system, as after a restart of
kvchat and not of the machine. The ratio is that of the medians; the last line is one JSON object.
"""

import argparse
import json
import shutil
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import get_args

from kvchat.bench.measure import Comparison, machine, spread
from kvchat.bench.result import add_output_options, tell_document
from kvchat.cli_options import Parser
from kvchat.device import WeightsName
from kvchat.errors import InvalidArgument
from kvchat.runtime import ChatRuntime
from kvchat.sampling_params import SamplingParams

SYSTEM = "You are terse."
LINE = "The river runs past the old mill, and in the morning the boats go down to the sea. "
QUESTION = "And then?"
SAMPLING = SamplingParams(temperature=0.0, max_tokens=8)
TURN_TOKENS = 200
BUNDLED = "bundled"


@dataclass(frozen=True, slots=True)
class Start:
    """One first message after a start: seconds to its first text, and what had to be computed."""

    seconds: float
    num_prompt_tokens: int
    num_computed_tokens: int
    answer: str


@dataclass(frozen=True, slots=True)
class Saved:
    """The chat that was spoken: its size, and what saving it took after its last turn."""

    num_tokens: int
    num_files: int
    num_bytes: int
    wait_seconds: float


def main(arguments: Sequence[str]) -> int:
    """Run the benchmark, print a table and a line of JSON, and return the exit status."""
    parser = Parser(
        prog="kvchat bench sessions", description="Measure a restart with and without saved KV."
    )
    parser.add_argument("-m", "--model", metavar="DIR", help="a model folder; default: bundled")
    parser.add_argument(
        "--shape",
        default=BUNDLED,
        help="1b: random weights in the shape of a model of 1.1 billion parameters, which takes"
        " 5 GB of disk and memory, and minutes",
    )
    parser.add_argument("--tokens", type=int, default=1950, help="length of the chat")
    parser.add_argument("--rounds", type=int, default=5, help="starts of each kind")
    parser.add_argument("--threads", type=int, help="CPU threads")
    parser.add_argument(
        "--weights", choices=get_args(WeightsName), default="auto", help="as in kvchat --weights"
    )
    add_output_options(parser)
    options = parser.parse_args(arguments)
    if min(options.rounds, options.tokens) < 1:
        raise InvalidArgument("--rounds and --tokens must be at least 1.")
    with tempfile.TemporaryDirectory(prefix="kvchat-bench-") as directory:
        if options.shape != BUNDLED:
            options.model = _random_model(Path(directory) / options.shape, options)
        return _run(Path(directory), options)


def _random_model(folder: Path, options: argparse.Namespace) -> Path:
    import torch

    from kvchat.bench.random_model import SHAPES, check_room, write_random_model
    from kvchat.paths import bundled_model_dir

    if options.shape not in SHAPES:
        shapes = ", ".join([BUNDLED, *SHAPES])
        raise InvalidArgument(f"--shape is {options.shape!r}, but it must be one of: {shapes}.")
    dtype = torch.bfloat16 if options.weights == "bf16" else torch.float32
    check_room(folder.parent, options.shape, dtype)
    num_parameters = write_random_model(folder, options.shape, bundled_model_dir(), dtype)
    if not options.json:
        print(f"random weights, {num_parameters / 1e6:.0f} million of them", flush=True)
    return folder


def _run(directory: Path, options: argparse.Namespace) -> int:
    begun, first = perf_counter(), directory / "first"
    saved = _speak(first, options)
    restored: list[Start] = []
    computed: list[Start] = []
    for number in range(options.rounds):
        restored.append(_start(_copy(first, directory / f"with {number}", True), options))
        computed.append(_start(_copy(first, directory / f"without {number}", False), options))
        told = f"{restored[-1].seconds:.2f} s restored, {computed[-1].seconds:.2f} s computed"
        print(f"round {number + 1}: {told}", file=sys.stderr, flush=True)
        if restored[-1].answer != computed[-1].answer:
            if not options.json:
                print(f"the answers differ: {restored[-1].answer!r}, {computed[-1].answer!r}")
            print(json.dumps({"bench": "sessions", "equal_answers": False}))
            return 1
    times = Comparison(
        tuple(start.seconds for start in restored), tuple(start.seconds for start in computed)
    )
    where = machine()
    if not options.json:
        _tell(saved, restored[-1], computed[-1], times, where)
    document: dict[str, object] = {
        "bench": "sessions",
        "title": f"a restart with saved keys and values, {options.shape}",
        "date": time.strftime("%Y-%m-%d", time.gmtime()),
        "seconds": round(perf_counter() - begun, 1),
        "shape": options.shape,
        "num_tokens": saved.num_tokens,
        "num_files": saved.num_files,
        "num_bytes": saved.num_bytes,
        "save_wait_seconds": saved.wait_seconds,
        "restored_seconds": times.quick,
        "computed_seconds": times.slow,
        "restored_computed_tokens": restored[-1].num_computed_tokens,
        "computed_computed_tokens": computed[-1].num_computed_tokens,
        "ratio": times.ratio,
        "round_ratios": times.rounds,
        "equal_answers": True,
        "machine": where,
    }
    return tell_document(document, options)


def _tell(
    saved: Saved, restored: Start, computed: Start, times: Comparison, where: Mapping[str, object]
) -> None:
    print(f"{where['processor']}, {where['num_cpus']} processors, load {where['load']}")
    print(f"chat of {saved.num_tokens} tokens, {saved.num_files} files of {saved.num_bytes} bytes")
    print(f"waiting for the disk after the last turn: {1000 * saved.wait_seconds:.1f} ms\n")
    print(f"{'first message of a cold chat':28} {'computed':>9}  from send to first text")
    for name, start, seconds in (
        ("with saved keys and values", restored, times.quick),
        ("without them", computed, times.slow),
    ):
        print(f"{name:28} {start.num_computed_tokens:9}  {spread(seconds, ' ms', 1000)}")
    print(f"\nratio {times.ratio:.1f}; in single rounds {spread(times.rounds, '')}")
    print("the answers are equal\n")


def _open(directory: Path, options: argparse.Namespace) -> ChatRuntime:
    runtime = ChatRuntime(
        options.model, data_dir=directory, threads=options.threads, weights=options.weights
    )
    runtime.stats()  # waits for the model
    return runtime


def _speak(directory: Path, options: argparse.Namespace) -> Saved:
    """Have the conversation, and save it."""
    with _open(directory, options) as runtime:
        chat = runtime.new_session(system=SYSTEM, window=None)
        limit = min(options.tokens, runtime.status().context_tokens - 2 * TURN_TOKENS // 4)
        per_line = 0
        while True:
            rest = limit - chat.stats().num_tokens
            lines = 8 if not per_line else min(8, (rest - 40) // per_line)
            if lines < 1:
                break
            reply = chat.send(LINE * lines, SAMPLING)
            reply.wait()
            per_line = per_line or -(-reply.num_prompt_tokens // lines)
        started = perf_counter()
        chat.save()
        seconds = perf_counter() - started
        num_tokens = chat.stats().num_tokens
    files = list((directory / "kv").iterdir())
    return Saved(num_tokens, len(files), sum(path.stat().st_size for path in files), seconds)


def _copy(source: Path, target: Path, with_files: bool) -> Path:
    shutil.copytree(source, target)
    if not with_files:
        shutil.rmtree(target / "kv")
    return target


def _start(directory: Path, options: argparse.Namespace) -> Start:
    """Open a directory, let another chat talk, then say one thing in the cold one."""
    with _open(directory, options) as runtime:
        (chat,) = runtime.sessions()
        assert chat.messages  # the text is read before the clock starts
        other = runtime.new_session(window=None)
        other.send("Good morning.", SAMPLING).wait()
        other.save()
        started = perf_counter()
        reply = chat.send(QUESTION, SAMPLING)
        next(iter(reply), "")
        seconds = perf_counter() - started
        answer = reply.wait().text
        num_computed = reply.num_prompt_tokens - reply.num_cached_tokens
        return Start(seconds, reply.num_prompt_tokens, num_computed, answer)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
