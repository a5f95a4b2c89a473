"""`python -m kvchat.train`: trains the bundled model on the CPU; see Trainer.

The budget is a number of steps, a time, or processor time.
"""

import argparse
import math
import os
import signal
import sys
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import torch

from kvchat.errors import InvalidArgument, KVChatError
from kvchat.training.config import SMOKE, Budget, TrainingConfig
from kvchat.training.export import export_model, make_folder
from kvchat.training.trainer import CHECKPOINT, EXTENSION_PEAK, Trainer

SIZES = ("vocab_size", "hidden_size", "intermediate_size", "num_layers", "num_heads")
"""What `TrainingConfig` has, and an option says."""

MIN_VOCABULARY, MAX_VOCABULARY = 400, 65_536
"""Single bytes, control pieces and ASCII must find room, and ids take two bytes."""


def parse_moment(text: str) -> float:
    """Read `HH:MM`, the next time a UTC clock shows it, as unix seconds."""
    now = datetime.now(UTC)
    try:
        clock = datetime.strptime(text, "%H:%M")
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r} is no time such as 16:45") from error
    moment = now.replace(hour=clock.hour, minute=clock.minute, second=0, microsecond=0)
    return (moment if moment > now else moment + timedelta(days=1)).timestamp()


def _at_least_one(text: str) -> int:
    try:
        number = int(text)
    except ValueError:
        number = 0
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number from 1 on")
    return number


def _minutes(text: str) -> float:
    try:
        minutes = float(text)
    except ValueError:
        minutes = math.nan
    if not 0 < minutes < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of minutes above 0")
    return minutes


def main(arguments: Sequence[str] | None = None) -> int:
    """Train, resume or only export, as the command line says; 75 if a signal stopped it before."""
    try:
        return _train(_parser().parse_args(arguments))
    except KVChatError as error:
        print(error.sentence, file=sys.stderr)
        return error.exit_status
    except KeyboardInterrupt:  # before the first step, when there is nothing to keep
        return 130


def _part(text: str) -> float:
    part = float(text)
    if not 0 < part <= 1:
        raise argparse.ArgumentTypeError(f"{text} is not a part of one, such as 0.1")
    return part


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m kvchat.train", description="Train the model.")
    parser.add_argument("--corpus", type=Path, required=True, help="folder of .jsonl(.zst) files")
    parser.add_argument("--out", type=Path, default=Path("weights"), help="model folder to write")
    parser.add_argument(
        "--work", type=Path, default=Path("training"), help="checkpoint, caches, log"
    )
    length = parser.add_mutually_exclusive_group(required=True)
    length.add_argument("--steps", type=_at_least_one, metavar="N")
    length.add_argument("--minutes", type=_minutes, metavar="N")
    length.add_argument(
        "--cpu-minutes",
        type=_minutes,
        metavar="N",
        help="of processor time, to compare shapes",
    )
    length.add_argument(
        "--until",
        type=parse_moment,
        metavar="HH:MM",
        help="in UTC; tomorrow where that has passed today",
    )
    length.add_argument("--export-only", action="store_true", help="write the folder, do not train")
    parser.add_argument(
        "--extend",
        action="store_true",
        help="go on from the finished run in --work, over answers alone",
    )
    parser.add_argument(
        "--peak",
        type=_part,
        default=EXTENSION_PEAK,
        metavar="X",
        help="--extend goes down from this part of the peak learning rate",
    )
    shape = TrainingConfig()
    for name in SIZES:
        flag, usual = f"--{name.replace('_', '-')}", getattr(shape, name)
        parser.add_argument(flag, type=_at_least_one, metavar="N", help=f"default: {usual}")
    parser.add_argument(
        "--workers", type=_at_least_one, default=2, help="threads, each on its own batches"
    )
    parser.add_argument("--pause-file", type=Path, help="no step starts while this file exists")
    parser.add_argument("--export-minutes", type=_minutes, default=25.0, metavar="N")
    parser.add_argument("--smoke", action="store_true", help="other defaults: a tiny model")
    return parser


def _shape(options: argparse.Namespace) -> TrainingConfig:
    """Return the settings that were chosen; raises InvalidArgument where they make no model."""
    chosen = {name: getattr(options, name) for name in SIZES if getattr(options, name) is not None}
    shape = replace(SMOKE if options.smoke else TrainingConfig(), **chosen)
    if shape.hidden_size % (2 * shape.num_heads) or shape.num_heads % shape.num_kv_heads:
        raise InvalidArgument(
            f"--hidden-size {shape.hidden_size} must be a multiple of twice --num-heads "
            f"{shape.num_heads}, and that a multiple of {shape.num_kv_heads}."
        )
    if not MIN_VOCABULARY <= shape.vocab_size <= MAX_VOCABULARY:
        raise InvalidArgument(
            f"--vocab-size is {shape.vocab_size}, but it must be {MIN_VOCABULARY} to "
            f"{MAX_VOCABULARY}."
        )
    return shape


def _train(options: argparse.Namespace) -> int:
    config = _shape(options)
    has_checkpoint = (options.work / CHECKPOINT).is_file()
    if not has_checkpoint and (options.extend or options.export_only):
        wanted = "--extend" if options.extend else "--export-only"
        raise InvalidArgument(f"{options.work} has no checkpoint for {wanted}; train there first.")
    make_folder(options.out)  # an hour later it would be too late to hear of it
    # Rows of all lengths would otherwise fill oneDNN's caches with gigabytes of prepared kernels.
    for name in ("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "LRU_CACHE_CAPACITY"):
        os.environ.setdefault(name, "128")
    torch.set_num_threads(1)  # each worker is one thread; barriers would wait for busy cores
    trainer = Trainer(
        config,
        options.corpus,
        options.work,
        workers=options.workers,
        pause_file=options.pause_file,
        extension_peak=options.peak,
    )
    resumed = trainer.extend() if options.extend else trainer.resume()
    trainer.log(f"{'resumed' if resumed else 'new'} run: {config}")
    if options.export_only:
        export_model(trainer.model, trainer.tokenizer_path, options.out)
        trainer.close()
        return 0
    if trainer.progress.share >= 1.0:
        trainer.log(f"{options.work} holds a finished run; --extend goes on from it")
    if options.until is not None:
        trainer.log(f"until {datetime.fromtimestamp(options.until, UTC):%Y-%m-%d %H:%M} UTC")
    stopped: list[int] = []
    previous = {
        number: signal.signal(number, lambda received, _: stopped.append(received))
        for number in (signal.SIGTERM, signal.SIGINT)
    }
    try:
        is_done = trainer.train(
            Budget(options.steps, options.minutes, options.cpu_minutes, options.until),
            out=options.out,
            export_minutes=options.export_minutes,
            should_stop=lambda: bool(stopped),
        )
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
        trainer.close()
    return 0 if is_done else 75


if __name__ == "__main__":
    raise SystemExit(main())
