"""Loads the libraries behind torch without holding Python's lock, so that nothing else waits.

Linking them takes a good part of a second, and `import torch` holds the lock meanwhile: no key is
drawn. Once they are in the process, the import finds them there. `kvchat bench ui` types during a
start.
"""

import ctypes
import importlib.util
import logging
import os
from pathlib import Path

LIBRARIES = ("libtorch_cpu", "libtorch_python")
SUFFIXES = (".so", ".dylib")

log = logging.getLogger(__name__)


def load_torch_libraries() -> list[str]:
    """Load what `import torch` will need, and return the names that were loaded.

    Does nothing, and returns nothing, where there is no dlopen or no such file: then the import
    loads them as ever. Raises nothing.
    """
    try:
        spec = importlib.util.find_spec("torch")
        # A foreign function is called without the lock; ctypes.CDLL itself would hold it.
        dlopen = ctypes.CDLL(None).dlopen
    except (AttributeError, ImportError, OSError, TypeError, ValueError):
        return []
    if spec is None or spec.origin is None:
        return []
    dlopen.argtypes, dlopen.restype = [ctypes.c_char_p, ctypes.c_int], ctypes.c_void_p
    folder = Path(spec.origin).parent / "lib"
    loaded = []
    for name in LIBRARIES:
        for path in (folder / f"{name}{suffix}" for suffix in SUFFIXES):
            if path.is_file() and dlopen(os.fsencode(path), os.RTLD_NOW):
                loaded.append(path.name)
    log.debug("loaded %s", ", ".join(loaded) or "no library of torch")
    return loaded
