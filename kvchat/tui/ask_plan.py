"""AskPlan: what asking several branches takes: blocks shared, blocks to come, who has to wait."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from kvchat.tui.figures import count_of, token_count

if TYPE_CHECKING:
    from kvchat.kv.pool_view import PoolView

CHARACTERS_PER_TOKEN = 3
"""A careful guess; the real number is known once the prompt is written."""
GUESSED_ANSWER_TOKENS = 128


@dataclass(frozen=True, slots=True)
class AskPlan:
    """Figures before anything is sent; blocks are of all layers together."""

    num_branches: int
    num_shared_blocks: int
    num_shared_tokens: int
    num_new_blocks: int
    num_waiting: int
    """Branches that begin when others have ended, because the pool is short."""

    @property
    def sentence(self) -> str:
        """The plan in words."""
        parts = [f"about {count_of(self.num_new_blocks, 'block')} to add"]
        if self.num_waiting:
            parts.append(f"{self.num_waiting} will wait for room")
        if self.num_shared_blocks:
            blocks = count_of(self.num_shared_blocks, "block")
            parts.append(f"{blocks} ({token_count(self.num_shared_tokens)} tok) shared")
        return ", ".join(parts)


def plan_for(
    text: str, tables: Sequence[Sequence[int]], view: "PoolView | None", max_tokens: int | None
) -> AskPlan:
    """Plan one question to branches with these block tables; fresh forks repeat their parent's.

    Without a view of the pool nothing is known to be shared and nobody is said to wait.
    """
    size = view.block_size if view is not None else 32
    shared = 0
    for blocks in zip(*tables, strict=False):
        if len(set(blocks)) > 1 or blocks[0] < 0:
            break
        shared += 1
    shared = shared if len(tables) > 1 else 0
    answer = min(max_tokens or GUESSED_ANSWER_TOKENS, GUESSED_ANSWER_TOKENS)
    tokens = len(text) // CHARACTERS_PER_TOKEN + answer
    each = max(-(-tokens // size), 1)
    waiting = 0
    if view is not None:
        fitting = (view.num_free + view.num_cached) // each
        waiting = max(len(tables) - max(fitting, 1), 0)
    return AskPlan(len(tables), shared, shared * size, each * len(tables), waiting)


def own_blocks(view: "PoolView | None") -> dict[str, int]:
    """Return for each session how many of its blocks nobody else holds."""
    if view is None:
        return {}
    counts = view.ref_counts
    return {
        each.session_id: sum(block >= 0 and counts[block] == 1 for block in each.table)
        for each in view.sequences
    }
