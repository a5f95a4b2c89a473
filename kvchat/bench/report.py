"""`kvchat bench report FOLDER`: a page of what `kvchat bench all` found there, in Markdown.

Everything on it comes from the files: machine, versions, load, medians and spread, what must be and
whether it is. Where kvchat is slower than a peer or misses a target stands first.
"""

import sys
import textwrap
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from kvchat.bench.figure import COLUMNS
from kvchat.bench.foreign_results import as_result
from kvchat.bench.result import read_document
from kvchat.cli_options import Parser
from kvchat.errors import InvalidArgument

Document = Mapping[str, object]

INTRODUCTION = """\
Measured by `kvchat bench all`, which anybody can run again, and written by `kvchat bench report`.
Variants take turns in one process; what they compute is compared first. One thread is judged by
the CPU time of the process, several by the clock, without samples whose threads waited more than
3 % of the time for a processor; where fewer than three are left it says "disturbed" and gives no
ratio. Brackets have the least and the most. "Must" and "aim" are the targets; `÷` says how many
times as fast the first is as the second.

To have the peers beside kvchat: `pip install transformers llama-cpp-python`. llama.cpp is compiled
for the processor then, which takes minutes; without them their columns are missing."""


def main(arguments: Sequence[str]) -> int:
    """Write the page, or print it, and return the exit status."""
    parser = Parser(prog="kvchat bench report", description=__doc__)
    parser.add_argument("folder", type=Path, metavar="FOLDER", help="what kvchat bench all wrote")
    parser.add_argument("--out", type=Path, metavar="FILE", help="the page; plots go beside it")
    options = parser.parse_args(arguments)
    paths = sorted(options.folder.glob("*.json"))
    if not paths:
        raise InvalidArgument(f"{options.folder} has no results; run kvchat bench all first.")
    documents = {path.stem: _result(path) for path in paths}
    stem = "benchmarks" if options.out is None else options.out.stem
    plots = dict(_plots(documents, stem))
    page = "\n".join(page_lines(documents, plots)) + "\n"
    if options.out is None:
        print(page, end="")
        return 0
    try:
        options.out.write_text(page, encoding="utf-8")
        for name, picture in plots.items():
            (options.out.parent / name).write_text(picture, encoding="utf-8")
    except OSError as error:
        raise InvalidArgument(f"{options.out} cannot be written: {error.strerror}.") from error
    return 0


def _result(path: Path) -> Document:
    """Return what a file holds, if a page can be made of it; raises InvalidArgument."""
    found = read_document(path)
    try:
        document = as_result(path.stem, found)
        deque(page_lines({path.stem: document}, {}), maxlen=0)
    except (LookupError, TypeError, ValueError, AttributeError, AssertionError) as error:
        raise InvalidArgument(
            f"{path} holds no result that this version of kvchat can read; measure it again."
        ) from error
    return document


def page_lines(documents: Mapping[str, Document], plots: Mapping[str, str]) -> Iterator[str]:
    """Yield the lines of the page: machines, what is lost, then each benchmark."""
    yield from ["# Benchmarks", "", *INTRODUCTION.splitlines(), ""]
    yield from ["## The machine", ""]
    yield from _table(
        ["", "processor", "cores", "load", "memory", "torch", "Python", "date", "seconds"],
        [_machine_row(name, document) for name, document in documents.items()],
    )
    lost = [
        [name, *_figure_cells(figure)]
        for name, document in documents.items()
        for figure in _list(document, "figures")
        if _is_lost(figure)
    ]
    yield from ["", "## Where it loses", ""]
    if lost:
        yield from _wrapped("Targets that were missed, and ratios to peers below 1:")
        yield ""
        yield from _table(["part", *COLUMNS], lost)
    else:
        yield "No target was missed, and no peer was quicker."
    for name, document in documents.items():
        yield from ["", f"## {name}", ""]
        yield from _wrapped(f"{document.get('title', name)}.")
        for note in _list(document, "notes"):
            yield from ["", *_wrapped(str(note))]
        for table in _list(document, "tables"):
            yield from ["", *_wrapped(f"**{table['title']}**"), ""]
            yield from _table(table["columns"], table["rows"])
        plots_of = [plot for plot in plots if plot.split(".")[0].endswith(f"-{name}")]
        for plot in plots_of:
            yield from ["", f"![{name}]({plot})"]
        figures = _list(document, "figures")
        if figures:
            yield ""
            yield from _table(COLUMNS, [_figure_cells(figure) for figure in figures])


def _is_lost(figure: Mapping[str, object]) -> bool:
    value = figure["value"]
    is_peer = any(peer in str(figure["name"]) for peer in ("÷ llama.cpp", "÷ transformers"))
    is_slower = isinstance(value, int | float) and value < 1 and is_peer
    return figure["verdict"] == "MISSED" or is_slower


def _figure_cells(figure: Mapping[str, object]) -> list[str]:
    from kvchat.bench.figure import Figure

    known = {name: figure[name] for name in Figure.__slots__}
    return Figure(**known).cells()  # type: ignore[arg-type]  # as `Figure.document` wrote it


def _machine_row(name: str, document: Document) -> list[str]:
    machine = document["machine"]
    assert isinstance(machine, dict)
    peak, seconds = machine.get("peak_bytes"), document.get("seconds")
    return [
        name,
        *(str(machine.get(key, "")) for key in ("processor", "num_cpus", "load")),
        f"{peak / 2**30:.1f} GiB" if isinstance(peak, int) and peak else "",
        *(str(machine.get(key, "")) for key in ("torch", "python")),
        str(document.get("date", "")),
        str(seconds) if isinstance(seconds, int | float) else "",
    ]


def _plots(documents: Mapping[str, Document], stem: str) -> Iterator[tuple[str, str]]:
    """Yield the file name of each picture, and the picture."""
    for name, document in documents.items():
        plots = document.get("plots")
        for picture in plots.values() if isinstance(plots, dict) else ():
            yield f"{stem}-{name}.svg", str(picture)


def _list(document: Document, key: str) -> list[dict[str, object]]:
    found = document.get(key)
    return found if isinstance(found, list) else []


def _table(columns: object, rows: object) -> Iterator[str]:
    assert isinstance(columns, list) and isinstance(rows, list)
    yield _row(columns)
    yield "|" + "---|" * len(columns)
    for row in rows:
        yield _row(row)


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(str(cell).replace("|", "\\|") for cell in cells) + " |"


def _wrapped(text: str) -> list[str]:
    return textwrap.wrap(text, 96)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
