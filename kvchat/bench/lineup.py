"""Who races at a precision: kvchat with each kernel, and the peers that are installed.

All compute the same weights: ours are mapped from the folder, transformers shares them, and
llama.cpp quantises a copy of them itself. Files are made once in a folder that may be kept.
"""

import os
import shutil
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import torch

from kvchat.bench import llama_peer, transformers_peer
from kvchat.bench.contestant import Contestant
from kvchat.bench.gguf import write_gguf
from kvchat.bench.own_engine import OwnEngine
from kvchat.bench.random_model import SHAPES, check_room, write_random_model
from kvchat.device import ROUNDED_WEIGHTS
from kvchat.durable_files import temporary_name
from kvchat.errors import InvalidArgument
from kvchat.model.folder import ModelFolder
from kvchat.model.transformer import Transformer
from kvchat.native.kernels import Kernels, choose_kernels
from kvchat.paths import bundled_model_dir

FILE_TYPES = {"fp32": "F32", "bf16": "F16", "int8": "Q8_0", "int4": "Q4_0"}
"""Our precisions, and what llama.cpp has beside them."""
PEER_PRECISIONS = {"fp32": "fp32", "bf16": "bf16", "int8": "fp32"}
"""What transformers computes in beside ours; it has no quantised weights of its own here."""
NO_KERNELS = "kvchat's native kernels could not be compiled, so they are left out; see native.md."
KERNELS = ("torch", "native")
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}


@dataclass
class Lineup:
    """The contestants of one precision; `dense` is the truth they are checked against."""

    precision: str
    dense: Transformer
    own: list[OwnEngine] = field(default_factory=list)
    peers: list[Contestant] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def all(self) -> list[Contestant]:
        """Everybody, we first."""
        return [*self.own, *self.peers]


def model_folder(directory: Path, shape: str) -> Path:
    """Return the folder of a shape's random weights below a directory, made where it is not yet.

    Raises InvalidArgument for an unknown shape, and where it cannot be written.
    """
    if shape not in SHAPES:
        raise InvalidArgument(
            f"--shape is {shape!r}, but it must be one of: {', '.join(sorted(SHAPES))}."
        )
    folder = directory / shape
    if not folder.exists():
        unfinished = temporary_name(folder)
        with _writing(directory):
            try:
                directory.mkdir(parents=True, exist_ok=True)
                check_room(directory, shape)
                write_random_model(unfinished, shape, bundled_model_dir())
                os.replace(unfinished, folder)
            finally:
                shutil.rmtree(unfinished, ignore_errors=True)
    return folder


@contextmanager
def _writing(directory: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise InvalidArgument(
            f"Weights cannot be written to {directory}: {error.strerror}; name another folder with"
            " --models."
        ) from error


@contextmanager
def open_lineup(
    directory: Path,
    shape: str,
    precision: str,
    *,
    kernels: Sequence[str] = ("torch",),
    pool_tokens: int,
    with_peers: bool,
) -> Iterator[Lineup]:
    """Load everybody who races at a precision, and free them at the end."""
    folder = model_folder(directory, shape)
    opened = ModelFolder.open(folder)
    dense = opened.load(dtype=torch.float32, device="cpu")
    assert isinstance(dense, Transformer)
    lineup = Lineup(precision, dense)
    if with_peers:
        # First, since it holds all weights twice while it loads.
        _add_transformers(lineup, folder)
    for kernel in kernels:
        native = choose_kernels(kernel, _tell)
        if kernel == "native" and native is None:
            lineup.notes.append(NO_KERNELS)
            continue
        lineup.own.append(_own(opened, dense, precision, native, pool_tokens))
    if with_peers:
        _add_llama(lineup, directory, shape)
    try:
        yield lineup
    finally:
        for each in lineup.all:
            each.close()


def _own(
    folder: ModelFolder,
    dense: Transformer,
    precision: str,
    kernels: Kernels | None,
    pool_tokens: int,
) -> OwnEngine:
    dtype = DTYPES.get(precision, torch.float32)
    model: object = dense
    if precision != "fp32" or kernels is not None:
        rounded = precision if precision in ROUNDED_WEIGHTS else "float"
        model = folder.load(dtype=dtype, device="cpu", weights=rounded, kernels=kernels)
    assert isinstance(model, Transformer)
    return OwnEngine(
        f"kvchat {precision}{' native' if kernels is not None else ''}",
        model,
        folder.config,
        dtype=dtype,
        num_bytes=sum(each.nbytes for each in (*model.parameters(), *model.buffers())),
        pool_tokens=pool_tokens,
        kernels=kernels,
    )


def _tell(sentence: str) -> None:
    """Say that something takes long to whoever waits."""
    print(sentence, file=sys.stderr, flush=True)


def _add_transformers(lineup: Lineup, folder: Path) -> None:
    if lineup.precision not in PEER_PRECISIONS:
        return
    if not transformers_peer.is_installed():
        lineup.notes.append(transformers_peer.HOW_TO_INSTALL)
        return
    precision = PEER_PRECISIONS[lineup.precision]
    weights: dict[str, torch.Tensor] | None = None
    if precision == "fp32":
        weights = {
            name if name.startswith("lm_head") else f"model.{name}": parameter.detach()
            for name, parameter in lineup.dense.named_parameters()
        }
    peer = transformers_peer.TransformersPeer(folder, DTYPES[precision], weights)
    lineup.peers.append(peer)
    lineup.notes.append(f"Beside transformers {peer.version}.")


def _add_llama(lineup: Lineup, directory: Path, shape: str) -> None:
    if not llama_peer.is_installed():
        lineup.notes.append(llama_peer.HOW_TO_INSTALL)
        return
    source = directory / f"{shape}-F32.gguf"
    if not source.exists():
        unfinished = temporary_name(source)
        with _writing(directory):
            try:
                write_gguf(unfinished, lineup.dense)
                os.replace(unfinished, source)
            finally:
                unfinished.unlink(missing_ok=True)
    file_type = FILE_TYPES[lineup.precision]
    target = directory / f"{shape}-{file_type}.gguf"
    if not target.exists():
        unfinished = temporary_name(target)
        llama_peer.quantize_file(source, unfinished, file_type, torch.get_num_threads())
        os.replace(unfinished, target)
    peer = llama_peer.LlamaPeer(target, file_type)
    lineup.peers.append(peer)
    lineup.notes.append(f"Beside llama.cpp of llama-cpp-python {peer.version}.")
