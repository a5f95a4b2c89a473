"""One answer without the app: for pipes and scripts, as text or as one JSON object."""

import json
import os
import sys

from kvchat.clean_text import clean
from kvchat.errors import KVChatError, ReplyFailed
from kvchat.runtime import ChatRuntime
from kvchat.sampling_params import SamplingParams
from kvchat.session.reply import Reply

EXIT_FAILED = 1
EXIT_INTERRUPTED = 130
MAX_STDIN_BYTES = 5 * 1024 * 1024


def read_prompt(argument: str) -> str:
    """Return what to say: the argument, what is piped in, or both with a blank line between.

    '-' stands for standard input alone. Raises KVChatError for input that is too long.
    """
    parts = []
    if argument == "-" or not sys.stdin.isatty():
        raw = sys.stdin.buffer.read(MAX_STDIN_BYTES + 1)
        if len(raw) > MAX_STDIN_BYTES:
            raise KVChatError("The text on standard input is longer than 5 MB; shorten it.")
        parts.append(raw.decode("utf-8", errors="replace").strip("\n"))
    if argument != "-":
        parts.append(argument)
    return "\n\n".join(part for part in parts if part)


def print_answer(
    runtime: ChatRuntime,
    prompt: str,
    *,
    system: str | None,
    sampling: dict[str, object],
    as_json: bool,
) -> int:
    """Send one message in a new session, write the answer to stdout, return the exit status.

    Text streams as it comes, exact into a pipe and cleaned on a terminal; JSON is written at the
    end. A closed pipe ends quietly. Errors go to stderr as one sentence.
    """
    session = runtime.new_session(system=system)
    params: SamplingParams = session.sampling.with_values(sampling)
    reply = session.send(prompt, params)
    is_terminal = sys.stdout.isatty()
    try:
        for piece in reply:
            if not as_json:
                sys.stdout.write(clean(piece) if is_terminal else piece)
                sys.stdout.flush()
        if as_json:
            print(json.dumps(_figures(runtime, reply), ensure_ascii=False))
        elif is_terminal or not reply.text.endswith("\n"):
            print()
        sys.stdout.flush()
    except BrokenPipeError:
        # Python would complain once more when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        reply.cancel()
        return 0
    except KeyboardInterrupt:
        reply.cancel()
        return EXIT_INTERRUPTED
    except ReplyFailed as error:
        if as_json:
            print(json.dumps(_figures(runtime, reply), ensure_ascii=False))
        print(clean(error.sentence), file=sys.stderr)
        return EXIT_FAILED
    return 0


def _figures(runtime: ChatRuntime, reply: Reply) -> dict[str, object]:
    status = runtime.status()
    return {
        "text": reply.text,
        "finish_reason": reply.finish_reason,
        "error": reply.error,
        "model": status.model_name,
        "device": status.device,
        "weights": status.weights,
        "seed": reply.seed,
        "prompt_tokens": reply.num_prompt_tokens,
        "cached_tokens": reply.num_cached_tokens,
        "generated_tokens": reply.num_generated_tokens,
        "prefill_tokens_per_second": round(reply.prefill_tokens_per_second, 2),
        "decode_tokens_per_second": round(reply.decode_tokens_per_second, 2),
    }
