"""Results of benchmarks that print an object of their own, as tables and figures of the report."""

from collections.abc import Iterator, Mapping
from statistics import median

from kvchat.bench.figure import Figure

Document = Mapping[str, object]


def as_result(name: str, document: Document) -> Document:
    """Return a document with `title`, `figures` and `tables`, whoever wrote it."""
    if isinstance(document.get("figures"), list) and isinstance(document.get("tables"), list):
        return document
    figures = [figure.document() for figure in _figures(name, document)]
    tables = [dict(table) for table in _tables(document)]
    return {**document, "title": document.get("title", name), "figures": figures, "tables": tables}


def _figures(name: str, document: Document) -> Iterator[Figure]:
    figures = document.get("figures")
    if isinstance(figures, dict):  # of `kvchat bench ui`
        for each, found in figures.items():
            measured, budget = float(found["measured"]), found["budget"]
            # Whether more is better is told by what it made of the budget.
            at_least = budget is not None and found["is_good"] == (measured >= budget)
            yield Figure(each, measured, must=budget, at_least=at_least)
    if "restored_seconds" in document:  # of `kvchat bench sessions`
        ratio = document["ratio"]
        assert isinstance(ratio, float)
        yield Figure("first text of a cold chat: computed ÷ restored", ratio, "x")
        for kind in ("restored", "computed"):
            seconds = document[f"{kind}_seconds"]
            assert isinstance(seconds, list)
            spread = f"{1000 * min(seconds):.0f} to {1000 * max(seconds):.0f}"
            yield Figure(f"its seconds, {kind}", 1000 * median(seconds), " ms", note=spread)
    medians = document.get("median_seconds")
    if isinstance(medians, dict):  # of `kvchat bench start`
        for each, seconds in medians.items():
            yield Figure(f"seconds until chats are {each}", float(seconds), " s")


def _tables(document: Document) -> Iterator[dict[str, object]]:
    """Yield a table for each list of equal records."""
    for key, rows in document.items():
        if not isinstance(rows, list) or not rows or not isinstance(rows[0], dict):
            continue
        columns = [name for name, value in rows[0].items() if not isinstance(value, dict | list)]
        cells = [[_shown(row.get(column)) for column in columns] for row in rows]
        yield {"title": key, "columns": columns, "rows": cells}


def _shown(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else "" if value is None else str(value)
