"""`kvchat bench sessions`: what a restart costs, with saved keys and values and without.

A chat of about 2,000 tokens is spoken once and saved. Then, in turns: kvchat starts on a copy of
that directory, and on a copy without the saved files; the time from `send` to the first text is
taken, model already loaded. The answers must be the same. The ratio is the median of the rounds'
ratios, since two neighboring runs see the same machine. The last line is one JSON object.
"""

import argparse
import json
import shutil
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from time import perf_counter

from kvchat.runtime import ChatRuntime
from kvchat.sampling_params import SamplingParams

SYSTEM = "You are terse."
LINE = "The river runs past the old mill, and in the morning the boats go down to the sea. "
QUESTION = "And then?"
SAMPLING = SamplingParams(temperature=0.0, max_tokens=8)
TURN_TOKENS = 200


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
    parser = argparse.ArgumentParser(
        prog="kvchat bench sessions", description="Measure a restart with and without saved KV."
    )
    parser.add_argument("-m", "--model", metavar="DIR", help="a model folder; default: bundled")
    parser.add_argument("--tokens", type=int, default=1950, help="length of the chat")
    parser.add_argument("--rounds", type=int, default=5, help="starts of each kind")
    parser.add_argument("--threads", type=int, help="CPU threads")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="kvchat-bench-") as directory:
        return _run(Path(directory), options)


def _run(directory: Path, options: argparse.Namespace) -> int:
    first = directory / "first"
    saved = _speak(first, options)
    restored, computed = [], []
    for number in range(options.rounds):
        restored.append(_start(_copy(first, directory / f"with {number}", True), options))
        computed.append(_start(_copy(first, directory / f"without {number}", False), options))
    answers = {start.answer for start in restored + computed}
    ratio = median(
        slow.seconds / quick.seconds for quick, slow in zip(restored, computed, strict=True)
    )
    print(f"chat of {saved.num_tokens} tokens, {saved.num_files} files of {saved.num_bytes} bytes")
    print(f"waiting for the disk after the last turn: {1000 * saved.wait_seconds:.1f} ms\n")
    print(f"{'first message after a start':30} {'computed':>9} {'first text':>11}")
    for name, starts in (("with saved keys and values", restored), ("without them", computed)):
        seconds = median(start.seconds for start in starts)
        print(f"{name:30} {starts[-1].num_computed_tokens:9} {1000 * seconds:8.1f} ms")
    print(f"\nratio {ratio:.1f}; the answers are {'equal' if len(answers) == 1 else 'DIFFERENT'}\n")
    document = {
        "bench": "sessions",
        "num_tokens": saved.num_tokens,
        "num_files": saved.num_files,
        "num_bytes": saved.num_bytes,
        "save_wait_seconds": saved.wait_seconds,
        "restored_seconds": [start.seconds for start in restored],
        "computed_seconds": [start.seconds for start in computed],
        "restored_computed_tokens": restored[-1].num_computed_tokens,
        "ratio": ratio,
        "equal_answers": len(answers) == 1,
    }
    print(json.dumps(document))
    return 0 if len(answers) == 1 else 1


def _open(directory: Path, options: argparse.Namespace) -> ChatRuntime:
    runtime = ChatRuntime(options.model, data_dir=directory, threads=options.threads)
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
    """Open a directory and say one thing in its chat."""
    with _open(directory, options) as runtime:
        (chat,) = runtime.sessions()
        assert chat.messages  # the text is read before the clock starts
        started = perf_counter()
        reply = chat.send(QUESTION, SAMPLING)
        next(iter(reply), "")
        seconds = perf_counter() - started
        answer = reply.wait().text
        num_computed = reply.num_prompt_tokens - reply.num_cached_tokens
        return Start(seconds, reply.num_prompt_tokens, num_computed, answer)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
