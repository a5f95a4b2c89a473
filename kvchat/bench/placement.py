"""Where blocks are put: own runs per session under different policies, simulated without tensors.

    python -m kvchat.bench.placement

Eight chats talk at once in a pool of 65,536 tokens; older chats stay idle in it, so that the pool
is as full as asked for, and give way least recently used first. Turns, lengths, rewinds and new
chats are drawn from a seed. Counted is in how many runs of blocks an active chat lies (1 is best:
attention reads it as one view), and how many tokens compaction moves for each one appended.
"""

import json
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from kvchat.kv.block_pool import HEADROOM_TOKENS
from kvchat.kv.free_extents import FreeExtents

POOL_TOKENS = 65_536
NUM_ACTIVE = 8


class LastFreedFirst(FreeExtents):
    """No placement at all: a stack of free ids, as a plain free list gives."""

    def __init__(self, num_blocks: int) -> None:
        super().__init__(num_blocks)
        self._stack = list(range(num_blocks - 1, -1, -1))

    def take(self, count: int, *, after: int | None = None) -> list[int]:
        """Take the blocks that were freed last."""
        self.num_free -= count
        return [self._stack.pop() for _ in range(count)]

    def give(self, block: int) -> None:
        """Put a block on the stack."""
        self.num_free += 1
        self._stack.append(block)


class MiddleOfLongest(FreeExtents):
    """The next block, else the middle of the longest run, which gives both sides room to grow."""

    def take(self, count: int, *, after: int | None = None) -> list[int]:
        """Take the ids behind `after`, then enter the longest runs in their middle."""
        taken: list[int] = []
        if after is not None and after + 1 in self._length_at:
            start = after + 1
            taken += self._cut(start, start, min(count, self._length_at[start]))
        while len(taken) < count:
            missing = count - len(taken)
            length, extent = self._by_length[-1]
            # Before block 0 there is no sequence that could grow.
            room = max(0, length - missing) // 2 if extent > 0 else 0
            taken += self._cut(extent, extent + room, min(missing, length))
        return taken


@dataclass
class Chat:
    """One chat: its blocks, its length, and how many tokens its turn still brings."""

    blocks: list[int] = field(default_factory=list)
    length: int = 0
    rest: int = 0
    turns: list[int] = field(default_factory=list)

    @property
    def num_runs(self) -> int:
        """Number of runs its blocks lie in."""
        return sum(second != first + 1 for first, second in pairwise(self.blocks)) + 1


@dataclass(frozen=True)
class Outcome:
    """What a policy came to."""

    mean_runs: float
    moved_per_token: float


def simulate(
    free: FreeExtents, block_size: int, fill: float, *, compacts: bool, seed: int, num_turns: int
) -> Outcome:
    """Run chats until `num_turns` turns have ended in a pool that is `fill` full."""
    rng = random.Random(seed)
    limit = int(fill * POOL_TOKENS / block_size)
    num_blocks = POOL_TOKENS // block_size
    active, idle = [Chat() for _ in range(NUM_ACTIVE)], list[Chat]()
    num_appended = num_moved = ended = 0
    samples: list[int] = []

    def make_room(need: int) -> None:
        while num_blocks - free.num_free + need > limit and idle:
            for block in reversed(idle.pop(0).blocks):
                free.give(block)

    def grow(chat: Chat, count: int) -> None:
        nonlocal num_appended
        num_appended += count
        chat.length += count
        need = -(-chat.length // block_size) - len(chat.blocks)
        if need > 0:
            make_room(need)
            chat.blocks += free.take(need, after=chat.blocks[-1] if chat.blocks else None)

    def compact(chat: Chat) -> None:
        nonlocal num_moved
        if not compacts or not chat.blocks or chat.num_runs == 1:
            return
        need = len(chat.blocks)
        new = free.take_run(need)
        if new is None:
            return
        old, chat.blocks = chat.blocks, new
        assert chat.num_runs == 1
        num_moved += need * block_size
        for block in reversed(old):
            free.give(block)

    def end_turn(place: int) -> None:
        chat = active[place]
        chance = rng.random()
        if chance < 0.1 and chat.turns:
            chat.length = chat.turns[-1]
            while len(chat.blocks) > -(-chat.length // block_size):
                free.give(chat.blocks.pop())
        elif chance < 0.25 or chat.length > 4_000:
            idle.append(chat)
            if chance < 0.18 and len(idle) > 1:
                active[place] = idle.pop(rng.randrange(len(idle)))  # somebody comes back
            else:
                active[place] = Chat()
        chat = active[place]
        if chat.length > 6_000:
            idle.append(chat)
            chat = active[place] = Chat()
        chat.turns.append(chat.length)
        compact(chat)
        grow(chat, rng.randint(20, 300))
        chat.rest = rng.randint(20, 400)

    def is_full() -> bool:
        return num_blocks - free.num_free >= 0.9 * limit

    is_warm = False
    while ended < num_turns:
        for place, chat in enumerate(active):
            if chat.rest == 0:
                end_turn(place)
                is_warm = is_warm or is_full()
                ended += is_warm
                if is_warm:
                    samples.append(active[place].num_runs)
            else:
                chat.rest -= 1
                grow(chat, 1)
    return Outcome(sum(samples) / len(samples), num_moved / num_appended)


FILLS = (0.5, 0.8, 0.95)
POLICIES = (
    "last freed first",
    "middle of the longest run",
    "best fit, no headroom",
    "best fit, headroom",
)


def extents_of(policy: str, block_size: int) -> FreeExtents:
    """Return an empty pool with a policy."""
    num_blocks = POOL_TOKENS // block_size
    if policy == "last freed first":
        return LastFreedFirst(num_blocks)
    if policy == "middle of the longest run":
        return MiddleOfLongest(num_blocks)
    headroom = HEADROOM_TOKENS if policy == "best fit, headroom" else 0
    return FreeExtents(num_blocks, headroom // block_size)


def rows(seeds: Sequence[int], num_turns: int) -> Iterator[dict[str, object]]:
    """Yield a row for each policy, block size and compaction, with a column for each fill."""
    for policy in POLICIES:
        for compacts in (False, True):
            if compacts and policy == "last freed first":
                continue
            for block_size in (16, 32, 64):
                row: dict[str, object] = {
                    "policy": policy,
                    "compaction": compacts,
                    "block_size": block_size,
                }
                for fill in FILLS:
                    found = [
                        simulate(
                            extents_of(policy, block_size),
                            block_size,
                            fill,
                            compacts=compacts,
                            seed=seed,
                            num_turns=num_turns,
                        )
                        for seed in seeds
                    ]
                    percent = round(100 * fill)
                    runs = sum(each.mean_runs for each in found) / len(found)
                    moved = sum(each.moved_per_token for each in found) / len(found)
                    row[f"runs_{percent}"] = round(runs, 2)
                    row[f"moved_{percent}"] = round(moved, 2)
                yield row


def main() -> None:
    """Print the table, and as the last line one JSON object."""
    seeds, num_turns = range(3), 600
    print("mean own runs of an active chat (tokens moved by compaction for each one appended)")
    print(f"{'policy':28}{'compaction':12}{'block':>6}{'50 % full':>16}{'80 %':>16}{'95 %':>16}")
    found = []
    for row in rows(seeds, num_turns):
        found.append(row)
        cells = "".join(f"{row[f'runs_{p}']:>8} ({row[f'moved_{p}']:>5})" for p in (50, 80, 95))
        compaction = "yes" if row["compaction"] else "no"
        print(f"{row['policy']:28}{compaction:12}{row['block_size']:>6}{cells}", flush=True)
    print(
        json.dumps(
            {
                "pool_tokens": POOL_TOKENS,
                "seeds": list(seeds),
                "turns": num_turns,
                "headroom_tokens": HEADROOM_TOKENS,
                "rows": found,
            }
        )
    )


if __name__ == "__main__":
    main()
