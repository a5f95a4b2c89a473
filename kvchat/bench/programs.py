"""The benchmarks there are: a line for each, and how one of them is run.

A benchmark is a module of this folder with `main(arguments) -> exit status`. Its module is imported
when it is run, so that the list costs nothing.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module

from kvchat.errors import InvalidArgument


@dataclass(frozen=True, slots=True)
class Program:
    """One benchmark: the module that is run, and what it measures in one line."""

    module: str
    line: str


PROGRAMS: dict[str, Program] = {
    "throughput": Program("throughput", "tokens per second, beside transformers and llama.cpp"),
    "overhead": Program("overhead", "the cost of everything around the maths"),
    "attention": Program("attention", "attention over runs, shared prefixes and int8"),
    "caches": Program("caches", "ways to keep keys and values, by length of the context"),
    "linear": Program("linear", "linear layers by shape, number of rows and precision"),
    "threads": Program("threads", "two threads while another process takes one core"),
    "sessions": Program("sessions", "a restart with saved keys and values, and without"),
    "start": Program("start", "a start with many stored chats, after a crash"),
    "ui": Program("ui", "what the app costs, and how soon a key shows"),
    "all": Program("everything", "all of these, each into a file; less than ten minutes"),
    "report": Program("report", "a page of what was found, in Markdown"),
}


def main(words: Sequence[str]) -> int:
    """Run the benchmark that is named first, with the arguments behind it.

    Returns its exit status, or 128 and the number of the signal that ended it.
    """
    if words and words[0] in ("-h", "--help"):
        print("usage: kvchat bench NAME [-h] [option ...]\n")
        for name, program in PROGRAMS.items():
            print(f"  {name:12} {program.line}")
        return 0
    if not words or words[0] not in PROGRAMS:
        *others, last = PROGRAMS
        raise InvalidArgument(f"Say what to measure: kvchat bench {', '.join(others)} or {last}.")
    from kvchat.bench.ending import EndedBySignal, ending_signals  # not for a list of names

    module = import_module(f"kvchat.bench.{PROGRAMS[words[0]].module}")
    try:
        with ending_signals():
            status: int = module.main(words[1:])
    except EndedBySignal as end:
        return end.code
    return status
