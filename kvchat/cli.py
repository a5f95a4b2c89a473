"""The command `kvchat`: arguments to the app, or to one printed answer.

Imports what a command needs inside that command, so that `--help` and the first frame are quick.
"""

import argparse
import contextlib
import json
import logging
import os
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Literal, NoReturn

from kvchat import paths
from kvchat.clean_text import clean
from kvchat.cli_options import Parser, command_parser
from kvchat.errors import InvalidArgument, KVChatError
from kvchat.log_output import log_to_file, log_to_stderr
from kvchat.settings import Settings, load_settings

if TYPE_CHECKING:
    from kvchat.runtime import ChatRuntime
    from kvchat.session_choice import SessionChoice


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit status."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    _fill_closed_streams()
    try:
        command = COMMANDS.get(words[0]) if words else None
        if command is not None:
            return command(words[1:])
        return _run(command_parser().parse_args(words))
    except KVChatError as error:
        _tell(error, as_json="--json" in words or "--stream-json" in words)
        return error.exit_status
    except BrokenPipeError:
        return 0
    except KeyboardInterrupt:
        return 130


def _doctor(words: Sequence[str]) -> int:
    from kvchat import doctor

    return doctor.main(words)


def _simulate(words: Sequence[str]) -> int:
    from kvchat.simulate import program

    return program.main(words)


def _bench(words: Sequence[str]) -> int:
    from kvchat.bench import programs

    return programs.main(words)


def _config(words: Sequence[str]) -> int:
    from kvchat import config_command

    return config_command.main(words)


def _sessions(words: Sequence[str]) -> int:
    from kvchat import sessions_command

    return sessions_command.main(words)


def _models(words: Sequence[str]) -> int:
    from kvchat import models_command

    return models_command.main(words)


def _completion(words: Sequence[str]) -> int:
    from kvchat import shell_completion

    return shell_completion.main(words)


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
    if options.fork and not (options.last or options.resume is not None):
        raise InvalidArgument("--fork goes with a chat to fork: -c for the last one, or -r NAME.")
    if options.device not in (None, "auto", "cpu"):
        from kvchat.device import choose_device

        choose_device(options.device)
    wants_answer = options.print is not None or options.json or options.stream_json
    if wants_answer or options.extract or (not sys.stdout.isatty() and not options.plain):
        return _print(options, settings, text)
    if options.save:
        raise InvalidArgument("--save goes with -p; without it every chat is stored.")
    if options.plain or os.environ.get("TERM") == "dumb":
        return _talk_plainly(options, settings, text)
    return _open_app(options, settings, text)


def _text_of(options: argparse.Namespace) -> str:
    """Return the one text of a command line; several words are a text without its quotes."""
    texts = [*([options.print] if options.print else []), *options.prompt]
    if len(texts) > 1:
        command = "kvchat" if options.print is None else "kvchat -p"
        raise InvalidArgument(f'Put the text in quotes: {command} "{" ".join(texts)}".')
    return texts[0] if texts else ""


def _choice(options: argparse.Namespace) -> "SessionChoice":
    from kvchat.session_choice import SessionChoice

    return SessionChoice(options.last, options.resume, options.fork, options.system)


def _print(options: argparse.Namespace, settings: Settings, text: str) -> int:
    from kvchat.print_mode import Form, print_answer, quick_interrupt, read_prompt

    forms: list[Form] = []
    forms += ["json"] if options.json else []
    forms += ["stream-json"] if options.stream_json else []
    forms += ["code"] if options.extract else []
    if len(forms) > 1:
        raise InvalidArgument("Choose one of --json, --stream-json and --extract.")
    count = options.logprobs
    if count is not None and (not 0 <= count <= 10 or not (options.json or options.stream_json)):
        raise InvalidArgument("--logprobs needs 0 to 10, and --json or --stream-json.")
    choice = _choice(options)
    is_kept = options.save or choice.is_old
    if is_kept and options.no_save:
        raise InvalidArgument("--no-save keeps no chat, so -c, -r and --save cannot go with it.")
    # What is stored must be ended in order: there Ctrl-C is an exception like any other.
    interrupt = contextlib.nullcontext() if is_kept else quick_interrupt()
    with interrupt, log_to_stderr(options.log_level):
        prompt = read_prompt(text)
        with _runtime(options, settings, save=is_kept) as runtime:
            session = choice.open(runtime) or runtime.new_session(system=options.system)
            sampling = session.sampling.with_values(_sampling(options)) if is_kept else None
            form = forms[0] if forms else "text"
            return print_answer(
                runtime, session, prompt, form=form, sampling=sampling, num_logprobs=count
            )


def _print_keys(words: Sequence[str]) -> int:
    parser = Parser(
        prog="kvchat keys", description="Print every key and command of the app, as you have them."
    )
    parser.add_argument(
        "--probe", action="store_true", help="show what the terminal sends for the keys you press"
    )
    wants_probe = parser.parse_args(words).probe
    from kvchat.print_mode import write
    from kvchat.tui.commands import Registry
    from kvchat.tui.screens.help import help_lines

    registry = Registry(load_settings(paths.settings_path()).keys)
    if wants_probe:
        from kvchat.tui.key_probe import probe

        return probe(registry)
    write("\n".join(help_lines(registry)) + "\n")
    return 0


def _talk_plainly(options: argparse.Namespace, settings: Settings, text: str) -> int:
    from kvchat.plain_mode import talk

    log_to_file(options.log_level)
    with _runtime(options, settings, save=not options.no_save) as runtime:
        return talk(runtime, _choice(options).open(runtime), first_prompt=text or None)


def _open_app(options: argparse.Namespace, settings: Settings, text: str) -> int:
    if not sys.stdin.isatty():
        raise InvalidArgument("The app needs a terminal for input; use kvchat -p for pipes.")
    from dataclasses import replace

    from kvchat.tui.app import run

    log_to_file(options.log_level)
    changes: dict[str, object] = {}
    if options.ascii:
        changes["ascii"] = True
    if options.no_mouse:
        changes["mouse"] = False
    if options.theme is not None:
        changes["theme"] = options.theme
    settings = replace(settings, **changes)  # type: ignore[arg-type]  # checked when it is made
    return run(
        lambda: _runtime(options, settings, save=not options.no_save),
        settings,
        first_prompt=text or None,
        first_session=_choice(options).open,
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
        kernel=options.kernel if options.kernel is not None else settings.kernel,
        window=window,
        sinks=options.sinks if options.sinks is not None else settings.sinks,
        sampling={**settings.sampling_overrides, **_sampling(options)},
    )


def _sampling(options: argparse.Namespace) -> dict[str, object]:
    names = ("temperature", "top_k", "top_p", "min_p", "repetition_penalty", "seed", "max_tokens")
    values = {name: getattr(options, name) for name in names}
    return {name: value for name, value in values.items() if value is not None}


COMMANDS: dict[str, Callable[[Sequence[str]], int]] = {
    "keys": _print_keys,
    "config": _config,
    "sessions": _sessions,
    "models": _models,
    "completion": _completion,
    "doctor": _doctor,
    "simulate": _simulate,
    "bench": _bench,
}
