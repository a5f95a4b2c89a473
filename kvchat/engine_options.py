"""EngineOptions: what was asked of device, precision, pool and threads, and the engine made so.

It knows no session and no text. What is 'auto' or None is decided while the engine is built, on
the engine thread; only there torch is imported.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from kvchat import device as devices
from kvchat.errors import InvalidArgument, ModelError
from kvchat.kv.spec import KV_DTYPES, KVDtype
from kvchat.model.folder import ModelFolder
from kvchat.model.weight_sizes import weight_sizes
from kvchat.native.kernels import KERNEL_NAMES, choose_kernels

if TYPE_CHECKING:
    from kvchat.engine.engine import Engine
    from kvchat.store.segment_thread import SegmentThread

MAX_BLOCKS = 65536
"""More blocks than this make panels slow, and no chat needs them."""
MAX_THREADS = 1024
MAX_DEFAULT_CONTEXTS = 8
"""A pool nobody asked for holds at most this many full contexts; small models need no more."""
SMALL_MODEL_PARAMETERS = 50_000_000


@dataclass(frozen=True, slots=True)
class ChosenOptions:
    """What became of options that leave a choice to the machine, by name."""

    device: str
    weights: str
    kernel: str
    warnings: tuple[str, ...] = ()
    """What is wrong with the weights, though they are used; a sentence each."""


@dataclass(frozen=True, slots=True)
class EngineOptions:
    """Options of an engine, as `ChatRuntime` explains them; raises InvalidArgument."""

    device: str
    weights: str
    kv_dtype: KVDtype
    pool_bytes: int | None
    block_size: int
    threads: int | None
    kernel: str = "auto"

    def __post_init__(self) -> None:
        size, threads = self.block_size, self.threads
        if not 8 <= size <= 256 or size & (size - 1):
            raise InvalidArgument(
                f"block_size is {size}, but it must be 8, 16, 32, 64, 128 or 256."
            )
        if threads is not None and not 1 <= threads <= MAX_THREADS:
            raise InvalidArgument(f"threads is {threads}, but it must be 1 to {MAX_THREADS}.")
        if self.kv_dtype not in KV_DTYPES:
            raise InvalidArgument(f"kv_dtype is {self.kv_dtype!r}, but it must be auto or int8.")
        if self.kernel not in KERNEL_NAMES:
            raise InvalidArgument(
                f"kernel is {self.kernel!r}, but it must be one of {', '.join(KERNEL_NAMES)}."
            )

    def build(
        self,
        folder: ModelFolder,
        segments: "SegmentThread | None",
        post: Callable[[Callable[[], None]], object],
        tell: Callable[[str], None],
        progress: Callable[[float], None] | None = None,
    ) -> "tuple[Engine, ChosenOptions]":
        """Load weights and return the engine, and what was chosen for it.

        Engine thread only; imports torch and sets its number of threads. `segments` is where keys
        and values are saved, None for nowhere; `post` runs a job on the engine thread, soon;
        `tell` gets a sentence where a choice takes time or cannot be kept; `progress` is
        called with the part of the weights that is read. Raises InvalidArgument for what this
        machine cannot do, ModelError for weights that are damaged or larger than its memory.
        """
        from kvchat.torch_libraries import load_torch_libraries

        load_torch_libraries()
        import torch

        from kvchat.engine.engine import Engine
        from kvchat.engine.model_runner import ModelRunner
        from kvchat.engine.residency import Residency
        from kvchat.engine.scheduler import MAX_ROWS
        from kvchat.kv.paged_cache import PagedKVCache
        from kvchat.kv.pool_budget import PoolShape, split_pool
        from kvchat.kv.staged_restore import segment_layout

        device = devices.choose_device(self.device)
        config = folder.config
        if device == "cuda":
            torch.cuda.empty_cache()  # what an engine before this one had counts as free then
        kernels = None
        if device == "cpu":
            threads = self.threads
            if threads is None:
                # Steps of a small model are shorter than what threads lose waiting for each other.
                is_small = config.num_parameters < SMALL_MODEL_PARAMETERS
                threads = 1 if is_small else devices.default_threads()
            torch.set_num_threads(threads)
            kernels = choose_kernels(self.kernel, tell)
            if kernels is not None:
                kernels.set_threads(threads)
        weights = devices.choose_weights(device, self.weights, config.num_parameters)
        _check_memory(folder, device, weights, tell)
        dtype = devices.compute_dtype(device, weights)
        is_rounded = weights in devices.ROUNDED_WEIGHTS
        warnings: list[str] = []
        model = folder.load(
            dtype=dtype,
            device=device,
            weights=weights if is_rounded else "float",
            kernels=kernels,
            progress=progress,
            tell=warnings.append,
        )
        spec = folder.kv_spec()
        shape = PoolShape.of(
            spec,
            dtype.itemsize,
            self.kv_dtype,
            block_size=self.block_size,
            max_sequences=MAX_ROWS,
        )
        context_blocks = -(-config.max_position // self.block_size) + 1
        budget = devices.pool_budget(
            self.pool_bytes,
            context_bytes=shape.num_bytes(context_blocks),
            available_bytes=devices.available_memory_bytes(device),
        )
        most = MAX_BLOCKS
        if self.pool_bytes is None:
            most = min(most, MAX_DEFAULT_CONTEXTS * context_blocks)
        cache = PagedKVCache(
            spec,
            split_pool(shape, budget, most),
            block_size=self.block_size,
            dtype=dtype,
            device=device,
            salt=folder.digest(f"{weights}, {dtype}" if is_rounded else str(dtype)).encode(),
            kv_dtype=self.kv_dtype,
            kernels=kernels,
        )
        engine = Engine(
            ModelRunner(model, device),
            cache,
            context_tokens=config.max_position,
            vocab_size=config.vocab_size,
        )
        if segments is not None:
            layout = segment_layout(cache, cache.salt.decode())
            segments.open(layout)
            engine.residency = Residency(cache, segments, layout, post)
        kernel = "torch" if kernels is None else "native"
        return engine, ChosenOptions(device, weights, kernel, tuple(warnings))


def _check_memory(
    folder: ModelFolder, device: str, weights: str, tell: Callable[[str], None]
) -> None:
    """Raise ModelError for weights that no memory of this machine could hold.

    Where others have what is needed now, that is only told: they may give it back in time.
    """
    needed = weight_sizes(folder.config)
    total = devices.total_memory_bytes(device)
    if total is not None and needed[weights] > total:
        raise ModelError(
            f"{folder.name} needs {devices.show_size(needed[weights])} for weights in {weights}, "
            f"and there are {devices.show_size(total)} of memory in all; "
            f"{_advice(needed, device, total) or 'choose a smaller model'}."
        )
    free = devices.available_memory_bytes(device)
    if needed[weights] > free:
        tell(
            f"{folder.name} needs {devices.show_size(needed[weights])} for weights in {weights}, "
            f"but only {devices.show_size(free)} of memory are free now; loading may be slow or "
            f"fail: {_advice(needed, device, free) or 'close other programs'}."
        )


def _advice(needed: Mapping[str, int], device: str, memory_bytes: int) -> str:
    """Name the best precision whose weights fit into some memory; '' where none does."""
    smaller = ("bf16", "int8", "int4") if device == "cpu" else ("bf16", "int8")
    names = [name for name in smaller if needed[name] <= 0.8 * memory_bytes]
    return f"try --weights {names[0]}" if names else ""
