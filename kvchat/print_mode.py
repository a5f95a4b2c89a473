"""One answer without the app: for pipes and scripts, as text or as one JSON object.

stdout gets the answer and nothing else; notices and errors go to stderr as one sentence each.
"""

import io
import json
import os
import re
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Literal

from kvchat.clean_text import clean
from kvchat.errors import InvalidArgument, KVChatError, ReplyFailed
from kvchat.runtime import ChatRuntime
from kvchat.sampling_params import SamplingParams
from kvchat.session.reply import Reply
from kvchat.session.session import Session

EXIT_INTERRUPTED = 130
EXIT_NO_OUTPUT = 74
MAX_STDIN_BYTES = 5 * 1024 * 1024
Form = Literal["text", "json", "stream-json", "code"]
"""How an answer is printed."""
_FENCE = re.compile(r"^ {0,3}(`{3,}(?=[^`]*$)|~{3,})", re.MULTILINE)


def read_prompt(text: str) -> str:
    """Return what to say: the text, what is piped in, or both with a blank line between.

    '-' stands for standard input alone, even if that is a terminal. Raises InvalidArgument for
    input that is empty, too long or unreadable.
    """
    parts = []
    if text == "-" or not sys.stdin.isatty():
        try:
            raw = sys.stdin.buffer.read(MAX_STDIN_BYTES + 1)
        except OSError as error:
            raise InvalidArgument(f"Standard input cannot be read: {error.strerror}.") from error
        if len(raw) > MAX_STDIN_BYTES:
            raise InvalidArgument("The text on standard input is longer than 5 MB; shorten it.")
        parts.append(raw.decode("utf-8-sig", errors="replace").strip("\r\n"))
    if text != "-":
        parts.append(text)
    prompt = "\n\n".join(part for part in parts if part)
    if not prompt.strip():
        raise InvalidArgument('There is nothing to answer; write kvchat -p "your text".')
    return prompt


@contextmanager
def quick_interrupt() -> Iterator[None]:
    """Let Ctrl-C end the process at once, with status 130.

    Nothing here is stored that could be lost, and a step or a model that is being loaded need not
    be waited for. A process that was told to ignore Ctrl-C goes on ignoring it.
    """

    def leave(_number: int, _frame: FrameType | None) -> None:
        if sys.stdout.isatty():
            os.write(sys.stdout.fileno(), b"\n")
        os._exit(EXIT_INTERRUPTED)

    if signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield
        return
    signal.signal(signal.SIGINT, leave)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def print_answer(
    runtime: ChatRuntime,
    session: Session,
    prompt: str,
    *,
    form: Form = "text",
    sampling: SamplingParams | None = None,
    num_logprobs: int | None = None,
) -> int:
    """Send one message, write the answer to stdout, return the exit status.

    Text streams as it comes, exact into a pipe and cleaned on a terminal, with a newline at its
    end; JSON and code are written at the end, `stream-json` one object a line: init, token, stats,
    end. With `num_logprobs` JSON tells the logarithm of every token's probability, and those of so
    many alternatives. A closed pipe ends quietly. Raises KVChatError when stdout takes nothing
    more.
    """
    is_terminal = sys.stdout.isatty()
    if isinstance(sys.stdout, io.TextIOWrapper):
        if is_terminal:
            sys.stdout.reconfigure(errors="replace")
        else:
            sys.stdout.reconfigure(encoding="utf-8")
    reply = session.send(prompt) if sampling is None else session.send(prompt, sampling)
    failure: ReplyFailed | None = None
    try:
        if form == "stream-json":
            _write_event("init", model=runtime.status().model_name, session=reply.session_id)
        try:
            for piece in reply:
                if form == "text":
                    write(clean(piece) if is_terminal else piece)
                elif form == "stream-json":
                    _write_event("token", text=piece)
        except ReplyFailed as error:
            failure = error
        figures: dict[str, object] = {}
        if form in ("json", "stream-json"):
            figures = _figures(runtime, reply, failure)
            if num_logprobs is not None:
                figures["logprobs"] = _logprobs(session, reply, num_logprobs)
        missing = _write_end(reply, figures, form, is_terminal, has_failed=failure is not None)
    except BrokenPipeError:
        reply.cancel()
        return 0
    if failure is not None:
        print(f"kvchat: {clean(failure.sentence)}", file=sys.stderr)
        return _origin(failure).exit_status
    for notice in _notices(runtime, session, reply):
        print(f"kvchat: {notice}", file=sys.stderr)
    if missing:
        print(f"kvchat: {missing}", file=sys.stderr)
    return 1 if missing else 0


def _write_end(
    reply: Reply, figures: dict[str, object], form: Form, is_terminal: bool, *, has_failed: bool
) -> str:
    """Write what is only known at the end; return the sentence about what is missing, or ''."""
    if form == "json":
        write(json.dumps(figures, ensure_ascii=False) + "\n")
    elif form == "stream-json":
        end = {name: figures.pop(name) for name in ("text", "finish_reason", "error", "code")}
        _write_event("stats", **figures)
        _write_event("end", **end)
    elif form == "code":
        code = first_code_block(reply.text)
        if code is None:
            return "" if has_failed else "The answer has no code block; nothing was printed."
        write(clean(code) if is_terminal else code)
    elif reply.text and not reply.text.endswith("\n"):
        write("\n")
    return ""


def _write_event(kind: str, **values: object) -> None:
    write(json.dumps({"type": kind, **values}, ensure_ascii=False) + "\n")


def first_code_block(text: str) -> str | None:
    """Return the first fenced block of a Markdown text, without its fences; None if there is none.

    A block that the end of the text cut off counts as well.
    """
    opening = _FENCE.search(text)
    if opening is None:
        return None
    mark = opening.group(1)
    start = text.find("\n", opening.end()) + 1
    if not start:
        return ""
    closing = re.compile(rf"^ {{0,3}}{re.escape(mark[0])}{{{len(mark)},}}[ \t]*$", re.MULTILINE)
    end = closing.search(text, start)
    code = text[start:] if end is None else text[start : end.start()]
    return code if code.endswith("\n") or not code else code + "\n"


def write(text: str) -> None:
    """Write to stdout at once.

    Raises BrokenPipeError when nobody reads it any more, KVChatError when it cannot be written.
    """
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except OSError as error:
        # Python would complain once more when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if isinstance(error, BrokenPipeError):
            raise
        failure = KVChatError(f"Cannot write the answer: {error.strerror}.", code="no_output")
        failure.exit_status = EXIT_NO_OUTPUT
        raise failure from error


def _origin(failure: KVChatError) -> KVChatError:
    """Return what made a reply fail: for a model that cannot be loaded, the error of loading."""
    while isinstance(failure.__cause__, KVChatError):
        failure = failure.__cause__
    return failure


def _notices(runtime: ChatRuntime, session: Session, reply: Reply) -> Iterator[str]:
    """Yield what the reader of an answer should know about it."""
    window, num_tokens = session.window, reply.num_prompt_tokens
    if window is not None and num_tokens > window + session.num_sink_tokens:
        yield (
            f"the prompt has {num_tokens} tokens, more than the model sees: it read the beginning "
            f"and answered with the last {window} in view."
        )
    if reply.notice is not None:
        yield clean(reply.notice)
    if reply.finish_reason == "context":
        yield f"the answer ended at the {runtime.status().context_tokens} tokens of the context."


def _figures(runtime: ChatRuntime, reply: Reply, failure: ReplyFailed | None) -> dict[str, object]:
    status = runtime.status()
    return {
        "text": reply.text,
        "finish_reason": reply.finish_reason,
        "error": None if failure is None else clean(failure.sentence),
        "code": None if failure is None else _origin(failure).code,
        "notice": reply.notice,
        "model": status.model_name,
        "device": status.device,
        "weights": status.weights,
        "kernel": status.kernel,
        "seed": reply.seed,
        "prompt_tokens": reply.num_prompt_tokens,
        "cached_tokens": reply.num_cached_tokens,
        "generated_tokens": reply.num_generated_tokens,
        "prefill_tokens_per_second": round(reply.prefill_tokens_per_second, 2),
        "decode_tokens_per_second": round(reply.decode_tokens_per_second, 2),
    }


def _logprobs(session: Session, reply: Reply, count: int) -> list[dict[str, object]]:
    """Return what the model thought of each token of an answer, and of the likeliest others."""
    return [
        {
            "token": token.text,
            "id": token.token_id,
            "logprob": None if token.logprob is None else round(token.logprob, 4),
            "top": [
                {"token": other.text, "id": other.token_id, "logprob": round(other.logprob, 4)}
                for other in token.alternatives[:count]
            ],
        }
        for token in session.tokens(reply.message_id)
    ]
