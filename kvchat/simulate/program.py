"""`kvchat simulate`: many users at once on one real runtime, with crashes, against an exact oracle.

The runtime lives in a child process, with its store, threads and files; its model is HashModel, so
that every token can be told from the tokens before it. Every few seconds the child is killed with
SIGKILL, or its runtime is closed, and the next one goes on in the same data directory, with another
block size, pool and precision of keys and values. The judge lives here and survives all that.
"""

import argparse
import json
import multiprocessing
import random
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess

from kvchat.cli_options import Parser
from kvchat.errors import InvalidArgument
from kvchat.hash_folder import HashFolder
from kvchat.simulate import child
from kvchat.simulate.facts import Closed, Fact, Failed, Figures, Life, Woke
from kvchat.simulate.judge import Judge

CONTEXT_TOKENS = 480
POOL_TOKENS = (600, 3000, 20_000)
"""Room for hardly more than one chat, for some, and for all: preemption, eviction, sharing."""
MAX_USERS = 10_000
MAX_SECONDS = 1e6
START_SECONDS = 120.0
"""A runtime that is not there by then hangs."""


@dataclass(slots=True)
class Report:
    """Everything one simulation did and found."""

    seconds: float = 0.0
    """How long runtimes lived, together."""
    crashes: int = 0
    closes: int = 0
    preemptions: int = 0
    restores: int = 0
    """Blocks brought back from disk."""
    evictions: int = 0
    """Blocks that gave way to others."""
    copied_blocks: int = 0
    steps: int = 0
    rss_bytes: list[int] = field(default_factory=list)
    """Resident memory of the runtime's process, twice a second, of the last life."""
    max_wal_bytes: int = 0
    max_files: int = 0

    def add(self, figures: Figures) -> None:
        """Add what a life had done when it was last asked."""
        self.preemptions += figures.num_preemptions
        self.restores += figures.num_restored_blocks
        self.evictions += figures.num_evicted_blocks
        self.copied_blocks += figures.num_copied_blocks
        self.steps += figures.num_steps


class Simulation:
    """Runs lives one after the other, in one data directory, and judges them."""

    def __init__(
        self, num_users: int, seed: str, data_dir: str, *, life_seconds: float, is_soak: bool
    ) -> None:
        self._rng = random.Random(seed)
        self._pools = self._rng.sample(POOL_TOKENS, len(POOL_TOKENS))
        self._num_users = num_users
        self._seed = seed
        self._data_dir = data_dir
        self._life_seconds = life_seconds
        self._is_soak = is_soak
        self._context = multiprocessing.get_context("spawn")
        self._process: BaseProcess | None = None
        self._connection: Connection | None = None
        self._num_lives = 0
        self._figures = Figures()
        self.report = Report()
        self.judge = Judge(HashFolder.over_bundled(context_tokens=CONTEXT_TOKENS))

    def run(self, seconds: float) -> None:
        """Live for so many seconds, starts not counted, or until something is found."""
        left = seconds
        try:
            while left > 0 and not self.judge.reasons:
                length = self._life_seconds * self._rng.uniform(0.6, 1.4)
                if self._is_soak or length > left - self._life_seconds / 2:
                    length = left
                left -= length
                self._live(length, is_last=left <= 0)
        finally:
            self._kill()

    def _live(self, seconds: float, *, is_last: bool) -> None:
        if self._process is None:
            self._start_process()
        assert self._connection is not None
        self._connection.send(self._next_life())
        self._figures = Figures()
        self._until(Woke, START_SECONDS)
        self._until(Failed, seconds)
        self.report.seconds += seconds
        is_crash = self.report.crashes == 0 or self._rng.random() < 0.6
        if not is_last and not self.judge.reasons and is_crash:
            self._crash()
        elif not self.judge.reasons:
            self._connection.send(None)
            self._until(Closed, START_SECONDS)
            self.report.closes += 1
        self.report.add(self._figures)

    def _until(self, kind: type[Fact], seconds: float) -> None:
        """Judge what comes until a fact of this kind, or so many seconds."""
        deadline = time.monotonic() + seconds
        assert self._connection is not None
        while not self.judge.reasons:
            left = deadline - time.monotonic()
            if left <= 0:
                if kind is not Failed:
                    self.judge.reasons.append(f"no {kind.__name__} in {seconds:.0f} s: it hangs")
                return
            if not self._connection.poll(left):
                continue
            try:
                fact = self._connection.recv()
            except (EOFError, ConnectionResetError):
                self.judge.reasons.append("the process of the runtime died")
                return
            self._take(fact)
            if isinstance(fact, kind):
                return

    def _take(self, fact: Fact) -> None:
        match fact:
            case Woke():
                self.judge.wake(fact)
            case Failed(sentence):
                self.judge.reasons.append(sentence)
            case Figures():
                self._figures = fact
                self.report.rss_bytes.append(fact.rss_bytes)
                self.report.max_wal_bytes = max(self.report.max_wal_bytes, fact.wal_bytes)
                self.report.max_files = max(self.report.max_files, fact.num_files)
            case Closed(num_threads, num_descriptors, num_children):
                if max(num_threads, num_descriptors, num_children) > 0:
                    self.judge.reasons.append(
                        f"a closed runtime left {num_threads} threads, {num_descriptors} "
                        f"descriptors and {num_children} processes"
                    )
            case _:
                self.judge.take(fact)

    def _crash(self) -> None:
        """Kill the process, and judge what it still told."""
        assert self._process is not None and self._connection is not None
        self._process.kill()
        self._process.join()
        self.report.crashes += 1
        try:
            while self._connection.poll():
                self._take(self._connection.recv())
        except (EOFError, OSError):
            pass
        self._connection.close()
        self._process = self._connection = None

    def _next_life(self) -> Life:
        rng = self._rng
        self._num_lives += 1
        return Life(
            self._num_lives,
            self._seed,
            self._data_dir,
            self._num_users,
            CONTEXT_TOKENS,
            pool_tokens=self._pools[self._num_lives % len(self._pools)],
            block_size=rng.choice((8, 16, 32)),
            kv_dtype=rng.choice(("auto", "int8")),
            message_ids=self.judge.message_ids,
        )

    def _start_process(self) -> None:
        self.report.rss_bytes.clear()
        self._connection, theirs = self._context.Pipe()
        self._process = self._context.Process(target=child.run, args=(theirs,), daemon=True)
        self._process.start()
        theirs.close()

    def _kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.join()
        if self._connection is not None:
            self._connection.close()


def main(arguments: Sequence[str]) -> int:
    """Run `kvchat simulate`; the exit status is 1 if any promise was broken."""
    parser = Parser(
        prog="kvchat simulate",
        description="Let many users chat, fork, rewind and stop on one runtime that crashes, and "
        "compare every token with an exact oracle.",
    )
    parser.add_argument("--users", type=int, default=200, metavar="N")
    parser.add_argument("--seconds", type=float, default=60.0, metavar="S")
    parser.add_argument("--seed", default="1", metavar="K", help="decides what everyone does")
    parser.add_argument(
        "--life-seconds", type=float, default=8.0, metavar="S", help="about, between two ends"
    )
    parser.add_argument("--soak", action="store_true", help="one life only, no crash")
    parser.add_argument("--json", action="store_true", help="print only the JSON line")
    options = parser.parse_args(arguments)
    _check(options)
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="kvchat-simulate-") as directory:
        simulation = Simulation(
            options.users,
            options.seed,
            directory,
            life_seconds=options.life_seconds,
            is_soak=options.soak,
        )
        simulation.run(options.seconds)
    judge = simulation.judge
    document = _document(simulation, options, time.monotonic() - started)
    if not options.json:
        _print_report(document, judge.reasons)
    print(json.dumps(document), flush=True)
    return 1 if judge.reasons else 0


def _check(options: argparse.Namespace) -> None:
    if not 1 <= options.users <= MAX_USERS:
        raise InvalidArgument(f"--users is {options.users}, but it must be 1 to {MAX_USERS}.")
    for name in ("seconds", "life_seconds"):
        value = getattr(options, name)
        if not 0.1 <= value <= MAX_SECONDS:
            option = name.replace("_", "-")
            raise InvalidArgument(f"--{option} is {value}, but it must be 0.1 to {MAX_SECONDS:g}.")


def _document(
    simulation: Simulation, options: argparse.Namespace, seconds: float
) -> dict[str, object]:
    counts = simulation.judge.counts
    acts = {f"{kind}s": number for kind, number in sorted(counts.acts.items())}
    document = asdict(simulation.report) | asdict(counts)
    rss = document.pop("rss_bytes")
    del document["acts"]
    return {
        "users": options.users,
        "seed": options.seed,
        **document,
        "seconds": round(simulation.report.seconds, 1),
        "wall_seconds": round(seconds, 1),
        "forks": counts.acts.get("fork", 0),
        "acts": acts,
        "rss_growth_mib": round(_growth(rss) / 2**20, 1),
        "rss_mib": [round(each / 2**20) for each in rss[:: max(1, len(rss) // 10)]],
        "violations": simulation.judge.reasons,
    }


def _growth(rss: Sequence[int]) -> float:
    """Return by how many bytes the last quarter lies above the second one, on average.

    The first quarter is warming up: pools, buffers and caches are filled for the first time.
    """
    quarter = len(rss) // 4
    if not quarter:
        return 0.0
    before, after = rss[quarter : 2 * quarter], rss[-quarter:]
    return sum(after) / quarter - sum(before) / quarter


def _print_report(document: dict[str, object], reasons: Sequence[str]) -> None:
    print(
        f"{document['users']} users, {document['replies']} replies, "
        f"{document['tokens_compared']} tokens compared, {document['divergent']} divergent; "
        f"{document['crashes']} crashes, {document['closes']} closes, {document['forks']} forks, "
        f"{document['restores']} blocks restored, {document['preemptions']} preemptions, "
        f"{document['evictions']} blocks evicted in {document['seconds']} s."
    )
    for reason in reasons:
        print(f"  {reason}", file=sys.stderr)
    if reasons:
        print(
            f"  run the same users again with: kvchat simulate --seed {document['seed']} "
            f"--users {document['users']}",
            file=sys.stderr,
        )
