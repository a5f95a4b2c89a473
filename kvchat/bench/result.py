"""Result: what a benchmark found, as tables for people and one JSON object for programs.

The object is printed as the last line, and written to a file where one is named, whole or not at
all; the report of all benchmarks is made from such files.
"""

import argparse
import json
import time
from dataclasses import dataclass, field
from pathlib import Path

from kvchat.bench.figure import COLUMNS, Figure
from kvchat.bench.measure import machine
from kvchat.durable_files import write_durably
from kvchat.errors import InvalidArgument


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of text below a title; a first column of names, and numbers behind it."""

    title: str
    columns: list[str]
    rows: list[list[str]]

    def lines(self) -> list[str]:
        """Return the table for a terminal."""
        every = [self.columns, *self.rows]
        widths = [max(len(row[place]) for row in every) for place in range(len(self.columns))]
        lines = [self.title, ""]
        for row in every:
            first, *rest = zip(row, widths, strict=True)
            cells = [first[0].ljust(first[1]), *(text.rjust(width) for text, width in rest)]
            lines.append("  ".join(cells).rstrip())
        return lines


@dataclass
class Result:
    """What one benchmark found; `samples` has medians and spreads by any key."""

    bench: str
    title: str
    figures: list[Figure] = field(default_factory=list)
    tables: list[Table] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    plots: dict[str, str] = field(default_factory=dict)
    samples: dict[str, object] = field(default_factory=dict)
    options: dict[str, object] = field(default_factory=dict)
    started: float = field(default_factory=time.time)

    def document(self) -> dict[str, object]:
        """Return what is printed as the last line."""
        return {
            "bench": self.bench,
            "title": self.title,
            "options": self.options,
            "figures": [figure.document() for figure in self.figures],
            "tables": [
                {"title": table.title, "columns": table.columns, "rows": table.rows}
                for table in self.tables
            ],
            "notes": self.notes,
            "plots": self.plots,
            "samples": self.samples,
            "machine": machine(),
            "date": time.strftime("%Y-%m-%d", time.gmtime(self.started)),
            "seconds": round(time.time() - self.started, 1),
        }

    def lines(self) -> list[str]:
        """Return everything but the JSON object, for people."""
        lines = [self.title, ""]
        for table in self.tables:
            lines += [*table.lines(), ""]
        if self.figures:
            rows = [figure.cells() for figure in self.figures]
            lines += [*Table("figures", COLUMNS, rows).lines(), ""]
        return lines + [f"note: {note}" for note in self.notes]

    def tell(self, options: argparse.Namespace) -> int:
        """Print what was found and write it where `options` say; return the exit status."""
        if not options.json:
            print("\n".join(self.lines()))
        return tell_document(self.document(), options)


def add_output_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that `Result.tell` and `tell_document` read."""
    parser.add_argument("--json", action="store_true", help="print the JSON object alone")
    parser.add_argument("--out", type=Path, metavar="FILE", help="write the JSON object there, too")


def tell_document(document: dict[str, object], options: argparse.Namespace) -> int:
    """Print an object as the last line, and write it where `options` say; return the exit status.

    Raises InvalidArgument where it cannot be written.
    """
    text = json.dumps(document, ensure_ascii=False)
    print(text, flush=True)  # first: a file that cannot be written must not cost the figures
    if options.out is not None:
        write_document(options.out, text)
    return 0


def write_document(path: Path, text: str) -> None:
    """Write a line of JSON as a file, whole or not at all; raises InvalidArgument."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_durably(path, f"{text}\n".encode())
    except OSError as error:
        raise InvalidArgument(f"{path} cannot be written: {error.strerror}.") from error


def read_document(path: Path) -> dict[str, object]:
    """Return the object of a file that a benchmark wrote.

    Raises InvalidArgument for a file that is not there or holds something else.
    """
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise InvalidArgument(
            f"{path} holds no result of a benchmark; measure it again."
        ) from error
    if not isinstance(found, dict) or not isinstance(found.get("machine"), dict):
        raise InvalidArgument(f"{path} holds no result of a benchmark; measure it again.")
    return found
