"""What benchmarks share: ratios of medians, their spread, and the machine they were measured on."""

import os
import platform
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median


@dataclass(frozen=True, slots=True)
class Comparison:
    """Seconds of two ways to do the same, measured in turns, so that both saw the same machine."""

    quick: tuple[float, ...]
    slow: tuple[float, ...]

    @property
    def ratio(self) -> float:
        """Median of the slow way by median of the quick one."""
        return median(self.slow) / median(self.quick)

    @property
    def rounds(self) -> tuple[float, ...]:
        """The ratio of each round by itself."""
        return tuple(slow / quick for quick, slow in zip(self.quick, self.slow, strict=True))


def spread(values: Sequence[float], unit: str, scale: float = 1.0) -> str:
    """Return median, least and most of some values for people: '12.1 ms (11.0 to 14.9)'."""
    middle, least, most = (scale * each for each in (median(values), min(values), max(values)))
    return f"{middle:.1f}{unit} ({least:.1f} to {most:.1f})"


def machine() -> dict[str, str | int | float]:
    """Return what a figure depends on besides the program: processor, threads, library, load."""
    import torch

    return {
        "processor": _processor(),
        "num_cpus": os.cpu_count() or 1,
        "torch_threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "python": platform.python_version(),
        "system": platform.system(),
        "load": round(os.getloadavg()[0], 2),
        "peak_bytes": peak_bytes(),
    }


def peak_bytes() -> int:
    """Return the most memory this process had at a time, mapped weights included; 0: unknown."""
    try:
        import resource
    except ImportError:  # Windows
        return 0
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else 1024 * peak


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()
