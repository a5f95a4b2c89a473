"""Choices that depend on this machine: device, weight precision, thread count, pool budget.

torch is imported inside the functions that need it, because the command line parses sizes before
the first paint, when torch must not be loaded yet. Nothing here allocates on a device for good.
"""

import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeAlias, get_args

from kvchat.errors import InvalidArgument

if TYPE_CHECKING:
    import torch

WeightsName: TypeAlias = Literal["auto", "fp32", "bf16", "fp16", "int8", "int4"]
"""What `--weights` accepts."""
ROUNDED_WEIGHTS = ("int8", "int4")
"""Those in which matrices of linear layers take whole numbers; the rest stays in float."""
MAX_FP32_PARAMETERS = 200_000_000
"""On a CPU 'auto' rounds the weights of models larger than this."""

MAX_DEFAULT_POOL_BYTES = 2 << 30
MAX_DEFAULT_THREADS = 16
_FP32_MEMORY_SHARE = 0.4
_UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}
_SIZE = re.compile(r"\s*([0-9]{1,15}(?:\.[0-9]{1,6})?)\s*([KMGT]?)(?:i?B)?\s*", re.IGNORECASE)


def available_devices() -> tuple[str, ...]:
    """Return the devices torch can use here, the best one first; the CPU is always there."""
    import torch

    devices = []
    if torch.cuda.is_available():
        devices.append("cuda")
    if torch.backends.mps.is_available():
        devices.append("mps")
    return (*devices, "cpu")


def choose_device(name: str) -> str:
    """Return the device to compute on: 'cpu', 'cuda' or 'mps'; 'auto' takes the best one.

    Raises InvalidArgument, naming the devices there are, for any other.
    """
    devices = available_devices()
    if name == "auto":
        return devices[0]
    if name not in devices:
        raise InvalidArgument(
            f"Device {name!r} is not here; this machine has: {', '.join(reversed(devices))}."
        )
    return name


def choose_weights(device: str, weights: str, num_parameters: int) -> str:
    """Return the name of what weights are kept in: 'fp32', 'bf16', 'fp16', 'int8' or 'int4'.

    'auto' is the half precision that an accelerator multiplies in. On a CPU it is fp32 for models
    that are small, and int8 for larger ones, which are bound by reading their weights. Raises
    InvalidArgument for an unknown name and for what does not work on the device.
    """
    import torch

    if weights == "auto":
        if device == "cuda":
            return "bf16" if torch.cuda.is_bf16_supported() else "fp16"
        if device == "mps":
            return "bf16" if _multiplies(device, torch.bfloat16) else "fp32"
        fits = 4 * num_parameters <= _FP32_MEMORY_SHARE * available_memory_bytes()
        return "fp32" if fits and num_parameters <= MAX_FP32_PARAMETERS else "int8"
    known = get_args(WeightsName)
    if weights not in known:
        raise InvalidArgument(f"weights is {weights!r}, but it must be one of: {', '.join(known)}.")
    if not _works(device, weights):
        working = [name for name in known[1:] if _works(device, name)]
        choice = f"{', '.join(working[:-1])} or {working[-1]}"
        raise InvalidArgument(f"--weights {weights} does not work on {device}; use {choice}.")
    return weights


def compute_dtype(device: str, weights: str) -> "torch.dtype":
    """Return the dtype of the arithmetic around weights of a kind that `choose_weights` returned.

    Rounded weights go with float32 on a CPU, and with what 'auto' takes elsewhere.
    """
    import torch

    if weights in ROUNDED_WEIGHTS:
        weights = "fp32" if device == "cpu" else choose_weights(device, "auto", 0)
    return {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}[weights]


def _works(device: str, weights: str) -> bool:
    """Whether the device multiplies with weights of this kind."""
    import torch

    if weights in ROUNDED_WEIGHTS:
        return device == "cpu" or (device == "cuda" and weights == "int8")
    names = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
    return _multiplies(device, names[weights])


def _multiplies(device: str, dtype: "torch.dtype") -> bool:
    """Whether the device has a matrix product in this precision."""
    import torch

    try:
        square = torch.ones(8, 8, dtype=dtype, device=device)
        return bool(torch.isfinite((square @ square).float()).all())
    except (RuntimeError, TypeError, NotImplementedError):
        return False


def default_threads() -> int:
    """Return the number of physical cores this process may use, at most 16.

    Two threads on one core slow matrix products down, so hyperthreads count once.
    """
    allowed = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else None
    if allowed is None:
        return max(1, min(os.cpu_count() or 1, MAX_DEFAULT_THREADS))
    topology = Path("/sys/devices/system/cpu")
    cores = {
        _read_text(topology / f"cpu{cpu}/topology/thread_siblings_list") or str(cpu)
        for cpu in allowed
    }
    return max(1, min(len(cores), _cpu_quota(), MAX_DEFAULT_THREADS))


def _cpu_quota() -> int:
    """Return how many processors the control group may keep busy, rounded down, at least 1."""
    fields = (_read_text(Path("/sys/fs/cgroup/cpu.max")) or "max").split()
    if len(fields) != 2 or not all(field.isdigit() for field in fields) or fields[1] == "0":
        return MAX_DEFAULT_THREADS
    return max(1, int(fields[0]) // int(fields[1]))


def available_memory_bytes(device: str = "cpu") -> int:
    """Return how much more memory this process can take without swapping, as far as one can know.

    On Linux what the kernel calls available, or what the control group leaves if that is less;
    elsewhere half of what the machine has; on CUDA what the driver says is free.
    """
    if device == "cuda":
        import torch

        return int(torch.cuda.mem_get_info()[0])
    meminfo = _read_text(Path("/proc/meminfo")) or ""
    match = re.search(r"^MemAvailable:\s+([0-9]+) kB$", meminfo, re.MULTILINE)
    if match is None:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2
    return min([int(match[1]) << 10, *_cgroup_memory_bytes()])


def total_memory_bytes(device: str = "cpu") -> int | None:
    """Return how much memory there is at most, whoever uses it now; None where nobody says.

    On Linux that of the machine, or the limit of the control group if that is less.
    """
    if device == "cuda":
        import torch

        return int(torch.cuda.mem_get_info()[1])
    match = re.search(
        r"^MemTotal:\s+([0-9]+) kB$", _read_text(Path("/proc/meminfo")) or "", re.MULTILINE
    )
    if match is None:
        return None
    root = Path("/sys/fs/cgroup")
    limits = (_read_text(root / "memory.max"), _read_text(root / "memory/memory.limit_in_bytes"))
    return min(
        int(match[1]) << 10, *(int(each) for each in limits if each and each.isdigit()), 1 << 60
    )


def _cgroup_memory_bytes() -> Iterable[int]:
    """Yield what a memory limit of the control group, version 2 or 1, leaves."""
    root = Path("/sys/fs/cgroup")
    for limit_file, usage_file in (
        (root / "memory.max", root / "memory.current"),
        (root / "memory/memory.limit_in_bytes", root / "memory/memory.usage_in_bytes"),
    ):
        limit, usage = _read_text(limit_file) or "", _read_text(usage_file) or ""
        if limit.isdigit() and usage.isdigit():
            yield max(0, int(limit) - int(usage))


def _read_text(path: Path) -> str | None:
    """Return the text of a file of the kernel, or None where there is no such file."""
    try:
        return path.read_text().strip()
    except OSError:
        return None


def pool_budget(pool_bytes: int | None, *, context_bytes: int, available_bytes: int) -> int:
    """Return how many bytes the block pool gets.

    By default a quarter of the available memory, at most 2 GiB, and at least one full context of
    the model (`context_bytes`), so that any prompt the model can read fits. An explicit amount is
    taken as it is; raises InvalidArgument if it is not positive or not available.
    """
    if pool_bytes is None:
        return max(min(available_bytes // 4, MAX_DEFAULT_POOL_BYTES), context_bytes)
    if pool_bytes < 1:
        raise InvalidArgument(f"The pool size is {pool_bytes} bytes, but it must be at least 1.")
    if pool_bytes > available_bytes:
        raise InvalidArgument(
            f"A pool of {show_size(pool_bytes)} does not fit: {show_size(available_bytes)} of "
            "memory are available; choose a smaller --pool."
        )
    return pool_bytes


def parse_size(text: str) -> int:
    """Return the bytes of a size such as '512MiB', '1.5G' or '4096'; units are powers of 1024.

    Raises InvalidArgument for anything else.
    """
    match = _SIZE.fullmatch(text)
    num_bytes = int(float(match[1]) * _UNITS[match[2].upper()]) if match else 0
    if num_bytes < 1:
        raise InvalidArgument(f"{text!r} is not a size; write it like 512MiB or 2GiB.")
    return num_bytes


def show_size(num_bytes: int) -> str:
    """Return a number of bytes for people: '512 MiB', '1.5 GiB'."""
    for unit in ("TiB", "GiB", "MiB", "KiB"):
        scale = _UNITS[unit[0]]
        if num_bytes >= scale:
            return f"{num_bytes / scale:.4g} {unit}"
    return f"{num_bytes} bytes"
