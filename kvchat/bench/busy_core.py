"""BusyCore: another process that keeps one processor busy for as long as it is wanted."""

import os
import subprocess
import sys
from types import TracebackType

_PROGRAM = """
import os, sys
if hasattr(os, "sched_setaffinity"):
    os.sched_setaffinity(0, {int(sys.argv[1])})
print("busy", flush=True)
while os.getppid() == int(sys.argv[2]):
    for _ in range(100_000):
        pass
"""


class BusyCore:
    """A process that counts on one processor from `with` to its end, and ends with its parent."""

    def __init__(self) -> None:
        allowed = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else [0]
        self.processor = allowed[-1]

    def __enter__(self) -> "BusyCore":
        """Start it, and return once it counts."""
        arguments = [sys.executable, "-I", "-c", _PROGRAM, str(self.processor), str(os.getpid())]
        self._process = subprocess.Popen(arguments, stdout=subprocess.PIPE)
        assert self._process.stdout is not None
        self._process.stdout.readline()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End it and wait for its end."""
        self._process.kill()
        self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()
