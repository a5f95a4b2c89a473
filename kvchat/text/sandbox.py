"""Sandbox: a child process for what a stranger's model folder may break.

Chat templates are programs. Jinja's sandbox stops attribute tricks, not loops, giant strings or
constants folded while compiling, so templates are compiled and rendered in a process of their own,
with limits on memory, processor time, wall time and output, no file writes and no way to start
anything. The first load of a tokenizer file runs there too. What goes wrong there is a sentence
here; the child is killed when it overruns and started again when it is needed next.

This file is both ends. Run as a script it is the child (`_serve`), which loads Jinja and the
standard library and nothing of kvchat; so the upper half imports no part of kvchat either.
Requests and answers are single lines of JSON on the child's standard input and output.
"""

import base64
import contextlib
import json
import os
import subprocess
import sys
import threading
from collections.abc import Mapping
from datetime import datetime
from types import TracebackType
from typing import TYPE_CHECKING, Any, BinaryIO, NoReturn

if TYPE_CHECKING:
    from jinja2.sandbox import ImmutableSandboxedEnvironment

MEMORY_BYTES = 512 << 20
MAX_OUTPUT = 4 << 20
"""Characters a template may write."""
MAX_TEMPLATE = 256 << 10
"""Characters a template may have."""
MAX_REQUEST_BYTES = 64 << 20
FIRST_SECONDS = 1.0
"""Wall time for the first request of a template, which compiles it."""
NEXT_SECONDS = 0.25
"""Wall time for each later one."""
SECONDS_PER_MB = 1.0
SECOND_CHANCE_SECONDS = 5.0
"""When a template that has worked before overruns, the machine is slow rather than it."""
START_SECONDS = 30.0
_CPU_SECONDS = 8
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
            except _Overrun:
                if not is_known:
                    raise
                text = self._ask(line, SECOND_CHANCE_SECONDS + extra)
            self._known.add(template)
        if len(text) > MAX_OUTPUT:
            raise SandboxFailed("it writes too much text")
        return text

    def check_tokenizer(self, raw: bytes) -> str | None:
        """Load the bytes of a `tokenizer.model` in the child; return why that fails, or None."""
        line = json.dumps({"tokenizer": base64.b64encode(raw).decode("ascii")}).encode("ascii")
        with self._lock:
            try:
                self._ask(line, START_SECONDS)
            except SandboxFailed as error:
                return str(error)
        return None

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
            self._exchange(b"", START_SECONDS, "it did not start")
            self._is_ready = True
        answer = self._exchange(line + b"\n", seconds, "time limit")
        try:
            value = json.loads(answer)
        except (ValueError, RecursionError):
            self._end()
            raise SandboxFailed("the sandbox gave no answer") from None
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
        status = self._end()
        if self._closed:
            raise SandboxFailed("kvchat is closing")
        if has_expired:
            raise _Overrun(overrun)
        raise SandboxFailed("it writes too much text" if is_too_long else _ended_by(status))

    def _spawn(self) -> None:
        if self._closed:
            raise SandboxFailed("kvchat is closing")
        # Without these Python itself may not start: on Windows, or with libraries of its own.
        keep = ("SYSTEMROOT", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH")
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-I", "-B", __file__],
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
    """The child was killed because its time was over."""


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


def _ended_by(status: int) -> str:
    if status == -24:  # SIGXCPU
        return "time limit"
    return f"the sandbox ended by signal {-status}" if status < 0 else "the sandbox ended"


def _one_line(reason: str) -> str:
    reason = " ".join(reason.split())
    return (reason if len(reason) <= 200 else reason[:197] + "...").rstrip(".")


# -- the child -----------------------------------------------------------------------------------


def _serve(requests: BinaryIO, answers: BinaryIO) -> None:
    """Answer requests until the input ends. Runs in the child only."""
    environment = _make_environment()
    compiled: dict[str, Any] = {}  # Jinja's templates, by their source
    # Both import modules when they are first used, which is forbidden afterwards.
    warm_up = "{% macro m() %}{{ [1]|tojson }}{% endmacro %}{{ m() }}{{ strftime_now('%Y') }}"
    _render(environment, compiled, {"template": warm_up, "variables": {}, "date": "2000-01-01"})
    _limit_process()
    is_locked = _forbid_everything_else()
    answers.write(b"\n")
    answers.flush()
    while line := requests.readline(MAX_REQUEST_BYTES + 1):
        _limit_processor_time()
        answer: dict[str, object]
        try:
            request = json.loads(line)
            if "tokenizer" in request:
                is_locked[0] = False
                try:
                    text = _load_tokenizer(base64.b64decode(request["tokenizer"]))
                finally:
                    is_locked[0] = True
            else:
                text = _render(environment, compiled, request)
            answer = {"text": text}
        except MemoryError:
            answer = {"error": "memory limit", "ends": True}
        except RecursionError:
            answer = {"error": "it is nested too deep", "ends": True}
        except Exception as error:  # whatever a stranger's file raises is an answer
            answer = {"error": str(error)[:1000] or type(error).__name__}
        try:
            encoded = json.dumps(answer, ensure_ascii=False).encode("utf-8", "surrogatepass")
        except MemoryError:
            encoded = b'{"error": "memory limit", "ends": true}'
        answers.write(encoded + b"\n")
        answers.flush()


def _render(
    environment: "ImmutableSandboxedEnvironment", compiled: dict[str, Any], request: dict[str, Any]
) -> str:
    source = request["template"]
    moment = datetime.fromisoformat(request["date"])
    if source not in compiled:
        compiled.clear()
        compiled[source] = environment.from_string(source)

    def strftime_now(form: str) -> str:
        return moment.strftime(form)

    parts: list[str] = []
    room = MAX_OUTPUT
    variables = {"strftime_now": strftime_now, "date_string": moment.strftime("%d %b %Y")}
    for part in compiled[source].generate(variables | request["variables"]):
        room -= len(part)
        if room < 0:
            raise ValueError("it writes too much text")
        parts.append(part)
    return "".join(parts)


def _load_tokenizer(raw: bytes) -> str:
    """Load a SentencePiece model and use it once."""
    import sentencepiece

    try:
        model = sentencepiece.SentencePieceProcessor(model_proto=raw)
        model.decode(model.encode("a 1 \u00e9\n"))
    except RuntimeError:  # its text names a line of the library
        raise ValueError("the SentencePiece library refuses it") from None
    return ""


def _make_environment() -> "ImmutableSandboxedEnvironment":
    import jinja2.ext
    from jinja2 import Environment, nodes
    from jinja2.exceptions import TemplateError
    from jinja2.parser import Parser
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    class Generation(jinja2.ext.Extension):
        """`{% generation %}` marks what a model is trained on; here it only shows its body."""

        def __init__(self, environment: Environment) -> None:
            self.tags = {"generation"}
            super().__init__(environment)

        def parse(self, parser: Parser) -> nodes.Node:
            line = next(parser.stream).lineno
            body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
            return nodes.Scope(body, lineno=line)

    def to_json(
        value: object,
        ensure_ascii: bool = False,
        indent: int | None = None,
        separators: tuple[str, str] | None = None,
        sort_keys: bool = False,
    ) -> str:
        return json.dumps(
            value,
            ensure_ascii=ensure_ascii,
            indent=indent,
            separators=separators,
            sort_keys=sort_keys,
        )

    def raise_exception(message: str) -> None:
        raise TemplateError(message)

    class TemplateEnvironment(ImmutableSandboxedEnvironment):
        def handle_exception(self, source: str | None = None) -> NoReturn:
            raise  # the error being handled; Jinja would rewrite its traceback, which nobody sees

    environment = TemplateEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[jinja2.ext.loopcontrols, Generation]
    )
    environment.filters["tojson"] = to_json
    del environment.globals["lipsum"]  # makes text without end, and nothing else
    environment.globals["raise_exception"] = raise_exception
    return environment


def _limit_process() -> None:
    """Limit memory, forbid writing files and core dumps, where the system can."""
    try:
        import resource
    except ImportError:  # Windows: the limits of wall time remain
        return
    limits = {"RLIMIT_AS": MEMORY_BYTES, "RLIMIT_FSIZE": 0, "RLIMIT_CORE": 0}
    for name, value in limits.items():
        with contextlib.suppress(OSError, ValueError, AttributeError):
            resource.setrlimit(getattr(resource, name), (value, value))


def _limit_processor_time() -> None:
    """Let this process use a few more seconds of processor time, after which it is killed."""
    try:
        import resource
    except ImportError:
        return
    usage = resource.getrusage(resource.RUSAGE_SELF)
    hard = resource.getrlimit(resource.RLIMIT_CPU)[1]
    seconds = int(usage.ru_utime + usage.ru_stime) + _CPU_SECONDS
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_CPU, (seconds, hard))


def _forbid_everything_else() -> list[bool]:
    """Make opening files, starting programs and connecting fail from now on.

    Returns a list whose only item switches the rule; a tokenizer check has to import its library.
    """
    is_locked = [True]
    forbidden = ("open", "os.", "subprocess.", "socket.", "ctypes.", "shutil.", "import")

    def refuse(event: str, _: tuple[object, ...]) -> None:
        if is_locked[0] and event.startswith(forbidden):
            raise PermissionError(f"{event} is not allowed in a template")

    sys.addaudithook(refuse)
    return is_locked


if __name__ == "__main__":
    _serve(sys.stdin.buffer, sys.stdout.buffer)
