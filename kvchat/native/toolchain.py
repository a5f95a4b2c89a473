"""Toolchain: the system's C++ compiler, what it is called with, and what its output depends on.

Knows no cache folder and loads nothing. A compiled library runs on processors like this one only,
so the processor's features are part of what names it.
"""

import hashlib
import os
import platform
import shlex
import shutil
import subprocess
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from kvchat.errors import KVChatError

COMPILERS = ("c++", "g++", "clang++")
FLAGS = (
    *("-std=c++17", "-O3", "-fPIC", "-pthread", "-fvisibility=hidden"),
    # The compiler must not join multiplications and additions where it likes: the same numbers are
    # computed in several ways, and must be the same bits.
    "-ffp-contract=off",
)
CPU_FLAGS = (("-march=native",), ("-mcpu=native",), ())
"""Tried in this order: not every compiler knows every one on every processor."""
SECONDS_TO_COMPILE = 300.0

SOURCE_DIR = Path(__file__).parent
_CPU_FIELDS = ("flags", "Features", "model name", "CPU part")


class BuildFailed(KVChatError):
    """The native kernels cannot be compiled here; the plain ones do the same work."""

    code = "no_kernels"


def source_files() -> tuple[Path, ...]:
    """Return the C++ files of the library, by name."""
    return tuple(sorted(SOURCE_DIR.glob("*.cpp")))


def source_key() -> str:
    """Return a digest of the sources, the flags and this processor, which any compiler shares."""
    digest = hashlib.blake2b(digest_size=8)
    for path in sorted((*source_files(), *SOURCE_DIR.glob("*.h"))):
        digest.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
    digest.update(repr((FLAGS, CPU_FLAGS, platform.system(), platform.machine())).encode())
    digest.update(_cpu_features().encode())
    return digest.hexdigest()


def _cpu_features() -> str:
    """Return what the kernel says this processor can do; elsewhere what it is called."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    found: dict[str, str] = {}
    for line in lines:
        name, _, value = line.partition(":")
        if name.strip() in _CPU_FIELDS:
            found.setdefault(name.strip(), value.strip())
    return repr(sorted(found.items()))


@dataclass(frozen=True, slots=True)
class Toolchain:
    """A compiler: the words that start it, and what it says its version is."""

    command: tuple[str, ...]
    version: str

    @classmethod
    def find(cls) -> "Toolchain":
        """Return $CXX if it is set, else the first compiler on the path; raises BuildFailed."""
        chosen = os.environ.get("CXX", "").strip()
        names = [shlex.split(chosen)] if chosen else [[name] for name in COMPILERS]
        for words in names:
            path = shutil.which(words[0]) if words else None
            if path is not None:
                command = (path, *words[1:])
                return cls(command, _run((*command, "--version"), 20.0))
        wanted = f"$CXX, {chosen}, is not here" if chosen else "there is no C++ compiler"
        raise BuildFailed(
            f"The native kernels need compiling, but {wanted}; install g++ or clang++."
        )

    @property
    def key(self) -> str:
        """A digest of the compiler's command and version."""
        text = repr((self.command, self.version))
        return hashlib.blake2b(text.encode(), digest_size=4).hexdigest()

    def compile(self, target: Path) -> None:
        """Compile all sources at once, and link them into one shared library.

        Raises BuildFailed.
        """
        failure = BuildFailed("There are no sources of native kernels.")
        for cpu_flags in CPU_FLAGS:
            try:
                self._compile_for(cpu_flags, target)
            except BuildFailed as error:
                failure = error
            except OSError as error:
                raise BuildFailed(f"The native kernels did not compile: {error}.") from error
            else:
                return
        raise failure

    def _compile_for(self, cpu_flags: tuple[str, ...], target: Path) -> None:
        command = (*self.command, *FLAGS, *cpu_flags)
        with (
            TemporaryDirectory(prefix="kvchat-kernels-") as folder,
            ThreadPoolExecutor(os.cpu_count()) as compilers,
        ):

            def compile_one(source: Path) -> str:
                compiled = os.path.join(folder, f"{source.stem}.o")
                _run((*command, "-c", os.fspath(source), "-o", compiled), SECONDS_TO_COMPILE)
                return compiled

            objects = list(compilers.map(compile_one, _largest_first(source_files())))
            _run((*command, "-shared", *objects, "-o", os.fspath(target)), SECONDS_TO_COMPILE)


def _largest_first(sources: Iterable[Path]) -> list[Path]:
    """Return sources by size, so that the one that takes longest is begun first."""
    return sorted(sources, key=lambda source: source.stat().st_size, reverse=True)


def _run(words: tuple[str, ...], seconds: float) -> str:
    """Run a program and return what it printed; raises BuildFailed with the first line of it."""
    # Messages in one language, so that a digest of a version does not depend on the user's.
    environment = os.environ | {"LC_ALL": "C"}
    try:
        done = subprocess.run(
            words,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
            timeout=seconds,
            env=environment,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise BuildFailed(f"The C++ compiler did not run: {error}.") from error
    if done.returncode != 0:
        lines = [line for line in done.stderr.decode(errors="replace").splitlines() if line.strip()]
        said = next((line for line in lines if "error" in line), lines[0] if lines else "nothing")
        raise BuildFailed(
            f"The native kernels did not compile; {Path(words[0]).name} said: {said.strip()[:200]}"
        )
    return done.stdout.decode(errors="replace")
