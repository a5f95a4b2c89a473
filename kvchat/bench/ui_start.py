"""The start as a user sees it: the real program in a pseudo terminal, from its first moment.

Says when the prompt was drawn, and how soon keys showed from then until the model was loaded and
a while after.
"""

import fcntl
import os
import pty
import select
import signal
import struct
import sys
import termios
import time
from dataclasses import dataclass
from pathlib import Path

ROWS, COLUMNS = 24, 80
KEYS = "жшюфцыэядлбпитзкгв"
FIRST_WORDS = "Ask anything"
READY = " ready"
KEY_SECONDS = 0.05
MAX_SECONDS = 60.0
SECONDS_AFTER = 1.0


@dataclass(frozen=True, slots=True)
class Start:
    """Seconds to the first frame, and from each key to its echo until the model was loaded.

    `first_frame_cpu_seconds` are those the processor worked for it, whatever else it did; 0 where
    the system does not tell.
    """

    first_frame_seconds: float
    first_frame_cpu_seconds: float
    ready_seconds: float
    echo_seconds: tuple[float, ...]


def measure_start(arguments: list[str]) -> Start:
    """Start kvchat in a pseudo terminal with these arguments, type, and end it."""
    started = time.perf_counter()
    process, terminal = pty.fork()
    if process == 0:
        environment = {**os.environ, "TERM": "xterm-256color"}
        command = [sys.executable, "-m", "kvchat", *arguments]
        os.execve(sys.executable, command, environment)
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
    try:
        return _measured(process, terminal, started)
    finally:
        os.kill(process, signal.SIGKILL)
        os.close(terminal)
        os.waitpid(process, 0)


def _measured(process: int, terminal: int, started: float) -> Start:
    screen = _Output(terminal)
    first_frame = screen.wait_for(FIRST_WORDS, started + MAX_SECONDS) - started
    cpu = _cpu_seconds(process)
    echoes: list[float] = []
    ready = 0.0
    number = 0
    while time.perf_counter() - started < MAX_SECONDS:
        if ready and time.perf_counter() - started - ready > SECONDS_AFTER:
            break
        key = KEYS[number % len(KEYS)]
        number += 1
        screen.forget()
        typed = time.perf_counter()
        os.write(terminal, key.encode())
        echoes.append(screen.wait_for(key, typed + 5.0) - typed)
        screen.read_until(time.perf_counter() + KEY_SECONDS)
        if not ready and READY in screen.all_text:
            ready = time.perf_counter() - started
        if number % len(KEYS) == 0:
            os.write(terminal, b"\x15")  # ^u empties the line
            screen.read_until(time.perf_counter() + KEY_SECONDS)
    return Start(first_frame, cpu, ready, tuple(echoes))


def _cpu_seconds(process: int) -> float:
    try:
        fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class _Output:
    """What the program wrote; `all_text` is everything, `forget` starts a new search."""

    def __init__(self, terminal: int) -> None:
        self._terminal = terminal
        self._recent = b""
        self.all_text = ""

    def forget(self) -> None:
        self._recent = b""

    def read_until(self, deadline: float) -> None:
        while (rest := deadline - time.perf_counter()) > 0:
            self._read(rest)

    def wait_for(self, text: str, deadline: float) -> float:
        """Return when a text came, or the deadline."""
        wanted = text.encode()
        while wanted not in self._recent:
            rest = deadline - time.perf_counter()
            if rest <= 0:
                return deadline
            self._read(rest)
        return time.perf_counter()

    def _read(self, seconds: float) -> None:
        readable, _, _ = select.select([self._terminal], [], [], seconds)
        if readable:
            try:
                data = os.read(self._terminal, 65536)
            except OSError:  # the program has ended
                data = b""
                time.sleep(min(seconds, 0.01))
            self._recent += data
            self.all_text += data.decode(errors="replace")
