"""Sandbox: a child process for what a stranger's model folder may break.

Chat templates are programs. Jinja's sandbox stops attribute tricks, not loops, giant strings or
constants folded while compiling, so templates are compiled and rendered in a process of their own,
with limits on memory, processor time, wall time and output, no file writes and no way to start
anything. The first load of a tokenizer file runs there too. What goes wrong there is a sentence
here; the child is killed when it overruns and started again when it is needed next.

The child is `sandbox_child.py`, which loads nothing of kvchat. Requests and answers are single
lines of JSON on its standard input and output.
"""

import base64
import contextlib
import json
import math
import os
import subprocess
import sys
import threading
from collections.abc import Mapping
from types import TracebackType

from kvchat.text import sandbox_child
from kvchat.text.sandbox_child import MAX_OUTPUT, MAX_REQUEST_BYTES

MAX_TEMPLATE = 256 << 10
"""Characters a template may have."""
FIRST_SECONDS = 1.0
"""Wall time for the first request of a template, which compiles it."""
NEXT_SECONDS = 0.25
"""Wall time for each later one."""
SECONDS_PER_MB = 1.0
SECOND_CHANCE_SECONDS = 5.0
"""When a template overruns that has worked before, or that hardly got the processor, the machine is
slow rather than it."""
START_SECONDS = 30.0
_MAX_LINE = 8 * MAX_OUTPUT


class SandboxFailed(Exception):
    """The child refused, failed or was killed; the text is the reason. Never leaves `text/`."""


class Refused(SandboxFailed):
    """The template itself raised an error; with other messages it may not."""


class Sandbox:
    """Renders templates in a child process; for any thread, one request at a time.

    `start()` begins starting the child and returns at once; else the first request does it.
    `close()` ends it. The child also ends by itself when this process does.
    """

    def __init__(
        self, *, first_seconds: float = FIRST_SECONDS, next_seconds: float = NEXT_SECONDS
    ) -> None:
        self._first_seconds = first_seconds
        self._next_seconds = next_seconds
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._is_ready = False
        self._seconds_used = 0.0
        """Processor time the child had used when it answered last."""
        self._closed = False
        self._known: set[str] = set()
        """Templates that have rendered before."""

    def start(self) -> None:
        """Begin to start the child, which takes about 0.3 s, unless it runs already."""
        with self._lock:
            if not self._closed and self._process is None:
                # When it cannot be started, the first request says why.
                with contextlib.suppress(SandboxFailed):
                    self._spawn()

    def render(self, template: str, variables: Mapping[str, object], date: str) -> str:
        """Return what a template makes of JSON-like variables; raises SandboxFailed.

        `date` is the day, or the time, in ISO format that `strftime_now` tells. Blocks for at most
        the limits above, and the start of the child.
        """
        if len(template) > MAX_TEMPLATE:
            raise SandboxFailed(f"it is longer than {MAX_TEMPLATE >> 10} KiB")
        line = json.dumps(
            {"template": template, "variables": variables, "date": date}, separators=(",", ":")
        ).encode("ascii")
        if len(line) > MAX_REQUEST_BYTES:
            raise SandboxFailed("the conversation is too long for a template")
        extra = SECONDS_PER_MB * (len(line) - len(template)) / 1e6
        with self._lock:
            is_known = template in self._known
            seconds = (self._next_seconds if is_known else self._first_seconds) + extra
            try:
                text = self._ask(line, seconds)
            except _Overrun as overrun:
                if not is_known and not overrun.was_starved:
                    raise
                text = self._ask(line, SECOND_CHANCE_SECONDS + extra)
            self._known.add(template)
        if len(text) > MAX_OUTPUT:
            raise SandboxFailed("it writes too much text")
        return text

    def check_tokenizer(self, kind: str, raw: bytes) -> str | None:
        """Load the bytes of a `tokenizer.model` or `tokenizer.json` in the child, and use them.

        `kind` is 'model' or 'json'. Returns why that fails, or None. A `tokenizer.json` takes much
        room, so the child is replaced after one, in the background.
        """
        encoded = base64.b64encode(raw).decode("ascii")
        line = json.dumps({"tokenizer": encoded, "kind": kind}).encode("ascii")
        reason = None
        with self._lock:
            try:
                self._ask(line, START_SECONDS)
            except SandboxFailed as error:
                reason = str(error)
            if kind == "json":
                self._end()
        if kind == "json" and reason is None:
            self.start()
        return reason

    def close(self) -> None:
        """End the child, also in the middle of a request; harmless when repeated."""
        self._closed = True
        process = self._process
        if process is not None:
            process.kill()
        with self._lock:
            self._end()

    def __enter__(self) -> "Sandbox":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def _ask(self, line: bytes, seconds: float) -> str:
        if self._process is not None and self._process.poll() is not None:
            self._end()
        if self._process is None:
            self._spawn()
        if not self._is_ready:
            answer = self._exchange(b"", START_SECONDS, "it did not start")
            self._is_ready = True
            self._seconds_used = float(answer)
        answer = self._exchange(line + b"\n", seconds, "time limit")
        try:
            value = json.loads(answer)
        except (ValueError, RecursionError):
            self._end()
            raise SandboxFailed("the sandbox gave no answer") from None
        used = value.get("seconds") if isinstance(value, dict) else None
        self._seconds_used = used if isinstance(used, float) else 0.0
        text = value.get("text") if isinstance(value, dict) else None
        if isinstance(text, str):
            return text
        reason = _one_line(str(value.get("error"))) if isinstance(value, dict) else "no answer"
        if isinstance(value, dict) and value.get("ends") is True:
            self._end()
            raise SandboxFailed(reason)
        raise Refused(reason)

    def _exchange(self, request: bytes, seconds: float, overrun: str) -> bytes:
        """Send a request and return the line that answers it, within a limit of wall time."""
        process = self._process
        assert process is not None and process.stdin is not None and process.stdout is not None
        # Killing the child ends both a blocked write and a blocked read here, on every system.
        watchdog = _Watchdog(process, seconds)
        try:
            if request:
                process.stdin.write(request)
                process.stdin.flush()
            answer = process.stdout.readline(_MAX_LINE)
        except OSError:
            answer = b""
        finally:
            has_expired = watchdog.cancel()
        if answer.endswith(b"\n") and not has_expired and not self._closed:
            return answer
        is_too_long = len(answer) >= _MAX_LINE
        before = _seconds_of_children()
        status = self._end()
        if self._closed:
            raise SandboxFailed("kvchat is closing")
        if has_expired:
            used = _seconds_of_children() - before - self._seconds_used
            raise _Overrun(overrun, was_starved=used < seconds / 2)
        raise SandboxFailed("it writes too much text" if is_too_long else _ended_by(status))

    def _spawn(self) -> None:
        if self._closed:
            raise SandboxFailed("kvchat is closing")
        # Without these Python itself may not start: on Windows, or with libraries of its own.
        keep = ("SYSTEMROOT", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH")
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-I", "-B", sandbox_child.__file__],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                cwd=os.path.abspath(os.sep),
                env={name: os.environ[name] for name in keep if name in os.environ},
                start_new_session=True,  # Ctrl-C in the terminal is not for the child
            )
        except OSError as error:
            raise SandboxFailed(f"the sandbox cannot be started: {error.strerror}") from error
        self._is_ready = False

    def _end(self) -> int:
        """Kill the child if it runs, collect it, close its pipes; return its exit status."""
        process, self._process = self._process, None
        if process is None:
            return 0
        process.kill()
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                with contextlib.suppress(OSError):  # text that it never read is of no use
                    pipe.close()
        return process.wait()


class _Overrun(SandboxFailed):
    """The child was killed because its time was over.

    `was_starved` says that it had the processor for less than half of that time.
    """

    def __init__(self, reason: str, *, was_starved: bool) -> None:
        super().__init__(reason)
        self.was_starved = was_starved


class _Watchdog:
    """Kills a process after a time unless it is cancelled before."""

    def __init__(self, process: "subprocess.Popen[bytes]", seconds: float) -> None:
        self._process = process
        self._lock = threading.Lock()
        self._state = "waiting"
        self._timer = threading.Timer(seconds, self._expire)
        self._timer.daemon = True
        self._timer.start()

    def cancel(self) -> bool:
        """Return whether the time was over before."""
        self._timer.cancel()
        with self._lock:
            if self._state == "waiting":
                self._state = "cancelled"
        self._timer.join()
        return self._state == "expired"

    def _expire(self) -> None:
        with self._lock:
            if self._state == "waiting":
                self._state = "expired"
                self._process.kill()


def _seconds_of_children() -> float:
    """Return the processor time of all children that were waited for, where the system tells."""
    try:
        import resource
    except ImportError:  # Windows: then none was starved
        return math.inf
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def _ended_by(status: int) -> str:
    if status == -24:  # SIGXCPU
        return "time limit"
    return f"the sandbox ended by signal {-status}" if status < 0 else "the sandbox ended"


def _one_line(reason: str) -> str:
    reason = " ".join(reason.split())
    return (reason if len(reason) <= 200 else reason[:197] + "...").rstrip(".")
