"""Program: one random life of a cache, compared with plain lists after every operation.

It opens, appends, forks, rewinds, evicts, cancels, saves, restores and fails at random, over pools
that are mostly full, block sizes and windows of all kinds, in float32 and int8. Most programs store
rows that are a hash of all tokens before them and read them back through the block tables; some
also attend to them and compare with dense attention; others run HashModel, where one wrong slot
changes the next token.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass, field

import torch

from kvchat import errors
from kvchat.doctor_twin import LANES, Twin, rows_as_tensor
from kvchat.errors import OutOfBlocks
from kvchat.hash_model import HashModel
from kvchat.kv.block_table import HOLE
from kvchat.kv.contiguous import dense_attention
from kvchat.kv.paged_cache import PagedKVCache
from kvchat.kv.spec import KVCacheSpec, LayerSpec
from kvchat.kv.staged_restore import StagedRestore, export_group
from kvchat.kv.stored_prefix import find_stored_prefix
from kvchat.kv.window_schedule import WindowChange
from kvchat.native.kernels import Kernels

LAYER_WINDOW = 33
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


class Program:
    """One random program; `run` raises AssertionError at the first violation."""

    def __init__(
        self, seed: int, device: str, findings: Findings, kernels: Kernels | None = None
    ) -> None:
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
            kernels=kernels,
        )
        self.device = device
        # The list oracle of attention takes the square of this.
        self.max_tokens = MAX_TOKENS if self.model is None else MAX_ATTENTION_TOKENS
        self.twins: list[Twin] = []
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
            (self.together, 8),
            (self.cancel, 6),
            (self.fail, 4),
            (self.save, 6),
            (self.change_window, 6),
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
        window, sinks = self.any_window() if self.rng.random() < 0.5 else (None, 0)
        cache_id = self.cache.open(window=window, sinks=sinks)
        self.twins.append(Twin(cache_id, [self.change(0, window, sinks)]))

    def change_window(self) -> None:
        """Read what follows under another window, or none; now and then what is there as well."""
        twin = self.pick()
        if twin is None:
            return
        if self.rng.random() < 0.4:
            self.cut(twin, self.rng.randint(0, len(twin.token_ids)))
        window, sinks = self.any_window() if self.rng.random() < 0.7 else (None, 0)
        before, start = self.cache.length(twin.cache_id), len(twin.token_ids)
        if self.rng.random() < 0.3:
            start = self.rng.randint(0, start)
        twin.change_window(self.change(start, window, sinks))
        if before == start and self.rng.random() < 0.5:
            kept = self.cache.set_window(twin.cache_id, window, sinks)
        else:
            kept = self.cache.set_windows(twin.cache_id, twin.windows)
        wanted = (before, 0) if start >= before else range(before + 1)
        assert kept in wanted, "a change of what follows cost a part of what was there"
        self.cache.check_integrity()

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
        self.twins.append(twin.fork(child, length))

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

    def together(self) -> None:
        """Compute a token of several sequences in one step; what they share is read once."""
        chosen = self.rng.sample(self.twins, min(6, len(self.twins)))
        rows = [(twin, self.tokens(1)) for twin in chosen if self.is_whole(twin)]
        if not rows:
            return
        try:
            step = self.cache.reserve(
                [(twin.cache_id, 1) for twin, _ in rows], [ids for _, ids in rows]
            )
        except OutOfBlocks:
            return
        self.compute(rows, step.positions)
        step.commit()
        for twin, ids in rows:
            twin.extend(ids)

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

    def restore(self, twin: Twin) -> None:
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
            self.cache.schedules(twin.cache_id),
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

    def any_window(self) -> tuple[int | None, int]:
        """Return some window and sinks."""
        return self.rng.choice((5, 16, 33, 64)), self.rng.choice((0, 3, 20))

    def change(self, start: int, window: int | None, sinks: int) -> WindowChange:
        """Return a window as the cache keeps it: sinks are whole blocks."""
        rounded = -(-sinks // self.block_size) * self.block_size
        return WindowChange(start, window, 0 if window is None else rounded)

    def pick(self) -> Twin | None:
        """Return any open sequence."""
        return self.rng.choice(self.twins) if self.twins else None

    def cut(self, twin: Twin, length: int) -> None:
        """Rewind both sides."""
        length = min(length, len(twin.token_ids))
        computed = min(length, self.cache.length(twin.cache_id))
        self.cache.truncate(twin.cache_id, computed)
        twin.cut(length)
        self.cache.set_windows(twin.cache_id, twin.windows)

    def is_whole(self, twin: Twin) -> bool:
        """Say whether all tokens are computed, and there is room for one more."""
        is_computed = self.cache.length(twin.cache_id) == len(twin.token_ids)
        return is_computed and len(twin.token_ids) < self.max_tokens

    def catch_up(self, twin: Twin) -> None:
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

    def make_room(self, keep: Twin) -> bool:
        """Let the others give up what they hold; say whether that changed anything."""
        before = sum(self.cache.length(twin.cache_id) for twin in self.twins)
        for twin in self.twins:
            if twin is not keep:
                self.cache.shrink(twin.cache_id, self.cache.num_blocks)
        return sum(self.cache.length(twin.cache_id) for twin in self.twins) < before

    def compute(self, rows: Sequence[tuple[Twin, list[int]]], positions: Sequence[int]) -> None:
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
            state = self.model.list_states(token_ids, changes=twin.windows)[-1]
            assert row == self.model.list_logits(state), "attention saw other tokens"
            self.findings.tokens_compared += 1

    def store(self, rows: Sequence[tuple[Twin, list[int]]]) -> None:
        """Store the rows of the step's tokens; a dense program attends and compares as well."""
        whole = []  # of each sequence, all rows after the step
        for twin, new in rows:
            after = twin.fork(twin.cache_id, len(twin.token_ids))
            done = self.cache.length(twin.cache_id)
            if len(twin.rows) == done:
                after.extend(new)
            whole.append(rows_as_tensor(after.rows[: done + len(new)]).to(self.device)[:, None])
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
                _, window, sinks = twin.window_at(len(all_) - len(new))
                expected = dense_attention(
                    query[mine], all_, all_.flip(-1), layer, window=window, sinks=sinks
                )
                assert torch.allclose(output[mine], expected, rtol=1e-4, atol=1e-3), (
                    "attention differs from dense attention"
                )
                self.findings.tokens_compared += len(new)
                first += len(new)

    def read(self, twin: Twin) -> None:
        """Compare every resident row of one layer with the hash of the tokens before it."""
        length = self.cache.length(twin.cache_id)
        assert self.cache.token_ids(twin.cache_id) == twin.token_ids[:length], "token ids"
        if self.model is not None or length == 0:
            return
        layer_index = self.rng.randrange(len(self.spec.layers))
        key, value = self.cache.keys_values(twin.cache_id, layer_index)
        expected = rows_as_tensor(twin.rows[:length]).to(self.device)
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
