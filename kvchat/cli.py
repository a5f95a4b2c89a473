"""The command `kvchat`: arguments to the app, or to one printed answer.

Imports what a command needs inside that command, so that `--help` and the first frame are quick.
"""

import argparse
import contextlib
import difflib
import json
import logging
import logging.handlers
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NoReturn

from kvchat import __version__, paths
from kvchat.clean_text import clean
from kvchat.device import parse_size
from kvchat.errors import InvalidArgument, KVChatError
from kvchat.settings import DEVICES, Settings, load_settings

if TYPE_CHECKING:
    from kvchat.runtime import ChatRuntime

WEIGHTS = ("auto", "fp32", "bf16", "fp16")
KV_DTYPES = ("auto", "int8")

DESCRIPTION = "Many local LLM chats at once in your terminal, all in one paged KV cache."
EPILOG = """\
examples:
  kvchat                                 open the app
  kvchat "Tell me a story"               open it and send a message
  kvchat -p "Hello! Who are you?"        print one answer
  git diff | kvchat -p "explain this"    standard input, a blank line, the text
  echo "Hi" | kvchat -p - --json         one JSON object with text, token counts and speeds
  kvchat keys                            every key and command of the app
  kvchat doctor                          check the cache on this machine
  kvchat simulate                        let 200 users chat, crash and compare every token
  kvchat bench sessions                  measure a restart with and without saved memory
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit status."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    _fill_closed_streams()
    try:
        if words[:1] == ["keys"]:
            return _print_keys(words[1:])
        if words[:1] == ["doctor"]:
            from kvchat import doctor

            return doctor.main(words[1:])
        if words[:1] == ["simulate"]:
            from kvchat.simulate import program

            return program.main(words[1:])
        if words[:1] == ["bench"]:
            return _bench(words[1:])
        return _run(_parser().parse_args(words))
    except KVChatError as error:
        _tell(error, as_json="--json" in words)
        return error.exit_status
    except BrokenPipeError:
        return 0
    except KeyboardInterrupt:
        return 130


def _bench(words: Sequence[str]) -> int:
    if words[:1] != ["sessions"]:
        raise InvalidArgument("Say what to measure: kvchat bench sessions.")
    from kvchat.bench import sessions

    return sessions.main(words[1:])


def console() -> NoReturn:
    """Be the command: run `main` and end the process with its status.

    Whatever must be stored is stored by then. A thread that still loads a model is not waited for;
    Python's own end would pull the interpreter away under it.
    """
    status = main()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError):
            stream.flush()
    logging.shutdown()
    os._exit(status)


def _fill_closed_streams() -> None:
    """Open what was closed, so that no database or model file becomes standard output."""
    for name in ("stdin", "stdout", "stderr"):
        if getattr(sys, name) is None:
            stream = open(os.devnull, "r" if name == "stdin" else "w")  # noqa: SIM115
            setattr(sys, name, stream)


def _tell(error: KVChatError, *, as_json: bool) -> None:
    sentence = clean(error.sentence)
    if as_json:
        document = json.dumps({"error": sentence, "code": error.code}, ensure_ascii=False)
        with contextlib.suppress(OSError, UnicodeEncodeError):
            print(document, flush=True)
    print(f"kvchat: {sentence}", file=sys.stderr)


def _run(options: argparse.Namespace) -> int:
    settings = load_settings(paths.settings_path())
    text = _text_of(options)
    if options.device not in (None, "auto", "cpu"):
        from kvchat.device import choose_device

        choose_device(options.device)
    if options.print is not None or options.json or not sys.stdout.isatty():
        return _print(options, settings, text)
    return _open_app(options, settings, text)


def _text_of(options: argparse.Namespace) -> str:
    """Return the one text of a command line; several words are a text without its quotes."""
    texts = [*([options.print] if options.print else []), *options.prompt]
    if len(texts) > 1:
        command = "kvchat" if options.print is None else "kvchat -p"
        raise InvalidArgument(f'Put the text in quotes: {command} "{" ".join(texts)}".')
    return texts[0] if texts else ""


def _print(options: argparse.Namespace, settings: Settings, text: str) -> int:
    from kvchat.print_mode import print_answer, quick_interrupt, read_prompt

    with quick_interrupt(), _log_to_stderr(options.log_level):
        prompt = read_prompt(text)
        with _runtime(options, settings, save=False) as runtime:
            return print_answer(runtime, prompt, system=options.system, as_json=options.json)


def _print_keys(arguments: Sequence[str]) -> int:
    parser = _Parser(
        prog="kvchat keys", description="Print every key and command of the app, as you have them."
    )
    parser.parse_args(arguments)
    from kvchat.print_mode import write
    from kvchat.tui.commands import Registry
    from kvchat.tui.screens.help import help_lines

    settings = load_settings(paths.settings_path())
    write("\n".join(help_lines(Registry(settings.keys))) + "\n")
    return 0


def _open_app(options: argparse.Namespace, settings: Settings, text: str) -> int:
    if not sys.stdin.isatty():
        raise InvalidArgument("The app needs a terminal for input; use kvchat -p for pipes.")
    if os.environ.get("TERM") == "dumb":
        raise InvalidArgument('TERM is dumb; use kvchat -p "your text".')
    if options.system is not None:
        raise InvalidArgument("--system goes with -p; in the app, write /system and the text.")
    from dataclasses import replace

    from kvchat.tui.app import run

    _log_to_file(options.log_level)
    changes: dict[str, object] = {}
    if options.ascii:
        changes["ascii"] = True
    if options.theme is not None:
        changes["theme"] = options.theme
    settings = replace(settings, **changes)  # type: ignore[arg-type]  # checked when it is made
    return run(
        lambda: _runtime(options, settings, save=not options.no_save),
        settings,
        first_prompt=text or None,
    )


def _runtime(options: argparse.Namespace, settings: Settings, *, save: bool) -> "ChatRuntime":
    from kvchat.runtime import ChatRuntime

    window: int | Literal["default"] | None = "default"
    wanted = settings.window if options.window is None else options.window
    if wanted is not None:
        window = wanted or None
    return ChatRuntime(
        options.model if options.model is not None else settings.model,
        device=options.device if options.device is not None else settings.device,
        weights=options.weights,
        kv_dtype=options.kv_dtype,
        pool_bytes=options.pool if options.pool is not None else settings.pool,
        block_size=options.block_size,
        data_dir=options.data_dir,
        save=save,
        threads=options.threads,
        window=window,
        sinks=options.sinks if options.sinks is not None else settings.sinks,
        sampling={**settings.sampling_overrides, **_sampling(options)},
    )


def _sampling(options: argparse.Namespace) -> dict[str, object]:
    names = ("temperature", "top_k", "top_p", "min_p", "repetition_penalty", "seed", "max_tokens")
    values = {name: getattr(options, name) for name in names}
    return {name: value for name, value in values.items() if value is not None}


@contextlib.contextmanager
def _log_to_stderr(level: str) -> Iterator[None]:
    """Log one line each, without tracebacks unless they were asked for."""

    handler = logging.StreamHandler(sys.stderr)
    form = logging.Formatter if level == "debug" else _OneLine
    handler.setFormatter(form("kvchat: %(message)s"))
    root = logging.getLogger()
    before = root.level
    root.addHandler(handler)
    root.setLevel(level.upper())
    try:
        yield
    finally:
        root.removeHandler(handler)
        root.setLevel(before)


def _log_to_file(level: str) -> None:
    """Log beside the app, never into its screen; without a writable folder there is no log."""
    from kvchat.durable_files import private_dir

    try:
        directory = private_dir(paths.log_dir())
        handler = logging.handlers.RotatingFileHandler(
            directory / "kvchat.log", maxBytes=1 << 20, backupCount=1, delay=True
        )
    except (KVChatError, OSError):
        logging.disable(logging.CRITICAL)
        return
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    logging.basicConfig(level=level.upper(), handlers=[handler])


class _OneLine(logging.Formatter):
    """Messages without their tracebacks."""

    def format(self, record: logging.LogRecord) -> str:
        return self.formatMessage(logging.makeLogRecord({"message": record.getMessage()}))


class _Parser(argparse.ArgumentParser):
    """A parser whose complaints are one sentence, like every other error."""

    def __init__(self, **options: Any) -> None:  # passed on as they are
        super().__init__(allow_abbrev=False, **options)

    def error(self, message: str) -> NoReturn:
        message = message.removeprefix("argument ")
        unknown = message.removeprefix("unrecognized arguments: ")
        if unknown != message:
            name = unknown.split()[0].split("=")[0]
            close = difflib.get_close_matches(name, self._option_string_actions, n=1, cutoff=0.7)
            hint = f"did you mean {close[0]}?" if close else f"see {self.prog} --help."
            raise InvalidArgument(f"{name[:80]!r} is no option; {hint}")
        raise InvalidArgument(message.rstrip(".") + ".")


def _size(text: str) -> int:
    try:
        return parse_size(text)
    except InvalidArgument as error:
        raise argparse.ArgumentTypeError(error.sentence) from error


def _integer(text: str) -> int:
    try:
        return int(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text[:80]!r} is not a whole number") from error


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text[:80]!r} is not a number") from error


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="kvchat",
        usage="kvchat [option ...] [TEXT]\n       kvchat [option ...] -p TEXT",
        description=DESCRIPTION,
        epilog=f"{EPILOG}\nchats: {paths.data_dir()}\nsettings: {paths.settings_path()}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("prompt", nargs="*", metavar="TEXT", help="a first message for the app")
    add("--version", action="version", version=f"kvchat {__version__}")
    printing = parser.add_argument_group("one answer")
    printing.add_argument(
        "-p", "--print", nargs="?", const="", metavar="TEXT", help="print one answer and end"
    )
    printing.add_argument("--json", action="store_true", help="print it as one JSON object")
    model = parser.add_argument_group("model")
    model.add_argument("-m", "--model", metavar="DIR", help="a Hugging Face model folder")
    model.add_argument("-s", "--system", metavar="TEXT", help="system prompt, with -p")
    model.add_argument("--device", choices=DEVICES, help="where to compute (default: the best)")
    model.add_argument("--weights", choices=WEIGHTS, default="auto", help="weight precision")
    model.add_argument("--threads", type=_integer, metavar="N", help="CPU threads")
    cache = parser.add_argument_group("cache")
    cache.add_argument(
        "--kv-dtype", choices=KV_DTYPES, default="auto", help="int8 takes a quarter of the room"
    )
    cache.add_argument("--pool", type=_size, metavar="SIZE", help="block pool, as in 512MiB")
    cache.add_argument(
        "--block-size", type=_integer, default=32, metavar="N", help="tokens a block"
    )
    cache.add_argument("--window", type=_integer, metavar="N", help="last tokens kept; 0 for all")
    cache.add_argument("--sinks", type=_integer, metavar="N", help="first tokens kept by a window")
    sampling = parser.add_argument_group("sampling")
    sampling.add_argument("--temperature", type=_number, metavar="T", help="0 is greedy")
    sampling.add_argument(
        "--top-k", type=_integer, metavar="K", help="draw from the K likeliest tokens"
    )
    sampling.add_argument(
        "--top-p", type=_number, metavar="P", help="draw from the likeliest, together P"
    )
    sampling.add_argument(
        "--min-p", type=_number, metavar="P", help="none less likely than P of the best"
    )
    sampling.add_argument(
        "--repetition-penalty", type=_number, metavar="R", help="above 1: fewer repeats"
    )
    sampling.add_argument("--seed", type=_integer, metavar="N", help="same seed, same answer")
    sampling.add_argument("--max-tokens", type=_integer, metavar="N", help="longest answer")
    app = parser.add_argument_group("app")
    app.add_argument("--data-dir", type=Path, metavar="DIR", help="where chats are stored")
    app.add_argument("--no-save", action="store_true", help="keep chats in memory only")
    app.add_argument("--theme", choices=("dark", "light"), help="colors for this terminal")
    app.add_argument("--ascii", action="store_true", help="draw with ASCII characters only")
    app.add_argument(
        "--log-level", default="warning", choices=("debug", "info", "warning", "error")
    )
    return parser
