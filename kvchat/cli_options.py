"""The options of the command `kvchat`: their names, their checks, and what `--help` says."""

import argparse
import difflib
from pathlib import Path
from typing import Any, NoReturn

from kvchat import __version__, paths
from kvchat.device import parse_size
from kvchat.errors import InvalidArgument
from kvchat.settings import DEVICES, KERNELS

WEIGHTS = ("auto", "fp32", "bf16", "fp16", "int8", "int4")
KV_DTYPES = ("auto", "int8")

DESCRIPTION = "Many local LLM chats at once in your terminal, all in one paged KV cache."
EPILOG = """\
examples:
  kvchat                                 open the app
  kvchat "Tell me a story"               open it and send a message
  kvchat -c                              go on with the last chat
  kvchat --plain                         chat line by line, without a full screen
  kvchat -p "Hello! Who are you?"        print one answer
  git diff | kvchat -p "explain this"    standard input, a blank line, the text
  echo "Hi" | kvchat -p - --json         one JSON object with text, token counts and speeds
  kvchat -p "and then?" -c               go on with the last chat, and print the answer
  kvchat keys                            every key and command of the app
  kvchat sessions ls                     list stored chats; also rm, export, import, purge
  kvchat models                          list models; also inspect NAME, pull ORG/NAME
  kvchat config edit                     change the settings, checked
  kvchat completion bash                 a script that completes all this in your shell
  kvchat doctor                          check the cache on this machine
  kvchat simulate                        let 200 users chat, crash and compare every token
  kvchat bench sessions                  measure a restart with and without saved memory
"""


class Parser(argparse.ArgumentParser):
    """A parser whose complaints are one sentence, like every other error."""

    def __init__(self, **options: Any) -> None:  # passed on as they are
        super().__init__(allow_abbrev=False, **options)

    def error(self, message: str) -> NoReturn:
        """Raise InvalidArgument, with the option that was perhaps meant."""
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


def command_parser() -> argparse.ArgumentParser:
    """Return the parser of everything but the sub-commands."""
    parser = Parser(
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
    printing.add_argument(
        "--stream-json", action="store_true", help="print it as it comes, one JSON object a line"
    )
    printing.add_argument(
        "--logprobs",
        type=_integer,
        metavar="N",
        help="with JSON: tell each token's probability, and those of N others, at most 10",
    )
    printing.add_argument(
        "-x", "--extract", action="store_true", help="print only its first code block"
    )
    chat = parser.add_argument_group("chat")
    which = chat.add_mutually_exclusive_group()
    which.add_argument(
        "-c", "--continue", dest="last", action="store_true", help="go on with the last chat"
    )
    which.add_argument("-r", "--resume", metavar="NAME", help="go on with a chat, by title or id")
    chat.add_argument("--fork", action="store_true", help="go on in a fork of it, with -c or -r")
    chat.add_argument("--save", action="store_true", help="store the chat of -p as well")
    model = parser.add_argument_group("model")
    model.add_argument(
        "-m", "--model", metavar="DIR", help="a model folder, or a name from: kvchat models"
    )
    model.add_argument("-s", "--system", metavar="TEXT", help="system prompt of a new chat")
    model.add_argument("--device", choices=DEVICES, help="where to compute (default: the best)")
    model.add_argument("--weights", choices=WEIGHTS, default="auto", help="weight precision")
    model.add_argument("--threads", type=_integer, metavar="N", help="CPU threads")
    model.add_argument(
        "--kernel",
        choices=KERNELS,
        help="native: C++ kernels, compiled on first use; auto takes them where they are compiled",
    )
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
    app.add_argument("--plain", action="store_true", help="line by line, for screen readers")
    app.add_argument("--no-mouse", action="store_true", help="leave the mouse to the terminal")
    app.add_argument("--ascii", action="store_true", help="draw with ASCII characters only")
    app.add_argument(
        "--log-level", default="warning", choices=("debug", "info", "warning", "error")
    )
    return parser
