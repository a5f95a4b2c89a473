"""find_resident_prefix(): how much of a prompt the pool holds already, in every layer group.

Looking changes nothing; whoever takes the blocks calls `ResidentPrefix.reference` first. Plain
Python, no tensors.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from kvchat.kv.block_table import HOLE, BlockTable
from kvchat.kv.paged_sequence import PagedSequence, chain_key, open_schedules
from kvchat.kv.prefix_index import ROOT_KEY
from kvchat.kv.window_schedule import WindowSchedule


@dataclass(frozen=True, slots=True)
class ResidentPrefix:
    """Published blocks that extend a sequence.

    length  tokens the sequence can then have; may end inside the last block
    keys    chained keys of its full blocks, from position 0 on
    blocks  per layer group, the blocks behind those whose keys the sequence has already;
            HOLE where no query from `length` on looks
    """

    length: int
    keys: list[bytes]
    blocks: list[list[int]]

    def reference(self, tables: Sequence[BlockTable]) -> int:
        """Count a reference to every block, before anything else is taken; return how many."""
        found = [
            (table.pool, block)
            for table, blocks in zip(tables, self.blocks, strict=True)
            for block in blocks
            if block != HOLE
        ]
        for pool, block in found:
            pool.reference(block)
        return len(found)


def find_resident_prefix(
    sequence: PagedSequence,
    token_ids: Sequence[int],
    schedules: Sequence[WindowSchedule],
    block_size: int,
    salt: bytes,
) -> ResidentPrefix | None:
    """Return the longest prefix of `token_ids` that all layer groups can serve, or None.

    Leaves at least one token to compute, and returns None where that is not longer than what the
    sequence has. `schedules` is in the order of its tables: a windowed group needs only the
    sinks and the blocks its next query looks at.

    Behind the last block that matches to its end, the beginning of a sibling counts too: the
    sequence is given that block cut open, and its first write copies the tokens they share. The
    idea of reusing the best partial page is exllamav3's.
    """
    size, limit = block_size, len(token_ids) - 1
    base = len(sequence.keys)
    probe = PagedSequence(sequence.schedule, [], keys=list(sequence.keys))
    found = [list(table.blocks[:base]) for table in sequence.tables]
    is_broken = False
    for index in range(base, len(token_ids) // size):
        tokens = token_ids[index * size : (index + 1) * size]
        probe.keys.append(chain_key(probe, index, tokens, size, salt))
        for table, blocks, seen in zip(sequence.tables, found, schedules, strict=True):
            block = table.pool.index.find(probe.keys[index], tokens)
            blocks.append(HOLE if block is None else block)
            is_broken |= block is None and not seen.has_window
        if is_broken:
            break  # a group without a window needs every block
    count = len(probe.keys)
    while count > base:
        length = min(count * size, limit)
        missing = [
            index
            for blocks, seen in zip(found, schedules, strict=True)
            for index in _missing(blocks[:count], seen.hidden_blocks(length, size))
        ]
        if not missing:
            break
        # A shorter prefix looks at all the blocks of a longer one that lie before its end.
        count = min(missing)
    length = min(count * size, limit)
    del probe.keys[count:]
    for blocks in found:
        del blocks[count:]
    if length == count * size:
        length += _find_tail(sequence, probe, token_ids[length:limit], size, salt, found)
    if length <= sequence.length:
        return None
    blocks_of_groups = []
    for blocks, seen in zip(found, schedules, strict=True):
        hidden = seen.hidden_blocks(length, size)
        blocks_of_groups.append(
            [HOLE if index in hidden else blocks[index] for index in range(base, len(blocks))]
        )
    return ResidentPrefix(length, probe.keys[: length // size], blocks_of_groups)


def _find_tail(
    sequence: PagedSequence,
    probe: PagedSequence,
    token_ids: Sequence[int],
    block_size: int,
    salt: bytes,
    found: list[list[int]],
) -> int:
    """Add to each group's blocks the one whose beginning serves most; return how many tokens."""
    index = len(probe.keys)
    parent = probe.keys[-1] if probe.keys else ROOT_KEY

    best: list[tuple[int, int]] = []  # of each layer group, the block and how many tokens
    for twin, limit in open_schedules(probe, block_size):
        wanted = token_ids[: block_size - 1 if limit is None else limit]

        def key_of(tokens: Sequence[int], twin: PagedSequence = twin) -> bytes:
            return chain_key(twin, index, tokens, block_size, salt)

        tails = [
            table.pool.index.find_beginning(parent, wanted, key_of) for table in sequence.tables
        ]
        whole = [tail for tail in tails if tail is not None]
        if len(whole) == len(tails) and _num_common(whole) > _num_common(best):
            best = whole
    for blocks, (block, _) in zip(found, best, strict=False):
        blocks.append(block)
    return _num_common(best)


def _num_common(tails: Sequence[tuple[int, int]]) -> int:
    return min((num_common for _, num_common in tails), default=0)


def _missing(blocks: Sequence[int], hidden: range) -> list[int]:
    return [index for index, block in enumerate(blocks) if block == HOLE and index not in hidden]
