"""The child of Sandbox: runs a stranger's templates, and loads a stranger's tokenizer first.

Run as a script by `sandbox.py`, with nothing of kvchat: Jinja and the standard library only, and a
tokenizer library while it checks a file. It reads requests and writes answers as single lines of
JSON on its standard input and output, under limits on memory, processor time and output, without
opening files or starting anything. What a stranger's file does wrong is an answer here.
"""

import base64
import contextlib
import json
import os
import sys
import time
from datetime import datetime
from typing import TYPE_CHECKING, Any, BinaryIO, NoReturn

if TYPE_CHECKING:
    from jinja2.sandbox import ImmutableSandboxedEnvironment

MEMORY_BYTES = 512 << 20
TOKENIZER_MEMORY_BYTES = 2 << 30
"""For a tokenizer.json: the library takes 0.4 GB for the largest published ones."""
MAX_OUTPUT = 4 << 20
"""Characters a template may write."""
MAX_REQUEST_BYTES = 64 << 20
_CPU_SECONDS = 8


def _serve(requests: BinaryIO, answers: BinaryIO) -> None:
    """Answer requests until the input ends. Runs in the child only."""
    environment = _make_environment()
    compiled: dict[str, Any] = {}  # Jinja's templates, by their source
    # Both import modules when they are first used, which is forbidden afterwards.
    warm_up = "{% macro m() %}{{ [1]|tojson }}{% endmacro %}{{ m() }}{{ strftime_now('%Y') }}"
    _render(environment, compiled, {"template": warm_up, "variables": {}, "date": "2000-01-01"})
    _limit_process()
    os.environ["TOKENIZERS_PARALLELISM"] = "false"  # its threads would take address space
    is_locked = _forbid_everything_else()
    answers.write(f"{time.process_time()}\n".encode("ascii"))
    answers.flush()
    while line := requests.readline(MAX_REQUEST_BYTES + 1):
        _limit_processor_time()
        answer: dict[str, object]
        try:
            request = json.loads(line)
            if "tokenizer" in request:
                is_locked[0] = False
                try:
                    text = _load_tokenizer(request["kind"], base64.b64decode(request["tokenizer"]))
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
        except BaseException as error:  # a panic of the tokenizers library is no Exception
            answer = {"error": f"its library stopped: {type(error).__name__}", "ends": True}
        answer["seconds"] = time.process_time()
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


def _load_tokenizer(kind: str, raw: bytes) -> str:
    """Load a tokenizer file and use it once."""
    if kind == "json":
        return _load_json_tokenizer(raw)
    import sentencepiece

    try:
        model = sentencepiece.SentencePieceProcessor(model_proto=raw)
        model.decode(model.encode("a 1 \u00e9\n"))
    except RuntimeError:  # its text names a line of the library
        raise ValueError("the SentencePiece library refuses it") from None
    return ""


def _load_json_tokenizer(raw: bytes) -> str:
    """Load a tokenizer.json and encode texts on which a bad pattern would take for ever."""
    from tokenizers import Tokenizer

    _limit_memory(TOKENIZER_MEMORY_BYTES)
    try:
        library = Tokenizer.from_buffer(raw)
        for bit in ("a", " ", "\n", "1", "'s", "aA", "a ", "\u00e9", ".", "\u2581", "<|"):
            library.encode(bit * (4000 // len(bit)))
        library.decode(library.encode("a 1 \u00e9\n").ids)
    except Exception as error:  # the library raises plain Exception
        raise ValueError(f"the tokenizers library refuses it: {str(error)[:120]}") from None
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
    for name in ("RLIMIT_FSIZE", "RLIMIT_CORE"):
        with contextlib.suppress(OSError, ValueError, AttributeError):
            resource.setrlimit(getattr(resource, name), (0, 0))
    _limit_memory(MEMORY_BYTES)


def _limit_memory(num_bytes: int) -> None:
    """Let this process use so much address space, and never more than a tokenizer may."""
    try:
        import resource
    except ImportError:
        return
    with contextlib.suppress(OSError, ValueError, AttributeError):
        most = resource.getrlimit(resource.RLIMIT_AS)[1]  # it may have been lowered before
        if most == resource.RLIM_INFINITY or most > TOKENIZER_MEMORY_BYTES:
            most = TOKENIZER_MEMORY_BYTES
        resource.setrlimit(resource.RLIMIT_AS, (min(num_bytes, most), most))


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
