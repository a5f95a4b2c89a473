"""`kvchat models`: which models are here, what a folder holds and needs, and fetching one.

Opens no weights and starts no engine; only `pull` uses the network.
"""

import argparse
import json
import shutil
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from kvchat import paths
from kvchat.clean_text import clean
from kvchat.cli_options import Parser
from kvchat.device import show_size
from kvchat.errors import ModelError
from kvchat.found_models import FoundModel, find_models, resolve_model
from kvchat.model_report import ModelReport, inspect_model
from kvchat.print_mode import write

PLACES = {
    "bundled": "comes with kvchat",
    "own": "kvchat's models folder",
    "hub": "Hugging Face cache",
}

_DATA_DIR_HELP = "where chats and models are stored; its models come first"


def main(words: Sequence[str]) -> int:
    """Run `kvchat models`, `models inspect` or `models pull` and return the exit status."""
    options = _parser().parse_args(words)
    status: int = options.run(options)
    return status


def _parser() -> argparse.ArgumentParser:
    parser = Parser(
        prog="kvchat models", description="Models on this machine. Without a command: list them."
    )
    parser.add_argument("--json", action="store_true", help="as one JSON list")
    parser.add_argument("--data-dir", type=Path, metavar="DIR", help=_DATA_DIR_HELP)
    parser.set_defaults(run=_list)
    commands = parser.add_subparsers(metavar="COMMAND", parser_class=Parser)
    listing = commands.add_parser("list", help="list them; so does kvchat models alone")
    listing.set_defaults(run=_list)
    inspecting = commands.add_parser("inspect", help="say what a model holds and needs")
    inspecting.add_argument("model", help="a folder, or a name as kvchat models lists it")
    inspecting.set_defaults(run=_inspect)
    pulling = commands.add_parser("pull", help="download a model from the Hugging Face hub")
    pulling.add_argument("repository", help="ORG/NAME, or ORG/NAME@REVISION")
    pulling.set_defaults(run=_pull)
    for command in (listing, inspecting, pulling):
        # Here too, where most people write it; suppressed, or it would undo the one before.
        command.add_argument(
            "--data-dir",
            type=Path,
            metavar="DIR",
            default=argparse.SUPPRESS,
            help=_DATA_DIR_HELP,
        )
    for command in (listing, inspecting):
        command.add_argument(
            "--json", action="store_true", default=argparse.SUPPRESS, help="as JSON"
        )
    return parser


# List


def _list(options: argparse.Namespace) -> int:
    rows = [_row(model) for model in find_models(options.data_dir)]
    if options.json:
        write(json.dumps(rows, ensure_ascii=False) + "\n")
        return 0
    name_width = min(48, max(len(clean(str(row["name"]))) for row in rows))
    place = None
    for row in rows:
        if row["place"] != place:
            place = row["place"]
            write(f"{PLACES[str(place)]}\n")
        size = show_size(int(str(row["weight_bytes"]))) if row["weight_bytes"] else "-"
        state = "usable" if row["usable"] else str(row["problem"])
        family = str(row["family"] or "-")
        name = clean(str(row["name"]))
        write(f"  {name:{name_width}}  {size:>9}  {clean(family):12}  {clean(state)}\n")
    if len(rows) == 1:
        write("kvchat models pull ORG/NAME downloads one from the Hugging Face hub.\n")
    return 0


def _row(model: FoundModel) -> dict[str, object]:
    """Return what a list says of one model."""
    row: dict[str, object] = {"name": model.name, "place": model.place, "path": str(model.path)}
    try:
        report = inspect_model(model.path)
    except ModelError as error:
        return row | {
            "family": None, "weight_bytes": None, "usable": False, "problem": error.sentence,
        }  # fmt: skip
    problem = report.problems[0] if report.problems else None
    from kvchat.model_download import is_partial

    if problem is not None and is_partial(model.path):
        problem = f"its download did not end; kvchat models pull {model.name} goes on."
    return row | {
        "family": report.family,
        "weight_bytes": report.weight_bytes,
        "usable": problem is None,
        "problem": problem,
    }


# Inspect


def _inspect(options: argparse.Namespace) -> int:
    report = inspect_model(resolve_model(options.model, options.data_dir))
    if options.json:
        document = asdict(report) | {"path": str(report.path), "usable": report.is_usable}
        write(json.dumps(document, ensure_ascii=False) + "\n")
    else:
        write("\n".join(report_lines(report)) + "\n")
    return 0 if report.is_usable else ModelError.exit_status


def report_lines(report: ModelReport) -> list[str]:
    """Return what `inspect` prints, a line each, cleaned for a terminal."""
    rows = [
        ("model", report.name),
        ("folder", str(report.path)),
        ("family", _joined(report.family, report.architecture)),
        ("parameters", _count(report.num_parameters)),
        ("weights", _weights_line(report)),
        ("layers", _count(report.num_layers)),
        ("vocabulary", None if report.vocab_size is None else f"{report.vocab_size} tokens"),
        ("context", None if report.context is None else f"{report.context} tokens"),
        ("tokenizer", report.tokenizer),
        ("template", report.template),
    ]
    lines = [f"{label:11} {clean(value)}" for label, value in rows if value is not None]
    if report.groups:
        lines += ["", *_group_lines(report)]
    if report.fits and report.memory_bytes is not None:
        lines += ["", *_fit_lines(report, report.memory_bytes)]
    lines += ["", *(f"warning: {clean(each)}" for each in report.warnings)][: 1 + 20]
    lines += [f"unsupported: {clean(each)}" for each in report.problems]
    lines += ["usable"] if report.is_usable else []
    return lines if lines[-1] else lines[:-1]


def _group_lines(report: ModelReport) -> list[str]:
    lines = [
        f"{'KV per token':20} {'heads':>12} {'sees':>10} {'fp32':>10} {'bf16':>10} {'int8':>10}"
    ]
    for group in report.groups:
        heads = f"{group.num_kv_heads} x {group.key_dim}"
        if group.value_dim != group.key_dim:
            heads = f"latent {group.key_dim}" if not group.value_dim else heads
        sees = "all" if group.window is None else f"last {group.window}"
        sizes = (group.bytes_fp32, group.bytes_bf16, group.bytes_int8)
        shown = " ".join(f"{show_size(size):>10}" for size in sizes)
        lines.append(f"  {f'{group.num_layers} layers':18} {heads:>12} {sees:>10} {shown}")
    return lines


def _fit_lines(report: ModelReport, memory_bytes: int) -> list[str]:
    contexts = list(report.fits[0].kv_bytes)
    lines = [
        f"chats that fit in the {show_size(memory_bytes)} that are free now, by their length:",
        f"  {'--weights':18} {'size':>12}"
        + "".join(f" {f'{each} tokens':>14}" for each in contexts),
    ]
    for fit in report.fits:
        cells = [_fit_cell(fit.num_sessions[each], fit.kv_bytes[each]) for each in contexts]
        lines.append(
            f"  {fit.weights:18} {show_size(fit.weight_bytes):>12}"
            + "".join(f" {cell:>14}" for cell in cells)
        )
    return lines


def _fit_cell(num_sessions: int, kv_bytes: int) -> str:
    return f"{num_sessions} x {show_size(kv_bytes)}" if num_sessions else "none"


def _weights_line(report: ModelReport) -> str | None:
    if report.weight_bytes is None:
        return None
    kinds = ", ".join(report.stored_as) or "no tensors"
    return f"{show_size(report.weight_bytes)} on disk, {kinds}"


def _joined(*parts: str | None) -> str | None:
    there = [part for part in parts if part]
    return ", ".join(there) if there else None


def _count(number: int | None) -> str | None:
    if number is None:
        return None
    for unit, size in (("billion", 1e9), ("million", 1e6)):
        if number >= size:
            return f"{number / size:.3g} {unit}"
    return str(number)


# Pull


def _pull(options: argparse.Namespace) -> int:
    from kvchat.hub_client import HubClient
    from kvchat.model_download import Repository, pull

    repository = Repository.parse(options.repository)
    progress = _ProgressLine()
    try:
        folder = pull(repository, paths.models_dir(options.data_dir), HubClient(), progress)
    except KeyboardInterrupt:
        progress.end()
        print("kvchat: stopped; the same command goes on from there.", file=sys.stderr)
        raise
    except BaseException:
        progress.end()
        raise
    progress.end()
    write(f"{folder.path}\n")
    place = "" if options.data_dir is None else f" --data-dir {options.data_dir}"
    print(clean(f"kvchat --model {options.repository}{place} uses it."), file=sys.stderr)
    return 0


class _ProgressLine:
    """One line on a terminal, drawn ten times a second; elsewhere a line for each file."""

    def __init__(self) -> None:
        self._is_terminal = sys.stderr.isatty()
        self._started = time.monotonic()
        self._first_bytes: int | None = None
        self._last_drawn = 0.0
        self._last_name = ""
        self._is_drawn = False

    def __call__(self, name: str, done: int, total: int) -> None:
        """Say that of all files `done` of `total` bytes are there, `name` being the last one."""
        now = time.monotonic()
        if self._first_bytes is None:
            self._first_bytes, self._started = done, now
        if not self._is_terminal:
            if name != self._last_name:
                print(f"{name}  ({show_size(total)} in all)", file=sys.stderr)
                self._last_name = name
            return
        if now - self._last_drawn < 0.1 and done < total:
            return
        self._last_drawn = now
        speed = (done - self._first_bytes) / max(now - self._started, 0.1)
        rest = f"  {(total - done) / speed:.0f} s left" if speed > 0 and done < total else ""
        part = done / max(total, 1)
        width = max(20, shutil.get_terminal_size().columns)
        bar = "#" * int(part * 20)
        text = (
            f"{part:4.0%} [{bar:20}] {show_size(done)} of {show_size(total)}"
            f"  {show_size(int(speed))}/s{rest}  {name}"
        )
        sys.stderr.write("\r" + text[: width - 1].ljust(width - 1))
        sys.stderr.flush()
        self._is_drawn = True

    def end(self) -> None:
        """Leave the line, so that what follows does not overwrite it."""
        if self._is_drawn:
            sys.stderr.write("\n")
            sys.stderr.flush()
            self._is_drawn = False
