"""`python -m kvchat.evaluate`: how well a model chats, or how well it predicts a text.

Without --text a model answers a hundred fixed prompts, as many chats at once, and checks say how
many of the answers are acceptable. A setting of sampling with several values, separated by commas,
makes it try every combination.

With --text it reads one long text as a single sequence, through the paged cache, and reports
perplexity and bits per byte, for stretches of positions too, so that a window or int8 keys and
values can be compared with the whole in float.
"""

import argparse
import json
import os
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TypeVar

import torch

from kvchat import paths
from kvchat.device import ROUNDED_WEIGHTS, compute_dtype, default_threads
from kvchat.errors import InvalidArgument, KVChatError
from kvchat.evaluation.held_out import held_out_bits
from kvchat.evaluation.interview import Chat, interview
from kvchat.evaluation.known_prompts import find_known_prompts
from kvchat.evaluation.model_card import check_card, write_into_card
from kvchat.evaluation.prompt_list import PromptList
from kvchat.evaluation.report import Report
from kvchat.evaluation.sampling_grid import Trial, combinations, trial_lines
from kvchat.evaluation.scores import Scores
from kvchat.evaluation.text_reading import STRETCH_TOKENS, bits_per_byte, perplexity, read_text
from kvchat.evaluation.transcript import transcript_lines
from kvchat.model.checkpoint import load_transformer
from kvchat.model.folder import ModelFolder
from kvchat.model.transformer import Transformer
from kvchat.runtime import ChatRuntime
from kvchat.text.chat_template import ChatTemplate
from kvchat.text.sandbox import Sandbox
from kvchat.text.tokenizer import Tokenizer

MAX_TEXT_BYTES = 64 << 20
FLOATS = ("fp32", "bf16")
CHAT_OPTIONS = (
    *("seeds", "greedy", "temperature", "top_p", "min_p", "repetition_penalty"),
    *("corpus", "markdown", "transcripts", "card"),
)
TEXT_OPTIONS = ("tokens", "window", "sinks")
SEEDS = [1, 2, 3]
NUM_TOKENS = 20_000
NUM_SINKS = 4
_Number = TypeVar("_Number", int, float)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; the last line of its output is one JSON object."""
    parser = _parser()
    options = parser.parse_args(arguments)
    torch.set_num_threads(options.threads)
    try:
        _check_combination(parser, options)
        document = _talk(options) if options.text is None else _read(options)
        print(json.dumps(document), flush=True)
    except BrokenPipeError:
        # Files are written before anything is printed. Python would complain again at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except KVChatError as error:
        print(error.sentence, file=sys.stderr)
        return error.exit_status
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m kvchat.evaluate",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--model", metavar="DIR", help="a model folder; the bundled one without it")
    parser.add_argument("--threads", type=_from_one, default=default_threads(), metavar="N")
    parser.add_argument("--weights", choices=(*FLOATS, *ROUNDED_WEIGHTS))
    parser.add_argument("--kv-dtype", choices=("auto", "int8"), default="auto")
    parser.add_argument("--json", type=Path, metavar="FILE", help="the figures")
    chats = parser.add_argument_group("chats")
    chats.add_argument("--seeds", type=_list_of(int), metavar="N,N", help="default: 1,2,3")
    chats.add_argument("--greedy", action="store_true", help="the likeliest token, one run")
    for name in ("temperature", "top-p", "min-p", "repetition-penalty"):
        chats.add_argument(f"--{name}", type=_list_of(float), metavar="X[,X]")
    chats.add_argument(
        "--corpus",
        type=Path,
        action="append",
        default=[],
        metavar="DIR",
        help="training data, for held-out bits and known prompts; may be given again",
    )
    chats.add_argument("--markdown", type=Path, metavar="FILE", help="the report")
    chats.add_argument("--transcripts", type=Path, metavar="FILE", help="all chats")
    chats.add_argument(
        "--card", type=Path, metavar="FILE", help="a model card with markers for the report"
    )
    text = parser.add_argument_group("text")
    text.add_argument("--text", type=Path, metavar="FILE", help="UTF-8 text")
    text.add_argument("--tokens", type=_from_one, metavar="N", help="at most; default: 20000")
    text.add_argument("--window", type=int, metavar="N")
    text.add_argument("--sinks", type=int, metavar="S", help="beside a window; default: 4")
    return parser


def _check_combination(parser: argparse.ArgumentParser, options: argparse.Namespace) -> None:
    """Raise InvalidArgument for options of chats beside those of a text, and the other way."""
    others: tuple[str, ...] = TEXT_OPTIONS
    what = "for a text; name one with --text"
    if options.text is not None:
        others, what = CHAT_OPTIONS, "for chats and does nothing beside --text"
    unused = [name for name in others if getattr(options, name) != parser.get_default(name)]
    if unused:
        raise InvalidArgument(f"--{unused[0].replace('_', '-')} is {what}.")


def _from_one(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"it is {number}, but must be at least 1")
    return number


def _list_of(kind: Callable[[str], _Number]) -> Callable[[str], list[_Number]]:
    def read(text: str) -> list[_Number]:
        return list(dict.fromkeys(kind(part) for part in text.split(",")))

    read.__name__ = "list of numbers"
    return read


# -- chats ----------------------------------------------------------------------------------------


def _talk(options: argparse.Namespace) -> dict[str, object]:
    """Let the model chat, write what was asked for, print the report; return the figures."""
    prompts = PromptList.load()
    values: dict[str, list[float]] = {
        name: getattr(options, name)
        for name in ("temperature", "top_p", "min_p", "repetition_penalty")
        if getattr(options, name) is not None
    }
    if options.greedy:
        values["temperature"] = [0.0]
    choices = combinations(values)
    files = (options.json, options.markdown, options.transcripts, options.card)
    if len(choices) > 1 and any((*files[1:], options.corpus)):
        raise InvalidArgument(
            f"{len(choices)} combinations of settings make no report; choose one value for each."
        )
    if options.card is not None:
        check_card(options.card)  # before minutes are spent on what could not be kept
    _check_files(files[:3])
    # Where every token is the likeliest one, other seeds would give the same chats again.
    seeds = options.seeds or SEEDS
    seeds = seeds[:1] if values.get("temperature") == [0.0] else seeds
    known = find_known_prompts(prompts.prompts, options.corpus) if options.corpus else None
    trials: list[Trial] = []
    chats: list[Chat] = []
    document: dict[str, object]
    with ChatRuntime(
        options.model,
        save=False,
        threads=options.threads,
        weights=options.weights or "auto",
        kv_dtype=options.kv_dtype,
    ) as runtime:
        advised = runtime.new_session().sampling
        for choice in choices:
            advised.with_values(choice)  # says what is wrong before anything is computed
        for choice in choices:
            chats = [
                chat
                for seed in seeds
                for chat in interview(runtime, prompts.prompts, seed, choice, _say_progress)
            ]
            trials.append(Trial(choice, Scores.of(prompts, chats)))
        name = runtime.status().model_name
    if len(trials) > 1:
        best = min(trials, key=lambda trial: trial.rank)
        document = {"best": best.to_dict(), "trials": [trial.to_dict() for trial in trials]}
        page = list(trial_lines(trials))
    else:
        sampling = advised.with_values(choices[0]).to_dict()
        bits = _held_out(options) if options.corpus else {}
        report = Report(name, sampling, prompts, chats, trials[0].scores, bits, known)
        page = list(report.lines())
        if options.markdown is not None:
            _write(options.markdown, page)
        if options.transcripts is not None:
            _write(options.transcripts, transcript_lines(prompts, chats))
        if options.card is not None:
            write_into_card(options.card, page)
        document = report.to_dict()
    if options.json is not None:
        _write(options.json, [json.dumps(document, indent=1)])
    print("\n".join(page))
    return document


def _say_progress(num_chats: int) -> None:
    if sys.stderr.isatty():
        print(f"\r{num_chats} chats", end="", file=sys.stderr, flush=True)


def _held_out(options: argparse.Namespace) -> dict[str, float]:
    folder, tokenizer, model = _load(options)
    sandbox = Sandbox()
    try:
        template = ChatTemplate.load(folder.path, tokenizer, sandbox)
        return held_out_bits(options.corpus[0], model, tokenizer, template)
    finally:
        sandbox.close()


def _check_files(paths: Iterable[Path | None]) -> None:
    for path in paths:
        if path is not None and (path.is_dir() or not path.parent.is_dir()):
            raise InvalidArgument(f"{path} cannot be written: it is a folder, or has none.")


def _write(path: Path, lines: Iterable[str]) -> None:
    try:
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    except OSError as error:
        raise InvalidArgument(f"{path} cannot be written: {error.strerror}.") from error


# -- a text ---------------------------------------------------------------------------------------


def _load(options: argparse.Namespace) -> tuple[ModelFolder, Tokenizer, Transformer]:
    weights = options.weights or "fp32"
    folder = ModelFolder.open(
        paths.bundled_model_dir() if options.model is None else Path(options.model)
    )
    model = load_transformer(
        folder,
        dtype=compute_dtype("cpu", weights),
        device="cpu",
        weights=weights if weights in ROUNDED_WEIGHTS else "float",
    )
    return folder, Tokenizer.load(folder.path), model


def _read(options: argparse.Namespace) -> dict[str, object]:
    """Let the model read a text, print the perplexity of its stretches; return the figures."""
    _check_files([options.json])
    sinks = NUM_SINKS if options.sinks is None else options.sinks
    try:
        text = options.text.read_text(encoding="utf-8", errors="replace")[:MAX_TEXT_BYTES]
    except OSError as error:
        failure = KVChatError(f"Cannot read {options.text}: {error.strerror}.")
        failure.exit_status = 66
        raise failure from error
    _, tokenizer, model = _load(options)
    ids = tokenizer.encode(text)[: options.tokens or NUM_TOKENS]
    if tokenizer.bos_id is not None:
        ids = [tokenizer.bos_id, *ids]
    reading = read_text(model, ids, window=options.window, sinks=sinks, kv_dtype=options.kv_dtype)
    losses = reading.losses
    if not losses:
        raise InvalidArgument(f"{options.text} has no text to read; give another FILE.")
    for start in range(0, len(losses), STRETCH_TOKENS):
        value = perplexity(losses[start : start + STRETCH_TOKENS])
        print(f"tokens {start:6} and on: perplexity {value:9.2f}")
    document: dict[str, object] = {
        "tokens": len(losses),
        "window": options.window,
        "sinks": sinks if options.window else 0,
        "weights": options.weights or "fp32",
        "kv_dtype": options.kv_dtype,
        "bits_per_byte": round(bits_per_byte(losses, len(tokenizer.decode(ids).encode())), 4),
        "perplexity": round(perplexity(losses), 3),
        "perplexity_first_2000": round(perplexity(losses[:STRETCH_TOKENS]), 3),
        "perplexity_after_2000": (
            round(perplexity(losses[STRETCH_TOKENS:]), 3) if len(losses) > STRETCH_TOKENS else None
        ),
        "max_blocks": reading.max_blocks,
        "final_blocks": reading.final_blocks,
    }
    if options.json is not None:
        _write(options.json, [json.dumps(document, indent=1)])
    return document


if __name__ == "__main__":
    sys.exit(main())
