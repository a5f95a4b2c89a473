"""Box: a program under a pseudo-terminal, what it writes, and how it leaves the terminal."""

import fcntl
import os
import pty
import select
import struct
import subprocess
import sys
import termios
import time
from pathlib import Path

FAKE_APP = f"""
import sys
sys.path.insert(0, {str(Path(__file__).parent)!r})
from fake_runtime import FakeRuntime
from kvchat.tui.app import run
sys.exit(run(FakeRuntime))
"""
REAL_APP = "import sys; from kvchat.cli import main; sys.exit(main(sys.argv[1:]))"


class Box:
    """A Python program under a terminal of its own, 80x24 unless said; reads as a person would."""

    def __init__(
        self,
        code: str,
        *arguments: str,
        width: int = 80,
        height: int = 24,
        stderr: int | None = None,
    ) -> None:
        self.master, slave = pty.openpty()
        self.before = termios.tcgetattr(slave)
        self.output = b""
        winsize = struct.pack("HHHH", height, width, 0, 0)
        fcntl.ioctl(slave, termios.TIOCSWINSZ, winsize)
        environment = {
            **os.environ,
            "TERM": "xterm-256color",
            "COLUMNS": str(width),
            "LINES": str(height),
        }
        self.child = subprocess.Popen(
            [sys.executable, "-c", code, *arguments],
            stdin=slave,
            stdout=slave,
            stderr=slave if stderr is None else stderr,
            env=environment,
            start_new_session=True,
        )
        self.slave = slave

    def read_until(self, wanted: bytes) -> None:
        deadline = time.monotonic() + 60
        while wanted not in self.output and time.monotonic() < deadline:
            self.read(0.2)
        assert wanted in self.output, self.output[-2000:]

    def read(self, seconds: float) -> None:
        if select.select([self.master], [], [], seconds)[0]:
            self.output += os.read(self.master, 65_536)

    def end(self) -> int:
        deadline = time.monotonic() + 60
        while self.child.poll() is None and time.monotonic() < deadline:
            self.read(0.05)
        self.read(0)
        assert self.child.returncode is not None
        return self.child.returncode

    def close(self) -> None:
        if self.child.poll() is None:
            self.child.kill()
            self.child.wait()
        os.close(self.master)
        os.close(self.slave)
