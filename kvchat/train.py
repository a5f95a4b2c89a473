"""`python -m kvchat.train`: trains the bundled model on the CPU; see Trainer.

The budget is a number of steps, a time, or processor time.
"""

import argparse
import os
import signal
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import torch

from kvchat.training.config import SMOKE, Budget, TrainingConfig
from kvchat.training.export import export_model
from kvchat.training.trainer import Trainer


def parse_moment(text: str) -> float:
    """Read `HH:MM`, the next time a UTC clock shows it, as unix seconds."""
    now = datetime.now(UTC)
    clock = datetime.strptime(text, "%H:%M")
    moment = now.replace(hour=clock.hour, minute=clock.minute, second=0, microsecond=0)
    return (moment if moment > now else moment + timedelta(days=1)).timestamp()


def main(arguments: Sequence[str] | None = None) -> int:
    """Train, resume or only export, as the command line says; 75 if a signal stopped it before."""
    parser = argparse.ArgumentParser(prog="python -m kvchat.train", description="Train the model.")
    parser.add_argument("--corpus", type=Path, required=True, help="folder of .jsonl(.zst) files")
    parser.add_argument("--out", type=Path, default=Path("weights"), help="model folder to write")
    parser.add_argument(
        "--work", type=Path, default=Path("training"), help="checkpoint, caches, log"
    )
    length = parser.add_mutually_exclusive_group(required=True)
    length.add_argument("--steps", type=int)
    length.add_argument("--minutes", type=float)
    length.add_argument("--cpu-minutes", type=float, help="of processor time, to compare shapes")
    length.add_argument("--until", type=parse_moment, metavar="HH:MM", help="in UTC")
    length.add_argument("--export-only", action="store_true", help="write the folder, do not train")
    parser.add_argument(
        "--extend", action="store_true", help="go on from a finished run, over answers alone"
    )
    shape = TrainingConfig()
    for name in ("vocab_size", "hidden_size", "intermediate_size", "num_layers", "num_heads"):
        flag = f"--{name.replace('_', '-')}"
        parser.add_argument(flag, type=int, default=getattr(shape, name), metavar="N")
    parser.add_argument("--workers", type=int, default=2, help="threads, each on its own batches")
    parser.add_argument("--pause-file", type=Path, help="no step starts while this file exists")
    parser.add_argument("--export-minutes", type=float, default=25.0)
    parser.add_argument("--smoke", action="store_true", help="a tiny model, for tests")
    options = parser.parse_args(arguments)

    # Rows of all lengths would otherwise fill oneDNN's caches with gigabytes of prepared kernels.
    for name in ("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "LRU_CACHE_CAPACITY"):
        os.environ.setdefault(name, "128")
    torch.set_num_threads(1)  # each worker is one thread; barriers would wait for busy cores
    shape = replace(
        shape,
        vocab_size=options.vocab_size,
        hidden_size=options.hidden_size,
        intermediate_size=options.intermediate_size,
        num_layers=options.num_layers,
        num_heads=options.num_heads,
    )
    config = SMOKE if options.smoke else shape
    trainer = Trainer(
        config,
        options.corpus,
        options.work,
        workers=options.workers,
        pause_file=options.pause_file,
    )
    resumed = trainer.extend() if options.extend else trainer.resume()
    trainer.log(f"{'resumed' if resumed else 'new'} run: {config}")
    if options.export_only:
        export_model(trainer.model, trainer.tokenizer_path, options.out)
        trainer.close()
        return 0
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
