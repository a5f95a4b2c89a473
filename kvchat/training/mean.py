"""`python -m kvchat.training.mean A B --out C`: the mean of model folders, tensor by tensor.

Runs that begin with the same weights and end near each other may have a mean that is better than
each (Wortsman et al. 2022, "Model soups"). All other files are those of the last folder.
"""

import argparse
import shutil
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from kvchat.errors import InvalidArgument, KVChatError
from kvchat.training.export import make_folder, write_whole

WEIGHTS = "model.safetensors"


def mean_folder(folders: Sequence[Path], out: Path) -> None:
    """Write a folder whose weights are the mean of those of two folders or more, of one shape.

    Raises InvalidArgument where a folder cannot be read, or they are not of one model and one
    tokenizer; KVChatError where `out` cannot be written.
    """
    every = [_weights(folder) for folder in folders]
    last, tokenizer = every[-1], _tokenizer(folders[-1])
    shapes = {name: tensor.shape for name, tensor in last.items()}
    for folder, weights in zip(folders, every, strict=True):
        found = {name: tensor.shape for name, tensor in weights.items()}
        if found != shapes or _tokenizer(folder) != tokenizer:
            raise InvalidArgument(f"{folder} and {folders[-1]} are no two runs of one model.")
    mean = {
        name: torch.stack([weights[name].float() for weights in every]).mean(0).to(tensor.dtype)
        for name, tensor in last.items()
    }
    make_folder(out)
    for path in sorted(folders[-1].iterdir()):
        if path.is_file() and path.name != WEIGHTS:
            write_whole(out / path.name, partial(shutil.copyfile, path))
    write_whole(out / WEIGHTS, lambda path: save_file(mean, str(path), {"format": "pt"}))


def _weights(folder: Path) -> dict[str, Tensor]:
    try:
        weights: dict[str, Tensor] = load_file(str(folder / WEIGHTS))
    except (OSError, SafetensorError) as error:
        raise InvalidArgument(f"{folder / WEIGHTS} cannot be read: {error}.") from error
    return weights


def _tokenizer(folder: Path) -> bytes:
    path = folder / "tokenizer.model"
    return path.read_bytes() if path.is_file() else b""


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the mean; 0, or the status of what was wrong, which is told in a sentence."""
    parser = argparse.ArgumentParser(
        prog="python -m kvchat.training.mean", description="Write the mean of model folders."
    )
    parser.add_argument("folders", type=Path, nargs="+", help="as python -m kvchat.train wrote")
    parser.add_argument("--out", type=Path, required=True, help="model folder to write")
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    try:
        mean_folder(options.folders, options.out)
    except KVChatError as error:
        print(error.sentence, file=sys.stderr)
        return error.exit_status
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
