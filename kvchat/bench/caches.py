"""`kvchat bench caches`: the ways to keep keys and values, by length of the context.

No cache, a dynamic one, one that grows by a factor, static ones written by `index_copy_` and by
`scatter_`, paged ones that gather blocks or read runs, and int8. The same model decodes one token
at a time over each, in turns; logits are compared with those of no cache first. Further: a prompt
beside single tokens, and a batch of unequal lengths packed, padded, and padded in two batches by
length; and with `--compile` each of them with and without torch.compile. One thread, CPU time. The
last line is one JSON object.
"""

import argparse
import random
import sys
from collections.abc import Callable, Mapping, Sequence
from copy import copy
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from kvchat.bench.cache_variants import (
    FusedDynamicCache,
    FusedStaticCache,
    GatheringKVCache,
    PaddedCache,
    ScatterStaticCache,
)
from kvchat.bench.compiled_model import CompiledModel
from kvchat.bench.figure import Figure
from kvchat.bench.line_plot import line_plot
from kvchat.bench.result import Result, Table, add_output_options
from kvchat.bench.samples import Samples, Turn, in_turns
from kvchat.cli_options import Parser
from kvchat.engine.model_runner import Model, ModelRunner
from kvchat.errors import InvalidArgument, KVChatError
from kvchat.kv.cache import KVCache, SequenceId
from kvchat.kv.contiguous import NoCache
from kvchat.kv.paged_cache import PagedKVCache
from kvchat.kv.spec import KVCacheSpec
from kvchat.model.folder import ModelFolder
from kvchat.paths import bundled_model_dir

CONTEXTS = (64, 128, 256, 512, 1024, 2048)
NUM_STEPS = 4
SPEEDUPS = {512: 20.0, 2048: 60.0}
"""How many times as fast as no cache runs must be, by context."""
PADDED_LENGTHS = (1, 1, 1, 2, 2, 8, 16, 16)
"""Lengths of a batch, in parts of its longest."""
NO_CACHE, RUNS, INT8 = "no cache", "paged, runs", "paged, int8"


class Decoder:
    """One sequence over one cache, at the end of a context; `step` computes its last token."""

    def __init__(self, model: Model, cache: KVCache, token_ids: Sequence[int]) -> None:
        self.cache = cache
        self._runner = ModelRunner(model, "cpu")
        self._token_ids = list(token_ids)
        self._sequence = cache.open()
        self.logits: Tensor | None = None
        self.is_remembering = not isinstance(cache, NoCache)
        if self.is_remembering:
            self._run(self._token_ids[:-1])

    def under(self, model: Model) -> "Decoder":
        """Return a decoder of the same sequence by another form of the same model."""
        twin = copy(self)
        twin._runner, twin.logits = ModelRunner(model, "cpu"), None
        return twin

    def rewind(self) -> None:
        """Stand before the last token."""
        if self.is_remembering:
            self.cache.truncate(self._sequence, len(self._token_ids) - 1)

    def step(self) -> None:
        """Compute the last token, or where nothing is remembered all tokens; then rewind."""
        self._run(self._token_ids[-1:] if self.is_remembering else self._token_ids)
        self.rewind()

    def read(self) -> None:
        """Compute the whole context from nothing, then forget it."""
        sequence, self._sequence = self._sequence, self.cache.open()
        self._run(self._token_ids)
        self.cache.release(self._sequence)
        self._sequence = sequence

    @property
    def num_bytes(self) -> int:
        """Bytes of the sequence's keys and values, and of what is kept free for it."""
        if isinstance(self.cache, PagedKVCache):
            report = self.cache.memory()
            return report.private_bytes + report.shared_bytes
        return self.cache.nbytes

    def _run(self, tokens: list[int]) -> None:
        step = self.cache.reserve([(self._sequence, len(tokens))])
        self.logits = self._runner.run([tokens], step.positions, self.cache)
        step.commit()


def main(arguments: Sequence[str]) -> int:
    """Run the benchmark, print tables and a line of JSON, and return the exit status."""
    parser = Parser(prog="kvchat bench caches", description=__doc__)
    parser.add_argument("-m", "--model", type=Path, metavar="DIR", help="default: bundled")
    parser.add_argument("--rounds", type=int, default=3, help="counted rounds; one goes before")
    parser.add_argument("--most", type=int, default=2048, help="longest context, in tokens")
    parser.add_argument("--compile", action="store_true", help="with torch.compile as well")
    parser.add_argument("--plot", type=Path, metavar="FILE", help="write the plot there, as SVG")
    add_output_options(parser)
    options = parser.parse_args(arguments)
    if options.rounds < 1 or options.most < min(CONTEXTS):
        raise InvalidArgument(f"--rounds must be at least 1, and --most {min(CONTEXTS)}.")
    torch.set_num_threads(1)
    folder = ModelFolder.open(options.model or bundled_model_dir())
    model = folder.load(dtype=torch.float32, device="cpu")
    longest = min(options.most, folder.config.max_position)
    contexts = [each for each in CONTEXTS if each <= longest]
    result = Result("caches", f"caches under the model {folder.name}, fp32, 1 thread")
    result.options = {"model": folder.name, "contexts": contexts, "rounds": options.rounds}
    bench = _Bench(model, folder.kv_spec(), folder.config.vocab_size, options, result)
    bench.decode(contexts)
    bench.read(min(512, longest))
    bench.batches(min(1024, longest))
    if options.compile:
        bench.compiled(min(512, longest))
    if options.plot is not None:
        options.plot.write_text(result.plots["decode"], encoding="utf-8")
    return result.tell(options)


def cache_makers(spec: KVCacheSpec, longest: int) -> Mapping[str, Callable[[], KVCache]]:
    """Return every way to keep keys and values; static ones take `longest` tokens at once."""
    blocks = 2 * -(-longest // 32) + 2
    return {
        NO_CACHE: partial(NoCache, spec, fused=True),
        "dynamic": partial(FusedDynamicCache, spec),
        "dynamic, grown by 1.5": partial(FusedDynamicCache, spec, growth_factor=1.5),
        "static, index_copy_": partial(FusedStaticCache, spec, longest),
        "static, scatter_": partial(ScatterStaticCache, spec, longest),
        "paged, gather": partial(GatheringKVCache, spec, blocks),
        RUNS: partial(PagedKVCache, spec, blocks),
        INT8: partial(PagedKVCache, spec, blocks, kv_dtype="int8"),
    }


def check_logits(name: str, found: Tensor | None, expected: Tensor | None) -> None:
    """Raise KVChatError unless logits are those of no cache; int8 may be off by a little."""
    assert found is not None and expected is not None
    allowed = (0.5 if name == INT8 else 2e-3) * expected.std().item()
    worst = (found - expected).abs().max().item()
    if not worst <= allowed:
        raise KVChatError(
            f"Logits over the cache '{name}' are off by {worst:.4f}, more than {allowed:.4f}, so"
            " nothing is timed."
        )


class _Bench:
    """The parts of the benchmark over one model."""

    def __init__(
        self,
        model: Model,
        spec: KVCacheSpec,
        vocab_size: int,
        options: argparse.Namespace,
        result: Result,
    ) -> None:
        self._model, self._spec, self._result = model, spec, result
        self._rounds = int(options.rounds)
        self._dice = random.Random(11)
        self._vocab_size = vocab_size
        self._longest = min(int(options.most), 2048)

    def decode(self, contexts: Sequence[int]) -> None:
        """Time single tokens at the end of contexts, and count bytes there."""
        speeds: dict[str, list[float]] = {}
        sizes: dict[str, list[int]] = {}
        for context in contexts:
            decoders = self._decoders(self._tokens(context))
            turns = {
                name: Turn(each.rewind, each.step, NUM_STEPS if each.is_remembering else 1)
                for name, each in decoders.items()
            }
            found = self._timed(f"decode at {context}", turns)
            for name, samples in found.items():
                speeds.setdefault(name, []).append(1 / samples.median_seconds)
                sizes.setdefault(name, []).append(decoders[name].num_bytes)
            against = found[NO_CACHE].median_seconds / found[RUNS].median_seconds
            must = SPEEDUPS.get(context)
            self._figure(f"{RUNS} ÷ {NO_CACHE}, decode at {context}", against, must)
        heads = [str(each) for each in contexts]
        self._table("decode: tokens per CPU-second, by context", heads, speeds, ".4g")
        mib = {name: [size / 2**20 for size in row] for name, row in sizes.items()}
        self._table("memory of that one sequence: MiB, by context", heads, mib, ".3f")
        self._figure(f"{RUNS} ÷ {INT8}, bytes", sizes[RUNS][-1] / sizes[INT8][-1], 3.7)
        self._result.plots["decode"] = line_plot(
            "Decoding one token, by cache",
            "tokens of context",
            "tokens per CPU-second",
            {
                name: list(zip(map(float, contexts), row, strict=True))
                for name, row in speeds.items()
            },
        )

    def read(self, context: int) -> None:
        """Time a whole prompt beside single tokens at its end."""
        decoders = self._decoders(self._tokens(context))
        prompts = self._timed(
            f"prompt of {context}",
            {name: Turn(each.rewind, each.read) for name, each in decoders.items()},
        )
        single = self._timed(
            f"tokens behind {context}",
            {
                name: Turn(each.rewind, each.step, NUM_STEPS if each.is_remembering else 1)
                for name, each in decoders.items()
            },
        )
        rows = {
            name: [context / prompts[name].median_seconds, 1 / single[name].median_seconds]
            for name in decoders
        }
        heads = [f"prompt of {context}", "single tokens"]
        self._table("prefill and decode: tokens per CPU-second", heads, rows, ".4g")

    def batches(self, longest: int) -> None:
        """Time a batch of unequal lengths: packed, padded, and padded in two batches by length."""
        paged = PagedKVCache(self._spec, len(PADDED_LENGTHS) * (longest // 32 + 2))
        runner = ModelRunner(self._model, "cpu")
        lengths = [max(1, longest * part // max(PADDED_LENGTHS) - 16) for part in PADDED_LENGTHS]
        sequences = []
        for length in lengths:
            sequences.append(paged.open())
            tokens = self._tokens(length)
            with paged.reserve([(sequences[-1], length)]) as step:
                runner.run([tokens], step.positions, paged)
        last = [[token] for token in self._tokens(len(lengths))]

        def run(cache: KVCache, rows: Sequence[int]) -> Tensor:
            step = cache.reserve([(SequenceId(sequences[row]), 1) for row in rows])
            found = runner.run([last[row] for row in rows], step.positions, cache)
            step.rollback()
            return found

        every = list(range(len(lengths)))
        half = len(every) // 2
        padded = PaddedCache(self._spec, paged, sequences)
        parts = [
            PaddedCache(self._spec, paged, sequences[:half]),
            PaddedCache(self._spec, paged, sequences[half:]),
        ]
        expected = run(paged, every)
        check_logits("padded", run(padded, every), expected)
        check_logits("padded, in two", run(parts[1], every[half:]), expected[half:])

        def run_parts() -> None:
            run(parts[0], every[:half])
            run(parts[1], every[half:])

        found = self._timed(
            "batch",
            {
                "paged, packed": Turn(_nothing, lambda: run(paged, every), NUM_STEPS),
                "one padded batch": Turn(_nothing, lambda: run(padded, every), NUM_STEPS),
                "two padded batches, by length": Turn(_nothing, run_parts, NUM_STEPS),
            },
        )
        used = paged.memory()
        bytes_of = {
            "paged, packed": used.private_bytes + used.shared_bytes,
            "one padded batch": padded.nbytes,
            "two padded batches, by length": sum(each.nbytes for each in parts),
        }
        rows = {
            name: [len(every) / samples.median_seconds, bytes_of[name] / 2**20]
            for name, samples in found.items()
        }
        title = f"a batch of lengths {', '.join(map(str, lengths))}"
        self._table(title, ["tokens per CPU-second", "MiB"], rows, ".4g")

    def compiled(self, context: int) -> None:
        """Time single tokens and a prompt with and without torch.compile around `attend`."""
        tokens = self._tokens(context)
        plain = self._decoders(tokens)
        model = CompiledModel(self._model, self._spec)
        try:
            plain[RUNS].under(model).read()
        except torch._dynamo.exc.TorchDynamoException as error:
            line = str(error).strip().splitlines()[0]
            self._result.notes.append(
                f"torch.compile does not work here, so it is left out: {line}"
            )
            return
        quick = {name: each.under(model) for name, each in plain.items()}
        both: dict[str, Decoder] = {}
        for name in plain:
            for each in (plain[name], quick[name]):
                each.read()
                each.step()
            check_logits(name, quick[name].logits, plain[name].logits)
            both |= {name: plain[name], f"{name}, compiled": quick[name]}
        kinds = {
            f"compiled, prompt of {context}": {
                name: Turn(each.rewind, each.read) for name, each in both.items()
            },
            f"compiled, tokens behind {context}": {
                name: Turn(each.rewind, each.step, NUM_STEPS if each.is_remembering else 1)
                for name, each in both.items()
            },
        }
        rows: dict[str, list[float]] = {name: [] for name in plain}
        for (key, turns), count in zip(kinds.items(), (context, 1), strict=True):
            found = self._timed(key, turns)
            for name, row in rows.items():
                seconds = found[name].median_seconds
                compiled = found[f"{name}, compiled"].median_seconds
                row += [count / seconds, count / compiled, seconds / compiled]
        for name in ("static, index_copy_", RUNS):
            self._figure(
                f"compiled ÷ not compiled, decode at {context}: {name}", rows[name][-1], None
            )
        heads = [
            f"{what}{how}"
            for what in (f"prompt of {context}", "single tokens")
            for how in ("", ", compiled", ": times as fast")
        ]
        self._table("with torch.compile: tokens per CPU-second", heads, rows, ".4g")

    def _decoders(self, tokens: Sequence[int]) -> dict[str, Decoder]:
        """Return a checked decoder over each cache."""
        makers = cache_makers(self._spec, self._longest)
        decoders = {name: Decoder(self._model, make(), tokens) for name, make in makers.items()}
        for name, each in decoders.items():
            each.step()
            check_logits(name, each.logits, decoders[NO_CACHE].logits)
        return decoders

    def _timed(self, key: str, turns: Mapping[str, Turn]) -> dict[str, Samples]:
        found = in_turns(dict(turns), num_threads=1, num_rounds=self._rounds)
        for name, samples in found.items():
            self._result.samples[f"{name} | {key}"] = samples.document()
        return found

    def _table(
        self, title: str, heads: list[str], rows: Mapping[str, Sequence[float]], form: str
    ) -> None:
        cells = [[name, *(format(value, form) for value in row)] for name, row in rows.items()]
        self._result.tables.append(Table(title, ["", *heads], cells))

    def _figure(self, name: str, value: float, must: float | None) -> None:
        self._result.figures.append(Figure(name, value, "x", must))

    def _tokens(self, count: int) -> list[int]:
        return [self._dice.randrange(3, self._vocab_size) for _ in range(count)]


def _nothing() -> None:
    """Prepare nothing."""


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
