"""`kvchat doctor`: checks the cache on this machine with random programs and an exact oracle.

A program opens, appends, forks, rewinds, evicts, cancels, saves, restores and fails at random, over
pools that are mostly full, block sizes and windows of all kinds, in float32 and int8. Most programs
store rows that are a hash of all tokens before them and read them back through the block tables;
some also attend to them and compare with dense attention; others run HashModel, where one wrong
slot changes the next token. The oracles are plain lists. Every program has its own seed, so a
violation can be replayed alone.
"""

import argparse
import json
import multiprocessing
import platform
import random
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field

import torch
from torch import Tensor

from kvchat import errors
from kvchat.device import choose_device
from kvchat.errors import OutOfBlocks
from kvchat.hash_model import HashModel
from kvchat.kv.block_table import HOLE
from kvchat.kv.cache import SequenceId
from kvchat.kv.contiguous import dense_attention
from kvchat.kv.paged_cache import PagedKVCache
from kvchat.kv.spec import KVCacheSpec, LayerSpec
from kvchat.kv.staged_restore import StagedRestore, export_group
from kvchat.kv.stored_prefix import find_stored_prefix

LANES = 8
LAYER_WINDOW = 33
OPERATIONS_PER_PROGRAM = 250
ATTENTION_EVERY = 40
MAX_TOKENS = 140
MAX_ATTENTION_TOKENS = 80
INTEGRITY_EVERY = 64
READ_EVERY = 6


class Planted(RuntimeError):
    """The failure a program plants at a fault point."""


@dataclass(slots=True)
class Findings:
    """What some programs did and found; findings of several processes are added up."""

    operations: int = 0
    programs: int = 0
    attention_programs: int = 0
    tokens_compared: int = 0
    faults_planted: int = 0
    blocks_restored: int = 0
    violations: int = 0
    failed_seeds: list[int] = field(default_factory=list)
    reasons: list[str] = field(default_factory=list)

    def add(self, other: "Findings") -> None:
        """Add the findings of another process."""
        for name in self.__slots__:
            setattr(self, name, getattr(self, name) + getattr(other, name))


@dataclass(slots=True)
class _Twin:
    """What one sequence must be: a plain list, and the settings it was opened with."""

    cache_id: SequenceId
    window: int | None
    sinks: int
    token_ids: list[int] = field(default_factory=list)
    rows: list[bytes] = field(default_factory=list)
    """What the cache must hold for each token: LANES bytes that hash all tokens up to it."""

    def extend(self, token_ids: Sequence[int]) -> None:
        """Add tokens, and the rows that belong to them."""
        state = int.from_bytes(self.rows[-1], "little") if self.rows else 1
        for position, token_id in enumerate(token_ids, len(self.token_ids)):
            state = (state * 0x9E3779B97F4A7C15 + token_id * 0x2545F4914F6CDD1D + position) % 2**64
            # Lanes 0..63 between two of 127 are exact in int8, too.
            lanes = (state ^ state >> 29) & 0x003F3F3F3F3F3F00 | 0x7F0000000000007F
            state = lanes
            self.rows.append(lanes.to_bytes(LANES, "little"))
        self.token_ids += token_ids

    def cut(self, length: int) -> None:
        """Keep the first tokens."""
        del self.token_ids[length:], self.rows[length:]


class Program:
    """One random program; `run` raises AssertionError at the first violation."""

    def __init__(self, seed: int, device: str, findings: Findings) -> None:
        self.rng = random.Random(seed)
        self.findings = findings
        rng = self.rng
        self.model = HashModel() if seed % ATTENTION_EVERY == 0 else None
        self.is_dense = seed % ATTENTION_EVERY == ATTENTION_EVERY // 2
        self.block_size = rng.choice((1, 4, 8, 16, 32))
        sizes = [size * max(1, 8 // self.block_size) for size in (8, 16, 32, 64, 256)]
        layer = LayerSpec(1, 1, LANES, LANES, 1.0)
        windowed = LayerSpec(1, 1, LANES, LANES, 1.0, LAYER_WINDOW)
        layers = rng.choice(((layer,), (layer, windowed), (windowed, layer, layer)))
        self.spec = KVCacheSpec(layers) if self.model is None else self.model.spec
        is_int8 = rng.random() < 0.3
        self.cache = PagedKVCache(
            self.spec,
            [rng.choice(sizes) for _ in self.spec.groups],
            block_size=self.block_size,
            device=device,
            kv_dtype="int8" if is_int8 else "auto",
        )
        self.device = device
        # The list oracle of attention takes the square of this.
        self.max_tokens = MAX_TOKENS if self.model is None else MAX_ATTENTION_TOKENS
        self.twins: list[_Twin] = []
        self.saved: dict[tuple[bytes, int], tuple[memoryview, ...]] = {}
        self.num_operations = 0
        # Few different tokens, so that sequences often begin alike.
        self.alphabet = rng.choice((2, 90))

    def run(self, num_operations: int) -> None:
        """Run the program to its end, close everything, and find the pool empty."""
        commands = (
            (self.open, 5),
            (self.append, 40),
            (self.fork, 10),
            (self.rewind, 10),
            (self.release, 4),
            (self.evict, 6),
            (self.cancel, 6),
            (self.fail, 4),
            (self.save, 6),
        )
        kinds = [command for command, _ in commands]
        weights = [weight for _, weight in commands]
        for _ in range(num_operations):
            self.rng.choices(kinds, weights)[0]()
            self.num_operations += 1
            self.findings.operations += 1
            self.check_counters()
            if self.num_operations % INTEGRITY_EVERY == 0:
                self.cache.check_integrity()
        for twin in self.twins:
            self.read(twin)
        while self.twins:
            self.cache.release(self.twins.pop().cache_id)
        self.cache.check_integrity()
        for pool in self.cache.pools:
            pool.drop_cached()
            assert pool.num_free == pool.num_blocks, "blocks leaked"

    # Operations

    def open(self) -> None:
        """Start a sequence, half of them with a window."""
        if len(self.twins) >= 8:
            return
        window, sinks = None, 0
        if self.rng.random() < 0.5:
            window = self.rng.choice((5, 16, 33, 64))
            sinks = self.rng.choice((0, 3, 20))
        cache_id = self.cache.open(window=window, sinks=sinks)
        sinks = self.cache.visible_set(cache_id).sinks
        self.twins.append(_Twin(cache_id, window, sinks))

    def append(self) -> None:
        """Add tokens to a sequence, to a length near the edge of a block more often than not."""
        twin = self.pick()
        if twin is None:
            return
        count = self.rng.choice((1, 1, 2, self.block_size, self.rng.randint(1, 40)))
        if self.rng.random() < 0.5:
            edge = -(len(twin.token_ids) + count) % self.block_size
            count += max(0, edge + self.rng.choice((-1, 0, 1)))
        count = min(count, self.max_tokens - len(twin.token_ids))
        if count < 1:
            self.cut(twin, self.rng.randint(0, self.max_tokens // 2))
            return
        twin.extend(self.tokens(count))
        self.catch_up(twin)
        if self.num_operations % READ_EVERY == 0:
            self.read(twin)

    def fork(self) -> None:
        """Fork at any token, computed or not."""
        twin = self.pick()
        if twin is None or len(self.twins) >= 8:
            return
        length = self.rng.randint(0, len(twin.token_ids))
        computed = min(length, self.cache.length(twin.cache_id))
        available = self.cache.num_available
        child = self.cache.fork(twin.cache_id, computed)
        assert self.cache.num_available == available, "a fork took a block"
        self.twins.append(
            _Twin(child, twin.window, twin.sinks, twin.token_ids[:length], twin.rows[:length])
        )

    def rewind(self) -> None:
        """Go back to any token."""
        twin = self.pick()
        if twin is not None:
            self.cut(twin, self.rng.randint(0, len(twin.token_ids)))

    def release(self) -> None:
        """Close a sequence."""
        twin = self.pick()
        if twin is not None:
            self.twins.remove(twin)
            self.cache.release(twin.cache_id)

    def evict(self) -> None:
        """Take blocks of a sequence, as a full pool would; its text stays."""
        twin = self.pick()
        if twin is not None:
            self.cache.shrink(twin.cache_id, self.rng.randint(1, self.cache.num_blocks))
            if self.rng.random() < 0.3:
                for pool in self.cache.pools:
                    pool.drop_cached()

    def cancel(self) -> None:
        """Compute a step of two sequences and roll one of them, or both, back."""
        twins = self.rng.sample(self.twins, min(2, len(self.twins)))
        rows = [(twin, self.tokens(1)) for twin in twins]
        rows = [(twin, ids) for twin, ids in rows if self.is_whole(twin)]
        if not rows:
            return
        try:
            step = self.cache.reserve(
                [(twin.cache_id, len(ids)) for twin, ids in rows], [ids for _, ids in rows]
            )
        except OutOfBlocks:
            return
        self.compute(rows, step.positions)
        if self.rng.random() < 0.5:
            step.rollback()
            return
        step.rollback_row(step.rows[0])
        step.commit()
        for twin, ids in rows[1:]:
            twin.extend(ids)

    def fail(self) -> None:
        """Let an allocation, a copy or a layer fail while tokens are added, then try again."""
        twin = self.pick()
        if twin is None or len(twin.token_ids) + 9 > self.max_tokens:
            return
        left = self.rng.randint(0, 4)

        def hook(point: str) -> None:
            nonlocal left
            left -= 1
            if left < 0:
                raise Planted(point)

        twin.extend(self.tokens(9))
        errors.fault_hook = hook
        try:
            self.catch_up(twin)
        except Planted:
            self.findings.faults_planted += 1
        finally:
            errors.fault_hook = None
        self.cache.check_integrity()
        self.catch_up(twin)

    def save(self) -> None:
        """Copy the full blocks of a sequence out of the pool, as a segment on disk has them."""
        twin = self.pick()
        if twin is None:
            return
        state = self.cache.paged_sequence(twin.cache_id)
        for group, table in enumerate(state.tables):
            for key, block in zip(state.keys, table.blocks, strict=False):
                if block != HOLE and (key, group) not in self.saved:
                    arrays = export_group(self.cache, group, [block])
                    self.saved[key, group] = tuple(memoryview(array) for array in arrays)

    # Pieces

    def restore(self, twin: _Twin) -> None:
        """Bring back what was saved, staged and published as from disk, or leave it."""
        pools = self.cache.pools

        def find(key: bytes, token_ids: tuple[int, ...]) -> int:
            return sum(
                1 << group
                for group, pool in enumerate(pools)
                if (key, group) in self.saved or pool.index.find(key, token_ids) is not None
            )

        prefix = find_stored_prefix(
            self.cache.paged_sequence(twin.cache_id),
            twin.token_ids,
            self.cache.visible_sets_of(twin.cache_id),
            self.block_size,
            self.cache.salt,
            find,
            lambda stem, token_ids: None,
        )
        if prefix is None:
            return
        try:
            staged = StagedRestore(self.cache, twin.cache_id, prefix, self.saved)
        except OutOfBlocks:
            return
        try:
            while not staged.stage(1024):
                pass
            if self.rng.random() < 0.2:
                staged.abandon()
                return
            self.findings.blocks_restored += len(prefix.needed)
            staged.publish(twin.token_ids)
        except BaseException:
            staged.abandon()
            raise

    def tokens(self, count: int) -> list[int]:
        """Return random tokens."""
        return [self.rng.randrange(self.alphabet) for _ in range(count)]

    def pick(self) -> _Twin | None:
        """Return any open sequence."""
        return self.rng.choice(self.twins) if self.twins else None

    def cut(self, twin: _Twin, length: int) -> None:
        """Rewind both sides."""
        length = min(length, len(twin.token_ids))
        computed = min(length, self.cache.length(twin.cache_id))
        self.cache.truncate(twin.cache_id, computed)
        twin.cut(length)

    def is_whole(self, twin: _Twin) -> bool:
        """Say whether all tokens are computed, and there is room for one more."""
        is_computed = self.cache.length(twin.cache_id) == len(twin.token_ids)
        return is_computed and len(twin.token_ids) < self.max_tokens

    def catch_up(self, twin: _Twin) -> None:
        """Compute what the cache does not have: found by content first, then brought again."""
        self.cache.adopt(twin.cache_id, twin.token_ids)
        if self.saved:
            self.restore(twin)
        while (done := self.cache.length(twin.cache_id)) < len(twin.token_ids):
            wanted = min(len(twin.token_ids) - done, self.rng.choice((1, 7, 40)))
            count = self.cache.chunk_limit(twin.cache_id, wanted)
            ids = twin.token_ids[done : done + count]
            try:
                step = self.cache.reserve([(twin.cache_id, count)], [ids])
            except OutOfBlocks:
                if not self.make_room(twin):
                    # Alone, and still too long for the pool.
                    self.cut(twin, done)
                    return
                continue
            try:
                self.compute([(twin, ids)], step.positions)
            except BaseException:
                step.rollback()
                raise
            step.commit()

    def make_room(self, keep: _Twin) -> bool:
        """Let the others give up what they hold; say whether that changed anything."""
        before = sum(self.cache.length(twin.cache_id) for twin in self.twins)
        for twin in self.twins:
            if twin is not keep:
                self.cache.shrink(twin.cache_id, self.cache.num_blocks)
        return sum(self.cache.length(twin.cache_id) for twin in self.twins) < before

    def compute(self, rows: Sequence[tuple[_Twin, list[int]]], positions: Sequence[int]) -> None:
        """Store what the step's tokens are, and with a model compare what follows them."""
        if self.model is None:
            self.store(rows)
            return
        ids = torch.tensor([token_id for _, new in rows for token_id in new], device=self.device)
        ends = torch.tensor([len(new) for _, new in rows]).cumsum(0) - 1
        at = torch.tensor(positions, device=self.device)
        logits = self.model(ids, at, self.cache, ends.to(self.device))
        for row, (twin, new) in zip(logits.tolist(), rows, strict=True):
            token_ids = twin.token_ids[: self.cache.length(twin.cache_id)] + new
            state = self.model.list_states(token_ids, twin.window, twin.sinks)[-1]
            assert row == self.model.list_logits(state), "attention saw other tokens"
            self.findings.tokens_compared += 1

    def store(self, rows: Sequence[tuple[_Twin, list[int]]]) -> None:
        """Store the rows of the step's tokens; a dense program attends and compares as well."""
        whole = []  # of each sequence, all rows after the step
        for twin, new in rows:
            after = _Twin(twin.cache_id, None, 0, list(twin.token_ids), list(twin.rows))
            done = self.cache.length(twin.cache_id)
            if len(twin.rows) == done:
                after.extend(new)
            whole.append(_tensor(after.rows[: done + len(new)]).to(self.device)[:, None])
        lanes = torch.cat([all_[-len(new) :] for all_, (_, new) in zip(whole, rows, strict=True)])
        for layer_index, layer in enumerate(self.spec.layers):
            errors.fault("doctor.layer")
            if not self.is_dense:
                self.cache.write(layer_index, lanes, lanes.flip(-1))
                continue
            query = (lanes.roll(3, -1) - 32) / 4096  # [T, 1, LANES]
            output = self.cache.attend(layer_index, query, lanes, lanes.flip(-1))
            first = 0
            for all_, (twin, new) in zip(whole, rows, strict=True):
                mine = slice(first, first + len(new))
                expected = dense_attention(
                    query[mine], all_, all_.flip(-1), layer, window=twin.window, sinks=twin.sinks
                )
                assert torch.allclose(output[mine], expected, rtol=1e-4, atol=1e-3), (
                    "attention differs from dense attention"
                )
                self.findings.tokens_compared += len(new)
                first += len(new)

    def read(self, twin: _Twin) -> None:
        """Compare every resident row of one layer with the hash of the tokens before it."""
        length = self.cache.length(twin.cache_id)
        assert self.cache.token_ids(twin.cache_id) == twin.token_ids[:length], "token ids"
        if self.model is not None or length == 0:
            return
        layer_index = self.rng.randrange(len(self.spec.layers))
        key, value = self.cache.keys_values(twin.cache_id, layer_index)
        expected = _tensor(twin.rows[:length]).to(self.device)
        is_held = ~key[:, 0, 0].isnan()
        assert bool(is_held[-1]), "the last token is not in the cache"
        assert torch.equal(key[is_held, 0], expected[is_held]), "a key of other tokens"
        assert torch.equal(value[is_held, 0], expected[is_held].flip(-1)), "a value of others"
        self.findings.tokens_compared += int(is_held.sum())

    def check_counters(self) -> None:
        """Compare the cheap counters, after every operation."""
        for pool in self.cache.pools:
            parts = (pool.num_free, pool.num_cached, pool.num_private, pool.num_shared)
            assert min(parts) >= 0 and not pool.held, "a negative count, or a held block"
            assert sum(parts) == pool.num_blocks, "states do not add up"
            unused = pool.ref_counts.count(0)
            assert pool.num_cached + pool.num_free == unused, "reference counts"


def _tensor(rows: Sequence[bytes]) -> Tensor:
    """Return rows as [T, LANES] float32."""
    joined = bytearray(b"".join(rows))
    return torch.frombuffer(joined, dtype=torch.uint8).reshape(-1, LANES).float()


def examine(seed: int, operations: int, seconds: float | None, device: str) -> Findings:
    """Run programs with seeds seed, seed + 1, … until enough operations or seconds."""
    findings = Findings()
    deadline = None if seconds is None else time.monotonic() + seconds
    while findings.operations < operations:
        if deadline is not None and time.monotonic() >= deadline:
            break
        program = Program(seed, device, findings)
        findings.programs += 1
        findings.attention_programs += program.model is not None or program.is_dense
        try:
            program.run(OPERATIONS_PER_PROGRAM)
        except Exception as error:
            # Anything a program raises is a finding: report it and go on with the next.
            errors.fault_hook = None
            findings.violations += 1
            findings.failed_seeds.append(seed)
            findings.reasons.append(f"{type(error).__name__}: {error}")
            if findings.violations >= 20:
                break
        seed += 1
    return findings


def _work(seed: int, operations: int, seconds: float | None, device: str) -> Findings:
    torch.set_num_threads(1)
    return examine(seed, operations, seconds, device)


def main(arguments: Sequence[str]) -> int:
    """Run `kvchat doctor`; the exit status is 1 if anything was wrong."""
    parser = argparse.ArgumentParser(
        prog="kvchat doctor",
        description="Check the cache on this machine with random programs and an exact oracle.",
    )
    parser.add_argument("--operations", type=int, default=50_000, metavar="N")
    parser.add_argument("--seconds", type=float, metavar="S", help="stop after this time")
    parser.add_argument("--seed", type=int, default=1, metavar="K", help="of the first program")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--processes", type=int, default=2, metavar="P")
    parser.add_argument("--json", action="store_true", help="print only the JSON line")
    options = parser.parse_args(arguments)
    device = choose_device(options.device)
    processes = max(1, options.processes) if device == "cpu" else 1
    if options.operations <= OPERATIONS_PER_PROGRAM:
        processes = 1
    started = time.monotonic()
    # Far apart, so that no two processes run the same program.
    jobs = [
        (
            options.seed + place * 1_000_000,
            -(-options.operations // processes),
            options.seconds,
            device,
        )
        for place in range(processes)
    ]
    total = Findings()
    if processes == 1:
        total.add(_work(*jobs[0]))
    else:
        with multiprocessing.get_context("spawn").Pool(processes) as pool:
            for findings in pool.starmap(_work, jobs):
                total.add(findings)
    seconds = time.monotonic() - started
    if not options.json:
        _print_report(total, device, seconds)
    report = asdict(total) | {
        "seed": options.seed,
        "seconds": round(seconds, 2),
        "device": device,
        "torch": torch.__version__,
        "python": platform.python_version(),
    }
    print(json.dumps(report), flush=True)
    return 1 if total.violations else 0


def _print_report(total: Findings, device: str, seconds: float) -> None:
    print(f"{total.operations} operations in {total.programs} programs on {device}: ", end="")
    print(f"{total.tokens_compared} tokens compared in {seconds:.1f} s, ", end="")
    print(f"{total.faults_planted} failures planted, {total.violations} violations.")
    for seed, reason in zip(total.failed_seeds, total.reasons, strict=True):
        print(f"  {reason}", file=sys.stderr)
        print(f"  replay with: kvchat doctor --seed {seed} --operations 1", file=sys.stderr)
