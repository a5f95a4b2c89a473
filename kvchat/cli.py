"""The command `kvchat`: arguments to the app, or to one printed answer.

Imports what a command needs inside that command, so that `--help` and the first frame are quick.
"""

import argparse
import logging
import logging.handlers
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from kvchat import __version__, paths
from kvchat.clean_text import clean
from kvchat.errors import InvalidArgument, KVChatError
from kvchat.settings import DEVICES, Settings, load_settings, parse_size

if TYPE_CHECKING:
    from kvchat.runtime import ChatRuntime

EXIT_USAGE = 2
WEIGHTS = ("auto", "fp32", "bf16", "fp16")

DESCRIPTION = "Many local LLM chats at once in your terminal, all in one paged KV cache."
EPILOG = """\
examples:
  kvchat                                 open the app
  kvchat "Tell me a story"               open it and send a message
  kvchat -p "Hello! Who are you?"        print one answer
  git diff | kvchat -p "explain this"    standard input, a blank line, the text
  echo "Hi" | kvchat -p - --json         one JSON object with text, token counts and speeds
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit status."""
    options = _parser().parse_args(arguments)
    try:
        return _run(options)
    except KVChatError as error:
        print(f"kvchat: {clean(error.sentence)}", file=sys.stderr)
        return error.exit_status
    except KeyboardInterrupt:
        return 130


def _run(options: argparse.Namespace) -> int:
    settings = load_settings(paths.settings_path())
    if options.device not in (None, "auto", "cpu"):
        from kvchat.device import choose_device

        choose_device(options.device)
    if options.print is not None or not sys.stdout.isatty():
        return _print(options, settings)
    return _open_app(options, settings)


def _print(options: argparse.Namespace, settings: Settings) -> int:
    from kvchat.print_mode import print_answer, read_prompt

    logging.basicConfig(level=options.log_level.upper(), format="kvchat: %(message)s")
    argument = options.print if options.print is not None else options.prompt or "-"
    prompt = read_prompt(argument)
    if not prompt.strip():
        raise InvalidArgument('There is nothing to answer; write kvchat -p "your text".')
    with _runtime(options, settings, save=False) as runtime:
        return print_answer(
            runtime,
            prompt,
            system=options.system,
            sampling=_sampling(options),
            as_json=options.json,
        )


def _open_app(options: argparse.Namespace, settings: Settings) -> int:
    for name in ("print", "json"):
        assert not getattr(options, name)
    if not sys.stdin.isatty():
        raise InvalidArgument("The app needs a terminal for input; use kvchat -p for pipes.")
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
        first_prompt=options.prompt,
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


def _size(text: str) -> int:
    try:
        return parse_size(text)
    except InvalidArgument as error:
        raise argparse.ArgumentTypeError(error.sentence) from error


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="kvchat",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("prompt", nargs="?", help="a first message for the app")
    add("--version", action="version", version=f"kvchat {__version__}")
    printing = parser.add_argument_group("one answer")
    printing.add_argument(
        "-p", "--print", nargs="?", const="-", metavar="TEXT", help="print one answer and end"
    )
    printing.add_argument("--json", action="store_true", help="print it as one JSON object")
    model = parser.add_argument_group("model")
    model.add_argument("-m", "--model", metavar="DIR", help="a Hugging Face model folder")
    model.add_argument("-s", "--system", metavar="TEXT", help="system prompt, with -p")
    model.add_argument("--device", choices=DEVICES, help="where to compute (default: the best)")
    model.add_argument("--weights", choices=WEIGHTS, default="auto", help="weight precision")
    model.add_argument("--threads", type=int, metavar="N", help="CPU threads")
    cache = parser.add_argument_group("cache")
    cache.add_argument("--pool", type=_size, metavar="SIZE", help="block pool, as in 512MiB")
    cache.add_argument("--block-size", type=int, default=32, metavar="N", help="tokens a block")
    cache.add_argument("--window", type=int, metavar="N", help="last tokens kept; 0 for all")
    cache.add_argument("--sinks", type=int, metavar="N", help="first tokens kept by a window")
    sampling = parser.add_argument_group("sampling")
    sampling.add_argument("--temperature", type=float, metavar="T", help="0 is greedy")
    sampling.add_argument("--top-k", type=int, metavar="K")
    sampling.add_argument("--top-p", type=float, metavar="P")
    sampling.add_argument("--min-p", type=float, metavar="P")
    sampling.add_argument("--repetition-penalty", type=float, metavar="R")
    sampling.add_argument("--seed", type=int, metavar="N", help="same seed, same answer")
    sampling.add_argument("--max-tokens", type=int, metavar="N", help="longest answer")
    app = parser.add_argument_group("app")
    app.add_argument("--data-dir", type=Path, metavar="DIR", help="where chats are stored")
    app.add_argument("--no-save", action="store_true", help="keep chats in memory only")
    app.add_argument("--theme", metavar="NAME")
    app.add_argument("--ascii", action="store_true", help="draw with ASCII characters only")
    app.add_argument(
        "--log-level", default="warning", choices=("debug", "info", "warning", "error")
    )
    return parser
