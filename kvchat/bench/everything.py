"""`kvchat bench all`: every benchmark, one process after the other, each into a file of its own.

What is in the folder already is not measured again, so a run that was broken off goes on where it
was. Without `--full` it takes the 125M shape and the model that comes with kvchat, and less than
ten minutes on two idle cores; `--full` adds the shape of 1.1 billion parameters, hours, 15 GB
of disk and 14 of memory; with `--models` its weights are kept for another start. The last line is
one JSON object with what all of them found; `kvchat bench report FOLDER` makes a page of it.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from kvchat.bench.ending import ended
from kvchat.bench.lineup import FILE_TYPES
from kvchat.bench.programs import PROGRAMS
from kvchat.bench.random_model import SHAPES
from kvchat.bench.result import read_document, write_document
from kvchat.cli_options import Parser
from kvchat.errors import InvalidArgument, KVChatError

MODELS = "MODELS"
"""Stands in arguments for the folder in which random weights are kept during a run."""


@dataclass(frozen=True, slots=True)
class Part:
    """One benchmark with its arguments, and the name of the file it goes to."""

    name: str
    arguments: tuple[str, ...]


def parts(*, shape: str, is_full: bool, rounds: int, large: str = "1b") -> list[Part]:
    """Return what is measured, in order; benchmarks that are not there are left out."""
    turns = ("--rounds", str(rounds))
    models = ("--models", MODELS)
    found = []
    for precision in FILE_TYPES:
        # Nothing is asked of bf16, so its second number of threads waits for the full run.
        threads = "1" if precision == "bf16" and not is_full else "1,2"
        words = ("throughput", "--shape", shape, "--precision", precision, "--threads", threads)
        found.append(Part(f"throughput-{shape}-{precision}", (*words, *turns, *models)))
    found += [
        Part("threads-fp32", ("threads", "--shape", shape, *turns, *models)),
        Part("overhead", ("overhead", "--shape", shape, *turns, *models)),
        Part("caches", ("caches", *turns)),
        Part("attention", ("attention", *turns)),
        Part("linear", ("linear", "--shape", "125m", *turns)),
        Part("sessions", ("sessions", *turns)),
    ]
    if is_full:
        int8 = ("threads", "--shape", shape, "--weights", "int8")
        found += [
            Part("threads-int8", (*int8, *turns, *models)),
            Part("ui", ("ui", "--tokens", "60", "--starts", "2", *turns)),
            Part("start", ("start", *turns)),
        ]
        found.append(Part("caches-compiled", ("caches", "--compile", *turns)))
        # A turn has several steps, and rounds are added where a ratio lacks samples.
        once = ("--rounds", "1")
        found += list(_large_parts(large, (*once, *models)))
        found.append(Part(f"sessions-{large}", ("sessions", "--shape", large, *once)))
    return [part for part in found if part.arguments[0] in PROGRAMS]


def _large_parts(shape: str, words: tuple[str, ...]) -> Iterator[Part]:
    """Yield the race of a large shape: a file for each precision and number of threads."""
    for threads, ending in (("1", ""), ("2", "-2-threads")):
        for precision in FILE_TYPES:
            race = ("throughput", "--shape", shape, "--precision", precision, "--threads", threads)
            # At 16 bits torch and native each have all weights, which would be too many.
            kernels = ("--kernel", "native") if precision == "bf16" else ()
            yield Part(f"throughput-{shape}-{precision}{ending}", (*race, *kernels, *words))


def main(arguments: Sequence[str]) -> int:
    """Run every benchmark that has no file yet; return 1 if one of them failed."""
    parser = Parser(prog="kvchat bench all", description=__doc__)
    parser.add_argument("--full", action="store_true", help="add the shape of 1.1 billion")
    parser.add_argument("--shape", default="125m", help="the shape of random weights")
    parser.add_argument("--large", default="1b", metavar="SHAPE", help="what --full adds")
    parser.add_argument(
        "--rounds", type=int, default=3, help="counted rounds of each; one of the large shape"
    )
    parser.add_argument("--only", metavar="LIST", help="parts by the beginnings of their names")
    parser.add_argument("--again", action="store_true", help="measure what has a file as well")
    parser.add_argument("--out", type=Path, default=Path("kvchat-bench"), metavar="FOLDER")
    parser.add_argument("--models", type=Path, metavar="DIR", help="keep the weights made there")
    parser.add_argument("--json", action="store_true", help="print the JSON object alone")
    options = parser.parse_args(arguments)
    if options.rounds < 1:
        raise InvalidArgument(f"--rounds is {options.rounds}, but it must be at least 1.")
    for option, shape in (("--shape", options.shape), ("--large", options.large)):
        if shape not in SHAPES:
            raise InvalidArgument(
                f"{option} is {shape!r}, not one of: {', '.join(sorted(SHAPES))}."
            )
    chosen = parts(
        shape=options.shape, is_full=options.full, rounds=options.rounds, large=options.large
    )
    if options.only is not None:
        beginnings = tuple(options.only.split(","))
        chosen = [part for part in chosen if part.name.startswith(beginnings)]
        if not chosen:
            raise InvalidArgument(f"--only names no part: {options.only!r}.")
    _try_folder(options.out)
    started, failed = time.monotonic(), []
    documents: dict[str, object] = {}
    with tempfile.TemporaryDirectory(prefix="kvchat-bench-") as temporary:
        models = options.models or Path(temporary)
        for part in chosen:
            path = options.out / f"{part.name}.json"
            if path.exists() and not options.again:
                try:
                    documents[part.name] = read_document(path)
                    continue
                except InvalidArgument:  # a file that was cut is no result
                    print(f"{path} is damaged and measured again.", file=sys.stderr, flush=True)
            begun = time.monotonic()
            try:
                documents[part.name] = run_part(part, path, models, is_quiet=options.json)
            except KVChatError as error:
                failed.append(part.name)
                print(f"{part.name}: {error.sentence}", file=sys.stderr, flush=True)
            if not options.json:
                seconds = time.monotonic() - begun
                peak = _peak_bytes(documents.get(part.name)) / 2**30
                print(f"{part.name:30} {seconds:6.0f} s  {peak:5.1f} GiB at most", flush=True)
    if not options.json:
        _tell_misses(documents, options)
    found = {
        "bench": "all",
        "parts": documents,
        "failed": failed,
        "seconds": round(time.monotonic() - started, 1),
    }
    print(json.dumps(found, ensure_ascii=False))
    return 1 if failed else 0


def _try_folder(folder: Path) -> None:
    """Make the folder of results, before minutes are spent; raises InvalidArgument."""
    trial = folder / ".trial"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        trial.touch()
        trial.unlink()
    except OSError as error:
        raise InvalidArgument(f"--out {folder} cannot be written: {error.strerror}.") from error


def run_part(part: Part, path: Path, models: Path, *, is_quiet: bool = True) -> dict[str, object]:
    """Run one benchmark in a process of its own, keep its object as a file, and return it.

    What it says of its progress is passed on, unless `is_quiet`. Raises KVChatError when it fails
    or prints no object.
    """
    words = [str(models) if word == MODELS else word for word in part.arguments]
    said: deque[str] = deque(maxlen=20)
    with (
        tempfile.TemporaryFile("w+", encoding="utf-8") as printed,
        subprocess.Popen(
            [sys.executable, "-m", "kvchat", "bench", *words],
            stdout=printed,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            env={**os.environ, "PYTHONSAFEPATH": "1"},
        ) as running,
        ended(running),
    ):
        assert running.stderr is not None
        for line in running.stderr:
            said.append(line)
            if not is_quiet:
                print(f"  {part.name}: {line}", end="", file=sys.stderr, flush=True)
        status = running.wait()
        printed.seek(0)
        lines = printed.read().splitlines()
    if status < 0:
        raise KVChatError(f"It was ended by signal {-status}, as where memory is short.")
    if status != 0 or not lines:
        raise KVChatError(f"It failed: {''.join(said).strip()[-400:]}")
    try:
        document = json.loads(lines[-1])
    except ValueError as error:
        raise KVChatError("It printed no JSON object as its last line.") from error
    write_document(path, lines[-1])
    return dict(document)


def _peak_bytes(document: object) -> int:
    """Return the most memory that a benchmark said it had; 0 where it said nothing."""
    machine = document.get("machine") if isinstance(document, dict) else None
    return int(machine.get("peak_bytes", 0)) if isinstance(machine, dict) else 0


def _tell_misses(documents: dict[str, object], options: argparse.Namespace) -> None:
    """Print what was not as it must be, and where the rest is."""
    for name, document in documents.items():
        figures = document.get("figures") if isinstance(document, dict) else None
        for figure in figures if isinstance(figures, list) else ():
            if figure.get("verdict") == "MISSED":
                print(f"missed in {name}: {figure['name']}: {figure['value']:.4g}{figure['unit']}")
    print(f"all figures: kvchat bench report {options.out}")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
