"""Kernels: the compiled library in this process, and the choice between it and plain torch.

The library has a C interface, takes addresses and strides, and knows nothing of Python or torch;
calls release Python's lock. Loaded once per process and never unloaded.
"""

import ctypes
import logging
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path

from kvchat import paths
from kvchat.errors import InvalidArgument
from kvchat.native.build_folder import BuildFolder
from kvchat.native.toolchain import BuildFailed

KERNEL_NAMES = ("auto", "torch", "native")
"""What `--kernel` accepts; auto is native where that was compiled before, else torch."""

log = logging.getLogger(__name__)


class Kernels:
    """The functions of one compiled library; raises BuildFailed if it does not work."""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self.library = ctypes.CDLL(str(path))
            self._set_threads = self.library.kvchat_set_threads
            self._set_threads.argtypes, self._set_threads.restype = [ctypes.c_int64], None
            self._num_threads = self.library.kvchat_num_threads
            self._num_threads.argtypes, self._num_threads.restype = [], ctypes.c_int64
            self._square_numbers = self.library.kvchat_square_numbers
            self._square_numbers.argtypes = [ctypes.c_int64, ctypes.c_void_p]
            self._square_numbers.restype = None
            self._draft_held_up = self.library.kvchat_draft_held_up
            self._draft_held_up.argtypes = [ctypes.c_int64] * 3 + [ctypes.POINTER(ctypes.c_int64)]
            self._draft_held_up.restype = ctypes.c_int64
            is_wide = self.library.kvchat_is_wide
            is_wide.argtypes, is_wide.restype = [], ctypes.c_int64
            self.is_wide = bool(is_wide())
            """Whether it was compiled for registers of sixteen floats."""
        except (OSError, AttributeError) as error:
            raise BuildFailed(
                f"The native kernels cannot be loaded: {error}; delete {path}."
            ) from error
        if self.square_numbers(40) != [each * each for each in range(40)]:
            raise BuildFailed("The native kernels were compiled, but compute nonsense.")

    @property
    def num_threads(self) -> int:
        """Threads that a call may use, the calling one included."""
        return int(self._num_threads())

    def set_threads(self, count: int) -> None:
        """Use so many threads from the next call on, in the whole process; at least 1."""
        self._set_threads(count)

    def square_numbers(self, count: int) -> list[int]:
        """Return the first square numbers, computed by the pool of threads: its self-test."""
        numbers = (ctypes.c_int64 * count)()
        self._square_numbers(count, numbers)
        return list(numbers)

    def draft_held_up(self, count: int, num_rounds: int, microseconds: int) -> tuple[int, int]:
        """Compute chunks while threads are held up on purpose: a self-test of what they redo.

        Returns how many of `count * num_rounds` numbers were wrong, and how many drafts it took.
        """
        num_drafts = ctypes.c_int64()
        num_wrong = self._draft_held_up(count, num_rounds, microseconds, ctypes.byref(num_drafts))
        return int(num_wrong), num_drafts.value


def build_folder() -> BuildFolder:
    """Return where compiled kernels are kept on this system."""
    return BuildFolder(paths.cache_dir() / "kernels")


def choose_kernels(
    name: str, tell: Callable[[str], None], folder: BuildFolder | None = None
) -> Kernels | None:
    """Return the native kernels, or None for plain torch.

    name  'auto' takes kernels that are compiled already, 'native' compiles them if need be
    tell  gets a sentence before something takes long, and where 'native' is not to be had

    Raises InvalidArgument for another name. What goes wrong is one line of the log, and None.
    """
    if name not in KERNEL_NAMES:
        raise InvalidArgument(f"kernel is {name!r}, but it must be {', '.join(KERNEL_NAMES)}.")
    if name == "torch" or sys.platform == "win32":
        return None
    folder = build_folder() if folder is None else folder
    try:
        path = folder.find() if name == "auto" else folder.provide(tell)
        return None if path is None else load(path)
    except BuildFailed as error:
        if name == "native":
            tell(f"{error.sentence.rstrip('.')}. Plain torch is used instead.")
        else:
            log.warning("%s Plain torch is used instead.", error.sentence)
        return None


@cache
def load(path: Path) -> Kernels:
    """Return the kernels of a library, loaded once; raises BuildFailed."""
    return Kernels(path)
